#include "call/publish.h"

#include "base/mem.h"
#include "relay/care.h"

#define HOUR_NS        (3600 * NS_PER_S)
#define RETRY_NS       (5 * NS_PER_S) /* doubles */
#define RETRY_MAX      6
#define CHECK_SOON_NS  (3 * NS_PER_S)       /* after it was stored */
#define CHECK_AGAIN_NS (20 * NS_PER_S)      /* after it was not found; doubles */
#define TEND_NS        (600 * NS_PER_S)     /* clocks jump */
#define ONCE_TRY_NS    (60 * NS_PER_S)      /* a handle not answered by then is void */
#define EARLY_S        (CARE_AFTER_S + 600) /* so long before its time an item of `dev` is handed over */
#define SETTLED_S      600        /* before an epoch begins its record is as new as the present one */
#define ANEW_S         (4 * 3600) /* what lies beside the present record is signed anew within that time */
#define SEQS           (PUBLISH_CARD_EPOCHS + 2)

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
    unsigned once_turn; /* counts puts: which of the epochs that are put now comes next */
    struct {
        uint64_t epoch;
        int64_t seq;
    } seqs[SEQS]; /* last used under the key of an epoch, at epoch % SEQS */
};

struct row {
    struct publish_kept out;
    const struct entry *entry;
    uint64_t epoch, content;
    int64_t anew_s; /* then it is signed anew, as what it says is old; 0: it is not */
};

