#include "app/keepers.h"

#include "base/mem.h"
#include "crypto/request.h"
#include "relay/care_wire.h"

#define RTO_NS      (700 * NS_PER_MS) /* doubles */
#define TRIES       5
#define REFUSED_NS  (60 * NS_PER_S) /* full, or wrong: asked again after that */
#define UNSTORED_NS (20 * NS_PER_S) /* taken, and nothing heard of it being stored */
#define AT_ONCE     4               /* KEEPs in flight to one caretaker */
#define VALUES_MAX  16              /* a guard may try so many on one look-up; the others are still heard */
#define LOOK_MAX_NS (30 * NS_PER_S)
#define STEP_NS     NS_PER_S

enum held_state { HELD_NO, HELD_ASKED, HELD_TAKEN, HELD_STORED, HELD_REFUSED };

/* What one caretaker has in one slot, as far as we heard. */
struct held {
    uint32_t version; /* 0: nothing */
    enum held_state state;
    uint32_t req;
    unsigned tries;
    ns_t at; /* of the next step */
};

struct keeper {
    struct relays_link link; /* .is_up false: nobody */
    bool is_caretaker, has_news;
    uint8_t news[DHT_ID_BYTES]; /* the drop it told of last */
    struct held held[CARE_SLOTS];
    struct held watch; /* HELD_TAKEN: it watches our drops, of that version */
};

struct get {
    uint32_t id; /* 0: free */
    uint8_t key[KEY_BYTES];
    int64_t min_seq;
    dht_value_cb value_cb;
    dht_done_cb done_cb;
    void *arg;
    unsigned tried, waiting; /* guards, by bit: asked; asked and not done */
    unsigned tries;
    uint8_t n_values[RELAYS_LINKS];
    int64_t best_seq;
    bool is_direct, was_alone;
    uint32_t op; /* direct */
    ns_t started_at, sent_at, again_at, hedge_at;
    struct dht_result result;
};

/* Reading a drop: by one guard, or by our own node when there is none. */
struct look {
    uint32_t id; /* 0: free */
    uint8_t drop[DHT_ID_BYTES];
    bool is_observing, is_direct;
    dht_blob_cb blob_cb;
    dht_done_cb done_cb;
    void *arg;
    int link; /* -1: none yet */
    unsigned tries, n_blobs;
    uint32_t op; /* direct */
    ns_t started_at, at;
};

/* The drops that are to be watched. */
struct drops {
    uint32_t version; /* 0: nobody has asked yet */
    bool is_on;
    uint32_t week;
    uint8_t ids[DROPS_WEEKS][DHT_ID_BYTES];
};

struct once {
    uint32_t handle; /* 0: free */
    int link;
    uint32_t req;
    unsigned tries;
    ns_t at;
    struct item item;
};

struct keepers {
    struct keepers_config config;
    struct items_ops own; /* by our own node */
    const struct env *env;
    struct keeper keepers[RELAYS_LINKS];
    struct get gets[KEEPERS_GETS];
    struct once onces[KEEPERS_ONCE];
    struct look looks[KEEPERS_LOOKS];
    struct drops drops;
    enum drops_watched was_watched;
    uint32_t next_req, next_id;
    ns_t now, alone_since, next_at;
    bool is_tended, puts_now;
    struct keepers_stats stats;
};

static void step_get(struct keepers *k, struct get *g);

static void say(struct keepers *k, int link, const struct care_msg *m)
{
    uint8_t buf[CARE_MESSAGE_MAX];
    struct slice bytes = care_write(buf, sizeof buf, m);

    if (bytes.len > 0)
        relays_link_send(k->config.relays, k->now, (uint16_t)link, CARE_CHAN, bytes);
}

static void wake_at(struct keepers *k, ns_t at)
{
    k->next_at = ns_min(k->next_at, at);
}

/* ---- looking up ---- */

static void end_get(struct keepers *k, struct get *g, enum err e)
{
    struct get was = *g;

    *g = (struct get){0};
    was.result.took_ns = k->now - was.started_at;
    was.done_cb(was.arg, e, &was.result);
}

