#include <stdlib.h>

#include "unit/test.h"

#include "dht/table.h"

static const uint8_t own[ID_BYTES];

/* A contact that shares `prefix` bits with all zeros; number makes it distinct, its network too. */
static struct contact contact(unsigned prefix, unsigned number)
{
    struct contact c = {.addr = addr_v4((uint8_t[]){45, (uint8_t)(number >> 8), (uint8_t)number, 1}, 4000)};

    memset(c.id, 0, sizeof c.id);
    c.id[18] = (uint8_t)(number >> 8);
    c.id[19] = (uint8_t)number;
    id_set_prefix(c.id, own, prefix);
    c.id[18] = (uint8_t)(number >> 8);
    c.id[19] = (uint8_t)number;
    memcpy(c.key, c.id, ID_BYTES);
    return c;
}

static enum err seen(struct table *t, unsigned prefix, unsigned number)
{
    struct contact c = contact(prefix, number);

    return table_seen(t, 1000 * NS_PER_S + number, &c, 50 * NS_PER_MS);
}

static void prefixes(void **state)
{
    uint8_t a[ID_BYTES] = {0}, b[ID_BYTES] = {0}, own2[ID_BYTES];
    (void)state;

    assert_int_equal(id_prefix(a, b), 160);
    b[19] = 1;
    assert_int_equal(id_prefix(a, b), 159);
    b[0] = 0x80;
    assert_int_equal(id_prefix(a, b), 0);
    for (unsigned i = 0; i < ID_BYTES; i++)
        own2[i] = (uint8_t)(i * 37 + 11);
    for (unsigned p = 0; p < 160; p++) {
        memset(a, 0xa5, sizeof a);
        id_set_prefix(a, own2, p);
        assert_int_equal(id_prefix(a, own2), p);
    }
}

static void caps(void **state)
{
    struct book *book = book_create();
    struct table t;
    (void)state;

    table_init(&t, book, own, 20, 0);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(seen(&t, 0, i), i < 128 ? ERR_OK : ERR_FULL);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(seen(&t, 1, i + 1000), i < 64 ? ERR_OK : ERR_FULL);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(seen(&t, 2, i + 2000), i < 32 ? ERR_OK : ERR_FULL);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(seen(&t, 9, i + 3000), i < 20 ? ERR_OK : ERR_FULL);
    assert_int_equal(t.n, 128 + 64 + 32 + 20);
    table_fini(&t);
    assert_int_equal(book->n, 0);
    book_destroy(book);
}

static void pool_cap(void **state)
{
    struct book *book = book_create();
    struct table t;
    (void)state;

    table_init(&t, book, own, 20, 10);
    for (unsigned i = 0; i < 30; i++)
        seen(&t, i % 5, i);
    assert_int_equal(t.n, 10);
    table_fini(&t);
    assert_int_equal(book->n, 0);
    book_destroy(book);
}

static void nearest(void **state)
{
    struct book *book = book_create();
    struct table t;
    const struct table_entry *got[40];
    uint8_t target[ID_BYTES];
    (void)state;

    srand(7);
    table_init(&t, book, own, 20, 0);
    for (unsigned i = 0; i < 400; i++) {
        struct contact c = contact(0, i);

        for (unsigned j = 0; j < ID_BYTES; j++)
            c.id[j] = (uint8_t)rand();
        id_set_prefix(c.id, own, (unsigned)rand() % 12);
        table_seen(&t, NS_PER_S, &c, 1);
    }
    for (unsigned round = 0; round < 200; round++) {
        size_t n, closer = 0;

        for (unsigned j = 0; j < ID_BYTES; j++)
            target[j] = (uint8_t)rand();
        if (round % 2 == 0)
            id_set_prefix(target, own, (unsigned)rand() % 14);
        if (round == 0)
            memcpy(target, own, sizeof target);
        n = table_closest(&t, target, got, 20);
        assert_int_equal(n, 20);
        for (size_t i = 1; i < n; i++)
            assert_true(id_compare(target, table_contact(&t, got[i - 1])->id, table_contact(&t, got[i])->id) <
                        0);
        for (unsigned i = 0; i < t.n; i++)
            closer += id_compare(target, table_contact(&t, &t.entries[i])->id,
                                 table_contact(&t, got[n - 1])->id) < 0;
        assert_int_equal(closer, n - 1);
    }
    table_fini(&t);
    assert_int_equal(book->n, 0);
    book_destroy(book);
}

