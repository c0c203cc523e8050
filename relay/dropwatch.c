#include "relay/dropwatch.h"

#include <uthash.h>

#include "base/mem.h"
#include "crypto/request.h"
#include "dht/dht.h"

#define MINUTE_NS  (60 * NS_PER_S)
#define HOUR_NS    (60 * MINUTE_NS)
#define DAY_NS     (24 * HOUR_NS)
#define READ_NS    (2 * HOUR_NS)    /* this week's drop, should a notice be lost */
#define TURN_NS    (10 * MINUTE_NS) /* a new week's drops are not all visited at its first moment */
#define RETRY_NS   (20 * NS_PER_S)
#define NEWS_NS    (10 * NS_PER_S) /* doubles */
#define NEWS_TRIES 6
#define READ_BYTES \
    (35 * 600) /* a look-up of a drop, as GET_BYTES in care.c; its blobs are paid for when they came */

struct found {
    uint8_t nonce[CARE_NONCE_BYTES], blob[CARE_BLOB_BYTES];
    unsigned bits;
};

/* One drop and what was found there. */
struct pile {
    uint8_t drop[CARE_DROP_BYTES];
    struct found *found[DROPWATCH_BLOBS];
    unsigned n;
    bool is_news; /* something was added since it was fetched */
    ns_t read_at, last_read_at;
};

struct watch {
    UT_hash_handle hh;
    struct dropwatch *owner;
    uint8_t account[KEY_BYTES];
    uint32_t week;                 /* of piles[1] */
    struct pile piles[2];          /* last week's, this week's */
    uint8_t next[CARE_DROP_BYTES]; /* zeros: not told */
    uint32_t op;                   /* 0: nothing is read */
    struct pile *reading;
    ns_t observe_at, news_at;
    unsigned n_news;
};

struct dropwatch {
    struct dht *dht;
    struct bucket *rate;
    struct dropwatch_ops ops;
    const struct env *env;
    struct watch *by_account;
    unsigned n, n_reads;
    ns_t now, next_at;
};

struct dropwatch *dropwatch_create(struct dht *dht, struct bucket *rate, const struct dropwatch_ops *ops,
                                   const struct env *env)
{
    struct dropwatch *w = mem_alloc(sizeof *w);

    w->dht = dht;
    w->rate = rate;
    w->ops = *ops;
    w->env = env;
    w->next_at = NS_NEVER;
    return w;
}

static ns_t within(struct dropwatch *w, ns_t span)
{
    return (ns_t)env_random_u32(w->env) * (span / UINT32_MAX + 1) % span;
}

static uint32_t week_now(const struct dropwatch *w)
{
    return drop_week(dht_zone_time_ms(w->dht, w->now) / 1000);
}

/* ---- piles ---- */

static void clear(struct pile *p)
{
    for (unsigned i = 0; i < p->n; i++)
        mem_free(p->found[i]);
    *p = (struct pile){.read_at = NS_NEVER};
}

/* The cheapest gives way when there is no room. */
static struct found *place_for(struct pile *p, unsigned bits)
{
    struct found *cheapest = NULL;

    if (p->n < DROPWATCH_BLOBS)
        return p->found[p->n++] = mem_alloc(sizeof(struct found));
    for (unsigned i = 0; i < p->n; i++)
        if (cheapest == NULL || p->found[i]->bits < cheapest->bits)
            cheapest = p->found[i];
    return cheapest->bits < bits ? cheapest : NULL;
}

static void on_blob(void *arg, const uint8_t blob[DHT_BLOB_BYTES], const uint8_t nonce[DHT_NONCE_BYTES],
                    uint8_t bits)
{
    struct watch *x = arg;
    struct pile *p = x->reading;
    struct found *f;

    if (bits < REQUEST_BITS)
        return;
    for (unsigned i = 0; i < p->n; i++)
        if (memcmp(p->found[i]->blob, blob, CARE_BLOB_BYTES) == 0)
            return;
    f = place_for(p, bits);
    if (f == NULL)
        return;
    memcpy(f->nonce, nonce, CARE_NONCE_BYTES);
    memcpy(f->blob, blob, CARE_BLOB_BYTES);
    f->bits = bits;
    p->is_news = true;
}

static void on_read(void *arg, enum err e, const struct dht_result *result)
{
    struct watch *x = arg;
    struct dropwatch *w = x->owner;
    size_t used = (size_t)result->queries * 600 + (size_t)result->n_found * CARE_BLOB_BYTES;

    if (used < READ_BYTES)
        bucket_give(w->rate, READ_BYTES - used);
    if (e == ERR_TIMEOUT)
        x->reading->read_at = ns_min(x->reading->read_at, w->now + RETRY_NS);
    if (x->reading->is_news) {
        x->news_at = w->now;
        x->n_news = 0;
    }
    x->op = 0;
    w->n_reads--;
    w->next_at = w->now;
}

