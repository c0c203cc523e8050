/* `ito dht`: a look at the overlay for people who build on it (UX.md §6). A node of its own, read-only, for one
 * operation; no daemon, no identity. On mainline one instance for each address family, their results together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/config.h"
#include "app/membership.h"
#include "app/node_file.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "crypto/item.h"
#include "crypto/secret.h"
#include "crypto/zone.h"
#include "dht/bencode.h"
#include "dht/dht.h"
#include "io/udp.h"
#include "verb.h"

#define PEERS_ASKED_MAX 64
#define PEERS_FOUND_MAX 256
#define NODES_SHOWN     40
#define CACHE_MAX       65536
#define VALUE_MAX       1000              /* bencoded */
#define BYTES_MAX       996               /* of a byte string in it */
#define LIMIT_NS        (75 * NS_PER_S)   /* everything together; one operation ends after 60 s */
#define SETTLE_NS       (600 * NS_PER_MS) /* `node`: after joining, for neighbours to be known */
#define PUZZLE_TRIES    (1u << 24)

enum what { DO_PING, DO_NODE, DO_FIND, DO_GET, DO_PUT, DO_ANNOUNCE, DO_PEERS, DO_COUNT };

static const struct {
    const char *name;
    int n_args;
    bool is_mainline;
} whats[DO_COUNT] = {
    {"ping", 0, false}, {"node", 0, false},    {"find", 1, false}, {"get", 1, false},
    {"put", 0, false},  {"announce", 1, true}, {"peers", 1, true},
};

struct look;

/* One instance and what came of the operation there. */
struct part {
    struct look *look;
    struct dht *dht;
    bool has_begun, is_done;
    enum err e;
    struct dht_result r;
};

struct look {
    struct cli *cli;
    struct io *io;
    struct udp *udp;
    struct part parts[2];
    unsigned n_parts;
    enum what what;
    bool is_mainline, is_reading_back, is_over;
    ns_t began_at, ends_at, settled_at;
    unsigned n_resolving;
    struct addr asked[PEERS_ASKED_MAX];
    unsigned n_asked;
    uint16_t port; /* announce */
    /* what is looked for or written */
    uint8_t target[DHT_ID_BYTES], key[DHT_KEY_BYTES];
    bool has_key, has_found;
    struct slice salt;
    int64_t min_seq;
    struct dht_value value; /* v in bytes */
    uint8_t bytes[VALUE_MAX];
    int64_t cas;
    bool has_cas, is_read_back;
    struct dht_result put;
    struct addr found[PEERS_FOUND_MAX];
    unsigned n_found;
    struct dht_node nodes[NODES_SHOWN];
    size_t n_nodes;
};

/* --- text */

static const char *hex(const uint8_t *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        sprintf(out + 2 * i, "%02x", bytes[i]);
    return out;
}

static bool unhex(const char *text, uint8_t *out, size_t n)
{
    if (strlen(text) != 2 * n || strspn(text, "0123456789abcdefABCDEF") != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};

        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

static void add_hex(cJSON *o, const char *name, const uint8_t *bytes, size_t n)
{
    char text[2 * VALUE_MAX + 1];

    cJSON_AddStringToObject(o, name, hex(bytes, n, text));
}

static bool is_text(struct slice s)
{
    return memchr(s.data, 0, s.len) == NULL && utf8_valid((const char *)s.data, s.len);
}

/* The content of a byte string; of anything else its bencoding. */
static struct slice content(const struct dht_value *v)
{
    struct slice s;

    return ben_str(v->v, &s) ? s : v->v;
}

/* --- results */

static struct dht_result sum(const struct look *l)
{
    struct dht_result all = {0};

    for (unsigned i = 0; i < l->n_parts; i++) {
        const struct dht_result *r = &l->parts[i].r;

        all.queries += r->queries;
        all.n_nodes += r->n_nodes;
        all.n_found += r->n_found;
        all.n_acks += r->n_acks;
        all.n_refused += r->n_refused;
        all.n_stale += r->n_stale;
        all.n_cas += r->n_cas;
        if (r->last_error != 0)
            all.last_error = r->last_error;
        if (r->n_nodes > 0 && (all.rtts_x100 == 0 || r->rtts_x100 < all.rtts_x100))
            all.rtts_x100 = r->rtts_x100;
    }
    return all;
}

/* ERR_OK when one of them has it; ERR_TIMEOUT only when all have heard nothing. */
static enum err verdict(const struct look *l)
{
    enum err e = ERR_TIMEOUT;

    for (unsigned i = 0; i < l->n_parts; i++)
        if (l->parts[i].is_done && (l->parts[i].e == ERR_OK || e == ERR_TIMEOUT))
            e = l->parts[i].e == ERR_OK ? ERR_OK : l->parts[i].e;
    return e;
}

static void add_result(cJSON *o, const struct dht_result *r)
{
    cJSON_AddNumberToObject(o, "nodes_answered", r->n_nodes);
    cJSON_AddNumberToObject(o, "queries", r->queries);
    cJSON_AddNumberToObject(o, "rtts", r->rtts_x100 / 100.0);
}

static cJSON *begin_json(const struct look *l)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddNumberToObject(o, "v", 1);
    cJSON_AddStringToObject(o, "network", l->is_mainline ? "mainline" : "zone");
    return o;
}

