#include "crypto/handshake.h"

#include "unit/crypto/world.h"

struct fixture {
    struct dh_key i, r;
    uint8_t A[32], secret[32], psk[32], mk[32], cert[CERT_BYTES];
    struct noise ni, nr;
    uint8_t plain[HANDSHAKE_MSG1_PLAIN], msg1[HANDSHAKE_MSG1_BYTES];
};

static void begin(struct fixture *f, enum session_class class)
{
    uint8_t prologue[HANDSHAKE_PROLOGUE_BYTES], ephemeral[32];
    struct hello hello = {.stamp = 42, .kind = HELLO_CALL};
    struct noise_config c = {.pattern = NOISE_IKPSK0, .is_initiator = true, .psk = f->psk};

    memset(f, 0, sizeof *f);
    memset(f->i.secret, 1, 32);
    memset(f->r.secret, 2, 32);
    dh_key_from_secret(f->i.secret, &f->i);
    dh_key_from_secret(f->r.secret, &f->r);
    memset(f->A, 3, sizeof f->A);
    memset(f->secret, 4, sizeof f->secret);
    memset(hello.certificate, 5, class == SESSION_NODE ? 32 : CERT_BYTES);
    memset(ephemeral, 6, sizeof ephemeral);
    handshake_psk(class, f->secret, f->r.pub, f->psk);
    handshake_mac_key(f->psk, f->r.pub, f->mk);
    handshake_prologue(class, f->A, prologue);
    c.prologue = slice_of(prologue, sizeof prologue);
    c.static_secret = f->i.secret;
    c.static_public = f->i.pub;
    c.remote_static = f->r.pub;
    noise_init(&f->ni, &c);
    c = (struct noise_config){.pattern = NOISE_IKPSK0, .psk = f->psk, .prologue = c.prologue};
    c.static_secret = f->r.secret;
    c.static_public = f->r.pub;
    noise_init(&f->nr, &c);
    assert_int_equal(hello_write(class, &hello, f->plain), ERR_OK);
    assert_int_equal(handshake_write_msg1(&f->ni, 0x01020304, ephemeral, f->plain, f->mk, f->msg1), ERR_OK);
}

/* Against hashlib.blake2b of Python 3.11: key, digest size and context spelled out there. */
static void keys_of_python(void **state)
{
    uint8_t secret[32], D[32], psk[32], mk[32], prologue[HANDSHAKE_PROLOGUE_BYTES], cookie[16];

    (void)state;
    memset(secret, 0x53, sizeof secret);
    memset(D, 0x44, sizeof D);
    handshake_psk(SESSION_CONTACT, secret, D, psk);
    assert_hex(psk, "fff566d243f7b2968e11555b406e8b4f16c3418419509d3a00badb6a945f3148");
    handshake_psk(SESSION_INVITE, secret, D, mk);
    assert_memory_equal(psk, mk, 32);
    handshake_psk(SESSION_NODE, NULL, D, mk);
    assert_hex(mk, "fc8ca4b0a32bf179ecf44c1ae3597af083ea35b3815d7b215b98d4b50977cafa");
    handshake_mac_key(psk, D, mk);
    assert_hex(mk, "b5853416809b2f87aeb065193f69058f69e923c3650ee3809549a1f58df4ca0b");
    handshake_prologue(SESSION_INVITE, D, prologue);
    assert_memory_equal(prologue, "itodenwa-session-v1\0\2DDDD", 25);
    cookie_make(secret, slice_str("somewhere"), cookie);
    assert_hex(cookie, "8a419080a0bbd58e7d8f3e614f2abc47");
}

