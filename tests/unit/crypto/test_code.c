#include "crypto/code.h"

#include "unit/crypto/world.h"

/* Values by CPython's hashlib.blake2b from THREATS.md §4.10. */

static void commitment(void **state)
{
    uint8_t nonce[32], caller[32], callee[32], call_id[16], c[32];

    (void)state;
    memset(nonce, 1, 32);
    memset(caller, 2, 32);
    memset(callee, 3, 32);
    memset(call_id, 4, 16);
    call_commit(nonce, caller, callee, call_id, c);
    assert_hex(c, "ed0b1b10cd563311fb60014c9b221a7eff34d9c3ee1c34f3dec4cb48d508fd78");
    assert_true(call_commit_ok(c, nonce, caller, callee, call_id));
    nonce[31] ^= 1;
    assert_false(call_commit_ok(c, nonce, caller, callee, call_id));
    nonce[31] ^= 1;
    assert_false(call_commit_ok(c, nonce, callee, caller, call_id));
}

static void six_digits(void **state)
{
    uint8_t h[64], nA[32], nB[32], caller[32], callee[32];
    char text[CALL_CODE_BYTES];

    (void)state;
    memset(h, 5, 64);
    memset(nA, 1, 32);
    memset(nB, 6, 32);
    memset(caller, 2, 32);
    memset(callee, 3, 32);
    assert_int_equal(call_code(h, nA, nB, caller, callee), 141255);
    assert_string_equal(call_code_print(482913, text), "482 913");
    assert_string_equal(call_code_print(7, text), "000 007");
    assert_string_equal(call_code_print(999999, text), "999 999");
    assert_int_not_equal(call_code(h, nA, nB, caller, callee), call_code(h, nB, nA, caller, callee));
}

/* Promise (THREATS.md §5, "codes"). Who stands between two people has a session with each, and wants both to read the same
 * code. It may finish one of the two first and know that code; for the other one it has to commit to its nonce, or show
 * it, before it sees theirs. So it looks for a nonce that would do, and gets another one's answer. */
static void in_between(void **state)
{
    uint8_t h[2][64], theirs[2][32], ours[2][32], a[32], m[32], b[32], call_id[16], commit[32], guess[32];
    struct test_world w = {.state = 77};
    unsigned n_equal = 0;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint32_t known, reached;

        world_random(&w, h, sizeof h);
        world_random(&w, theirs, sizeof theirs);
        world_random(&w, ours, sizeof ours);
        world_random(&w, a, 32);
        world_random(&w, m, 32);
        world_random(&w, b, 32);
        world_random(&w, call_id, 16);
        world_random(&w, guess, 32);
        known = call_code(h[0], theirs[0], ours[0], a, m); /* the caller's, complete */
        for (int tries = 0; tries < 8; tries++) { /* a nonce that would do, if theirs were what it guesses */
            world_random(&w, ours[1], 32);
            if (call_code(h[1], ours[1], guess, m, b) == known)
                break;
        }
        call_commit(ours[1], m, b, call_id, commit);
        reached = call_code(h[1], ours[1], theirs[1], m, b);
        assert_true(call_commit_ok(commit, ours[1], m, b, call_id));
        ours[1][0] ^= 1; /* another nonce than it committed to is no way out */
        assert_false(call_commit_ok(commit, ours[1], m, b, call_id));
        n_equal += reached == known;
    }
    printf("equal codes in 10,000 tries: %u\n", n_equal);
    assert_true(n_equal <= 2);
}

static void same_on_both_sides(void **state)
{
    char ab[SAFETY_NUMBER_BYTES], ba[SAFETY_NUMBER_BYTES];
    uint8_t a[32], b[32];

    (void)state;
    memset(a, 2, 32);
    memset(b, 3, 32);
    assert_string_equal(safety_number(a, b, ab),
                        "21489 63261 27823 94752 42640 48557 42924 04724 35955 39875 13645 19792");
    assert_string_equal(safety_number(b, a, ba), ab);
    assert_int_equal(strlen(ab), SAFETY_NUMBER_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a commitment binds nonce, people and call", commitment),
        sentence("a call code has six digits, leading zeros shown", six_digits),
        sentence("who stands between two people makes their codes equal twice in 10,000 tries at most",
                 in_between),
        sentence("a safety number is the same on both sides", same_on_both_sides),
    };

    return crypto_init() == ERR_OK ? run_sentences("code", tests) : 1;
}
