#include "unit/test.h"

#include "base/cursor.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/ring.h"

static void reader_failure_sticks(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct rd r;

    (void)state;
    rd_init(&r, slice_of(bytes, sizeof bytes));
    assert_int_equal(rd_u16(&r), 0x102);
    assert_int_equal(rd_u16(&r), 0);
    assert_int_equal(rd_u8(&r), 0);
    assert_false(rd_ok(&r));
    assert_false(rd_done(&r));
}

static void writer_stops_at_the_end(void **state)
{
    uint8_t buf[4];
    struct wr w;

    (void)state;
    wr_init(&w, buf, sizeof buf);
    wr_u32(&w, 0x01020304);
    assert_int_equal(wr_done(&w).len, 4);
    wr_u8(&w, 5);
    assert_false(wr_ok(&w));
    assert_int_equal(wr_done(&w).len, 0);
}

static void heap_keeps_order(void **state)
{
    struct heap_node nodes[100] = {0};
    struct heap h = {0};
    ns_t last = 0;
    uint32_t x = 1;

    (void)state;
    for (int i = 0; i < 100; i++) {
        x = x * 1664525 + 1013904223;
        heap_set(&h, &nodes[i], x >> 20);
    }
    for (int i = 0; i < 100; i += 3)
        heap_remove(&h, &nodes[i]);
    for (int i = 1; i < 100; i += 3)
        heap_set(&h, &nodes[i], nodes[i].at / 2);
    for (int i = 0; i < 66; i++) {
        struct heap_node *n = heap_pop_due(&h, NS_NEVER - 1);

        assert_non_null(n);
        assert_true(n->at >= last);
        last = n->at;
    }
    assert_null(heap_pop_due(&h, NS_NEVER - 1));
    assert_true(heap_deadline(&h) == NS_NEVER);
    heap_fini(&h);
}

static void ring_is_a_bounded_queue(void **state)
{
    struct ring *r = mem_alloc(sizeof *r);
    uint8_t big[RING_SLOT_BYTES + 1] = {0};

    (void)state;
    ring_init(r);
    assert_null(ring_peek(r));
    assert_false(ring_put(r, 0, slice_of(big, sizeof big)));
    for (uint8_t i = 0; i < RING_SLOTS; i++)
        assert_true(ring_put(r, i, slice_of(&i, 1)));
    assert_false(ring_put(r, 0, slice_of(big, 1)));
    for (uint8_t i = 0; i < RING_SLOTS; i++) {
        assert_int_equal(ring_peek(r)->stamp, i);
        assert_int_equal(ring_peek(r)->data[0], i);
        ring_pop(r);
    }
    assert_null(ring_peek(r));
    mem_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a reader's failure sticks and yields zeroes", reader_failure_sticks),
        sentence("a writer without room keeps nothing", writer_stops_at_the_end),
        sentence("the heap gives deadlines in order after moves and removals", heap_keeps_order),
        sentence("a ring keeps order and refuses when full", ring_is_a_bounded_queue),
    };

    return run_sentences("ground", tests);
}