static bool on_direct_value(void *arg, const struct item *item)
{
    struct get *g = arg;

    return g->value_cb == NULL || g->value_cb(g->arg, item);
}

static void on_direct_done(void *arg, enum err e, const struct dht_result *result)
{
    struct get *g = arg;
    struct get was = *g;

    *g = (struct get){0};
    was.done_cb(was.arg, e, result);
}

static void get_direct(struct keepers *k, struct get *g)
{
    g->is_direct = true;
    k->stats.gets_direct++;
    g->op = k->own.get(k->own.arg, k->now, g->key, g->min_seq, on_direct_value, on_direct_done, g);
    if (g->op == 0)
        end_get(k, g, ERR_TIMEOUT);
}

/* A guard not asked yet, relays first; negative: none. */
static int next_guard(const struct keepers *k, const struct get *g)
{
    int best = -1;

    for (int i = 0; i < RELAYS_LINKS; i++) {
        const struct keeper *q = &k->keepers[i];

        if (!q->link.is_up || (g->tried & 1u << i))
            continue;
        if (best < 0 || (q->link.is_relay && !k->keepers[best].link.is_relay))
            best = i;
    }
    return best;
}

static void send_get(struct keepers *k, const struct get *g, int link)
{
    struct care_msg m = {.type = CARE_GET, .req = g->id, .min_seq = g->min_seq};

    memcpy(m.key, g->key, sizeof m.key);
    say(k, link, &m);
}

static void ask_guard(struct keepers *k, struct get *g, int link)
{
    if (g->tried == 0)
        k->stats.gets_guarded++;
    g->tried |= 1u << link;
    g->waiting |= 1u << link;
    g->tries = 1;
    g->sent_at = k->now;
    g->again_at = k->now + RTO_NS;
    g->hedge_at = k->now + KEEPERS_HEDGE_NS;
    send_get(k, g, link);
}

static bool is_alone(const struct keepers *k)
{
    return dht_state(k->config.dht) == DHT_ALONE;
}

static bool was_long_without_guard(const struct keepers *k)
{
    return k->now >= k->alone_since + KEEPERS_GUARD_NS;
}

/* Drops lie in the zone only, items in the public DHT too. */
static bool looks_direct(const struct keepers *k)
{
    return dht_state(k->config.dht) == DHT_JOINED && was_long_without_guard(k);
}

static bool gets_direct(const struct keepers *k)
{
    return bridge_is_joined(k->config.bridge) && was_long_without_guard(k);
}

/* No guard is left that may still say something. */
static void conclude(struct keepers *k, struct get *g)
{
    if (g->result.n_found > 0)
        end_get(k, g, ERR_OK);
    else
        end_get(k, g, g->was_alone || g->tried == 0 ? ERR_TIMEOUT : ERR_NOT_FOUND);
}

static void step_get(struct keepers *k, struct get *g)
{
    int link = next_guard(k, g);

    if (k->now >= g->started_at + KEEPERS_GET_MAX_NS ||
        (link < 0 && g->tried == 0 && is_alone(k) && !bridge_is_joined(k->config.bridge))) {
        conclude(k, g);
        return;
    }
    if (g->waiting == 0 && g->result.n_found > 0) {
        conclude(k, g);
    } else if (link >= 0 && (g->waiting == 0 || k->now >= g->hedge_at)) {
        ask_guard(k, g, link);
    } else if (g->waiting == 0 && g->tried != 0) {
        conclude(k, g);
    } else if (g->waiting == 0 && gets_direct(k)) {
        get_direct(k, g);
    } else if (g->waiting != 0 && k->now >= g->again_at && g->tries < TRIES) {
        g->again_at = k->now + (RTO_NS << g->tries);
        g->tries++;
        for (int i = 0; i < RELAYS_LINKS; i++)
            if (g->waiting & 1u << i)
                send_get(k, g, i);
    }
}

