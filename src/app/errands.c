#include "app/errands.h"

#include "base/log.h"
#include "base/mem.h"
#include "crypto/identity.h"
#include "crypto/zone.h"
#include "nat/turn_client.h"
#include "relay/advert.h"
#include "relay/audit.h"
#include "relay/client.h"
#include "relay/favour_db.h"

#define SEARCH_FIRST_NS (3 * NS_PER_S)
#define SEARCH_SOON_NS  (20 * NS_PER_S) /* nobody known yet */
#define SEARCH_NS       (900 * NS_PER_S)
#define STEP_NS         (5 * NS_PER_S) /* between errands */
#define OPEN_NS         (10 * NS_PER_S)
#define ANSWER_NS       (15 * NS_PER_S) /* for an allocation, for a cheque */
#define TICKS           12              /* packets a second of an audit: more than a second needs to count */
#define TICK_NS         (NS_PER_S / TICKS)
#define SETTLE_NS       (10 * NS_PER_S) /* for the last statement */
#define GOOD_PCT        90              /* so much must come back */
#define AGAIN_DAYS      7               /* one relay is audited so often at most */
#define CLEAR_AGAIN_NS  (600 * NS_PER_S)
#define REFUSED_NS      (30 * NS_PER_S)
#define DRAWEES         8
#define MARK_BYTES      13 /* mark1 number4 secret8 */

enum errand_state {
    ERRAND_NONE,
    ERRAND_OPENING,
    ERRAND_CLEARING,
    ERRAND_ASKING,
    ERRAND_AUDITING,
    ERRAND_SETTLING
};

struct known {
    bool is_used;
    uint8_t node[32];
    struct addr addr;
    ns_t not_before; /* of the next try to clear there */
};

struct errands {
    struct errands_config config;
    struct errands_ops ops;
    const struct env *env;
    uint8_t node[32];
    struct known known[ERRANDS_KNOWN];
    struct audit_plan plan;
    unsigned n_searching;
    ns_t search_at, step_at, now;
    /* The errand under way. */
    enum errand_state state;
    struct known at;
    bool is_audit, is_own; /* is_own: the session was opened for it */
    struct session *session;
    struct relay_client *client;
    struct turn *turn;
    struct addr to; /* where the packets go: our main port */
    uint8_t alloc_id[8], secret[8];
    uint32_t n_sent, n_back, n_cleared;
    ns_t give_up_at, packet_at, until;
};

static int32_t today(const struct errands *x)
{
    return (int32_t)(env_wall_ms(x->env) / 86400000);
}

/* ---- who there is ---- */

static struct known *place_of(struct errands *x, const uint8_t node[static 32])
{
    struct known *free_place = NULL;

    for (int i = 0; i < ERRANDS_KNOWN; i++) {
        if (x->known[i].is_used && memcmp(x->known[i].node, node, 32) == 0)
            return &x->known[i];
        if (!x->known[i].is_used && free_place == NULL)
            free_place = &x->known[i];
    }
    return free_place != NULL ? free_place : &x->known[env_random_u32(x->env) % ERRANDS_KNOWN];
}

static void on_advert(void *arg, const uint8_t key[DHT_KEY_BYTES], const struct addr *seen,
                      struct slice bytes)
{
    struct errands *x = arg;
    uint8_t id[NODE_ID_BYTES];
    struct advert ad;
    struct known *k;

    (void)seen;
    if (advert_parse(bytes, &ad) != ERR_OK || memcmp(ad.node, key, 32) != 0 || ad.n_addrs == 0 ||
        memcmp(ad.node, x->node, 32) == 0 || (ad.flags & ADVERT_FLAG_DRAINING) != 0 ||
        advert_verify(&ad, x->config.zone_id, (uint16_t)today(x)) != ERR_OK ||
        zone_node_id(x->config.zone_id, ad.node, ad.nonce, id) != ERR_OK)
        return;
    k = place_of(x, ad.node);
    if (!k->is_used || memcmp(k->node, ad.node, 32) != 0)
        *k = (struct known){.is_used = true};
    memcpy(k->node, ad.node, 32);
    k->addr = ad.addrs[0];
}

static void on_searched(void *arg, enum err e, const struct dht_result *result)
{
    struct errands *x = arg;

    (void)e;
    (void)result;
    x->n_searching--;
}

static void search(struct errands *x, ns_t now)
{
    bool has_any = false;

    for (int i = 0; i < ERRANDS_KNOWN; i++)
        has_any = has_any || x->known[i].is_used;
    x->search_at = now + (has_any ? SEARCH_NS : SEARCH_SOON_NS);
    for (uint8_t shard = 0; shard < ADVERT_SHARDS; shard++) {
        uint8_t key[ADVERT_KEY_BYTES];

        advert_shard_key(x->config.zone_id, shard, key);
        if (dht_advert_get(x->config.dht, now, key, on_advert, on_searched, x) != 0)
            x->n_searching++;
    }
}

