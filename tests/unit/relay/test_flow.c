#include "unit/test.h"

#include "relay/flow.h"
#include "relay/ledger.h"

#define MEMBERS 64

struct net {
    double avail[MEMBERS][MEMBERS]; /* what the first can collect from the second */
    bool is_down[MEMBERS];
    unsigned asked;
};

static double avail(void *arg, uint32_t v, uint32_t u)
{
    struct net *n = arg;

    n->asked++;
    return n->avail[v][u];
}

static bool can_clear(void *arg, uint32_t v)
{
    return !((struct net *)arg)->is_down[v];
}

static size_t collectable(void *arg, uint32_t v, uint32_t out[static FLOW_NEIGHBOURS])
{
    struct net *n = arg;
    size_t found = 0;

    for (uint32_t u = 0; u < MEMBERS && found < FLOW_NEIGHBOURS; u++) {
        if (n->avail[v][u] > 0)
            out[found++] = u;
    }
    return found;
}

static struct flow_edges edges_of(struct net *n, bool three)
{
    return (struct flow_edges){
        .arg = n, .avail = avail, .can_clear = can_clear, .collectable = three ? collectable : NULL};
}

enum { R, P, B1, B2, S0 };

static void direct(void **state)
{
    struct net n = {.avail = {[R] = {[P] = 300, [B1] = 900}, [B1] = {[P] = 900}}};
    struct flow_edges e = edges_of(&n, false);
    uint32_t payable[] = {B1};
    struct flow_path path;

    (void)state;
    assert_int_equal(flow_find(&e, R, P, payable, 1, 300, &path), FLOW_DIRECT);
    assert_true(path.room_s == 300);
}

static void two(void **state)
{
    struct net n = {.avail = {[R] = {[B1] = 400, [B2] = 900}, [B1] = {[P] = 900}, [B2] = {[P] = 700}}};
    struct flow_edges e = edges_of(&n, false);
    uint32_t payable[] = {B1, B2};
    struct flow_path path;

    (void)state;
    assert_int_equal(flow_find(&e, R, P, payable, 2, 300, &path), FLOW_TWO_HOPS);
    assert_int_equal(path.via[0], B2);
    assert_true(path.room_s == 700);
    n.is_down[B2] = true;
    assert_int_equal(flow_find(&e, R, P, payable, 2, 300, &path), FLOW_TWO_HOPS);
    assert_int_equal(path.via[0], B1);
    assert_int_equal(flow_find(&e, R, P, payable, 2, 401, &path), FLOW_NONE);
}

static void three(void **state)
{
    struct net n = {.avail = {[R] = {[B2] = 900}, [B2] = {[B1] = 600}, [B1] = {[P] = 300}}};
    struct flow_edges two_only = edges_of(&n, false), e = edges_of(&n, true);
    uint32_t payable[] = {B1};
    struct flow_path path;

    (void)state;
    assert_int_equal(flow_find(&two_only, R, P, payable, 1, 300, &path), FLOW_NONE);
    assert_int_equal(flow_find(&e, R, P, payable, 1, 300, &path), FLOW_THREE_HOPS);
    assert_int_equal(path.via[0], B1);
    assert_int_equal(path.via[1], B2);
    assert_true(path.room_s == 300);
}

static void region_without_work(void **state)
{
    struct net n = {0};
    struct flow_edges e = edges_of(&n, true);
    uint32_t payable[FLOW_NEIGHBOURS];
    struct flow_path path;

    (void)state;
    /* Sybils trust each other without end; nobody outside trusts one of them. */
    for (uint32_t v = S0; v < MEMBERS; v++) {
        for (uint32_t u = S0; u < MEMBERS; u++)
            n.avail[v][u] = 1e9;
        payable[v - S0] = v;
    }
    for (uint32_t s = S0; s < MEMBERS; s++)
        assert_int_equal(flow_find(&e, R, s, payable, MEMBERS - S0, 300, &path), FLOW_NONE);
}