static void end_json(cJSON *o)
{
    char *text = json_print(o);

    puts(text);
    mem_free(text);
    cJSON_Delete(o);
}

static void add_nodes(const struct look *l, cJSON *o)
{
    cJSON *list = cJSON_AddArrayToObject(o, "nodes");
    char text[ADDR_TEXT_BYTES];

    for (size_t i = 0; i < l->n_nodes; i++) {
        cJSON *n = cJSON_CreateObject();

        cJSON_AddStringToObject(n, "addr", addr_print(&l->nodes[i].addr, text));
        add_hex(n, "id", l->nodes[i].id, DHT_ID_BYTES);
        if (!l->is_mainline)
            add_hex(n, "key", l->nodes[i].key, DHT_KEY_BYTES);
        if (l->nodes[i].rtt_ns > 0)
            cJSON_AddNumberToObject(n, "rtt_ms", (double)(l->nodes[i].rtt_ns / NS_PER_US) / 1000);
        cJSON_AddItemToArray(list, n);
    }
}

static void print_nodes(const struct look *l)
{
    char text[ADDR_TEXT_BYTES], id[2 * DHT_ID_BYTES + 1];

    for (size_t i = 0; i < l->n_nodes; i++)
        printf("%s  %s\n", hex(l->nodes[i].id, DHT_ID_BYTES, id), addr_print(&l->nodes[i].addr, text));
}

static int nobody(const struct look *l)
{
    complain(l->n_asked == 0 ? "No address to begin with. Name one with --peer HOST:PORT."
                             : "No node answered. Check the addresses and the network.");
    return EXIT_FAILED;
}

/* What the contacts say that are at an address that was asked. */
static const struct dht_node *node_at(const struct look *l, const struct addr *a)
{
    for (size_t i = 0; i < l->n_nodes; i++)
        if (addr_equal(&l->nodes[i].addr, a))
            return &l->nodes[i];
    return NULL;
}

static int show_ping(const struct look *l)
{
    cJSON *o = begin_json(l), *list = cJSON_AddArrayToObject(o, "peers");
    char text[ADDR_TEXT_BYTES], id[2 * DHT_ID_BYTES + 1];
    unsigned n_ok = 0;

    for (unsigned i = 0; i < l->n_asked; i++) {
        const struct dht_node *n = node_at(l, &l->asked[i]);
        double ms = n != NULL ? (double)(n->rtt_ns / NS_PER_US) / 1000 : 0;
        cJSON *p = cJSON_CreateObject();

        n_ok += n != NULL;
        cJSON_AddStringToObject(p, "addr", addr_print(&l->asked[i], text));
        json_add_str(p, "id", n != NULL ? hex(n->id, DHT_ID_BYTES, id) : NULL);
        if (n != NULL)
            cJSON_AddNumberToObject(p, "rtt_ms", ms);
        else
            cJSON_AddNullToObject(p, "rtt_ms");
        cJSON_AddItemToArray(list, p);
        if (!l->cli->is_json && n != NULL)
            printf("%s  %s  %.1f ms\n", text, id, ms);
        else if (!l->cli->is_json)
            printf("%s  no answer\n", text);
    }
    if (l->cli->is_json)
        end_json(o);
    else
        cJSON_Delete(o);
    return n_ok > 0 ? EXIT_DONE : nobody(l);
}

static int show_node(const struct look *l)
{
    struct dht_stats all = {0}, s;
    char id[2 * DHT_ID_BYTES + 1], seen_text[ADDR_TEXT_BYTES];
    struct addr seen;
    bool has_seen = false;
    unsigned votes;
    cJSON *o;

    for (unsigned i = 0; i < l->n_parts; i++) {
        dht_stats(l->parts[i].dht, &s);
        all.peers += s.peers;
        all.size += s.size;
        all.size_low += s.size_low;
        all.size_high += s.size_high;
        if (!has_seen && (dht_own_address(l->parts[i].dht, ADDR_V4, &seen, &votes) ||
                          dht_own_address(l->parts[i].dht, ADDR_V6, &seen, &votes)))
            has_seen = true;
    }
    if (all.peers == 0)
        return nobody(l);
    hex(dht_id(l->parts[0].dht), DHT_ID_BYTES, id);
    if (!l->cli->is_json) {
        printf("id        %s\naddress   %s\npeers     %u\nnodes     about %u (%u to %u)\n", id,
               has_seen ? addr_print(&seen, seen_text) : "unknown", all.peers, all.size, all.size_low,
               all.size_high);
        return EXIT_DONE;
    }
    o = begin_json(l);
    cJSON_AddStringToObject(o, "id", id);
    json_add_str(o, "address", has_seen ? addr_print(&seen, seen_text) : NULL);
    cJSON_AddNumberToObject(o, "peers", all.peers);
    cJSON_AddNumberToObject(o, "size_est", all.size);
    cJSON_AddNumberToObject(o, "size_low", all.size_low);
    cJSON_AddNumberToObject(o, "size_high", all.size_high);
    add_nodes(l, o);
    end_json(o);
    return EXIT_DONE;
}

