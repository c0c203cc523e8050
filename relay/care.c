#include "relay/care.h"

#include <uthash.h>

#include "base/list.h"
#include "base/mem.h"
#include "relay/dropwatch.h"

/* Kept over restarts: magic8, then for each item and each client whose drops are watched account32 heard8 (wall s) len2 and
 * its KEEP or WATCH message (care_wire.h). */
#define STATE_MAGIC     "itocare1"
#define STATE_ENTRY_MAX (KEY_BYTES + 10 + CARE_MESSAGE_MAX)

#define HOUR_S     3600
#define MINUTE_NS  (60 * NS_PER_S)
#define RETRY_NS   (10 * NS_PER_S) /* doubles */
#define RETRY_MAX  6
#define SPREAD_MS  2000   /* items of one client are not put in one burst */
#define LOADED_MS  120000 /* nor all that a restart found: most of them still lie where they were put */
#define PUT_BYTES  300    /* a query of a put, and as many as there may be ... */
#define PUT_NODES  60 /* ... and copies: 20 in the zone and on mainline. What it took less is given back */
#define PUT_COPIES 40
#define GET_BYTES  600 /* the same of a look-up, answers too */
#define GET_NODES  35
#define BURST_NS   (30 * NS_PER_S)

/* An item we put. */
struct kept {
    struct care *owner;
    struct client *client;
    struct list all;
    uint8_t slot, flags, acks;
    unsigned failures;
    uint32_t req, op;
    int64_t from_s, until_s;
    uint32_t minute_s; /* of the hour, in seconds: when it is put again */
    ns_t due_at;
    struct item item;
};

struct client {
    UT_hash_handle hh_account, hh_session;
    uint8_t account[KEY_BYTES];
    uint64_t session_ref;
    bool is_here, is_watched;
    ns_t left_at, minute_at;
    unsigned n_in_minute, n_once, n_kept, n_gets;
    struct kept *slots[CARE_SLOTS];
};

struct get {
    struct care *owner;
    struct client *client; /* NULL: free */
    uint32_t req, op;
};

/* Reading a drop for somebody. */
struct look {
    struct care *owner;
    struct client *client; /* NULL: free */
    uint32_t req, op;
    uint8_t n; /* BLOBs said */
    uint8_t drop[CARE_DROP_BYTES];
};

struct care {
    struct care_config config;
    struct care_ops ops;
    void *arg;
    const struct env *env;
    struct client *by_account, *by_session;
    struct list kept;
    struct get gets[CARE_GETS];
    struct look looks[CARE_LOOKS];
    struct dropwatch *watched;
    unsigned n_clients, n_items, n_puts;
    struct bucket puts, lookups;
    ns_t now, next_at;
    bool is_changed; /* since care_save() */
    struct care_stats stats;
};

static void on_news(void *arg, const uint8_t account[static KEY_BYTES],
                    const uint8_t drop[static CARE_DROP_BYTES]);
static ns_t on_heard_at(void *arg, const uint8_t account[static KEY_BYTES]);
static void on_watch_over(void *arg, const uint8_t account[static KEY_BYTES]);

struct care *care_create(const struct care_config *config, const struct care_ops *ops, void *arg,
                         const struct env *env)
{
    struct care *c = mem_alloc(sizeof *c);
    struct dropwatch_ops watch_ops = {
        .arg = c, .news = on_news, .heard_at = on_heard_at, .over = on_watch_over};

    c->config = *config;
    c->ops = *ops;
    c->arg = arg;
    c->env = env;
    list_init(&c->kept);
    for (int i = 0; i < CARE_GETS; i++)
        c->gets[i].owner = c;
    for (int i = 0; i < CARE_LOOKS; i++)
        c->looks[i].owner = c;
    c->puts.burst_ns = c->lookups.burst_ns = BURST_NS;
    c->next_at = NS_NEVER;
    care_set_kbps(c, config->kbps);
    c->watched = dropwatch_create(config->dht, &c->lookups, &watch_ops, env);
    return c;
}

