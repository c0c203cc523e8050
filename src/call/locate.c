#include "call/locate.h"

#include "base/mem.h"

#define EPOCHS      3                          /* that of zone time, the one before, the one after */
#define QUERIES_MAX (2 * DEVICES_MAX * EPOCHS) /* of the list we know, and of a newer one */

/* One lookup of one key in one epoch. */
struct query {
    struct locate *owner;
    uint32_t id; /* of the look-up; 0: not running */
    bool is_card;
    struct device_entry device; /* else: whose record */
    uint8_t P[KEY_BYTES];
    ns_t asked_at;
};

struct locate {
    struct dht *dht;
    struct items_ops items;
    const struct env *env;
    struct locate_ops ops;
    struct locate_who who;
    struct device_list newest; /* seen in a record; gen 0: none */
    struct query queries[QUERIES_MAX];
    unsigned n_queries, n_running;
    ns_t now;
    bool has_card, is_over;
    unsigned n_records;
    enum err worst;
};

static void start_devices(struct locate *l);
static void ask_new(struct locate *l);

static void wipe_and_free(void *p)
{
    secret_wipe(p, sizeof(struct locate));
    mem_free(p);
}

static void release(struct locate *l)
{
    if (l->is_over)
        return;
    l->is_over = true;
    for (unsigned i = 0; i < l->n_queries; i++)
        if (l->queries[i].id != 0)
            l->items.cancel(l->items.arg, l->queries[i].id);
    env_defer(l->env, wipe_and_free, l);
}

void locate_stop(struct locate *l)
{
    if (l != NULL)
        release(l);
}

static void finish(struct locate *l, enum err e)
{
    struct locate_ops ops = l->ops;

    if (l->is_over)
        return;
    release(l);
    ops.done(ops.arg, e);
}

/* ---- what came back ---- */

static bool take_card(struct locate *l, struct slice plain)
{
    struct card_record card;
    struct device_list list;

    if (card_record_parse(plain, &card) != ERR_OK || device_list_open(card.list, l->who.A, &list) != ERR_OK)
        return false;
    l->has_card = true;
    l->who.has_S = true;
    memcpy(l->who.S, card.S, KEY_BYTES);
    l->who.has_devices = true;
    l->who.devices = list;
    l->ops.card(l->ops.arg, card.S_gen, card.S, &list);
    secret_wipe(&card, sizeof card);
    return true;
}

static bool take_record(struct locate *l, const struct query *q, struct slice plain)
{
    struct dev_record record;
    struct device_list list;
    unsigned good = 0;

    if (dev_record_parse(plain, &record) != ERR_OK ||
        device_list_open(record.list, l->who.A, &list) != ERR_OK)
        return false;
    for (unsigned i = 0; i < record.n_relays; i++)
        if (ed_key_valid(record.relays[i].node))
            record.relays[good++] = record.relays[i];
    record.n_relays = (uint8_t)good;
    l->n_records++;
    if (list.gen > l->newest.gen)
        l->newest = list;
    l->ops.record(l->ops.arg, &q->device, &record, &list);
    return true;
}

static bool on_value(void *arg, const struct item *item)
{
    struct query *q = arg;
    struct locate *l = q->owner;
    uint8_t plain[ITEM_PLAIN_MAX];
    size_t len;
    bool is_taken;

    if (l->is_over || item_open(q->is_card ? l->who.T : l->who.S, q->P, slice_of(item->v, item->v_len), plain,
                                &len) != ERR_OK)
        return false;
    is_taken = q->is_card ? take_card(l, slice_of(plain, len)) : take_record(l, q, slice_of(plain, len));
    secret_wipe(plain, sizeof plain);
    return is_taken;
}

