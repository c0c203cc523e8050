#include "relay/service_impl.h"

#include <stdio.h>

#include "base/mem.h"
#include "nat/stun.h"

/* --- small things --- */

int32_t service_today(const struct service *svc)
{
    return (int32_t)(env_wall_ms(svc->env) / 86400000);
}

void service_say(struct service *svc, struct client *c, const struct wire_msg *m)
{
    uint8_t buf[WIRE_MESSAGE_MAX];
    struct slice bytes = wire_write(buf, sizeof buf, m);

    if (c->is_connected && bytes.len > 0)
        svc->ops.session_send(svc->arg, c->session_ref, WIRE_CHAN_LEDGER, bytes);
    secret_wipe(buf, sizeof buf);
}

void service_note_change(struct service *svc)
{
    if (svc->ops.changed != NULL)
        svc->ops.changed(svc->arg);
}

bool service_over_budget(const struct service *svc)
{
    return svc->monthly_bytes != 0 && svc->bytes_month >= svc->monthly_bytes;
}

static struct client *client_of(struct service *svc, uint64_t session_ref)
{
    struct client *c;

    HASH_FIND(hh_session, svc->by_session, &session_ref, sizeof session_ref, c);
    return c;
}

static void peer_key(const struct addr *a, uint8_t out[static PEER_KEY_BYTES])
{
    struct wr w;

    memset(out, 0, PEER_KEY_BYTES);
    wr_init(&w, out, PEER_KEY_BYTES);
    addr_write(&w, a);
}

/* --- ops of the TURN server and the knock proxy --- */

static void send_main(void *arg, const struct addr *to, struct slice bytes)
{
    struct service *svc = arg;

    svc->ops.send(svc->arg, to, bytes);
}

static enum err open_port(void *arg, uint8_t family, uint16_t port, uint32_t handle)
{
    struct service *svc = arg;

    return svc->ops.open_port(svc->arg, family, port, handle);
}

static void port_send(void *arg, uint32_t handle, const struct addr *to, struct slice bytes)
{
    struct service *svc = arg;

    svc->ops.port_send(svc->arg, handle, to, bytes);
}

static void close_port(void *arg, uint32_t handle)
{
    struct service *svc = arg;

    svc->ops.close_port(svc->arg, handle);
}

static bool is_proven(void *arg, const struct addr *from)
{
    struct service *svc = arg;
    uint8_t key[PEER_KEY_BYTES];
    struct client *c;

    peer_key(from, key);
    HASH_FIND(hh_peer, svc->by_peer, key, sizeof key, c);
    return c != NULL;
}

static struct grant *grant_by_id(struct service *svc, uint64_t id)
{
    struct grant *g;

    HASH_FIND(hh, svc->by_id, &id, sizeof id, g);
    return g;
}

static bool admit_turn(void *arg, ns_t now, const uint8_t *alloc_id, struct turn_grant *out)
{
    struct service *svc = arg;
    struct grant *g;
    uint64_t id;

    (void)now;
    if (alloc_id == NULL) { /* the operator's own users: two allocations make a call */
        bool is_full = svc->n_static / 2 + svc->load.used >= svc->max_calls;

        if (is_full)
            svc->refused_full++;
        return !is_full && !svc->is_draining && !service_over_budget(svc);
    }
    memcpy(&id, alloc_id, sizeof id);
    g = grant_by_id(svc, id);
    if (g == NULL || g->is_over || g->n_turns >= GRANT_TURNS)
        return false;
    out->ref = id;
    out->max_kbps = (uint32_t)g->slots * LEDGER_SLOT_KBPS;
    return true;
}

static void turn_began(void *arg, ns_t now, const struct turn_usage *usage)
{
    struct service *svc = arg;
    struct grant *g = usage->ref == 0 ? NULL : grant_by_id(svc, usage->ref);

    if (g == NULL) { /* of the config's users: a row of its own */
        g = mem_alloc(sizeof *g);
        list_init(&g->of_client);
        list_append(&svc->grants, &g->all);
        g->slots = 1;
        g->class = LEDGER_GUEST;
        g->created_at = now;
        g->number = ++svc->next_number;
        svc->n_static++;
    }
    for (uint8_t i = 0; i < GRANT_TURNS; i++) {
        if (g->turns[i] != 0)
            continue;
        g->turns[i] = usage->id;
        g->n_turns++;
        break;
    }
    g->last_at = now;
    if (!g->was_used)
        svc->calls_today++;
    g->was_used = true;
    if (g->client != NULL)
        g->client->last_wanted = false;
    service_note_change(svc);
}

