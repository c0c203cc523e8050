#include <stdlib.h>

#include "unit/test.h"

#include "dht/estimate.h"
#include "dht/bep42.h"
#include "dht/lookup.h"
#include "dht/rpc.h"

static const uint8_t own[ID_BYTES] = {0xff};
static const uint8_t target[ID_BYTES];

/* A contact at that distance from the target (all zeros), in a network of its own. */
static struct contact at(unsigned distance)
{
    struct contact c = {.addr =
                            addr_v4((uint8_t[]){45, (uint8_t)(distance >> 8), (uint8_t)distance, 1}, 4000)};

    memset(c.id, 0, sizeof c.id);
    c.id[0] = (uint8_t)(distance >> 8);
    c.id[1] = (uint8_t)distance;
    return c;
}

static bool add(struct lookup *l, unsigned distance, unsigned path)
{
    struct contact c = at(distance);

    return lookup_add(l, &c, path);
}

static struct lookup_node *get(struct lookup *l, unsigned distance)
{
    struct contact c = at(distance);

    return lookup_find(l, c.id);
}

static void asks_nearest(void **state)
{
    struct lookup *l = lookup_create(target, own, 8, 1, 3);
    struct lookup_node *n;
    (void)state;

    for (unsigned i = 0; i < 20; i++)
        assert_true(add(l, 20 - i, 0));
    assert_false(add(l, 5, 0)); /* known */
    for (unsigned i = 1; i <= 3; i++) {
        n = lookup_next(l);
        assert_ptr_equal(n, get(l, i));
        lookup_asked(n);
    }
    assert_null(lookup_next(l)); /* alpha */
    lookup_late(get(l, 2));
    assert_ptr_equal(lookup_next(l), get(l, 4)); /* nobody waits for a straggler */
    lookup_destroy(l);
}

static void ends(void **state)
{
    struct lookup *l = lookup_create(target, own, 8, 1, 3);
    struct lookup_node *n, *out[20];
    unsigned asked = 0;
    (void)state;

    for (unsigned i = 1; i <= 30; i++)
        add(l, i, 0);
    while ((n = lookup_next(l)) != NULL) {
        assert_false(lookup_is_done(l));
        lookup_asked(n);
        asked++;
        if (n->c.id[1] % 3 == 0)
            lookup_failed(n);
        else
            lookup_answered(n, slice_str("token"));
    }
    assert_true(lookup_is_done(l));
    assert_int_equal(lookup_closest(l, out, 20), 8); /* 1 2 4 5 7 8 10 11 */
    assert_int_equal(out[7]->c.id[1], 11);
    assert_int_equal(asked, 11);
    assert_int_equal(out[0]->token_len, 5);
    lookup_destroy(l);
}

static void retries(void **state)
{
    struct lookup *l = lookup_create(target, own, 8, 1, 3);
    struct lookup_node *n;
    (void)state;

    add(l, 1, 0);
    for (unsigned i = 0; i < LOOKUP_TRIES; i++) {
        n = lookup_next(l);
        assert_non_null(n);
        lookup_asked(n);
        assert_false(lookup_is_done(l));
        lookup_late(n);
    }
    assert_null(lookup_next(l));
    assert_true(lookup_is_done(l));
    lookup_answered(get(l, 1), (struct slice){0}); /* a late answer still counts */
    assert_int_equal(lookup_answers(l), 1);
    lookup_destroy(l);
}

static void one_network(void **state)
{
    struct lookup *l = lookup_create(target, own, 20, 1, 100);
    struct lookup_node *n;
    unsigned asked = 0, evil = 0;
    (void)state;

    for (unsigned i = 1; i <= 20; i++) {
        struct contact c = at(i);

        c.addr = addr_v4((uint8_t[]){46, 1, 1, (uint8_t)i}, 4000);
        lookup_add(l, &c, 0);
    }
    for (unsigned i = 21; i <= 30; i++)
        add(l, i, 0);
    while ((n = lookup_next(l)) != NULL) {
        lookup_asked(n);
        asked++;
        evil += n->c.addr.ip[0] == 46;
    }
    assert_int_equal(evil, LOOKUP_PER_NET);
    assert_int_equal(asked, LOOKUP_PER_NET + 10);
    lookup_destroy(l);
}