void care_set_kbps(struct care *c, uint32_t kbps)
{
    uint32_t half = kbps / 2 > 0 ? kbps / 2 : 1;

    bucket_set(&c->puts, half);
    bucket_set(&c->lookups, half);
}

static void say(struct care *c, const struct client *client, const struct care_msg *m)
{
    uint8_t buf[CARE_MESSAGE_MAX];
    struct slice bytes = care_write(buf, sizeof buf, m);

    if (client->is_here && bytes.len > 0)
        c->ops.say(c->arg, client->session_ref, bytes);
}

static int64_t zone_time_s(const struct care *c)
{
    return dht_zone_time_ms(c->config.dht, c->now) / 1000;
}

static void wake_at(struct care *c, ns_t at)
{
    c->next_at = ns_min(c->next_at, at);
}

static void cancel(struct care *c, uint32_t op)
{
    c->config.items.cancel(c->config.items.arg, op);
}

/* --- clients --- */

static void drop_kept(struct kept *k)
{
    struct client *client = k->client;
    struct care *c = k->owner;

    if (k->op != 0) {
        cancel(c, k->op);
        c->n_puts--;
    }
    if (k->flags & CARE_FLAG_ONCE)
        client->n_once--;
    else
        client->slots[k->slot] = NULL;
    client->n_kept--;
    c->n_items--;
    c->is_changed = true;
    list_remove(&k->all);
    mem_free(k);
}

/* Nothing is done for it, and it is not here. */
static bool is_idle(const struct client *client)
{
    return !client->is_here && client->n_kept == 0 && !client->is_watched;
}

static void drop_client(struct care *c, struct client *client)
{
    if (client->is_here)
        HASH_DELETE(hh_session, c->by_session, client);
    HASH_DELETE(hh_account, c->by_account, client);
    c->n_clients--;
    mem_free(client);
}

void care_destroy(struct care *c)
{
    struct client *client, *next;

    if (c == NULL)
        return;
    for (int i = 0; i < CARE_GETS; i++)
        if (c->gets[i].client != NULL)
            cancel(c, c->gets[i].op);
    for (int i = 0; i < CARE_LOOKS; i++)
        if (c->looks[i].client != NULL)
            dht_cancel(c->config.dht, c->looks[i].op);
    list_each_safe(node, &c->kept)
    {
        drop_kept(list_item(node, struct kept, all));
    }
    HASH_ITER(hh_account, c->by_account, client, next)
    {
        drop_client(c, client);
    }
    dropwatch_destroy(c->watched);
    mem_free(c);
}

static struct client *client_at(struct care *c, const uint8_t account[static KEY_BYTES])
{
    struct client *client;

    HASH_FIND(hh_account, c->by_account, account, KEY_BYTES, client);
    if (client == NULL && c->n_clients < c->config.max_clients) {
        client = mem_alloc(sizeof *client);
        memcpy(client->account, account, KEY_BYTES);
        HASH_ADD(hh_account, c->by_account, account, sizeof client->account, client);
        c->n_clients++;
    }
    return client;
}

static struct client *client_of(struct care *c, uint64_t session_ref, const uint8_t account[static KEY_BYTES])
{
    struct client *client;

    HASH_FIND(hh_session, c->by_session, &session_ref, sizeof session_ref, client);
    if (client != NULL)
        return client;
    client = client_at(c, account);
    if (client == NULL)
        return NULL;
    if (client->is_here)
        HASH_DELETE(hh_session, c->by_session, client);
    client->is_here = true;
    client->session_ref = session_ref;
    HASH_ADD(hh_session, c->by_session, session_ref, sizeof client->session_ref, client);
    return client;
}

static void end_get(struct get *g)
{
    g->client->n_gets--;
    g->client = NULL;
    g->op = 0;
}