static struct grant *grant_of_turn(struct service *svc, const struct turn_usage *usage)
{
    if (usage->ref != 0)
        return grant_by_id(svc, usage->ref);
    list_each(node, &svc->grants)
    {
        struct grant *g = list_item(node, struct grant, all);

        if (g->client == NULL && g->turns[0] == usage->id)
            return g;
    }
    return NULL;
}

static void turn_ended(void *arg, ns_t now, const struct turn_usage *usage)
{
    struct service *svc = arg;
    struct grant *g = grant_of_turn(svc, usage);

    (void)now;
    if (g == NULL)
        return;
    for (uint8_t i = 0; i < GRANT_TURNS; i++) {
        if (g->turns[i] != usage->id)
            continue;
        g->turns[i] = 0;
        g->n_turns--;
    }
    g->past_packets += usage->up_packets + usage->down_packets;
    g->past_bytes += usage->up_bytes + usage->down_bytes;
    g->past_lost += usage->lost;
    g->past_seconds += usage->seconds;
    bill_measure(svc, g);
    if (g->client == NULL) {
        svc->n_static--;
        service_drop_grant(svc, g);
    } else if (g->n_turns == 0) { /* the call is over: the last statement, now */
        g->is_over = true;
        g->client->last_wanted = true;
        g->client->next_propose_at = g->client->unbilled_s >= RECEIPT_UNIT_S / 2.0 ? svc->now : NS_NEVER;
        svc->next_step_at = svc->now;
    }
    service_note_change(svc);
}

static void own_input(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct service *svc = arg;

    if (bytes.len > 0 && bytes.data[0] == KNOCK_C8)
        knock_input(svc->knock, now, from, bytes);
}

/* To a caller: perhaps it knocks from an allocation on this very relay. */
static void knock_send(void *arg, const struct addr *to, struct slice bytes)
{
    struct service *svc = arg;
    const struct addr *ours = &svc->external[to->family == ADDR_V6 ? 1 : 0];

    if (!turn_server_inside(svc->turn, svc->now, ours, to, bytes))
        svc->ops.send(svc->arg, to, bytes);
}

static void knock_deliver(void *arg, uint64_t session_ref, struct slice flow_and_body)
{
    struct service *svc = arg;

    svc->ops.session_send(svc->arg, session_ref, WIRE_CHAN_KNOCK, flow_and_body);
}

static void say_registered(struct service *svc, struct client *c, uint32_t req, uint32_t generation)
{
    struct wire_msg m = {.type = WIRE_REGISTERED, .req = req, .generation = generation};
    struct knock_tokens tokens;

    if (knock_register(svc->knock, svc->now, c->session_ref, c->account, generation, &tokens) != ERR_OK) {
        m = (struct wire_msg){.type = WIRE_BUSY, .req = req, .why = WIRE_WHY_FULL, .retry_ms = 60000};
    } else {
        memcpy(m.token, tokens.token, sizeof m.token);
        memcpy(m.token_old, tokens.old, sizeof m.token_old);
        m.valid_s = tokens.valid_s;
    }
    service_say(svc, c, &m);
}

static void knock_renewed(void *arg, uint64_t session_ref, uint32_t generation)
{
    struct service *svc = arg;
    struct client *c = client_of(svc, session_ref);

    if (c != NULL)
        say_registered(svc, c, 0, generation);
}

/* --- life --- */

static uint32_t month_of(int64_t wall_ms)
{
    /* Days to months after Howard Hinnant's civil_from_days, counted from March. */
    int64_t z = wall_ms / 86400000 + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365,
            doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t month = (5 * doy + 2) / 153, year = yoe + era * 400 + (month >= 10);

    return (uint32_t)(year * 12 + (month < 10 ? month + 2 : month - 10));
}

static void month_key(uint32_t month, char out[static 32])
{
    snprintf(out, 32, "month-%04u-%02u", month / 12, month % 12 + 1);
}

