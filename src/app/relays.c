#include <math.h>

#include "app/relays_priv.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/identity.h"
#include "crypto/idtext.h"
#include "relay/advert.h"
#include "relay/care_wire.h"
#include "relay/favour_db.h"
#include "relay/select.h"

#define SEARCH_FIRST_NS (200 * NS_PER_MS)
#define SEARCH_SOON_NS  (3 * NS_PER_S) /* while too few relays are known */
#define SEARCH_THIRD_NS (30 * NS_PER_S)
#define SEARCH_NS       (600 * NS_PER_S)
#define NODES_AFTER_NS  (2 * NS_PER_S)  /* no relay by then: full zone nodes are asked */
#define NODE_BESIDE_NS  (10 * NS_PER_S) /* one relay and no second by then: a node beside it */
#define PING_NS         (20 * NS_PER_S)
#define SILENT_NS       (50 * NS_PER_S)
#define DOUBT_NS        (2 * NS_PER_S)
#define BACKOFF_NS      (5 * NS_PER_S) /* doubles with each failure */
#define BACKOFF_MAX     6
#define LEAVING_NS      (600 * NS_PER_S) /* a relay that asked us to move is not asked again for so long */
#define BUSY_MAX_MS     600000
#define FUND_NS         (300 * NS_PER_S)
#define LINE_DEAD       0.2 /* all our relays are silent so often: it is our line */
#define LAST_WORD_S     5   /* MIGRATE with so little time left: the relay means it */

static void link_down(struct link *l, ns_t now, bool is_failure);

struct line_list {
    struct relays *r;
    struct relay_client_config *config;
};

/* ---- known relays ---- */

static struct known *known_find(struct relays *r, const uint8_t node[static 32])
{
    for (int i = 0; i < RELAYS_KNOWN; i++)
        if (r->known[i].is_used && memcmp(r->known[i].node, node, 32) == 0)
            return &r->known[i];
    return NULL;
}

static bool is_linked(const struct relays *r, const struct known *k)
{
    for (int i = 0; i < RELAYS_LINKS; i++)
        if (r->links[i].known == k)
            return true;
    return false;
}

/* A free place, or that of the relay which failed most and is not in use. */
static struct known *known_place(struct relays *r)
{
    struct known *worst = NULL;

    for (int i = 0; i < RELAYS_KNOWN; i++) {
        struct known *k = &r->known[i];

        if (!k->is_used)
            return k;
        if (!is_linked(r, k) && (worst == NULL || k->failures > worst->failures))
            worst = k;
    }
    return worst != NULL && worst->failures > 0 ? worst : NULL;
}

static struct known *known_add(struct relays *r, const uint8_t node[static 32], const struct addr *addr,
                               bool is_node)
{
    struct known *k = known_find(r, node);

    if (memcmp(node, r->config.own_node, 32) == 0)
        return NULL;
    if (k == NULL) {
        k = known_place(r);
        if (k == NULL)
            return NULL;
        *k = (struct known){.is_used = true, .is_node = is_node, .admission = -1};
        memcpy(k->node, node, 32);
        k->addr = *addr;
    }
    k->is_node = k->is_node && is_node;
    if (!is_linked(r, k))
        k->addr = *addr;
    return k;
}

void relays_add_known(struct relays *r, ns_t now, const uint8_t node[static 32], const struct addr *addr)
{
    struct known *k = known_add(r, node, addr, false);

    r->now = now;
    if (k == NULL)
        return;
    k->not_before = k->refused_until = 0; /* there is a reason to ask it again */
    for (int i = 0; i < RELAYS_LINKS; i++)
        if (r->links[i].known == k)
            r->links[i].busy_until = 0;
}

void relays_never(struct relays *r, const uint8_t (*nodes)[32], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        memmove(r->never + 1, r->never, (NEVER_MAX - 1) * sizeof r->never[0]); /* the oldest falls out */
        memcpy(r->never[0], nodes[i], 32);
        r->n_never += r->n_never < NEVER_MAX;
        for (int k = 0; k < RELAYS_LINKS; k++)
            if (r->links[k].known != NULL && memcmp(r->links[k].known->node, nodes[i], 32) == 0)
                r->links[k].leaving_until = NS_NEVER;
    }
}

static bool is_usable_addr(const struct advert *ad, const struct addr **out)
{
    for (unsigned i = 0; i < ad->n_addrs; i++) {
        if (ad->addrs[i].family == ADDR_V4 || ad->n_addrs == 1) {
            *out = &ad->addrs[i];
            return true;
        }
    }
    return false;
}