static int show_find(const struct look *l)
{
    struct dht_result r = sum(l);
    cJSON *o;

    if (l->n_nodes == 0)
        return nobody(l);
    if (!l->cli->is_json) {
        print_nodes(l);
        return EXIT_DONE;
    }
    o = begin_json(l);
    add_hex(o, "target", l->target, sizeof l->target);
    add_nodes(l, o);
    add_result(o, &r);
    end_json(o);
    return EXIT_DONE;
}

static void add_value(const struct look *l, cJSON *o)
{
    const struct dht_value *v = &l->value;
    struct slice s = content(v), unused;
    char text[VALUE_MAX + 1];

    add_hex(o, "target", l->target, sizeof l->target);
    if (v->is_mutable) {
        add_hex(o, "key", v->k, sizeof v->k);
        cJSON_AddNumberToObject(o, "seq", (double)v->seq);
    }
    if (is_text(s)) {
        memcpy(text, s.data, s.len);
        text[s.len] = '\0';
        cJSON_AddStringToObject(o, "value", text);
    } else {
        add_hex(o, "value_hex", s.data, s.len);
    }
    if (!ben_str(v->v, &unused))
        cJSON_AddBoolToObject(o, "bencoded", true);
}

static int show_get(const struct look *l)
{
    struct dht_result r = sum(l);
    struct slice s = content(&l->value);
    char text[2 * VALUE_MAX + 1];
    cJSON *o;

    if (!l->has_found && r.n_nodes == 0)
        return nobody(l);
    if (!l->has_found) {
        complain("Nothing there. %u nodes were asked.", r.n_nodes);
        return EXIT_NO_SUCH;
    }
    if (!l->cli->is_json) {
        if (is_text(s))
            printf("%.*s\n", (int)s.len, (const char *)s.data);
        else
            puts(hex(s.data, s.len, text));
        if (l->value.is_mutable)
            say(l->cli, "seq %lld, %u queries, %.1f round trips", (long long)l->value.seq, r.queries,
                r.rtts_x100 / 100.0);
        return EXIT_DONE;
    }
    o = begin_json(l);
    add_value(l, o);
    add_result(o, &r);
    end_json(o);
    return EXIT_DONE;
}

/* Why nobody, or not everybody, took it. */
static void say_refused(const struct dht_result *r)
{
    if (r->n_cas > 0)
        complain("%u nodes hold another seq than --cas names.", r->n_cas);
    if (r->n_stale > 0)
        complain("%u nodes hold a value with this seq or a higher one.", r->n_stale);
    if (r->n_acks == 0 && r->n_cas + r->n_stale == 0)
        complain("Nobody stored it; %u nodes refused%s.", r->n_refused,
                 r->last_error == 0 ? " or said nothing" : "");
}

static int show_put(const struct look *l)
{
    const struct dht_result *r = &l->put;
    char text[2 * DHT_KEY_BYTES + 1];
    cJSON *o;

    if (r->n_nodes == 0)
        return nobody(l);
    if (l->cli->is_json) {
        o = begin_json(l);
        add_value(l, o);
        cJSON_AddNumberToObject(o, "stored", r->n_acks);
        cJSON_AddNumberToObject(o, "refused", r->n_refused);
        cJSON_AddNumberToObject(o, "refused_seq", r->n_stale);
        cJSON_AddNumberToObject(o, "refused_cas", r->n_cas);
        cJSON_AddBoolToObject(o, "read_back", l->is_read_back);
        add_result(o, r);
        end_json(o);
    } else if (r->n_acks > 0) {
        puts(l->value.is_mutable ? hex(l->value.k, DHT_KEY_BYTES, text) : hex(l->target, DHT_ID_BYTES, text));
        say(l->cli, "stored at %u nodes, %s", r->n_acks, l->is_read_back ? "read back" : "not found again");
    }
    say_refused(r);
    if (r->n_acks > 0 && !l->is_read_back)
        complain("What lies there now is another value, or nothing.");
    return r->n_acks > 0 && l->is_read_back ? EXIT_DONE : EXIT_FAILED;
}

