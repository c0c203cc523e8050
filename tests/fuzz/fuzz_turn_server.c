/* The TURN server fed with packets: no input may crash it, and no answer to an unproven address be larger than its
 * request. A first byte says what comes: 0..: a raw datagram of one of two clients; 128..: a request with right
 * credentials around the attributes in the input, so that the code behind the password is reached. */
#include <stdlib.h>

#include "base/mem.h"
#include "crypto/identity.h"
#include "nat/stun.h"
#include "relay/turn_server.h"

struct state {
    uint64_t seed;
    size_t in, out;
    bool is_forward;
    char nonce[TURN_TICKET_NONCE_BYTES];
};

static void fill(void *arg, void *out, size_t n)
{
    struct state *s = arg;

    for (uint8_t *at = out; n > 0; n--) {
        s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
        *at++ = (uint8_t)(s->seed >> 33);
    }
}

static int64_t wall(void *arg)
{
    (void)arg;
    return 1795000000000;
}

static void on_send(void *arg, const struct addr *to, struct slice bytes)
{
    struct state *s = arg;
    struct stun_msg m;

    (void)to;
    if (bytes.len == 0)
        abort();
    s->out += bytes.len;
    if (bytes.data[0] > 3)
        return;
    if (stun_parse(bytes, &m) != ERR_OK) /* what we say, we understand */
        abort();
    if (m.cls == STUN_INDICATION)
        s->is_forward = true;
    if (m.nonce.len > 0 && m.nonce.len < sizeof s->nonce)
        memcpy(s->nonce, m.nonce.data, m.nonce.len);
}

static enum err on_open(void *arg, uint8_t family, uint16_t port, uint32_t handle)
{
    (void)arg;
    (void)family;
    (void)handle;
    return port % 8 == 0 ? ERR_IO : ERR_OK;
}

static void on_port_send(void *arg, uint32_t handle, const struct addr *to, struct slice bytes)
{
    (void)arg;
    (void)handle;
    (void)bytes;
    if (addr_class(to) != ADDR_GLOBAL) /* never to a local address */
        abort();
}

static void on_close(void *arg, uint32_t handle)
{
    (void)arg;
    (void)handle;
}

static const struct env_ops env_of = {.random = fill, .wall_ms = wall};
static const struct turn_user user = {"u", "p"};
static const uint8_t secret[32] = {1};

static struct slice dressed(struct state *s, uint8_t *buf, size_t size, struct slice attributes,
                            uint8_t method)
{
    uint8_t key[STUN_SHA1_KEY_BYTES], id[STUN_ID_BYTES] = {0};
    struct stun_wr w;

    fill(s, id, sizeof id);
    stun_begin(&w, buf, size, STUN_REQUEST, method, id);
    wr_slice(&w.w, attributes);
    stun_put(&w, STUN_USERNAME, slice_str("u"));
    stun_put(&w, STUN_REALM, slice_str("ito"));
    stun_put(&w, STUN_NONCE, slice_str(s->nonce));
    stun_long_term_key(slice_str("u"), slice_str("ito"), slice_str("p"), key);
    stun_put_integrity(&w, slice_of(key, sizeof key));
    return stun_end(&w);
}

/* Input: a row of kind1 len1 bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t methods[] = {TURN_ALLOCATE, TURN_REFRESH, TURN_CREATE_PERMISSION, TURN_CHANNEL_BIND};
    struct state s = {.seed = 1};
    struct env env = {&env_of, &s};
    struct turn_server_ops ops = {
        .send = on_send, .open_port = on_open, .port_send = on_port_send, .close_port = on_close};
    struct turn_server_config config = {.port_min = 50000,
                                        .port_max = 50031,
                                        .users = &user,
                                        .n_users = 1,
                                        .secret = secret,
                                        .max_allocations = 4,
                                        .max_per_user = 3,
                                        .max_kbps = 1000};
    struct turn_server *ts;
    struct rd r;
    ns_t now = NS_PER_S;
    bool is_proven[2] = {false};

    if (crypto_init() != ERR_OK)
        abort();
    addr_parse("198.51.100.7:3478", &config.external[0]);
    addr_parse("[2001:db8::7]:3478", &config.external[1]);
    ts = turn_server_create(&config, &ops, &s, &env);
    rd_init(&r, slice_of(data, size));
    while (rd_left(&r) >= 2) {
        uint8_t kind = rd_u8(&r), buf[1024];
        size_t len = rd_u8(&r);
        struct slice bytes = rd_bytes(&r, len < rd_left(&r) ? len : rd_left(&r));
        struct addr from = {.family = ADDR_V4, .ip = {203, 0, 113, 1}, .port = (uint16_t)(1000 + kind % 2)};

        if (kind == 127) {
            now += (1 + bytes.len) * NS_PER_S;
            turn_server_tick(ts, now);
            continue;
        }
        if (kind >= 64 && kind < 96) {
            turn_server_port_input(ts, now, (uint32_t)(kind % 2) << 16 | (50000u + kind % 32), &from, bytes);
            continue;
        }
        s.in = s.out = 0;
        s.is_forward = false;
        if (kind >= 128)
            bytes = dressed(&s, buf, sizeof buf, bytes, methods[kind / 2 % 4]);
        if (bytes.len == 0)
            continue;
        turn_server_input(ts, now, &from, bytes);
        is_proven[kind % 2] =
            is_proven[kind % 2] || kind >= 128; /* it may have an allocation, made with a nonce */
        if (!is_proven[kind % 2] && bytes.data[0] <= 3 && !s.is_forward && s.out > bytes.len)
            abort(); /* amplified */
    }
    turn_server_destroy(ts);
    return 0;
}
