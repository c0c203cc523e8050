#include "call/publish.h"

#include "base/mem.h"

#define HOUR_NS        (3600 * NS_PER_S)
#define RETRY_NS       (5 * NS_PER_S) /* doubles */
#define RETRY_MAX      6
#define CHECK_SOON_NS  (3 * NS_PER_S)   /* after it was stored */
#define CHECK_AGAIN_NS (20 * NS_PER_S)  /* after it was not found; doubles */
#define TEND_NS        (600 * NS_PER_S) /* clocks jump */
#define ONCE_TRY_NS    (60 * NS_PER_S)  /* a handle not answered by then is void */

/* One record to keep alive: `dev` (place 0) or a card. */
struct entry {
    struct publish *owner;
    bool is_used, is_card, is_stale; /* stale: its card is no longer wanted */
    uint8_t X[KEY_BYTES];
    /* by our own node */
    ns_t due_at;
    uint32_t op;          /* put in flight */
    int64_t seq;          /* of it */
    bool puts_next_epoch; /* the put in flight, or next, is for e + 1 */
    unsigned failures;
    /* through caretakers, when there is no room in the table */
    bool is_kept;
    ns_t once_at;
};

struct row {
    struct publish_kept out;
    const struct entry *entry;
    uint64_t epoch, content;
};

struct publish {
    struct dht *dht;
    const struct keyring *keys;
    const struct env *env;
    struct items_ops items; /* .get NULL: none */
    struct publish_place place;
    bool has_place, is_tended, puts_itself;
    struct entry entries[1 + PUBLISH_CARDS_MAX];
    struct row rows[CARE_SLOTS];
    ns_t tend_at;  /* the table is to be looked through */
    ns_t place_at; /* the place may be told */
    uint32_t version, keys_version, place_version;
    unsigned n_in_flight;
    int64_t last_seq;
    int64_t record_seq; /* of the `dev` item last stored for this epoch */
    uint64_t record_epoch;
    ns_t check_at;
    uint32_t check_op;
    unsigned n_missed; /* in a row */
    bool is_found;
    ns_t now;
    struct publish_stats stats;
};

struct publish *publish_create(struct dht *dht, const struct keyring *keys, const struct env *env)
{
    struct publish *p = mem_alloc(sizeof *p);

    p->dht = dht;
    p->keys = keys;
    p->env = env;
    p->tend_at = p->check_at = NS_NEVER;
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++) {
        p->entries[i].owner = p;
        p->entries[i].due_at = p->entries[i].once_at = NS_NEVER;
    }
    return p;
}

static void stop_put(struct publish *p, struct entry *e)
{
    if (e->op == 0)
        return;
    dht_cancel(p->dht, e->op);
    e->op = 0;
    p->n_in_flight--;
}

static void stop_check(struct publish *p)
{
    if (p->check_op != 0)
        p->items.cancel(p->items.arg, p->check_op);
    p->check_op = 0;
}

void publish_destroy(struct publish *p)
{
    if (p == NULL)
        return;
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++)
        stop_put(p, &p->entries[i]);
    stop_check(p);
    secret_wipe(p, sizeof *p);
    mem_free(p);
}

void publish_set_items(struct publish *p, const struct items_ops *items)
{
    p->items = *items;
}

static int64_t zone_time_s(const struct publish *p)
{
    return dht_zone_time_ms(p->dht, p->now) / 1000;
}

static const uint8_t *base_of(const struct publish *p, const struct entry *e)
{
    return e->is_card ? p->keys->identity.pub : p->keys->publish.pub;
}

static void look_soon(struct publish *p, ns_t at)
{
    if (p->is_tended)
        p->tend_at = ns_min(p->tend_at, at);
}