static int show_announce(const struct look *l)
{
    struct dht_result r = sum(l);
    cJSON *o;

    if (r.n_nodes == 0)
        return nobody(l);
    if (l->cli->is_json) {
        o = begin_json(l);
        add_hex(o, "hash", l->target, sizeof l->target);
        cJSON_AddNumberToObject(o, "stored", r.n_acks);
        cJSON_AddNumberToObject(o, "refused", r.n_refused);
        add_result(o, &r);
        end_json(o);
    } else {
        say(l->cli, "announced at %u nodes", r.n_acks);
    }
    return r.n_acks > 0 ? EXIT_DONE : EXIT_FAILED;
}

static int show_peers(const struct look *l)
{
    struct dht_result r = sum(l);
    char text[ADDR_TEXT_BYTES];
    cJSON *o, *list;

    if (r.n_nodes == 0)
        return nobody(l);
    o = begin_json(l);
    add_hex(o, "hash", l->target, sizeof l->target);
    list = cJSON_AddArrayToObject(o, "peers");
    for (unsigned i = 0; i < l->n_found; i++) {
        cJSON_AddItemToArray(list, cJSON_CreateString(addr_print(&l->found[i], text)));
        if (!l->cli->is_json)
            puts(text);
    }
    add_result(o, &r);
    if (l->cli->is_json)
        end_json(o);
    else
        cJSON_Delete(o);
    if (l->n_found == 0)
        complain("Nobody announced this hash. %u nodes were asked.", r.n_nodes);
    return l->n_found > 0 ? EXIT_DONE : EXIT_NO_SUCH;
}

static int show(const struct look *l)
{
    static int (*const shows[DO_COUNT])(const struct look *) = {
        show_ping, show_node, show_find, show_get, show_put, show_announce, show_peers,
    };

    return shows[l->what](l);
}

/* --- the operation */

static void finish(struct look *l)
{
    l->is_over = true;
    io_stop(l->io);
}

static bool on_value(void *arg, const struct dht_value *v)
{
    struct look *l = ((struct part *)arg)->look;

    if (l->is_reading_back) {
        if (slice_equal(v->v, l->value.v) && v->seq == l->value.seq)
            l->is_read_back = true;
        return l->is_read_back;
    }
    if (l->has_found && v->seq <= l->value.seq)
        return true;
    l->value = *v;
    memcpy(l->bytes, v->v.data, v->v.len);
    l->value.v = slice_of(l->bytes, v->v.len);
    l->has_found = true;
    return true;
}

static void on_peer(void *arg, const struct addr *peer)
{
    struct look *l = ((struct part *)arg)->look;

    if (l->n_found < PEERS_FOUND_MAX)
        l->found[l->n_found++] = *peer;
}

static void begin(struct part *p, ns_t now);

/* A family nobody was met of has nothing to wait for once the other one is done. */
static bool is_waited_for(const struct look *l, const struct part *p)
{
    struct dht_stats s;

    dht_stats(p->dht, &s);
    return !p->is_done && (l->n_parts == 1 || s.peers > 0 || dht_state(p->dht) == DHT_JOINED);
}

static void next(struct look *l, ns_t now)
{
    if (l->is_over)
        return;
    for (unsigned i = 0; i < l->n_parts; i++)
        if (is_waited_for(l, &l->parts[i]))
            return;
    if (l->what != DO_PUT || l->is_reading_back || verdict(l) != ERR_OK) {
        if (l->what == DO_PUT && !l->is_reading_back)
            l->put = sum(l);
        finish(l);
        return;
    }
    l->put = sum(l);
    l->is_reading_back = true;
    for (unsigned i = 0; i < l->n_parts; i++)
        if (l->parts[i].is_done) {
            l->parts[i].is_done = false;
            begin(&l->parts[i], now);
        }
}

static void on_done(void *arg, enum err e, const struct dht_result *result)
{
    struct part *p = arg;

    p->is_done = true;
    p->e = e;
    p->r = *result;
    if (e != ERR_TIMEOUT || p->look->n_parts == 1 || (p->look->parts[0].is_done && p->look->parts[1].is_done))
        next(p->look, io_now());
}

static void on_found(void *arg, const struct dht_node *nodes, size_t n, const struct dht_result *result)
{
    struct part *p = arg;
    struct look *l = p->look;

    for (size_t i = 0; i < n && l->n_nodes < NODES_SHOWN; i++)
        l->nodes[l->n_nodes++] = nodes[i];
    on_done(arg, n > 0 ? ERR_OK : ERR_TIMEOUT, result);
}

