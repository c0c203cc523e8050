#include "sip/layer.h"

#include <sys/time.h>
#include <time.h>
#include <osip2/osip.h>

#include "base/list.h"
#include "base/mem.h"
#include "sip/msg.h"
#include "sip/osip_clock.h"

struct sip_txn {
    struct list link;
    struct sip_layer *layer;
    osip_transaction_t *tr;
    void *flow, *user;
    char *key;     /* server: sip_msg_key() of the request */
    ns_t stuck_at; /* osip has no timer for the proceeding states */
    bool is_muted, is_killed, is_abandoned, has_final;
};

enum event_type { EVENT_REQUEST, EVENT_RESPONSE, EVENT_TIMEOUT, EVENT_KILL };

struct event {
    struct list link;
    enum event_type type;
    struct sip_txn *txn;
    const osip_message_t *msg; /* belongs to osip, stays until the next message of this transaction */
};

/* An INVITE with a final response: osip forgets it, after a 2xx at once (RFC 6026 §7.1), after a refusal 5 s after
 * the ACK. Its late copies must not ring again. */
struct absorbed {
    char *key;
    ns_t until;
};

struct pending_input {
    void *flow;
    uint8_t *data;
    size_t len;
};

struct sip_layer {
    const struct env *env;
    struct sip_layer_ops ops;
    void *arg;
    osip_t *osip;
    struct list txns, events;
    struct absorbed absorbed[LAYER_ABSORBED];
    uint32_t next_absorbed;
    struct pending_input inputs[LAYER_QUEUE]; /* came while another was handled */
    uint32_t n_inputs;
    ns_t due;
    struct sip_layer_stats stats;
    bool is_in_osip, is_busy, is_dead;
};

/* ---- from osip ---- */

static struct sip_layer *layer_of(const osip_transaction_t *tr)
{
    return osip_get_application_context(tr->config);
}

static void push_event(osip_transaction_t *tr, enum event_type type, const osip_message_t *msg)
{
    struct sip_layer *l = layer_of(tr);
    struct event *e;

    if (tr->reserved1 == NULL)
        return;
    e = mem_alloc(sizeof *e);
    e->type = type;
    e->txn = tr->reserved1;
    e->msg = msg;
    list_append(&l->events, &e->link);
}

static void on_request(int type, osip_transaction_t *tr, osip_message_t *msg)
{
    (void)type;
    push_event(tr, EVENT_REQUEST, msg);
}

static void on_response(int type, osip_transaction_t *tr, osip_message_t *msg)
{
    (void)type;
    push_event(tr, EVENT_RESPONSE, msg);
}

static void on_timeout(int type, osip_transaction_t *tr, osip_message_t *msg)
{
    (void)type, (void)msg;
    push_event(tr, EVENT_TIMEOUT, NULL);
}

/* osip still uses the transaction when it says so: it is freed when the event's turn comes. */
static void on_kill(int type, osip_transaction_t *tr)
{
    struct sip_txn *txn = tr->reserved1;

    (void)type;
    if (txn == NULL || txn->is_killed)
        return;
    txn->is_killed = true;
    push_event(tr, EVENT_KILL, NULL);
}

void layer_send(struct sip_layer *l, void *flow, osip_message_t *msg)
{
    char *text = NULL;
    size_t len = 0;

    if (flow == NULL || osip_message_to_str(msg, &text, &len) != 0)
        return;
    l->stats.sent++;
    l->ops.send(l->arg, flow, slice_of(text, len));
    mem_free(text);
}

/* Always 0: an error would make osip end the transaction, and a flow may come back. */
static int on_send(osip_transaction_t *tr, osip_message_t *msg, char *host, int port, int sock)
{
    struct sip_txn *txn = tr->reserved1;

    (void)host, (void)port, (void)sock;
    if (txn == NULL || (txn->is_muted && MSG_IS_INVITE(msg)))
        return 0;
    /* osip makes the ACK of a refusal itself, and forgets Max-Forwards (RFC 3261 §8.1.1). */
    if (MSG_IS_ACK(msg) && sip_msg_header(msg, "max-forwards") == NULL)
        osip_message_set_max_forwards(msg, "70");
    layer_send(txn->layer, txn->flow, msg);
    return 0;
}