static void read_pile(struct watch *x, struct pile *p)
{
    struct dropwatch *w = x->owner;

    if (w->n_reads == DROPWATCH_READS)
        return; /* when one of them ends */
    if (!bucket_take(w->rate, w->now, READ_BYTES)) {
        w->next_at = ns_min(w->next_at, bucket_ready_at(w->rate, w->now) + 1);
        return;
    }
    x->reading = p;
    x->op = dht_drop_get(w->dht, w->now, p->drop, on_blob, on_read, x);
    if (x->op == 0) {
        bucket_give(w->rate, READ_BYTES);
        p->read_at = w->now + RETRY_NS;
        return;
    }
    w->n_reads++;
    p->last_read_at = w->now;
    p->read_at = w->now + (p == &x->piles[1] ? READ_NS : DAY_NS) + within(w, HOUR_NS / 2);
}

/* ---- who is watched for ---- */

static struct watch *find(const struct dropwatch *w, const uint8_t account[static KEY_BYTES])
{
    struct watch *x;

    HASH_FIND(hh, w->by_account, account, KEY_BYTES, x);
    return x;
}

static void stop_reading(struct watch *x)
{
    if (x->op == 0)
        return;
    dht_cancel(x->owner->dht, x->op);
    x->op = 0;
    x->owner->n_reads--;
    x->reading->read_at = x->owner->now;
}

static void drop(struct watch *x)
{
    struct dropwatch *w = x->owner;

    stop_reading(x);
    clear(&x->piles[0]);
    clear(&x->piles[1]);
    HASH_DEL(w->by_account, x);
    w->n--;
    mem_free(x);
}

void dropwatch_destroy(struct dropwatch *w)
{
    struct watch *x, *next;

    if (w == NULL)
        return;
    HASH_ITER(hh, w->by_account, x, next)
    {
        drop(x);
    }
    mem_free(w);
}

/* The pile of before, when there is one of that drop. */
static struct pile taken(struct pile old[2], const uint8_t drop_id[static CARE_DROP_BYTES], ns_t at)
{
    struct pile p = {.read_at = at};

    for (int i = 0; i < 2; i++)
        if (old[i].read_at != NS_NEVER && memcmp(old[i].drop, drop_id, CARE_DROP_BYTES) == 0) {
            p = old[i];
            old[i] = (struct pile){.read_at = NS_NEVER};
        }
    memcpy(p.drop, drop_id, CARE_DROP_BYTES);
    return p;
}

static bool is_same(const struct watch *x, const struct care_msg *m)
{
    return x->week == m->week && memcmp(x->piles[0].drop, m->drops[0], CARE_DROP_BYTES) == 0 &&
           memcmp(x->piles[1].drop, m->drops[1], CARE_DROP_BYTES) == 0 &&
           memcmp(x->next, m->drops[2], CARE_DROP_BYTES) == 0;
}

/* Its client is here, and may have fetched nothing yet. */
static void seek_ear(struct watch *x)
{
    for (int i = 0; i < 2; i++)
        x->piles[i].is_news = x->piles[i].n > 0;
    x->news_at = x->owner->now;
    x->n_news = 0;
    x->owner->next_at = x->owner->now;
}

enum care_why dropwatch_set(struct dropwatch *w, ns_t now, ns_t at, const uint8_t account[static KEY_BYTES],
                            const struct care_msg *m)
{
    struct watch *x = find(w, account);
    struct pile old[2] = {{.read_at = NS_NEVER}, {.read_at = NS_NEVER}};

    w->now = now;
    if (m->week + 1 < week_now(w) || m->week > week_now(w) + 1)
        return CARE_WHY_BAD;
    if (x == NULL && w->n == DROPWATCH_MAX)
        return CARE_WHY_FULL;
    if (x == NULL) {
        x = mem_alloc(sizeof *x);
        x->owner = w;
        memcpy(x->account, account, KEY_BYTES);
        x->observe_at = at;
        HASH_ADD(hh, w->by_account, account, sizeof x->account, x);
        w->n++;
    } else if (is_same(x, m)) {
        seek_ear(x);
        return CARE_WHY_NONE;
    } else {
        stop_reading(x);
        memcpy(old, x->piles, sizeof old);
        if (memcmp(old[1].drop, m->drops[1], CARE_DROP_BYTES) != 0)
            x->observe_at = at;
    }
    x->week = m->week;
    x->piles[0] = taken(old, m->drops[0], at);
    x->piles[1] = taken(old, m->drops[1], at);
    clear(&old[0]);
    clear(&old[1]);
    memcpy(x->next, m->drops[2], CARE_DROP_BYTES);
    seek_ear(x);
    return CARE_WHY_NONE;
}

void dropwatch_stop(struct dropwatch *w, const uint8_t account[static KEY_BYTES])
{
    struct watch *x = find(w, account);

    if (x != NULL)
        drop(x);
}