static void on_advert(void *arg, const uint8_t key[DHT_KEY_BYTES], const struct addr *seen,
                      struct slice bytes)
{
    struct relays *r = arg;
    struct advert ad;
    const struct addr *addr = seen;
    uint8_t id[NODE_ID_BYTES];
    struct known *k;

    if (advert_parse(bytes, &ad) != ERR_OK || memcmp(ad.node, key, 32) != 0 ||
        advert_verify(&ad, r->config.zone_id, (uint16_t)(env_wall_ms(r->env) / 86400000)) != ERR_OK ||
        zone_node_id(r->config.zone_id, ad.node, ad.nonce, id) != ERR_OK || !is_usable_addr(&ad, &addr) ||
        (ad.flags & ADVERT_FLAG_DRAINING))
        return;
    k = known_add(r, ad.node, addr, false);
    if (k != NULL)
        k->load_pct = ad.load_pct;
}

static void on_searched(void *arg, enum err e, const struct dht_result *result)
{
    struct relays *r = arg;

    (void)e;
    (void)result;
    r->n_searching--;
}

static void search(struct relays *r, ns_t now)
{
    unsigned n_relays = 0;

    for (uint8_t shard = 0; shard < ADVERT_SHARDS; shard++) {
        uint8_t key[ADVERT_KEY_BYTES];

        advert_shard_key(r->config.zone_id, shard, key);
        if (dht_advert_get(r->config.dht, now, key, on_advert, on_searched, r) != 0)
            r->n_searching++;
    }
    for (int i = 0; i < RELAYS_KNOWN; i++)
        n_relays += r->known[i].is_used && !r->known[i].is_node;
    r->search_at = now + (n_relays > RELAYS_WANTED    ? SEARCH_NS
                          : n_relays == RELAYS_WANTED ? SEARCH_THIRD_NS /* to stand by for a call */
                                                      : SEARCH_SOON_NS);
}

/* Full zone nodes that may carry our knocks. */
static void add_nodes(struct relays *r)
{
    struct dht_node nodes[8];
    size_t n = dht_nodes(r->config.dht, nodes, 8);

    for (size_t i = 0; i < n; i++)
        known_add(r, nodes[i].key, &nodes[i].addr, true);
}

/* ---- choosing ---- */

static int32_t today(const struct relays *r)
{
    return (int32_t)(env_wall_ms(r->env) / 86400000);
}

static struct ledger_score score_of(const struct relays *r, const uint8_t node[static 32])
{
    struct ledger_quality q = {.good = 1.5, .bad = 0.5};

    ledger_db_get_quality(r->config.db, node, &q);
    ledger_quality_age(&q, today(r));
    return ledger_score(&q);
}

int relays_score(struct relays *r, const uint8_t node[static 32])
{
    struct ledger_score s = score_of(r, node);

    return s.is_shown ? s.score : -1;
}

/* It does not answer. */
static void judge_silent(struct link *l)
{
    if (l->client != NULL)
        relay_client_judge(l->client, false);
    favour_db_judge(l->owner->config.db, l->known->node, false);
}

bool link_is_poor(const struct link *l)
{
    return l->client != NULL && relay_client_quality_mean(l->client) < SELECT_QUALITY_FLOOR;
}

/* What a relay owes us, on the whole. */
static double owed_by(const struct relays *r, const uint8_t node[static 32])
{
    uint8_t account[32];
    struct ledger_row row;

    relays_account(r, node, account, NULL);
    if (ledger_db_get(r->config.db, account, node, &row) != ERR_OK)
        return 0;
    ledger_age(&row.account, today(r));
    return row.account.debt_s;
}

static void candidate_of(struct relays *r, const struct known *k, struct select_candidate *c)
{
    struct ledger_hearsay heard[LEDGER_HEARSAY_ROWS];
    struct ledger_quality q = {.good = 1.5, .bad = 0.5};
    struct favour_pass pass;
    size_t n = favour_db_heard(r->config.db, k->node, heard);
    double owed = owed_by(r, k->node);

    ledger_db_get_quality(r->config.db, k->node, &q);
    *c = (struct select_candidate){.addr = k->addr,
                                   .rtt_us_ms = k->rtt > 0 ? (double)k->rtt / NS_PER_MS : -1,
                                   .rtt_peer_ms = -1,
                                   .quality = ledger_quality_heard(&q, heard, n, today(r)),
                                   .score = relays_score(r, k->node),
                                   .load_pct = k->load_pct,
                                   .pay = owed >= LEDGER_TRANCHE_S ||
                                                  favour_db_get_pass(r->config.db, k->node, &pass) == ERR_OK
                                              ? SELECT_DIRECT
                                              : SELECT_REST,
                                   .owes_us = owed > 0 ? fmin(owed / LEDGER_LINE_MAX_S, 1) : 0,
                                   .failures = k->failures};
    memcpy(c->id, k->node, 32);
}

