#include "dht/lookup.h"

#include "base/mem.h"
#include "dht/bep42.h"

#define SPARSE_FACTOR 1.6 /* reference/overlay.md §7 */

static unsigned sane_paths(unsigned n)
{
    return n < 1 ? 1 : n > LOOKUP_PATHS_MAX ? LOOKUP_PATHS_MAX : n;
}

struct lookup *lookup_create(const uint8_t target[static ID_BYTES], const uint8_t own[static ID_BYTES],
                             unsigned k, unsigned n_paths, unsigned alpha)
{
    struct lookup *l = mem_alloc(sizeof *l);

    memcpy(l->target, target, ID_BYTES);
    memcpy(l->own, own, ID_BYTES);
    l->k = (uint8_t)k;
    l->alpha = (uint8_t)alpha;
    l->n_paths = (uint8_t)sane_paths(n_paths);
    return l;
}

void lookup_destroy(struct lookup *l)
{
    if (l != NULL)
        mem_free(l->nodes);
    mem_free(l);
}

void lookup_relaunch(struct lookup *l, unsigned n_paths)
{
    l->first_path = (uint8_t)(l->first_path + l->n_paths);
    l->n_paths = (uint8_t)sane_paths(n_paths);
    l->alpha = (uint8_t)(LOOKUP_ALPHA_MORE * l->n_paths);
}

struct lookup_node *lookup_find(struct lookup *l, const uint8_t id[static ID_BYTES])
{
    unsigned low = 0, high = l->n;

