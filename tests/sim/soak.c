#include "sim/soak.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "nat/stun.h"
#include "sim/prng.h"

#define PAYLOAD      88
#define NEVER        UINT32_MAX
#define TIGHT_EVERY  12 /* hours */
#define RENEW_S      200
#define MAX_KBPS     10000000
#define SERVER       "192.0.2.1:3478"
#define HEAP_SLACK   (64 * 1024)
#define LIFETIMES_S  4000 /* after it nothing that was granted lasts */
#define HOSTILE_EACH 8    /* packets a second */

enum kind { BY_CHANNEL, BY_INDICATION, TO_PEER };

struct end {
    struct addr addr, relayed; /* a plain peer: relayed is its address */
    char nonce[64];
    uint16_t channel;
    uint16_t answer; /* of the last request: 0 success, else its code; NEVER's low half: none */
    uint64_t got;
};

struct call {
    enum kind kind;
    struct end ends[2];
    uint32_t ends_at, renew_at; /* seconds */
    bool is_up;
};

struct soak {
    struct env env;
    struct prng prng;
    ns_t now;
    int64_t wall_ms;
    uint32_t second;
    struct soak_config config;
    struct soak_result *out;
    struct service *svc;
    struct ledger_db *db;
    struct call *calls;
    struct end *asking;
    struct addr server;
    uint8_t key[STUN_SHA1_KEY_BYTES], id[STUN_ID_BYTES];
    uint32_t serial, next_host;
    uint64_t expected; /* serial of the packet under way; 0: none */
    struct end *expects;
};

/* ---- world ---- */

static void world_random(void *world, void *out, size_t n)
{
    struct soak *s = world;
    uint8_t *at = out;

    while (n-- > 0)
        *at++ = (uint8_t)(prng_next(&s->prng) >> 32);
}

static int64_t world_wall(void *world)
{
    return ((struct soak *)world)->wall_ms;
}

static void world_send(void *world, const struct addr *to, struct slice bytes)
{
    (void)world;
    (void)to;
    (void)bytes;
}

static void world_defer(void *world, env_defer_cb cb, void *arg)
{
    (void)world;
    cb(arg);
}

static void world_log(void *world, enum log_level level, const char *line)
{
    (void)world;
    (void)level;
    (void)line;
}

static const struct env_ops world_ops = {.send = world_send,
                                         .random = world_random,
                                         .wall_ms = world_wall,
                                         .defer = world_defer,
                                         .log = world_log};

static uint32_t draw(struct soak *s, uint32_t n)
{
    return (uint32_t)(prng_next(&s->prng) >> 32) % n;
}

/* ---- what the relay sends ---- */

static void arrived(struct soak *s, const struct addr *to, struct slice payload)
{
    uint64_t serial = 0;

    if (payload.len >= sizeof serial)
        memcpy(&serial, payload.data, sizeof serial);
    if (s->expects == NULL || !addr_equal(to, &s->expects->addr) || serial != s->expected ||
        payload.len != PAYLOAD) {
        s->out->misrouted++;
        return;
    }
    s->expects = NULL;
    s->out->got_packets++;
    s->out->got_bytes += payload.len;
}

static void on_answer(struct soak *s, const struct stun_msg *m)
{
    struct end *e = s->asking;

    if (e == NULL || memcmp(m->id, s->id, sizeof m->id) != 0)
        return;
    e->answer = m->cls == STUN_SUCCESS ? 0 : m->error_code;
    if (m->nonce.data != NULL && m->nonce.len < sizeof e->nonce) {
        memcpy(e->nonce, m->nonce.data, m->nonce.len);
        e->nonce[m->nonce.len] = '\0';
    }
    if (m->n_relayed > 0)
        e->relayed = m->relayed[0];
}

static void on_send(void *arg, const struct addr *to, struct slice bytes)
{
    struct soak *s = arg;
    struct slice data;
    struct stun_msg m;
    uint16_t number;

    if (!stun_is_message(bytes)) {
        if (stun_channel_parse(bytes, &number, &data) == ERR_OK)
            arrived(s, to, data);
        else
            s->out->misrouted++;
    } else if (stun_parse(bytes, &m) != ERR_OK) {
        s->out->misrouted++;
    } else if (m.cls == STUN_INDICATION) {
        arrived(s, to, m.data);
    } else {
        on_answer(s, &m);
    }
}

