/* A session table with one session that stands: datagrams of any kind must not crash it, establish anything, hand
 * up anything, or draw more bytes than they bring. Authentic datagrams with any plain text go in as well: a piece
 * that parses is written again to the same bytes.
 *
 *   input: steps of mode1 len2 bytes; mode 0 raw, 1 msg1 with its mac1 put right, 2 plain of a data datagram,
 *   3 a second passes */
#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "crypto/session_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t S[32] = {1}, seed_a[32] = {0x10}, seed_b[32] = {0x20};

struct world {
    uint64_t dice;
    struct {
        env_defer_cb cb;
        void *arg;
    } defers[64];
    size_t n_defers;
};

struct end {
    struct sessions *x;
    struct end *other;
    uint8_t out[8][SESSION_DATAGRAM_MAX];
    size_t out_len[8], n_out, bytes_out;
    unsigned n_established, n_messages;
    struct session *last;
};

static struct world world;

static void w_random(void *w, void *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        world.dice = world.dice * 6364136223846793005ull + 1442695040888963407ull;
        ((uint8_t *)out)[i] = (uint8_t)(world.dice >> 56);
    }
    (void)w;
}

static int64_t w_wall(void *w)
{
    (void)w;
    return 1795305600000;
}

static void w_defer(void *w, env_defer_cb cb, void *arg)
{
    (void)w;
    assert(world.n_defers < 64);
    world.defers[world.n_defers].cb = cb;
    world.defers[world.n_defers++].arg = arg;
}

static void w_log(void *w, enum log_level level, const char *line)
{
    (void)w;
    (void)level;
    (void)line;
}

static void end_turn(void)
{
    for (size_t i = 0; i < world.n_defers; i++)
        world.defers[i].cb(world.defers[i].arg);
    world.n_defers = 0;
}

static const struct env_ops env_ops = {.random = w_random, .wall_ms = w_wall, .defer = w_defer, .log = w_log};
static const struct env env = {.ops = &env_ops};
static const struct path via = {.kind = PATH_UDP,
                                .addr = {.family = ADDR_V4, .ip = {192, 0, 2, 1}, .port = 1}};

static void on_send(void *arg, const struct path *to, struct slice datagram)
{
    struct end *e = arg;

    (void)to;
    e->bytes_out += datagram.len;
    if (e->n_out < 8) {
        memcpy(e->out[e->n_out], datagram.data, datagram.len);
        e->out_len[e->n_out++] = datagram.len;
    }
}

static bool on_admit(void *arg, const struct session_hello *hello, const struct path *from)
{
    (void)arg;
    (void)hello;
    (void)from;
    return true;
}

static void on_established(void *arg, struct session *s, ns_t now)
{
    struct end *e = arg;

    (void)now;
    e->n_established++;
    e->last = s;
}

static void on_message(void *arg, struct session *s, uint8_t chan, struct slice msg, ns_t now)
{
    struct end *e = arg;

    (void)s;
    (void)now;
    assert(chan != 0 && msg.len <= SESSION_MESSAGE_MAX);
    e->n_messages++;
}

static void on_closed(void *arg, struct session *s, enum err why, ns_t now)
{
    struct end *e = arg;

    (void)why;
    (void)now;
    if (e->last == s)
        e->last = NULL;
}

static const struct session_ops ops = {.send = on_send,
                                       .admit = on_admit,
                                       .established = on_established,
                                       .message = on_message,
                                       .closed = on_closed};

static void make_end(struct end *e, const uint8_t seed[32], struct sessions_self *self)
{
    struct sessions_config config = {.ops = &ops, .arg = e};
    struct device_entry device = {.slot = 1};
    struct sign_key identity;
    struct dh_key dh;

    *e = (struct end){0};
    sign_key_from_seed(seed, &identity);
    dh_key_from_secret(seed, &dh);
    *self = (struct sessions_self){.n_devices = 1, .n_secrets = 1};
    memcpy(self->identity, identity.pub, 32);
    memcpy(self->devices[0].secret, dh.secret, 32);
    memcpy(self->devices[0].public, dh.pub, 32);
    memcpy(device.D, dh.pub, 32);
    memcpy(device.Q, identity.pub, 32);
    if (cert_make(&identity, 1, &device, seed, self->devices[0].certificate) != ERR_OK)
        abort();
    self->secrets[0].class = SESSION_CONTACT;
    memcpy(self->secrets[0].secret, S, 32);
    e->x = sessions_create(&config, &env);
    if (sessions_set_self(e->x, self) != ERR_OK)
        abort();
}