    while (low < high) {
        unsigned mid = (low + high) / 2;
        int side = id_compare(l->target, l->nodes[mid].c.id, id);

        if (side == 0)
            return &l->nodes[mid];
        if (side < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static void remove_at(struct lookup *l, unsigned i)
{
    l->n--;
    memmove(&l->nodes[i], &l->nodes[i + 1], (l->n - i) * sizeof l->nodes[0]);
}

/* Room for one more of a path, and of its kind: the farthest of these that waits makes place, if farther than the
 * newcomer. */
static bool make_room(struct lookup *l, const struct lookup_node *newcomer)
{
    unsigned n_new = 0, farthest = 0;
    unsigned cap = newcomer->is_free ? LOOKUP_FREE_NEW
                   : l->n_paths == 1 ? LOOKUP_CANDIDATES
                                     : LOOKUP_PATH_NEW;

    for (unsigned i = 0; i < l->n; i++)
        if (l->nodes[i].path == newcomer->path && l->nodes[i].state == LOOKUP_NEW &&
            l->nodes[i].is_free == newcomer->is_free) {
            n_new++;
            farthest = i;
        }
    if (n_new < cap && l->n < LOOKUP_NODES)
        return true;
    if (n_new == 0 || id_compare(l->target, newcomer->c.id, l->nodes[farthest].c.id) >= 0)
        return false;
    remove_at(l, farthest);
    return true;
}

bool lookup_add(struct lookup *l, const struct contact *c, unsigned path)
{
    struct lookup_node *has, newcomer;
    unsigned at;

    if (path >= l->first_path)
        path = l->first_path + (path - l->first_path) % l->n_paths;
    if (id_equal(c->id, l->own))
        return false;
    has = lookup_find(l, c->id);
    if (has != NULL) {
        if (has->path >= l->first_path || path < l->first_path || has->state != LOOKUP_NEW)
            return false;
        has->path = (uint8_t)path;
        return true;
    }
    newcomer = (struct lookup_node){
        .c = *c, .path = (uint8_t)path, .is_free = l->free_max > 0 && !bep42_ok(&c->addr, c->id)};
    if (!make_room(l, &newcomer))
        return false;
    if (l->n == l->cap) {
        l->cap = (uint16_t)(l->cap > 0 ? l->cap * 2 : 32);
        l->nodes = mem_resize(l->nodes, l->cap, sizeof l->nodes[0]);
    }
    for (at = l->n; at > 0 && id_compare(l->target, c->id, l->nodes[at - 1].c.id) < 0; at--)
        ;
    memmove(&l->nodes[at + 1], &l->nodes[at], (l->n - at) * sizeof l->nodes[0]);
    l->nodes[at] = newcomer;
    l->n++;
    return true;
}

void lookup_name(struct lookup_node *n, const uint8_t by[static ID_BYTES])
{
    n->namer = (uint16_t)((by[ID_BYTES - 1] << 8 | by[ID_BYTES - 2]) | 1);
}

void lookup_check(struct lookup *l, double reach)
{
    l->is_checking = true;
    l->reach = reach;
    if (l->alpha < LOOKUP_ALPHA_SURE)
        l->alpha = LOOKUP_ALPHA_SURE;
}

void lookup_vouch(struct lookup_node *n, const uint8_t by[static 32], const uint8_t voucher[static KRPC_ZV])
{
    static const uint8_t none[KRPC_ZV];

    if (n->state != LOOKUP_NEW || memcmp(voucher, none, sizeof none) == 0)
        return;
    n->is_vouched = true;
    memcpy(n->voucher, by, 32);
    memcpy(n->voucher + 32, voucher, KRPC_ZV);
}

/* Of those asked and not known to be dead, how many are in the network of a. */
static unsigned count_net(const struct lookup *l, const struct addr *a)
{
    unsigned n = 0;

    for (unsigned i = 0; i < l->n; i++)
        if ((l->nodes[i].state == LOOKUP_ASKED || l->nodes[i].state == LOOKUP_ANSWERED) &&
            addr_same_net(&l->nodes[i].c.addr, a))
            n++;
    return n;
}

/* Others that this one's namer named have been asked instead. */
static bool is_crowd(const struct lookup *l, const struct lookup_node *n)
{
    unsigned asked = 0;

    for (unsigned i = 0; i < l->n && n->namer != 0; i++)
        asked += l->nodes[i].namer == n->namer && l->nodes[i].state != LOOKUP_NEW;
    return asked >= LOOKUP_PER_NAMER;
}

/* Where a path stands, seen over the k nearest that are not late, failed or skipped. */
struct path_view {
    struct lookup_node *first_new, *first_retry;
    unsigned n_asked; /* in the whole path */
    unsigned n_late;
    unsigned n_answered; /* in the whole path */
};

static struct path_view view_path(struct lookup *l, unsigned path)
{
    struct path_view v = {0};
    struct lookup_node *first_more = NULL; /* with a free id, when there are enough of these */
    unsigned n_free = 0, more = 0;
    unsigned in_play = 0, in_all = 0, k = l->first_path > 0 && l->k > LOOKUP_K_MORE ? LOOKUP_K_MORE : l->k;

    for (unsigned i = 0; i < l->n; i++) {
        struct lookup_node *n = &l->nodes[i];

        bool is_in_play = n->state == LOOKUP_NEW || n->state == LOOKUP_ASKED || n->state == LOOKUP_ANSWERED;
        bool is_near = in_all < l->k; /* of all paths */

        if (n->is_free && n_free >= l->free_max) {
            more += n->state == LOOKUP_ASKED || n->state == LOOKUP_ANSWERED;
            v.n_asked += n->state == LOOKUP_ASKED;
            first_more = first_more == NULL && n->state == LOOKUP_NEW ? n : first_more;
            continue;
        }
        n_free += n->is_free && is_in_play;
        in_all += is_in_play;
        if (n->path != path)
            continue;
        v.n_asked += n->state == LOOKUP_ASKED && (is_near || in_play < k);
        v.n_answered += n->state == LOOKUP_ANSWERED;
        v.n_late += n->state == LOOKUP_LATE || n->state == LOOKUP_FAILED;
        if (in_play >= k && !is_near)
            continue;
        if (n->state == LOOKUP_NEW && v.first_new == NULL) {
            if (addr_class(&n->c.addr) == ADDR_GLOBAL && count_net(l, &n->c.addr) >= LOOKUP_PER_NET) {
                n->state = LOOKUP_SKIPPED;
                in_all--;
                continue;
            }
            if (!l->is_checking || (id_distance(n->c.id, l->target) <= l->reach && !is_crowd(l, n)))
                v.first_new = n;
        }
        if (n->state == LOOKUP_LATE && n->tries < LOOKUP_TRIES && v.first_retry == NULL)
            v.first_retry = n;
        in_play += is_in_play;
    }
    if (v.first_new == NULL && in_play + more < k)
        v.first_new = first_more;
    if (v.n_answered >= LOOKUP_FEW)
        v.first_retry = NULL;
    return v;
}

struct lookup_node *lookup_next(struct lookup *l)
{
    unsigned alpha = (l->alpha + l->n_paths - 1u) / l->n_paths;

    for (unsigned path = l->first_path; path < l->first_path + (unsigned)l->n_paths; path++) {
        struct path_view v = view_path(l, path);

        /* The more have turned out silent, the more are asked at a time: at most twice as many. */
        if (v.n_asked >= alpha + (v.n_late < alpha ? v.n_late : alpha))
            continue;
        if (v.first_new != NULL)
            return v.first_new;
        if (v.n_asked == 0 && v.first_retry != NULL)
            return v.first_retry;
    }
    return NULL;
}

struct lookup_node *lookup_next_near(struct lookup *l, double distance)
{
    unsigned in_play = 0;

    for (unsigned i = 0; i < l->n && in_play < l->k; i++) {
        struct lookup_node *n = &l->nodes[i];

        if (n->state == LOOKUP_NEW && n->path >= l->first_path) {
            if (id_distance(n->c.id, l->target) > distance)
                return NULL;
            if (addr_class(&n->c.addr) != ADDR_GLOBAL || count_net(l, &n->c.addr) < LOOKUP_PER_NET)
                return n;
            n->state = LOOKUP_SKIPPED;
        }
        in_play += n->state == LOOKUP_NEW || n->state == LOOKUP_ASKED || n->state == LOOKUP_ANSWERED;
    }
    return NULL;
}

void lookup_asked(struct lookup_node *n)
{
    n->state = LOOKUP_ASKED;
    n->tries++;
}

void lookup_late(struct lookup_node *n)
{
    if (n->state == LOOKUP_ASKED)
        n->state = LOOKUP_LATE;
}

void lookup_failed(struct lookup_node *n)
{
    if (n->state != LOOKUP_ANSWERED)
        n->state = LOOKUP_FAILED;
}

void lookup_answered(struct lookup_node *n, struct slice token)
{
    n->state = LOOKUP_ANSWERED;
    if (token.len > 0 && token.len <= LOOKUP_TOKEN_MAX) {
        memcpy(n->token, token.data, token.len);
        n->token_len = (uint8_t)token.len;
    }
}

bool lookup_is_done(struct lookup *l)
{
    for (unsigned path = l->first_path; path < l->first_path + (unsigned)l->n_paths; path++) {
        struct path_view v = view_path(l, path);

        if (v.n_asked > 0 || v.first_new != NULL || v.first_retry != NULL)
            return false;
    }
    return true;
}

size_t lookup_closest(struct lookup *l, struct lookup_node **out, size_t n)
{
    size_t got = 0;

    for (unsigned i = 0; i < l->n && got < n; i++)
        if (l->nodes[i].state == LOOKUP_ANSWERED)
            out[got++] = &l->nodes[i];
    return got;
}

unsigned lookup_answers(const struct lookup *l)
{
    unsigned n = 0;

    for (unsigned i = 0; i < l->n; i++)
        n += l->nodes[i].state == LOOKUP_ANSWERED;
    return n;
}

unsigned lookup_alive_pct(const struct lookup *l)
{
    unsigned n_alive = 0, n_dead = 0;

    for (unsigned i = 0; i < l->n; i++) {
        n_alive += l->nodes[i].state == LOOKUP_ANSWERED;
        n_dead += l->nodes[i].state == LOOKUP_LATE || l->nodes[i].state == LOOKUP_FAILED;
    }
    return n_alive + n_dead > 0 ? 100 * n_alive / (n_alive + n_dead) : 100;
}

bool lookup_is_sparse(struct lookup *l, double size)
{
    struct lookup_node *nearest[64];
    size_t k = l->k < 64 ? l->k : 64, n = lookup_closest(l, nearest, k);

    if (n < k || size < 4.0 * (double)k)
        return false;
    return id_distance(nearest[n - 1]->c.id, l->target) > SPARSE_FACTOR * (double)k / size;
}