/* The best known one that is not linked and may be tried now; is_node chooses between relays and zone nodes. */
static struct known *choose(struct relays *r, ns_t now, bool is_node)
{
    struct select_candidate candidates[SELECT_MAX];
    struct known *who[SELECT_MAX];
    struct select_policy policy = {.min_score = r->config.min_score, .never = (const uint8_t(*)[32])r->never};
    uint8_t order[SELECT_MAX];
    size_t n = 0;

    policy.n_never = r->n_never;
    policy.noise_seed = env_random_u32(r->env);
    for (int i = 0; i < RELAYS_KNOWN && n < SELECT_MAX; i++) {
        struct known *k = &r->known[i];

        if (!k->is_used || k->is_node != is_node || is_linked(r, k) || k->not_before > now)
            continue;
        candidate_of(r, k, &candidates[n]);
        who[n++] = k;
    }
    return select_rank(candidates, n, &policy, order) > 0 ? who[order[0]] : NULL;
}

/* ---- links ---- */

static void client_send(void *arg, uint8_t chan, struct slice bytes)
{
    struct link *l = arg;

    if (l->is_up)
        session_send(l->session, l->owner->now, chan, bytes);
}

static struct alloc *alloc_by_request(struct link *l, uint32_t request)
{
    for (int i = 0; i < RELAYS_ALLOCS; i++)
        if (l->owner->allocs[i].link == l && l->owner->allocs[i].request == request)
            return &l->owner->allocs[i];
    return NULL;
}

static void turn_out(void *arg, const struct addr *to, struct slice bytes)
{
    struct alloc *a = arg;

    a->owner->ops.send(a->owner->ops.arg, to, bytes);
}

static void turn_in(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct alloc *a = arg;
    struct relays *r = a->owner;

    a->link->known->bytes += bytes.len;
    relay_client_account(a->link->client, now, a->alloc_id, bytes.len);
    r->ops.alloc_data(r->ops.arg, now, a->slot, from, bytes);
}

static void alloc_lost(struct alloc *a, ns_t now)
{
    struct relays *r = a->owner;

    if (a->is_gone)
        return;
    a->is_gone = true;
    a->is_up = false;
    r->ops.alloc_gone(r->ops.arg, now, a->slot);
}

static void turn_changed(void *arg, ns_t now, enum turn_state state, const struct addr *relayed,
                         const struct addr *mapped)
{
    struct alloc *a = arg;
    struct relays *r = a->owner;

    if (state == TURN_READY) {
        a->is_up = true;
        r->ops.alloc_ready(r->ops.arg, now, a->slot, relayed, mapped);
    } else if (state == TURN_FAILED) {
        if (relays_line_loss(r) < LINE_DEAD) { /* else we were cut off, not it */
            if (a->link->client != NULL)
                relay_client_broke(a->link->client, a->alloc_id);
            favour_db_judge(r->config.db, a->link->known->node, false);
        }
        alloc_lost(a, now);
    }
}

static const struct turn_client_ops turn_callbacks = {
    .send = turn_out, .data = turn_in, .state = turn_changed};

static void on_allocated(void *arg, ns_t now, const struct client_credentials *c)
{
    struct link *l = arg;
    struct alloc *a = alloc_by_request(l, c->request);
    struct turn_client_config config = {.server = l->known->addr,
                                        .username = c->username,
                                        .password = c->password,
                                        .realm = c->realm,
                                        .nonce = c->nonce,
                                        .family = ADDR_V4};

    if (a == NULL) {
        relay_client_release(l->client, now, c->alloc_id);
        return;
    }
    a->request = 0;
    a->has_ticket = true;
    l->known->admission = c->admission;
    l->known->load_pct = relay_client_load(l->client);
    l->known->refused_until = 0;
    memcpy(a->alloc_id, c->alloc_id, sizeof a->alloc_id);
    if (l->known->addr.family == ADDR_V6)
        config.family = ADDR_V6;
    a->turn = turn_create(&config, &turn_callbacks, a, l->owner->env);
    turn_start(a->turn, now);
}