static ns_t get_deadline(const struct keepers *k, const struct get *g)
{
    ns_t at = g->started_at + KEEPERS_GET_MAX_NS;

    if (g->is_direct)
        return NS_NEVER;
    if (g->waiting == 0)
        return ns_min(at, ns_min(k->now + 100 * NS_PER_MS, k->alone_since + KEEPERS_GUARD_NS));
    if (g->tries < TRIES)
        at = ns_min(at, g->again_at);
    if (next_guard(k, g) >= 0)
        at = ns_min(at, g->hedge_at);
    return at;
}

static uint32_t get(void *arg, ns_t now, const uint8_t key[static DHT_KEY_BYTES], int64_t min_seq,
                    dht_value_cb value_cb, dht_done_cb done_cb, void *cb_arg)
{
    struct keepers *k = arg;

    k->now = now;
    for (int i = 0; i < KEEPERS_GETS; i++) {
        struct get *g = &k->gets[i];

        if (g->id != 0)
            continue;
        *g = (struct get){.min_seq = min_seq, .value_cb = value_cb, .done_cb = done_cb, .arg = cb_arg};
        k->next_id = k->next_id % (UINT32_MAX / KEEPERS_GETS - 1) + 1;
        g->id = k->next_id * KEEPERS_GETS + (uint32_t)i;
        g->started_at = now;
        g->best_seq = -1;
        memcpy(g->key, key, sizeof g->key);
        k->next_at = now; /* asked in the next tick: no callback comes from within */
        return g->id;
    }
    return 0;
}

static void cancel(void *arg, uint32_t id)
{
    struct keepers *k = arg;
    struct get *g = &k->gets[id % KEEPERS_GETS];

    if (id == 0 || g->id != id)
        return;
    if (g->is_direct)
        k->own.cancel(k->own.arg, g->op);
    *g = (struct get){0};
}

void keepers_items(struct keepers *k, struct items_ops *out)
{
    *out = (struct items_ops){.arg = k, .get = get, .cancel = cancel};
}

/* ---- drops ---- */

static void have_watched(void *arg, ns_t now, uint32_t week, const uint8_t (*drops)[DHT_ID_BYTES])
{
    struct keepers *k = arg;

    k->drops = (struct drops){
        .version = k->drops.version % (UINT32_MAX - 1) + 1, .is_on = drops != NULL, .week = week};
    for (int i = 0; i < DROPS_WEEKS && drops != NULL; i++)
        memcpy(k->drops.ids[i], drops[i], DHT_ID_BYTES);
    k->next_at = now;
}

static bool watches(const struct keepers *k, const struct keeper *q)
{
    return q->link.is_up && q->watch.state == HELD_TAKEN && q->watch.version == k->drops.version &&
           k->drops.is_on;
}

static enum drops_watched watched(void *arg)
{
    const struct keepers *k = arg;
    bool has_caretaker = false, is_asked = false;

    for (int i = 0; i < RELAYS_LINKS; i++) {
        const struct keeper *q = &k->keepers[i];

        if (watches(k, q))
            return DROPS_WATCHED;
        has_caretaker |= q->is_caretaker;
        is_asked |= q->is_caretaker && (q->watch.version != k->drops.version || q->watch.state == HELD_ASKED);
    }
    is_asked |= !has_caretaker && !was_long_without_guard(k);
    return is_asked && k->drops.is_on ? DROPS_ASKED : DROPS_UNWATCHED;
}

static void send_watch(struct keepers *k, int link)
{
    struct held *h = &k->keepers[link].watch;
    struct care_msg m = {.type = CARE_WATCH, .req = h->req, .week = k->drops.week};

    m.flags = k->drops.is_on ? 0 : CARE_FLAG_NO_MORE;
    memcpy(m.drops, k->drops.ids, sizeof m.drops);
    say(k, link, &m);
}

