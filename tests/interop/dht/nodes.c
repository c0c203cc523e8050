/* Our side of the mixed bed: nodes of mainline that serve, and clients, each on an address of its own, for bed.py.
 *
 *   nodes ADDR:PORT...        serving nodes; then a line a request on stdin, a line an answer on stdout, both JSON
 *
 * {"id":1,"op":"client","bind":"127.200.1.1","peer":"127.1.0.1:6881","delay_ms":50}   a client; delay: added to each
 *                                                                                     round trip; answered once joined.
 *                          "serves":true: a full node; "beside":N: the IPv6 half of client N
 * {"id":2,"op":"put","client":0,"seed":HEX,"value":HEX,"seq":N,"salt":TEXT,"cas":N,"bad":true}   bad: a wrong signature
 * {"id":3,"op":"put","client":0,"value":HEX}                                          immutable
 * {"id":4,"op":"get","client":0,"key":HEX | "target":HEX,"salt":TEXT}
 * {"id":5,"op":"blind","seed":HEX,"secret":HEX,"epoch":N,"plain":HEX,"seq":N}         makes an item: k, v, sig, target
 * {"id":6,"op":"item_put" | "item_get","client":0,...}                                puts, gets and opens one
 * {"id":7,"op":"announce" | "peers","client":0,"hash":HEX,"port":N}
 * {"id":8,"op":"sign","seed":HEX,"value":HEX,"seq":N,"salt":TEXT}                     of a byte string: k, sig
 * {"id":9,"op":"kill","node":N}                                                       falls silent
 * {"id":10,"op":"stats"} */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "crypto/item.h"
#include "crypto/secret.h"
#include "dht/bencode.h"
#include "dht/dht.h"
#include "io/udp.h"

#define NODES_MAX   64
#define LATER_MAX   4096
#define ASKS_MAX    64
#define LINE_MAX_   16384
#define CLIENT_WAIT (10 * NS_PER_S)

struct later {
    ns_t at;
    struct addr to;
    size_t len;
    uint8_t bytes[1400];
};

struct node {
    struct udp *udp;
    struct dht *dht;
    struct env env;
    bool is_dead;
    ns_t delay;
    struct later *queue; /* a ring: delays are the same for all */
    unsigned head, n;
};

/* A request that is not answered yet. */
struct ask {
    bool is_used;
    double id;
    struct node *node;
    cJSON *answer;
    uint8_t S[32], P[32];
    bool opens, waits_join;
    ns_t until;
};

static struct {
    struct io *io;
    const struct env *env;
    struct node nodes[NODES_MAX];
    unsigned n_nodes, n_servers;
    struct ask asks[ASKS_MAX];
    char line[LINE_MAX_];
    size_t line_len;
} bed; /* a program of one bed */

