#include "crypto/fragment.h"

#include <stdlib.h>

#include "unit/crypto/world.h"

static void replay_window(void **state)
{
    struct replay w = {0};

    (void)state;
    for (uint64_t c = 0; c < 3000; c++) {
        assert_true(replay_is_fresh(&w, c));
        assert_true(replay_set(&w, c));
        assert_false(replay_is_fresh(&w, c));
    }
    assert_false(replay_is_fresh(&w, 2999 - REPLAY_WINDOW + 1));
    assert_true(replay_set(&w, 3005));
    assert_true(replay_is_fresh(&w, 3002));
    assert_false(replay_set(&w, 3002));
    assert_false(replay_is_fresh(&w, 3002));
    assert_false(replay_is_fresh(&w, 2999));
    assert_true(replay_set(&w, 1000000)); /* a leap clears the window */
    assert_true(replay_is_fresh(&w, 1000000 - REPLAY_WINDOW + 1));
    assert_false(replay_is_fresh(&w, 1000000 - REPLAY_WINDOW));
    assert_false(replay_is_fresh(&w, UINT64_MAX));
}

/* Against a plain set, for counters in any order. */
static void replay_model(void **state)
{
    static bool seen[8192];
    struct replay w = {0};
    uint64_t top = 0;
    WORLD(env);

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t c = i * 8192ull / 20000 + env_random_u32(&env) % 3000;
        bool fresh;

        c = c < 8192 ? c : 8191;
        fresh = !seen[c] && (c >= top || top - c <= REPLAY_WINDOW);
        assert_int_equal(replay_is_fresh(&w, c), fresh);
        if (fresh) {
            seen[c] = true;
            replay_set(&w, c);
            top = c + 1 > top ? c + 1 : top;
        }
    }
}

static void padding(void **state)
{
    uint8_t plain[PIECE_PLAIN_MAX], data[PIECE_DATA_MAX] = {1};
    struct piece p = {.chan = 1, .nfrag = 1, .msg = 0x01020304}, got;

    (void)state;
    for (size_t len = 0; len <= PIECE_DATA_MAX; len++) {
        p.data = slice_of(data, len);
        size_t n = piece_write(&p, plain);

        assert_int_equal(n % 64, 0);
        assert_true(n >= len + 9 && n < len + 9 + 64);
        assert_int_equal(piece_parse(slice_of(plain, n), &got), ERR_OK);
        assert_int_equal(got.data.len, len);
    }
    assert_memory_equal(plain, "\1\1\2\3\4\0\1\4\x77", 9);
}

static void refused(void **state)
{
    uint8_t plain[PIECE_PLAIN_MAX], data[10] = {1};
    struct piece p = {.chan = 1, .nfrag = 1, .data = slice_of(data, 10)}, got;
    struct {
        size_t at;
        uint8_t value;
    } const cases[] = {{6, 0}, {6, 17}, {5, 1}, {6, 2}, {7, 1}, {8, 56}, {63, 1}};
    size_t n = piece_write(&p, plain);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t before = plain[cases[i].at];

        plain[cases[i].at] = cases[i].value;
        assert_int_equal(piece_parse(slice_of(plain, n), &got), ERR_PARSE);
        plain[cases[i].at] = before;
    }
    memset(plain + n, 0, 64);
    assert_int_equal(piece_parse(slice_of(plain, n), &got), ERR_OK);
    assert_int_equal(piece_parse(slice_of(plain, n + 64), &got), ERR_PARSE); /* one block of zeros too many */
    assert_int_equal(piece_parse(slice_of(plain, n - 1), &got), ERR_PARSE);
    assert_int_equal(piece_parse(slice_of(plain, 0), &got), ERR_PARSE);
}

static uint8_t block[PIECE_DATA_MAX];

static enum err put(struct reassembly *a, ns_t now, uint64_t owner, uint32_t msg, uint8_t frag, uint8_t nfrag,
                    struct slice *out)
{
    struct piece p = {.chan = 1, .msg = msg, .frag = frag, .nfrag = nfrag};

    p.data = slice_of(block, frag + 1 < nfrag ? PIECE_DATA_MAX : 7);
    return reassembly_put(a, now, owner, &p, out);
}

static void whole_again(void **state)
{
    struct reassembly *a = reassembly_create(8);
    struct piece p = {.chan = 2, .msg = 1, .frag = 0, .nfrag = 3, .data = slice_of(block, PIECE_DATA_MAX)};
    struct slice msg;

    (void)state;
    assert_int_equal(put(a, 0, 1, 1, 2, 3, &msg), ERR_AGAIN);
    assert_int_equal(put(a, 0, 1, 1, 0, 3, &msg), ERR_AGAIN);
    assert_int_equal(put(a, 0, 1, 1, 0, 3, &msg), ERR_DUPLICATE);
    assert_int_equal(put(a, 0, 2, 1, 1, 3, &msg), ERR_AGAIN); /* another owner's message of that number */
    assert_int_equal(put(a, 0, 1, 1, 1, 3, &msg), ERR_OK);
    assert_int_equal(msg.len, 2 * PIECE_DATA_MAX + 7);
    assert_int_equal(reassembly_put(a, 0, 2, &p, &msg), ERR_PARSE); /* another channel than before */
    assert_int_equal(reassembly_dropped(a), 1);
    reassembly_destroy(a);
}

static void caps(void **state)
{
    struct reassembly *a = reassembly_create(8);
    struct slice msg;

    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(put(a, i, 1, i, 0, 2, &msg), ERR_AGAIN);
    assert_int_equal(reassembly_dropped(a), 1); /* 4 at once; the oldest yields */
    assert_int_equal(put(a, 9, 1, 0, 1, 2, &msg), ERR_AGAIN);
    assert_int_equal(put(a, 9, 1, 4, 1, 2, &msg), ERR_OK);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(put(a, 20 + i, 100 + i, i, 0, 2, &msg), ERR_AGAIN);
    assert_int_equal(put(a, 40, 119, 19, 1, 2, &msg), ERR_OK);
    assert_int_equal(put(a, 38 + FRAGMENT_LIFE_NS, 118, 18, 1, 2, &msg), ERR_AGAIN); /* too late by then */
    reassembly_forget(a, 118);
    assert_int_equal(put(a, 39 + FRAGMENT_LIFE_NS, 118, 18, 0, 2, &msg), ERR_AGAIN);
    reassembly_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a counter is taken once, and not when 2048 behind", replay_window),
        sentence("the window agrees with a plain set", replay_model),
        sentence("pieces are padded to 64 and parse back", padding),
        sentence("pieces with a wrong count, length or padding are refused", refused),
        sentence("a message in pieces becomes whole in any order", whole_again),
        sentence("4 messages an owner, 10 s, and the oldest yields when all is taken", caps),
    };
    return run_sentences("fragment", tests);
}
