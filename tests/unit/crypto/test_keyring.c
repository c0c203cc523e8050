#include "crypto/keyring.h"

#include "unit/crypto/world.h"

#define DAY_MS 86400000ll

static void fits_together(const struct keyring *k)
{
    struct device_cert cert;
    struct device_list list;
    uint8_t bytes[LIST_MAX_BYTES];
    struct wr w;

    wr_init(&w, bytes, sizeof bytes);
    device_list_write(&w, &k->list);
    assert_int_equal(device_list_open(wr_done(&w), k->identity.pub, &list), ERR_OK);
    assert_int_equal(cert_open(slice_of(k->cert, CERT_BYTES), k->device.pub, &cert), ERR_OK);
    assert_int_equal(cert_check(&cert, &list), CERT_LISTED);
    assert_memory_equal(cert.A, k->identity.pub, 32);
    assert_memory_equal(cert.Q, k->publish.pub, 32);
    assert_memory_equal(cert.next, k->next, 32);
    assert_int_equal(list.gen, k->gen);
}

static void created(void **state)
{
    struct keyring k;
    struct sign_key successor;
    uint8_t m[32], next[32];
    WORLD(env);

    (void)state;
    keyring_create(&env, &k, m);
    fits_together(&k);
    assert_true(keyring_is_main(&k));
    assert_int_equal(k.gen, 1);
    assert_int_equal(k.S_gen, 1);
    identity_derive(m, 1, &successor);
    identity_next(successor.pub, next);
    assert_memory_equal(k.next, next, 32);
    keyring_wipe(&k);
    assert_true(secret_is_zero(&k, sizeof k));
}

static bool contains(const void *hay, size_t n, const uint8_t needle[32])
{
    for (size_t i = 0; i + 32 <= n; i++)
        if (memcmp((const uint8_t *)hay + i, needle, 32) == 0)
            return true;
    return false;
}

static void phrase_is_not_kept(void **state)
{
    struct keyring k;
    uint8_t m[32];
    WORLD(env);

    (void)state;
    keyring_create(&env, &k, m);
    assert_false(contains(&k, sizeof k, m));
}

static void restored(void **state)
{
    struct keyring k, again, next;
    uint8_t m[32], proof[SUCCESSION_BYTES];
    WORLD(env);

    (void)state;
    keyring_create(&env, &k, m);
    keyring_restore(&env, &again, m, 0);
    fits_together(&again);
    assert_memory_equal(k.identity.seed, again.identity.seed, 32);
    assert_memory_equal(k.next, again.next, 32);
    assert_memory_not_equal(k.device.pub, again.device.pub, 32);
    assert_memory_not_equal(k.S, again.S, 32);
    assert_true(again.gen > k.gen && again.S_gen > k.S_gen);
    keyring_restore(&env, &next, m, 1);
    assert_int_equal(succession_make(&next.identity, k.identity.pub, next.next, proof), ERR_OK);
    assert_int_equal(succession_verify(k.identity.pub, k.next, next.identity.pub, proof), ERR_OK);
}

static void restored_dead_clock(void **state)
{
    struct keyring k;
    uint8_t m[32] = {1};
    WORLD(env);

    (void)state;
    env_state.wall_ms = -5000;
    keyring_restore(&env, &k, m, 0);
    assert_int_equal(k.gen, 2);
    fits_together(&k);
}

static void s_rotates(void **state)
{
    struct keyring k;
    uint8_t m[32], first[32], second[32];
    WORLD(env);

    (void)state;
    keyring_create(&env, &k, m);
    memcpy(first, k.S, 32);
    assert_int_equal(keyring_rotate_s(&env, &k), ERR_OK);
    assert_int_equal(k.S_gen, 2);
    assert_memory_not_equal(k.S, first, 32);
    assert_memory_equal(k.old_S, first, 32);
    memcpy(second, k.S, 32);
    env_state.wall_ms += 3599 * 1000;
    assert_int_equal(keyring_rotate_s(&env, &k), ERR_AGAIN);
    assert_memory_equal(k.S, second, 32);
    env_state.wall_ms += 1000;
    assert_int_equal(keyring_rotate_s(&env, &k), ERR_OK);
    assert_memory_equal(k.old_S, second, 32);
    assert_false(contains(&k, sizeof k, first));
}

static void s_expires(void **state)
{
    struct keyring k;
    uint8_t m[32];
    WORLD(env);

    (void)state;
    keyring_create(&env, &k, m);
    assert_int_equal(keyring_rotate_s(&env, &k), ERR_OK);
    assert_false(keyring_expire(&k, (env_state.wall_ms + 30 * DAY_MS) / 1000 - 1));
    assert_true(keyring_expire(&k, (env_state.wall_ms + 30 * DAY_MS) / 1000));
    assert_true(secret_is_zero(k.old_S, 32));
    assert_false(keyring_expire(&k, (env_state.wall_ms + 31 * DAY_MS) / 1000));
}