static void begin(struct part *p, ns_t now)
{
    struct look *l = p->look;
    uint32_t id = 0;

    p->has_begun = true;
    if (l->is_reading_back || l->what == DO_GET)
        id = dht_get_raw(p->dht, now, l->target, l->has_key ? l->key : NULL, l->salt, l->min_seq, on_value,
                         on_done, p);
    else if (l->what == DO_FIND)
        id = dht_find(p->dht, now, l->target, on_found, p);
    else if (l->what == DO_PUT)
        id = dht_put_raw(p->dht, now, &l->value, l->has_cas ? &l->cas : NULL, on_done, p);
    else if (l->what == DO_ANNOUNCE)
        id = dht_announce(p->dht, now, l->target, l->port, on_done, p);
    else
        id = dht_peers(p->dht, now, l->target, on_peer, on_done, p);
    if (id == 0)
        p->is_done = true;
}

/* `ping` and `node` have no operation: they look at who answered. */
static void look_around(struct look *l, ns_t now)
{
    unsigned n_joining = 0, n_joined = 0;

    for (unsigned i = 0; i < l->n_parts; i++) {
        n_joining += dht_state(l->parts[i].dht) == DHT_JOINING;
        n_joined += dht_state(l->parts[i].dht) == DHT_JOINED;
    }
    if (l->n_resolving > 0 || (n_joining > 0 && n_joined == 0 && now < l->began_at + DHT_JOIN_WAIT_NS))
        return;
    if (l->settled_at == 0)
        l->settled_at = now + (l->what == DO_PING ? 0 : SETTLE_NS);
    if (l->what == DO_PING && now < l->began_at + DHT_JOIN_WAIT_NS / 5) {
        struct dht_node known[PEERS_ASKED_MAX];
        unsigned n_ok = 0;

        for (unsigned i = 0; i < l->n_parts; i++) {
            size_t n = dht_nodes(l->parts[i].dht, known, PEERS_ASKED_MAX);

            for (size_t j = 0; j < n; j++)
                for (unsigned k = 0; k < l->n_asked; k++)
                    n_ok += addr_equal(&known[j].addr, &l->asked[k]);
        }
        if (n_ok < l->n_asked)
            return; /* the others have two seconds */
    }
    if (now < l->settled_at)
        return;
    for (unsigned i = 0; i < l->n_parts; i++)
        l->n_nodes += dht_nodes(l->parts[i].dht, l->nodes + l->n_nodes, NODES_SHOWN - l->n_nodes);
    finish(l);
}

static ns_t turn(void *arg, ns_t now)
{
    struct look *l = arg;
    ns_t at = l->ends_at;

    if (l->is_over)
        return NS_NEVER;
    for (unsigned i = 0; i < l->n_parts; i++)
        if (dht_deadline(l->parts[i].dht) <= now)
            dht_tick(l->parts[i].dht, now);
    if (!l->is_over && (l->what == DO_PING || l->what == DO_NODE)) {
        look_around(l, now);
        at = ns_min(at, now + 50 * NS_PER_MS);
    }
    if (!l->is_over && now >= l->ends_at)
        finish(l);
    for (unsigned i = 0; i < l->n_parts; i++)
        at = ns_min(at, dht_deadline(l->parts[i].dht));
    return at;
}

static void on_udp(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct look *l = arg;

    for (unsigned i = 0; i < l->n_parts && !l->is_over; i++)
        if (dht_input(l->parts[i].dht, now, from, bytes))
            return;
}

/* --- whom to ask */

static void ask(struct look *l, ns_t now, const struct addr *a)
{
    for (unsigned i = 0; i < l->n_asked; i++)
        if (addr_equal(&l->asked[i], a))
            return;
    if (a->port == 0 || l->n_asked == PEERS_ASKED_MAX)
        return;
    l->asked[l->n_asked++] = *a;
    for (unsigned i = 0; i < l->n_parts; i++)
        dht_add_address(l->parts[i].dht, now, a);
}

static void nothing_to_resolve(struct look *l)
{
    if (l->n_resolving > 0 || l->n_asked > 0 || l->is_over)
        return;
    finish(l); /* show() finds nobody */
}

static void on_resolved(void *arg, const char *host, const struct addr *addrs, size_t n)
{
    struct look *l = arg;

    l->n_resolving--;
    if (n == 0)
        say(l->cli, "%s: no address found", host);
    for (size_t i = 0; i < n && !l->is_over; i++)
        ask(l, io_now(), &addrs[i]);
    nothing_to_resolve(l);
}

static void name_peer(struct look *l, const char *host_port)
{
    struct addr a;

    if (addr_parse(host_port, &a) == ERR_OK) {
        ask(l, io_now(), &a);
        return;
    }
    l->n_resolving++;
    io_resolve(l->io, host_port, on_resolved, l);
}