static void load_counters(struct service *svc)
{
    char key[32];

    svc->day = service_today(svc);
    svc->month = month_of(env_wall_ms(svc->env));
    month_key(svc->month, key);
    svc->bytes_month = (uint64_t)ledger_db_get_cfg(svc->db, key, 0);
    if (ledger_db_get_cfg(svc->db, "today", 0) == svc->day) {
        svc->calls_today = (uint32_t)ledger_db_get_cfg(svc->db, "today-calls", 0);
        svc->bytes_today = (uint64_t)ledger_db_get_cfg(svc->db, "today-bytes", 0);
    }
}

void service_save_counters(struct service *svc)
{
    char key[32];

    month_key(svc->month, key);
    if (ledger_db_begin(svc->db) != ERR_OK)
        return;
    ledger_db_set_cfg(svc->db, key, (int64_t)svc->bytes_month);
    ledger_db_set_cfg(svc->db, "today", svc->day);
    ledger_db_set_cfg(svc->db, "today-calls", svc->calls_today);
    ledger_db_set_cfg(svc->db, "today-bytes", (int64_t)svc->bytes_today);
    ledger_db_commit(svc->db);
}

static uint32_t max_allocations(uint32_t max_calls)
{
    return 4 * max_calls + 16; /* warm ones are silent and hold no slot */
}

static void make_parts(struct service *svc, const struct service_config *config, const struct env *env)
{
    uint8_t secret[32], knock_secret[32];
    struct hasher h;
    struct turn_server_config turn = {
        .external = {config->external[0], config->external[1]},
        .port_min = config->port_min,
        .port_max = config->port_max,
        .users = config->turn_users,
        .n_users = config->n_turn_users,
        .secret = secret,
        .allow_local = config->allow_local,
        .hairpin_only = config->hairpin_only,
        .is_ordinary = config->n_turn_users > 0,
        .max_allocations = max_allocations(config->max_calls),
        .max_per_user = max_allocations(config->max_calls),
        .max_kbps = config->max_kbps,
        .offload = config->offload,
        .offload_arg = config->offload_arg,
    };
    struct turn_server_ops turn_ops = {
        .send = send_main,
        .open_port = svc->ops.open_port != NULL ? open_port : NULL,
        .port_send = port_send,
        .close_port = close_port,
        .admit = admit_turn,
        .is_proven = is_proven,
        .began = turn_began,
        .ended = turn_ended,
        .own_input = own_input,
    };
    struct knock_config knock = {
        .secret = knock_secret,
        .max_registrations = KNOCK_REGISTRATIONS_MAX,
        .max_kbps = config->max_kbps / 50 > 32 ? config->max_kbps / 50 : 32, /* 2 % */
    };
    struct knock_ops knock_ops = {.send = knock_send, .deliver = knock_deliver, .renewed = knock_renewed};

    /* Both last as long as the node key: tickets and tokens survive a restart. */
    hash_begin(&h, sizeof secret, config->node_seed, 32);
    hash_text(&h, "itodenwa-relay-secret-v1");
    hash_end(&h, secret);
    hash_begin(&h, sizeof knock_secret, config->node_seed, 32);
    hash_text(&h, "itodenwa-knock-secret-v1");
    hash_end(&h, knock_secret);
    svc->turn = turn_server_create(&turn, &turn_ops, svc, env);
    svc->knock = knock_proxy_create(&knock, &knock_ops, svc, env);
    secret_wipe(secret, sizeof secret);
    secret_wipe(knock_secret, sizeof knock_secret);
}

struct service *service_create(const struct service_config *config, const struct service_ops *ops, void *arg,
                               const struct env *env, ns_t now)
{
    struct service *svc = mem_alloc(sizeof *svc);

    svc->ops = *ops;
    svc->arg = arg;
    svc->env = env;
    svc->db = config->db;
    sign_key_from_seed(config->node_seed, &svc->node);
    memcpy(svc->zone_id, config->zone_id, sizeof svc->zone_id);
    memcpy(svc->puzzle_nonce, config->puzzle_nonce, sizeof svc->puzzle_nonce);
    memcpy(svc->external, config->external, sizeof svc->external);
    svc->max_calls = config->max_calls;
    svc->max_kbps = config->max_kbps;
    svc->monthly_bytes = config->monthly_bytes;
    svc->serve = config->serve;
    svc->has_streams = config->has_streams;
    list_init(&svc->clients);
    list_init(&svc->queue);
    list_init(&svc->grants);
    ledger_load_init(&svc->load, now, config->max_calls, config->strangers_pct);
    svc->now = svc->since = svc->rate_at = now;
    svc->next_step_at = now + STEP_NS;
    svc->next_save_at = now + SAVE_S * NS_PER_S;
    load_counters(svc);
    make_parts(svc, config, env);
    return svc;
}