static void set_callbacks(osip_t *osip)
{
    static const int requests[] = {
        OSIP_IST_INVITE_RECEIVED,   OSIP_NIST_REGISTER_RECEIVED,  OSIP_NIST_BYE_RECEIVED,
        OSIP_NIST_OPTIONS_RECEIVED, OSIP_NIST_INFO_RECEIVED,      OSIP_NIST_CANCEL_RECEIVED,
        OSIP_NIST_NOTIFY_RECEIVED,  OSIP_NIST_SUBSCRIBE_RECEIVED, OSIP_NIST_UNKNOWN_REQUEST_RECEIVED};
    static const int responses[] = {
        OSIP_ICT_STATUS_1XX_RECEIVED,  OSIP_ICT_STATUS_2XX_RECEIVED,  OSIP_ICT_STATUS_3XX_RECEIVED,
        OSIP_ICT_STATUS_4XX_RECEIVED,  OSIP_ICT_STATUS_5XX_RECEIVED,  OSIP_ICT_STATUS_6XX_RECEIVED,
        OSIP_NICT_STATUS_1XX_RECEIVED, OSIP_NICT_STATUS_2XX_RECEIVED, OSIP_NICT_STATUS_3XX_RECEIVED,
        OSIP_NICT_STATUS_4XX_RECEIVED, OSIP_NICT_STATUS_5XX_RECEIVED, OSIP_NICT_STATUS_6XX_RECEIVED};

    osip_set_cb_send_message(osip, on_send);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        osip_set_message_callback(osip, requests[i], on_request);
    for (size_t i = 0; i < sizeof responses / sizeof *responses; i++)
        osip_set_message_callback(osip, responses[i], on_response);
    osip_set_message_callback(osip, OSIP_ICT_STATUS_TIMEOUT, on_timeout);
    osip_set_message_callback(osip, OSIP_NICT_STATUS_TIMEOUT, on_timeout);
    for (int i = 0; i < OSIP_KILL_CALLBACK_COUNT; i++)
        osip_set_kill_transaction_callback(osip, i, on_kill);
}

/* ---- turns ---- */

/* Let osip handle what lies in its queues; not from within osip, which is not re-entrant. */
static void execute(struct sip_layer *l, ns_t now)
{
    if (l->is_in_osip)
        return;
    l->is_in_osip = true;
    osip_clock_set(now);
    osip_ict_execute(l->osip);
    osip_nict_execute(l->osip);
    osip_ist_execute(l->osip);
    osip_nist_execute(l->osip);
    l->is_in_osip = false;
}

static void txn_free(struct sip_txn *txn)
{
    if (txn->tr != NULL)
        osip_transaction_free(txn->tr);
    list_remove(&txn->link);
    txn->layer->stats.transactions--;
    mem_free(txn->key);
    mem_free(txn);
}

static void dispatch(struct sip_layer *l, ns_t now, const struct event *e)
{
    struct sip_txn *txn = e->txn;

    switch (e->type) {
    case EVENT_REQUEST:
        l->ops.request(l->arg, now, txn, e->msg);
        break;
    case EVENT_RESPONSE:
        l->ops.response(l->arg, now, txn, e->msg);
        break;
    case EVENT_TIMEOUT:
        l->stats.timeouts++;
        l->ops.timeout(l->arg, now, txn);
        break;
    case EVENT_KILL:
        l->ops.gone(l->arg, txn);
        if (!l->is_dead)
            txn_free(txn);
        break;
    }
}