static void disjoint(void **state)
{
    struct lookup *l = lookup_create(target, own, 4, 4, 4);
    struct lookup_node *n;
    unsigned seen[4] = {0};
    (void)state;

    for (unsigned i = 1; i <= 16; i++)
        add(l, i, i);
    assert_false(add(l, 3, 0)); /* on one path only */
    for (unsigned i = 0; i < 4; i++) {
        n = lookup_next(l);
        lookup_asked(n);
        seen[n->path]++;
    }
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(seen[i], 1);
    while ((n = lookup_next(l)) != NULL || !lookup_is_done(l))
        for (unsigned i = 1; i <= 16; i++) {
            if (n != NULL && n->state == LOOKUP_NEW)
                lookup_asked(n);
            if (get(l, i)->state == LOOKUP_ASKED)
                lookup_answered(get(l, i), (struct slice){0});
        }
    assert_int_equal(lookup_answers(l), 16); /* four by each path */
    lookup_destroy(l);
}

static void full_list(void **state)
{
    struct lookup *l = lookup_create(target, own, 8, 1, 3);
    (void)state;

    for (unsigned i = 0; i < LOOKUP_CANDIDATES; i++)
        assert_true(add(l, 1000 + i, 0));
    assert_false(add(l, 5000, 0));
    assert_true(add(l, 1, 0));
    assert_int_equal(l->n, LOOKUP_CANDIDATES);
    assert_null(get(l, 1000 + LOOKUP_CANDIDATES - 1));
    lookup_destroy(l);
}

static void anew(void **state)
{
    struct lookup *l = lookup_create(target, own, 4, 1, 100);
    struct lookup_node *n;
    (void)state;

    for (unsigned i = 1; i <= 6; i++)
        add(l, i * 64, 0);
    while ((n = lookup_next(l)) != NULL) {
        lookup_asked(n);
        lookup_answered(n, (struct slice){0});
    }
    assert_int_equal(lookup_answers(l), 4);
    lookup_relaunch(l, 2);
    assert_null(lookup_next(l)); /* whom the old path named is not theirs */
    assert_true(lookup_is_done(l));
    assert_false(add(l, 64, l->first_path));    /* asked already */
    assert_true(add(l, 5 * 64, l->first_path)); /* named, and not asked */
    assert_false(add(l, 5 * 64, l->first_path + 1u));
    assert_true(add(l, 7 * 64, l->first_path + 1u));
    assert_true(add(l, 8 * 64, l->first_path + 2u)); /* the first of the two again */
    assert_true(add(l, 9 * 64, 0));                  /* a late answer of the old one */
    while ((n = lookup_next(l)) != NULL) {
        assert_true(n->path >= l->first_path);
        lookup_asked(n);
        lookup_answered(n, (struct slice){0});
    }
    assert_int_equal(lookup_answers(l), 7);
    assert_int_equal(get(l, 9 * 64)->state, LOOKUP_NEW);
    lookup_destroy(l);
}

static void share_alive(void **state)
{
    struct lookup *l = lookup_create(target, own, 4, 1, 2);
    (void)state;

    assert_int_equal(lookup_alive_pct(l), 100);
    for (unsigned i = 1; i <= 4; i++)
        add(l, i * 64, 0);
    for (unsigned i = 1; i <= 4; i++)
        lookup_asked(get(l, i * 64));
    lookup_answered(get(l, 64), (struct slice){0});
    lookup_failed(get(l, 2 * 64));
    lookup_late(get(l, 3 * 64));
    assert_int_equal(lookup_alive_pct(l), 33); /* of the fourth nothing is known */
    lookup_destroy(l);
}

static void more_at_once(void **state)
{
    struct lookup *l = lookup_create(target, own, 20, 1, 3);
    struct lookup_node *n;
    unsigned n_asked = 0;
    (void)state;

    for (unsigned i = 1; i <= 30; i++)
        add(l, i * 64, 0);
    for (unsigned i = 0; i < 3; i++) {
        n = lookup_next(l);
        lookup_asked(n);
        lookup_late(n);
    }
    while ((n = lookup_next(l)) != NULL) {
        lookup_asked(n);
        n_asked++;
    }
    assert_int_equal(n_asked, 6); /* three were silent: twice alpha, and never more */
    lookup_destroy(l);
}