static void carry(struct end *from, struct end *to, ns_t now)
{
    size_t n = from->n_out;

    from->n_out = 0;
    for (size_t i = 0; i < n; i++)
        sessions_input(to->x, now, &via, slice_of(from->out[i], from->out_len[i]));
    end_turn();
}

/* b is what is fuzzed; a opened a session to it. */
static void connect(struct end *a, struct end *b, ns_t now)
{
    struct session_peer peer = {.class = SESSION_CONTACT};
    struct sessions_self self_a, self_b;
    struct session *s;

    make_end(a, seed_a, &self_a);
    make_end(b, seed_b, &self_b);
    memcpy(peer.responder, self_b.identity, 32);
    memcpy(peer.responder_static, self_b.devices[0].public, 32);
    memcpy(peer.secret, S, 32);
    if (sessions_open(a->x, now, &peer, &via, 1, &s) != ERR_OK)
        abort();
    carry(a, b, now);
    carry(b, a, now);
    carry(a, b, now);
    assert(a->n_established == 1 && b->n_established == 1);
}

static void forge_msg1(struct sessions *x, ns_t now, struct slice bytes)
{
    uint8_t d[HANDSHAKE_MSG1_BYTES] = {HANDSHAKE_MSG1}, digest[32];

    memcpy(d + 4, bytes.data, bytes.len < sizeof d - 4 ? bytes.len : sizeof d - 4);
    handshake_digest(slice_of(d, 456), digest);
    hash_once(16, x->keys[0].mac_key, 32, slice_of(digest, 32), d + 456);
    sessions_input(x, now, &via, slice_of(d, sizeof d));
}

static void authentic(struct end *a, struct end *b, ns_t now, struct slice plain)
{
    struct run *r = a->last->current;
    uint8_t d[SESSION_DATAGRAM_MAX], again[PIECE_PLAIN_MAX];
    struct piece p;
    struct wr w;

    if (plain.len > PIECE_PLAIN_MAX)
        plain.len = PIECE_PLAIN_MAX;
    if (piece_parse(plain, &p) == ERR_OK) {
        assert(piece_write(&p, again) == plain.len);
        assert(memcmp(again, plain.data, plain.len) == 0);
    }
    wr_init(&w, d, sizeof d);
    wr_u32(&w, (uint32_t)HANDSHAKE_DATA << 24);
    wr_u32(&w, r->remote);
    wr_u64(&w, r->n_sent);
    noise_seal(r->keys.send, r->n_sent++, slice_of(d, 16), plain, wr_room(&w, plain.len + 16));
    sessions_input(b->x, now, &via, wr_done(&w));
}

static void step(struct end *a, struct end *b, ns_t *now, uint8_t mode, struct slice bytes)
{
    unsigned n_messages = b->n_messages;

    b->bytes_out = b->n_out = 0;
    switch (mode % 4) {
    case 0:
        sessions_input(b->x, *now, &via, bytes);
        assert(b->bytes_out <= bytes.len && b->n_messages == n_messages);
        break;
    case 1:
        forge_msg1(b->x, *now, bytes);
        assert(b->bytes_out <= HANDSHAKE_MSG1_BYTES && b->n_messages == n_messages);
        break;
    case 2:
        if (a->last != NULL)
            authentic(a, b, *now, bytes);
        break;
    default:
        *now += NS_PER_S;
        sessions_tick(b->x, *now);
        break;
    }
    assert(b->n_established == 1);
    end_turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ns_t now = 1000 * NS_PER_S;
    struct end a, b;
    struct rd r;

    world = (struct world){.dice = 1};
    connect(&a, &b, now);
    rd_init(&r, slice_of(data, size));
    for (unsigned i = 0; i < 64 && rd_left(&r) > 3; i++) {
        uint8_t mode = rd_u8(&r);
        size_t len = rd_u16(&r);

        step(&a, &b, &now, mode, rd_bytes(&r, len < rd_left(&r) ? len : rd_left(&r)));
    }
    sessions_destroy(a.x);
    sessions_destroy(b.x);
    end_turn();
    return 0;
}