bool dropwatch_fetch(struct dropwatch *w, const uint8_t account[static KEY_BYTES],
                     const uint8_t drop_id[static CARE_DROP_BYTES],
                     void (*cb)(void *arg, const uint8_t nonce[static CARE_NONCE_BYTES],
                                const uint8_t blob[static CARE_BLOB_BYTES]),
                     void *arg)
{
    struct watch *x = find(w, account);

    for (int i = 0; x != NULL && i < 2; i++) {
        struct pile *p = &x->piles[i];

        if (memcmp(p->drop, drop_id, CARE_DROP_BYTES) != 0)
            continue;
        for (unsigned n = 0; n < p->n; n++)
            cb(arg, p->found[n]->nonce, p->found[n]->blob);
        p->is_news = false;
        return true;
    }
    return false;
}

void dropwatch_each(const struct dropwatch *w,
                    void (*cb)(void *arg, const uint8_t account[static KEY_BYTES], const struct care_msg *m),
                    void *arg)
{
    struct watch *x, *next;

    HASH_ITER(hh, w->by_account, x, next)
    {
        struct care_msg m = {.type = CARE_WATCH, .week = x->week};

        for (int i = 0; i < 2; i++)
            memcpy(m.drops[i], x->piles[i].drop, CARE_DROP_BYTES);
        memcpy(m.drops[2], x->next, CARE_DROP_BYTES);
        cb(arg, x->account, &m);
    }
}

unsigned dropwatch_count(const struct dropwatch *w)
{
    return w->n;
}

/* ---- time ---- */

void dropwatch_notified(struct dropwatch *w, ns_t now, const uint8_t target[static CARE_DROP_BYTES])
{
    struct watch *x, *next;

    w->now = now;
    HASH_ITER(hh, w->by_account, x, next)
    {
        struct pile *p = &x->piles[1];
        ns_t soonest = p->last_read_at == 0 ? now : p->last_read_at + DROPWATCH_GAP_NS;

        if (soonest < now)
            soonest = now;
        if (memcmp(p->drop, target, CARE_DROP_BYTES) == 0 && p->read_at > soonest) {
            p->read_at = soonest;
            w->next_at = ns_min(w->next_at, soonest);
        }
    }
}

static const uint8_t no_drop[CARE_DROP_BYTES];

/* False: its last week is over, and the client said of no other. */
static bool turn_week(struct watch *x)
{
    struct dropwatch *w = x->owner;
    uint32_t week = week_now(w);

    if (week <= x->week)
        return true;
    if (memcmp(x->next, no_drop, sizeof no_drop) == 0 || week > x->week + 1)
        return false;
    stop_reading(x);
    clear(&x->piles[0]);
    x->piles[0] = x->piles[1];
    x->piles[1] = (struct pile){.read_at = w->now + within(w, TURN_NS)};
    memcpy(x->piles[1].drop, x->next, CARE_DROP_BYTES);
    x->observe_at = x->piles[1].read_at;
    memset(x->next, 0, sizeof x->next);
    x->week = week;
    return true;
}

static void tell(struct watch *x)
{
    struct dropwatch *w = x->owner;

    x->news_at = NS_NEVER;
    for (int i = 0; i < 2; i++) {
        if (!x->piles[i].is_news)
            continue;
        w->ops.news(w->ops.arg, x->account, x->piles[i].drop);
        if (x->n_news < NEWS_TRIES)
            x->news_at = w->now + (NEWS_NS << x->n_news);
    }
    x->n_news++;
}

static void step(struct watch *x)
{
    struct dropwatch *w = x->owner;

    if (x->news_at <= w->now)
        tell(x);
    if (x->observe_at <= w->now) {
        dht_observe(w->dht, w->now, x->piles[1].drop, NULL, NULL);
        x->observe_at = w->now + 20 * MINUTE_NS + within(w, 20 * MINUTE_NS);
    }
    for (int i = 1; i >= 0 && x->op == 0; i--)
        if (x->piles[i].read_at <= w->now)
            read_pile(x, &x->piles[i]);
    w->next_at = ns_min(w->next_at, ns_min(x->news_at, x->observe_at));
    for (int i = 0; i < 2 && x->op == 0; i++)
        if (x->piles[i].read_at > w->now)
            w->next_at = ns_min(w->next_at, x->piles[i].read_at);
}

void dropwatch_tick(struct dropwatch *w, ns_t now)
{
    struct watch *x, *next;

    w->now = now;
    if (now < w->next_at)
        return;
    w->next_at = w->n > 0 ? now + HOUR_NS : NS_NEVER; /* somebody's week or time may be over then */
    HASH_ITER(hh, w->by_account, x, next)
    {
        if (now > w->ops.heard_at(w->ops.arg, x->account) + DROPWATCH_DAYS * DAY_NS || !turn_week(x)) {
            uint8_t account[KEY_BYTES];

            memcpy(account, x->account, sizeof account);
            drop(x);
            w->ops.over(w->ops.arg, account);
            continue;
        }
        step(x);
    }
}

ns_t dropwatch_deadline(const struct dropwatch *w)
{
    return w->next_at;
}