static void offsets(void **state)
{
    uint8_t digest[32], right[16], msg2[HANDSHAKE_MSG2_BYTES], plain2[HANDSHAKE_MSG2_PLAIN], out[352], e[32];
    struct hello_reply reply = {7, 9, 1}, got;
    struct msg1_wire w1;
    struct msg2_wire w2;
    struct fixture f;
    struct wr w;

    (void)state;
    begin(&f, SESSION_CONTACT);
    assert_memory_equal(f.msg1, "\xc0\0\0\0\1\2\3\4", 8);
    assert_memory_equal(f.msg1 + 8, f.ni.e_public, 32);
    hash_once(32, NULL, 0, slice_of(f.msg1, 456), digest);
    hash_once(16, f.mk, 32, slice_of(digest, 32), right);
    assert_memory_equal(f.msg1 + 456, right, 16);
    assert_true(secret_is_zero(f.msg1 + 472, 16));

    assert_int_equal(msg1_wire_parse(slice_of(f.msg1, sizeof f.msg1), &w1), ERR_OK);
    assert_int_equal(w1.sender, 0x01020304);
    wr_init(&w, out, sizeof out);
    assert_int_equal(noise_read(&f.nr, w1.noise, &w), ERR_OK);
    assert_int_equal(wr_len(&w), HANDSHAKE_MSG1_PLAIN);
    assert_memory_equal(out, f.plain, sizeof f.plain);

    hello_reply_write(&reply, plain2);
    memset(e, 9, sizeof e);
    assert_int_equal(handshake_write_msg2(&f.nr, 5, 0x01020304, e, plain2, f.mk, msg2), ERR_OK);
    assert_memory_equal(msg2, "\xc1\0\0\0\0\0\0\5\1\2\3\4", 12);
    assert_int_equal(msg2_wire_parse(slice_of(msg2, sizeof msg2), &w2), ERR_OK);
    wr_init(&w, out, sizeof out);
    assert_int_equal(noise_read(&f.ni, w2.noise, &w), ERR_OK);
    assert_int_equal(hello_reply_parse(wr_done(&w), &got), ERR_OK);
    assert_true(got.gen == 7 && got.s_gen == 9 && got.flags == 1);
    assert_true(secret_is_zero(msg2 + 140, 16));
}

static void one_size(void **state)
{
    struct hello hello = {.n_candidates = 2, .has_succession = true};
    uint8_t plain[HANDSHAKE_MSG1_PLAIN];

    (void)state;
    hello.candidates[0] = addr_v4((const uint8_t[]){192, 0, 2, 1}, 4000);
    addr_parse("[2001:db8::1]:5", &hello.candidates[1]);
    memset(hello.succession, 8, sizeof hello.succession);
    assert_int_equal(hello_write(SESSION_CONTACT, &hello, plain), ERR_OK);
    assert_memory_equal(plain + 191, "\2\4\x0f\xa0\xc0\0\2\1\0\0", 10);
    assert_int_equal(plain[192 + 19], 6);
    assert_int_equal(plain[192 + 2 * 19], 8);
    hello.n_candidates = 3;
    assert_int_equal(hello_write(SESSION_CONTACT, &hello, plain), ERR_RANGE);
    hello.n_candidates = 1;
    hello.candidates[0].family = ADDR_NONE;
    assert_int_equal(hello_write(SESSION_CONTACT, &hello, plain), ERR_RANGE);
}

static void hello_round_trip(void **state)
{
    static const enum session_class classes[] = {SESSION_CONTACT, SESSION_INVITE, SESSION_NODE};

    (void)state;
    for (size_t c = 0; c < 3; c++)
        for (uint8_t n = 0; n <= 2; n++)
            for (int s = 0; s < 2; s++) {
                struct hello a = {.stamp = 1ull << 60, .kind = 1, .flags = 0xf1, .n_candidates = n}, b;
                uint8_t plain[HANDSHAKE_MSG1_PLAIN];

                memset(a.certificate, 0xce, classes[c] == SESSION_NODE ? 32 : CERT_BYTES);
                memset(a.call_id, 0xca, sizeof a.call_id);
                for (uint8_t k = 0; k < n; k++)
                    a.candidates[k] = addr_v4((const uint8_t[]){10, 0, 0, k}, 9);
                a.has_succession = s != 0;
                if (s)
                    memset(a.succession, 0xab, sizeof a.succession);
                assert_int_equal(hello_write(classes[c], &a, plain), ERR_OK);
                assert_int_equal(hello_parse(classes[c], slice_of(plain, sizeof plain), &b), ERR_OK);
                assert_memory_equal(a.certificate, b.certificate, sizeof a.certificate);
                assert_memory_equal(a.succession, b.succession, sizeof a.succession);
                assert_true(a.stamp == b.stamp && a.kind == b.kind && a.flags == b.flags);
                assert_true(b.n_candidates == n && b.has_succession == a.has_succession);
                for (uint8_t k = 0; k < n; k++)
                    assert_true(addr_equal(&a.candidates[k], &b.candidates[k]));
            }
}

