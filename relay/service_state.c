/* Whom a relay serves, as bytes for the process that takes its place. What is signed is in the database, what can be
 * computed (tickets, tokens of knocks) follows from the node key: so only the running grants and their accounts go. */
#include "base/mem.h"
#include "relay/service_impl.h"

/* version1 since8 drain1 next_number4 today: calls4 full4 not_allowed4 failed4
 * n4 grants: id8 (0: of a user of the settings, which its allocation brings back) account32 peer addr(family1 ip16 port2)
 *   number4 req4 slots1 class1 prefix8 created8 last8 first8 flags1 past: packets8 bytes8 lost8 seconds4
 *   measured: seconds4 bytes8 packets8 lost8
 *   the account's: unbilled_s8 (thousandths) unbilled_bytes8 unsigned_since8 next_propose_at8
 * external addr of each family, then the TURN server's (turn_state.c) */
#define STATE_VERSION 1
#define GRANT_BYTES   256

enum { FLAG_USED = 1, FLAG_OVER = 2, FLAG_WARNED = 4 };

size_t service_state_max(const struct service *svc)
{
    return 64 + HASH_COUNT(svc->by_id) * (size_t)GRANT_BYTES + turn_server_state_max(svc->turn);
}

static void put_addr(struct wr *w, const struct addr *a)
{
    wr_u8(w, a->family);
    wr_bytes(w, a->ip, sizeof a->ip);
    wr_u16(w, a->port);
}

static void put_grant(struct wr *w, const struct grant *g)
{
    const struct client *c = g->client;

    wr_u64(w, g->id);
    wr_bytes(w, c->account, sizeof c->account);
    put_addr(w, &c->peer);
    wr_u32(w, g->number);
    wr_u32(w, g->req);
    wr_u8(w, g->slots);
    wr_u8(w, (uint8_t)g->class);
    wr_u64(w, g->prefix);
    wr_u64(w, g->created_at);
    wr_u64(w, g->last_at);
    wr_u64(w, g->first_at);
    wr_u8(w, (uint8_t)((g->was_used ? FLAG_USED : 0) | (g->is_over ? FLAG_OVER : 0) |
                       (g->was_warned ? FLAG_WARNED : 0)));
    wr_u64(w, g->past_packets);
    wr_u64(w, g->past_bytes);
    wr_u64(w, g->past_lost);
    wr_u32(w, g->past_seconds);
    wr_u32(w, g->seconds);
    wr_u64(w, g->bytes);
    wr_u64(w, g->packets);
    wr_u64(w, g->lost);
    wr_u64(w, (uint64_t)(c->unbilled_s * 1000));
    wr_u64(w, c->unbilled_bytes);
    wr_u64(w, c->unsigned_since);
    wr_u64(w, c->next_propose_at);
}

void service_save(struct service *svc, ns_t now, struct wr *w)
{
    svc->now = now;
    list_each(node, &svc->grants) bill_measure(svc, list_item(node, struct grant, all));
    service_step_calendar(svc);
    service_save_counters(svc);
    wr_u8(w, STATE_VERSION);
    wr_u64(w, svc->since);
    wr_u8(w, svc->is_draining);
    wr_u32(w, svc->next_number);
    wr_u32(w, svc->calls_today);
    wr_u32(w, svc->refused_full);
    wr_u32(w, svc->refused_not_allowed);
    wr_u32(w, svc->failed);
    wr_u32(w, (uint32_t)HASH_COUNT(svc->by_id));
    list_each(node, &svc->grants)
    {
        const struct grant *g = list_item(node, struct grant, all);

        if (g->client != NULL)
            put_grant(w, g);
    }
    for (int i = 0; i < 2; i++)
        put_addr(w, &svc->external[i]);
    turn_server_save(svc->turn, svc->now, w);
}

static struct addr get_addr(struct rd *r)
{
    struct addr a = {.family = rd_u8(r)};

    rd_copy(r, a.ip, sizeof a.ip);
    a.port = rd_u16(r);
    return a;
}

static void get_grant(struct service *svc, struct rd *r)
{
    struct grant *g = mem_alloc(sizeof *g);
    uint8_t account[32], flags;
    struct client *c;
    struct addr peer;

    g->id = rd_u64(r);
    rd_copy(r, account, sizeof account);
    peer = get_addr(r);
    g->number = rd_u32(r);
    g->req = rd_u32(r);
    g->slots = rd_u8(r);
    g->class = (enum ledger_class)rd_u8(r);
    g->prefix = rd_u64(r);
    g->created_at = rd_u64(r);
    g->last_at = rd_u64(r);
    g->first_at = rd_u64(r);
    flags = rd_u8(r);
    g->was_used = flags & FLAG_USED;
    g->is_over = flags & FLAG_OVER;
    g->was_warned = flags & FLAG_WARNED;
    g->past_packets = rd_u64(r);
    g->past_bytes = rd_u64(r);
    g->past_lost = rd_u64(r);
    g->past_seconds = rd_u32(r);
    g->seconds = rd_u32(r);
    g->bytes = g->rate_bytes = rd_u64(r);
    g->packets = rd_u64(r);
    g->lost = rd_u64(r);
    g->rate_at = svc->now;
    if (!rd_ok(r) || g->id == 0 || g->class > LEDGER_STRANGER) {
        rd_fail(r);
        mem_free(g);
        return;
    }
    c = service_client(svc, account);
    c->peer = peer;
    c->unbilled_s = (double)rd_u64(r) / 1000;
    c->unbilled_bytes = rd_u64(r);
    c->unsigned_since = rd_u64(r);
    c->next_propose_at = rd_u64(r);
    g->client = c;
    list_append(&c->grants, &g->of_client);
    list_append(&svc->grants, &g->all);
    HASH_ADD(hh, svc->by_id, id, sizeof g->id, g);
    c->n_grants++;
}

enum err service_restore(struct service *svc, ns_t now, struct rd *r)
{
    uint32_t n, calls_today, next_number;
    struct addr external[2];
    enum err e;

    svc->now = now;
    if (rd_u8(r) != STATE_VERSION)
        return ERR_VERSION;
    svc->since = rd_u64(r);
    svc->is_draining = rd_u8(r) != 0;
    next_number = rd_u32(r);
    calls_today = rd_u32(r);
    svc->refused_full = rd_u32(r);
    svc->refused_not_allowed = rd_u32(r);
    svc->failed = rd_u32(r);
    n = rd_u32(r);
    for (uint32_t i = 0; rd_ok(r) && i < n; i++)
        get_grant(svc, r);
    for (int i = 0; i < 2; i++)
        external[i] = get_addr(r);
    for (int i = 0; i < 2; i++)
        if (rd_ok(r) && svc->external[i].family == ADDR_NONE)
            svc->external[i] = external[i]; /* until the overlay tells again */
    service_set_external(svc, (struct addr[2]){svc->external[0], svc->external[1]});
    e = turn_server_restore(svc->turn, now, r);
    svc->calls_today = calls_today; /* those that go on were counted */
    svc->next_number = next_number > svc->next_number ? next_number : svc->next_number;
    list_each(node, &svc->grants) bill_measure(svc, list_item(node, struct grant, all));
    return e;
}
