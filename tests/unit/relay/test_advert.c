#include "unit/test.h"

#include "crypto/identity.h"
#include "relay/advert.h"

static const uint8_t zone[8] = {1, 2, 3, 4, 5, 6, 7, 8}, seed[32] = {4};

static struct slice written(uint8_t buf[static ADVERT_BYTES_MAX])
{
    struct advert ad = {
        .day = 20780, .minute = 720, .slots = 20, .max_kbps = 2000, .load_pct = 15, .n_addrs = 4};
    struct slice s;

    assert_int_equal(crypto_init(), ERR_OK);
    memcpy(ad.zone_id, zone, sizeof zone);
    for (int i = 0; i < 4; i++)
        assert_int_equal(addr_parse(i % 2 ? "[2001:db8::7]:41641" : "198.51.100.7:41641", &ad.addrs[i]),
                         ERR_OK);
    s = advert_write(&ad, seed, buf);
    assert_true(s.len > 0);
    return s;
}

static void verified(void **state)
{
    uint8_t buf[ADVERT_BYTES_MAX];
    struct slice bytes = written(buf);
    struct advert ad;

    (void)state;
    assert_int_equal(advert_parse(bytes, &ad), ERR_OK);
    assert_int_equal(advert_verify(&ad, zone, 20780), ERR_OK);
    assert_int_equal(advert_verify(&ad, zone, 20782), ERR_OK);
    assert_int_equal(advert_verify(&ad, zone, 20783), ERR_LATE);
    assert_int_equal(advert_verify(&ad, zone, 20777), ERR_LATE);
    assert_int_equal(advert_verify(&ad, seed, 20780), ERR_REFUSED); /* another zone */
}

static void changed(void **state)
{
    uint8_t buf[ADVERT_BYTES_MAX];
    struct slice bytes = written(buf);
    struct advert ad;

    (void)state;
    for (size_t i = 0; i < bytes.len; i++) {
        buf[i] ^= 1;
        if (advert_parse(bytes, &ad) == ERR_OK && advert_verify(&ad, zone, 20780) == ERR_OK)
            fail_msg("a change of byte %zu was not seen", i);
        buf[i] ^= 1;
        assert_int_equal(advert_parse(slice_of(buf, i), &ad), ERR_PARSE);
    }
}

static void unusable(void **state)
{
    struct advert ad = {.n_addrs = 1};
    uint8_t buf[ADVERT_BYTES_MAX];

    (void)state;
    assert_int_equal(addr_parse("224.0.0.1:5", &ad.addrs[0]), ERR_OK);
    assert_int_equal(advert_write(&ad, seed, buf).len, 0);
    ad.n_addrs = 0;
    assert_int_equal(advert_write(&ad, seed, buf).len, 0);
}

static void shards(void **state)
{
    uint8_t keys[ADVERT_SHARDS][ADVERT_KEY_BYTES];

    (void)state;
    for (uint8_t i = 0; i < ADVERT_SHARDS; i++) {
        advert_shard_key(zone, i, keys[i]);
        for (uint8_t j = 0; j < i; j++)
            assert_memory_not_equal(keys[i], keys[j], ADVERT_KEY_BYTES);
    }
    assert_int_equal(advert_shard_of((uint8_t[32]){7}), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("an advert is believed in its zone and near its day", verified),
        sentence("an advert with any byte changed or missing is refused", changed),
        sentence("an advert without a usable address is not written", unusable),
        sentence("each shard has a key of its own", shards),
    };
    return run_sentences("advert", tests);
}
