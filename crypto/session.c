#include "crypto/session.h"

#include "base/mem.h"
#include "crypto/session_impl.h"

/* --- objects --- */

struct session *new_session(struct sessions *x, enum session_class class)
{
    struct session *s = mem_alloc(sizeof *s);

    s->table = x;
    s->id = ++x->last_id;
    s->class = class;
    list_init(&s->runs);
    list_append(&x->sessions, &s->link);
    return s;
}

struct run *new_run(struct session *s, enum run_state state, ns_t now)
{
    struct sessions *x = s->table;
    struct run *r = mem_alloc(sizeof *r);

    do
        r->local = env_random_u32(x->env);
    while (find_run(x, r->local) != NULL);
    r->state = state;
    r->session = s;
    r->is_initiator = state == RUN_OPENING;
    r->began_at = now;
    r->retry_at = r->end_at = r->rekey_at = r->life_end_at = NS_NEVER;
    r->shake = mem_alloc(sizeof *r->shake);
    list_append(&s->runs, &r->of_session);
    list_init(&r->pending);
    if (state == RUN_HEARD) {
        list_append(&x->pending, &r->pending);
        x->stats.n_pending++;
    }
    HASH_ADD(hh, x->runs, local, sizeof r->local, r);
    return r;
}

struct run *find_run(struct sessions *x, uint32_t local)
{
    struct run *r;

    HASH_FIND(hh, x->runs, &local, sizeof local, r);
    return r;
}

void drop_shake(struct run *r)
{
    if (r->shake == NULL)
        return;
    secret_wipe(r->shake, sizeof *r->shake);
    mem_free(r->shake);
    r->shake = NULL;
}

static void free_run(void *arg)
{
    struct run *r = arg;

    drop_shake(r);
    secret_wipe(r, sizeof *r);
    mem_free(r);
}

static void free_session(void *arg)
{
    secret_wipe(arg, sizeof(struct session));
    mem_free(arg);
}

static void leave_pending(struct run *r)
{
    if (!list_is_empty(&r->pending)) {
        list_remove(&r->pending);
        r->session->table->stats.n_pending--;
    }
}

void drop_run(struct run *r)
{
    struct session *s = r->session;
    struct sessions *x = s->table;

    HASH_DELETE(hh, x->runs, r);
    leave_pending(r);
    list_remove(&r->of_session);
    heap_remove(&x->timers, &r->timer);
    reassembly_forget(x->reassembly, r->local);
    if (s->current == r)
        s->current = NULL;
    if (s->next == r)
        s->next = NULL;
    env_defer(x->env, free_run, r);
}

void drop_session(struct session *s)
{
    struct sessions *x = s->table;

    if (s->is_gone)
        return;
    s->is_gone = true;
    while (!list_is_empty(&s->runs))
        drop_run(list_item(s->runs.next, struct run, of_session));
    list_remove(&s->link);
    if (s->is_known)
        x->stats.n_sessions--;
    env_defer(x->env, free_session, s);
}

void end_session(struct session *s, enum err why, ns_t now)
{
    struct sessions *x = s->table;

    if (s->is_gone)
        return;
    drop_session(s);
    if (s->is_known) {
        x->stats.closed++;
        x->config.ops->closed(x->config.arg, s, why, now);
    }
}

void schedule(struct run *r)
{
    heap_set(&r->session->table->timers, &r->timer, ns_min(ns_min(r->retry_at, r->end_at), r->rekey_at));
}

/* --- one session takes the place of another --- */

static void cap_old_runs(struct session *s)
{
    struct run *oldest = NULL;
    unsigned n = 0;

    list_each(node, &s->runs)
    {
        struct run *r = list_item(node, struct run, of_session);

        if (r->state == RUN_OLD) {
            n++;
            if (oldest == NULL || r->end_at < oldest->end_at)
                oldest = r;
        }
    }
    if (n > OLD_RUNS_MAX)
        drop_run(oldest);
}

void retire_run(struct run *r, ns_t now)
{
    leave_pending(r);
    drop_shake(r);
    r->state = RUN_OLD;
    r->retry_at = r->rekey_at = NS_NEVER;
    r->end_at = now + SESSION_OLD_KEYS_NS;
    schedule(r);
    cap_old_runs(r->session);
}