/* One attacker worked for R; k identities draw on it in turn. What R gives is the edge, whatever k is. */
static double region_takes(unsigned k)
{
    struct net n = {0};
    struct flow_edges e = edges_of(&n, true);
    struct ledger_account attacker = {.day = 1};
    uint32_t payable[] = {B1};
    struct flow_path path;
    double taken = 0;
    bool any = true;

    ledger_got(&attacker, 3600, 1);
    for (uint32_t s = S0; s < MEMBERS; s++)
        n.avail[B1][s] = 1e9; /* signs anything for its own */
    while (any) {
        any = false;
        for (uint32_t s = S0; s < S0 + k; s++) {
            n.avail[R][B1] = ledger_avail(&attacker, LEDGER_KAPPA_HI);
            if (flow_find(&e, R, s, payable, 1, 300, &path) != FLOW_TWO_HOPS)
                continue;
            ledger_owe(&attacker, 300, 1);
            taken += 300;
            any = true;
        }
    }
    return taken;
}

static void sybil_gain(void **state)
{
    double one = region_takes(1), many = region_takes(60);

    (void)state;
    assert_true(one > 3600);
    assert_true(one == many);
    assert_true(many <= (1 + LEDGER_KAPPA_HI) * 3600 + LEDGER_L0_S);
}

/* Two real relays, one of them never seen by R, who sign each other anything: the cut is what they worked for R. */
static void collusion(void **state)
{
    struct net n = {0};
    struct flow_edges e = edges_of(&n, true);
    struct ledger_account one = {.day = 1}, two = {.day = 1};
    uint32_t payable[] = {B1, B2};
    struct flow_path path;
    double taken = 0;
    enum flow_kind kind;

    (void)state;
    ledger_got(&one, 3600, 1);
    ledger_got(&two, 1200, 1);
    n.avail[B1][B2] = n.avail[B2][B1] = n.avail[B1][P] = n.avail[B2][P] = 1e9;
    for (;; taken += 300) {
        n.avail[R][B1] = ledger_avail(&one, LEDGER_KAPPA_HI);
        n.avail[R][B2] = ledger_avail(&two, LEDGER_KAPPA_HI);
        kind = flow_find(&e, R, P, payable, 2, 300, &path);
        if (kind == FLOW_NONE)
            break;
        ledger_owe(path.via[kind == FLOW_THREE_HOPS] == B1 ? &one : &two, 300, 1);
    }
    assert_true(taken <= (1 + LEDGER_KAPPA_HI) * (3600 + 1200) + 2 * LEDGER_L0_S);
    assert_true(taken > 3600 + 1200); /* what they worked for they do get */
}

static void caps(void **state)
{
    struct net n = {0};
    struct flow_edges e = edges_of(&n, false);
    uint32_t payable[FLOW_NEIGHBOURS];
    struct flow_path path;

    (void)state;
    for (uint32_t b = B1; b < MEMBERS; b++) {
        n.avail[R][b] = n.avail[b][P] = 300 + b;
        payable[b - B1] = b;
    }
    assert_int_equal(flow_find(&e, R, P, payable, MEMBERS - B1, 300, &path), FLOW_TWO_HOPS);
    assert_int_equal(path.via[0], B1 + FLOW_TRIED - 1); /* the widest of those weighed */
    assert_int_equal(n.asked, 1 + 2 * FLOW_TRIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("who has credit at the relay itself pays directly", direct),
        sentence("two hops take the widest common neighbour that is there to clear", two),
        sentence("three hops are found only where they are asked for", three),
        sentence("attack, sybils: a region without work has no credit anywhere", region_without_work),
        sentence("attack, sybils: a region behind real work W takes at most (1 + kappa) W, whatever k is",
                 sybil_gain),
        sentence("attack, collusion of real peers: (1 + kappa) of the group's work and audit lines",
                 collusion),
        sentence("eight common neighbours are weighed, no more", caps),
    };
    return run_sentences("flow", tests);
}