static void on_refused(void *arg, ns_t now, uint32_t request, enum client_refusal why, uint32_t retry_ms)
{
    struct link *l = arg;
    struct alloc *a = alloc_by_request(l, request);

    log_debug(l->owner->env, "relay refused an allocation: %d", (int)why);
    if (why != CLIENT_NO_ANSWER && l->client != NULL)
        l->known->load_pct = relay_client_load(l->client);
    if (why != CLIENT_NO_ANSWER)
        l->known->refused_until = now + (ns_t)retry_ms * NS_PER_MS;
    l->busy_until = now + (ns_t)(retry_ms < BUSY_MAX_MS ? retry_ms : BUSY_MAX_MS) * NS_PER_MS;
    if (why == CLIENT_NO_ANSWER)
        judge_silent(l);
    if (a != NULL)
        alloc_lost(a, now);
}

static void on_migrate(void *arg, ns_t now, const uint8_t alloc_id[static 8], uint8_t why, uint32_t within_s)
{
    struct link *l = arg;
    struct relays *r = l->owner;
    bool is_new = now >= l->leaving_until, is_last = within_s <= LAST_WORD_S && why != WIRE_WHY_DRAIN;

    if (is_new)
        log_info(r->env, "relay asks to move within %u s (reason %u)", within_s, why);
    l->leaving_until = now + LEAVING_NS;
    for (int i = 0; i < RELAYS_ALLOCS; i++)
        if (r->allocs[i].link == l && r->allocs[i].has_ticket &&
            memcmp(r->allocs[i].alloc_id, alloc_id, sizeof r->allocs[i].alloc_id) == 0)
            r->ops.alloc_leaving(r->ops.arg, now, (uint16_t)i,
                                 is_last ? now + (ns_t)within_s * NS_PER_S : NS_NEVER);
}

static void on_registered(void *arg, ns_t now, const struct knock_tokens *tokens)
{
    struct link *l = arg;
    struct relays *r = l->owner;
    bool is_news = !l->has_token || memcmp(l->token, tokens->token, sizeof l->token) != 0;

    l->has_token = true;
    memcpy(l->token, tokens->token, sizeof l->token);
    if (is_news)
        r->ops.changed(r->ops.arg, now);
}

static void on_knock(void *arg, ns_t now, uint32_t flow, struct slice body)
{
    struct link *l = arg;

    l->owner->ops.knock(l->owner->ops.arg, now, l->slot, flow, body);
}

/* What waits for this drawee, one after the other. */
static void present_next(struct link *l, ns_t now)
{
    struct relays *r = l->owner;
    struct cheque c;

    if (r->ops.waiting != NULL && r->ops.waiting(r->ops.arg, l->known->node, &c))
        relay_client_clear(l->client, now, &c);
}

static void on_cleared(void *arg, ns_t now, const struct cleared *answer, const struct cheque *other)
{
    struct link *l = arg;
    struct relays *r = l->owner;

    if (r->ops.cleared == NULL)
        return;
    r->ops.cleared(r->ops.arg, now, answer, other);
    present_next(l, now);
}

static void on_paid(void *arg, ns_t now, enum clearing_verdict verdict, uint32_t credit_s)
{
    struct link *l = arg;

    (void)now;
    log_debug(l->owner->env, "cheque: verdict %d, credit %u s", (int)verdict, credit_s);
}

static const struct relay_client_ops client_callbacks = {.paid = on_paid,
                                                         .cleared = on_cleared,
                                                         .session_send = client_send,
                                                         .allocated = on_allocated,
                                                         .refused = on_refused,
                                                         .migrate = on_migrate,
                                                         .registered = on_registered,
                                                         .knock = on_knock};

/* Whoever relays is known by its node key, all others by a pseudonym for each relay. */
static void account_seed(const struct relays *r, const uint8_t node[static 32], uint8_t out[static 32])
{
    uint8_t net_id[NET_ID_BYTES];
    struct sign_key account;

    if (r->config.node_seed != NULL) {
        memcpy(out, r->config.node_seed, 32);
        return;
    }
    zone_net_id(r->config.zone_id, net_id);
    account_derive(r->config.acct_seed, net_id, node, 0, &account);
    memcpy(out, account.seed, 32);
    secret_wipe(&account, sizeof account);
}

void relays_account(const struct relays *r, const uint8_t node[static 32], uint8_t pub[static 32],
                    uint8_t *seed)
{
    struct sign_key account;
    uint8_t bytes[32];

    account_seed(r, node, bytes);
    sign_key_from_seed(bytes, &account);
    memcpy(pub, account.pub, 32);
    if (seed != NULL)
        memcpy(seed, bytes, 32);
    secret_wipe(bytes, sizeof bytes);
    secret_wipe(&account, sizeof account);
}