static void drain(struct sip_layer *l, ns_t now)
{
    while (!l->is_dead && !list_is_empty(&l->events)) {
        struct event *e = list_item(l->events.next, struct event, link);

        list_remove(&e->link);
        /* Between abandoning and freeing nobody wants to hear of it. */
        if (e->type == EVENT_KILL || !e->txn->is_abandoned)
            dispatch(l, now, e);
        mem_free(e);
    }
}

static void settle(struct sip_layer *l, ns_t now)
{
    struct timeval tv;

    if (l->is_dead)
        return;
    if (!list_is_empty(&l->events) || l->n_inputs > 0 || l->is_in_osip) {
        l->due = now;
        return;
    }
    osip_clock_set(now);
    osip_timers_gettimeout(l->osip, &tv);
    l->due = tv.tv_sec >= 300 * 24 * 3600 ? NS_NEVER
                                          : now + (ns_t)tv.tv_sec * NS_PER_S + (ns_t)tv.tv_usec * NS_PER_US;
    list_each(node, &l->txns) l->due = ns_min(l->due, list_item(node, struct sip_txn, link)->stuck_at);
}

/* ---- transactions ---- */

/* A finished server transaction waits for copies of its request only: under pressure the oldest one (of this flow,
 * or of anybody's when flow is NULL) makes room. */
static bool evict(struct sip_layer *l, const void *flow)
{
    list_each(node, &l->txns)
    {
        struct sip_txn *txn = list_item(node, struct sip_txn, link);

        if (!txn->has_final || txn->is_killed || (flow != NULL && txn->flow != flow))
            continue;
        layer_abandon(txn);
        return true;
    }
    return false;
}

static bool has_room(struct sip_layer *l, const void *flow)
{
    uint32_t n = 0, n_flow = 0;

    list_each(node, &l->txns)
    {
        const struct sip_txn *txn = list_item(node, struct sip_txn, link);

        n += !txn->is_killed;
        n_flow += !txn->is_killed && txn->flow == flow;
    }
    if (n_flow >= LAYER_PER_FLOW ? evict(l, flow) : n < LAYER_TRANSACTIONS || evict(l, NULL))
        return true;
    l->stats.full++;
    return false;
}

static struct sip_txn *txn_create(struct sip_layer *l, ns_t now, void *flow, osip_fsm_type_t type,
                                  osip_message_t *msg)
{
    osip_transaction_t *tr = NULL;
    struct sip_txn *txn;

    osip_clock_set(now);
    if (osip_transaction_init(&tr, type, l->osip, msg) != 0)
        return NULL;
    txn = mem_alloc(sizeof *txn);
    txn->layer = l;
    txn->tr = tr;
    txn->flow = flow;
    txn->stuck_at = now + LAYER_STUCK_NS;
    tr->reserved1 = txn;
    list_append(&l->txns, &txn->link);
    l->stats.transactions++;
    return txn;
}

struct sip_txn *layer_request(struct sip_layer *l, ns_t now, void *flow, osip_message_t *msg, void *user)
{
    struct sip_txn *txn = NULL;

    if (l->stats.transactions < LAYER_TRANSACTIONS || evict(l, NULL))
        txn = txn_create(l, now, flow, MSG_IS_INVITE(msg) ? ICT : NICT, msg);
    else
        l->stats.full++;
    if (txn == NULL) {
        osip_message_free(msg);
        return NULL;
    }
    txn->user = user;
    osip_transaction_add_event(txn->tr, osip_new_outgoing_sipmessage(msg));
    execute(l, now);
    settle(l, now);
    return txn;
}

static void absorb(struct sip_layer *l, ns_t now, struct sip_txn *txn)
{
    struct absorbed *a = &l->absorbed[l->next_absorbed++ % LAYER_ABSORBED];

    mem_free(a->key);
    a->key = mem_str(txn->key);
    a->until = now + LAYER_64_T1_NS;
}