void care_closed(struct care *c, ns_t now, uint64_t session_ref)
{
    struct client *client;

    c->now = now;
    HASH_FIND(hh_session, c->by_session, &session_ref, sizeof session_ref, client);
    if (client == NULL)
        return;
    for (int i = 0; i < CARE_GETS; i++) {
        struct get *g = &c->gets[i];

        if (g->client != client)
            continue;
        cancel(c, g->op);
        end_get(g);
    }
    for (int i = 0; i < CARE_LOOKS; i++) {
        if (c->looks[i].client != client)
            continue;
        dht_cancel(c->config.dht, c->looks[i].op);
        c->looks[i].client = NULL;
    }
    HASH_DELETE(hh_session, c->by_session, client);
    client->is_here = false;
    client->left_at = c->ops.heard_at(c->arg, session_ref);
    if (is_idle(client))
        drop_client(c, client);
}

/* --- putting --- */

static size_t most_of_put(const struct kept *k)
{
    return PUT_NODES * PUT_BYTES + (size_t)PUT_COPIES * k->item.v_len;
}

static void give_back(struct bucket *b, size_t taken, size_t used)
{
    if (used < taken)
        bucket_give(b, taken - used);
}

/* An item that only the public DHT took is stored, and put again soon. */
static void on_put(void *arg, enum err e, const struct dht_result *result)
{
    struct kept *k = arg;
    struct care *c = k->owner;
    struct client *client = k->client;
    struct care_msg m = {.type = CARE_KEPT, .req = k->req};
    bool is_once = k->flags & CARE_FLAG_ONCE;

    k->op = 0;
    c->n_puts--;
    give_back(&c->puts, most_of_put(k),
              (size_t)result->queries * PUT_BYTES + (size_t)result->n_acks * k->item.v_len);
    if (e == ERR_OK) {
        int64_t t_s = zone_time_s(c), wait_s = (k->minute_s + HOUR_S - t_s % HOUR_S) % HOUR_S;

        k->failures = 0;
        k->due_at = c->now + (ns_t)(wait_s < 60 ? wait_s + HOUR_S : wait_s) * NS_PER_S;
        c->stats.puts++;
    } else {
        k->due_at = c->now + (RETRY_NS << (k->failures < RETRY_MAX ? k->failures : RETRY_MAX));
        k->failures++;
        c->stats.puts_failed++;
    }
    if (e == ERR_OK || result->n_acks > 0) {
        k->acks = (uint8_t)(result->n_acks < 255 ? result->n_acks : 255);
        m.flags = CARE_FLAG_TAKEN | CARE_FLAG_STORED;
        m.n = k->acks;
    } else {
        m.flags = is_once ? 0 : CARE_FLAG_TAKEN;
        m.why = e == ERR_TIMEOUT ? CARE_WHY_ALONE : CARE_WHY_NOT_FOUND;
    }
    if (is_once)
        drop_kept(k);
    wake_at(c, c->now); /* for the next one */
    say(c, client, &m);
}

static void put(struct care *c, struct kept *k)
{
    k->op = c->config.items.put(c->config.items.arg, c->now, &k->item, on_put, k);
    k->due_at = k->op != 0 ? NS_NEVER : c->now + RETRY_NS;
    c->n_puts += k->op != 0;
    if (k->op == 0)
        bucket_give(&c->puts, most_of_put(k));
}

/* What nobody can find yet goes first, what ends soonest (today's before tomorrow's) then. */
static bool is_more_urgent(const struct kept *a, const struct kept *b)
{
    bool a_is_new = a->acks == 0 && a->failures == 0, b_is_new = b->acks == 0 && b->failures == 0;

    if (a_is_new != b_is_new)
        return a_is_new;
    return a->until_s != b->until_s ? a->until_s < b->until_s : a->due_at < b->due_at;
}

static struct kept *most_urgent(struct care *c)
{
    struct kept *best = NULL;

