#include "unit/test.h"

#include "relay/digest.h"

static const uint8_t net_id[4] = {9, 9, 9, 9}, nonce[8] = {1};

static void key(uint8_t out[static 32], unsigned i)
{
    memset(out, 0, 32);
    out[0] = (uint8_t)i;
    out[1] = (uint8_t)(i >> 8);
}

static void round_trip(void **state)
{
    struct digest d, again;
    uint8_t k[32], buf[DIGEST_BYTES_MAX];
    struct slice bytes;

    (void)state;
    digest_begin(&d, net_id, 20000, nonce);
    for (unsigned i = 0; i < 10; i++) {
        key(k, i);
        digest_add(&d, k, 300 * (i + 1));
    }
    bytes = digest_write(&d, buf);
    assert_int_equal(bytes.len, DIGEST_HEAD + 90);
    assert_int_equal(digest_parse(bytes, &again), ERR_OK);
    key(k, 3);
    assert_true(digest_find(&again, k) == 1024); /* 1200, rounded down to a power of two */
    key(k, 11);
    assert_true(digest_find(&again, k) == 0);
    buf[10]--;
    assert_int_equal(digest_parse(bytes, &again), ERR_PARSE);
}

static void caps(void **state)
{
    struct digest d;
    uint8_t k[32];

    (void)state;
    digest_begin(&d, net_id, 20000, nonce);
    key(k, 1000);
    digest_add(&d, k, 299); /* not worth telling */
    assert_int_equal(d.n, 0);
    for (unsigned i = 0; i < 200; i++) {
        key(k, i);
        digest_add(&d, k, i < 64 ? 400 : 1e6);
    }
    assert_int_equal(d.n, DIGEST_ENTRIES);
    key(k, 0);
    assert_true(digest_find(&d, k) == 0); /* the small ones made room */
    key(k, 70);
    assert_true(digest_find(&d, k) > 0);
}

static void hidden(void **state)
{
    struct digest a, b;
    uint8_t k[32], other[8] = {2};

    (void)state;
    key(k, 5);
    digest_begin(&a, net_id, 1, nonce);
    digest_begin(&b, net_id, 1, other);
    digest_add(&a, k, 600);
    digest_add(&b, k, 600);
    assert_memory_not_equal(a.entries[0].h8, b.entries[0].h8, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("what was told is found again, in powers of two", round_trip),
        sentence("attack, poisoning by gossip: 64 entries, the largest ones", caps),
        sentence("another nonce, another name", hidden),
    };
    return run_sentences("digest", tests);
}
