/* A mainline node that serves, with operations of its own in flight, fed with packets of others. The input is cut into
 * packets: len2, from1, bytes. No input may crash it; what it says it understands, in canonical form; and nobody hears
 * more than the pace allows. An answer gets the transaction id of the last query, so that the code behind it is reached. */
#include <stdlib.h>

#include "dht/dht.h"
#include "dht/krpc.h"
#include "dht/pace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
    uint64_t seed;
    unsigned sent[4]; /* in this run of less than a second, to whom packets come from */
    struct {
        env_defer_cb cb;
        void *arg;
    } deferred[8];
    unsigned n_deferred;
    uint8_t t[KRPC_T_MAX];
    size_t t_len;
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
    struct krpc_msg m;

    if (krpc_parse(bytes, &m) != ERR_OK || bytes.len > KRPC_OUT_MAX)
        abort();
    if (to->family == ADDR_V4 && to->ip[0] == 45 && to->ip[1] < 4 && to->ip[2] == 1 && to->ip[3] == 1 &&
        to->port == 6881 && ++s->sent[to->ip[1]] > PACE_NODE_PER_S)
        abort();
    if (m.type == KRPC_QUERY) {
        memcpy(s->t, m.t.data, m.t.len);
        s->t_len = m.t.len;
    }
}

static void on_defer(void *arg, env_defer_cb cb, void *what)
{
    struct state *s = arg;

    if (s->n_deferred == sizeof s->deferred / sizeof *s->deferred)
        abort();
    s->deferred[s->n_deferred].cb = cb;
    s->deferred[s->n_deferred++].arg = what;
}

static void on_log(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

static bool on_raw(void *arg, const struct dht_value *v)
{
    (void)arg;
    return v->v.len % 2 == 0;
}

static void on_peer(void *arg, const struct addr *peer)
{
    (void)arg;
    if (peer->port == 0)
        abort();
}

/* Put the transaction id we used into "1:t6:......" of the packet. */
static void set_t(const struct state *s, uint8_t *packet, size_t n)
{
    for (size_t i = 0; i + 5 + s->t_len <= n && s->t_len == 6; i++)
        if (memcmp(packet + i, "1:t6:", 5) == 0) {
            memcpy(packet + i + 5, s->t, s->t_len);
            return;
        }
}

static void feed(struct state *s, struct dht *d, const uint8_t *data, size_t size)
{
    ns_t now = 1000 * NS_PER_S;

    for (unsigned i = 0; i < 64 && size >= 3; i++, now += 10 * NS_PER_MS) {
        size_t n = (size_t)data[0] << 8 | data[1];
        struct addr from = addr_v4((uint8_t[]){45, data[2] % 4, 1, 1}, 6881);
        uint8_t packet[KRPC_IN_MAX];

        data += 3;
        size -= 3;
        n = n < size ? n : size;
        n = n < sizeof packet ? n : sizeof packet;
        memcpy(packet, data, n);
        set_t(s, packet, n);
        dht_input(d, now, &from, slice_of(packet, n));
        dht_tick(d, now);
        data += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct env_ops ops = {
        .send = on_send, .random = fill, .wall_ms = wall, .defer = on_defer, .log = on_log};
    struct state s = {.seed = 1};
    struct env env = {.ops = &ops, .world = &s};
    struct dht_config config = {
        .profile = DHT_MAINLINE, .max_items = 16, .max_contacts = 64, .seed = {size > 0 ? data[0] & 1 : 0}};
    uint8_t target[DHT_ID_BYTES] = "abcdefghij0123456789";
    struct dht_value v = {.v = slice_str("3:abc")};
    struct dht *d = dht_create(&config, &env);
    struct addr first = addr_v4((uint8_t[]){45, 0, 1, 1}, 6881);
    ns_t now = 1000 * NS_PER_S;

    dht_tick(d, now);
    dht_add_address(d, now, &first);
    dht_get_raw(d, now, target, NULL, (struct slice){0}, 0, on_raw, NULL, NULL);
    dht_put_raw(d, now, &v, NULL, NULL, NULL);
    dht_peers(d, now, target, on_peer, NULL, NULL);
    feed(&s, d, data, size);
    dht_destroy(d);
    for (unsigned i = 0; i < s.n_deferred; i++)
        s.deferred[i].cb(s.deferred[i].arg);
    return 0;
}
