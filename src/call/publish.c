#include "call/publish.h"

#include "base/mem.h"

#define HOUR_NS  (3600 * NS_PER_S)
#define RETRY_NS (5 * NS_PER_S)

/* One item to keep alive: the record (slot 0) or a card. */
struct entry {
    struct publish *owner;
    bool is_used, is_card, is_stale; /* stale: its card is no longer wanted */
    uint8_t X[KEY_BYTES];
    ns_t due_at;
    uint32_t op;          /* put in flight */
    bool puts_next_epoch; /* the put in flight, or next, is for e + 1 */
    unsigned failures;
};

struct publish {
    struct dht *dht;
    const struct keyring *keys;
    const struct env *env;
    struct publish_place place;
    bool has_place;
    struct entry entries[1 + PUBLISH_CARDS_MAX];
    unsigned n_in_flight;
    int64_t last_seq;
    ns_t now;
    struct publish_stats stats;
    publish_stored_cb stored;
    void *stored_arg;
};

struct publish *publish_create(struct dht *dht, const struct keyring *keys, const struct env *env)
{
    struct publish *p = mem_alloc(sizeof *p);

    p->dht = dht;
    p->keys = keys;
    p->env = env;
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++) {
        p->entries[i].owner = p;
        p->entries[i].due_at = NS_NEVER;
    }
    return p;
}

void publish_destroy(struct publish *p)
{
    if (p == NULL)
        return;
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++)
        if (p->entries[i].op != 0)
            dht_cancel(p->dht, p->entries[i].op);
    secret_wipe(p, sizeof *p);
    mem_free(p);
}

void publish_on_stored(struct publish *p, publish_stored_cb cb, void *arg)
{
    p->stored = cb;
    p->stored_arg = arg;
}

void publish_set_place(struct publish *p, ns_t now, const struct publish_place *place)
{
    if (p->has_place && memcmp(&p->place, place, sizeof *place) == 0)
        return;
    p->place = *place;
    p->has_place = true;
    p->stats.is_published = false;
    p->entries[0].is_used = true;
    p->entries[0].puts_next_epoch = false;
    memcpy(p->entries[0].X, p->keys->S, KEY_BYTES);
    p->entries[0].due_at = now + PUBLISH_SETTLE_NS;
}

void publish_keys_changed(struct publish *p, ns_t now)
{
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++) {
        p->entries[i].puts_next_epoch = false;
        if (p->entries[i].is_used)
            p->entries[i].due_at = now;
    }
    memcpy(p->entries[0].X, p->keys->S, KEY_BYTES);
}

static struct entry *card_of(struct publish *p, const uint8_t X[static KEY_BYTES])
{
    for (int i = 1; i <= PUBLISH_CARDS_MAX; i++)
        if (p->entries[i].is_used && secret_equal(p->entries[i].X, X, KEY_BYTES))
            return &p->entries[i];
    return NULL;
}

void publish_set_cards(struct publish *p, ns_t now, const uint8_t (*secrets)[KEY_BYTES], size_t n)
{
    for (int i = 1; i <= PUBLISH_CARDS_MAX; i++)
        p->entries[i].is_stale = true;
    for (size_t i = 0; i < n; i++) {
        struct entry *e = card_of(p, secrets[i]);

        for (int k = 1; k <= PUBLISH_CARDS_MAX && e == NULL; k++) {
            if (p->entries[k].is_used)
                continue;
            e = &p->entries[k];
            e->is_used = e->is_card = true;
            e->puts_next_epoch = false;
            e->failures = 0;
            memcpy(e->X, secrets[i], KEY_BYTES);
            e->due_at = now + PUBLISH_SETTLE_NS;
        }
        if (e != NULL)
            e->is_stale = false;
    }
    for (int i = 1; i <= PUBLISH_CARDS_MAX; i++) {
        struct entry *e = &p->entries[i];

        if (!e->is_used || !e->is_stale)
            continue;
        if (e->op != 0) {
            dht_cancel(p->dht, e->op);
            e->op = 0;
            p->n_in_flight--;
        }
        secret_wipe(e->X, sizeof e->X);
        e->is_used = false;
        e->due_at = NS_NEVER;
    }
}