static void step_watch(struct keepers *k, int link)
{
    struct held *h = &k->keepers[link].watch;

    if (h->version != k->drops.version) {
        *h =
            (struct held){.version = k->drops.version, .state = HELD_ASKED, .req = ++k->next_req, .tries = 1};
        h->at = k->now + RTO_NS;
        send_watch(k, link);
    } else if (h->state == HELD_ASKED && h->at <= k->now && h->tries == TRIES) {
        h->state = HELD_REFUSED; /* it does not know how, or is gone */
        h->at = k->now + REFUSED_NS;
    } else if (h->state == HELD_ASKED && h->at <= k->now) {
        h->at = k->now + (RTO_NS << h->tries++);
        send_watch(k, link);
    } else if (h->state == HELD_REFUSED && h->at <= k->now) {
        h->version = 0; /* once more */
        wake_at(k, k->now);
    }
    if (h->state == HELD_ASKED || h->state == HELD_REFUSED)
        wake_at(k, h->at);
}

static bool hear_watched(struct keepers *k, uint16_t link, const struct care_msg *m)
{
    struct held *h = &k->keepers[link].watch;

    if (h->state != HELD_ASKED || h->req != m->req)
        return false;
    h->state = m->flags & CARE_FLAG_TAKEN ? HELD_TAKEN : HELD_REFUSED;
    h->at = k->now + REFUSED_NS;
    k->next_at = k->now;
    return true;
}

/* Who told of that drop, else who watches, else any guard: only that one asks the overlay. */
static int next_reader(struct keepers *k, const struct look *l)
{
    struct get any = {0};
    int best = -1;

    for (int i = 0; i < RELAYS_LINKS; i++) {
        struct keeper *q = &k->keepers[i];

        if (watches(k, q) && q->has_news && memcmp(q->news, l->drop, sizeof l->drop) == 0) {
            q->has_news = false;
            return i;
        }
        if (watches(k, q) && best < 0)
            best = i;
    }
    return best >= 0 ? best : next_guard(k, &any);
}

static void end_look(struct keepers *k, struct look *l, enum err e)
{
    struct dht_result result = {.took_ns = k->now - l->started_at};
    struct look was = *l;

    *l = (struct look){0};
    was.done_cb(was.arg, e, &result);
}

static void on_direct_blob(void *arg, const uint8_t blob[DHT_BLOB_BYTES],
                           const uint8_t nonce[DHT_NONCE_BYTES], uint8_t bits)
{
    struct look *l = arg;

    l->blob_cb(l->arg, blob, nonce, bits);
}

static void on_direct_looked(void *arg, enum err e, const struct dht_result *result)
{
    struct look *l = arg;
    struct look was = *l;

    *l = (struct look){0};
    was.done_cb(was.arg, e, result);
}

static void look_direct(struct keepers *k, struct look *l)
{
    l->is_direct = true;
    l->op = dht_drop_get(k->config.dht, k->now, l->drop, on_direct_blob, on_direct_looked, l);
    if (l->op == 0)
        end_look(k, l, ERR_TIMEOUT);
    else if (l->is_observing)
        dht_observe(k->config.dht, k->now, l->drop, NULL, NULL);
}

static void step_look(struct keepers *k, struct look *l)
{
    struct care_msg m = {.type = CARE_LOOK, .req = l->id};

    if (l->link >= 0 && !k->keepers[l->link].link.is_up)
        l->link = -1;
    if (l->link < 0) {
        l->link = next_reader(k, l);
        l->tries = 0;
        l->at = k->now;
    }
    if (k->now >= l->started_at + LOOK_MAX_NS || (l->link < 0 && is_alone(k))) {
        end_look(k, l, ERR_TIMEOUT);
    } else if (l->link < 0 && looks_direct(k)) {
        look_direct(k, l);
    } else if (l->link >= 0 && k->now >= l->at && l->tries < TRIES) {
        l->at = k->now + (RTO_NS << ++l->tries);
        l->n_blobs = 0;
        memcpy(m.drop, l->drop, sizeof m.drop);
        say(k, l->link, &m);
    }
}

static uint32_t look(void *arg, ns_t now, const uint8_t drop[static DHT_ID_BYTES], bool is_observing,
                     dht_blob_cb blob_cb, dht_done_cb done_cb, void *cb_arg)
{
    struct keepers *k = arg;

    for (int i = 0; i < KEEPERS_LOOKS; i++) {
        struct look *l = &k->looks[i];

        if (l->id != 0)
            continue;
        *l = (struct look){
            .is_observing = is_observing, .blob_cb = blob_cb, .done_cb = done_cb, .arg = cb_arg};
        k->next_id = k->next_id % (UINT32_MAX / KEEPERS_GETS - 1) + 1;
        l->id = k->next_id * KEEPERS_GETS + (uint32_t)i;
        l->link = -1;
        l->started_at = now;
        memcpy(l->drop, drop, sizeof l->drop);
        k->next_at = now;
        return l->id;
    }
    return 0;
}