/* The lines that contacts gave us, with the keys they are for. */
static void add_line(void *arg, const struct sponsor_line *line)
{
    struct line_list *list = arg;
    struct relay_client_config *config = list->config;
    struct client_line *to = &config->lines[config->n_lines];
    uint8_t account[32];

    if (config->n_lines == CLIENT_LINES || line->expiry_day < today(list->r))
        return;
    relays_account(list->r, line->sponsor, account, to->seed);
    to->line = *line;
    config->n_lines += memcmp(account, line->beneficiary, 32) == 0;
}

/* As a relay we are the same to that one in both roles: a session that stands already serves for both. */
static bool adopt_session(struct link *l, ns_t now)
{
    struct relays *r = l->owner;
    struct session *s = NULL;
    uint8_t device[32];

    if (r->config.node_seed == NULL || ed_to_x_public(l->known->node, device) != ERR_OK)
        return false;
    s = sessions_find(r->config.sessions, SESSION_NODE, device);
    if (s == NULL || s == l->session)
        return false;
    l->session = s;
    l->is_borrowed = session_user(s) != l;
    relays_session_up(r, now, s);
    return true;
}

static void link_connect(struct link *l, ns_t now)
{
    struct session_peer peer = {.class = SESSION_NODE, .kind = HELLO_LINK, .user = l};
    struct relays *r = l->owner;
    struct path path = path_udp(&l->known->addr);
    uint8_t seed[32];

    l->opened_at = now;
    if (adopt_session(l, now))
        return;
    memcpy(peer.responder, l->known->node, 32);
    account_seed(r, l->known->node, seed);
    if (sessions_open_account(r->config.sessions, now, &peer, seed, &path, 1, &l->session) != ERR_OK) {
        l->session = NULL;
        link_down(l, now, true);
    }
    secret_wipe(seed, sizeof seed);
}

static void link_open(struct relays *r, ns_t now, struct link *l, struct known *k)
{
    *l = (struct link){.owner = r, .slot = l->slot, .known = k};
    link_connect(l, now);
}

static bool has_alloc(const struct link *l)
{
    for (int i = 0; i < RELAYS_ALLOCS; i++)
        if (l->owner->allocs[i].link == l)
            return true;
    return false;
}

/* It takes no more of us for now. */
bool link_is_away(const struct link *l, ns_t now)
{
    return now < l->leaving_until || now < l->busy_until;
}

static void close_session(struct link *l, ns_t now)
{
    if (l->is_borrowed)
        return; /* it ends with who opened it */
    l->owner->ops.closing(l->owner->ops.arg, now, l->session);
    session_close(l->session, now);
}

static void link_leave(struct link *l, ns_t now)
{
    struct relays *r = l->owner;

    l->known->not_before = l->leaving_until > l->busy_until ? l->leaving_until : l->busy_until;
    r->ops.leaving(r->ops.arg, now, l->slot);
    link_down(l, now, false);
}

static void link_down(struct link *l, ns_t now, bool is_failure)
{
    struct relays *r = l->owner;
    struct known *k = l->known;
    bool had_token = l->has_token;
    uint16_t slot = l->slot;

    if (k == NULL)
        return;
    for (int i = 0; i < RELAYS_ALLOCS; i++) {
        struct alloc *a = &r->allocs[i];

        if (a->link != l)
            continue;
        alloc_lost(a, now);
        turn_destroy(a->turn);
        *a = (struct alloc){.owner = r, .slot = a->slot};
    }
    if (l->session != NULL)
        close_session(l, now);
    relay_client_destroy(l->client);
    if (is_failure) {
        k->failures++;
        k->not_before = now + (BACKOFF_NS << (k->failures < BACKOFF_MAX ? k->failures : BACKOFF_MAX));
    }
    *l = (struct link){.owner = r, .slot = slot};
    if (had_token)
        r->ops.changed(r->ops.arg, now);
}

bool relays_owns(const struct relays *r, const void *session_user)
{
    const char *p = session_user;

    return r != NULL && p >= (const char *)r->links && p < (const char *)(r->links + RELAYS_LINKS);
}

static struct link *link_of(const struct relays *r, const struct session *s)
{
    for (int i = 0; r != NULL && i < RELAYS_LINKS; i++)
        if (r->links[i].known != NULL && r->links[i].session == s)
            return (struct link *)&r->links[i];
    return NULL;
}

bool relays_uses(const struct relays *r, const struct session *s)
{
    return link_of(r, s) != NULL;
}