static void hello_refused(void **state)
{
    struct hello a = {.n_candidates = 1}, b;
    uint8_t plain[HANDSHAKE_MSG1_PLAIN], spoilt[HANDSHAKE_MSG1_PLAIN];
    struct {
        size_t at;
        uint8_t value;
    } const cases[] = {
        {9, 0x02},          /* a flag nobody knows */
        {191, 3},           /* three candidates */
        {192, 5},           /* no address family */
        {192 + 3 + 4, 1},   /* IPv4 with a tail */
        {351, 1},           /* not padded with zeros */
        {192 + 19 + 96, 1}, /* the first byte of the padding */
    };

    (void)state;
    a.candidates[0] = addr_v4((const uint8_t[]){10, 0, 0, 1}, 9);
    assert_int_equal(hello_write(SESSION_CONTACT, &a, plain), ERR_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memcpy(spoilt, plain, sizeof plain);
        spoilt[cases[i].at] = cases[i].value;
        assert_int_equal(hello_parse(SESSION_CONTACT, slice_of(spoilt, sizeof spoilt), &b), ERR_PARSE);
    }
    assert_int_equal(hello_parse(SESSION_CONTACT, slice_of(plain, sizeof plain - 1), &b), ERR_PARSE);
}

static void wire_refused(void **state)
{
    struct cookie_wire c;
    struct msg1_wire w1;
    struct msg2_wire w2;
    struct fixture f;

    (void)state;
    begin(&f, SESSION_CONTACT);
    assert_int_equal(msg1_wire_parse(slice_of(f.msg1, 487), &w1), ERR_PARSE);
    f.msg1[2] = 1;
    assert_int_equal(msg1_wire_parse(slice_of(f.msg1, 488), &w1), ERR_PARSE);
    f.msg1[2] = 0;
    assert_int_equal(msg2_wire_parse(slice_of(f.msg1, 156), &w2), ERR_PARSE);
    assert_int_equal(cookie_wire_parse(slice_of(f.msg1, 64), &c), ERR_PARSE);
}

static void trials(void **state)
{
    struct handshake_key keys[37] = {0};
    struct msg1_wire w;
    uint8_t digest[32];
    struct fixture f;

    (void)state;
    begin(&f, SESSION_INVITE);
    for (uint8_t i = 0; i < 37; i++)
        memset(keys[i].mac_key, i, 32);
    assert_int_equal(msg1_wire_parse(slice_of(f.msg1, 488), &w), ERR_OK);
    handshake_digest(w.body, digest);
    assert_int_equal(handshake_find_key(keys, 37, digest, w.mac1), -1);
    memcpy(keys[36].mac_key, f.mk, 32);
    assert_int_equal(handshake_find_key(keys, 37, digest, w.mac1), 36);
    f.msg1[100] ^= 1;
    handshake_digest(w.body, digest);
    assert_int_equal(handshake_find_key(keys, 37, digest, w.mac1), -1);
}

static void cookies(void **state)
{
    uint8_t secret[32] = {1}, nonce[24] = {2}, cookie[16], opened[16], datagram[HANDSHAKE_COOKIE_BYTES];
    struct cookie_wire wire;
    struct slice mac1;
    struct fixture f;

    (void)state;
    begin(&f, SESSION_NODE);
    mac1 = slice_of(f.msg1 + 456, 16);
    cookie_make(secret, slice_str("192.0.2.1:5"), cookie);
    cookie_write(f.psk, f.r.pub, 0x01020304, nonce, mac1, cookie, datagram);
    assert_int_equal(cookie_wire_parse(slice_of(datagram, sizeof datagram), &wire), ERR_OK);
    assert_int_equal(wire.receiver, 0x01020304);
    assert_int_equal(cookie_open(f.psk, f.r.pub, &wire, mac1, opened), ERR_OK);
    assert_memory_equal(opened, cookie, 16);
    assert_false(handshake_mac2_is_right(cookie, slice_of(f.msg1, 488)));
    handshake_set_mac2(opened, f.msg1);
    assert_true(handshake_mac2_is_right(cookie, slice_of(f.msg1, 488)));
    f.msg1[456] ^= 1; /* mac2 covers mac1, and the cookie answers one mac1 only */
    assert_false(handshake_mac2_is_right(cookie, slice_of(f.msg1, 488)));
    assert_int_equal(cookie_open(f.psk, f.r.pub, &wire, mac1, opened), ERR_AUTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("psk, mk, prologue and cookie are those of another BLAKE2b", keys_of_python),
        sentence("msg1 and msg2 have their fields at the offsets of the page", offsets),
        sentence("two candidates and a succession fit, three candidates are refused", one_size),
        sentence("a hello written is the hello parsed, in every class", hello_round_trip),
        sentence("a hello with unknown bits, counts, families or tails is refused", hello_refused),
        sentence("datagrams of another length, type or with bytes set are refused", wire_refused),
        sentence("the right one of 37 keys is found, and none for a changed byte", trials),
        sentence("a cookie opens only with its mac1, and makes mac2 right", cookies),
    };
    if (crypto_init() != ERR_OK)
        return 1;
    return run_sentences("handshake", tests);
}
