#include "relay/allocation.h"

#include "base/mem.h"
#include "crypto/secret.h"

void alloc_table_init(struct table *t, uint32_t max_rows, uint16_t port_min, uint16_t port_max, uint64_t seed)
{
    size_t n_ports = (size_t)(port_max - port_min) + 1;

    memset(t, 0, sizeof *t);
    t->max_rows = max_rows;
    t->port_min = port_min;
    t->port_max = port_max;
    t->seed = seed | 1;
    t->n_chains = 64;
    while (t->n_chains < max_rows && t->n_chains < TURN_ALLOCATIONS_MAX)
        t->n_chains *= 2;
    t->chains = mem_array(t->n_chains, sizeof *t->chains); /* row + 1 */
    for (int f = 0; f < N_FAMILIES; f++)
        t->by_port[f] = mem_array(n_ports, sizeof *t->by_port[f]);
}

void alloc_table_fini(struct table *t)
{
    for (uint32_t i = 0; i < t->n_rows; i++) {
        if (t->rows[i] != NULL)
            alloc_table_remove(t, t->rows[i]);
    }
    for (int f = 0; f < N_FAMILIES; f++)
        mem_free(t->by_port[f]);
    mem_free(t->rows);
    mem_free(t->free_rows);
    mem_free(t->chains);
    heap_fini(&t->timers);
    memset(t, 0, sizeof *t);
}

/* Seeded, since clients choose their ports. */
static uint32_t hash_client(const struct table *t, const struct addr *c)
{
    uint64_t high, low, h = t->seed ^ ((uint64_t)c->port << 8 | c->family);

    memcpy(&high, c->ip, 8);
    memcpy(&low, c->ip + 8, 8);
    h = (h ^ high) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    h = (h ^ low ^ t->seed >> 7) * 0xbf58476d1ce4e5b9u;
    h ^= h >> 29;
    return (uint32_t)(h * t->seed >> 32) & (t->n_chains - 1);
}

static uint32_t take_row(struct table *t)
{
    if (t->n_free > 0)
        return t->free_rows[--t->n_free];
    if (t->n_rows == t->cap_rows) {
        t->cap_rows = t->cap_rows == 0 ? 16 : t->cap_rows * 2;
        t->rows = mem_resize(t->rows, t->cap_rows, sizeof *t->rows);
        t->free_rows = mem_resize(t->free_rows, t->cap_rows, sizeof *t->free_rows);
    }
    return t->n_rows++;
}

struct allocation *alloc_table_add(struct table *t, const struct addr *client)
{
    uint32_t *chain = &t->chains[hash_client(t, client)];
    struct allocation *a;

    if (t->n_used >= t->max_rows)
        return NULL;
    a = mem_alloc(sizeof *a);
    a->index = take_row(t);
    /* Ids of a place that is used again differ, for whoever still holds the old one. */
    a->generation = ++t->generation;
    a->client = *client;
    a->next = *chain == 0 ? NO_ROW : *chain - 1;
    *chain = a->index + 1;
    t->rows[a->index] = a;
    t->n_used++;
    return a;
}

void alloc_table_remove(struct table *t, struct allocation *a)
{
    uint32_t *chain = &t->chains[hash_client(t, &a->client)];

    for (int f = 0; f < N_FAMILIES; f++)
        alloc_table_clear_port(t, a, f);
    if (*chain == a->index + 1) {
        *chain = a->next == NO_ROW ? 0 : a->next + 1;
    } else {
        struct allocation *before = t->rows[*chain - 1];

        while (before->next != a->index)
            before = t->rows[before->next];
        before->next = a->next;
    }
    heap_remove(&t->timers, &a->timer);
    t->rows[a->index] = NULL;
    t->free_rows[t->n_free++] = a->index;
    t->n_used--;
    secret_wipe(a->key, sizeof a->key);
    mem_free(a->permissions);
    mem_free(a->channels);
    mem_free(a);
}

struct allocation *alloc_table_find(const struct table *t, const struct addr *client)
{
    uint32_t row = t->chains[hash_client(t, client)];

    for (row = row == 0 ? NO_ROW : row - 1; row != NO_ROW; row = t->rows[row]->next) {
        if (addr_equal(&t->rows[row]->client, client) && t->rows[row]->client.scope == client->scope)
            return t->rows[row];
    }
    return NULL;
}

struct allocation *alloc_table_by_port(const struct table *t, int family, uint16_t port)
{
    uint32_t row;

    if (port < t->port_min || port > t->port_max)
        return NULL;
    row = t->by_port[family][port - t->port_min];
    return row == 0 ? NULL : t->rows[row - 1];
}

enum err alloc_table_set_port(struct table *t, struct allocation *a, int family, uint16_t port)
{
    uint32_t *place;