enum err layer_respond(struct sip_layer *l, ns_t now, struct sip_txn *txn, osip_message_t *msg)
{
    if (msg == NULL)
        return ERR_RANGE;
    if (txn->has_final || txn->is_killed) {
        osip_message_free(msg);
        return ERR_STATE;
    }
    txn->has_final = msg->status_code >= 200;
    if (txn->tr->ctx_type == IST && txn->has_final)
        absorb(l, now, txn);
    osip_transaction_add_event(txn->tr, osip_new_outgoing_sipmessage(msg));
    execute(l, now);
    settle(l, now);
    return ERR_OK;
}

static bool is_client(const struct sip_txn *txn)
{
    return txn->tr->ctx_type == ICT || txn->tr->ctx_type == NICT;
}

/* RFC 3261 §17.1.3, and the same flow. */
static struct sip_txn *find_client(struct sip_layer *l, const void *flow, const osip_message_t *msg)
{
    const char *branch = sip_branch(msg);

    list_each(node, &l->txns)
    {
        struct sip_txn *txn = list_item(node, struct sip_txn, link);
        const osip_message_t *req = txn_request(txn);

        if (is_client(txn) && !txn->is_killed && txn->flow == flow && req != NULL &&
            strcmp(sip_branch(req), branch) == 0 && strcmp(req->cseq->method, msg->cseq->method) == 0)
            return txn;
    }
    return NULL;
}

static struct sip_txn *find_server(struct sip_layer *l, const void *flow, const char *key, const char *method)
{
    list_each(node, &l->txns)
    {
        struct sip_txn *txn = list_item(node, struct sip_txn, link);

        if (!is_client(txn) && !txn->is_killed && txn->flow == flow && strcmp(txn->key, key) == 0 &&
            strcmp(txn->tr->cseq->method, method) == 0)
            return txn;
    }
    return NULL;
}

struct sip_txn *layer_find_invite(struct sip_layer *l, void *flow, const osip_message_t *cancel)
{
    char *key = sip_msg_key(cancel);
    struct sip_txn *txn = find_server(l, flow, key, "INVITE");

    mem_free(key);
    return txn;
}

static bool is_absorbed(const struct sip_layer *l, ns_t now, const char *key)
{
    for (size_t i = 0; i < LAYER_ABSORBED; i++) {
        const struct absorbed *a = &l->absorbed[i];

        if (a->key != NULL && now < a->until && strcmp(a->key, key) == 0)
            return true;
    }
    return false;
}

void layer_mute(struct sip_txn *txn)
{
    txn->is_muted = true;
}

void layer_abandon(struct sip_txn *txn)
{
    if (txn->is_killed)
        return;
    txn->is_abandoned = true;
    on_kill(0, txn->tr);
    osip_remove_transaction(txn->layer->osip, txn->tr);
    txn->layer->due = 0;
}

void layer_forget(struct sip_layer *l, const void *user)
{
    list_each(node, &l->txns)
    {
        struct sip_txn *txn = list_item(node, struct sip_txn, link);

        if (txn->user == user)
            txn->user = NULL;
    }
}

void layer_move_flow(struct sip_layer *l, const void *user, void *from, void *to)
{
    list_each(node, &l->txns)
    {
        struct sip_txn *txn = list_item(node, struct sip_txn, link);

        if (txn->flow == from && (user == NULL || txn->user == user))
            txn->flow = to;
    }
    for (size_t i = 0; i < l->n_inputs && user == NULL; i++)
        if (l->inputs[i].flow == from)
            l->inputs[i].flow = to;
}

void *txn_user(const struct sip_txn *txn)
{
    return txn->user;
}

void txn_set_user(struct sip_txn *txn, void *user)
{
    txn->user = user;
}

void *txn_flow(const struct sip_txn *txn)
{
    return txn->flow;
}

const osip_message_t *txn_request(const struct sip_txn *txn)
{
    return txn->tr->orig_request;
}