void set_current(struct session *s, struct run *r, ns_t now)
{
    struct run *before = s->current;

    s->current = r;
    if (s->next == r)
        s->next = NULL;
    if (before != NULL && before != r)
        retire_run(before, now);
}

void move_run(struct run *r, struct session *to)
{
    struct session *from = r->session;

    list_remove(&r->of_session);
    if (from->current == r)
        from->current = NULL;
    if (from->next == r)
        from->next = NULL;
    list_append(&to->runs, &r->of_session);
    r->session = to;
}

static void merge_session(struct session *from, struct session *to, ns_t now)
{
    list_each_safe(node, &from->runs)
    {
        struct run *r = list_item(node, struct run, of_session);

        if (r->state == RUN_LIVE || r->state == RUN_OLD) {
            move_run(r, to);
            retire_run(r, now);
        }
    }
    end_session(from, ERR_EXISTS, now);
}

static bool same_device(const struct session *a, const struct session *b)
{
    return a != b && memcmp(a->peer_device, b->peer_device, KEY_BYTES) == 0;
}

static bool own_is_smaller(const struct session *s)
{
    return memcmp(s->own_public, s->peer_device, KEY_BYTES) < 0;
}

struct session *find_keeper(const struct run *r)
{
    const struct session *s = r->session;
    bool is_rekey = (s->hello.said.flags & HELLO_REKEY) != 0;

    list_each(node, &s->table->sessions)
    {
        struct session *o = list_item(node, struct session, link);

        if (!o->is_known || !same_device(o, s) || !session_is_established(o))
            continue;
        if (o->is_initiator ? o->current->live_at >= r->began_at && own_is_smaller(o) : is_rekey)
            return o;
    }
    return NULL;
}

/* A session that must yield to s, among those that were there when it was established. One of ours that is still
 * opening stays when it was opened at the same time and our static is the smaller. */
static struct session *find_loser(const struct session *s, uint64_t last_id)
{
    list_each(node, &s->table->sessions)
    {
        struct session *o = list_item(node, struct session, link);

        if (o->is_known && same_device(o, s) && o->id <= last_id &&
            (session_is_established(o) || (!s->is_initiator && !own_is_smaller(o))))
            return o;
    }
    return NULL;
}

void settle(struct session *s, ns_t now)
{
    uint64_t last_id = s->table->last_id;
    struct session *loser;

    while (!s->is_gone && (loser = find_loser(s, last_id)) != NULL)
        merge_session(loser, s, now);
}

void go_live(struct run *r, ns_t now)
{
    leave_pending(r);
    drop_shake(r);
    r->state = RUN_LIVE;
    r->live_at = now;
    r->life_end_at = now + SESSION_LIFE_NS;
    r->is_proven = !r->is_initiator;
    if (r->is_proven) {
        r->retry_at = NS_NEVER;
        r->end_at = r->life_end_at;
    } else {
        r->retry_at = now + SESSION_RETRY_NS;
        r->retry_ns = 2 * SESSION_RETRY_NS;
        r->end_at = now + SESSION_OPEN_NS;
        r->rekey_at = now + SESSION_REKEY_NS;
    }
    schedule(r);
}

/* --- the table --- */

struct sessions *sessions_create(const struct sessions_config *config, const struct env *env)
{
    struct sessions *x = mem_alloc(sizeof *x);

    x->env = env;
    x->config = *config;
    if (x->config.max_sessions == 0)
        x->config.max_sessions = SESSIONS_MAX_PHONE;
    if (x->config.max_sessions > SESSIONS_MAX_RELAY)
        x->config.max_sessions = SESSIONS_MAX_RELAY;
    if (x->config.load_per_s == 0)
        x->config.load_per_s = SESSIONS_LOAD_PER_S;
    if (x->config.rekey_count == 0)
        x->config.rekey_count = SESSION_REKEY_COUNT;
    x->stamp = config->first_stamp;
    list_init(&x->sessions);
    list_init(&x->pending);
    door_init(&x->door, x->config.load_per_s, env);
    x->reassembly = reassembly_create(SESSIONS_REASSEMBLY);
    return x;
}