void publish_set_ways(struct publish *p, ns_t now, bool is_tended, bool puts_itself)
{
    if (is_tended && !p->is_tended)
        p->tend_at = now;
    if (!is_tended) {
        p->tend_at = NS_NEVER;
        memset(p->rows, 0, sizeof p->rows);
        for (int i = 0; i <= PUBLISH_CARDS_MAX; i++)
            p->entries[i].is_kept = false;
    }
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++) {
        struct entry *e = &p->entries[i];

        if (puts_itself && !p->puts_itself && e->is_used)
            e->due_at = now + PUBLISH_SETTLE_NS;
        if (!puts_itself)
            stop_put(p, e);
    }
    p->is_tended = is_tended;
    p->puts_itself = puts_itself;
}

void publish_set_place(struct publish *p, ns_t now, const struct publish_place *place)
{
    if (p->has_place && memcmp(&p->place, place, sizeof *place) == 0)
        return;
    p->place = *place;
    p->place_version++;
    p->has_place = true;
    p->stats.is_published = p->stats.is_read_back = false;
    p->entries[0].is_used = true;
    p->entries[0].puts_next_epoch = false;
    memcpy(p->entries[0].X, p->keys->S, KEY_BYTES);
    p->place_at = now + (place->n_relays + place->n_addrs > 0 ? PUBLISH_SETTLE_NS : PUBLISH_EMPTY_NS);
    p->entries[0].due_at = p->place_at;
    look_soon(p, p->place_at);
}

void publish_refresh(struct publish *p, ns_t now)
{
    p->place_version++;
    p->stats.is_published = p->stats.is_read_back = false;
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++)
        if (p->entries[i].is_used)
            p->entries[i].due_at = p->entries[i].once_at = now + PUBLISH_SETTLE_NS;
    if (p->entries[0].is_used && p->entries[0].due_at < p->place_at)
        p->entries[0].due_at = p->place_at;
    look_soon(p, now + PUBLISH_SETTLE_NS);
}

void publish_keys_changed(struct publish *p, ns_t now)
{
    p->keys_version++;
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++) {
        p->entries[i].puts_next_epoch = false;
        if (p->entries[i].is_used)
            p->entries[i].due_at = p->entries[i].once_at = now;
    }
    memcpy(p->entries[0].X, p->keys->S, KEY_BYTES);
    p->stats.is_published = p->stats.is_read_back = false;
    look_soon(p, now);
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
    bool is_news = false;

    for (int i = 1; i <= PUBLISH_CARDS_MAX; i++)
        p->entries[i].is_stale = true;
    for (size_t i = 0; i < n; i++) {
        struct entry *e = card_of(p, secrets[i]);

        for (int k = 1; k <= PUBLISH_CARDS_MAX && e == NULL; k++) {
            if (p->entries[k].is_used)
                continue;
            e = &p->entries[k];
            *e = (struct entry){.owner = p, .is_used = true, .is_card = true};
            memcpy(e->X, secrets[i], KEY_BYTES);
            e->due_at = e->once_at = now + PUBLISH_SETTLE_NS;
            is_news = true;
        }
        if (e != NULL)
            e->is_stale = false;
    }
    for (int i = 1; i <= PUBLISH_CARDS_MAX; i++) {
        struct entry *e = &p->entries[i];

        if (!e->is_used || !e->is_stale)
            continue;
        stop_put(p, e);
        secret_wipe(e->X, sizeof e->X);
        e->is_used = false;
        e->due_at = e->once_at = NS_NEVER;
        is_news = true;
    }
    if (is_news)
        look_soon(p, now + PUBLISH_SETTLE_NS);
}

/* --- what is signed --- */

