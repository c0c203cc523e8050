#include "crypto/zone.h"

#include "unit/crypto/world.h"

/* Hashes by CPython's hashlib.blake2b from THREATS.md §4.5, §4.8, §4.12, §4.13. */

static void ids(void **state)
{
    uint8_t id[8], closed[8], net[4], Z[32];

    (void)state;
    memset(Z, 7, 32);
    zone_id("public", NULL, id);
    assert_hex(id, "395fb3a3edc06765");
    zone_id("public", Z, closed);
    assert_hex(closed, "acc951c00dc0268e");
    zone_net_id(id, net);
    assert_memory_equal(net, id, 4);
}

static void puzzle(void **state)
{
    uint8_t zone[8], N[32], nonce[8] = {0}, id[20], other[20];
    enum err e;
    int rounds = 0;

    (void)state;
    zone_id("public", NULL, zone);
    memset(N, 9, 32);
    do
        e = zone_puzzle_search(zone, N, nonce, 10000);
    while (e == ERR_AGAIN && ++rounds < 500);
    assert_int_equal(e, ERR_OK);
    assert_hex(nonce, "00000000000137c2");
    assert_int_equal(zone_node_id(zone, N, nonce, id), ERR_OK);
    assert_hex(id, "c8c4dace626b2880fe48c4968f1736903fbca0e0");
    N[0] ^= 1;
    assert_int_equal(zone_node_id(zone, N, nonce, other), ERR_AUTH);
    N[0] ^= 1;
    zone[0] ^= 1;
    assert_int_equal(zone_node_id(zone, N, nonce, other), ERR_AUTH);
}

static void nonce_counts(void **state)
{
    uint8_t zone[8] = {0}, N[32] = {0}, nonce[8];

    (void)state;
    memset(nonce, 0xff, 8);
    nonce[0] = 0;
    assert_int_equal(zone_puzzle_search(zone, N, nonce, 2), ERR_AGAIN);
    assert_hex(nonce, "0100000000000001");
}

static void members(void **state)
{
    uint8_t zone[8], N[32], cert[MEMBER_CERT_BYTES];
    struct sign_key Z, other;

    (void)state;
    memset(Z.seed, 1, 32);
    sign_key_from_seed(Z.seed, &Z);
    memset(other.seed, 2, 32);
    sign_key_from_seed(other.seed, &other);
    zone_id("office", Z.pub, zone);
    memset(N, 9, 32);
    assert_int_equal(zone_member_make(&Z, zone, N, 20800, cert), ERR_OK);
    assert_int_equal(zone_member_verify(zone, Z.pub, N, slice_of(cert, sizeof cert), 20800), ERR_OK);
    assert_int_equal(zone_member_verify(zone, Z.pub, N, slice_of(cert, sizeof cert), 20801), ERR_LATE);
    assert_int_equal(zone_member_verify(zone, other.pub, N, slice_of(cert, sizeof cert), 20800), ERR_AUTH);
    assert_int_equal(zone_member_verify(zone, Z.pub, N, slice_of(cert, sizeof cert - 1), 20800), ERR_PARSE);
    assert_int_equal(zone_member_verify(zone, Z.pub, N, slice_of(NULL, 0), 20800), ERR_PARSE);
    cert[3]++;
    assert_int_equal(zone_member_verify(zone, Z.pub, N, slice_of(cert, sizeof cert), 20800), ERR_AUTH);
    cert[3]--;
    N[0]++;
    assert_int_equal(zone_member_verify(zone, Z.pub, N, slice_of(cert, sizeof cert), 20800), ERR_AUTH);
}

static void pairmac(void **state)
{
    uint8_t ab[32], ba[32], zone[8] = {1}, id[20] = {2}, m1[16], m2[16], bad[32];
    struct sign_key a, b;

    (void)state;
    memset(a.seed, 1, 32);
    sign_key_from_seed(a.seed, &a);
    memset(b.seed, 2, 32);
    sign_key_from_seed(b.seed, &b);
    assert_int_equal(zone_pairmac_key(&a, b.pub, ab), ERR_OK);
    assert_int_equal(zone_pairmac_key(&b, a.pub, ba), ERR_OK);
    assert_memory_equal(ab, ba, 32);
    zone_pairmac(ab, zone, id, slice_str("d1:q4:pinge"), m1);
    zone_pairmac(ab, zone, id, slice_str("d1:q4:pingf"), m2);
    assert_memory_not_equal(m1, m2, 16);
    id[0]++;
    zone_pairmac(ab, zone, id, slice_str("d1:q4:pinge"), m2);
    assert_memory_not_equal(m1, m2, 16);
    assert_int_equal(identity_pair_secret(&a, b.pub, ba), ERR_OK);
    assert_memory_not_equal(ab, ba, 32); /* another context, another key */
    for (size_t i = 0; i < N_BAD_POINTS; i++) {
        unhex(bad_points[i], bad);
        assert_int_not_equal(zone_pairmac_key(&a, bad, ab), ERR_OK);
        assert_true(secret_is_zero(ab, 32));
    }
}