static void sparse(void **state)
{
    struct lookup *l = lookup_create(target, own, 8, 1, 100);
    struct lookup_node *n;
    (void)state;

    for (unsigned i = 1; i <= 8; i++)
        add(l, i * 64, 0); /* 8 nodes in 1/128 of the space: a zone of 1024 */
    while ((n = lookup_next(l)) != NULL) {
        lookup_asked(n);
        lookup_answered(n, (struct slice){0});
    }
    assert_false(lookup_is_sparse(l, 1024));
    assert_false(lookup_is_sparse(l, 1500));
    assert_true(lookup_is_sparse(l, 2000)); /* half of them are missing */
    assert_false(lookup_is_sparse(l, 20));  /* too small to say */
    lookup_destroy(l);
}

/* --- transactions */

static void calls(void **state)
{
    uint8_t t[RPC_T_BYTES];
    static struct rpc r;
    struct contact c = at(1);
    struct addr other = c.addr;
    struct rpc_call *call, *due;
    bool is_dead;
    ns_t now = NS_PER_S, rtt = 100 * NS_PER_MS;
    (void)state;

    rpc_init(&r);
    other.port++;
    call = rpc_open(&r, now, 0x12345678, &c, true, rtt);
    assert_ptr_equal(rpc_find(&r, slice_of(call->t, RPC_T_BYTES), &c.addr), call);
    assert_null(rpc_find(&r, slice_of(call->t, RPC_T_BYTES), &other));
    assert_null(rpc_find(&r, slice_of(call->t, 4), &c.addr));
    assert_int_equal(rpc_deadline(&r), now + 2 * rtt);
    assert_null(rpc_due(&r, now + 2 * rtt - 1, &is_dead));
    due = rpc_due(&r, now + 2 * rtt, &is_dead);
    assert_ptr_equal(due, call);
    assert_false(is_dead);
    assert_non_null(rpc_find(&r, slice_of(call->t, RPC_T_BYTES), &c.addr)); /* late, not dead */
    assert_ptr_equal(rpc_due(&r, now + RPC_DEAD_NS, &is_dead), call);
    assert_true(is_dead);
    memcpy(t, call->t, sizeof t);
    rpc_close(&r, call);
    assert_null(rpc_find(&r, slice_of(t, sizeof t), &c.addr));
    assert_null(r.calls); /* and nothing is held when none is open */
    for (unsigned i = 0; i < RPC_MAX; i++)
        assert_non_null(rpc_open(&r, now, i, &c, true, rtt));
    assert_null(rpc_open(&r, now, 1, &c, true, rtt));
    rpc_fini(&r);
}

/* --- estimates */

static struct addr net(unsigned i)
{
    return addr_v4((uint8_t[]){45, (uint8_t)(i >> 8), (uint8_t)i, 1}, 4000);
}

static void votes(void **state)
{
    struct address_votes v = {0};
    struct addr mine = net(999), lie = net(1), out, from;
    uint8_t id[ID_BYTES] = {0};
    unsigned n;
    (void)state;

    assert_false(votes_majority(&v, NS_PER_S, 2, ADDR_V4, &out, &n));
    from = net(1);
    votes_add(&v, NS_PER_S, &from, id, &mine);
    assert_false(votes_majority(&v, NS_PER_S, 2, ADDR_V4, &out, &n)); /* one is no majority */
    from = net(2);
    votes_add(&v, NS_PER_S, &from, id, &mine);
    assert_true(votes_majority(&v, NS_PER_S, 2, ADDR_V4, &out, &n) && addr_equal(&out, &mine) && n == 2);
    for (unsigned i = 0; i < 10; i++) { /* ten liars of one network have one vote */
        from = net(3);
        from.ip[3] = (uint8_t)i;
        id[0] = (uint8_t)i;
        votes_add(&v, NS_PER_S, &from, id, &lie);
    }
    assert_true(votes_majority(&v, NS_PER_S, 2, ADDR_V4, &out, &n) && addr_equal(&out, &mine));
    mine.port = 5; /* two of four see another port: no port */
    from = net(4);
    votes_add(&v, NS_PER_S, &from, id, &mine);
    from = net(5);
    mine.port = 6;
    votes_add(&v, NS_PER_S, &from, id, &mine);
    assert_true(votes_majority(&v, NS_PER_S, 2, ADDR_V4, &out, &n) && addr_equal_ip(&out, &mine) &&
                out.port == 0 && n == 4);
    assert_false(votes_majority(&v, NS_PER_S + ESTIMATE_VOTE_NS + NS_PER_S, 2, ADDR_V4, &out, &n));
}