static void name_cached(struct look *l)
{
    uint8_t *text;
    size_t len;
    char *save = NULL;
    struct addr a;

    if (file_read(l->cli->files.peers, CACHE_MAX, &text, &len, NULL) != ERR_OK)
        return;
    for (char *line = strtok_r((char *)text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        if (addr_parse(line, &a) == ERR_OK)
            ask(l, io_now(), &a);
    mem_free(text);
}

/* Those of the command line, else those of the settings. */
static void name_peers(struct look *l, const struct config *settings, const char *const *peers, unsigned n)
{
    enum config_key key = l->is_mainline ? CFG_NET_ROUTERS : CFG_NET_PEERS;

    for (unsigned i = 0; i < n; i++)
        name_peer(l, peers[i]);
    if (n > 0)
        return;
    for (size_t i = 0; i < config_len(settings, key); i++)
        name_peer(l, config_item(settings, key, i));
    if (!l->is_mainline)
        name_cached(l);
}

/* --- the node */

static bool is_near(const char *host_port)
{
    struct addr a;

    return addr_parse(host_port, &a) == ERR_OK && addr_class(&a) != ADDR_GLOBAL;
}

/* In the closed zone of the settings we are the node of this phone, whose key its certificate names: a phone that runs
 * meanwhile proves its address anew afterwards. */
static enum err be_member(const struct look *l, const struct config *settings, struct dht_config *config,
                          struct dht_membership *closed)
{
    struct err_detail detail = {""};
    struct sign_key key = {0};
    uint8_t nonce[PUZZLE_NONCE_BYTES];
    uint32_t until_day;
    enum err e = node_file_read(l->cli->files.node_key, config->seed, nonce, &detail);

    if (e == ERR_OK) {
        sign_key_from_seed(config->seed, &key);
        e = membership_read(settings, config->zone_id, key.pub, closed, &until_day, &detail);
        secret_wipe(&key, sizeof key);
    } else {
        err_set(&detail, e, "This node has no key yet, so no member certificate: ito zone node");
    }
    if (e == ERR_OK && !membership_is_valid(until_day, env_wall_ms(io_env(l->io)), &detail))
        complain("%s", detail.text); /* the clock may be wrong: the others tell */
    if (e != ERR_OK) {
        complain("%s", detail.text);
        return ERR_CONFIG;
    }
    config->closed = closed;
    return ERR_OK;
}

static enum err make_zone(const struct look *l, const struct config *settings, const char *name,
                          struct dht_config *config, struct dht_membership *closed)
{
    bool is_closed = membership_is_closed(settings) && strcmp(name, config_str(settings, CFG_NET_ZONE)) == 0;
    struct sign_key key;
    enum err e = membership_zone_id(settings, name, is_closed, config->zone_id);

    if (e == ERR_OK && is_closed)
        e = be_member(l, settings, config, closed);
    if (e != ERR_OK)
        return e;
    sign_key_from_seed(config->seed, &key);
    e = zone_puzzle_search(config->zone_id, key.pub, config->nonce, PUZZLE_TRIES);
    secret_wipe(&key, sizeof key);
    return e;
}

/* Addresses that are nobody's but ours are asked only when one was named on the command line. */
static enum err make_nodes(struct look *l, const struct config *settings, const char *zone,
                           const char *const *peers, unsigned n)
{
    struct dht_config config = {.profile = l->is_mainline ? DHT_MAINLINE : DHT_ZONE, .is_client = true};
    struct dht_membership closed;
    enum err e = ERR_OK;

    for (unsigned i = 0; i < n; i++)
        config.allow_loopback = config.allow_private |= is_near(peers[i]);
    env_random(io_env(l->io), config.seed, sizeof config.seed);
    if (!l->is_mainline)
        e = make_zone(l, settings, zone, &config, &closed);
    l->n_parts = l->is_mainline && udp_has_v6(l->udp) ? 2 : 1;
    for (unsigned i = 0; e == ERR_OK && i < l->n_parts; i++) {
        if (l->is_mainline)
            config.families = i == 0 ? DHT_V4 : DHT_V6;
        l->parts[i].look = l;
        l->parts[i].dht = dht_create(&config, io_env(l->io));
    }
    if (l->n_parts == 2)
        dht_join_families(l->parts[0].dht, l->parts[1].dht);
    secret_wipe(config.seed, sizeof config.seed);
    return e;
}

static void on_log(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

static int run(struct look *l, const struct config *settings, const char *zone, const char *const *peers,
               unsigned n)
{
    struct udp_config udp = {.v4 = true, .v6 = config_bool(settings, CFG_NET_IPV6), .recv = on_udp, .arg = l};
    struct io_ops ops = {.turn = turn, .log = on_log, .arg = l};
    struct err_detail detail = {""};
    int code = EXIT_FAILED;
    enum err e;

    l->io = io_create();
    io_set_ops(l->io, &ops);
    l->began_at = io_now();
    l->ends_at = l->began_at + LIMIT_NS;
    if (udp_open(l->io, &udp, &l->udp, &detail) != ERR_OK) {
        complain("%s", detail.text);
    } else if (io_set_main_udp(l->io, l->udp), e = make_nodes(l, settings, zone, peers, n), e == ERR_CONFIG) {
        code = EXIT_CONFIG; /* and it said why */
    } else if (e != ERR_OK) {
        complain("ito failed: no node key for this zone. This is a bug.");
    } else {
        name_peers(l, settings, peers, n);
        nothing_to_resolve(l);
        for (unsigned i = 0; i < l->n_parts && l->what != DO_PING && l->what != DO_NODE; i++)
            begin(&l->parts[i], io_now());
        if (!l->is_over)
            io_run(l->io);
        code = show(l);
    }
    for (unsigned i = 0; i < l->n_parts; i++)
        dht_destroy(l->parts[i].dht);
    udp_close(l->udp);
    io_destroy(l->io);
    return code;
}

/* --- the words */

struct words {
    const char *zone, *seed, *value, *value_file, *salt, *seq, *cas, *port;
    bool is_mainline;
    const char *peers[PEERS_ASKED_MAX];
    unsigned n_peers;
};

/* --peer may stand many times; the other options once. */
static bool take_peers(struct cli *cli, int *argc, char **argv, struct words *w)
{
    int kept = 0;

    for (int i = 0; i < *argc; i++) {
        const char *value = NULL;

        if (strcmp(argv[i], "--peer") == 0 && i + 1 < *argc)
            value = argv[++i];
        else if (strncmp(argv[i], "--peer=", 7) == 0)
            value = argv[i] + 7;
        if (value == NULL) {
            argv[kept++] = argv[i];
            continue;
        }
        if (strchr(value, ':') == NULL || w->n_peers == PEERS_ASKED_MAX) {
            usage_error(cli, "Option --peer: \"%.64s\" is not HOST:PORT.", value);
            return false;
        }
        w->peers[w->n_peers++] = value;
    }
    *argc = kept;
    return true;
}

static bool take_number(struct cli *cli, const char *name, const char *text, int64_t *out)
{
    char *end;

    *out = strtoll(text, &end, 10);
    if (text[0] != '\0' && *end == '\0' && *out >= 0)
        return true;
    usage_error(cli, "Option %s: \"%.32s\" is not a whole number from 0 on.", name, text);
    return false;
}

/* The bytes to put, bencoded, to l->bytes. */
static int take_value(struct look *l, const struct words *w)
{
    struct err_detail detail = {""};
    struct slice s = {0};
    uint8_t *file = NULL;
    size_t len = 0;
    struct ben_wr out;

    if ((w->value == NULL) == (w->value_file == NULL))
        return usage_error(l->cli, "What to put? --value TEXT or --value-file FILE.");
    if (w->value_file != NULL) {
        if (file_read(w->value_file, 1u << 20, &file, &len, &detail) != ERR_OK) {
            complain("%s", detail.text);
            return EXIT_FAILED;
        }
        s = slice_of(file, len);
    } else {
        s = slice_str(w->value);
    }
    if (s.len > BYTES_MAX) {
        usage_error(l->cli, "The value has %zu bytes; at most %d fit.", s.len, BYTES_MAX);
        mem_free(file);
        return EXIT_USAGE;
    }
    ben_wr_init(&out, l->bytes, sizeof l->bytes);
    ben_put_str(&out, s);
    l->value.v = ben_wr_done(&out);
    mem_free(file);
    return EXIT_DONE;
}

static int take_put(struct look *l, const struct words *w)
{
    uint8_t seed[32];
    struct sign_key key;
    struct blind_key plain;
    int code = take_value(l, w);

    if (code != EXIT_DONE)
        return code;
    if (w->seed == NULL && !l->is_mainline)
        return usage_error(l->cli, "Values of a zone lie under a key: --seed HEX.");
    if (w->seed != NULL) {
        if (!unhex(w->seed, seed, sizeof seed))
            return usage_error(l->cli, "Option --seed: 64 hexadecimal digits.");
        l->value.is_mutable = l->has_key = true;
        l->value.salt = l->salt;
        l->value.seq = time(NULL);
        if (w->seq != NULL && !take_number(l->cli, "--seq", w->seq, &l->value.seq))
            return EXIT_USAGE;
        sign_key_from_seed(seed, &key);
        blind_none(&key, &plain);
        memcpy(l->value.k, key.pub, sizeof l->value.k);
        memcpy(l->key, key.pub, sizeof l->key);
        bep44_sign(&plain, l->salt, l->value.seq, l->value.v, l->value.sig);
        secret_wipe(&key, sizeof key);
        secret_wipe(&plain, sizeof plain);
        secret_wipe(seed, sizeof seed);
    }
    l->has_cas = w->cas != NULL;
    if (l->has_cas && !take_number(l->cli, "--cas", w->cas, &l->cas))
        return EXIT_USAGE;
    dht_raw_target(&l->value, l->target);
    return EXIT_DONE;
}

/* KEY: 64 digits are a public key, 40 a target; HASH: 40. */
static int take_key(struct look *l, const struct words *w, const char *text)
{
    struct dht_value v = {.is_mutable = true, .salt = l->salt};

    if (unhex(text, l->target, sizeof l->target)) {
        if (l->what == DO_GET && !l->is_mainline)
            return usage_error(l->cli, "Values of a zone are read by their key of 64 hexadecimal digits.");
        return EXIT_DONE;
    }
    if (whats[l->what].is_mainline || !unhex(text, l->key, sizeof l->key))
        return usage_error(l->cli, whats[l->what].is_mainline
                                       ? "HASH has 40 hexadecimal digits."
                                       : "KEY has 64 hexadecimal digits (a key) or 40 (a target).");
    memcpy(v.k, l->key, sizeof v.k);
    dht_raw_target(&v, l->target);
    l->has_key = true;
    (void)w;
    return EXIT_DONE;
}

static int take_words(struct look *l, const struct words *w, int argc, char **argv)
{
    int64_t number = 0;

    for (l->what = 0; l->what < DO_COUNT; l->what++)
        if (argc > 0 && strcmp(argv[0], whats[l->what].name) == 0)
            break;
    if (l->what == DO_COUNT && argc > 0)
        return usage_error(l->cli, "Unknown command \"dht %.32s\".", argv[0]);
    if (l->what == DO_COUNT)
        return usage_error(l->cli, "What? ping, node, find, get, put, announce or peers.");
    if (argc - 1 != whats[l->what].n_args)
        return usage_error(l->cli, "dht %s takes %s.", whats[l->what].name,
                           whats[l->what].n_args == 0   ? "no words"
                           : whats[l->what].is_mainline ? "one HASH"
                                                        : "one KEY");
    if (w->is_mainline && w->zone != NULL)
        return usage_error(l->cli, "Either --zone or --mainline.");
    if (whats[l->what].is_mainline && !w->is_mainline)
        return usage_error(l->cli, "dht %s is for --mainline.", whats[l->what].name);
    l->is_mainline = w->is_mainline;
    if (w->salt != NULL)
        l->salt = slice_str(w->salt);
    if (l->salt.len > 64)
        return usage_error(l->cli, "Option --salt: at most 64 bytes.");
    if (w->port != NULL && (!take_number(l->cli, "--port", w->port, &number) || number > 65535))
        return number > 65535 ? usage_error(l->cli, "Option --port: at most 65535.") : EXIT_USAGE;
    l->port = (uint16_t)number;
    if (l->what == DO_PUT)
        return take_put(l, w);
    if (l->what == DO_GET && w->seq != NULL && !take_number(l->cli, "--seq", w->seq, &l->min_seq))
        return EXIT_USAGE;
    return whats[l->what].n_args == 0 ? EXIT_DONE : take_key(l, w, argv[1]);
}

int verb_dht(struct cli *cli, int argc, char **argv)
{
    struct words w = {0};
    const struct opt opts[] = {
        {"--zone", &w.zone, NULL}, {"--mainline", NULL, &w.is_mainline},
        {"--seed", &w.seed, NULL}, {"--value", &w.value, NULL},
        {"--salt", &w.salt, NULL}, {"--value-file", &w.value_file, NULL},
        {"--seq", &w.seq, NULL},   {"--cas", &w.cas, NULL},
        {"--port", &w.port, NULL},
    };
    struct config_errors errors = {0};
    struct config *settings;
    struct look *l;
    int code;

    if (!take_peers(cli, &argc, argv, &w) || !opt_take(cli, opts, sizeof opts / sizeof *opts, &argc, argv))
        return EXIT_USAGE;
    if (crypto_init() != ERR_OK)
        return EXIT_FAILED;
    settings = config_create();
    l = mem_alloc(sizeof *l);
    l->cli = cli;
    code = take_words(l, &w, argc, argv);
    if (code == EXIT_DONE && config_load(settings, cli->files.config, "config.json", &errors) != ERR_OK) {
        for (unsigned i = 0; i < errors.n; i++)
            complain("%s", errors.lines[i]);
        code = EXIT_CONFIG;
    }
    if (code == EXIT_DONE)
        code = run(l, settings, w.zone != NULL ? w.zone : config_str(settings, CFG_NET_ZONE), w.peers,
                   w.n_peers);
    config_errors_fini(&errors);
    config_destroy(settings);
    mem_free(l);
    return code;
}