/* ---- the end of one ---- */

static void free_turn(void *arg)
{
    turn_destroy(arg);
}

static void finish(struct errands *x, ns_t now, bool ok)
{
    if (x->state == ERRAND_NONE)
        return;
    if (x->is_audit && x->n_sent > 0) {
        favour_db_put_audit(x->config.db, x->at.node, today(x), ok);
    } else if (x->is_audit) { /* refused, or not reached: somebody else now, this one perhaps later */
        place_of(x, x->at.node)->not_before =
            now + REFUSED_NS + env_random_u32(x->env) % 4096 * 16 * NS_PER_MS;
        x->plan.left += x->plan.left < AUDIT_AT_START;
        x->plan.next_at = ns_min(x->plan.next_at, now + REFUSED_NS);
    } else if (!ok) {
        place_of(x, x->at.node)->not_before = now + CLEAR_AGAIN_NS;
    }
    x->state = ERRAND_NONE;
    x->step_at = now + STEP_NS;
    if (x->turn != NULL) {
        turn_close(x->turn, now);
        env_defer(x->env, free_turn, x->turn);
        x->turn = NULL;
    }
    relay_client_destroy(x->client);
    x->client = NULL;
    if (x->is_own && x->session != NULL && x->ops.closing(x->ops.arg, now, x->session))
        session_close(x->session, now);
    x->session = NULL;
}

/* ---- audit ---- */

static void turn_out(void *arg, const struct addr *to, struct slice bytes)
{
    struct errands *x = arg;

    x->ops.send(x->ops.arg, to, bytes);
}

static void turn_in(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    (void)arg;
    (void)now;
    (void)from;
    (void)bytes; /* nobody answers what we send to ourselves */
}

static void turn_changed(void *arg, ns_t now, enum turn_state state, const struct addr *relayed,
                         const struct addr *mapped)
{
    struct errands *x = arg;

    (void)relayed;
    (void)mapped;
    if (state == TURN_READY && x->state == ERRAND_ASKING) {
        x->state = ERRAND_AUDITING;
        audit_note(&x->plan, ledger_prefix_of(&x->at.addr), today(x));
        x->packet_at = now;
        x->until = now + AUDIT_S * NS_PER_S;
    } else if (state == TURN_FAILED) {
        finish(x, now, false);
    }
}

static const struct turn_client_ops turn_callbacks = {
    .send = turn_out, .data = turn_in, .state = turn_changed};

static void on_allocated(void *arg, ns_t now, const struct client_credentials *c)
{
    struct errands *x = arg;
    struct turn_client_config config = {.server = x->at.addr,
                                        .username = c->username,
                                        .password = c->password,
                                        .realm = c->realm,
                                        .nonce = c->nonce,
                                        .family = x->at.addr.family};

    if (x->state != ERRAND_ASKING || x->turn != NULL)
        return;
    memcpy(x->alloc_id, c->alloc_id, sizeof x->alloc_id);
    x->turn = turn_create(&config, &turn_callbacks, x, x->env);
    turn_start(x->turn, now);
}

static void on_refused(void *arg, ns_t now, uint32_t request, enum client_refusal why, uint32_t retry_ms)
{
    struct errands *x = arg;

    (void)request;
    (void)retry_ms;
    log_debug(x->env, "audit refused: %d", (int)why);
    if (x->state == ERRAND_ASKING)
        x->give_up_at = now; /* at the next tick: we are inside the client */
}

static void send_packet(struct errands *x, ns_t now)
{
    uint8_t bytes[160] = {ERRANDS_MARK};
    struct wr w;

    wr_init(&w, bytes + 1, sizeof bytes - 1);
    wr_u32(&w, x->n_sent);
    wr_bytes(&w, x->secret, sizeof x->secret);
    x->packet_at += TICK_NS;
    if (turn_send(x->turn, now, &x->to, slice_of(bytes, sizeof bytes)) != ERR_OK)
        return;
    x->n_sent++;
    relay_client_account(x->client, now, x->alloc_id, sizeof bytes);
}

void errands_mark(struct errands *x, const struct addr *from, struct slice bytes)
{
    if (x == NULL || x->state < ERRAND_AUDITING || x->turn == NULL || bytes.len < MARK_BYTES ||
        !addr_equal_ip(from, turn_relayed(x->turn)) ||
        !secret_equal(bytes.data + 5, x->secret, sizeof x->secret))
        return;
    x->n_back++;
}