static void s_of_other_device(void **state)
{
    struct keyring k;
    uint8_t m[32], S[32], old[32];
    WORLD(env);

    (void)state;
    keyring_create(&env, &k, m);
    memcpy(old, k.S, 32);
    memset(S, 3, 32);
    assert_int_equal(keyring_set_s(&env, &k, S, 1), ERR_LATE);
    assert_int_equal(keyring_set_s(&env, &k, S, 5), ERR_OK);
    assert_memory_equal(k.S, S, 32);
    assert_memory_equal(k.old_S, old, 32);
    assert_int_equal(keyring_set_s(&env, &k, S, 5), ERR_OK);
    assert_memory_equal(k.old_S, old, 32);
}

static void device_rotates(void **state)
{
    struct keyring k;
    struct dh_key first;
    uint8_t m[32];
    int64_t now;
    WORLD(env);

    (void)state;
    keyring_create(&env, &k, m);
    first = k.device;
    now = env_state.wall_ms / 1000;
    assert_false(keyring_device_is_due(&k, now + DEVICE_LIFE_S - 1));
    assert_true(keyring_device_is_due(&k, now + DEVICE_LIFE_S));
    assert_int_equal(keyring_rotate_device(&env, &k), ERR_OK);
    assert_memory_equal(&k.old_device, &first, sizeof first);
    assert_memory_not_equal(k.device.pub, first.pub, 32);
    assert_int_equal(k.gen, 2);
    fits_together(&k);
    assert_false(keyring_expire(&k, now + OLD_DEVICE_S - 1));
    assert_true(keyring_expire(&k, now + OLD_DEVICE_S));
    assert_false(contains(&k, sizeof k, first.secret));
}

static void linked(void **state)
{
    struct keyring main, phone;
    uint8_t m[32], cert[CERT_BYTES], bytes[LIST_MAX_BYTES], slot, old_S[32];
    struct wr w;
    WORLD(env);

    (void)state;
    keyring_create(&env, &main, m);
    keyring_create_linked(&env, &phone);
    assert_false(keyring_is_main(&phone));
    assert_int_equal(keyring_add_device(&main, phone.device.pub, phone.publish.pub, &slot, cert), ERR_OK);
    assert_int_equal(slot, 1);
    fits_together(&main);
    wr_init(&w, bytes, sizeof bytes);
    device_list_write(&w, &main.list);
    assert_int_equal(keyring_adopt(&env, &phone, slice_of(cert, CERT_BYTES), wr_done(&w), main.S, main.S_gen),
                     ERR_OK);
    fits_together(&phone);
    assert_memory_equal(phone.identity.pub, main.identity.pub, 32);
    assert_false(contains(&phone, sizeof phone, main.identity.seed));
    assert_memory_equal(phone.S, main.S, 32);
    assert_true(secret_is_zero(phone.old_S, 32));
    assert_int_equal(keyring_rotate_device(&env, &phone), ERR_STATE);
    assert_int_equal(keyring_add_device(&phone, main.device.pub, main.publish.pub, &slot, cert), ERR_STATE);
    memcpy(old_S, main.S, 32);
    assert_int_equal(keyring_remove_device(&env, &main, 1), ERR_OK);
    fits_together(&main);
    assert_int_equal(main.list.n, 1);
    assert_memory_not_equal(main.S, old_S, 32);
    assert_int_equal(main.gen, 3);
}

static void adopts_its_own_only(void **state)
{
    struct keyring main, other, phone, before;
    uint8_t m[32], cert[CERT_BYTES], bytes[LIST_MAX_BYTES], newer[LIST_MAX_BYTES], slot;
    struct wr w, w2;
    WORLD(env);

    (void)state;
    keyring_create(&env, &main, m);
    keyring_create(&env, &other, m);
    keyring_create_linked(&env, &phone);
    before = phone;
    wr_init(&w, bytes, sizeof bytes);
    device_list_write(&w, &main.list);
    assert_int_equal(keyring_adopt(&env, &phone, slice_of(main.cert, CERT_BYTES), wr_done(&w), main.S, 1),
                     ERR_AUTH);
    assert_memory_equal(&phone, &before, sizeof phone);
    assert_int_equal(keyring_add_device(&main, phone.device.pub, phone.publish.pub, &slot, cert), ERR_OK);
    /* listed in the newer list, not in this one */
    assert_int_equal(keyring_adopt(&env, &phone, slice_of(cert, CERT_BYTES), wr_done(&w), main.S, 1),
                     ERR_AUTH);
    assert_memory_equal(&phone, &before, sizeof phone);
    wr_init(&w2, newer, sizeof newer);
    device_list_write(&w2, &main.list);
    assert_int_equal(keyring_adopt(&env, &phone, slice_of(cert, CERT_BYTES), wr_done(&w2), main.S, 1),
                     ERR_OK);
    /* another identity may not take it over */
    assert_int_equal(keyring_add_device(&other, phone.device.pub, phone.publish.pub, &slot, cert), ERR_OK);
    wr_init(&w, bytes, sizeof bytes);
    device_list_write(&w, &other.list);
    assert_int_equal(keyring_adopt(&env, &phone, slice_of(cert, CERT_BYTES), wr_done(&w), other.S, 9),
                     ERR_AUTH);
    assert_memory_equal(phone.identity.pub, main.identity.pub, 32);
    assert_int_equal(keyring_adopt(&env, &main, slice_of(cert, CERT_BYTES), wr_done(&w), other.S, 9),
                     ERR_STATE);
}

