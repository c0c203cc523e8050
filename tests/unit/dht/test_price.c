/* Promise (THREATS.md §5, "work price"): after 32 requests of 22 bits the 33rd needs 23, a hundred more of 22 change
 * nothing, an honest one of 30 bits gets in and survives, and no node ever holds more than 32. */
#include "unit/dht/bed.h"
#include "unit/dht/pow_nonces.h"

#include "dht/dht_node.h"

#define NODES   8
#define WRITER  1
#define N_MINED (sizeof MINED / sizeof MINED[0])

static struct bed b;
static uint8_t id[ID_BYTES];

static void number(uint32_t n, uint8_t nonce[static DROP_NONCE])
{
    memset(nonce, 0, DROP_NONCE);
    for (int i = 0; i < 4; i++)
        nonce[4 + i] = (uint8_t)(n >> (24 - 8 * i));
}

static struct bed_result put(unsigned blob_of, uint32_t n)
{
    uint8_t blob[DROP_BLOB_BYTES], nonce[DROP_NONCE];
    struct bed_result r = {0};

    memset(blob, (int)blob_of, sizeof blob);
    number(n, nonce);
    assert_true(dht_drop_put(b.nodes[WRITER].dht, b.now, id, blob, nonce, bed_on_done, &r) != 0);
    bed_end_turn(&b, &b.nodes[WRITER]);
    bed_run_until(&b, &r.is_done, 60 * NS_PER_S);
    assert_true(r.is_done);
    return r;
}

/* How many each node holds, never more than 32; and how many of them hold that one. */
static unsigned holders(unsigned blob_of)
{
    uint8_t blob[DROP_BLOB_BYTES], hash[DROP_HASH], hashes[DROP_PER_ID * DROP_HASH];
    unsigned n = 0;

    memset(blob, (int)blob_of, sizeof blob);
    drop_hash(blob, hash);
    for (uint32_t i = 0; i < NODES; i++) {
        const struct drops *d = &b.nodes[i].dht->drops;

        assert_true(d->n <= DROP_PER_ID);
        assert_true(drops_list(d, b.now, id, hashes) <= DROP_PER_ID);
        n += drops_get(d, b.now, id, hash) != NULL;
    }
    return n;
}

static void price(void **state)
{
    struct bed_result r;
    (void)state;

    memset(id, 7, sizeof id);
    bed_init(&b, NODES, 23);
    bed_join_all(&b, NS_PER_S);
    for (unsigned i = 0; i < N_MINED; i++) { /* the work is what it says, by the shipped check */
        uint8_t blob[DROP_BLOB_BYTES], nonce[DROP_NONCE];

        memset(blob, (int)i, sizeof blob);
        number(MINED[i], nonce);
        assert_int_equal(pow_bits(id, slice_of(blob, sizeof blob), nonce), 22);
    }
    for (unsigned i = 0; i < DROP_PER_ID; i++) {
        r = put(i, MINED[i]);
        assert_int_equal(r.e, ERR_OK);
        assert_int_equal(r.r.n_acks, NODES - 1);
        assert_int_equal(holders(i), NODES - 1);
    }
    for (unsigned i = DROP_PER_ID; i < N_MINED; i++) {
        r = put(i, MINED[i]);
        assert_int_equal(r.e, ERR_REFUSED);
        assert_int_equal(r.r.bits_needed, 23);
        assert_int_equal(holders(i), 0);
    }
    r = put(MINED_30_BLOB, MINED_30);
    assert_int_equal(r.e, ERR_OK);
    assert_int_equal(r.r.n_acks, NODES - 1);
    /* the flood goes on, also a day later when old ones yield to as many bits */
    for (int day = 0; day < 2; day++) {
        for (unsigned i = DROP_PER_ID; i < N_MINED; i++)
            put(i, MINED[i]);
        assert_int_equal(holders(MINED_30_BLOB), NODES - 1);
        bed_run(&b, DROP_YIELD_NS + NS_PER_S);
    }
    bed_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence(
            "after 32 requests of 22 bits the next needs 23, and an honest one of 30 survives a hundred more",
            price),
    };

    return run_sentences("price", tests);
}
