/* The table of flows by itself, and between threads: also under ThreadSanitizer (.ci/run tsan). */
#include "unit/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "io/flow_table.h"

#define FLOWS       32
#define BYTES       100
#define LOOKERS     3
#define GENERATIONS 60
#define PATIENCE    1000000 /* turns before a test gives up */

static const uint64_t mix[3] = {0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9};

static struct addr client(uint16_t port)
{
    static const uint8_t ip[4] = {192, 0, 2, 7};

    return addr_v4(ip, port);
}

static struct flow_way way_of(uint16_t channel, uint32_t generation)
{
    struct flow_way w = {.channel = channel, .to_len = sizeof w.to};

    w.to.sin6_flowinfo = generation;
    return w;
}

static uint32_t add(struct flow_table *t, uint16_t port, uint16_t channel, uint32_t generation)
{
    struct addr from = client(port);
    struct flow_way way = way_of((uint16_t)(channel + 1), generation);

    return flow_table_add(t, &from, channel, &way);
}

static enum flow_answer take(struct flow_table *t, ns_t now, uint16_t port, uint16_t channel,
                             struct flow_way *way)
{
    struct addr from = client(port);

    return flow_table_take(t, now, &from, channel, BYTES, way);
}

static void only_while_lent(void **state)
{
    struct flow_table *t = flow_table_create(FLOWS, mix);
    struct flow_way way;
    struct flow_count c;
    uint32_t a = add(t, 5000, 0x4001, 1);

    (void)state;
    assert_int_not_equal(a, 0);
    assert_int_equal(take(t, 10, 5000, 0x4001, &way), FLOW_REFUSED);
    flow_table_lend(t, a, 100, 2 * BYTES + 1);
    assert_int_equal(take(t, 99, 5000, 0x4001, &way), FLOW_TAKEN);
    assert_int_equal(way.channel, 0x4002);
    assert_int_equal(take(t, 100, 5000, 0x4001, &way), FLOW_REFUSED); /* too late */
    assert_int_equal(take(t, 10, 5000, 0x4001, &way), FLOW_TAKEN);
    assert_int_equal(take(t, 10, 5000, 0x4001, &way), FLOW_REFUSED); /* too much */
    flow_table_lend(t, a, 100, UINT64_MAX);
    assert_int_equal(take(t, 10, 5000, 0x4001, &way), FLOW_TAKEN);
    assert_int_equal(take(t, 10, 5000, 0x4002, &way), FLOW_UNKNOWN);
    assert_int_equal(take(t, 10, 5001, 0x4001, &way), FLOW_UNKNOWN);
    c = flow_table_count(t, a);
    assert_int_equal(c.packets, 3);
    assert_int_equal(c.bytes, 3 * BYTES);
    flow_table_destroy(t);
}

static void removed(void **state)
{
    struct flow_table *t = flow_table_create(1, mix);
    struct flow_way way;
    uint32_t a = add(t, 5000, 0x4001, 1);

    (void)state;
    flow_table_lend(t, a, 100, UINT64_MAX);
    assert_int_equal(take(t, 10, 5000, 0x4001, &way), FLOW_TAKEN);
    assert_int_equal(add(t, 5001, 0x4001, 1), 0); /* full */
    assert_int_equal(flow_table_remove(t, a).packets, 1);
    assert_int_equal(take(t, 10, 5000, 0x4001, &way), FLOW_UNKNOWN);
    a = add(t, 5001, 0x4001, 2);
    assert_int_not_equal(a, 0);
    assert_int_equal(flow_table_count(t, a).packets, 0); /* nothing of the one before */
    assert_int_equal(take(t, 10, 5001, 0x4001, &way), FLOW_REFUSED);
    flow_table_destroy(t);
}

static void many(void **state)
{
    struct flow_table *t = flow_table_create(FLOWS, mix);
    uint32_t flows[FLOWS];
    size_t n = 0;

    (void)state;
    for (uint16_t i = 0; i < FLOWS; i++) {
        flows[n] = add(t, (uint16_t)(6000 + i), (uint16_t)(0x4000 + i % 4), i);
        if (flows[n] != 0)
            n++; /* else its eight places were taken: rare, and the loop carries it */
    }
    assert_true(n > FLOWS * 9 / 10);
    assert_int_equal(add(t, 6000, 0x4000, 1), 0); /* a second of that name */
    for (uint16_t i = 0; i < FLOWS; i++) {
        struct flow_way way;

        if (take(t, 1, (uint16_t)(6000 + i), (uint16_t)(0x4000 + i % 4), &way) == FLOW_TAKEN)
            fail(); /* none is lent */
    }
    while (n > 0)
        (void)flow_table_remove(t, flows[--n]);
    for (uint16_t i = 0; i < FLOWS / 2; i++)
        assert_int_not_equal(add(t, (uint16_t)(7000 + i), 0x4000, 1), 0);
    flow_table_destroy(t);
}