/* --- grants and clients --- */

void service_drop_grant(struct service *svc, struct grant *g)
{
    struct client *c = g->client;

    if (c != NULL) {
        if (g->holds_slots)
            ledger_ended(&svc->load, svc->now, g->class, g->slots, g->seconds);
        HASH_DEL(svc->by_id, g);
        c->n_grants--;
    }
    list_remove(&g->of_client);
    list_remove(&g->all);
    mem_free(g);
}

/* End its allocations; the row goes when all is settled. */
void service_stop_grant(struct service *svc, struct grant *g)
{
    g->is_over = true;
    for (uint8_t i = 0; i < GRANT_TURNS; i++) {
        if (g->turns[i] != 0)
            turn_server_close(svc->turn, svc->now, g->turns[i]);
    }
}

static void drop_client(struct service *svc, struct client *c)
{
    while (!list_is_empty(&c->grants))
        service_drop_grant(svc, list_item(c->grants.next, struct grant, of_client));
    if (c->is_queued)
        admit_leave_queue(c);
    if (c->is_connected) {
        HASH_DELETE(hh_session, svc->by_session, c);
        HASH_DELETE(hh_peer, svc->by_peer, c);
    }
    HASH_DELETE(hh_account, svc->by_account, c);
    list_remove(&c->all);
    svc->n_clients--;
    mem_free(c);
}

void service_destroy(struct service *svc)
{
    if (svc == NULL)
        return;
    service_save_counters(svc);
    turn_server_destroy(svc->turn);
    knock_proxy_destroy(svc->knock);
    while (!list_is_empty(&svc->clients))
        drop_client(svc, list_item(svc->clients.next, struct client, all));
    while (!list_is_empty(&svc->grants))
        service_drop_grant(svc, list_item(svc->grants.next, struct grant, all));
    if (svc->guests != NULL)
        secret_wipe(svc->guests, svc->n_guests * sizeof *svc->guests);
    mem_free(svc->guests);
    secret_wipe(&svc->node, sizeof svc->node);
    mem_free(svc);
}

static struct client *make_client(struct service *svc, const uint8_t account[static 32])
{
    struct client *c = mem_alloc(sizeof *c);

    memcpy(c->account, account, sizeof c->account);
    list_init(&c->grants);
    list_init(&c->queue);
    c->next_propose_at = NS_NEVER;
    list_append(&svc->clients, &c->all);
    HASH_ADD(hh_account, svc->by_account, account, sizeof c->account, c);
    svc->n_clients++;
    bill_load(svc, c);
    return c;
}

struct client *service_client(struct service *svc, const uint8_t account[static 32])
{
    struct client *c;

    HASH_FIND(hh_account, svc->by_account, account, 32, c);
    return c != NULL ? c : make_client(svc, account);
}

static void disconnect(struct service *svc, struct client *c)
{
    if (!c->is_connected)
        return;
    knock_unregister(svc->knock, c->session_ref);
    HASH_DELETE(hh_session, svc->by_session, c);
    HASH_DELETE(hh_peer, svc->by_peer, c);
    c->is_connected = false;
    if (c->is_queued)
        admit_leave_queue(c);
}

bool service_has_grants(struct service *svc, const uint8_t account[static 32])
{
    struct client *c;

    HASH_FIND(hh_account, svc->by_account, account, 32, c);
    return c != NULL && !list_is_empty(&c->grants);
}