bool txn_has_final(const struct sip_txn *txn)
{
    return txn->has_final;
}

/* ---- messages in ---- */

static void add_event(struct sip_txn *txn, type_t type, osip_message_t *msg)
{
    osip_event_t *e = mem_alloc(sizeof *e);

    e->type = type;
    e->sip = msg;
    osip_transaction_add_event(txn->tr, e);
}

/* Takes msg. */
static void take_response(struct sip_layer *l, ns_t now, void *flow, osip_message_t *msg)
{
    struct sip_txn *txn = find_client(l, flow, msg);

    if (txn != NULL) {
        add_event(txn,
                  MSG_IS_STATUS_1XX(msg)   ? RCV_STATUS_1XX
                  : MSG_IS_STATUS_2XX(msg) ? RCV_STATUS_2XX
                                           : RCV_STATUS_3456XX,
                  msg);
        return;
    }
    if (MSG_IS_STATUS_2XX(msg) && strcmp(msg->cseq->method, "INVITE") == 0)
        l->ops.stray(l->arg, now, flow, msg);
    else
        l->stats.unmatched++;
    osip_message_free(msg);
}

/* Takes msg. */
static void take_request(struct sip_layer *l, ns_t now, void *flow, osip_message_t *msg)
{
    bool is_ack = MSG_IS_ACK(msg), is_invite = MSG_IS_INVITE(msg);
    char *key = sip_msg_key(msg);
    struct sip_txn *txn = find_server(l, flow, key, is_ack ? "INVITE" : msg->sip_method);

    if (txn == NULL && is_ack) {
        l->ops.ack(l->arg, now, flow, msg);
    } else if (txn == NULL && is_invite && is_absorbed(l, now, key)) {
        l->stats.absorbed++;
    } else if (txn == NULL && has_room(l, flow)) {
        txn = txn_create(l, now, flow, is_invite ? IST : NIST, msg);
        if (txn != NULL) {
            txn->key = key;
            key = NULL;
        }
    }
    mem_free(key);
    if (txn != NULL)
        add_event(txn, is_ack ? RCV_REQACK : is_invite ? RCV_REQINVITE : RCV_REQUEST, msg);
    else
        osip_message_free(msg);
}

/* Said once, by no transaction: the request is not one (RFC 3261 §8.2.7). Never longer than what it answers. */
static void refuse(struct sip_layer *l, void *flow, const osip_message_t *req, int code, size_t max_bytes)
{
    uint8_t text[SIP_MESSAGE_MAX_BYTES];
    struct wr w;
    char tag[SIP_TOKEN_BYTES];

    sip_random_token(l->env, tag);
    wr_init(&w, text, max_bytes < sizeof text ? max_bytes : sizeof text);
    sip_put_response(&w, req, code, NULL, tag);
    sip_put_body(&w, NULL, slice_of(NULL, 0));
    if (!wr_ok(&w) || flow == NULL)
        return;
    l->stats.sent++;
    l->ops.send(l->arg, flow, wr_done(&w));
}

static enum err take(struct sip_layer *l, ns_t now, void *flow, struct slice bytes)
{
    osip_message_t *msg;
    int code;
    enum err e = sip_msg_parse(bytes, &msg, &code);

    l->stats.received++;
    if (e != ERR_OK) {
        l->stats.bad++;
        if (e == ERR_REFUSED)
            refuse(l, flow, msg, code, bytes.len);
        osip_message_free(msg);
        return e;
    }
    osip_clock_set(now);
    if (MSG_IS_RESPONSE(msg))
        take_response(l, now, flow, msg);
    else
        take_request(l, now, flow, msg);
    if (!l->is_dead) {
        execute(l, now);
        drain(l, now);
    }
    return ERR_OK;
}

static enum err put_off(struct sip_layer *l, void *flow, struct slice bytes)
{
    struct pending_input *in = &l->inputs[l->n_inputs];

