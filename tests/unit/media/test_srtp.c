#include "unit/test.h"

#include "media/srtp.h"

static const uint8_t key_a[SRTP_KEY_BYTES] = "0123456789abcdefSALTSALTSAL";
static const uint8_t key_b[SRTP_KEY_BYTES] = "fedcba9876543210saltsaltsal";

struct ends {
    struct srtp_pair *a, *b;
};

static struct ends make(void)
{
    return (struct ends){srtp_pair_create(key_a, key_b), srtp_pair_create(key_b, key_a)};
}

static void done(struct ends e)
{
    srtp_pair_destroy(e.a);
    srtp_pair_destroy(e.b);
}

static size_t packet(uint8_t *buf, uint8_t type, uint16_t seq, uint8_t ssrc)
{
    memset(buf, 0, 12);
    buf[0] = 0x80;
    buf[1] = type;
    buf[2] = (uint8_t)(seq >> 8);
    buf[3] = (uint8_t)seq;
    buf[11] = ssrc;
    memcpy(buf + 12, "payload", 7);
    return 19;
}

static size_t report(uint8_t *buf, uint8_t ssrc)
{
    static const uint8_t rr[] = {0x80, 201, 0, 1, 0, 0, 0};

    memcpy(buf, rr, sizeof rr);
    buf[7] = ssrc;
    return 8;
}

/* RFC 7714 §16.1.1: AEAD_AES_128_GCM over the RTP packet of the RFC, with session key and salt given there. libsrtp
 * derives session keys itself, so what is checked here is size and sameness; the library tests the vector. */
static void there_and_back(void **state)
{
    struct ends e = make();
    uint8_t buf[128], plain[128];
    size_t n = packet(buf, 96, 1, 1), len = n;

    (void)state;
    memcpy(plain, buf, n);
    assert_int_equal(srtp_pair_protect(e.a, buf, &len, sizeof buf), ERR_OK);
    assert_int_equal(len, n + SRTP_GROWTH_BYTES);
    assert_memory_equal(buf, plain, 12);
    assert_memory_not_equal(buf + 12, plain + 12, 7);
    assert_int_equal(srtp_pair_unprotect(e.b, buf, &len, 0), ERR_OK);
    assert_int_equal(len, n);
    assert_memory_equal(buf, plain, n);
    done(e);
}

static void reports_too(void **state)
{
    struct ends e = make();
    uint8_t buf[128];
    size_t len = report(buf, 1);

    (void)state;
    assert_int_equal(srtp_pair_protect(e.a, buf, &len, sizeof buf), ERR_OK);
    assert_int_equal(len, 8 + SRTCP_GROWTH_BYTES);
    assert_int_equal(srtp_pair_unprotect(e.b, buf, &len, 0), ERR_OK);
    assert_int_equal(len, 8);
    done(e);
}

static void replay(void **state)
{
    struct ends e = make();
    uint8_t first[128], again[128], buf[128];
    size_t len = packet(first, 96, 5, 1), n;

    (void)state;
    srtp_pair_protect(e.a, first, &len, sizeof first);
    memcpy(again, first, len);
    n = len;
    assert_int_equal(srtp_pair_unprotect(e.b, again, &n, 0), ERR_OK);
    memcpy(again, first, len);
    n = len;
    assert_int_equal(srtp_pair_unprotect(e.b, again, &n, 0), ERR_REPLAY);
    for (uint16_t seq = 6; seq < 6 + 200; seq++) { /* far ahead: then 5 is older than the window */
        n = packet(buf, 96, seq, 1);
        srtp_pair_protect(e.a, buf, &n, sizeof buf);
        assert_int_equal(srtp_pair_unprotect(e.b, buf, &n, 0), ERR_OK);
    }
    n = len;
    assert_int_equal(srtp_pair_unprotect(e.b, first, &n, 0), ERR_REPLAY);
    n = packet(buf, 96, 10, 1);
    assert_int_equal(srtp_pair_protect(e.a, buf, &n, sizeof buf), ERR_REPLAY); /* nor do we send one twice */
    done(e);
}

static void forged(void **state)
{
    struct ends e = make();
    uint8_t sealed[128], buf[128];
    size_t len = packet(sealed, 96, 5, 1), n;

    (void)state;
    srtp_pair_protect(e.a, sealed, &len, sizeof sealed);
    for (size_t i = 1; i < len; i++) {
        memcpy(buf, sealed, len);
        buf[i] ^= 1;
        n = len;
        assert_int_not_equal(srtp_pair_unprotect(e.b, buf, &n, 0), ERR_OK);
    }
    for (n = 0; n < len; n++) {
        size_t m = n;

        memcpy(buf, sealed, len);
        assert_int_not_equal(srtp_pair_unprotect(e.b, buf, &m, 0), ERR_OK);
    }
    memcpy(buf, sealed, len);
    n = len;
    assert_int_equal(srtp_pair_unprotect(e.b, buf, &n, 0), ERR_OK); /* the failures left no trace */
    done(e);
}