/* The plain text of the record or a card; a card of a later epoch names no proxies, they will be others. */
static size_t write_plain(struct publish *p, const struct entry *e, bool is_now,
                          uint8_t out[static ITEM_PLAIN_MAX])
{
    uint8_t list[LIST_MAX_BYTES];
    struct wr w;
    size_t len = 0;

    wr_init(&w, list, sizeof list);
    device_list_write(&w, &p->keys->list);
    if (e->is_card) {
        struct card_record card = {.S_gen = p->keys->S_gen, .list = wr_done(&w)};

        memcpy(card.S, p->keys->S, KEY_BYTES);
        for (; is_now && card.n_relays < p->place.n_relays && card.n_relays < CARD_RELAYS_MAX;
             card.n_relays++)
            card.relays[card.n_relays] = p->place.relays[card.n_relays];
        if (card_record_write(&card, out, &len) != ERR_OK)
            len = 0;
        secret_wipe(&card, sizeof card);
    } else {
        struct dev_record record = {.issued_s = zone_time_s(p), .list = wr_done(&w)};

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

static enum err build(struct publish *p, const struct entry *e, uint64_t epoch, struct item *out)
{
    const struct sign_key *key = e->is_card ? &p->keys->identity : &p->keys->publish;
    uint8_t plain[ITEM_PLAIN_MAX];
    int64_t t_s = zone_time_s(p);
    size_t len = write_plain(p, e, epoch <= item_epoch(key->pub, e->X, t_s), plain);
    enum err err;

    /* seq rises strictly, also when two are signed within one second */
    p->last_seq = t_s > p->last_seq ? t_s : p->last_seq + 1;
    err = len == 0 ? ERR_FULL
                   : item_build(p->env, e->is_card ? ITEM_CARD : ITEM_DEV, key, e->X, epoch, p->last_seq,
                                slice_of(plain, len), out);
    secret_wipe(plain, sizeof plain);
    return err;
}

/* --- reading back --- */

static void note_record(struct publish *p, uint64_t epoch, int64_t seq)
{
    bool is_news = epoch != p->record_epoch || seq > p->record_seq;

    p->stats.is_published = true;
    p->record_epoch = epoch;
    p->record_seq = seq;
    if (is_news && p->items.get != NULL && p->check_op == 0)
        p->check_at = p->now + CHECK_SOON_NS;
}

static bool on_checked_value(void *arg, const struct item *item)
{
    struct publish *p = arg;

    p->is_found = p->is_found || item->seq >= p->record_seq;
    return true;
}

static void on_checked(void *arg, enum err e, const struct dht_result *result)
{
    struct publish *p = arg;
    unsigned shift = p->n_missed < RETRY_MAX ? p->n_missed : RETRY_MAX;

    (void)result;
    p->check_op = 0;
    p->stats.is_read_back = p->is_found;
    if (p->is_found) {
        p->n_missed = 0;
        p->check_at = p->now + HOUR_NS / 2 + env_random_u32(p->env) % (HOUR_NS / NS_PER_MS) * NS_PER_MS;
        return;
    }
    p->check_at = p->now + (CHECK_AGAIN_NS << shift);
    p->n_missed++;
    if (e == ERR_TIMEOUT)
        return; /* nobody to ask */
    p->stats.missed++;
    p->place_version++; /* signed anew, so that it is handed over and put again */
    p->entries[0].due_at = p->now;
    look_soon(p, p->now);
}

static void check(struct publish *p)
{
    const struct entry *e = &p->entries[0];
    uint8_t P[KEY_BYTES];

    p->check_at = NS_NEVER;
    if (item_blind_public(ITEM_DEV, p->keys->publish.pub, e->X, p->record_epoch, P) != ERR_OK)
        return;
    p->is_found = false;
    p->stats.checks++;
    p->check_op = p->items.get(p->items.arg, p->now, P, p->record_seq, on_checked_value, on_checked, p);
    if (p->check_op == 0)
        p->check_at = p->now + CHECK_AGAIN_NS;
}

/* --- the table for caretakers --- */

/* A record of ours in an epoch: the present one and `ahead` more. */
struct want {
    struct entry *entry;
    unsigned ahead;
    uint64_t epoch;
};

static uint64_t content_of(const struct publish *p, const struct want *w)
{
    return (uint64_t)p->keys_version << 32 | (!w->entry->is_card || w->ahead == 0 ? p->place_version : 0);
}

static size_t want(struct publish *p, struct want *wants, size_t n, struct entry *e, unsigned ahead)
{
    if (n == CARE_SLOTS)
        return n;
    wants[n] = (struct want){.entry = e, .ahead = ahead};
    wants[n].epoch = item_epoch(base_of(p, e), e->X, zone_time_s(p)) + ahead;
    e->is_kept = true;
    return n + 1;
}

/* `dev` of two epochs; then cards: today's of everybody, tomorrow's of everybody, and so on while there is room. */
static size_t want_all(struct publish *p, struct want wants[static CARE_SLOTS])
{
    size_t n = 0;

    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++)
        p->entries[i].is_kept = false;
    for (unsigned ahead = 0; ahead < 2 && p->entries[0].is_used && p->now >= p->place_at; ahead++)
        n = want(p, wants, n, &p->entries[0], ahead);
    for (unsigned ahead = 0; ahead < PUBLISH_CARD_EPOCHS && keyring_is_main(p->keys); ahead++)
        for (int i = 1; i <= PUBLISH_CARDS_MAX; i++)
            if (p->entries[i].is_used && (ahead == 0 || p->entries[i].is_kept))
                n = want(p, wants, n, &p->entries[i], ahead);
    return n;
}

static struct row *row_of(struct publish *p, const struct want *w)
{
    struct row *free_row = NULL;

    for (int i = 0; i < CARE_SLOTS; i++) {
        struct row *r = &p->rows[i];

        if (r->out.version == 0)
            free_row = free_row == NULL ? r : free_row;
        else if (r->entry == w->entry && r->epoch == w->epoch)
            return r;
    }
    return free_row;
}

static void fill_row(struct publish *p, struct row *r, const struct want *w)
{
    const struct entry *e = w->entry;
    int64_t t_s = zone_time_s(p), end_s = t_s + item_epoch_left_s(base_of(p, e), e->X, t_s);
    uint64_t content = content_of(p, w);

    if (r == NULL || (r->out.version != 0 && r->content == content) ||
        build(p, e, w->epoch, &r->out.item) != ERR_OK)
        return;
    r->entry = e;
    r->epoch = w->epoch;
    r->content = content;
    r->out.version = ++p->version;
    r->out.flags = e->is_card ? 0 : CARE_FLAG_HERE;
    r->out.from_s = t_s;
    r->out.until_s = end_s + (int64_t)w->ahead * ITEM_EPOCH_S;
    if (w->ahead > 0) { /* from the last two hours before on, not on the minute */
        int64_t from_s =
            r->out.until_s - ITEM_EPOCH_S - ITEM_OVERLAP_S + env_random_u32(p->env) % (ITEM_OVERLAP_S / 2);

        r->out.from_s = from_s > t_s ? from_s : t_s;
    }
}

static void tend(struct publish *p)
{
    struct want wants[CARE_SLOTS];
    size_t n = want_all(p, wants);
    int64_t left = ITEM_EPOCH_S;

    for (int i = 0; i < CARE_SLOTS; i++) {
        struct row *r = &p->rows[i];
        bool is_wanted = r->entry == &p->entries[0] && p->now < p->place_at;

        for (size_t k = 0; k < n; k++)
            is_wanted = is_wanted || (r->entry == wants[k].entry && r->epoch == wants[k].epoch);
        if (!is_wanted)
            memset(r, 0, sizeof *r);
    }
    for (size_t k = 0; k < n; k++)
        fill_row(p, row_of(p, &wants[k]), &wants[k]);
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++) {
        const struct entry *e = &p->entries[i];
        int64_t e_left = e->is_used ? item_epoch_left_s(base_of(p, e), e->X, zone_time_s(p)) : left;

        left = e_left < left ? e_left : left;
    }
    p->tend_at = p->now + ns_min((ns_t)(left + 1) * NS_PER_S, TEND_NS);
    if (p->place_at > p->now)
        p->tend_at = ns_min(p->tend_at, p->place_at);
}