struct publish {
    struct dht *dht;
    const struct keyring *keys;
    const struct env *env;
    struct items_ops items; /* who reads back; .get NULL: nobody */
    struct items_ops own;   /* who puts when we put ourselves */
    struct publish_place place;
    bool has_place, is_tended, puts_itself;
    struct entry entries[1 + PUBLISH_CARDS_MAX];
    struct row rows[CARE_SLOTS];
    ns_t tend_at;  /* the table is to be looked through */
    ns_t place_at; /* the place may be told */
    uint32_t version, keys_version, place_version;
    unsigned n_in_flight;
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
    dht_items(dht, &p->own);
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
    p->own.cancel(p->own.arg, e->op);
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

void publish_set_own(struct publish *p, const struct items_ops *own)
{
    p->own = *own;
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

static void forget_card(struct publish *p, struct entry *e)
{
    stop_put(p, e);
    for (int k = 0; k < CARE_SLOTS; k++)
        if (p->rows[k].entry == e)
            memset(&p->rows[k], 0, sizeof p->rows[k]);
    secret_wipe(e->X, sizeof e->X);
    e->is_used = false;
    e->due_at = e->once_at = NS_NEVER;
}

static void add_card(struct publish *p, ns_t now, const uint8_t X[static KEY_BYTES])
{
    for (int i = 1; i <= PUBLISH_CARDS_MAX; i++) {
        struct entry *e = &p->entries[i];

        if (e->is_used)
            continue;
        *e = (struct entry){.owner = p, .is_used = true, .is_card = true};
        memcpy(e->X, X, KEY_BYTES);
        e->due_at = e->once_at = now + PUBLISH_SETTLE_NS;
        return;
    }
}

/* Who is gone makes room before who is new needs it. */
void publish_set_cards(struct publish *p, ns_t now, const uint8_t (*secrets)[KEY_BYTES], size_t n)
{
    bool is_news = false;

    for (int i = 1; i <= PUBLISH_CARDS_MAX; i++)
        p->entries[i].is_stale = true;
    for (size_t i = 0; i < n; i++) {
        struct entry *e = card_of(p, secrets[i]);

        if (e != NULL)
            e->is_stale = false;
    }
    for (int i = 1; i <= PUBLISH_CARDS_MAX; i++) {
        if (!p->entries[i].is_used || !p->entries[i].is_stale)
            continue;
        forget_card(p, &p->entries[i]);
        is_news = true;
    }
    for (size_t i = 0; i < n; i++) {
        if (card_of(p, secrets[i]) != NULL)
            continue;
        add_card(p, now, secrets[i]);
        is_news = true;
    }
    if (is_news)
        look_soon(p, now + PUBLISH_SETTLE_NS);
}

/* --- when an item is put --- */

/* Zone time in which the item of an epoch is put. It begins 2 to 10 h before the epoch and ends up to 8 h after it, by
 * a hash that only we and those who read it can make: who sees one key come and another go cannot tell that they are
 * of one person (THREATS.md §5). */
struct span {
    int64_t from_s, until_s;
};

static struct span span_of(const struct publish *p, const struct entry *e, uint64_t epoch)
{
    const uint8_t *P = base_of(p, e);
    int64_t t_s = zone_time_s(p), end_s = t_s + item_epoch_left_s(P, e->X, t_s);
    uint32_t dice[2];
    struct hasher h;

    hash_begin(&h, sizeof dice, e->X, KEY_BYTES);
    hash_text(&h, "itodenwa-spread-v1");
    hash_bytes(&h, P, KEY_BYTES);
    hash_u64(&h, epoch);
    hash_end(&h, (uint8_t *)dice);
    end_s += ((int64_t)epoch - (int64_t)item_epoch(P, e->X, t_s)) * ITEM_EPOCH_S;
    return (struct span){.from_s = end_s - ITEM_EPOCH_S - ITEM_OVERLAP_S - dice[0] % PUBLISH_SPREAD_S,
                         .until_s = end_s + dice[1] % PUBLISH_SPREAD_S};
}

/* seq of what is signed now: it rises under one key, and says nothing about another's. What is for later has the
 * moment from which it is put, and rises with what it says. */
static int64_t next_seq(struct publish *p, struct entry *e, uint64_t epoch)
{
    int64_t t_s = zone_time_s(p), from_s = span_of(p, e, epoch).from_s;
    int64_t seq = e->is_card && from_s > t_s ? from_s + p->keys->S_gen + p->keys->gen : t_s;

    if (e->seqs[epoch % SEQS].epoch == epoch && e->seqs[epoch % SEQS].seq >= seq)
        seq = e->seqs[epoch % SEQS].seq + 1;
    e->seqs[epoch % SEQS].epoch = epoch;
    e->seqs[epoch % SEQS].seq = seq;
    return seq;
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

/* It is put by now: what it says is of now. */
static bool is_put(const struct publish *p, const struct entry *e, uint64_t epoch)
{
    return span_of(p, e, epoch).from_s <= zone_time_s(p) + SETTLED_S;
}

static enum err build(struct publish *p, struct entry *e, uint64_t epoch, struct item *out)
{
    const struct sign_key *key = e->is_card ? &p->keys->identity : &p->keys->publish;
    uint8_t plain[ITEM_PLAIN_MAX];
    size_t len = write_plain(p, e, is_put(p, e, epoch), plain);
    enum err err = ERR_FULL;

    if (len > 0)
        err = item_build(p->env, e->is_card ? ITEM_CARD : ITEM_DEV, key, e->X, epoch, next_seq(p, e, epoch),
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

/* A record of ours in an epoch; age: epochs until it, -1 for the last one. */
struct want {
    struct entry *entry;
    int age;
    uint64_t epoch;
};

static uint64_t content_of(const struct publish *p, const struct want *w)
{
    bool has_place = !w->entry->is_card || is_put(p, w->entry, w->epoch);

    return (uint64_t)p->keys_version << 32 | (has_place ? p->place_version : 0);
}

static struct row *find_row(struct publish *p, const struct want *w)
{
    for (int i = 0; i < CARE_SLOTS; i++)
        if (p->rows[i].out.version != 0 && p->rows[i].entry == w->entry && p->rows[i].epoch == w->epoch)
            return &p->rows[i];
    return NULL;
}

/* What is past is only gone on with; the `dev` item of tomorrow is not made before it is needed. */
static bool is_due(struct publish *p, const struct want *w)
{
    struct span span = span_of(p, w->entry, w->epoch);
    const struct row *r = w->age < 0 ? find_row(p, w) : NULL;

    if (w->age < 0)
        return r != NULL && r->content >> 32 == p->keys_version && zone_time_s(p) < span.until_s;
    return w->age == 0 || w->entry->is_card || zone_time_s(p) >= span.from_s - EARLY_S;
}

static size_t want(struct publish *p, struct want *wants, size_t n, struct entry *e, int age)
{
    struct want w = {.entry = e, .age = age};

    w.epoch = item_epoch(base_of(p, e), e->X, zone_time_s(p)) + (uint64_t)(int64_t)age;
    if (n == CARE_SLOTS || !is_due(p, &w))
        return n;
    wants[n] = w;
    e->is_kept = e->is_kept || age == 0;
    return n + 1;
}

/* `dev` of up to three epochs; then cards: today's of everybody, those of yesterday that are still put, tomorrow's of
 * everybody, and so on while there is room. */
static size_t want_all(struct publish *p, struct want wants[static CARE_SLOTS])
{
    size_t n = 0;

    for (int i = 0; i <= PUBLISH_CARDS_MAX; i++)
        p->entries[i].is_kept = false;
    for (int age = -1; age < 2 && p->entries[0].is_used && p->now >= p->place_at; age++)
        n = want(p, wants, n, &p->entries[0], age);
    for (int turn = 0; turn <= PUBLISH_CARD_EPOCHS && keyring_is_main(p->keys); turn++) {
        int age = turn == 0 ? 0 : turn == 1 ? -1 : turn - 1;

        for (int i = 1; i <= PUBLISH_CARDS_MAX; i++)
            if (p->entries[i].is_used && (turn == 0 || p->entries[i].is_kept))
                n = want(p, wants, n, &p->entries[i], age);
    }
    return n;
}

static struct row *row_of(struct publish *p, const struct want *w)
{
    struct row *r = find_row(p, w);

    for (int i = 0; i < CARE_SLOTS && r == NULL; i++)
        if (p->rows[i].out.version == 0)
            r = &p->rows[i];
    return r;
}

/* The present record is signed anew at once when there is news. That of tomorrow and the cards, which may lie at nodes
 * too, follow at moments of their own, so that they are not seen to change together. */
static bool is_time(struct publish *p, struct row *r, const struct want *w)
{
    int64_t t_s = zone_time_s(p), left;
    bool is_secret_new = r->content >> 32 != p->keys_version;

    if (is_secret_new || (w->age == 0 && !w->entry->is_card) || !is_put(p, w->entry, w->epoch))
        return true;
    left = item_epoch_left_s(base_of(p, w->entry), w->entry->X, t_s) - SETTLED_S;
    left = left > ANEW_S || w->age == 0 ? ANEW_S : left;
    if (r->anew_s == 0)
        r->anew_s = t_s + (left <= 0 ? 0 : env_random_u32(p->env) % left);
    return t_s >= r->anew_s;
}

static void fill_row(struct publish *p, struct row *r, const struct want *w)
{
    uint64_t content = content_of(p, w);
    struct span span;

    if (r == NULL || w->age < 0 || (r->out.version != 0 && (r->content == content || !is_time(p, r, w))) ||
        build(p, w->entry, w->epoch, &r->out.item) != ERR_OK)
        return;
    span = span_of(p, w->entry, w->epoch);
    r->entry = w->entry;
    r->epoch = w->epoch;
    r->content = content;
    r->anew_s = 0;
    r->out.version = ++p->version;
    r->out.flags = w->entry->is_card ? 0 : CARE_FLAG_HERE;
    r->out.from_s = span.from_s;
    r->out.until_s = span.until_s;
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
    for (int i = 0; i < CARE_SLOTS; i++)
        if (p->rows[i].anew_s != 0 && p->rows[i].anew_s - zone_time_s(p) < left)
            left = p->rows[i].anew_s > zone_time_s(p) ? p->rows[i].anew_s - zone_time_s(p) : 0;
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

/* The epochs in which a card is put now. */
static unsigned epochs_put(const struct publish *p, const struct entry *e, uint64_t out[static 3])
{
    int64_t t_s = zone_time_s(p);
    uint64_t epoch = item_epoch(base_of(p, e), e->X, t_s);
    unsigned n = 0;

    out[n++] = epoch;
    if (span_of(p, e, epoch - 1).until_s > t_s)
        out[n++] = epoch - 1;
    if (span_of(p, e, epoch + 1).from_s <= t_s)
        out[n++] = epoch + 1;
    return n;
}

uint32_t publish_next_once(struct publish *p, ns_t now, struct item *out)
{
    uint64_t epochs[3];

    p->now = now;
    for (uint32_t i = 1; i <= PUBLISH_CARDS_MAX && p->is_tended && keyring_is_main(p->keys); i++) {
        struct entry *e = &p->entries[i];
        unsigned n;

        if (!e->is_used || e->is_kept || e->once_at > now)
            continue;
        e->once_at = now + ONCE_TRY_NS;
        n = epochs_put(p, e, epochs);
        if (build(p, e, epochs[e->once_turn % n], out) == ERR_OK)
            return i;
    }
    return 0;
}

void publish_once_done(struct publish *p, ns_t now, uint32_t handle, bool is_stored)
{
    struct entry *e = &p->entries[handle <= PUBLISH_CARDS_MAX ? handle : 0];
    uint64_t epochs[3];
    ns_t hour;

    p->now = now;
    if (!e->is_card || !is_stored)
        return; /* again when ONCE_TRY_NS is over */
    p->stats.puts++;
    e->once_turn++;
    hour = HOUR_NS / epochs_put(p, e, epochs); /* each of them is put once an hour */
    e->once_at = now + hour / 2 + env_random_u32(p->env) % (hour / 2 / NS_PER_MS) * NS_PER_MS;
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
    e->op = p->own.put(p->own.arg, p->now, &item, on_put, e);
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