void relays_session_up(struct relays *r, ns_t now, struct session *s)
{
    struct link *l = link_of(r, s);
    struct relay_client_config config = {.db = r->config.db, .is_open = r->config.node_seed != NULL};

    if (l == NULL)
        return;
    r->now = now;
    l->is_up = true;
    l->was_node = l->known->is_node;
    l->up_at = now;
    l->known->rtt = now - l->opened_at;
    l->known->failures = 0;
    l->ping_at = now + PING_NS;
    if (l->client != NULL) {
        relay_client_session_renewed(l->client, now);
        return;
    }
    memcpy(config.relay, l->known->node, 32);
    account_seed(r, l->known->node, config.account_seed);
    zone_net_id(r->config.zone_id, config.net_id);
    favour_db_each_line(r->config.db, add_line, &(struct line_list){.r = r, .config = &config});
    l->client = relay_client_create(&config, &client_callbacks, l, r->env);
    secret_wipe(&config, sizeof config);
    relay_client_register(l->client, now, r->generation);
    if (l->known->is_node)
        return;
    relay_client_fund(l->client, now); /* before any call, so that its set-up costs no round trip more */
    l->fund_at = now + FUND_NS;
    present_next(l, now);
}

void relays_present(struct relays *r, ns_t now, const struct cheque *c)
{
    r->now = now;
    for (int i = 0; i < RELAYS_LINKS; i++) {
        struct link *l = &r->links[i];

        if (l->known != NULL && l->client != NULL && l->is_up && memcmp(l->known->node, c->drawee, 32) == 0)
            relay_client_clear(l->client, now, c);
    }
}

void relays_session_message(struct relays *r, ns_t now, struct session *s, uint8_t chan, struct slice msg)
{
    struct link *l = link_of(r, s);

    r->now = now;
    if (l == NULL || l->client == NULL)
        return;
    if (chan == CARE_CHAN)
        r->ops.care(r->ops.arg, now, l->slot, msg);
    else
        relay_client_message(l->client, now, chan, msg);
}

void relays_session_down(struct relays *r, ns_t now, struct session *s)
{
    struct link *l = link_of(r, s);

    r->now = now;
    if (l == NULL)
        return;
    l->is_borrowed = false;
    if (adopt_session(l, now)) /* another one with that relay took its place */
        return;
    l->session = NULL;
    if (l->is_up &&
        has_alloc(l)) { /* allocations live on without it: perhaps the relay's program was replaced */
        l->is_up = false;
        l->doubt_at = 0;
        link_connect(l, now);
        return;
    }
    link_down(l, now, true);
}

/* A better one than `poor` is known: it may go, when no call needs it. */
static bool has_better(struct relays *r, ns_t now, const struct link *poor)
{
    struct select_candidate c;
    struct known *k;

    if (poor == NULL || has_alloc(poor) || (k = choose(r, now, false)) == NULL)
        return false;
    candidate_of(r, k, &c);
    return c.quality >= SELECT_QUALITY_FLOOR;
}

/* Enough proxies: relays first, zone nodes only in the place of relays that are not there. */
static void fill_links(struct relays *r, ns_t now)
{
    unsigned n_relays = 0, n_nodes = 0, wanted = RELAYS_WANTED;
    struct link *free_link = NULL, *a_node = NULL, *leaver = NULL, *poor = NULL;
    struct known *k;

    for (int i = 0; i < RELAYS_LINKS; i++) {
        struct link *l = &r->links[i];

        if (l->known == NULL) {
            free_link = free_link != NULL ? free_link : l;
        } else if (l->known->is_node) {
            n_nodes++;
            a_node = l;
        } else if (link_is_away(l, now)) { /* stays while there is room, or no other */
            leaver = has_alloc(l) ? leaver : l;
        } else {
            n_relays++;
            poor = link_is_poor(l) ? l : poor;
        }
    }
    if (leaver == NULL && has_better(r, now, poor)) {
        link_leave(poor, now);
        return;
    }
    for (int i = 0; i < RELAYS_ALLOCS; i++)
        if (r->allocs[i].link != NULL)
            wanted = RELAYS_WANTED + 1;
    if (leaver != NULL && (n_relays >= RELAYS_WANTED ||
                           (free_link == NULL && n_relays < wanted && choose(r, now, false) != NULL))) {
        link_leave(leaver, now);
        return;
    }
    if (n_relays >= RELAYS_WANTED && a_node != NULL) {
        r->ops.leaving(r->ops.arg, now, a_node->slot);
        link_down(a_node, now, false);
        return;
    }
    if (free_link == NULL)
        return;
    if (n_relays < wanted && (k = choose(r, now, false)) != NULL) {
        link_open(r, now, free_link, k);
        return;
    }
    if (n_relays + n_nodes < RELAYS_WANTED && r->config.allow_nodes &&
        now >= r->started_at + (n_relays == 0 ? NODES_AFTER_NS : NODE_BESIDE_NS)) {
        add_nodes(r);
        k = choose(r, now, true);
        if (k != NULL)
            link_open(r, now, free_link, k);
    }
}