const struct publish_kept *publish_kept(const struct publish *p, size_t slot)
{
    return &p->rows[slot].out;
}

void publish_note_stored(struct publish *p, ns_t now, size_t slot, uint32_t version, unsigned n)
{
    const struct row *r = &p->rows[slot];

    p->now = now;
    if (slot >= CARE_SLOTS || r->out.version == 0 || r->out.version != version)
        return;
    p->stats.puts++;
    p->stats.acks += n;
    if (r->entry == &p->entries[0] &&
        r->epoch == item_epoch(p->keys->publish.pub, p->entries[0].X, zone_time_s(p)))
        note_record(p, r->epoch, r->out.item.seq);
}

uint32_t publish_next_once(struct publish *p, ns_t now, struct item *out)
{
    p->now = now;
    for (uint32_t i = 1; i <= PUBLISH_CARDS_MAX && p->is_tended && keyring_is_main(p->keys); i++) {
        struct entry *e = &p->entries[i];

        if (!e->is_used || e->is_kept || e->once_at > now)
            continue;
        e->once_at = now + ONCE_TRY_NS;
        if (build(p, e, item_epoch(base_of(p, e), e->X, zone_time_s(p)), out) == ERR_OK)
            return i;
    }
    return 0;
}

void publish_once_done(struct publish *p, ns_t now, uint32_t handle, bool is_stored)
{
    struct entry *e = &p->entries[handle <= PUBLISH_CARDS_MAX ? handle : 0];

    p->now = now;
    if (!e->is_card || !is_stored)
        return; /* again when ONCE_TRY_NS is over */
    p->stats.puts++;
    e->once_at = now + HOUR_NS / 2 + env_random_u32(p->env) % (HOUR_NS / 2 / NS_PER_MS) * NS_PER_MS;
}