static void on_done(void *arg, enum err e, const struct dht_result *result)
{
    struct query *q = arg;
    struct locate *l = q->owner;

    l->now = q->asked_at + result->took_ns;
    q->id = 0;
    l->n_running--;
    if (e == ERR_TIMEOUT)
        l->worst = ERR_TIMEOUT;
    if (!l->is_over)
        ask_new(l);
    if (l->n_running > 0 || l->is_over)
        return;
    if (q->is_card) {
        if (l->has_card)
            start_devices(l);
        else
            finish(l, l->worst == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_REFUSED);
        return;
    }
    if (l->n_records > 0)
        finish(l, ERR_OK);
    else
        finish(l, l->worst == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_NOT_FOUND);
}

/* ---- asking ---- */

/* device NULL: the card. */
static void ask(struct locate *l, const struct device_entry *device, int64_t offset_s)
{
    struct query *q = &l->queries[l->n_queries];
    enum item_kind kind = device == NULL ? ITEM_CARD : ITEM_DEV;
    const uint8_t *P = device == NULL ? l->who.A : device->Q, *X = device == NULL ? l->who.T : l->who.S;
    int64_t t_s = dht_zone_time_ms(l->dht, l->now) / 1000 + offset_s;

    if (l->n_queries == QUERIES_MAX || (device != NULL && memcmp(device->Q, l->who.skip, KEY_BYTES) == 0))
        return;
    if (item_blind_public(kind, P, X, item_epoch(P, X, t_s), q->P) != ERR_OK)
        return;
    q->owner = l;
    q->is_card = device == NULL;
    q->device = device != NULL ? *device : (struct device_entry){0};
    q->asked_at = l->now;
    q->id = l->items.get(l->items.arg, l->now, q->P, 0, on_value, on_done, q);
    if (q->id == 0)
        return;
    l->n_queries++;
    l->n_running++;
}

/* The epoch of now, and the neighbour when its border is near: clocks of zones differ by little (§4.2). */
static void ask_epochs(struct locate *l, const struct device_entry *device)
{
    const uint8_t *P = device == NULL ? l->who.A : device->Q, *X = device == NULL ? l->who.T : l->who.S;
    int64_t t_s = dht_zone_time_ms(l->dht, l->now) / 1000;
    int64_t left = item_epoch_left_s(P, X, t_s);

    ask(l, device, 0);
    if (left < ITEM_OVERLAP_S)
        ask(l, device, left);
    else if (ITEM_EPOCH_S - left < ITEM_OVERLAP_S)
        ask(l, device, -(ITEM_EPOCH_S - left + 1));
}

static void out_of_reach(void *arg)
{
    finish(arg, ERR_TIMEOUT);
}

static void start_devices(struct locate *l)
{
    l->n_queries = 0;
    for (int i = 0; i < l->who.devices.n; i++)
        ask_epochs(l, &l->who.devices.devices[i]);
    if (l->n_running == 0)
        env_defer(l->env, out_of_reach, l);
}

/* A record brought a newer list: who is new there is looked for as well. */
static void ask_new(struct locate *l)
{
    struct device_list known = l->who.devices;
    const struct device_list *list = &l->newest;

    if (list->gen <= known.gen)
        return;
    l->who.devices = *list;
    for (int i = 0; i < list->n; i++) {
        bool is_known = false;

        for (int k = 0; k < known.n; k++)
            is_known = is_known || memcmp(known.devices[k].Q, list->devices[i].Q, KEY_BYTES) == 0;
        if (!is_known)
            ask_epochs(l, &l->who.devices.devices[i]);
    }
}

struct locate *locate_start(struct dht *dht, const struct items_ops *items, ns_t now,
                            const struct locate_who *who, const struct locate_ops *ops, const struct env *env)
{
    struct locate *l = mem_alloc(sizeof *l);

    l->dht = dht;
    l->items = *items;
    l->env = env;
    l->ops = *ops;
    l->who = *who;
    l->now = now;
    if (who->has_S && who->has_devices) {
        start_devices(l);
        return l;
    }
    ask_epochs(l, NULL);
    if (l->n_running == 0)
        env_defer(env, out_of_reach, l);
    return l;
}