static enum err open_port(void *arg, uint8_t family, uint16_t port, uint32_t handle)
{
    (void)arg;
    (void)family;
    (void)port;
    (void)handle;
    return ERR_OK;
}

static void port_send(void *arg, uint32_t handle, const struct addr *to, struct slice bytes)
{
    (void)handle;
    arrived(arg, to, bytes);
}

static void close_port(void *arg, uint32_t handle)
{
    (void)arg;
    (void)handle;
}

static void session_send(void *arg, uint64_t session_ref, uint8_t chan, struct slice bytes)
{
    (void)arg;
    (void)session_ref;
    (void)chan;
    (void)bytes;
}

/* ---- a call ---- */

/* One request, and its answer on the spot; once more when the nonce was missing or old. True: success. */
static bool ask(struct soak *s, struct end *e, uint16_t method, const struct addr *peer, uint32_t lifetime)
{
    for (int attempt = 0; attempt < 3; attempt++) {
        uint8_t buf[512];
        struct stun_wr w;

        world_random(s, s->id, sizeof s->id);
        stun_begin(&w, buf, sizeof buf, STUN_REQUEST, method, s->id);
        if (method == TURN_ALLOCATE)
            stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
        if (method == TURN_CHANNEL_BIND)
            stun_put_u16(&w, STUN_CHANNEL_NUMBER, e->channel);
        if (peer != NULL)
            stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, peer);
        if (method == TURN_REFRESH)
            stun_put_u32(&w, STUN_LIFETIME, lifetime);
        if (e->nonce[0] != '\0') {
            stun_put(&w, STUN_USERNAME, slice_str("soak"));
            stun_put(&w, STUN_REALM, slice_str("ito"));
            stun_put(&w, STUN_NONCE, slice_str(e->nonce));
            stun_put_integrity(&w, slice_of(s->key, sizeof s->key));
        }
        e->answer = (uint16_t)NEVER;
        s->asking = e;
        service_input(s->svc, s->now, &e->addr, stun_end(&w));
        s->asking = NULL;
        if (e->answer != STUN_UNAUTHENTICATED && e->answer != STUN_STALE_NONCE)
            return e->answer == 0;
    }
    return false;
}

static bool permit(struct soak *s, struct call *c)
{
    bool is_done = true;

    for (int i = 0; i < 2; i++) {
        if (c->kind == TO_PEER && i == 1)
            continue;
        is_done = ask(s, &c->ends[i], c->kind == BY_INDICATION ? TURN_CREATE_PERMISSION : TURN_CHANNEL_BIND,
                      &c->ends[1 - i].relayed, 0) &&
                  is_done;
    }
    c->renew_at = s->second + RENEW_S;
    return is_done;
}

static void begin_call(struct soak *s, struct call *c)
{
    uint32_t kind = draw(s, 100);

    *c = (struct call){.kind = kind < 80 ? BY_CHANNEL : kind < 85 ? BY_INDICATION : TO_PEER};
    c->ends_at = s->second + 20 + draw(s, 320);
    s->out->n_calls++;
    c->is_up = true;
    for (int i = 0; i < 2; i++) {
        uint32_t host = s->next_host++;
        uint8_t ip[4] = {(uint8_t)(11 + (host >> 24) % 100), (uint8_t)(host >> 16), (uint8_t)(host >> 8),
                         (uint8_t)host};

        c->ends[i].addr = addr_v4(ip, (uint16_t)(1024 + draw(s, 60000)));
        c->ends[i].channel = (uint16_t)(0x4000 + draw(s, 0xfff));
        if (c->kind == TO_PEER && i == 1)
            c->ends[i].relayed = c->ends[i].addr;
        else
            c->is_up = ask(s, &c->ends[i], TURN_ALLOCATE, NULL, 0) && c->is_up;
    }
    c->is_up = c->is_up && permit(s, c);
    s->out->n_failed += !c->is_up;
}

static void end_call(struct soak *s, struct call *c)
{
    bool is_polite = draw(s, 10) < 7;

    for (int i = 0; i < 2 && is_polite; i++) {
        if (c->kind != TO_PEER || i == 0)
            ask(s, &c->ends[i], TURN_REFRESH, NULL, 0);
    }
}