    list_each(node, &c->kept)
    {
        struct kept *k = list_item(node, struct kept, all);

        if (k->due_at <= c->now && (best == NULL || is_more_urgent(k, best)))
            best = k;
    }
    return best;
}

/* As many of those that are due as our rate allows. */
static void put_due(struct care *c)
{
    struct kept *k;

    while (c->n_puts < CARE_PUTS_AT_ONCE && (k = most_urgent(c)) != NULL) {
        if (!bucket_take(&c->puts, c->now, most_of_put(k))) {
            wake_at(c, bucket_ready_at(&c->puts, c->now) + 1);
            return;
        }
        put(c, k);
    }
}

/* --- messages --- */

static void answer_kept(struct care *c, struct client *client, uint32_t req, uint8_t flags, uint8_t why,
                        uint8_t acks)
{
    struct care_msg m = {.type = CARE_KEPT, .flags = flags, .req = req, .why = why, .n = acks};

    c->stats.refused += why != CARE_WHY_NONE;
    say(c, client, &m);
}

static bool is_same(const struct kept *k, const struct care_msg *m)
{
    return k->item.seq == m->item.seq && k->from_s == m->from_s && k->until_s == m->until_s &&
           k->flags == m->flags && memcmp(k->item.sig, m->item.sig, sizeof k->item.sig) == 0;
}

static bool is_good(const struct care *c, const struct care_msg *m)
{
    int64_t t_s = zone_time_s(c);

    return m->until_s >= t_s && m->from_s <= t_s + CARE_AHEAD_S &&
           m->until_s <= t_s + CARE_AHEAD_S + ITEM_EPOCH_S && item_verify(&m->item) == ERR_OK;
}

static struct kept *repeated_once(struct care *c, const struct client *client, const struct care_msg *m)
{
    list_each(node, &c->kept)
    {
        struct kept *k = list_item(node, struct kept, all);

        if (k->client == client && (k->flags & CARE_FLAG_ONCE) && k->req == m->req)
            return k;
    }
    return NULL;
}

static struct kept *add_kept(struct care *c, struct client *client, const struct care_msg *m)
{
    struct kept *k = mem_alloc(sizeof *k);
    int64_t t_s = zone_time_s(c);

    *k = (struct kept){.owner = c, .client = client, .slot = m->slot, .flags = m->flags, .req = m->req};
    k->from_s = m->from_s;
    k->until_s = m->until_s;
    k->item = m->item;
    k->minute_s = env_random_u32(c->env) % HOUR_S;
    k->due_at = t_s >= k->from_s ? c->now : c->now + (ns_t)(k->from_s - t_s) * NS_PER_S;
    list_append(&c->kept, &k->all);
    client->n_kept++;
    c->n_items++;
    c->is_changed = true;
    if (k->flags & CARE_FLAG_ONCE)
        client->n_once++;
    else
        client->slots[m->slot] = k;
    return k;
}

static void on_keep(struct care *c, struct client *client, const struct care_msg *m)
{
    bool is_once = m->flags & CARE_FLAG_ONCE;
    struct kept *k = is_once ? repeated_once(c, client, m) : client->slots[m->slot];

    if (k != NULL && is_same(k, m)) {
        k->req = m->req;
        answer_kept(c, client, m->req, CARE_FLAG_TAKEN | (k->acks > 0 ? CARE_FLAG_STORED : 0), CARE_WHY_NONE,
                    k->acks);
        return;
    }
    if (!is_good(c, m)) {
        answer_kept(c, client, m->req, 0, CARE_WHY_BAD, 0);
        return;
    }
    if (k != NULL)
        drop_kept(k);
    if (c->n_items >= CARE_ITEMS_MAX || (is_once && client->n_once >= CARE_ONCE_MAX)) {
        answer_kept(c, client, m->req, 0, is_once ? CARE_WHY_BUSY : CARE_WHY_FULL, 0);
        return;
    }
    k = add_kept(c, client, m);
    if (!(k->flags & CARE_FLAG_HERE))
        k->due_at += env_random_u32(c->env) % SPREAD_MS * NS_PER_MS;
    wake_at(c, k->due_at);
    answer_kept(c, client, m->req, CARE_FLAG_TAKEN, CARE_WHY_NONE, 0);
}