static void failures(void **state)
{
    struct book *book = book_create();
    struct table t;
    struct contact a, spare;
    (void)state;

    table_init(&t, book, own, 8, 0);
    for (unsigned i = 0; i < 9; i++)
        seen(&t, 20, i);
    a = contact(20, 0);
    spare = contact(20, 8);
    assert_null(table_find(&t, spare.id));
    table_failed(&t, NS_PER_S, a.id);
    assert_non_null(table_find(&t, a.id)); /* once is nothing */
    assert_int_equal(table_live(&t), 8);
    table_failed(&t, NS_PER_S, a.id);
    assert_null(table_find(&t, a.id));
    assert_non_null(table_find(&t, spare.id)); /* who waited has its place */
    a = contact(20, 1);
    for (unsigned i = 0; i < 4; i++)
        table_failed(&t, NS_PER_S, a.id);
    assert_non_null(table_find(&t, a.id)); /* nobody to replace it: kept, but not live */
    assert_int_equal(table_live(&t), 7);
    table_failed(&t, NS_PER_S, a.id);
    assert_null(table_find(&t, a.id));
    table_fini(&t);
    assert_int_equal(book->n, 0);
    book_destroy(book);
}

static void recovers(void **state)
{
    struct book *book = book_create();
    struct table t;
    struct contact a = contact(3, 1);
    (void)state;

    table_init(&t, book, own, 8, 0);
    seen(&t, 3, 1);
    table_failed(&t, NS_PER_S, a.id);
    seen(&t, 3, 1);
    table_failed(&t, NS_PER_S, a.id);
    assert_int_equal(table_live(&t), 1); /* failures in a row count */
    table_fini(&t);
    assert_int_equal(book->n, 0);
    book_destroy(book);
}

static void networks(void **state)
{
    struct book *book = book_create();
    struct table t;
    unsigned n_evil = 0;
    (void)state;

    table_init(&t, book, own, 8, 0);
    for (unsigned i = 0; i < 8; i++) {
        struct contact c = contact(20, i);

        c.addr = addr_v4((uint8_t[]){45, 200, 200, (uint8_t)(i + 1)}, 4000);
        assert_int_equal(table_seen(&t, NS_PER_S, &c, 1), ERR_OK);
    }
    for (unsigned i = 0; i < 20; i++)
        seen(&t, 20, 100 + i); /* each of a network of its own */
    for (unsigned i = 0; i < t.n; i++)
        n_evil += table_contact(&t, &t.entries[i])->addr.ip[1] == 200;
    assert_int_equal(n_evil, TABLE_PER_NET);
    assert_int_equal(t.n, 8);
    table_fini(&t);
    assert_int_equal(book->n, 0);
    book_destroy(book);
}

static void lan(void **state)
{
    struct book *book = book_create();
    struct table t;
    (void)state;

    table_init(&t, book, own, 8, 0);
    for (unsigned i = 0; i < 12; i++) {
        struct contact c = contact(20, i);

        c.addr = addr_v4((uint8_t[]){192, 168, 1, (uint8_t)(i + 1)}, 4000);
        assert_int_equal(table_seen(&t, NS_PER_S, &c, 1), i < 8 ? ERR_OK : ERR_FULL);
    }
    table_fini(&t);
    assert_int_equal(book->n, 0);
    book_destroy(book);
}