static void send_packet(struct soak *s, struct call *c, int from)
{
    struct end *e = &c->ends[from], *to = &c->ends[1 - from];
    uint8_t buf[64 + 256 + 64] = {0}, *datagram = buf + 64, payload[PAYLOAD] = {0};

    s->expected++;
    s->expects = to;
    memcpy(payload, &s->expected, sizeof s->expected);
    s->out->sent_packets++;
    s->out->sent_bytes += PAYLOAD;
    if (c->kind == TO_PEER && from == 1) {
        memcpy(datagram, payload, PAYLOAD);
        service_port_fast(s->svc, s->now, to->relayed.port, &e->addr, datagram, PAYLOAD);
    } else if (c->kind == BY_INDICATION) {
        struct stun_wr w;

        stun_begin(&w, datagram, 256, STUN_INDICATION, TURN_SEND, s->id);
        stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &to->relayed);
        stun_put(&w, STUN_DATA, slice_of(payload, PAYLOAD));
        service_input(s->svc, s->now, &e->addr, stun_end(&w));
    } else {
        stun_channel_header(datagram, e->channel, PAYLOAD);
        memcpy(datagram + STUN_CHANNEL_HEADER, payload, PAYLOAD);
        if (!service_fast(s->svc, s->now, &e->addr, datagram, STUN_CHANNEL_HEADER + PAYLOAD))
            service_input(s->svc, s->now, &e->addr, slice_of(datagram, STUN_CHANNEL_HEADER + PAYLOAD));
    }
    s->expects = NULL;
}

/* Packets that belong to no call. */
static void send_hostile(struct soak *s)
{
    uint8_t ip[4] = {200, (uint8_t)draw(s, 256), (uint8_t)draw(s, 256), 1}, buf[200];
    struct addr from = addr_v4(ip, (uint16_t)draw(s, 65536));
    size_t n = draw(s, sizeof buf);
    struct stun_wr w;

    world_random(s, buf, n);
    if (draw(s, 2) == 0) {
        world_random(s, s->id, sizeof s->id);
        stun_begin(&w, buf, sizeof buf, STUN_REQUEST, (uint16_t)(draw(s, 12)), s->id);
        stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
        n = stun_end(&w).len;
    } else if (n > 0) {
        buf[0] = (uint8_t)(draw(s, 2) == 0 ? draw(s, 4) : 64 + draw(s, 64));
    }
    if (n > 0)
        service_input(s->svc, s->now, &from, slice_of(buf, n));
}

/* ---- the whole ---- */