static void drops(void **state)
{
    uint8_t zone[8], A[32], T[32], id[20];

    (void)state;
    zone_id("public", NULL, zone);
    memset(A, 3, 32);
    memset(T, 4, 32);
    assert_int_equal(drop_week(1795305600), 2968);
    assert_int_equal(drop_week(2968 * 604800ll - 1), 2967);
    assert_int_equal(drop_week(-1), 0);
    drop_id(zone, A, 2968, id);
    assert_hex(id, "5c5322befe2a6d81ed21fe078a59c4864b64708f");
    pairdrop_id(T, A, 2968, id);
    assert_hex(id, "b8970d01c6928a0a6ed77af5ca1040d1260928f9");
}

static void accounts(void **state)
{
    uint8_t seed[32], net[4] = {1, 2, 3, 4}, R[32];
    struct sign_key a, b;

    (void)state;
    memset(seed, 5, 32);
    memset(R, 6, 32);
    account_derive(seed, net, R, 1, &a);
    assert_hex(a.seed, "a4646bafa039e4395448fa7a6a6c816242dbabd32aa5caab25a0194980c955c5");
    account_derive(seed, net, R, 2, &b);
    assert_memory_not_equal(a.pub, b.pub, 32);
    R[0]++;
    account_derive(seed, net, R, 1, &b);
    assert_memory_not_equal(a.pub, b.pub, 32);
}

static void turn(void **state)
{
    uint8_t K[32], alloc[8], account[32], got[8], tag[8], expected[8], pass[16], T[32];
    char username[TURN_USERNAME_BYTES], password[TURN_PASSWORD_BYTES];
    uint32_t expiry;

    (void)state;
    memset(K, 1, 32);
    memset(alloc, 2, 8);
    memset(account, 3, 32);
    memset(T, 4, 32);
    turn_username(K, alloc, 1795305600, account, username);
    assert_string_equal(username, "1AgICAgICAgJrAjCAylxV4V-Vgb8");
    turn_password(K, slice_str(username), password);
    assert_string_equal(password, "8z2gSFqjAuhwLRcpOgQ9-6Bv554B5HcR0AtFKlsvuY8");
    assert_int_equal(turn_username_parse(slice_str(username), got, &expiry, tag), ERR_OK);
    assert_memory_equal(got, alloc, 8);
    assert_int_equal(expiry, 1795305600);
    turn_account_tag(K, account, expected);
    assert_memory_equal(tag, expected, 8);
    guest_pass(K, T, pass);
    assert_hex(pass, "a5dbda06d41f698cb4709e41863d5971");
}

static void turn_bad(void **state)
{
    static const char *const bad[] = {
        "",
        "1",
        "1AgICAgICAgJrAgADqqqqqqqqqq=",
        "2AgICAgICAgJrAgADqqqqqqqqqqq",
        "1AgICAgICAgJrAgADqqqqqqqqqqqq",
        "1AgICAgICAg+rAgADqqqqqqqqqqq",
        "1AgICAgICAgJrAgADqqqqqqqqqqr", /* a bit beyond the last byte */
    };
    uint8_t alloc[8], tag[8];
    uint32_t expiry;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(turn_username_parse(slice_str(bad[i]), alloc, &expiry, tag), ERR_PARSE);
}

static void tokens(void **state)
{
    uint8_t a[8], b[8];
    WORLD(env);

    (void)state;
    knock_token_new(&env, a);
    knock_token_new(&env, b);
    assert_memory_not_equal(a, b, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a zone is its name and its key", ids),
        sentence("a solved puzzle gives the node's id, for this zone and key only", puzzle),
        sentence("nonces are counted up as one big-endian number", nonce_counts),
        sentence("a member certificate holds for its node, zone and time", members),
        sentence("two nodes share one mac key, bound to zone, receiver and message", pairmac),
        sentence("drops move each week", drops),
        sentence("each relay and generation has an account of its own", accounts),
        sentence("TURN credentials are those of THREATS.md", turn),
        sentence("malformed TURN user names are refused", turn_bad),
        sentence("knock tokens are fresh", tokens),
    };

    return crypto_init() == ERR_OK ? run_sentences("zone", tests) : 1;
}