static void clock_of_two(void **state)
{
    struct clocks c = {0};
    struct addr from = net(1);
    uint8_t id[ID_BYTES] = {0};
    ns_t now = 50 * NS_PER_S;
    (void)state;

    assert_int_equal(clocks_time_ms(&c, now, 7000), 7000);
    clocks_add(&c, now, &from, id, 900000, 100 * NS_PER_MS);
    assert_int_equal(clocks_time_ms(&c, now, 7000), 900050);     /* the later of two */
    assert_int_equal(clocks_time_ms(&c, now, 2000000), 2000000); /* whoever has it */
    assert_int_equal(clocks_time_ms(&c, now + NS_PER_S, 8000), 901050);
}

static void clock_majority(void **state)
{
    struct clocks c = {0};
    uint8_t id[ID_BYTES] = {0};
    ns_t now = 50 * NS_PER_S;
    struct addr from;
    (void)state;

    for (unsigned i = 0; i < 5; i++) {
        from = net(i);
        clocks_add(&c, now, &from, id, 1000000 + i, 0);
    }
    for (unsigned i = 0; i < 100; i++) { /* one network, however many nodes */
        from = net(77);
        from.ip[3] = (uint8_t)i;
        id[1] = (uint8_t)i;
        clocks_add(&c, now, &from, id, 99000000, 0);
    }
    assert_in_range(clocks_time_ms(&c, now, 0), 1000000, 1000004);
    for (unsigned i = 0; i < ESTIMATE_CLOCKS; i++)
        assert_true(i < 6 ? c.votes[i].voter.at_s > 0 : c.votes[i].voter.at_s == 0);
}

static void size(void **state)
{
    struct size_estimate s = {0};
    double n, low, high;
    (void)state;

    size_read(&s, NS_PER_S, 0, 0, &n, &low, &high);
    assert_true(n == 1 && low == 1 && high == 1);
    for (unsigned i = 0; i < 8; i++)
        size_add(&s, NS_PER_S, 20, 0.002);
    size_read(&s, NS_PER_S, 0, 0, &n, &low, &high);
    assert_true(n > 9900 && n < 10000 && low > 8000 && high < 12000);
    size_read(&s, NS_PER_S, 20, 0.0025, &n, &low, &high); /* ours is one more sample */
    assert_true(n > 9600 && n < 9800);
    size_read(&s, NS_PER_S, 20, 0.0008, &n, &low, &high); /* those are of a time when the zone was smaller */
    assert_true(n > 23000 && n < 25000);
    size_read(&s, NS_PER_S + ESTIMATE_SIZE_NS + NS_PER_S, 20, 0.038, &n, &low, &high);
    assert_true(n > 499 && n < 501);
}

/* Whoever likes may lie beside a target on mainline: they fill a few of the places, and no more. */
static void free_ids(void **state)
{
    struct lookup *l = lookup_create(target, own, 8, 1, 100);
    struct contact c = {.addr = addr_v4((uint8_t[]){45, 0, 0, 1}, 4000)};
    struct lookup_node *n;
    unsigned n_free = 0, n_others = 0;
    (void)state;

    l->free_max = 3;
    for (unsigned i = 0; i < 100; i++) { /* beside it */
        memcpy(c.id, target, sizeof c.id);
        c.id[ID_BYTES - 1] ^= (uint8_t)(i + 1);
        c.addr.ip[1] = (uint8_t)i;
        lookup_add(l, &c, 0);
    }
    assert_true(l->n <= LOOKUP_FREE_NEW);
    for (unsigned i = 0; i < 20; i++) {
        c.addr.ip[1] = (uint8_t)(100 + i);
        c.id[ID_BYTES - 1] = (uint8_t)i;
        bep42_make(&c.addr, c.id);
        assert_true(lookup_add(l, &c, 0));
    }
    while ((n = lookup_next(l)) != NULL) {
        lookup_asked(n);
        lookup_answered(n, (struct slice){0});
        n_free += n->is_free;
        n_others += !n->is_free;
    }
    assert_int_equal(n_free, 3);
    assert_int_equal(n_others, 5);
    lookup_destroy(l);

    l = lookup_create(target, own, 8, 1, 100); /* but where there are no others they do */
    l->free_max = 3;
    for (unsigned i = 0; i < 12; i++) {
        c.id[ID_BYTES - 1] = (uint8_t)i;
        c.addr.ip[1] = (uint8_t)i;
        c.id[0] = (uint8_t)(c.id[0] + 1);
        lookup_add(l, &c, 0);
    }
    for (n_free = 0; (n = lookup_next(l)) != NULL; n_free++) {
        lookup_asked(n);
        lookup_answered(n, (struct slice){0});
    }
    assert_int_equal(n_free, 8);
    lookup_destroy(l);
}