static void cancel_look(void *arg, uint32_t id)
{
    struct keepers *k = arg;

    for (int i = 0; i < KEEPERS_LOOKS; i++) {
        if (k->looks[i].id != id || id == 0)
            continue;
        if (k->looks[i].is_direct)
            dht_cancel(k->config.dht, k->looks[i].op);
        k->looks[i] = (struct look){0};
    }
}

void keepers_drops(struct keepers *k, struct drops_ops *out)
{
    *out = (struct drops_ops){
        .arg = k, .watch = have_watched, .watched = watched, .look = look, .cancel = cancel_look};
}

static struct look *look_of(struct keepers *k, uint32_t id, uint16_t link)
{
    for (int i = 0; i < KEEPERS_LOOKS; i++)
        if (id != 0 && k->looks[i].id == id && k->looks[i].link == link)
            return &k->looks[i];
    return NULL;
}

/* The work is checked here: the guard may say what it likes. */
static void hear_blob(struct keepers *k, uint16_t link, const struct care_msg *m)
{
    struct look *l = look_of(k, m->req, link);
    unsigned bits;

    if (l == NULL || memcmp(l->drop, m->drop, sizeof l->drop) != 0)
        return;
    l->n_blobs++;
    bits = pow_bits(l->drop, slice_of(m->blob, sizeof m->blob), m->nonce);
    l->blob_cb(l->arg, m->blob, m->nonce, (uint8_t)(bits < 255 ? bits : 255));
}

/* ---- what guards say ---- */

static struct get *get_of(struct keepers *k, uint32_t id, uint16_t link)
{
    struct get *g = &k->gets[id % KEEPERS_GETS];

    return id != 0 && g->id == id && (g->tried & 1u << link) ? g : NULL;
}

static void hear_value(struct keepers *k, uint16_t link, const struct care_msg *m)
{
    struct get *g = get_of(k, m->req, link);
    uint32_t id = m->req;

    if (g == NULL || memcmp(m->item.k, g->key, sizeof g->key) != 0 || m->item.seq < g->min_seq ||
        m->item.seq <= g->best_seq || g->n_values[link] == VALUES_MAX)
        return;
    g->n_values[link]++;
    if (item_verify(&m->item) != ERR_OK)
        return;
    if (g->value_cb != NULL && !g->value_cb(g->arg, &m->item))
        return;
    if (g->id != id) /* cancelled by what it brought */
        return;
    g->best_seq = m->item.seq;
    g->result.n_found++;
}

static void hear_done(struct keepers *k, uint16_t link, const struct care_msg *m)
{
    struct get *g = get_of(k, m->req, link);
    struct look *l = look_of(k, m->req, link);

    if (l != NULL) { /* fewer than were sent came: asked again */
        end_look(k, l, m->why == CARE_WHY_NONE && l->n_blobs >= m->n ? ERR_OK : ERR_TIMEOUT);
        return;
    }
    if (g == NULL || !(g->waiting & 1u << link))
        return;
    g->waiting &= ~(1u << link);
    g->result.n_nodes += m->n;
    g->was_alone = g->was_alone || m->why == CARE_WHY_ALONE || m->why == CARE_WHY_BUSY;
    step_get(k, g);
}

/* ---- caretakers ---- */

static void send_keep(struct keepers *k, int link, size_t slot)
{
    const struct publish_kept *kept = publish_kept(k->config.publish, slot);
    struct held *h = &k->keepers[link].held[slot];
    struct care_msg m = {
        .type = kept->version != 0 ? CARE_KEEP : CARE_DROP, .slot = (uint8_t)slot, .req = h->req};

    m.flags = kept->flags;
    m.from_s = kept->from_s;
    m.until_s = kept->until_s;
    if (kept->version != 0)
        m.item = kept->item;
    say(k, link, &m);
}