static bool on_value(void *arg, const struct item *item)
{
    struct get *g = arg;
    struct care_msg m = {.type = CARE_VALUE, .req = g->req};

    if (item->v_len == 0 || item->v_len > CARE_V_MAX)
        return false;
    m.item = *item;
    say(g->owner, g->client, &m);
    return true;
}

static void on_got(void *arg, enum err e, const struct dht_result *result)
{
    struct get *g = arg;
    struct client *client = g->client;
    struct care_msg m = {.type = CARE_DONE, .req = g->req};

    m.why = e == ERR_OK ? CARE_WHY_NONE : e == ERR_TIMEOUT ? CARE_WHY_ALONE : CARE_WHY_NOT_FOUND;
    m.n = (uint8_t)(result->n_nodes < 255 ? result->n_nodes : 255);
    g->owner->stats.gets_done++;
    give_back(&g->owner->lookups, GET_NODES * GET_BYTES, (size_t)result->queries * GET_BYTES);
    end_get(g);
    say(g->owner, client, &m);
}

static void on_get(struct care *c, struct client *client, const struct care_msg *m)
{
    struct care_msg no = {.type = CARE_DONE, .req = m->req, .why = CARE_WHY_BUSY};
    struct get *g = NULL;

    for (int i = 0; i < CARE_GETS; i++) {
        if (c->gets[i].client == client && c->gets[i].req == m->req)
            return; /* asked again: it is running */
        if (c->gets[i].client == NULL && g == NULL)
            g = &c->gets[i];
    }
    if (g != NULL && client->n_gets < CARE_GETS_PER_CLIENT &&
        bucket_take(&c->lookups, c->now, GET_NODES * GET_BYTES)) {
        g->req = m->req;
        g->op = c->config.items.get(c->config.items.arg, c->now, m->key, m->min_seq, on_value, on_got, g);
        if (g->op != 0) {
            g->client = client;
            client->n_gets++;
            return;
        }
    }
    c->stats.refused++;
    say(c, client, &no);
}

static void on_blob(void *arg, const uint8_t blob[DHT_BLOB_BYTES], const uint8_t nonce[DHT_NONCE_BYTES],
                    uint8_t bits)
{
    struct look *l = arg;
    struct care_msg m = {.type = CARE_BLOB, .req = l->req};

    (void)bits;
    memcpy(m.drop, l->drop, sizeof m.drop);
    memcpy(m.nonce, nonce, sizeof m.nonce);
    memcpy(m.blob, blob, sizeof m.blob);
    l->n += l->n < UINT8_MAX;
    say(l->owner, l->client, &m);
}

static void on_looked(void *arg, enum err e, const struct dht_result *result)
{
    struct look *l = arg;
    struct client *client = l->client;
    struct care_msg m = {
        .type = CARE_DONE, .req = l->req, .why = e == ERR_TIMEOUT ? CARE_WHY_ALONE : CARE_WHY_NONE};

    m.n = l->n;
    give_back(&l->owner->lookups, GET_NODES * GET_BYTES,
              (size_t)result->queries * GET_BYTES + (size_t)result->n_found * CARE_BLOB_BYTES);
    l->client = NULL;
    say(l->owner, client, &m);
}

/* What was found at a watched drop costs no look-up. */
struct fetching {
    struct care *care;
    const struct client *client;
    struct care_msg blob;
    uint8_t n;
};

static void on_fetched(void *arg, const uint8_t nonce[static CARE_NONCE_BYTES],
                       const uint8_t blob[static CARE_BLOB_BYTES])
{
    struct fetching *f = arg;

    memcpy(f->blob.nonce, nonce, sizeof f->blob.nonce);
    memcpy(f->blob.blob, blob, sizeof f->blob.blob);
    f->n++;
    say(f->care, f->client, &f->blob);
}

