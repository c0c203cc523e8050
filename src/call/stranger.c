#include "call/stranger.h"

#include <stdio.h>

#include "base/mem.h"

#define MINUTE_NS    (60 * NS_PER_S)
#define DAY_NS       (24 * 60 * MINUTE_NS)
#define RETRY_NS     (2 * NS_PER_S)
#define WEEK_LOOK_NS (10 * MINUTE_NS) /* is it another week, does somebody watch now */
#define FIRST_TRY_NS (2 * NS_PER_S)   /* after joining, so that the lookup has somebody to ask */

struct sending {
    struct stranger *owner;
    bool is_used, is_working;
    uint8_t drop[DROP_ID_BYTES], blob[REQUEST_BYTES], nonce[POW_NONCE_BYTES];
    struct pow pow;
    unsigned bits;
    uint32_t op;
    ns_t next_at, until;
    stranger_sent_cb cb;
    void *arg;
};

/* One drop of ours that is read. */
struct reading {
    struct stranger *owner;
    uint8_t drop[DROP_ID_BYTES];
    uint32_t week, op;
    bool is_observing, is_news; /* the look that runs */
    ns_t get_at, observe_at, news_at;
};

struct stranger {
    struct dht *dht;
    const struct keyring *keys;
    const struct env *env;
    struct stranger_ops ops;
    struct drops_ops drops; /* .look NULL: none */
    uint8_t zone_id[8];
    struct sending sendings[STRANGER_SENDING];
    struct reading weeks[2]; /* this, last */
    bool is_listening;
    uint8_t seen[STRANGER_SEEN][16];
    unsigned n_seen;
    ns_t now;
};

struct stranger *stranger_create(struct dht *dht, const struct keyring *keys, const uint8_t zone_id[static 8],
                                 const struct stranger_ops *ops, const struct env *env)
{
    struct stranger *x = mem_alloc(sizeof *x);

    x->dht = dht;
    x->keys = keys;
    x->env = env;
    x->ops = *ops;
    memcpy(x->zone_id, zone_id, 8);
    for (int i = 0; i < 2; i++) {
        x->weeks[i].owner = x;
        x->weeks[i].get_at = x->weeks[i].observe_at = x->weeks[i].news_at = NS_NEVER;
    }
    return x;
}

static void stop_look(struct reading *r)
{
    if (r->op != 0)
        r->owner->drops.cancel(r->owner->drops.arg, r->op);
    r->op = 0;
}

void stranger_destroy(struct stranger *x)
{
    if (x == NULL)
        return;
    for (int i = 0; i < STRANGER_SENDING; i++)
        if (x->sendings[i].op != 0)
            dht_cancel(x->dht, x->sendings[i].op);
    for (int i = 0; i < 2; i++)
        stop_look(&x->weeks[i]);
    mem_free(x);
}

void stranger_set_drops(struct stranger *x, const struct drops_ops *drops)
{
    x->drops = *drops;
}

/* ---- sending ---- */

static void sending_over(struct sending *s, enum err e)
{
    stranger_sent_cb cb = s->cb;
    void *arg = s->arg;

    *s = (struct sending){.owner = s->owner};
    if (cb != NULL)
        cb(arg, e);
}

enum err stranger_send(struct stranger *x, ns_t now, const uint8_t to[static KEY_BYTES], const char *name,
                       const char *note, bool wants_contact, bool tells_old, stranger_sent_cb cb, void *arg)
{
    struct request r = {.wants = wants_contact ? REQUEST_WANTS_CONTACT : REQUEST_WANTS_CALL};
    struct sending *s = NULL;
    enum err e;

    for (int i = 0; i < STRANGER_SENDING && s == NULL; i++)
        if (!x->sendings[i].is_used)
            s = &x->sendings[i];
    if (s == NULL)
        return ERR_FULL;
    memcpy(r.device, x->keys->device.pub, KEY_BYTES);
    memcpy(r.certificate, x->keys->cert, CERT_BYTES);
    r.made_s = (uint64_t)(env_wall_ms(x->env) / 1000);
    snprintf(r.name, sizeof r.name, "%s", name);
    snprintf(r.note, sizeof r.note, "%s", note);
    r.s_gen = x->keys->S_gen;
    memcpy(r.s, x->keys->S, KEY_BYTES);
    r.has_succession = tells_old && !secret_is_zero(x->keys->old_identity, KEY_BYTES);
    memcpy(r.old_identity, x->keys->old_identity, KEY_BYTES);
    memcpy(r.succession, x->keys->succession, SUCCESSION_BYTES);
    *s = (struct sending){
        .owner = x, .is_used = true, .is_working = true, .bits = REQUEST_BITS, .cb = cb, .arg = arg};
    drop_id(x->zone_id, to, drop_week(dht_zone_time_ms(x->dht, now) / 1000), s->drop);
    e = request_seal(&r, x->keys->device.secret, to, s->drop, x->env, s->blob);
    request_wipe(&r);
    if (e != ERR_OK) {
        s->is_used = false;
        return e;
    }
    s->until = now + STRANGER_SEND_MAX_NS;
    s->next_at = now;
    pow_init(&s->pow, s->drop, slice_of(s->blob, REQUEST_BYTES), s->bits, x->env);
    return ERR_OK;
}

