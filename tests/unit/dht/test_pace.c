#include "bed.h"

#include "dht/pace.h"

static struct env env_of(struct bed_node *n)
{
    return (struct env){.ops = &bed_env_ops, .world = n};
}

/* Most of the moments that lie within any such span. */
static unsigned densest(const ns_t *at, unsigned n, ns_t span)
{
    unsigned most = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned count = 0;

        for (unsigned j = 0; j < n; j++)
            count += at[j] >= at[i] && at[j] - at[i] < span;
        most = count > most ? count : most;
    }
    return most;
}

static void one_node(void **state)
{
    struct bed b = {.random = 1};
    struct bed_node node = {.bed = &b};
    struct env env = env_of(&node);
    struct pace *p = pace_create(&env);
    struct addr a = addr_v4((uint8_t[]){45, 1, 2, 3}, 6881);
    ns_t now = 1000 * NS_PER_S, sent[400];
    unsigned n = 0;
    (void)state;

    for (unsigned i = 0; i < 600; i++, now += 50 * NS_PER_MS) { /* 20 a second for 30 s */
        ns_t at = pace_reserve(p, now, &a);

        assert_true(at == NS_NEVER || (at >= now && at <= now + PACE_WAIT_NS));
        if (at != NS_NEVER)
            sent[n++] = at;
    }
    assert_true(n >= 80); /* and it is used up: 3 a second and a burst */
    assert_int_equal(densest(sent, n, NS_PER_S), PACE_NODE_PER_S);
    assert_true(densest(sent, n, 10 * NS_PER_S) <= PACE_HOST_10S);
    pace_destroy(p);
}

static void one_host(void **state)
{
    struct bed b = {.random = 2};
    struct bed_node node = {.bed = &b};
    struct env env = env_of(&node);
    struct pace *p = pace_create(&env);
    ns_t now = 1000 * NS_PER_S, sent[400];
    unsigned n = 0, dropped = 0;
    (void)state;

    for (unsigned i = 0; i < 2000;
         i++, now += 10 * NS_PER_MS) { /* 30 nodes of one address, answers among them */
        struct addr a = addr_v4((uint8_t[]){45, 1, 2, 3}, (uint16_t)(6000 + bed_rand(&b) % 30));
        ns_t at = i % 3 == 0 ? (pace_now(p, now, &a) ? now : NS_NEVER) : pace_reserve(p, now, &a);

        if (at != NS_NEVER)
            sent[n++] = at;
        else
            dropped++;
    }
    assert_true(dropped > 1800);
    assert_true(densest(sent, n, 10 * NS_PER_S) <= PACE_HOST_10S);
    assert_true(PACE_HOST_10S < 50);
    assert_true(densest(sent, n, 10 * NS_PER_S) >= 40);
    pace_destroy(p);
}

static void many(void **state)
{
    struct bed b = {.random = 3};
    struct bed_node node = {.bed = &b};
    struct env env = env_of(&node);
    struct pace *p = pace_create(&env);
    ns_t now = 1000 * NS_PER_S;
    unsigned ok = 0;
    (void)state;

    for (unsigned i = 0; i < 200; i++) { /* a lookup's worth of others do not wait for each other */
        struct addr a = addr_v4((uint8_t[]){45, (uint8_t)i, 2, 3}, 6881);

        ok += pace_reserve(p, now, &a) == now;
    }
    assert_true(ok >= 199);
    for (unsigned i = 0; i < 100000;
         i++) { /* everybody at once: memory is full, what is known is not forgotten */
        struct addr a = addr_v4((uint8_t[]){46, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}, 6881);

        pace_reserve(p, now, &a);
    }
    ok = 0;
    for (unsigned i = 0; i < 20; i++) {
        struct addr a = addr_v4((uint8_t[]){45, 0, 2, 3}, 6881);

        ok += pace_now(p, now, &a);
    }
    assert_int_equal(ok, PACE_NODE_PER_S - 1);
    pace_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("one node hears at most four packets in any second", one_node),
        sentence("one address hears fewer than fifty packets in any ten seconds, answers included", one_host),
        sentence("many addresses are asked at once, and a full memory forgets nobody", many),
    };

    return run_sentences("pace", tests);
}