/* False: it is not watched for them, or over the rate. */
static bool fetch(struct care *c, const struct client *client, const struct care_msg *m)
{
    static const size_t most = (size_t)DROPWATCH_BLOBS * CARE_BLOB_BYTES;
    struct fetching f = {.care = c, .client = client, .blob = {.type = CARE_BLOB, .req = m->req}};
    struct care_msg done = {.type = CARE_DONE, .req = m->req};
    bool is_watched;

    if (!bucket_take(&c->lookups, c->now, most))
        return false;
    memcpy(f.blob.drop, m->drop, sizeof f.blob.drop);
    is_watched = dropwatch_fetch(c->watched, client->account, m->drop, on_fetched, &f);
    give_back(&c->lookups, most, f.n * (size_t)CARE_BLOB_BYTES);
    if (!is_watched)
        return false;
    done.n = f.n;
    say(c, client, &done);
    return true;
}

static void on_look(struct care *c, struct client *client, const struct care_msg *m)
{
    struct care_msg no = {.type = CARE_DONE, .req = m->req, .why = CARE_WHY_BUSY};
    struct look *l = NULL;
    unsigned n = 0;

    if (fetch(c, client, m))
        return;
    for (int i = 0; i < CARE_LOOKS; i++) {
        if (c->looks[i].client == client && c->looks[i].req == m->req)
            return; /* asked again: it is running */
        n += c->looks[i].client == client;
        if (c->looks[i].client == NULL)
            l = &c->looks[i];
    }
    if (l != NULL && n < CARE_LOOKS_PER_CLIENT && bucket_take(&c->lookups, c->now, GET_NODES * GET_BYTES)) {
        l->req = m->req;
        l->n = 0;
        memcpy(l->drop, m->drop, sizeof l->drop);
        l->op = dht_drop_get(c->config.dht, c->now, m->drop, on_blob, on_looked, l);
        if (l->op != 0) {
            l->client = client;
            return;
        }
    }
    c->stats.refused++;
    say(c, client, &no);
}

static void on_watch(struct care *c, struct client *client, const struct care_msg *m)
{
    bool is_over = m->flags & CARE_FLAG_NO_MORE;
    enum care_why why = CARE_WHY_NONE;

    if (is_over)
        dropwatch_stop(c->watched, client->account);
    else
        why = dropwatch_set(c->watched, c->now, c->now, client->account, m);
    if (why == CARE_WHY_NONE) {
        c->is_changed = true;
        client->is_watched = !is_over;
    }
    answer_kept(c, client, m->req, why == CARE_WHY_NONE ? CARE_FLAG_TAKEN : 0, why, 0);
}

static struct client *client_named(const struct care *c, const uint8_t account[static KEY_BYTES])
{
    struct client *client;

    HASH_FIND(hh_account, c->by_account, account, KEY_BYTES, client);
    return client;
}

static void on_news(void *arg, const uint8_t account[static KEY_BYTES],
                    const uint8_t drop[static CARE_DROP_BYTES])
{
    struct care *c = arg;
    const struct client *client = client_named(c, account);
    struct care_msg m = {.type = CARE_NEWS};

    memcpy(m.drop, drop, sizeof m.drop);
    if (client != NULL)
        say(c, client, &m);
}

static void on_watch_over(void *arg, const uint8_t account[static KEY_BYTES])
{
    struct care *c = arg;
    struct client *client = client_named(c, account);

    c->is_changed = true;
    if (client == NULL)
        return;
    client->is_watched = false;
    if (is_idle(client))
        drop_client(c, client);
}

void care_notified(struct care *c, ns_t now, const uint8_t target[static DHT_ID_BYTES])
{
    c->now = now;
    dropwatch_notified(c->watched, now, target);
}