static void put_hex(cJSON *o, const char *name, const uint8_t *bytes, size_t n)
{
    char *text = mem_alloc(2 * n + 1);

    for (size_t i = 0; i < n; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    cJSON_AddStringToObject(o, name, text);
    mem_free(text);
}

static size_t get_hex(const cJSON *o, const char *name, uint8_t *out, size_t max)
{
    const char *text = json_str(o, name, "");
    size_t n = strlen(text) / 2;

    for (size_t i = 0; i < n && i < max; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};

        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return n < max ? n : max;
}

/* --- the world of one node */

static void on_send(void *world, const struct addr *to, struct slice bytes)
{
    struct node *n = world;
    struct later *l;

    if (n->is_dead)
        return;
    if (n->delay == 0 || n->n == LATER_MAX) {
        udp_send(n->udp, to, bytes);
        return;
    }
    l = &n->queue[(n->head + n->n++) % LATER_MAX];
    *l = (struct later){.at = io_now() + n->delay, .to = *to, .len = bytes.len};
    memcpy(l->bytes, bytes.data, bytes.len);
}

static void on_random(void *world, void *out, size_t n)
{
    (void)world;
    env_random(bed.env, out, n);
}

static int64_t on_wall(void *world)
{
    (void)world;
    return env_wall_ms(bed.env);
}

static void on_defer(void *world, env_defer_cb cb, void *arg)
{
    (void)world;
    env_defer(bed.env, cb, arg);
}

static void on_log(void *world, enum log_level level, const char *line)
{
    (void)world, (void)level, (void)line;
}

static void on_udp(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct node *n = arg;

    if (!n->is_dead)
        dht_input(n->dht, now, from, bytes);
}

static struct node *make_node(const char *bind, bool is_client)
{
    static const struct env_ops ops = {
        .send = on_send, .random = on_random, .wall_ms = on_wall, .defer = on_defer, .log = on_log};
    struct node *n = &bed.nodes[bed.n_nodes];
    struct dht_config config = {
        .profile = DHT_MAINLINE, .is_client = is_client, .allow_loopback = true, .allow_private = true};
    struct udp_config udp = {.recv = on_udp, .arg = n};
    struct err_detail detail = {""};
    enum err e = addr_parse(bind, &udp.bind);

    udp.v6 = udp.bind.family == ADDR_V6;
    udp.v4 = !udp.v6;
    config.families = udp.v6 ? DHT_V6 : DHT_V4;
    if (bed.n_nodes == NODES_MAX || e != ERR_OK || udp_open(bed.io, &udp, &n->udp, &detail) != ERR_OK) {
        fprintf(stderr, "nodes: %s: %s\n", bind, detail.text);
        exit(1);
    }
    bed.n_nodes++;
    n->env = (struct env){.ops = &ops, .world = n};
    env_random(bed.env, config.seed, sizeof config.seed);
    n->dht = dht_create(&config, &n->env);
    return n;
}

/* --- answers */

static void reply(struct ask *a)
{
    char *text;

    cJSON_AddNumberToObject(a->answer, "id", a->id);
    text = json_print(a->answer);
    puts(text);
    fflush(stdout);
    mem_free(text);
    cJSON_Delete(a->answer);
    memset(a, 0, sizeof *a);
}

static void on_done(void *arg, enum err e, const struct dht_result *r)
{
    struct ask *a = arg;

    cJSON_AddStringToObject(a->answer, "err", err_name(e));
    cJSON_AddNumberToObject(a->answer, "stored", r->n_acks);
    cJSON_AddNumberToObject(a->answer, "refused", r->n_refused);
    cJSON_AddNumberToObject(a->answer, "stale", r->n_stale);
    cJSON_AddNumberToObject(a->answer, "cas", r->n_cas);
    cJSON_AddNumberToObject(a->answer, "inferred", r->n_inferred);
    cJSON_AddNumberToObject(a->answer, "queries", r->queries);
    cJSON_AddNumberToObject(a->answer, "nodes", r->n_nodes);
    cJSON_AddNumberToObject(a->answer, "took_ms", (double)r->took_ns / 1e6);
    cJSON_AddNumberToObject(a->answer, "last_error", r->last_error);
    reply(a);
}

static bool on_value(void *arg, const struct dht_value *v)
{
    struct ask *a = arg;

    cJSON_DeleteItemFromObject(a->answer, "v");
    cJSON_DeleteItemFromObject(a->answer, "seq");
    put_hex(a->answer, "v", v->v.data, v->v.len);
    cJSON_AddNumberToObject(a->answer, "seq", (double)v->seq);
    return true;
}

static bool on_item(void *arg, const struct item *item)
{
    struct ask *a = arg;
    uint8_t plain[ITEM_PLAIN_MAX];
    size_t n;

    if (item_open(a->S, a->P, slice_of(item->v, item->v_len), plain, &n) != ERR_OK)
        return false;
    cJSON_DeleteItemFromObject(a->answer, "plain");
    put_hex(a->answer, "plain", plain, n);
    return true;
}

static void on_peer(void *arg, const struct addr *peer)
{
    struct ask *a = arg;
    char text[ADDR_TEXT_BYTES];

    cJSON_AddItemToArray(cJSON_GetObjectItem(a->answer, "peers"), cJSON_CreateString(addr_print(peer, text)));
}

/* --- requests */

static void make_key(const cJSON *q, struct sign_key *key)
{
    uint8_t seed[32] = {0};

    get_hex(q, "seed", seed, sizeof seed);
    sign_key_from_seed(seed, key);
}

static void put_value(struct ask *a, const cJSON *q, ns_t now)
{
    uint8_t raw[1100], bytes[1000];
    struct dht_value v = {.is_mutable = cJSON_HasObjectItem(q, "seed")};
    size_t n = get_hex(q, "value", raw, sizeof raw);
    int64_t cas = (int64_t)json_num(q, "cas", 0);
    struct sign_key key;
    struct blind_key plain;
    struct ben_wr w;

    ben_wr_init(&w, bytes, sizeof bytes);
    ben_put_str(&w, slice_of(raw, n));
    v.v = ben_wr_done(&w);
    if (v.is_mutable) {
        make_key(q, &key);
        blind_none(&key, &plain);
        v.salt = slice_str(json_str(q, "salt", ""));
        v.seq = (int64_t)json_num(q, "seq", 1);
        memcpy(v.k, key.pub, sizeof v.k);
        bep44_sign(&plain, v.salt, v.seq, v.v, v.sig);
        v.sig[0] ^= json_bool(q, "bad", false);
    }
    if (dht_put_raw(a->node->dht, now, &v, cJSON_HasObjectItem(q, "cas") ? &cas : NULL, on_done, a) == 0) {
        cJSON_AddStringToObject(a->answer, "err", "not started");
        reply(a);
    }
}

static void get_value(struct ask *a, const cJSON *q, ns_t now)
{
    struct dht_value v = {.is_mutable = true, .salt = slice_str(json_str(q, "salt", ""))};
    bool has_key = get_hex(q, "key", v.k, sizeof v.k) == 32;
    uint8_t target[20];

    if (has_key)
        dht_raw_target(&v, target);
    else
        get_hex(q, "target", target, sizeof target);
    dht_get_raw(a->node->dht, now, target, has_key ? v.k : NULL, v.salt, 0, on_value, on_done, a);
}

static void blind(struct ask *a, const cJSON *q, ns_t now, const char *op)
{
    uint8_t plain[ITEM_PLAIN_MAX], target[20], v[ITEM_V_MAX + 8];
    uint64_t epoch = (uint64_t)json_num(q, "epoch", 1);
    struct sign_key key;
    struct item item;
    struct ben_wr w;
    size_t n = get_hex(q, "plain", plain, sizeof plain);

    make_key(q, &key);
    get_hex(q, "secret", a->S, sizeof a->S);
    item_blind_public(ITEM_DEV, key.pub, a->S, epoch, a->P);
    if (strcmp(op, "item_get") == 0) {
        dht_get(a->node->dht, now, a->P, 0, on_item, on_done, a);
        return;
    }
    item_build(bed.env, ITEM_DEV, &key, a->S, epoch, (int64_t)json_num(q, "seq", 1), slice_of(plain, n),
               &item);
    ben_wr_init(&w, v, sizeof v);
    ben_put_str(&w, slice_of(item.v, item.v_len));
    dht_target(item.k, target);
    put_hex(a->answer, "k", item.k, sizeof item.k);
    put_hex(a->answer, "base", key.pub, sizeof key.pub);
    put_hex(a->answer, "value", item.v, item.v_len);
    put_hex(a->answer, "sig", item.sig, sizeof item.sig);
    put_hex(a->answer, "target", target, sizeof target);
    if (strcmp(op, "item_put") == 0)
        dht_put(a->node->dht, now, &item, on_done, a);
    else
        reply(a);
}

static void sign(struct ask *a, const cJSON *q)
{
    uint8_t raw[1100], v[1100], sig[64];
    size_t n = get_hex(q, "value", raw, sizeof raw);
    char head[16];
    struct slice salt = slice_str(json_str(q, "salt", ""));
    struct sign_key key;
    struct blind_key plain;
    uint8_t text[2048];
    int at = 0;

    /* Not bep44_sign(): it refuses what is too long, and this is for showing that others do. */
    make_key(q, &key);
    blind_none(&key, &plain);
    snprintf(head, sizeof head, "%zu:", n);
    memcpy(v, head, strlen(head));
    memcpy(v + strlen(head), raw, n);
    if (salt.len > 0) {
        at = snprintf((char *)text, sizeof text, "4:salt%zu:", salt.len);
        memcpy(text + at, salt.data, salt.len);
        at += (int)salt.len;
    }
    at += snprintf((char *)text + at, sizeof text - (size_t)at, "3:seqi%llde1:v",
                   (long long)json_num(q, "seq", 1));
    memcpy(text + at, v, n + strlen(head));
    blind_sign(&plain, slice_of(text, (size_t)at + n + strlen(head)), sig);
    put_hex(a->answer, "k", key.pub, sizeof key.pub);
    put_hex(a->answer, "sig", sig, sizeof sig);
    reply(a);
}

static void client(struct ask *a, const cJSON *q, ns_t now)
{
    char bind[64];
    struct addr peer;

    snprintf(bind, sizeof bind, "%s:6881", json_str(q, "bind", ""));
    a->node = make_node(bind, !json_bool(q, "serves", false));
    if (cJSON_HasObjectItem(q, "beside"))
        dht_join_families(bed.nodes[bed.n_servers + (unsigned)json_num(q, "beside", 0)].dht, a->node->dht);
    a->node->delay = (ns_t)(json_num(q, "delay_ms", 0) * 1e6);
    if (a->node->delay > 0)
        a->node->queue = mem_array(LATER_MAX, sizeof *a->node->queue);
    if (addr_parse(json_str(q, "peer", ""), &peer) == ERR_OK)
        dht_add_address(a->node->dht, now, &peer);
    cJSON_AddNumberToObject(a->answer, "client", (double)(a->node - bed.nodes - bed.n_servers));
    a->waits_join = true;
    a->until = now + CLIENT_WAIT;
}

static void stats(struct ask *a)
{
    cJSON *list = cJSON_AddArrayToObject(a->answer, "nodes");

    for (unsigned i = 0; i < bed.n_nodes; i++) {
        cJSON *o = cJSON_CreateObject();
        struct dht_stats s;

        dht_stats(bed.nodes[i].dht, &s);
        cJSON_AddNumberToObject(o, "peers", s.peers);
        cJSON_AddNumberToObject(o, "items", s.items);
        cJSON_AddNumberToObject(o, "announced", s.announced);
        cJSON_AddNumberToObject(o, "bad", (double)s.bad_packets);
        cJSON_AddNumberToObject(o, "paced", (double)s.paced);
        put_hex(o, "node", dht_id(bed.nodes[i].dht), 20);
        cJSON_AddItemToArray(list, o);
    }
    reply(a);
}

static void start(struct ask *a, const cJSON *q, const char *op, ns_t now)
{
    uint8_t hash[20] = {0};

    get_hex(q, "hash", hash, sizeof hash);
    if (strcmp(op, "put") == 0)
        put_value(a, q, now);
    else if (strcmp(op, "get") == 0)
        get_value(a, q, now);
    else if (strcmp(op, "blind") == 0 || strncmp(op, "item_", 5) == 0)
        blind(a, q, now, op);
    else if (strcmp(op, "sign") == 0)
        sign(a, q);
    else if (strcmp(op, "client") == 0)
        client(a, q, now);
    else if (strcmp(op, "announce") == 0)
        dht_announce(a->node->dht, now, hash, (uint16_t)json_num(q, "port", 0), on_done, a);
    else if (strcmp(op, "peers") == 0)
        dht_peers(a->node->dht, now, hash, (cJSON_AddArrayToObject(a->answer, "peers"), on_peer), on_done, a);
    else if (strcmp(op, "add") == 0)
        reply(a);
    else if (strcmp(op, "stats") == 0)
        stats(a);
    else
        reply(a);
}

static void request(const char *line, ns_t now)
{
    cJSON *q = cJSON_Parse(line);
    const char *op = json_str(q, "op", "");
    struct ask *a = NULL;
    struct addr peer;

    for (unsigned i = 0; i < ASKS_MAX && a == NULL; i++)
        if (!bed.asks[i].is_used)
            a = &bed.asks[i];
    if (q == NULL || a == NULL) {
        fprintf(stderr, "nodes: bad request: %s\n", line);
        exit(1);
    }
    *a = (struct ask){.is_used = true, .id = json_num(q, "id", 0), .answer = cJSON_CreateObject()};
    if (cJSON_HasObjectItem(q, "client"))
        a->node = &bed.nodes[bed.n_servers + (unsigned)json_num(q, "client", 0)];
    if (strcmp(op, "kill") == 0)
        bed.nodes[(unsigned)json_num(q, "node", 0)].is_dead = true;
    if (strcmp(op, "add") == 0 && addr_parse(json_str(q, "peer", ""), &peer) == ERR_OK)
        for (unsigned i = 0; i < bed.n_servers; i++)
            dht_add_address(bed.nodes[i].dht, now, &peer);
    start(a, q, op, now);
    cJSON_Delete(q);
}

static void on_stdin(void *arg, ns_t now)
{
    ssize_t got = read(0, bed.line + bed.line_len, sizeof bed.line - 1 - bed.line_len);
    char *end;

    (void)arg;
    if (got <= 0) {
        io_unwatch_fd(bed.io, 0);
        io_stop(bed.io);
        return;
    }
    bed.line_len += (size_t)got;
    bed.line[bed.line_len] = '\0';
    while ((end = strchr(bed.line, '\n')) != NULL) {
        *end = '\0';
        request(bed.line, now);
        bed.line_len -= (size_t)(end + 1 - bed.line);
        memmove(bed.line, end + 1, bed.line_len + 1);
    }
}

static ns_t turn(void *arg, ns_t now)
{
    ns_t at = NS_NEVER;

    (void)arg;
    for (unsigned i = 0; i < bed.n_nodes; i++) {
        struct node *n = &bed.nodes[i];

        while (n->n > 0 && n->queue[n->head].at <= now) {
            struct later *l = &n->queue[n->head];

            udp_send(n->udp, &l->to, slice_of(l->bytes, l->len));
            n->head = (n->head + 1) % LATER_MAX;
            n->n--;
        }
        if (n->n > 0)
            at = ns_min(at, n->queue[n->head].at);
        if (n->is_dead)
            continue;
        if (dht_deadline(n->dht) <= now)
            dht_tick(n->dht, now);
        at = ns_min(at, dht_deadline(n->dht));
    }
    for (unsigned i = 0; i < ASKS_MAX; i++) {
        struct ask *a = &bed.asks[i];

        if (a->is_used && a->waits_join && (now >= a->until || dht_state(a->node->dht) == DHT_JOINED))
            reply(a);
    }
    return at;
}

static void log_line(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

int main(int argc, char **argv)
{
    struct io_ops ops = {.turn = turn, .log = log_line};

    if (crypto_init() != ERR_OK)
        return 1;
    bed.io = io_create();
    io_set_ops(bed.io, &ops);
    bed.env = io_env(bed.io);
    for (int i = 1; i < argc; i++)
        make_node(argv[i], false);
    bed.n_servers = bed.n_nodes;
    io_watch_fd(bed.io, 0, on_stdin, NULL);
    io_run(bed.io);
    return 0;
}