static void other_id(void **state)
{
    struct book *book = book_create();
    struct table t;
    struct contact a = contact(3, 1), b = contact(9, 2);
    (void)state;

    table_init(&t, book, own, 8, 0);
    table_seen(&t, NS_PER_S, &a, 1);
    b.addr = a.addr;
    table_seen(&t, NS_PER_S, &b, 1);
    assert_null(table_find(&t, a.id));
    assert_non_null(table_find(&t, b.id));
    b.addr.port++;
    table_seen(&t, NS_PER_S, &b, 1);
    assert_int_equal(table_contact(&t, table_find(&t, b.id))->addr.port, 4001);
    assert_int_equal(t.n, 1);
    memcpy(a.id, own, sizeof own);
    assert_int_equal(table_seen(&t, NS_PER_S, &a, 1), ERR_REFUSED);
    table_fini(&t);
    assert_int_equal(book->n, 0);
    book_destroy(book);
}

static void stalest(void **state)
{
    struct book *book = book_create();
    const struct table_entry *e;
    struct table t;
    struct contact a = contact(3, 1);
    (void)state;

    table_init(&t, book, own, 8, 0);
    for (unsigned i = 1; i < 5; i++) {
        struct contact c = contact(3, i);

        table_seen(&t, (1000 + 2 * i) * TABLE_TICK_NS, &c, 50 * NS_PER_MS);
    }
    assert_null(table_stalest(&t, 1010 * TABLE_TICK_NS, 10 * TABLE_TICK_NS));
    e = table_stalest(&t, 1100 * TABLE_TICK_NS, 10 * TABLE_TICK_NS);
    assert_memory_equal(table_contact(&t, e)->id, a.id, ID_BYTES);
    table_probed(&t, 1100 * TABLE_TICK_NS, a.id);
    e = table_stalest(&t, 1100 * TABLE_TICK_NS, 10 * TABLE_TICK_NS);
    assert_memory_not_equal(table_contact(&t, e)->id, a.id, ID_BYTES);
    table_probed(&t, 100000 * TABLE_TICK_NS, a.id); /* the count wraps, ages go on */
    e = table_stalest(&t, 100010 * TABLE_TICK_NS, 10 * TABLE_TICK_NS);
    assert_memory_not_equal(table_contact(&t, e)->id, a.id, ID_BYTES);
    assert_int_equal(table_seen_at(table_find(&t, a.id), 1010 * TABLE_TICK_NS), 1002 * TABLE_TICK_NS);
    assert_int_equal(table_rtt(&t, 0), 50 * NS_PER_MS);
    table_fini(&t);
    assert_int_equal(book->n, 0);
    book_destroy(book);
}

static void kept_once(void **state)
{
    struct book *book = book_create();
    struct contact a = contact(3, 1), other;
    uint32_t first, n[300];
    (void)state;

    first = book_keep(book, &a);
    assert_int_equal(book_keep(book, &a), first);
    book_drop(book, first);
    for (unsigned i = 0; i < 300; i++) {
        other = contact(i % 100, i + 2);
        n[i] = book_keep(book, &other);
        assert_int_not_equal(n[i], first);
    }
    assert_int_equal(book->n, 301);
    assert_true(contact_equal(book_at(book, first), &a));
    for (unsigned i = 0; i < 300; i++) {
        other = contact(i % 100, i + 2);
        assert_true(contact_equal(book_at(book, n[i]), &other));
        assert_int_equal(book_keep(book, &other), n[i]);
        book_drop(book, n[i]);
        book_drop(book, n[i]);
    }
    assert_int_equal(book->n, 1);
    a.addr.port++; /* differs in one byte: another contact */
    assert_int_not_equal(book_keep(book, &a), first);
    book_destroy(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("prefixes are counted and set to the bit", prefixes),
        sentence("a bucket holds k, the first three 128, 64 and 32", caps),
        sentence("the pool is the cap of all buckets", pool_cap),
        sentence("the closest are the closest, in order, for any target", nearest),
        sentence("two failures in a row give the place to a spare", failures),
        sentence("an answer forgives failures", recovers),
        sentence("a network that filled a bucket gives way to others", networks),
        sentence("a LAN is not counted as one network", lan),
        sentence("another id at an address, or another address of an id, replaces the old one", other_id),
        sentence("a book keeps equal contacts once, for as long as somebody holds them", kept_once),
        sentence("the one probed longest ago is probed next", stalest),
    };

    return run_sentences("table", tests);
}
