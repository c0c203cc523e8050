#include "unit/test.h"

#include "dht/peers.h"

static struct addr peer(unsigned i)
{
    return addr_v4((uint8_t[]){45, (uint8_t)(i >> 8), (uint8_t)i, 1}, 6881);
}

static void kept(void **state)
{
    const uint8_t hash[ID_BYTES] = {1}, other[ID_BYTES] = {2};
    struct addr out[PEERS_PER_HASH + 1], a = peer(1), b = peer(2);
    ns_t now = 1000 * NS_PER_S;
    struct peers p;
    (void)state;

    peers_init(&p, 16);
    assert_int_equal(peers_put(&p, now, hash, &a), ERR_OK);
    assert_int_equal(peers_put(&p, now, hash, &a), ERR_OK); /* once */
    assert_int_equal(peers_put(&p, now, other, &b), ERR_OK);
    assert_int_equal(peers_get(&p, now, hash, 7, out, 5), 1);
    assert_true(addr_equal(&out[0], &a));
    assert_int_equal(peers_live(&p, now), 2);
    assert_int_equal(peers_put(&p, now + PEERS_LIFE_NS / 2, hash, &a), ERR_OK);
    assert_int_equal(peers_get(&p, now + PEERS_LIFE_NS, hash, 7, out, 5), 1); /* announced again in time */
    assert_int_equal(peers_get(&p, now + PEERS_LIFE_NS, other, 7, out, 5), 0);
    peers_fini(&p);
}

static void caps(void **state)
{
    struct addr out[PEERS_REPLY], a;
    uint8_t hash[ID_BYTES] = {1};
    ns_t now = 1000 * NS_PER_S;
    struct peers p;
    (void)state;

    peers_init(&p, 256);
    for (unsigned i = 0; i < PEERS_PER_HASH; i++) {
        a = peer(i);
        assert_int_equal(peers_put(&p, now, hash, &a), ERR_OK);
    }
    a = peer(500);
    assert_int_equal(peers_put(&p, now, hash, &a), ERR_FULL);
    assert_int_equal(peers_get(&p, now, hash, 3, out, PEERS_REPLY), PEERS_REPLY);
    for (unsigned i = 0; i < PEERS_PER_NET + 2; i++) { /* one address under many hashes */
        hash[1] = (uint8_t)(i + 1);
        a = addr_v4((uint8_t[]){46, 1, 1, (uint8_t)i}, 6881);
        assert_int_equal(peers_put(&p, now, hash, &a), i < PEERS_PER_NET ? ERR_OK : ERR_FULL);
    }
    assert_int_equal(p.cap_drops, 3);
    peers_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("an announced address is found under its hash for 45 minutes", kept),
        sentence("one hash and one network get a share, an answer a part", caps),
    };

    return run_sentences("peers", tests);
}