/* The plain text of the record or a card. */
static size_t write_plain(struct publish *p, const struct entry *e, uint8_t out[static ITEM_PLAIN_MAX])
{
    uint8_t list[LIST_MAX_BYTES];
    struct wr w;
    size_t len = 0;

    wr_init(&w, list, sizeof list);
    device_list_write(&w, &p->keys->list);
    if (e->is_card) {
        struct card_record card = {.S_gen = p->keys->S_gen, .list = wr_done(&w)};

        memcpy(card.S, p->keys->S, KEY_BYTES);
        for (; card.n_relays < p->place.n_relays && card.n_relays < CARD_RELAYS_MAX; card.n_relays++)
            card.relays[card.n_relays] = p->place.relays[card.n_relays];
        if (card_record_write(&card, out, &len) != ERR_OK)
            len = 0;
        secret_wipe(&card, sizeof card);
    } else {
        struct dev_record record = {.issued_s = dht_zone_time_ms(p->dht, p->now) / 1000, .list = wr_done(&w)};

        memcpy(record.D, p->keys->device.pub, KEY_BYTES);
        record.n_relays = p->place.n_relays;
        memcpy(record.relays, p->place.relays, sizeof record.relays);
        record.n_addrs = p->place.n_addrs;
        memcpy(record.addrs, p->place.addrs, sizeof record.addrs);
        if (dev_record_write(&record, out, &len) != ERR_OK)
            len = 0;
    }
    return len;
}

/* After a put: once more for e + 1 near the border, else within the hour. */
static void plan_next(struct entry *e, ns_t now, bool is_ok)
{
    struct publish *p = e->owner;
    const uint8_t *P = e->is_card ? p->keys->identity.pub : p->keys->publish.pub;
    int64_t t_s = dht_zone_time_ms(p->dht, now) / 1000, left = item_epoch_left_s(P, e->X, t_s);

    if (!is_ok) {
        unsigned shift = e->failures < 6 ? e->failures : 6;

        e->failures++;
        e->due_at = now + (RETRY_NS << shift);
        return;
    }
    e->failures = 0;
    if (!e->puts_next_epoch && left <= ITEM_OVERLAP_S) {
        e->puts_next_epoch = true;
        e->due_at = now + NS_PER_S;
        return;
    }
    e->puts_next_epoch = false;
    e->due_at = now + HOUR_NS / 2 + env_random_u32(p->env) % (HOUR_NS / 2 / NS_PER_MS) * NS_PER_MS;
    if (left > ITEM_OVERLAP_S)
        e->due_at = ns_min(e->due_at, now + (ns_t)(left - ITEM_OVERLAP_S) * NS_PER_S);
}

static void on_put(void *arg, enum err err, const struct dht_result *result)
{
    struct entry *e = arg;
    struct publish *p = e->owner;

    e->op = 0;
    p->n_in_flight--;
    p->stats.acks += result->n_acks;
    p->stats.failures += err != ERR_OK;
    plan_next(e, p->now, err == ERR_OK);
    if (!e->is_card && err == ERR_OK) {
        p->stats.is_published = true;
        if (p->stored != NULL)
            p->stored(p->stored_arg);
    }
}

static void put(struct publish *p, struct entry *e)
{
    const struct sign_key *key = e->is_card ? &p->keys->identity : &p->keys->publish;
    uint8_t plain[ITEM_PLAIN_MAX];
    int64_t t_s = dht_zone_time_ms(p->dht, p->now) / 1000;
    uint64_t epoch = item_epoch(key->pub, e->X, t_s) + e->puts_next_epoch;
    size_t len = write_plain(p, e, plain);
    struct item item;

    /* seq rises strictly, also when two puts fall into one second */
    p->last_seq = t_s > p->last_seq ? t_s : p->last_seq + 1;
    e->due_at = NS_NEVER;
    if (len == 0 || item_build(p->env, e->is_card ? ITEM_CARD : ITEM_DEV, key, e->X, epoch, p->last_seq,
                               slice_of(plain, len), &item) != ERR_OK) {
        secret_wipe(plain, sizeof plain);
        plan_next(e, p->now, false);
        return;
    }
    secret_wipe(plain, sizeof plain);
    e->op = dht_put(p->dht, p->now, &item, on_put, e);
    if (e->op == 0) {
        e->due_at = p->now + RETRY_NS;
        return;
    }
    p->n_in_flight++;
    p->stats.puts++;
}

void publish_tick(struct publish *p, ns_t now)
{
    p->now = now;
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++) {
        struct entry *e = &p->entries[i];

        if (!e->is_used || e->due_at > now || p->n_in_flight >= PUBLISH_AT_ONCE)
            continue;
        if (e->is_card && !keyring_is_main(p->keys)) {
            e->due_at = NS_NEVER; /* only the main device signs cards */
            continue;
        }
        if (e->op != 0) {
            dht_cancel(p->dht, e->op);
            e->op = 0;
            p->n_in_flight--;
        }
        put(p, e);
    }
}

ns_t publish_deadline(const struct publish *p)
{
    ns_t at = NS_NEVER;

    if (p->n_in_flight >= PUBLISH_AT_ONCE)
        return NS_NEVER;
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++)
        if (p->entries[i].is_used)
            at = ns_min(at, p->entries[i].due_at);
    return at;
}

void publish_stats(const struct publish *p, struct publish_stats *out)
{
    *out = p->stats;
}