static void on_drop(struct care *c, struct client *client, const struct care_msg *m)
{
    if (client->slots[m->slot] != NULL)
        drop_kept(client->slots[m->slot]);
    answer_kept(c, client, m->req, CARE_FLAG_TAKEN, CARE_WHY_NONE, 0);
}

static bool is_too_much(struct care *c, struct client *client)
{
    if (c->now >= client->minute_at + MINUTE_NS) {
        client->minute_at = c->now;
        client->n_in_minute = 0;
    }
    return ++client->n_in_minute > CARE_PER_MIN;
}

void care_message(struct care *c, ns_t now, uint64_t session_ref, const uint8_t account[static KEY_BYTES],
                  struct slice bytes)
{
    struct client *client;
    struct care_msg m;

    c->now = now;
    if (care_parse(bytes, &m) != ERR_OK) {
        c->stats.malformed++;
        return;
    }
    client = client_of(c, session_ref, account);
    if (client == NULL || is_too_much(c, client)) {
        c->stats.refused++;
        return;
    }
    switch (m.type) {
    case CARE_KEEP:
        on_keep(c, client, &m);
        break;
    case CARE_DROP:
        on_drop(c, client, &m);
        break;
    case CARE_GET:
        on_get(c, client, &m);
        break;
    case CARE_LOOK:
        on_look(c, client, &m);
        break;
    case CARE_WATCH:
        on_watch(c, client, &m);
        break;
    default: /* what only we say */
        c->stats.malformed++;
        break;
    }
}

/* --- time --- */

static ns_t heard_at(const struct care *c, const struct client *client)
{
    return client->is_here ? c->ops.heard_at(c->arg, client->session_ref) : client->left_at;
}

static bool is_over(const struct care *c, const struct kept *k, int64_t t_s)
{
    const struct client *client = k->client;
    return t_s > k->until_s ||
           ((k->flags & CARE_FLAG_HERE) && c->now > heard_at(c, client) + CARE_AFTER_S * NS_PER_S);
}

static ns_t on_heard_at(void *arg, const uint8_t account[static KEY_BYTES])
{
    struct care *c = arg;
    const struct client *client = client_named(c, account);

    return client != NULL ? heard_at(c, client) : 0;
}

void care_tick(struct care *c, ns_t now)
{
    int64_t t_s;

    c->now = now;
    dropwatch_tick(c->watched, now);
    if (now < c->next_at)
        return;
    t_s = zone_time_s(c);
    c->next_at = NS_NEVER;
    list_each_safe(node, &c->kept)
    {
        struct kept *k = list_item(node, struct kept, all);
        struct client *client = k->client;

        if (is_over(c, k, t_s)) {
            drop_kept(k);
            if (is_idle(client))
                drop_client(c, client);
            continue;
        }
        if (k->due_at <= now && t_s < k->from_s)
            k->due_at = now + (ns_t)(k->from_s - t_s) * NS_PER_S;
        if (k->due_at > now)
            wake_at(c, k->due_at);
    }
    put_due(c);
}

/* --- over restarts --- */

static void save_entry(struct care *c, struct wr *w, const struct client *client, const struct care_msg *m)
{
    ns_t heard = heard_at(c, client), age = c->now > heard ? c->now - heard : 0;
    uint8_t buf[CARE_MESSAGE_MAX];
    struct slice msg = care_write(buf, sizeof buf, m);

    wr_bytes(w, client->account, KEY_BYTES);
    wr_u64(w, (uint64_t)(env_wall_ms(c->env) / 1000 - (int64_t)(age / NS_PER_S)));
    wr_u16(w, (uint16_t)msg.len);
    wr_slice(w, msg);
}

struct saving {
    struct care *care;
    struct wr w;
};

static void save_watch(void *arg, const uint8_t account[static KEY_BYTES], const struct care_msg *m)
{
    struct saving *s = arg;

    save_entry(s->care, &s->w, client_named(s->care, account), m);
}