/* Given back: the last statement comes, and is signed as far as we counted. */
static void end_audit(struct errands *x, ns_t now)
{
    bool was_good = x->n_sent > 0 && 100 * x->n_back >= GOOD_PCT * x->n_sent;

    if (!was_good) /* then nothing is owed */
        relay_client_quality(x->client, now, x->alloc_id, 1, 0);
    x->state = ERRAND_SETTLING;
    x->give_up_at = now + SETTLE_NS;
    turn_close(x->turn, now);
    relay_client_release(x->client, now, x->alloc_id);
}

/* It has better things to do: what was carried is signed for. */
static void on_migrate(void *arg, ns_t now, const uint8_t alloc_id[static 8], uint8_t why, uint32_t within_s)
{
    struct errands *x = arg;

    (void)alloc_id;
    (void)why;
    (void)within_s;
    if (x->state == ERRAND_AUDITING)
        x->until = now;
}

/* ---- cheques ---- */

static void on_cleared(void *arg, ns_t now, const struct cleared *answer, const struct cheque *other)
{
    struct errands *x = arg;
    struct cheque next;

    x->ops.cleared(x->ops.arg, now, answer, other);
    x->n_cleared++;
    if (x->state != ERRAND_CLEARING)
        return;
    if (x->ops.waiting(x->ops.arg, x->at.node, &next) && relay_client_clear(x->client, now, &next) == ERR_OK)
        x->give_up_at = now + ANSWER_NS;
    else
        x->give_up_at = now;
}

/* ---- one errand ---- */

static void client_send(void *arg, uint8_t chan, struct slice bytes)
{
    struct errands *x = arg;

    if (x->session != NULL)
        session_send(x->session, x->now, chan, bytes);
}

static const struct relay_client_ops client_callbacks = {
    .session_send = client_send,
    .allocated = on_allocated,
    .refused = on_refused,
    .migrate = on_migrate,
    .cleared = on_cleared,
};

static void begin(struct errands *x, ns_t now)
{
    struct relay_client_config config = {.db = x->config.db, .is_open = true};
    struct cheque c;

    memcpy(config.relay, x->at.node, 32);
    memcpy(config.account_seed, x->config.node_seed, 32);
    zone_net_id(x->config.zone_id, config.net_id);
    x->client = relay_client_create(&config, &client_callbacks, x, x->env);
    secret_wipe(&config, sizeof config);
    x->give_up_at = now + ANSWER_NS;
    if (!x->is_audit) {
        x->state = ERRAND_CLEARING;
        if (!x->ops.waiting(x->ops.arg, x->at.node, &c) || relay_client_clear(x->client, now, &c) != ERR_OK)
            finish(x, now, false);
        return;
    }
    x->state = ERRAND_ASKING;
    env_random(x->env, x->secret, sizeof x->secret);
    if (relay_client_audit(x->client, now) == 0)
        finish(x, now, false);
}

static void start(struct errands *x, ns_t now, const struct known *at, bool is_audit)
{
    struct session_peer peer = {.class = SESSION_NODE, .kind = HELLO_LINK, .user = x};
    struct path path = path_udp(&at->addr);
    uint8_t device[32];

    x->at = *at;
    x->is_audit = is_audit;
    x->is_own = false;
    x->n_cleared = 0;
    x->give_up_at = now + OPEN_NS;
    x->n_sent = x->n_back = 0;
    x->state = ERRAND_OPENING;
    if (ed_to_x_public(at->node, device) == ERR_OK)
        x->session = sessions_find(x->config.sessions, SESSION_NODE, device);
    if (x->session != NULL) {
        begin(x, now);
        return;
    }
    memcpy(peer.responder, at->node, 32);
    x->is_own = true;
    if (sessions_open_account(x->config.sessions, now, &peer, x->config.node_seed, &path, 1, &x->session) !=
        ERR_OK) {
        x->session = NULL;
        finish(x, now, false);
    }
}

static bool start_clearing(struct errands *x, ns_t now)
{
    uint8_t drawees[DRAWEES][32];
    size_t n = favour_db_drawees(x->config.db, drawees, DRAWEES);

    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < ERRANDS_KNOWN; k++) {
            struct known *at = &x->known[k];

            if (!at->is_used || memcmp(at->node, drawees[i], 32) != 0 || now < at->not_before ||
                x->ops.is_linked(x->ops.arg, at->node))
                continue;
            start(x, now, at, false);
            return true;
        }
    return false;
}

static bool may_audit(struct errands *x, const struct known *k, uint64_t net)
{
    struct ledger_row row;
    int32_t day;
    bool ok;

    if (!k->is_used || x->now < k->not_before || !audit_may(&x->plan, net, today(x)) ||
        x->ops.is_engaged(x->ops.arg, k->node))
        return false;
    if (ledger_db_get(x->config.db, x->node, k->node, &row) == ERR_OK && row.has_head)
        return false; /* there is an account */
    return favour_db_get_audit(x->config.db, k->node, &day, &ok) != ERR_OK || day + AGAIN_DAYS <= today(x);
}