static void one_source(void **state)
{
    struct ends e = make();
    uint8_t buf[128];
    size_t n = packet(buf, 96, 5, 1);

    (void)state;
    srtp_pair_protect(e.a, buf, &n, sizeof buf);
    assert_int_equal(srtp_pair_unprotect(e.b, buf, &n, 0), ERR_OK);
    n = packet(buf, 96, 5, 2);
    srtp_pair_protect(e.a, buf, &n, sizeof buf);
    assert_int_equal(srtp_pair_unprotect(e.b, buf, &n, 0), ERR_REFUSED);
    done(e);
}

static void rekey(void **state)
{
    static const uint8_t key_c[SRTP_KEY_BYTES] = "newnewnewnewnewnNEWNEWNEWNE";
    struct ends e = make();
    uint8_t late[128], buf[128], old[128];
    size_t n = packet(buf, 96, 5, 1), n_late = packet(late, 96, 6, 1), n_old = packet(old, 96, 7, 1);

    (void)state;
    srtp_pair_protect(e.a, buf, &n, sizeof buf);
    assert_int_equal(srtp_pair_unprotect(e.b, buf, &n, 0), ERR_OK);
    srtp_pair_protect(e.a, late, &n_late, sizeof late);
    srtp_pair_protect(e.a, old, &n_old, sizeof old);
    srtp_pair_rekey(e.a, key_c, NULL, NS_PER_S);
    srtp_pair_rekey(e.b, NULL, key_c, NS_PER_S);
    n = packet(buf, 96, 1, 9); /* new source, new numbers */
    srtp_pair_protect(e.a, buf, &n, sizeof buf);
    assert_int_equal(srtp_pair_unprotect(e.b, buf, &n, NS_PER_S), ERR_OK);
    assert_int_equal(srtp_pair_unprotect(e.b, late, &n_late, NS_PER_S), ERR_OK); /* still on its way */
    assert_int_not_equal(srtp_pair_unprotect(e.b, old, &n_old, NS_PER_S + SRTP_OVERLAP_NS), ERR_OK);
    done(e);
}

static void no_room(void **state)
{
    struct ends e = make();
    uint8_t buf[128];
    size_t n = packet(buf, 96, 5, 1);

    (void)state;
    assert_int_equal(srtp_pair_protect(e.a, buf, &n, n + 8), ERR_RANGE);
    assert_int_equal(n, 19);
    done(e);
}

/* Promise (THREATS.md §5, "media"): 2^16 packets and more under one key: each index once, whoever asks for one again is
 * refused, and the other end follows over the wrap. Under a new key the count begins anew. */
static void wrap(void **state)
{
    static const uint8_t key_c[SRTP_KEY_BYTES] = "abcdef0123456789SaltSaltSal";
    struct ends e = make();
    uint8_t buf[128];
    size_t len;

    (void)state;
    for (uint32_t i = 0x7000; i < 0x7000 + 0x14000; i++) {
        len = packet(buf, 96, (uint16_t)i, 1);
        assert_int_equal(srtp_pair_protect(e.a, buf, &len, sizeof buf), ERR_OK);
        assert_int_equal(srtp_pair_unprotect(e.b, buf, &len, 0), ERR_OK);
        if (i % 997 == 0 || (uint16_t)i < 2 ||
            (uint16_t)i == 0xffff) { /* this one again, and one of a while ago */
            len = packet(buf, 96, (uint16_t)i, 1);
            assert_int_equal(srtp_pair_protect(e.a, buf, &len, sizeof buf), ERR_REPLAY);
            len = packet(buf, 96, (uint16_t)(i - 50), 1);
            if (i > 0x7000 + 50)
                assert_int_equal(srtp_pair_protect(e.a, buf, &len, sizeof buf), ERR_REPLAY);
        }
    }
    srtp_pair_rekey(e.a, key_c, NULL, 0);
    srtp_pair_rekey(e.b, NULL, key_c, 0);
    len = packet(buf, 96, 0x7000, 1); /* the number of the first one, and another key */
    assert_int_equal(srtp_pair_protect(e.a, buf, &len, sizeof buf), ERR_OK);
    assert_int_equal(srtp_pair_unprotect(e.b, buf, &len, 0), ERR_OK);
    len = packet(buf, 96, 0x7000, 1);
    assert_int_equal(srtp_pair_protect(e.a, buf, &len, sizeof buf), ERR_REPLAY);
    done(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a packet protected by one end is the packet the other end reads", there_and_back),
        sentence("reports are protected under the same key", reports_too),
        sentence("a packet is taken once, and none older than the window", replay),
        sentence("a packet with any bit changed or cut short is refused and leaves no trace", forged),
        sentence("a second source under the same key is refused", one_source),
        sentence("after a new key the old one is taken for two seconds", rekey),
        sentence("over 2^16 packets and a new key no index is used twice", wrap),
        sentence("a buffer without room for the tag is refused unchanged", no_room),
    };

    return run_sentences("srtp", tests);
}