enum err service_session_open(struct service *svc, ns_t now, uint64_t session_ref,
                              const uint8_t account[static 32], const struct addr *peer)
{
    struct client *c;

    svc->now = now;
    if (memcmp(account, svc->node.pub, 32) == 0)
        return ERR_REFUSED; /* with ourselves there is no account */
    HASH_FIND(hh_account, svc->by_account, account, 32, c);
    if (c == NULL) {
        if (svc->n_clients >= SERVICE_SESSIONS_MAX)
            return ERR_FULL;
        c = make_client(svc, account);
    }
    disconnect(svc, c); /* a new session of the same account takes over */
    c->session_ref = session_ref;
    c->is_connected = true;
    if (peer != NULL)
        c->peer = *peer;
    peer_key(&c->peer, c->peer_key);
    HASH_ADD(hh_session, svc->by_session, session_ref, sizeof c->session_ref, c);
    HASH_ADD(hh_peer, svc->by_peer, peer_key, sizeof c->peer_key, c);
    return ERR_OK;
}

void service_session_closed(struct service *svc, ns_t now, uint64_t session_ref)
{
    struct client *c = client_of(svc, session_ref);

    svc->now = now;
    if (c == NULL)
        return;
    disconnect(svc, c);
    if (list_is_empty(&c->grants))
        drop_client(svc, c);
}

static void on_release(struct service *svc, struct client *c, const struct wire_msg *m)
{
    struct grant *g;
    uint64_t id;

    memcpy(&id, m->alloc_id, sizeof id);
    g = grant_by_id(svc, id);
    if (g != NULL && g->client == c)
        service_stop_grant(svc, g);
}

void service_session_message(struct service *svc, ns_t now, uint64_t session_ref, uint8_t chan,
                             struct slice bytes)
{
    struct client *c = client_of(svc, session_ref);
    struct wire_msg m;

    svc->now = now;
    if (c == NULL)
        return;
    if (chan == WIRE_CHAN_KNOCK) {
        knock_reply(svc->knock, now, session_ref, bytes);
        return;
    }
    if (chan != WIRE_CHAN_LEDGER || wire_parse(bytes, &m) != ERR_OK) {
        svc->malformed++;
        return;
    }
    switch (m.type) {
    case WIRE_ALLOCATE:
        admit_on_allocate(svc, c, &m);
        break;
    case WIRE_SIGN:
        bill_on_sign(svc, c, &m);
        break;
    case WIRE_SYNC:
        bill_on_sync(svc, c, &m);
        break;
    case WIRE_RELEASE:
        on_release(svc, c, &m);
        break;
    case WIRE_REGISTER:
        say_registered(svc, c, m.req, m.generation);
        break;
    case WIRE_CHEQUE:
        pay_on_cheque(svc, c, &m);
        break;
    case WIRE_CLEAR:
        pay_on_clear(svc, c, &m);
        break;
    case WIRE_DIGEST_ASK:
        pay_on_digest_ask(svc, c, &m);
        break;
    default: /* what only relays say */
        svc->malformed++;
        break;
    }
    secret_wipe(&m, sizeof m);
}

/* --- packets --- */

bool service_input(struct service *svc, ns_t now, const struct addr *from, struct slice bytes)
{
    svc->now = now;
    if (bytes.len == 0)
        return false;
    if (bytes.data[0] == KNOCK_C8) {
        knock_input(svc->knock, now, from, bytes);
        return true;
    }
    if (bytes.data[0] == 'd' && !turn_server_has_channel(svc->turn, now, from, bytes))
        return false; /* KRPC */
    if (bytes.data[0] >= 64 && bytes.data[0] <= 127) {
        turn_server_input(svc->turn, now, from, bytes);
        return true;
    }
    /* Requests and indications: bit 8 of the type is clear (RFC 8489 §5). */
    if (!stun_is_message(bytes) || (bytes.data[0] & 1) != 0)
        return false;
    turn_server_input(svc->turn, now, from, bytes);
    return true;
}

void service_port_input(struct service *svc, ns_t now, uint32_t handle, const struct addr *from,
                        struct slice bytes)
{
    svc->now = now;
    turn_server_port_input(svc->turn, now, handle, from, bytes);
}

void service_stream_gone(struct service *svc, ns_t now, const struct addr *who)
{
    svc->now = now;
    turn_server_client_gone(svc->turn, now, who);
}

bool service_fast(struct service *svc, ns_t now, const struct addr *from, uint8_t *bytes, size_t len)
{
    svc->now = now;
    return turn_server_fast(svc->turn, now, from, bytes, len);
}