static void free_table(void *arg)
{
    struct sessions *x = arg;

    reassembly_destroy(x->reassembly);
    heap_fini(&x->timers);
    door_fini(&x->door);
    secret_wipe(x, sizeof *x);
    mem_free(x);
}

void sessions_destroy(struct sessions *x)
{
    if (x == NULL || x->is_gone)
        return;
    x->is_gone = true;
    while (!list_is_empty(&x->sessions))
        drop_session(list_item(x->sessions.next, struct session, link));
    env_defer(x->env, free_table, x);
}

static void add_hearing(struct sessions *x, enum session_class class, const struct session_secret *secret,
                        int8_t device)
{
    const uint8_t *own = device < 0 ? x->node_dh.pub : x->self.devices[device].public;
    struct hearing *h = &x->hearings[x->n_hearings];
    struct handshake_key *k = &x->keys[x->n_hearings++];

    h->class = k->class = class;
    h->secret_id = secret != NULL ? secret->id : 0;
    h->device = device;
    handshake_psk(class, secret != NULL ? secret->secret : NULL, own, h->psk);
    memcpy(k->psk, h->psk, sizeof k->psk);
    handshake_mac_key(h->psk, own, k->mac_key);
}

enum err sessions_set_self(struct sessions *x, const struct sessions_self *self)
{
    struct sign_key node;
    enum err e = ERR_OK;

    if (self->n_devices > 2 || self->n_secrets > SESSIONS_SECRETS_MAX)
        return ERR_RANGE;
    x->self = *self;
    x->n_hearings = 0;
    for (int is_previous = 0; is_previous < 2; is_previous++) /* previous S last */
        for (size_t i = 0; i < self->n_secrets; i++)
            for (int8_t d = 0; d < self->n_devices; d++)
                if (self->secrets[i].is_previous == (is_previous != 0))
                    add_hearing(x, self->secrets[i].class, &self->secrets[i], d);
    if (self->hears_node) {
        sign_key_from_seed(self->node_seed, &node);
        memcpy(x->node_id, node.pub, sizeof x->node_id);
        ed_to_x_secret(&node, x->node_dh.secret);
        e = ed_to_x_public(node.pub, x->node_dh.pub);
        if (e == ERR_OK)
            add_hearing(x, SESSION_NODE, NULL, -1);
        secret_wipe(&node, sizeof node);
    }
    return e == ERR_OK ? ERR_OK : ERR_AUTH;
}

void sessions_input(struct sessions *x, ns_t now, const struct path *via, struct slice datagram)
{
    if (x->is_gone || datagram.len == 0)
        return;
    switch (datagram.data[0]) {
    case HANDSHAKE_MSG1:
        input_msg1(x, now, via, datagram);
        break;
    case HANDSHAKE_MSG2:
        input_msg2(x, now, via, datagram);
        break;
    case HANDSHAKE_COOKIE:
        input_cookie(x, now, via, datagram);
        break;
    case HANDSHAKE_DATA:
        input_data(x, now, via, datagram);
        break;
    default:
        x->stats.data_unknown++;
        break;
    }
}

/* --- timers --- */

/* Another session with that device stands, so that it was not unreachable. */
static bool has_rival(const struct session *s)
{
    list_each(node, &s->table->sessions)
    {
        struct session *o = list_item(node, struct session, link);

        if (o->is_known && same_device(o, s) && session_is_established(o))
            return true;
    }
    return false;
}

/* No answer, or the end of its life. */
static void end_run(struct run *r, ns_t now)
{
    struct session *s = r->session;

    if (s->next == r) { /* new keys that did not come */
        drop_run(r);
        if (s->current != NULL && s->current->is_initiator) {
            s->current->rekey_at = now + REKEY_PAUSE_NS;
            schedule(s->current);
        }
    } else if (r->state == RUN_OLD) {
        drop_run(r);
    } else {
        end_session(s, has_rival(s) ? ERR_EXISTS : ERR_TIMEOUT, now);
    }
}

static void retry_run(struct run *r, ns_t now)
{
    r->retry_at = now + r->retry_ns;
    if (r->state == RUN_OPENING || r->is_proven)
        r->retry_ns *= 2; /* proofs of new keys go out each second */
    schedule(r);
    if (r->state == RUN_OPENING)
        for (size_t i = 0; i < r->shake->n_paths; i++)
            send_msg1(r, i);
    else
        send_own(r, now, OWN_PING);
}