static void step_held(struct keepers *k, int link, size_t slot, unsigned *n_asked)
{
    const struct publish_kept *kept = publish_kept(k->config.publish, slot);
    struct held *h = &k->keepers[link].held[slot];
    bool is_news = h->version != kept->version;

    if (is_news && *n_asked < AT_ONCE) {
        *h = (struct held){.version = kept->version, .state = HELD_ASKED, .req = ++k->next_req, .tries = 1};
        h->at = k->now + RTO_NS;
        send_keep(k, link, slot);
    } else if (!is_news && h->at <= k->now && (h->state == HELD_ASKED || h->state == HELD_TAKEN)) {
        h->at =
            k->now + (h->state == HELD_TAKEN ? UNSTORED_NS : RTO_NS << (h->tries < TRIES ? h->tries : TRIES));
        h->tries++;
        send_keep(k, link, slot);
    } else if (!is_news && h->at <= k->now && h->state == HELD_REFUSED) {
        h->version = UINT32_MAX; /* once more */
    }
    *n_asked += h->state == HELD_ASKED;
    if (h->version != kept->version)
        wake_at(k, k->now + 50 * NS_PER_MS);
    else if (h->state == HELD_ASKED || h->state == HELD_TAKEN || h->state == HELD_REFUSED)
        wake_at(k, h->at);
}

/* What is to be put later has nothing to be told of before. */
static bool is_for_later(const struct keepers *k, const struct publish_kept *kept)
{
    return kept->from_s > dht_zone_time_ms(k->config.dht, k->now) / 1000;
}

static void hear_kept(struct keepers *k, uint16_t link, const struct care_msg *m)
{
    if (hear_watched(k, link, m))
        return;
    for (int i = 0; i < KEEPERS_ONCE; i++) {
        struct once *o = &k->onces[i];
        uint32_t handle = o->handle;

        if (handle == 0 || o->req != m->req || o->link != link)
            continue;
        if (m->flags == CARE_FLAG_TAKEN) {
            o->at = k->now + UNSTORED_NS;
            return;
        }
        *o = (struct once){0};
        publish_once_done(k->config.publish, k->now, handle, m->flags & CARE_FLAG_STORED);
        return;
    }
    for (size_t slot = 0; slot < CARE_SLOTS; slot++) {
        struct held *h = &k->keepers[link].held[slot];
        const struct publish_kept *kept = publish_kept(k->config.publish, slot);

        if (h->req != m->req || h->state == HELD_NO)
            continue;
        if ((m->flags & CARE_FLAG_STORED) || h->version == 0) {
            h->state = HELD_STORED;
            publish_note_stored(k->config.publish, k->now, slot, h->version, m->n);
        } else if (m->flags & CARE_FLAG_TAKEN) {
            h->state = HELD_TAKEN;
            h->at =
                kept->version == h->version && is_for_later(k, kept)
                    ? k->now + (ns_t)(kept->from_s + 60 - dht_zone_time_ms(k->config.dht, k->now) / 1000) *
                                   NS_PER_S
                    : k->now + UNSTORED_NS;
        } else {
            h->state = HELD_REFUSED;
            h->at = k->now + REFUSED_NS;
        }
        k->next_at = k->now;
        return;
    }
}

static void step_once(struct keepers *k, struct once *o)
{
    struct care_msg m = {.type = CARE_KEEP, .flags = CARE_FLAG_ONCE, .req = o->req};

    if (o->handle == 0 || o->at > k->now)
        return;
    if (o->tries++ >= TRIES || !k->keepers[o->link].is_caretaker) {
        uint32_t handle = o->handle;

        *o = (struct once){0};
        publish_once_done(k->config.publish, k->now, handle, false);
        return;
    }
    m.item = o->item;
    m.from_s = m.until_s = dht_zone_time_ms(k->config.dht, k->now) / 1000;
    m.until_s += 3600;
    o->at = k->now + (RTO_NS << o->tries);
    say(k, o->link, &m);
}