void service_port_fast(struct service *svc, ns_t now, uint32_t handle, const struct addr *from,
                       uint8_t *bytes, size_t len)
{
    svc->now = now;
    turn_server_port_fast(svc->turn, now, handle, from, bytes, len);
}

/* --- time --- */

void service_step_calendar(struct service *svc)
{
    const struct turn_server_stats *t = turn_server_stats(svc->turn);
    int32_t today = service_today(svc);
    uint32_t month = month_of(env_wall_ms(svc->env));

    if (today != svc->day) {
        svc->day = today;
        svc->calls_today = svc->refused_full = svc->refused_not_allowed = svc->failed = 0;
        svc->bytes_today = 0;
        ledger_db_evict(svc->db, today);
    }
    if (month != svc->month) {
        svc->month = month;
        svc->bytes_month = 0;
    }
    svc->bytes_today += t->bytes - svc->seen_bytes;
    svc->bytes_month += t->wire_bytes - svc->seen_wire;
    svc->seen_bytes = t->bytes;
    svc->seen_wire = t->wire_bytes;
    if (svc->now >= svc->next_save_at) {
        svc->next_save_at = svc->now + SAVE_S * NS_PER_S;
        service_save_counters(svc);
    }
}

static uint32_t kbps_over(uint64_t bytes, ns_t dt)
{
    return dt == 0 ? 0 : (uint32_t)((double)bytes * 8e6 / (double)dt);
}

static void step_rates(struct service *svc)
{
    const struct turn_server_stats *t = turn_server_stats(svc->turn);
    ns_t dt = svc->now - svc->rate_at;

    if (dt < 2 * NS_PER_S)
        return;
    svc->in_kbps = kbps_over(t->bytes_in - svc->rate_in, dt);
    svc->out_kbps = kbps_over(t->bytes - svc->rate_out, dt);
    svc->rate_in = t->bytes_in;
    svc->rate_out = t->bytes;
    svc->rate_at = svc->now;
}

/* A ticket that nobody used, or a call that is over and settled (or will never be). */
static bool is_finished(const struct service *svc, const struct grant *g)
{
    const struct client *c = g->client;

    if (c == NULL || g->n_turns > 0)
        return false;
    if (!g->was_used)
        return g->is_over || svc->now >= g->created_at + SERVICE_GRANT_UNUSED_S * NS_PER_S;
    return g->is_over &&
           (c->unbilled_s < RECEIPT_UNIT_S / 2.0 || svc->now >= g->last_at + 2 * SERVICE_TICK_S * NS_PER_S);
}

static void step_grants(struct service *svc)
{
    list_each_safe(node, &svc->grants)
    {
        struct grant *g = list_item(node, struct grant, all);

        bill_measure(svc, g);
        if (svc->now >= g->rate_at + 2 * NS_PER_S) {
            g->kbps = kbps_over(g->bytes - g->rate_bytes, svc->now - g->rate_at);
            g->rate_bytes = g->bytes;
            g->rate_at = svc->now;
        }
        if (is_finished(svc, g))
            service_drop_grant(svc, g);
    }
}

static void step_clients(struct service *svc)
{
    list_each_safe(node, &svc->clients)
    {
        struct client *c = list_item(node, struct client, all);

        if (c->next_propose_at != NS_NEVER || c->unsigned_since != 0 || c->proposal.seq > 0)
            bill_step(svc, c);
        if (!c->is_connected && list_is_empty(&c->grants))
            drop_client(svc, c);
    }
}

void service_tick(struct service *svc, ns_t now)
{
    svc->now = now;
    turn_server_tick(svc->turn, now);
    knock_tick(svc->knock, now);
    if (now < svc->next_step_at)
        return;
    svc->next_step_at = now + STEP_NS;
    service_step_calendar(svc);
    step_rates(svc);
    step_grants(svc);
    step_clients(svc);
    bill_step_moves(svc);
    admit_step_queue(svc);
}

ns_t service_deadline(const struct service *svc)
{
    bool is_busy = !list_is_empty(&svc->grants) || !list_is_empty(&svc->queue) ||
                   svc->in_kbps + svc->out_kbps > 0; /* what the screens show is of now */
    ns_t step = is_busy ? svc->next_step_at : svc->next_step_at + 59 * NS_PER_S;

    return ns_min(step, ns_min(turn_server_deadline(svc->turn), knock_deadline(svc->knock)));
}

