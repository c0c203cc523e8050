#include "unit/test.h"

#include "dht/bep42.h"

/* The vectors of BEP 42: address, last byte, first 21 bits. */
static void vectors(void **state)
{
    static const struct {
        uint8_t ip[4], last, first[3];
    } v[] = {
        {{124, 31, 75, 21}, 1, {0x5f, 0xbf, 0xbf}},  {{21, 75, 31, 124}, 86, {0x5a, 0x3c, 0xe9}},
        {{65, 23, 51, 170}, 22, {0xa5, 0xd4, 0x32}}, {{84, 124, 73, 14}, 65, {0x1b, 0x03, 0x21}},
        {{43, 213, 53, 83}, 90, {0xe5, 0x6f, 0x6c}},
    };
    (void)state;

    for (unsigned i = 0; i < sizeof v / sizeof *v; i++) {
        struct addr a = addr_v4(v[i].ip, 6881);
        uint8_t id[ID_BYTES] = {0};

        id[2] = v[i].first[2] & 7; /* these three bits are free */
        id[ID_BYTES - 1] = v[i].last;
        bep42_make(&a, id);
        assert_memory_equal(id, v[i].first, 3);
        assert_true(bep42_ok(&a, id));
        id[2] ^= 7;
        assert_true(bep42_ok(&a, id));
        id[2] ^= 8;
        assert_false(bep42_ok(&a, id));
    }
}

static void others(void **state)
{
    uint8_t ip6[16] = {0x20, 0x01, 0x0d, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}, id[ID_BYTES];
    struct addr v6 = addr_v6(ip6, 1), v4 = addr_v4((uint8_t[]){192, 168, 1, 1}, 1);
    (void)state;

    memset(id, 0xab, sizeof id);
    assert_true(bep42_ok(&v4, id)); /* a LAN */
    assert_false(bep42_ok(&v6, id));
    bep42_make(&v6, id);
    assert_true(bep42_ok(&v6, id));
    ip6[9] ^= 0xff; /* the lower half of an address is the owner's to choose */
    v6 = addr_v6(ip6, 1);
    assert_true(bep42_ok(&v6, id));
    ip6[7] ^= 0xff;
    v6 = addr_v6(ip6, 1);
    assert_false(bep42_ok(&v6, id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the vectors of BEP 42 give their ids", vectors),
        sentence("IPv6 counts by its upper half, and private addresses suit any id", others),
    };

    return run_sentences("bep42", tests);
}