static void start_audit(struct errands *x, ns_t now)
{
    uint32_t first = env_random_u32(x->env);

    for (uint32_t i = 0; i < ERRANDS_KNOWN; i++) {
        struct known *k = &x->known[(first + i) % ERRANDS_KNOWN];
        uint64_t net = ledger_prefix_of(&k->addr);

        if (!may_audit(x, k, net) || !x->ops.own_addr(x->ops.arg, k->addr.family, &x->to))
            continue;
        if (!audit_due(&x->plan, now))
            return;
        start(x, now, k, true);
        return;
    }
}

/* ---- events ---- */

bool errands_owns(const struct errands *x, const void *session_user)
{
    return x != NULL && session_user == x;
}

bool errands_uses(const struct errands *x, const struct session *s)
{
    return x != NULL && x->client != NULL && x->session == s;
}

const uint8_t *errands_auditing(const struct errands *x)
{
    return x != NULL && x->state != ERRAND_NONE && x->is_audit ? x->at.node : NULL;
}

void errands_session_up(struct errands *x, ns_t now, struct session *s)
{
    x->now = now;
    if (x->session == s && x->state == ERRAND_OPENING)
        begin(x, now);
}

void errands_session_down(struct errands *x, ns_t now, struct session *s)
{
    if (x == NULL || x->session != s)
        return;
    x->now = now;
    x->session = NULL;
    finish(x, now, false);
}

void errands_message(struct errands *x, ns_t now, struct slice msg)
{
    x->now = now;
    if (x->client != NULL)
        relay_client_message(x->client, now, WIRE_CHAN_LEDGER, msg);
}

bool errands_input(struct errands *x, ns_t now, const struct addr *from, struct slice bytes)
{
    if (x == NULL || x->turn == NULL || !addr_equal(turn_server(x->turn), from))
        return false;
    x->now = now;
    return turn_input(x->turn, now, bytes);
}

void errands_wake(struct errands *x, ns_t now)
{
    x->step_at = ns_min(x->step_at, now);
}

/* ---- time ---- */

static void step_errand(struct errands *x, ns_t now)
{
    if (x->turn != NULL && turn_deadline(x->turn) <= now)
        turn_tick(x->turn, now);
    if (x->client != NULL && relay_client_deadline(x->client) <= now)
        relay_client_tick(x->client, now);
    if (x->state == ERRAND_AUDITING) {
        while (x->packet_at <= now && x->state == ERRAND_AUDITING)
            send_packet(x, now);
        if (now >= x->until)
            end_audit(x, now);
    } else if (x->state != ERRAND_NONE && now >= x->give_up_at) {
        finish(x, now,
               x->state == ERRAND_SETTLING ? 100 * x->n_back >= GOOD_PCT * x->n_sent
                                           : x->state == ERRAND_CLEARING && x->n_cleared > 0);
    }
}

void errands_tick(struct errands *x, ns_t now)
{
    x->now = now;
    if (now >= x->search_at && x->n_searching == 0)
        search(x, now);
    step_errand(x, now);
    if (x->state != ERRAND_NONE || now < x->step_at)
        return;
    x->step_at = now + STEP_NS;
    if (!start_clearing(x, now))
        start_audit(x, now);
}

ns_t errands_deadline(const struct errands *x)
{
    ns_t at = x->n_searching == 0 ? x->search_at : NS_NEVER;

    if (x->state == ERRAND_NONE)
        return ns_min(at, x->step_at);
    if (x->turn != NULL)
        at = ns_min(at, turn_deadline(x->turn));
    if (x->client != NULL)
        at = ns_min(at, relay_client_deadline(x->client));
    return ns_min(at, x->state == ERRAND_AUDITING ? ns_min(x->packet_at, x->until) : x->give_up_at);
}

struct errands *errands_create(const struct errands_config *config, const struct errands_ops *ops,
                               const struct env *env, ns_t now)
{
    struct errands *x = mem_alloc(sizeof *x);
    struct sign_key node;

    x->config = *config;
    x->ops = *ops;
    x->env = env;
    sign_key_from_seed(config->node_seed, &node);
    memcpy(x->node, node.pub, 32);
    secret_wipe(&node, sizeof node);
    x->now = now;
    x->search_at = now + SEARCH_FIRST_NS;
    x->step_at = now + STEP_NS;
    audit_start(&x->plan, now);
    return x;
}

void errands_destroy(struct errands *x, ns_t now)
{
    if (x == NULL)
        return;
    x->now = now;
    if (x->turn != NULL) {
        turn_close(x->turn, now);
        turn_destroy(x->turn);
    }
    relay_client_destroy(x->client);
    if (x->is_own && x->session != NULL && x->ops.closing(x->ops.arg, now, x->session))
        session_close(x->session, now);
    mem_free(x);
}
