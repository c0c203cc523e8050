/* The allocations of a TURN server as bytes, for the process that takes its place (same machine, same clock). */
#include "base/mem.h"
#include "crypto/secret.h"
#include "relay/turn_impl.h"

/* version1 n4, then for each allocation:
 *   client addr   family1 ip16 port2 scope4          port2 isopen1 of each family      ends_at8
 *   user text     len1 bytes (0: a ticket)           alloc_id8 key16 request_id12 reservation8 ref8
 *   counters      up8 up_bytes8 down8 down_bytes8 lost8 seconds4
 *   moments       second: ends8 probes_end8 n1       created_at8 last_at8
 *   rates         each way: ns_per_kib8 paid_at8 burst8
 *   n1 permissions: addr ends_at8                    n1 channels: addr ends_at8 number2 */
#define STATE_VERSION 1
#define ADDR_BYTES    23
#define USER_BYTES    256
#define ROW_BYTES \
    (512 + (ADDR_BYTES + 8) * TURN_PERMISSIONS_MAX + (ADDR_BYTES + 10) * TURN_CHANNELS_MAX + USER_BYTES)

static void put_addr(struct wr *w, const struct addr *a)
{
    wr_u8(w, a->family);
    wr_bytes(w, a->ip, sizeof a->ip);
    wr_u16(w, a->port);
    wr_u32(w, a->scope);
}

static struct addr get_addr(struct rd *r)
{
    struct addr a = {.family = rd_u8(r)};

    rd_copy(r, a.ip, sizeof a.ip);
    a.port = rd_u16(r);
    a.scope = rd_u32(r);
    if (a.family != ADDR_NONE && a.family != ADDR_V4 && a.family != ADDR_V6)
        rd_fail(r);
    return a;
}

static void put_row(struct wr *w, const struct turn_server *ts, const struct allocation *a)
{
    const char *user = a->user >= 0 ? ts->auth.users[a->user].name : "";

    put_addr(w, &a->client);
    for (int f = 0; f < N_FAMILIES; f++) {
        wr_u16(w, a->port[f]);
        wr_u8(w, a->is_open[f]);
    }
    wr_u64(w, a->timer.at);
    wr_u8(w, (uint8_t)strnlen(user, USER_BYTES - 1));
    wr_bytes(w, user, strnlen(user, USER_BYTES - 1));
    wr_bytes(w, a->alloc_id, sizeof a->alloc_id);
    wr_bytes(w, a->key, sizeof a->key);
    wr_bytes(w, a->request_id, sizeof a->request_id);
    wr_bytes(w, a->reservation, sizeof a->reservation);
    wr_u64(w, a->ref);
    wr_u64(w, a->up_packets);
    wr_u64(w, a->up_bytes);
    wr_u64(w, a->down_packets);
    wr_u64(w, a->down_bytes);
    wr_u64(w, a->lost);
    wr_u32(w, a->seconds);
    wr_u64(w, a->second.ends_at);
    wr_u64(w, a->second.probes_end_at);
    wr_u8(w, a->second.n_probes);
    wr_u64(w, a->created_at);
    wr_u64(w, a->last_at);
    for (int i = 0; i < 2; i++) {
        wr_u64(w, a->rate[i].ns_per_kib);
        wr_u64(w, a->rate[i].paid_at);
        wr_u64(w, a->rate[i].burst_ns);
    }
    wr_u8(w, a->n_permissions);
    for (uint8_t i = 0; i < a->n_permissions; i++) {
        put_addr(w, &a->permissions[i].ip);
        wr_u64(w, a->permissions[i].expires_at);
    }
    wr_u8(w, a->n_channels);
    for (uint8_t i = 0; i < a->n_channels; i++) {
        put_addr(w, &a->channels[i].peer);
        wr_u64(w, a->channels[i].expires_at);
        wr_u16(w, a->channels[i].number);
    }
}

size_t turn_server_state_max(const struct turn_server *ts)
{
    return 8 + (size_t)ts->f.table.n_used * ROW_BYTES;
}

/* Clients of a connection end with it, and it ends with its process. */
static bool lasts(const struct allocation *a)
{
    return a != NULL && !addr_is_stream(&a->client);
}

void turn_server_save(struct turn_server *ts, ns_t now, struct wr *w)
{
    uint32_t n = 0;

    ts->f.offload.now = now;
    offload_drop_all(&ts->f);
    for (uint32_t i = 0; i < ts->f.table.n_rows; i++)
        n += lasts(ts->f.table.rows[i]);
    wr_u8(w, STATE_VERSION);
    wr_u32(w, n);
    for (uint32_t i = 0; i < ts->f.table.n_rows; i++)
        if (lasts(ts->f.table.rows[i]))
            put_row(w, ts, ts->f.table.rows[i]);
}

/* What a row was before it is one of this table. */
struct row {
    struct addr client;
    uint16_t port[N_FAMILIES];
    bool is_open[N_FAMILIES];
    ns_t ends_at;
    char user[USER_BYTES];
    struct permission permissions[TURN_PERMISSIONS_MAX];
    struct channel channels[TURN_CHANNELS_MAX];
    uint8_t n_permissions, n_channels;
    struct allocation a; /* plain fields only */
};