static void on_put(void *arg, enum err e, const struct dht_result *result)
{
    struct sending *s = arg;

    s->op = 0;
    if (e == ERR_OK && result->n_acks >= STRANGER_STORED_MIN) {
        sending_over(s, ERR_OK);
    } else if (result->bits_needed > s->bits && result->bits_needed <= POW_BITS_MAX) {
        s->bits = result->bits_needed;
        s->is_working = true;
        pow_init(&s->pow, s->drop, slice_of(s->blob, REQUEST_BYTES), s->bits, s->owner->env);
        s->next_at = s->owner->now;
    } else {
        s->next_at = s->owner->now + RETRY_NS;
    }
}

static void step_sending(struct sending *s, ns_t now)
{
    struct stranger *x = s->owner;

    if (!s->is_used || s->op != 0 || s->next_at > now)
        return;
    if (now > s->until) {
        sending_over(s, ERR_TIMEOUT);
        return;
    }
    if (s->is_working) {
        if (pow_search(&s->pow, STRANGER_WORK_TRIES, s->nonce) != ERR_OK) {
            s->next_at = now + 1; /* the next turn of the loop */
            return;
        }
        s->is_working = false;
    }
    s->op = dht_drop_put(x->dht, now, s->drop, s->blob, s->nonce, on_put, s);
    s->next_at = s->op != 0 ? s->next_at : now + RETRY_NS;
}

/* ---- receiving ---- */

/* Each blob once: a drop is read again and again. */
static bool is_new(struct stranger *x, const uint8_t blob[static REQUEST_BYTES])
{
    uint8_t mark[16];

    hash_once(sizeof mark, NULL, 0, slice_of(blob, REQUEST_BYTES), mark);
    for (unsigned i = 0; i < x->n_seen && i < STRANGER_SEEN; i++)
        if (memcmp(x->seen[i], mark, sizeof mark) == 0)
            return false;
    memcpy(x->seen[x->n_seen++ % STRANGER_SEEN], mark, sizeof mark);
    return true;
}

static void on_blob(void *arg, const uint8_t blob[DHT_BLOB_BYTES], const uint8_t nonce[DHT_NONCE_BYTES],
                    uint8_t bits)
{
    struct reading *r = arg;
    struct stranger *x = r->owner;
    struct request request;

    (void)nonce;
    if (bits < REQUEST_BITS || !is_new(x, blob) ||
        request_open(slice_of(blob, REQUEST_BYTES), x->keys->identity.seed, r->drop, &request) != ERR_OK)
        return;
    x->ops.request(x->ops.arg, &request);
    request_wipe(&request);
}

static void on_looked(void *arg, enum err e, const struct dht_result *result)
{
    struct reading *r = arg;

    (void)result;
    r->op = 0;
    if (e != ERR_TIMEOUT)
        return;
    if (r->is_news)
        r->news_at = ns_min(r->news_at, r->owner->now + 10 * RETRY_NS);
    else if (r->is_observing)
        r->observe_at = r->owner->now + 5 * RETRY_NS;
    else if (r->get_at == NS_NEVER || r->get_at > r->owner->now + 10 * RETRY_NS)
        r->get_at = r->owner->now + 10 * RETRY_NS;
}

/* Whoever watches is told of three weeks, so that it can go on without us. */
static void have_watched(struct stranger *x, ns_t now, uint32_t week)
{
    uint8_t drops[DROPS_WEEKS][DHT_ID_BYTES];

    for (uint32_t i = 0; i < DROPS_WEEKS; i++)
        drop_id(x->zone_id, x->keys->identity.pub, week - 1 + i, drops[i]);
    x->drops.watch(x->drops.arg, now, week, drops);
}