    if (l->n_inputs == LAYER_QUEUE || bytes.len > SIP_MESSAGE_MAX_BYTES) {
        l->stats.full++;
        return ERR_FULL;
    }
    *in = (struct pending_input){.flow = flow, .data = mem_dup(bytes.data, bytes.len), .len = bytes.len};
    l->n_inputs++;
    return ERR_OK;
}

static void take_put_off(struct sip_layer *l, ns_t now)
{
    while (!l->is_dead && l->n_inputs > 0) {
        struct pending_input in = l->inputs[0];

        l->n_inputs--;
        memmove(l->inputs, l->inputs + 1, l->n_inputs * sizeof *l->inputs);
        if (in.flow != NULL)
            (void)take(l, now, in.flow, slice_of(in.data, in.len));
        mem_free(in.data);
    }
}

enum err layer_input(struct sip_layer *l, ns_t now, void *flow, struct slice bytes)
{
    enum err e;

    if (flow == NULL || l->is_dead)
        return ERR_STATE;
    if (l->is_busy || l->is_in_osip) {
        l->due = now;
        return put_off(l, flow, bytes);
    }
    l->is_busy = true;
    drain(l, now);
    if (!l->is_dead)
        e = take(l, now, flow, bytes);
    else
        e = ERR_STATE;
    take_put_off(l, now);
    l->is_busy = false;
    settle(l, now);
    return e;
}

void layer_tick(struct sip_layer *l, ns_t now)
{
    if (l->is_busy || l->is_in_osip || l->is_dead)
        return;
    l->is_busy = true;
    osip_clock_set(now);
    osip_timers_ict_execute(l->osip);
    osip_timers_nict_execute(l->osip);
    osip_timers_ist_execute(l->osip);
    osip_timers_nist_execute(l->osip);
    list_each_safe(node, &l->txns)
    {
        struct sip_txn *txn = list_item(node, struct sip_txn, link);

        if (now >= txn->stuck_at) {
            l->stats.timeouts++;
            txn->stuck_at = NS_NEVER;
            layer_abandon(txn);
        }
    }
    execute(l, now);
    drain(l, now);
    take_put_off(l, now);
    l->is_busy = false;
    settle(l, now);
}

ns_t layer_deadline(const struct sip_layer *l)
{
    return l->due;
}

/* ---- life ---- */

struct sip_layer *layer_create(const struct sip_layer_ops *ops, void *arg, const struct env *env)
{
    struct sip_layer *l = mem_alloc(sizeof *l);

    sip_msg_setup();
    l->ops = *ops;
    l->arg = arg;
    l->env = env;
    l->due = NS_NEVER;
    list_init(&l->txns);
    list_init(&l->events);
    if (osip_init(&l->osip) != 0) {
        mem_free(l);
        return NULL;
    }
    osip_set_application_context(l->osip, l);
    set_callbacks(l->osip);
    return l;
}

static void layer_free(void *arg)
{
    struct sip_layer *l = arg;

    list_each_safe(e, &l->events)
    {
        list_remove(e);
        mem_free(list_item(e, struct event, link));
    }
    list_each_safe(node, &l->txns) txn_free(list_item(node, struct sip_txn, link));
    for (size_t i = 0; i < LAYER_ABSORBED; i++)
        mem_free(l->absorbed[i].key);
    for (size_t i = 0; i < l->n_inputs; i++)
        mem_free(l->inputs[i].data);
    osip_release(l->osip);
    mem_free(l);
}

void layer_destroy(struct sip_layer *l)
{
    if (l == NULL || l->is_dead)
        return;
    l->is_dead = true;
    l->due = NS_NEVER;
    env_defer(l->env, layer_free, l);
}

void layer_get_stats(const struct sip_layer *l, struct sip_layer_stats *out)
{
    *out = l->stats;
}