    if (port < t->port_min || port > t->port_max)
        return ERR_RANGE;
    place = &t->by_port[family][port - t->port_min];
    if (*place != 0)
        return ERR_EXISTS;
    *place = a->index + 1;
    a->port[family] = port;
    return ERR_OK;
}

void alloc_table_clear_port(struct table *t, struct allocation *a, int family)
{
    if (a->port[family] != 0)
        t->by_port[family][a->port[family] - t->port_min] = 0;
    a->port[family] = 0;
}

struct allocation *alloc_table_at(const struct table *t, uint64_t id)
{
    uint32_t index = (uint32_t)id;

    if (index >= t->n_rows || t->rows[index] == NULL || t->rows[index]->generation != id >> 32)
        return NULL;
    return t->rows[index];
}

/* --- permissions and channels --- */

bool allocation_permits(const struct allocation *a, const struct addr *peer, ns_t now)
{
    for (uint8_t i = 0; i < a->n_permissions; i++) {
        if (addr_equal_ip(&a->permissions[i].ip, peer))
            return now < a->permissions[i].expires_at;
    }
    return false;
}

/* The place for this peer: its own, an expired one, or a new one; TURN_PERMISSIONS_MAX when there is none. */
static uint8_t permission_place(const struct allocation *a, const struct addr *peer, ns_t now)
{
    uint8_t place = a->n_permissions;

    for (uint8_t i = 0; i < a->n_permissions; i++) {
        if (addr_equal_ip(&a->permissions[i].ip, peer))
            return i;
        if (now >= a->permissions[i].expires_at)
            place = i;
    }
    return place;
}

bool allocation_has_room(const struct allocation *a, const struct addr *peer, ns_t now)
{
    return permission_place(a, peer, now) < TURN_PERMISSIONS_MAX;
}

/* Arrays grow by doubling: most allocations have one peer. */
static bool is_full_power(uint8_t n)
{
    return n == 0 || (n & (n - 1)) == 0;
}

enum err allocation_permit(struct allocation *a, const struct addr *peer, ns_t now)
{
    uint8_t place = permission_place(a, peer, now);

    if (place >= TURN_PERMISSIONS_MAX)
        return ERR_FULL;
    if (place == a->n_permissions) {
        if (is_full_power(a->n_permissions))
            a->permissions = mem_resize(a->permissions, place == 0 ? 1 : place * 2u, sizeof *a->permissions);
        a->n_permissions++;
    }
    a->permissions[place] =
        (struct permission){.ip = *peer, .expires_at = now + TURN_PERMISSION_S * NS_PER_S};
    return ERR_OK;
}

struct channel *allocation_channel(const struct allocation *a, uint16_t number, ns_t now)
{
    for (uint8_t i = 0; i < a->n_channels; i++) {
        if (a->channels[i].number == number)
            return now < a->channels[i].expires_at ? &a->channels[i] : NULL;
    }
    return NULL;
}

struct channel *allocation_channel_to(const struct allocation *a, const struct addr *peer, ns_t now)
{
    for (uint8_t i = 0; i < a->n_channels; i++) {
        if (now < a->channels[i].expires_at && addr_equal(&a->channels[i].peer, peer))
            return &a->channels[i];
    }
    return NULL;
}

static void drop_expired_channels(struct allocation *a, ns_t now)
{
    uint8_t kept = 0;

    for (uint8_t i = 0; i < a->n_channels; i++) {
        if (now < a->channels[i].expires_at)
            a->channels[kept++] = a->channels[i];
    }
    a->n_channels = kept;
}

enum err allocation_bind(struct allocation *a, uint16_t number, const struct addr *peer, ns_t now)
{
    struct channel *same_number, *same_peer;

    drop_expired_channels(a, now);
    same_number = allocation_channel(a, number, now);
    same_peer = allocation_channel_to(a, peer, now);
    if (same_number != same_peer)
        return ERR_EXISTS;
    if (same_number == NULL) {
        if (a->n_channels >= TURN_CHANNELS_MAX)
            return ERR_FULL;
        if (is_full_power(a->n_channels))
            a->channels =
                mem_resize(a->channels, a->n_channels == 0 ? 1 : a->n_channels * 2u, sizeof *a->channels);
        same_number = &a->channels[a->n_channels++];
    }
    *same_number =
        (struct channel){.peer = *peer, .expires_at = now + TURN_CHANNEL_S * NS_PER_S, .number = number};
    return ERR_OK;
}

void allocation_note(struct allocation *a, ns_t now)
{
    enum second_kind kind = second_note(&a->second, now);

    if (kind == SECOND_PROBE)
        return;
    a->last_at = now;
    a->seconds += kind == SECOND_NEW;
}