static void keep_link(struct link *l, ns_t now)
{
    if (l->known == NULL)
        return;
    if (l->is_up && l->was_node && !l->known->is_node) { /* a call may be waiting for a relay */
        l->was_node = false;
        l->owner->ops.changed(l->owner->ops.arg, now);
    }
    if (l->client != NULL && relay_client_deadline(l->client) <= now)
        relay_client_tick(l->client, now);
    if (!l->is_up)
        return;
    if (!l->known->is_node && now >= l->fund_at) {
        relay_client_fund(l->client, now);
        l->fund_at = now + FUND_NS;
    }
    if (l->doubt_at != 0 && session_heard_at(l->session) >= l->doubt_at)
        l->doubt_at = 0;
    if (l->doubt_at != 0 && now >= l->doubt_at + DOUBT_NS) {
        log_info(l->owner->env, "relay does not answer any more");
        link_down(l, now, true);
        return;
    }
    link_probe(l, now);
    if (l->doubt_at != 0 || now >= l->ping_at)
        session_ping(l->session, now);
    if (now < l->ping_at)
        return;
    if (now - session_heard_at(l->session) > SILENT_NS) {
        link_down(l, now, true);
        return;
    }
    l->ping_at = now + PING_NS;
}

size_t relays_proxies(const struct relays *r, struct relay_entry *out, size_t max)
{
    size_t n = 0;

    for (int i = 0; i < RELAYS_LINKS && n < max; i++) {
        const struct link *l = &r->links[i];

        if (l->known == NULL || !l->has_token)
            continue;
        memcpy(out[n].node, l->known->node, 32);
        out[n].addr = l->known->addr;
        memcpy(out[n].token, l->token, sizeof out[n].token);
        n++;
    }
    return n;
}

void relays_link(const struct relays *r, uint16_t slot, struct relays_link *out)
{
    const struct link *l = &r->links[slot];

    *out = (struct relays_link){.is_up = l->known != NULL && l->is_up};
    if (!out->is_up)
        return;
    memcpy(out->node, l->known->node, sizeof out->node);
    out->is_relay = !l->known->is_node;
    out->up_at = l->up_at;
}

void relays_link_send(struct relays *r, ns_t now, uint16_t slot, uint8_t chan, struct slice msg)
{
    r->now = now;
    if (slot < RELAYS_LINKS && r->links[slot].is_up)
        session_send(r->links[slot].session, now, chan, msg);
}

bool relays_is_linked_to(const struct relays *r, const uint8_t node[static 32])
{
    for (int i = 0; i < RELAYS_LINKS; i++)
        if (r->links[i].known != NULL && memcmp(r->links[i].known->node, node, 32) == 0)
            return true;
    return false;
}

bool relays_is_linked(const struct relays *r, const struct addr *addr)
{
    for (int i = 0; i < RELAYS_LINKS; i++)
        if (r->links[i].known != NULL && addr_equal(&r->links[i].known->addr, addr))
            return true;
    return false;
}

bool relays_has_relay(const struct relays *r)
{
    for (int i = 0; i < RELAYS_LINKS; i++)
        if (r->links[i].known != NULL && r->links[i].is_up && !r->links[i].known->is_node)
            return true;
    return false;
}

void relays_knock_reply(struct relays *r, ns_t now, uint16_t slot, uint32_t flow, struct slice body)
{
    r->now = now;
    if (slot < RELAYS_LINKS && r->links[slot].client != NULL)
        relay_client_knock_reply(r->links[slot].client, flow, body);
}

void relays_renew_tokens(struct relays *r, ns_t now, uint32_t generation)
{
    r->now = now;
    if (generation == r->generation)
        return;
    r->generation = generation;
    for (int i = 0; i < RELAYS_LINKS; i++)
        if (r->links[i].client != NULL)
            relay_client_register(r->links[i].client, now, r->generation);
}

/* ---- the whole ---- */