static size_t heap_in_use(void)
{
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

static void pass(struct soak *s, ns_t dt)
{
    s->now += dt;
    s->wall_ms = 1795000000000 + (int64_t)(s->now / NS_PER_MS);
}

static void set_limit(struct soak *s)
{
    bool is_tight = s->second / 3600 % TIGHT_EVERY == TIGHT_EVERY - 1;
    uint32_t all = s->config.n_calls * s->config.pps * 2 * PAYLOAD * 8 / 1000;

    service_set_limits(s->svc, s->now, s->config.n_calls * 8, is_tight ? all * 9 / 10 + 1 : MAX_KBPS, 0, 10,
                       SERVICE_FOR_ANYONE);
}

static void run_second(struct soak *s)
{
    ns_t step = NS_PER_S / s->config.pps;

    if (s->second % 3600 == 0)
        set_limit(s);
    for (uint32_t i = 0; i < s->config.n_calls; i++) {
        struct call *c = &s->calls[i];

        if (s->second >= c->ends_at) {
            end_call(s, c);
            begin_call(s, c);
        } else if (c->is_up && s->second >= c->renew_at) {
            c->is_up = permit(s, c);
        }
    }
    for (int i = 0; i < HOSTILE_EACH; i++)
        send_hostile(s);
    for (uint32_t k = 0; k < s->config.pps; k++) {
        for (uint32_t i = 0; i < s->config.n_calls; i++) {
            for (int from = 0; from < 2 && s->calls[i].is_up; from++) {
                send_packet(s, &s->calls[i], from);
                pass(s, step / s->config.n_calls / 4);
            }
        }
        s->now += step / 2;
    }
    s->second++;
    pass(s, (ns_t)s->second * NS_PER_S + NS_PER_S - s->now);
    service_tick(s->svc, s->now);
}

static void note_heap(struct soak *s, uint32_t last)
{
    size_t heap = heap_in_use();
    struct soak_result *r = s->out;

    r->heap_peak = heap > r->heap_peak ? heap : r->heap_peak;
    /* Who goes silent stays for ten minutes: the table is full after that. */
    if (s->second > 900 && s->second < last / 4 + 900 && heap > r->heap_early)
        r->heap_early = heap;
    if (s->second > last / 4 * 3 && heap > r->heap_late)
        r->heap_late = heap;
}

static void set_up(struct soak *s)
{
    static const struct service_ops ops = {.send = on_send,
                                           .open_port = open_port,
                                           .port_send = port_send,
                                           .close_port = close_port,
                                           .session_send = session_send};
    static const struct turn_user user = {"soak", "word"};
    static const uint8_t seed[32] = {7};
    struct service_config config = {.node_seed = seed,
                                    .port_min = 10000,
                                    .port_max = 65000,
                                    .turn_users = &user,
                                    .n_turn_users = 1,
                                    .max_calls = s->config.n_calls * 8,
                                    .max_kbps = MAX_KBPS,
                                    .strangers_pct = 10};
    struct err_detail detail;

    prng_seed(&s->prng, s->config.seed);
    s->env = (struct env){.ops = &world_ops, .world = s};
    s->now = NS_PER_S;
    pass(s, 0);
    addr_parse(SERVER, &s->server);
    config.external[0] = s->server;
    stun_long_term_key(slice_str("soak"), slice_str("ito"), slice_str("word"), s->key);
    if (ledger_db_open(":memory:", &s->db, &detail) != ERR_OK)
        abort();
    config.db = s->db;
    s->svc = service_create(&config, &ops, s, &s->env, s->now);
    s->calls = mem_array(s->config.n_calls, sizeof *s->calls);
}

void soak_run(const struct soak_config *config, struct soak_result *out)
{
    struct soak *s = mem_alloc(sizeof *s);
    uint32_t last = config->hours * 3600;
    clock_t began = clock();

    memset(out, 0, sizeof *out);
    s->config = *config;
    s->out = out;
    set_up(s);
    for (uint32_t i = 0; i < config->n_calls; i++)
        begin_call(s, &s->calls[i]);
    while (s->second < last) {
        run_second(s);
        if (s->second % 30 == 0)
            note_heap(s, last);
    }
    for (uint32_t i = 0; i < config->n_calls; i++)
        end_call(s, &s->calls[i]);
    for (uint32_t i = 0; i < LIFETIMES_S; i++) {
        pass(s, NS_PER_S);
        service_tick(s->svc, s->now);
    }
    out->stats = *service_turn_stats(s->svc);
    out->allocations_left = out->stats.allocations;
    out->ports_left = out->stats.ports_open;
    out->real_s = (double)(clock() - began) / CLOCKS_PER_SEC;
    service_destroy(s->svc);
    ledger_db_close(s->db);
    mem_free(s->calls);
    mem_free(s);
}

const char *soak_verdict(const struct soak_result *r)
{
    const struct turn_server_stats *t = &r->stats;

    if (r->n_failed > 0)
        return "calls could not be set up";
    if (r->misrouted > 0)
        return "packets came to the wrong end, or changed";
    if (r->sent_packets == 0 || t->bytes_in != t->bytes + t->bytes_lost)
        return "bytes in are not bytes out and bytes lost";
    if (r->sent_bytes != t->bytes_in)
        return "the relay counts other bytes than came";
    if (r->got_bytes != t->bytes || r->got_packets != t->packets)
        return "the relay counts other bytes than left";
    if (r->sent_packets != r->got_packets + t->lost_rate + t->lost_port)
        return "packets are missing that nobody counted";
    if (r->allocations_left != 0 || r->ports_left != 0)
        return "allocations or ports are left when all lifetimes are over";
    if (r->heap_late > r->heap_early + r->heap_early / 50 + HEAP_SLACK)
        return "memory grows";
    return NULL;
}