static void start_onces(struct keepers *k)
{
    int link = -1;

    for (int i = 0; i < RELAYS_LINKS && link < 0; i++)
        if (k->keepers[i].is_caretaker)
            link = i;
    for (int i = 0; i < KEEPERS_ONCE && link >= 0; i++) {
        struct once *o = &k->onces[i];

        if (o->handle != 0)
            continue;
        *o = (struct once){.link = link, .at = k->now};
        o->handle = publish_next_once(k->config.publish, k->now, &o->item);
        if (o->handle == 0)
            return;
        o->req = ++k->next_req;
        step_once(k, o);
    }
}

/* ---- the links ---- */

static bool is_same_link(const struct relays_link *a, const struct relays_link *b)
{
    return a->is_up == b->is_up && a->up_at == b->up_at && memcmp(a->node, b->node, sizeof a->node) == 0;
}

static void link_changed(struct keepers *k, int i, const struct relays_link *link)
{
    k->keepers[i] = (struct keeper){.link = *link};
    for (int n = 0; n < KEEPERS_ONCE; n++)
        if (k->onces[n].link == i)
            k->onces[n].at = k->now;
    for (int n = 0; n < KEEPERS_GETS; n++) { /* another one sits here now */
        k->gets[n].tried &= ~(1u << i);
        k->gets[n].waiting &= ~(1u << i);
        k->gets[n].n_values[i] = 0;
    }
}

/* Who of those up takes care: relays first, KEEPERS_WANTED at most. */
static unsigned choose_caretakers(struct keepers *k)
{
    unsigned n = 0;

    for (int i = 0; i < RELAYS_LINKS; i++)
        n += k->keepers[i].link.is_up && k->keepers[i].is_caretaker;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < RELAYS_LINKS && n < KEEPERS_WANTED; i++) {
            struct keeper *q = &k->keepers[i];

            if (!q->link.is_up || q->is_caretaker || q->link.is_relay != (pass == 0))
                continue;
            q->is_caretaker = true;
            n++;
        }
    return n;
}

static void look_at_links(struct keepers *k)
{
    bool has_care, puts;
    unsigned n;

    k->stats.guards = 0;
    for (int i = 0; i < RELAYS_LINKS; i++) {
        struct relays_link link;

        relays_link(k->config.relays, (uint16_t)i, &link);
        if (!is_same_link(&link, &k->keepers[i].link))
            link_changed(k, i, &link);
        k->stats.guards += link.is_up;
    }
    n = choose_caretakers(k);
    if (n > 0 || (is_alone(k) &&
                  !bridge_is_joined(k->config.bridge))) /* back from no network, a guard gets its time too */
        k->alone_since = k->now;
    has_care = n > 0 || (k->is_tended && k->now < k->alone_since + KEEPERS_WAIT_NS);
    puts = k->config.puts_itself || (!has_care && k->now >= k->alone_since + KEEPERS_WAIT_NS);
    if (has_care != k->is_tended || puts != k->puts_now)
        publish_set_ways(k->config.publish, k->now, has_care, puts);
    k->is_tended = has_care;
    k->puts_now = k->stats.puts_itself = puts;
}

static void look_who_watches(struct keepers *k)
{
    enum drops_watched is = watched(k), was = k->was_watched;

    k->was_watched = is;
    if (is == DROPS_UNWATCHED && was != is)
        k->config.unwatched(k->config.arg, k->now);
}

/* ---- the whole ---- */

struct keepers *keepers_create(const struct keepers_config *config, const struct env *env, ns_t now)
{
    struct keepers *k = mem_alloc(sizeof *k);

    k->config = *config;
    bridge_own_items(config->bridge, &k->own);
    k->env = env;
    k->now = k->alone_since = k->next_at = now;
    k->next_req = env_random_u32(env) >> 1;
    k->next_id = env_random_u32(env) >> 8;
    return k;
}