static void linked_rotates(void **state)
{
    struct keyring main, phone;
    uint8_t m[32], cert[CERT_BYTES], bytes[LIST_MAX_BYTES], slot;
    struct dh_key first, offered;
    struct wr w;
    WORLD(env);

    (void)state;
    keyring_create(&env, &main, m);
    keyring_create_linked(&env, &phone);
    assert_int_equal(keyring_add_device(&main, phone.device.pub, phone.publish.pub, &slot, cert), ERR_OK);
    wr_init(&w, bytes, sizeof bytes);
    device_list_write(&w, &main.list);
    assert_int_equal(keyring_adopt(&env, &phone, slice_of(cert, CERT_BYTES), wr_done(&w), main.S, 1), ERR_OK);
    first = phone.device;
    assert_int_equal(keyring_offer_device(&env, &main), ERR_STATE);
    assert_int_equal(keyring_offer_device(&env, &phone), ERR_OK);
    offered = phone.pending_device;
    assert_int_equal(keyring_offer_device(&env, &phone), ERR_OK);
    assert_memory_equal(&offered, &phone.pending_device, sizeof offered);
    assert_memory_equal(&first, &phone.device, sizeof first); /* nothing changes before the certificate */
    assert_int_equal(keyring_renew_device(&main, 0, offered.pub, phone.pending_publish.pub, cert),
                     ERR_REFUSED);
    assert_int_equal(keyring_renew_device(&main, 5, offered.pub, phone.pending_publish.pub, cert),
                     ERR_NOT_FOUND);
    assert_int_equal(keyring_renew_device(&main, slot, offered.pub, phone.pending_publish.pub, cert), ERR_OK);
    fits_together(&main);
    wr_init(&w, bytes, sizeof bytes);
    device_list_write(&w, &main.list);
    assert_int_equal(keyring_adopt(&env, &phone, slice_of(cert, CERT_BYTES), wr_done(&w), main.S, 1), ERR_OK);
    fits_together(&phone);
    assert_memory_equal(&phone.device, &offered, sizeof offered);
    assert_memory_equal(&phone.old_device, &first, sizeof first);
    assert_true(secret_is_zero(&phone.pending_device, sizeof phone.pending_device));
    assert_int_equal(phone.gen, 3);
}

static void device_caps(void **state)
{
    struct keyring k, phone;
    uint8_t m[32], cert[CERT_BYTES], slot, bad[32];
    WORLD(env);

    (void)state;
    keyring_create(&env, &k, m);
    keyring_create_linked(&env, &phone);
    unhex(bad_points[0], bad);
    assert_int_equal(keyring_add_device(&k, phone.device.pub, bad, &slot, cert), ERR_PARSE);
    assert_int_equal(keyring_add_device(&k, k.device.pub, phone.publish.pub, &slot, cert), ERR_EXISTS);
    assert_int_equal(keyring_remove_device(&env, &k, 0), ERR_REFUSED);
    assert_int_equal(keyring_remove_device(&env, &k, 4), ERR_NOT_FOUND);
    assert_int_equal(k.gen, 1);
    for (int i = 1; i < DEVICES_MAX; i++) {
        keyring_create_linked(&env, &phone);
        assert_int_equal(keyring_add_device(&k, phone.device.pub, phone.publish.pub, &slot, cert), ERR_OK);
        assert_int_equal(slot, i);
    }
    keyring_create_linked(&env, &phone);
    assert_int_equal(keyring_add_device(&k, phone.device.pub, phone.publish.pub, &slot, cert), ERR_FULL);
    assert_int_equal(keyring_remove_device(&env, &k, 3), ERR_OK);
    assert_int_equal(keyring_add_device(&k, phone.device.pub, phone.publish.pub, &slot, cert), ERR_OK);
    assert_int_equal(slot, 3);
    fits_together(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a new keyring has a list and a certificate that fit its keys", created),
        sentence("the phrase is in no byte of the keyring", phrase_is_not_kept),
        sentence("a phrase restores the identity, above what contacts remember, and its successor", restored),
        sentence("a clock before 1970 still restores", restored_dead_clock),
        sentence("S rotates once an hour and keeps one predecessor", s_rotates),
        sentence("the previous S is wiped after 30 days", s_expires),
        sentence("S of another device is taken when it is newer", s_of_other_device),
        sentence("D and Q rotate after 30 days, old D is wiped 7 days later", device_rotates),
        sentence("a linked device works without the identity key, and can be removed", linked),
        sentence("a linked device adopts only what its own identity signed for it", adopts_its_own_only),
        sentence("a linked device offers new keys, and uses them once they are certified", linked_rotates),
        sentence("at most eight devices, each with keys of its own", device_caps),
    };

    return crypto_init() == ERR_OK ? run_sentences("keyring", tests) : 1;
}