/* This week's drop, and last week's, as the zone's clock says. */
static void set_weeks(struct stranger *x, ns_t now)
{
    uint32_t week = drop_week(dht_zone_time_ms(x->dht, now) / 1000);

    if (x->weeks[0].week != week)
        have_watched(x, now, week);
    for (uint32_t i = 0; i < 2; i++) {
        struct reading *r = &x->weeks[i];

        if (r->week == week - i)
            continue;
        stop_look(r);
        *r = (struct reading){.owner = x,
                              .week = week - i,
                              .get_at = now,
                              .observe_at = i == 0 ? now : NS_NEVER,
                              .news_at = NS_NEVER};
        drop_id(x->zone_id, x->keys->identity.pub, r->week, r->drop);
    }
}

/* With somebody who watches, what has come is fetched when it is told of, and nothing else is looked at. */
static ns_t due_at(const struct reading *r)
{
    const struct stranger *x = r->owner;

    return x->drops.watched(x->drops.arg) == DROPS_UNWATCHED
               ? ns_min(r->news_at, ns_min(r->get_at, r->observe_at))
               : r->news_at;
}

static void step_reading(struct reading *r, ns_t now, bool is_current)
{
    struct stranger *x = r->owner;
    bool is_observing = r->observe_at <= now && x->drops.watched(x->drops.arg) == DROPS_UNWATCHED;

    if (r->op != 0 || due_at(r) > now)
        return;
    r->is_observing = is_observing;
    r->is_news = r->news_at <= now;
    r->op = x->drops.look(x->drops.arg, now, r->drop, is_observing, on_blob, on_looked, r);
    if (r->op == 0) {
        r->news_at = now + RETRY_NS;
        return;
    }
    r->news_at = NS_NEVER;
    r->get_at = is_current ? NS_NEVER : now + DAY_NS;
    if (is_observing)
        r->observe_at = now + 20 * MINUTE_NS + env_random_u32(x->env) % 1200 * NS_PER_S;
}

void stranger_set_listening(struct stranger *x, ns_t now, bool is_listening)
{
    is_listening = is_listening && keyring_is_main(x->keys);
    if (is_listening == x->is_listening)
        return;
    x->is_listening = is_listening;
    if (x->drops.look == NULL)
        return;
    x->weeks[0].week = 0;
    if (!is_listening) {
        x->drops.watch(x->drops.arg, now, 0, NULL);
    } else {
        set_weeks(x, now);
        for (int i = 0; i < 2; i++)
            x->weeks[i].get_at = now + FIRST_TRY_NS;
        x->weeks[0].observe_at = now + FIRST_TRY_NS;
    }
}

void stranger_unwatched(struct stranger *x, ns_t now)
{
    if (x->is_listening)
        x->weeks[0].observe_at = now + FIRST_TRY_NS;
}

void stranger_notified(struct stranger *x, ns_t now, const uint8_t target[static DROP_ID_BYTES])
{
    for (int i = 0; i < 2 && x->is_listening; i++)
        if (memcmp(x->weeks[i].drop, target, DROP_ID_BYTES) == 0)
            x->weeks[i].news_at = ns_min(x->weeks[i].news_at, now);
}

void stranger_tick(struct stranger *x, ns_t now)
{
    x->now = now;
    for (int i = 0; i < STRANGER_SENDING; i++)
        step_sending(&x->sendings[i], now);
    if (!x->is_listening || x->drops.look == NULL)
        return;
    set_weeks(x, now);
    for (int i = 0; i < 2; i++)
        step_reading(&x->weeks[i], now, i == 0);
}

ns_t stranger_deadline(const struct stranger *x)
{
    ns_t at = NS_NEVER;

    for (int i = 0; i < STRANGER_SENDING; i++)
        if (x->sendings[i].is_used && x->sendings[i].op == 0)
            at = ns_min(at, x->sendings[i].next_at);
    for (int i = 0; x->is_listening && x->drops.look != NULL && i < 2; i++)
        if (x->weeks[i].op == 0)
            at = ns_min(at, due_at(&x->weeks[i]));
    if (x->is_listening && x->drops.look != NULL)
        at = ns_min(at, x->now + WEEK_LOOK_NS);
    return at;
}