struct relays *relays_create(const struct relays_config *config, const struct relays_ops *ops,
                             const struct env *env)
{
    struct relays *r = mem_alloc(sizeof *r);

    r->config = *config;
    r->ops = *ops;
    r->env = env;
    r->generation = config->generation;
    for (uint16_t i = 0; i < RELAYS_LINKS; i++) {
        r->links[i].owner = r;
        r->links[i].slot = i;
    }
    for (uint16_t i = 0; i < RELAYS_ALLOCS; i++) {
        r->allocs[i].owner = r;
        r->allocs[i].slot = i;
    }
    return r;
}

void relays_destroy(struct relays *r, ns_t now)
{
    if (r == NULL)
        return;
    for (uint16_t i = 0; i < RELAYS_ALLOCS; i++) {
        struct alloc *a = &r->allocs[i];

        if (a->turn != NULL) {
            turn_close(a->turn, now);
            turn_destroy(a->turn);
        }
    }
    for (int i = 0; i < RELAYS_LINKS; i++) {
        if (r->links[i].session != NULL)
            close_session(&r->links[i], now);
        relay_client_destroy(r->links[i].client);
    }
    secret_wipe(&r->config, sizeof r->config);
    mem_free(r);
}

void relays_tick(struct relays *r, ns_t now)
{
    r->now = now;
    if (r->started_at == 0) {
        r->started_at = now;
        r->search_at = now + SEARCH_FIRST_NS;
    }
    if (r->search_at <= now && r->n_searching == 0)
        search(r, now);
    r->step_at = now + NS_PER_S; /* links are looked after once a second */
    fill_links(r, now);
    for (int i = 0; i < RELAYS_LINKS; i++)
        keep_link(&r->links[i], now);
    for (int i = 0; i < RELAYS_ALLOCS; i++)
        if (r->allocs[i].turn != NULL && turn_deadline(r->allocs[i].turn) <= now)
            turn_tick(r->allocs[i].turn, now);
}

ns_t relays_deadline(const struct relays *r)
{
    ns_t at = r->step_at; /* not r->now + 1 s: each packet moves that on */

    if (r->n_searching == 0)
        at = ns_min(at, r->search_at);
    for (int i = 0; i < RELAYS_LINKS; i++)
        if (r->links[i].client != NULL)
            at = ns_min(at, relay_client_deadline(r->links[i].client));
    for (int i = 0; i < RELAYS_ALLOCS; i++)
        if (r->allocs[i].turn != NULL)
            at = ns_min(at, turn_deadline(r->allocs[i].turn));
    return at;
}

static const char *role_of(const struct relays *r, const struct known *k)
{
    for (int i = 0; i < RELAYS_ALLOCS; i++)
        if (r->allocs[i].is_up && r->allocs[i].link->known == k)
            return "active";
    for (int i = 0; i < RELAYS_LINKS; i++)
        if (r->links[i].known == k && r->links[i].is_up)
            return k->is_node ? "proxy" : "standby";
    return "known";
}

size_t relays_rows(struct relays *r, struct relays_row *out, size_t max)
{
    struct ledger_hearsay heard[LEDGER_HEARSAY_ROWS];
    size_t n = 0;

    for (int i = 0; i < RELAYS_KNOWN && n < max; i++) {
        const struct known *k = &r->known[i];
        struct ledger_score s;

        if (!k->is_used)
            continue;
        s = score_of(r, k->node);
        out[n] = (struct relays_row){.addr = k->addr,
                                     .score = s.is_shown ? s.score : -1,
                                     .answered = s.answered,
                                     .rtt_ms = k->rtt > 0 ? (double)k->rtt / NS_PER_MS : -1,
                                     .bytes = k->bytes,
                                     .role = role_of(r, k),
                                     .load_pct = k->load_pct,
                                     .admission = k->admission,
                                     .is_refusing = r->now < k->refused_until,
                                     .credit_s = owed_by(r, k->node),
                                     .n_heard = favour_db_heard(r->config.db, k->node, heard)};
        memcpy(out[n].node, k->node, 32);
        n++;
    }
    return n;
}

void relays_network_changed(struct relays *r, ns_t now)
{
    for (int i = 0; i < RELAYS_LINKS; i++)
        link_down(&r->links[i], now, false);
    for (int i = 0; i < RELAYS_KNOWN; i++)
        r->known[i].not_before = 0;
    r->search_at = now;
}

void relays_network_back(struct relays *r, ns_t now)
{
    for (int i = 0; i < RELAYS_KNOWN; i++) {
        if (r->known[i].failures > 0) /* who asked us to leave still has */
            r->known[i].not_before = 0;
        r->known[i].failures = 0;
    }
    r->search_at = now;
}
