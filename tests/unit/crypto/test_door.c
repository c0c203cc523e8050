#include "crypto/door.h"

#include "unit/crypto/world.h"

static struct door door;

static void load(void **state)
{
    ns_t now = 5 * NS_PER_S;
    WORLD(env);

    (void)state;
    door_init(&door, 3, &env);
    for (unsigned i = 0; i < 3; i++)
        door_count(&door, now);
    assert_false(door_is_loaded(&door, now));
    door_count(&door, now);
    assert_true(door_is_loaded(&door, now));
    assert_true(door_is_loaded(&door, now + NS_PER_S)); /* the second before counts */
    assert_false(door_is_loaded(&door, now + 2 * NS_PER_S));
    assert_false(door_is_loaded(&door, now + 100 * NS_PER_S));
    door_fini(&door);
}

static void payers(void **state)
{
    uint8_t key[32] = {0};
    ns_t now = 0;
    WORLD(env);

    (void)state;
    door_init(&door, 3, &env);
    assert_true(door_pay(&door, now, key));
    assert_false(door_pay(&door, now + NS_PER_S - 1, key));
    assert_true(door_pay(&door, now + NS_PER_S, key));
    key[0] = 1;
    assert_true(door_pay(&door, now + NS_PER_S, key));
    for (unsigned i = 0; i < 100000; i++) { /* as many as like to come: no more is held */
        memcpy(key, &i, sizeof i);
        key[31] = 9;
        assert_true(door_pay(&door, now + 2 * NS_PER_S, key));
    }
    assert_false(door_pay(&door, now + 2 * NS_PER_S, key));
    door_fini(&door);
}

static void cookies(void **state)
{
    struct addr a = addr_v4((const uint8_t[]){192, 0, 2, 1}, 5);
    struct path via = path_udp(&a), other = via;
    uint8_t msg1[HANDSHAKE_MSG1_BYTES] = {HANDSHAKE_MSG1}, cookie[16];
    ns_t now = 7 * NS_PER_S;
    WORLD(env);

    (void)state;
    door_init(&door, 3, &env);
    assert_false(door_mac2_is_right(&door, now, &via, slice_of(msg1, sizeof msg1)));
    door_cookie(&door, now, &via, cookie);
    handshake_set_mac2(cookie, msg1);
    assert_true(door_mac2_is_right(&door, now, &via, slice_of(msg1, sizeof msg1)));
    other.addr.port = 6;
    assert_false(door_mac2_is_right(&door, now, &other, slice_of(msg1, sizeof msg1)));
    other = via;
    other.flow = 1;
    assert_false(door_mac2_is_right(&door, now, &other, slice_of(msg1, sizeof msg1)));
    assert_true(door_mac2_is_right(&door, now + DOOR_COOKIE_NS, &via, slice_of(msg1, sizeof msg1)));
    assert_false(door_mac2_is_right(&door, now + 2 * DOOR_COOKIE_NS, &via, slice_of(msg1, sizeof msg1)));
    door_fini(&door);
}

static void stale(void **state)
{
    uint8_t digest[32] = {1};
    WORLD(env);

    (void)state;
    door_init(&door, 3, &env);
    assert_false(door_is_stale(&door, digest));
    for (uint8_t i = 1; i <= DOOR_STALE; i++) {
        digest[0] = i;
        door_set_stale(&door, digest);
        door_set_stale(&door, digest);
    }
    digest[0] = 1;
    assert_true(door_is_stale(&door, digest));
    digest[0] = 200;
    door_set_stale(&door, digest);
    digest[0] = 1;
    assert_false(door_is_stale(&door, digest)); /* the oldest yields */
    door_fini(&door);
}

static void stamps(void **state)
{
    uint8_t device[32] = {0};
    WORLD(env);

    (void)state;
    door_init(&door, 3, &env);
    for (unsigned i = 1; i <= DOOR_STAMPS; i++) {
        memcpy(device, &i, sizeof i);
        door_set_stamp(&door, i, device, i * 10);
    }
    for (unsigned i = 1; i <= DOOR_STAMPS; i++) {
        memcpy(device, &i, sizeof i);
        assert_int_equal(door_stamp(&door, device), i * 10);
    }
    device[31] = 1;
    assert_int_equal(door_stamp(&door, device), 0);
    door_set_stamp(&door, 1000, device, 7);
    assert_int_equal(door_stamp(&door, device), 7);
    door_set_stamp(&door, 1001, device, 8);
    assert_int_equal(door_stamp(&door, device), 8);
    door_fini(&door);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("more than the limit in this second or the last is load", load),
        sentence("a key pays once a second, and any number of keys takes no more room", payers),
        sentence("a cookie is good for one path and at most four minutes", cookies),
        sentence("old messages are remembered, 64 of them", stale),
        sentence("the last stamps of 256 devices are kept, the oldest yields", stamps),
    };
    return run_sentences("door", tests);
}