static void rekey_run(struct run *r, ns_t now)
{
    enum err e;

    r->rekey_at = NS_NEVER;
    schedule(r);
    e = begin_rekey(r->session, now);
    if (e == ERR_LATE) {
        end_session(r->session, ERR_LATE, now);
    } else if (e != ERR_OK) {
        r->rekey_at = now + REKEY_PAUSE_NS;
        schedule(r);
    }
}

void sessions_tick(struct sessions *x, ns_t now)
{
    struct heap_node *node;

    while (!x->is_gone && (node = heap_pop_due(&x->timers, now)) != NULL) {
        struct run *r = heap_item(node, struct run, timer);

        if (now >= r->end_at)
            end_run(r, now);
        else if (now >= r->retry_at)
            retry_run(r, now);
        else if (now >= r->rekey_at)
            rekey_run(r, now);
    }
}

ns_t sessions_deadline(const struct sessions *x)
{
    return heap_deadline(&x->timers);
}

void send_on(struct sessions *x, const struct path *via, struct slice datagram)
{
    x->config.ops->send(x->config.arg, via, datagram);
}

void session_close(struct session *s, ns_t now)
{
    if (s->is_gone)
        return;
    if (session_is_established(s))
        send_own(s->current, now, OWN_CLOSE);
    drop_session(s);
}

/* --- asking --- */

struct session *sessions_find(struct sessions *x, enum session_class class,
                              const uint8_t static_key[static 32])
{
    list_each(node, &x->sessions)
    {
        struct session *s = list_item(node, struct session, link);

        if (s->class == class && session_is_established(s) && s->is_known &&
            memcmp(s->peer_device, static_key, KEY_BYTES) == 0)
            return s;
    }
    return NULL;
}

void sessions_each(struct sessions *x, sessions_each_cb each, void *arg)
{
    list_each_safe(node, &x->sessions)
    {
        struct session *s = list_item(node, struct session, link);

        if (s->is_known)
            each(arg, s);
    }
}

const struct sessions_stats *sessions_stats(const struct sessions *x)
{
    return &x->stats;
}

uint64_t sessions_last_stamp(const struct sessions *x)
{
    return x->stamp;
}

void session_set_path(struct session *s, const struct path *via)
{
    s->path = *via;
}

bool session_is_initiator(const struct session *s)
{
    return s->is_initiator;
}

bool session_is_established(const struct session *s)
{
    return !s->is_gone && s->current != NULL && s->current->state == RUN_LIVE;
}

enum session_class session_class(const struct session *s)
{
    return s->class;
}

const uint8_t *session_peer_id(const struct session *s)
{
    return s->peer_id;
}

const uint8_t *session_peer_device(const struct session *s)
{
    return s->peer_device;
}

const uint8_t *session_call_id(const struct session *s)
{
    return s->hello.said.call_id;
}

const struct session_hello *session_hello(const struct session *s)
{
    return &s->hello;
}

const struct hello_reply *session_reply(const struct session *s)
{
    return &s->reply;
}

const struct path *session_path(const struct session *s)
{
    return &s->path;
}

ns_t session_heard_at(const struct session *s)
{
    return s->heard_at;
}

/* The run whose secrets the owner means: that of the message in its hands, or the one that sends. */
static const struct run *speaking_run(const struct session *s)
{
    const struct run *r = s->receiving != NULL ? s->receiving : s->current;

    return r != NULL && (r->state == RUN_LIVE || r->state == RUN_OLD) ? r : NULL;
}

enum err session_exporter(const struct session *s, uint8_t out[static 32])
{
    const struct run *r = speaking_run(s);

    if (r == NULL)
        return ERR_STATE;
    memcpy(out, r->exporter, sizeof r->exporter);
    return ERR_OK;
}

enum err session_handshake_hash(const struct session *s, uint8_t out[static 64])
{
    const struct run *r = speaking_run(s);

    if (r == NULL)
        return ERR_STATE;
    memcpy(out, r->hash, sizeof r->hash);
    return ERR_OK;
}

void session_set_user(struct session *s, void *user)
{
    s->user = user;
}

void *session_user(const struct session *s)
{
    return s->user;
}