uint8_t *care_save(struct care *c, size_t *len)
{
    size_t size = sizeof STATE_MAGIC + (size_t)(c->n_items + dropwatch_count(c->watched)) * STATE_ENTRY_MAX;
    uint8_t *out = mem_alloc(size);
    struct saving s = {.care = c};

    wr_init(&s.w, out, size);
    wr_bytes(&s.w, STATE_MAGIC, sizeof STATE_MAGIC - 1);
    list_each(node, &c->kept)
    {
        struct kept *k = list_item(node, struct kept, all);
        struct care_msg m = {.type = CARE_KEEP,
                             .flags = k->flags,
                             .req = k->req,
                             .slot = k->slot,
                             .from_s = k->from_s,
                             .until_s = k->until_s};

        if (k->flags & CARE_FLAG_ONCE)
            continue;
        m.item = k->item;
        save_entry(c, &s.w, k->client, &m);
    }
    dropwatch_each(c->watched, save_watch, &s);
    c->is_changed = false;
    *len = wr_len(&s.w);
    return out;
}

bool care_is_changed(const struct care *c)
{
    return c->is_changed;
}

static void load_item(struct care *c, struct client *client, const struct care_msg *m)
{
    struct kept *k;

    if ((m->flags & CARE_FLAG_ONCE) || !is_good(c, m) || c->n_items >= CARE_ITEMS_MAX ||
        client->slots[m->slot] != NULL)
        return;
    k = add_kept(c, client, m);
    k->acks = 1; /* as it was then: those that nobody has yet go first */
    k->due_at += env_random_u32(c->env) % LOADED_MS * NS_PER_MS;
}

static void load_entry(struct care *c, struct slice account, int64_t heard_s, const struct care_msg *m)
{
    int64_t wall_s = env_wall_ms(c->env) / 1000;
    ns_t age = heard_s < wall_s && heard_s > wall_s - CARE_AHEAD_S ? (ns_t)(wall_s - heard_s) * NS_PER_S : 0;
    ns_t at = c->now + env_random_u32(c->env) % LOADED_MS * NS_PER_MS;
    struct client *client;

    if (heard_s <= wall_s - CARE_AHEAD_S || (client = client_at(c, account.data)) == NULL)
        return;
    if (!client->is_here)
        client->left_at = c->now > age ? c->now - age : 0;
    if (m->type == CARE_KEEP)
        load_item(c, client, m);
    else if (m->flags == 0)
        client->is_watched = dropwatch_set(c->watched, c->now, at, client->account, m) == CARE_WHY_NONE;
    if (is_idle(client))
        drop_client(c, client);
}

enum err care_load(struct care *c, ns_t now, struct slice bytes)
{
    struct slice magic;
    struct rd r;

    c->now = now;
    rd_init(&r, bytes);
    magic = rd_bytes(&r, sizeof STATE_MAGIC - 1);
    if (!rd_ok(&r) || memcmp(magic.data, STATE_MAGIC, magic.len) != 0)
        return ERR_PARSE;
    while (rd_left(&r) > 0) {
        struct slice account = rd_bytes(&r, KEY_BYTES), msg;
        int64_t heard_s = (int64_t)rd_u64(&r);
        struct care_msg m;

        msg = rd_bytes(&r, rd_u16(&r));
        if (!rd_ok(&r) || care_parse(msg, &m) != ERR_OK || (m.type != CARE_KEEP && m.type != CARE_WATCH))
            return ERR_PARSE;
        load_entry(c, account, heard_s, &m);
    }
    c->is_changed = false;
    wake_at(c, now);
    return ERR_OK;
}

ns_t care_deadline(const struct care *c)
{
    return ns_min(c->next_at, dropwatch_deadline(c->watched));
}

void care_stats(const struct care *c, struct care_stats *out)
{
    *out = c->stats;
    out->clients = c->n_clients;
    out->items = c->n_items;
    for (int i = 0; i < CARE_GETS; i++)
        out->gets += c->gets[i].client != NULL;
}