void keepers_destroy(struct keepers *k)
{
    if (k == NULL)
        return;
    for (int i = 0; i < KEEPERS_GETS; i++)
        if (k->gets[i].is_direct)
            k->own.cancel(k->own.arg, k->gets[i].op);
    for (int i = 0; i < KEEPERS_LOOKS; i++)
        cancel_look(k, k->looks[i].id);
    mem_free(k);
}

void keepers_set_puts_itself(struct keepers *k, bool puts_itself)
{
    k->config.puts_itself = puts_itself;
    k->next_at = k->now;
}

void keepers_message(struct keepers *k, ns_t now, uint16_t slot, struct slice msg)
{
    struct care_msg m;

    k->now = now;
    if (slot >= RELAYS_LINKS || !k->keepers[slot].link.is_up || care_parse(msg, &m) != ERR_OK)
        return;
    switch (m.type) {
    case CARE_KEPT:
        hear_kept(k, slot, &m);
        break;
    case CARE_VALUE:
        hear_value(k, slot, &m);
        break;
    case CARE_DONE:
        hear_done(k, slot, &m);
        break;
    case CARE_BLOB:
        hear_blob(k, slot, &m);
        break;
    case CARE_NEWS:
        k->keepers[slot].has_news = true;
        memcpy(k->keepers[slot].news, m.drop, sizeof m.drop);
        k->config.news(k->config.arg, now, m.drop);
        break;
    default:
        break;
    }
}

void keepers_leave(struct keepers *k, ns_t now, uint16_t slot)
{
    struct keeper *q = &k->keepers[slot];

    k->now = now;
    for (uint8_t i = 0; i < CARE_SLOTS; i++) {
        struct care_msg m = {.type = CARE_DROP, .slot = i, .req = ++k->next_req};

        if (q->held[i].version != 0)
            say(k, slot, &m);
    }
    if (q->watch.version != 0) {
        struct care_msg m = {.type = CARE_WATCH, .flags = CARE_FLAG_NO_MORE, .req = ++k->next_req};

        say(k, slot, &m);
    }
    memset(q->held, 0, sizeof q->held);
    q->watch = (struct held){0};
    q->is_caretaker = false;
}

void keepers_wake(struct keepers *k, ns_t now)
{
    k->next_at = ns_min(k->next_at, now);
}

void keepers_tick(struct keepers *k, ns_t now)
{
    k->now = now;
    k->next_at = now + STEP_NS;
    look_at_links(k);
    for (int i = 0; i < RELAYS_LINKS; i++) {
        unsigned n_asked = 0;

        for (size_t slot = 0; slot < CARE_SLOTS && k->keepers[i].is_caretaker; slot++)
            step_held(k, i, slot, &n_asked);
        if (k->keepers[i].is_caretaker)
            step_watch(k, i);
    }
    look_who_watches(k);
    for (int i = 0; i < KEEPERS_ONCE; i++)
        step_once(k, &k->onces[i]);
    if (k->is_tended)
        start_onces(k);
    for (int i = 0; i < KEEPERS_GETS; i++)
        if (k->gets[i].id != 0 && !k->gets[i].is_direct)
            step_get(k, &k->gets[i]);
    for (int i = 0; i < KEEPERS_LOOKS; i++) {
        if (k->looks[i].id == 0 || k->looks[i].is_direct)
            continue;
        step_look(k, &k->looks[i]);
        wake_at(k, now + 200 * NS_PER_MS);
    }
    for (int i = 0; i < KEEPERS_GETS; i++)
        if (k->gets[i].id != 0)
            wake_at(k, get_deadline(k, &k->gets[i]));
}

ns_t keepers_deadline(const struct keepers *k)
{
    return k->next_at;
}

void keepers_stats(const struct keepers *k, struct keepers_stats *out)
{
    *out = k->stats;
    out->caretakers = 0;
    for (int i = 0; i < RELAYS_LINKS; i++)
        for (size_t slot = 0; slot < CARE_SLOTS; slot++)
            if (k->keepers[i].is_caretaker && k->keepers[i].held[slot].state >= HELD_TAKEN &&
                k->keepers[i].held[slot].state != HELD_REFUSED && k->keepers[i].held[slot].version != 0) {
                out->caretakers++;
                break;
            }
}