static void get_row(struct rd *r, struct row *out)
{
    struct allocation *a = &out->a;
    uint8_t n;

    memset(out, 0, sizeof *out);
    out->client = get_addr(r);
    for (int f = 0; f < N_FAMILIES; f++) {
        out->port[f] = rd_u16(r);
        out->is_open[f] = rd_u8(r) != 0;
    }
    out->ends_at = rd_u64(r);
    n = rd_u8(r);
    rd_copy(r, out->user, n);
    rd_copy(r, a->alloc_id, sizeof a->alloc_id);
    rd_copy(r, a->key, sizeof a->key);
    rd_copy(r, a->request_id, sizeof a->request_id);
    rd_copy(r, a->reservation, sizeof a->reservation);
    a->ref = rd_u64(r);
    a->up_packets = rd_u64(r);
    a->up_bytes = rd_u64(r);
    a->down_packets = rd_u64(r);
    a->down_bytes = rd_u64(r);
    a->lost = rd_u64(r);
    a->seconds = rd_u32(r);
    a->second.ends_at = rd_u64(r);
    a->second.probes_end_at = rd_u64(r);
    a->second.n_probes = rd_u8(r);
    a->created_at = rd_u64(r);
    a->last_at = rd_u64(r);
    for (int i = 0; i < 2; i++) {
        a->rate[i].ns_per_kib = rd_u64(r);
        a->rate[i].paid_at = rd_u64(r);
        a->rate[i].burst_ns = rd_u64(r);
    }
    out->n_permissions = rd_u8(r);
    if (out->n_permissions > TURN_PERMISSIONS_MAX)
        rd_fail(r);
    for (uint8_t i = 0; rd_ok(r) && i < out->n_permissions; i++) {
        out->permissions[i].ip = get_addr(r);
        out->permissions[i].expires_at = rd_u64(r);
    }
    out->n_channels = rd_u8(r);
    if (out->n_channels > TURN_CHANNELS_MAX)
        rd_fail(r);
    for (uint8_t i = 0; rd_ok(r) && i < out->n_channels; i++) {
        out->channels[i].peer = get_addr(r);
        out->channels[i].expires_at = rd_u64(r);
        out->channels[i].number = rd_u16(r);
    }
}

/* The user of the settings; -1: a ticket; false: no longer one. */
static bool find_user(const struct turn_server *ts, const struct row *row, int32_t *out)
{
    *out = -1;
    if (row->user[0] == '\0')
        return true;
    for (size_t i = 0; i < ts->auth.n_users; i++) {
        if (strcmp(ts->auth.users[i].name, row->user) != 0)
            continue;
        *out = (int32_t)i;
        return memcmp(ts->auth.users[i].key, row->a.key, sizeof row->a.key) == 0;
    }
    return false;
}

static void open_ports(struct turn_server *ts, struct allocation *a, const struct row *row)
{
    for (int f = 0; f < N_FAMILIES; f++) {
        if (row->port[f] == 0 || alloc_table_set_port(&ts->f.table, a, f, row->port[f]) != ERR_OK ||
            !row->is_open[f] || ts->ops.open_port == NULL)
            continue;
        a->is_open[f] = ts->ops.open_port(ts->arg, f == IP6 ? ADDR_V6 : ADDR_V4, a->port[f],
                                          forward_handle(f, a->port[f])) == ERR_OK;
        ts->f.stats.ports_open += a->is_open[f];
    }
}

static void take_row(struct turn_server *ts, ns_t now, const struct row *row)
{
    struct allocation *a = NULL;
    struct turn_usage usage;
    int32_t user;

    if (row->ends_at > now && find_user(ts, row, &user) &&
        alloc_table_find(&ts->f.table, &row->client) == NULL)
        a = alloc_table_add(&ts->f.table, &row->client);
    if (a == NULL)
        return;
    open_ports(ts, a, row);
    a->user = user;
    memcpy(a->alloc_id, row->a.alloc_id, sizeof a->alloc_id);
    memcpy(a->key, row->a.key, sizeof a->key);
    memcpy(a->request_id, row->a.request_id, sizeof a->request_id);
    memcpy(a->reservation, row->a.reservation, sizeof a->reservation);
    a->ref = row->a.ref;
    a->up_packets = row->a.up_packets;
    a->up_bytes = row->a.up_bytes;
    a->down_packets = row->a.down_packets;
    a->down_bytes = row->a.down_bytes;
    a->lost = row->a.lost;
    a->seconds = row->a.seconds;
    a->second = row->a.second;
    a->created_at = row->a.created_at;
    a->last_at = row->a.last_at;
    memcpy(a->rate, row->a.rate, sizeof a->rate);
    for (uint8_t i = 0; i < row->n_permissions; i++)
        if (row->permissions[i].expires_at > now &&
            allocation_permit(a, &row->permissions[i].ip, now) == ERR_OK)
            a->permissions[a->n_permissions - 1].expires_at = row->permissions[i].expires_at;
    for (uint8_t i = 0; i < row->n_channels; i++)
        if (row->channels[i].expires_at > now &&
            allocation_bind(a, row->channels[i].number, &row->channels[i].peer, now) == ERR_OK)
            a->channels[a->n_channels - 1].expires_at = row->channels[i].expires_at;
    if (user >= 0)
        ts->auth.users[user].n_allocations++;
    ts->f.stats.allocations++;
    heap_set(&ts->f.table.timers, &a->timer, row->ends_at);
    usage = turn_usage_of(ts, a);
    if (ts->ops.began != NULL)
        ts->ops.began(ts->arg, now, &usage);
}

enum err turn_server_restore(struct turn_server *ts, ns_t now, struct rd *r)
{
    struct row *row = mem_alloc(sizeof *row);
    uint32_t n;

    if (rd_u8(r) != STATE_VERSION)
        rd_fail(r);
    n = rd_u32(r);
    if (n > TURN_ALLOCATIONS_MAX)
        rd_fail(r);
    for (uint32_t i = 0; rd_ok(r) && i < n; i++) {
        get_row(r, row);
        if (rd_ok(r))
            take_row(ts, now, row);
    }
    secret_wipe(row, sizeof *row);
    mem_free(row);
    return rd_ok(r) ? ERR_OK : ERR_PARSE;
}