/* --- our own node --- */

/* After a put: once more for e + 1 near the border, else within the hour. */
static void plan_next(struct entry *e, ns_t now, bool is_ok)
{
    struct publish *p = e->owner;
    int64_t left = item_epoch_left_s(base_of(p, e), e->X, zone_time_s(p));

    if (!is_ok) {
        unsigned shift = e->failures < RETRY_MAX ? e->failures : RETRY_MAX;

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
    if (!e->is_card && err == ERR_OK && !e->puts_next_epoch)
        note_record(p, item_epoch(p->keys->publish.pub, e->X, zone_time_s(p)), e->seq);
    plan_next(e, p->now, err == ERR_OK);
}

static void put(struct publish *p, struct entry *e)
{
    uint64_t epoch = item_epoch(base_of(p, e), e->X, zone_time_s(p)) + e->puts_next_epoch;
    struct item item;

    e->due_at = NS_NEVER;
    if (build(p, e, epoch, &item) != ERR_OK) {
        plan_next(e, p->now, false);
        return;
    }
    e->seq = item.seq;
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
    if (p->tend_at <= now)
        tend(p);
    if (p->check_at <= now && p->check_op == 0)
        check(p);
    for (int i = 0; i <= PUBLISH_CARDS_MAX && p->puts_itself; i++) {
        struct entry *e = &p->entries[i];

        if (!e->is_used || e->due_at > now || p->n_in_flight >= PUBLISH_AT_ONCE)
            continue;
        if (e->is_card && !keyring_is_main(p->keys)) {
            e->due_at = NS_NEVER; /* only the main device signs cards */
            continue;
        }
        stop_put(p, e);
        put(p, e);
    }
}

ns_t publish_deadline(const struct publish *p)
{
    ns_t at = ns_min(p->tend_at, p->check_op == 0 ? p->check_at : NS_NEVER);

    if (p->n_in_flight >= PUBLISH_AT_ONCE || !p->puts_itself)
        return at;
    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++)
        if (p->entries[i].is_used)
            at = ns_min(at, p->entries[i].due_at);
    return at;
}

void publish_stats(const struct publish *p, struct publish_stats *out)
{
    *out = p->stats;
}