/* ---- between threads ---- */

struct crowd {
    struct flow_table *t;
    pthread_t threads[LOOKERS];
    atomic_bool is_over;
    atomic_uint wrong;
    struct looker {
        struct crowd *c;
        unsigned number;
        uint64_t taken[GENERATIONS + 1]; /* read when the thread has ended */
    } lookers[LOOKERS];
};

/* Like a worker's batch: several packets, one begin and one end. */
static void *look(void *arg)
{
    struct looker *l = arg;
    struct crowd *c = l->c;

    while (!atomic_load(&c->is_over)) {
        flow_table_begin(c->t, l->number);
        for (int i = 0; i < 8; i++) {
            struct flow_way way = {0};

            if (take(c->t, 1, 5000, 0x4001, &way) != FLOW_TAKEN)
                continue;
            if (way.channel != 0x4002 || way.to.sin6_flowinfo < 1 || way.to.sin6_flowinfo > GENERATIONS)
                atomic_fetch_add(&c->wrong, 1);
            else
                l->taken[way.to.sin6_flowinfo]++;
        }
        flow_table_end(c->t, l->number);
    }
    return NULL;
}

static struct crowd *gather(void)
{
    struct crowd *c = test_calloc(1, sizeof *c);

    c->t = flow_table_create(2, mix);
    for (unsigned i = 0; i < LOOKERS; i++) {
        c->lookers[i] = (struct looker){.c = c, .number = i};
        assert_int_equal(pthread_create(&c->threads[i], NULL, look, &c->lookers[i]), 0);
    }
    return c;
}

static void part(struct crowd *c)
{
    atomic_store(&c->is_over, true);
    for (int i = 0; i < LOOKERS; i++)
        pthread_join(c->threads[i], NULL);
}

static uint64_t taken(const struct crowd *c, uint32_t generation)
{
    uint64_t n = 0;

    for (int i = 0; i < LOOKERS; i++)
        n += c->lookers[i].taken[generation];
    return n;
}

static void leave(struct crowd *c)
{
    assert_int_equal(atomic_load(&c->wrong), 0);
    flow_table_destroy(c->t);
    test_free(c);
}

static void await_packets(const struct crowd *c, uint32_t flow, uint64_t n)
{
    for (int i = 0; i < PATIENCE && flow_table_count(c->t, flow).packets < n; i++)
        sched_yield();
    assert_true(flow_table_count(c->t, flow).packets >= n);
}

static void final_count(void **state)
{
    static struct flow_count counts[GENERATIONS + 1];
    struct crowd *c = gather();

    (void)state;
    for (uint32_t g = 1; g <= GENERATIONS; g++) { /* the same name, and the same place in memory */
        uint32_t flow = add(c->t, 5000, 0x4001, g);

        assert_int_not_equal(flow, 0);
        flow_table_lend(c->t, flow, 2, UINT64_MAX);
        await_packets(c, flow, 1);
        counts[g] = flow_table_remove(c->t, flow);
    }
    part(c);
    for (uint32_t g = 1; g <= GENERATIONS; g++) {
        assert_int_equal(counts[g].packets, taken(c, g));
        assert_int_equal(counts[g].bytes, taken(c, g) * BYTES);
    }
    leave(c);
}

static void one_allowance(void **state)
{
    const uint64_t n = 3000;
    struct crowd *c = gather();
    uint32_t flow = add(c->t, 5000, 0x4001, 1);

    (void)state;
    for (uint64_t i = 1; i <= n; i += n / 100) /* a little at a time, so that all want the last of it */
        flow_table_lend(c->t, flow, 2, i * BYTES), await_packets(c, flow, i);
    flow_table_lend(c->t, flow, 2, n * BYTES + BYTES - 1);
    await_packets(c, flow, n);
    for (int i = 0; i < 1000; i++)
        sched_yield();
    part(c);
    assert_int_equal(taken(c, 1), n);
    assert_int_equal(flow_table_remove(c->t, flow).packets, n);
    leave(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a flow is taken only while it is lent, and no further than its bytes", only_while_lent),
        sentence("a removed flow is unknown, and its place begins at nothing", removed),
        sentence("many flows have a place, a name has one", many),
        sentence("what a removal counts is all that any thread ever took", final_count),
        sentence("threads together take no more bytes than are lent", one_allowance),
    };

    return run_sentences("flow_table", tests);
}