/* Of those whom one node named, few are asked once something was found; and the k of all paths together still count. */
static void crowd(void **state)
{
    struct lookup *l = lookup_create(target, own, 8, 1, 2);
    struct contact c = {.addr = addr_v4((uint8_t[]){45, 0, 0, 1}, 4000)};
    uint8_t liar[ID_BYTES] = {1}, other[ID_BYTES] = {2};
    struct lookup_node *n;
    unsigned asked = 0;
    (void)state;

    liar[ID_BYTES - 1] = 7;
    other[ID_BYTES - 1] = 9;
    for (unsigned i = 0; i < 8; i++) {
        memcpy(c.id, target, sizeof c.id);
        c.id[i < 6 ? ID_BYTES - 1 : 0] ^= (uint8_t)(i + 1);
        c.addr.ip[1] = (uint8_t)i;
        assert_true(lookup_add(l, &c, 0));
        lookup_name(lookup_find(l, c.id), i < 6 ? liar : other);
    }
    lookup_check(l, 1);
    while ((n = lookup_next(l)) != NULL) {
        lookup_asked(n);
        asked++;
    }
    assert_int_equal(asked, LOOKUP_PER_NAMER + 2);
    lookup_destroy(l);
}

/* A newer value lies near the target or nowhere. */
static void check_near(void **state)
{
    struct lookup *l = lookup_create(target, own, 8, 1, 2);
    struct contact c = {.addr = addr_v4((uint8_t[]){45, 0, 0, 1}, 4000)};
    struct lookup_node *n;
    unsigned asked = 0;
    (void)state;

    for (unsigned i = 0; i < 6; i++) {
        memcpy(c.id, target, sizeof c.id);
        c.id[1] ^= (uint8_t)(0x10 * (i + 1)); /* at i + 1 parts of 4096 */
        c.addr.ip[1] = (uint8_t)i;
        assert_true(lookup_add(l, &c, 0));
    }
    lookup_check(l, 3.5 / 4096);
    while ((n = lookup_next(l)) != NULL) {
        assert_true(id_distance(n->c.id, target) < 3.5 / 4096);
        lookup_asked(n);
        asked++;
    }
    assert_int_equal(asked, 3);
    lookup_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a newer value is looked for near the target only", check_near),
        sentence("ids chosen at will take few of the places on mainline", free_ids),
        sentence("whom one node named are not all asked for a newer value", crowd),
        sentence("a lookup asks the nearest, alpha at a time, and goes on without stragglers", asks_nearest),
        sentence("a lookup ends when the k nearest that live have answered", ends),
        sentence("while few have answered the silent are asked again, three times in all", retries),
        sentence("one network is asked a few times only", one_network),
        sentence("disjoint paths share no node and each has its turn", disjoint),
        sentence("a full list keeps the nearest", full_list),
        sentence("paths begun anew ask nobody twice, and may claim whom an old one named", anew),
        sentence("silence among those asked is counted", share_alive),
        sentence("the more are silent the more are asked at a time, to twice alpha", more_at_once),
        sentence("colluders who hide half of the nodes make a lookup sparse", sparse),
        sentence("a call is late at twice its round trip, dead later, and found by id and address", calls),
        sentence("our address is what most networks see, with a port only if most see the same", votes),
        sentence("of two clocks the later counts", clock_of_two),
        sentence("many nodes of one network are one clock", clock_majority),
        sentence("the size of the zone is a mean of fresh samples", size),
    };

    return run_sentences("lookup", tests);
}