/* --- the operator --- */

void service_drain(struct service *svc, ns_t now, bool on)
{
    svc->now = now;
    svc->is_draining = on;
    svc->leave_by = 0;
    bill_step_moves(svc);
    service_note_change(svc);
}

void service_leave(struct service *svc, ns_t now, uint32_t within_s)
{
    svc->now = now;
    svc->is_draining = true;
    svc->leave_by = now + (ns_t)within_s * NS_PER_S;
    list_each(node, &svc->grants) list_item(node, struct grant, all)->moved_say = 0;
    bill_step_moves(svc);
}

bool service_is_carrying(const struct service *svc, ns_t now)
{
    struct turn_usage u;

    list_each(node, &svc->grants)
    {
        const struct grant *g = list_item(node, struct grant, all);

        for (uint8_t i = 0; i < GRANT_TURNS; i++)
            if (g->turns[i] != 0 && turn_server_usage(svc->turn, g->turns[i], &u) == ERR_OK &&
                u.seconds > 0 && now < u.last_at + SERVICE_QUIET_MS * NS_PER_MS)
                return true;
    }
    return false;
}

/* The newest calls over the cap are asked to go elsewhere. */
static void ask_excess(struct service *svc)
{
    uint32_t used = svc->load.used;

    for (struct list *node = svc->grants.prev; node != &svc->grants && used > svc->max_calls;
         node = node->prev) {
        struct grant *g = list_item(node, struct grant, all);

        if (g->client == NULL || !g->holds_slots || g->is_over)
            continue;
        used -= g->slots < used ? g->slots : used;
        if (g->move_why == 0) {
            g->move_why = WIRE_WHY_FULL;
            g->move_by = NS_NEVER;
        }
    }
}

void service_say_goodbye(struct service *svc, ns_t now)
{
    svc->now = now;
    list_each_safe(node, &svc->clients)
    {
        struct client *c = list_item(node, struct client, all);

        if (!c->is_connected || svc->ops.session_close == NULL)
            continue;
        svc->ops.session_close(svc->arg, c->session_ref);
        disconnect(svc, c);
        if (list_is_empty(&c->grants))
            drop_client(svc, c);
    }
}

bool service_is_drained(const struct service *svc)
{
    return svc->is_draining && list_is_empty(&svc->grants);
}

void service_set_limits(struct service *svc, ns_t now, uint32_t max_calls, uint32_t max_kbps,
                        uint64_t monthly_bytes, double strangers_pct, enum service_for serve)
{
    svc->now = now;
    svc->max_calls = svc->load.slots = max_calls;
    ask_excess(svc);
    svc->max_kbps = max_kbps;
    svc->monthly_bytes = monthly_bytes;
    svc->load.strangers_pct = strangers_pct;
    svc->serve = serve;
    turn_server_set_limits(svc->turn, max_allocations(max_calls), max_kbps);
    knock_set_kbps(svc->knock, max_kbps / 50 > 32 ? max_kbps / 50 : 32);
}

void service_set_scope(struct service *svc, bool allow_local, bool hairpin_only)
{
    turn_server_set_scope(svc->turn, allow_local, hairpin_only);
}

void service_set_external(struct service *svc, const struct addr external[static 2])
{
    memcpy(svc->external, external, sizeof svc->external);
    turn_server_set_external(svc->turn, external);
}

enum err service_add_own(struct service *svc, const struct addr *own)
{
    return turn_server_add_own(svc->turn, own);
}

void service_guest_pass(struct service *svc, const uint8_t pair_secret[static 32],
                        uint8_t out[static GUEST_PASS_BYTES])
{
    turn_server_guest_pass(svc->turn, false, pair_secret, out);
}

void service_set_guests(struct service *svc, const uint8_t (*pair_secrets)[32], size_t n)
{
    if (svc->guests != NULL)
        secret_wipe(svc->guests, svc->n_guests * sizeof *svc->guests);
    mem_free(svc->guests);
    svc->n_guests = n < SERVICE_GUESTS_MAX ? n : SERVICE_GUESTS_MAX;
    svc->guests = svc->n_guests == 0 ? NULL : mem_dup(pair_secrets, svc->n_guests * sizeof *pair_secrets);
}
