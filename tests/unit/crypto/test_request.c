#include "crypto/request.h"

#include "unit/crypto/world.h"

struct people {
    struct sign_key from, to;
    struct dh_key D;
    struct request r;
    uint8_t drop[DROP_ID_BYTES], blob[REQUEST_BYTES];
};

static void begin(struct people *p)
{
    struct device_entry device = {.slot = 1};
    uint8_t seed[32];

    memset(p, 0, sizeof *p);
    seed_of_the_pages(seed);
    sign_key_from_seed(seed, &p->to);
    memset(seed, 7, sizeof seed);
    sign_key_from_seed(seed, &p->from);
    memset(p->D.secret, 8, 32);
    dh_key_from_secret(p->D.secret, &p->D);
    memcpy(device.D, p->D.pub, 32);
    memcpy(device.Q, p->from.pub, 32);
    assert_int_equal(cert_make(&p->from, 3, &device, seed, p->r.certificate), ERR_OK);
    memcpy(p->r.device, p->D.pub, 32);
    p->r.wants = REQUEST_WANTS_CONTACT;
    p->r.made_s = 1795305600;
    strcpy(p->r.name, "Hanako 花子");
    strcpy(p->r.note, "We met at the station.\nCall me?");
    p->r.s_gen = 5;
    memset(p->r.s, 0x53, 32);
    drop_id((const uint8_t *)"zonezone", p->to.pub, 2968, p->drop);
}

static void opens(void **state)
{
    struct people p;
    struct request got;
    WORLD(env);

    (void)state;
    begin(&p);
    assert_int_equal(request_seal(&p.r, p.D.secret, p.to.pub, p.drop, &env, p.blob), ERR_OK);
    assert_int_equal(request_open(slice_of(p.blob, 960), p.to.seed, p.drop, &got), ERR_OK);
    assert_memory_equal(got.identity, p.from.pub, 32);
    assert_memory_equal(got.device, p.D.pub, 32);
    assert_string_equal(got.name, p.r.name);
    assert_string_equal(got.note, p.r.note);
    assert_true(got.wants == p.r.wants && got.made_s == p.r.made_s && got.s_gen == 5 && !got.has_succession);
    assert_memory_equal(got.s, p.r.s, 32);
}

static void succession(void **state)
{
    struct sign_key old;
    uint8_t seed[32] = {9}, next[32], pinned[32];
    struct people p;
    struct request got;
    WORLD(env);

    (void)state;
    begin(&p);
    sign_key_from_seed(seed, &old);
    memset(next, 7, sizeof next); /* the `next` in the certificate of begin() */
    p.r.has_succession = true;
    memcpy(p.r.old_identity, old.pub, 32);
    assert_int_equal(succession_make(&p.from, old.pub, next, p.r.succession), ERR_OK);
    assert_int_equal(request_seal(&p.r, p.D.secret, p.to.pub, p.drop, &env, p.blob), ERR_OK);
    assert_int_equal(request_open(slice_of(p.blob, 960), p.to.seed, p.drop, &got), ERR_OK);
    assert_true(got.has_succession);
    assert_memory_equal(got.old_identity, old.pub, 32);
    identity_next(p.from.pub, pinned);
    assert_int_equal(succession_verify(old.pub, pinned, got.identity, got.succession), ERR_OK);
}

static void nobody_else(void **state)
{
    struct people p;
    struct request got;
    uint8_t drop[DROP_ID_BYTES], other[32] = {1};
    WORLD(env);

    (void)state;
    begin(&p);
    assert_int_equal(request_seal(&p.r, p.D.secret, p.to.pub, p.drop, &env, p.blob), ERR_OK);
    assert_int_equal(request_open(slice_of(p.blob, 960), other, p.drop, &got), ERR_AUTH);
    drop_id((const uint8_t *)"zonezone", p.to.pub, 2969, drop);
    assert_int_equal(request_open(slice_of(p.blob, 960), p.to.seed, drop, &got), ERR_AUTH);
    assert_int_equal(request_open(slice_of(p.blob, 959), p.to.seed, p.drop, &got), ERR_PARSE);
    for (size_t at = 0; at < REQUEST_BYTES; at += 37) {
        p.blob[at] ^= 0x10;
        assert_int_equal(request_open(slice_of(p.blob, 960), p.to.seed, p.drop, &got), ERR_AUTH);
        p.blob[at] ^= 0x10;
    }
}

static void stolen_certificate(void **state)
{
    struct people p;
    struct request got;
    struct dh_key thief;
    uint8_t secret[32] = {0x31};
    WORLD(env);

    (void)state;
    begin(&p);
    dh_key_from_secret(secret, &thief);
    memcpy(p.r.device, thief.pub, 32);
    assert_int_equal(request_seal(&p.r, thief.secret, p.to.pub, p.drop, &env, p.blob), ERR_OK);
    assert_int_equal(request_open(slice_of(p.blob, 960), p.to.seed, p.drop, &got), ERR_AUTH);
}

static void texts(void **state)
{
    static const char *const bad_names[] = {"\x1b[31mred", "two\nlines", "\xff\xfe",
                                            "a\x7f",       "\xc2\x9b",   NULL};
    struct people p;
    WORLD(env);

    (void)state;
    begin(&p);
    for (size_t i = 0; bad_names[i] != NULL; i++) {
        strcpy(p.r.name, bad_names[i]);
        assert_int_equal(request_seal(&p.r, p.D.secret, p.to.pub, p.drop, &env, p.blob), ERR_RANGE);
    }
    p.r.name[0] = 0;
    memset(p.r.note, 'x', 200);
    p.r.note[200] = 0;
    assert_int_equal(request_seal(&p.r, p.D.secret, p.to.pub, p.drop, &env, p.blob), ERR_OK);
    strcpy(p.r.note + 200, "y");
    assert_int_equal(request_seal(&p.r, p.D.secret, p.to.pub, p.drop, &env, p.blob), ERR_RANGE);
    memset(p.r.name, 'n', sizeof p.r.name); /* 65 bytes */
    p.r.note[0] = 0;
    assert_int_equal(request_seal(&p.r, p.D.secret, p.to.pub, p.drop, &env, p.blob), ERR_RANGE);
}

static void bad_receiver(void **state)
{
    struct people p;
    uint8_t bad[32];
    WORLD(env);

    (void)state;
    begin(&p);
    for (size_t i = 0; i < N_BAD_POINTS; i++) {
        unhex(bad_points[i], bad);
        assert_int_equal(request_seal(&p.r, p.D.secret, bad, p.drop, &env, p.blob), ERR_AUTH);
    }
}

static void notes(void **state)
{
    struct note note = {.part = 1, .parts = 3, .len = NOTE_DATA_BYTES}, got;
    uint8_t T[32] = {1}, A[32] = {2}, B[32] = {3}, d[DROP_ID_BYTES], blob[REQUEST_BYTES];
    WORLD(env);

    (void)state;
    pairdrop_id(T, B, 2968, d);
    memset(note.id, 9, sizeof note.id);
    memset(note.data, 'm', sizeof note.data);
    assert_int_equal(note_seal(&note, T, A, d, &env, blob), ERR_OK);
    assert_int_equal(note_open(slice_of(blob, 960), T, A, d, &got), ERR_OK);
    assert_memory_equal(&got, &note, sizeof note);
    assert_int_equal(note_open(slice_of(blob, 960), T, B, d, &got), ERR_AUTH); /* sent by the other one */
    pairdrop_id(T, B, 2969, d);
    assert_int_equal(note_open(slice_of(blob, 960), T, A, d, &got), ERR_AUTH);
    note.part = 3;
    assert_int_equal(note_seal(&note, T, A, d, &env, blob), ERR_RANGE);
    note.part = 0;
    note.len = NOTE_DATA_BYTES + 1;
    assert_int_equal(note_seal(&note, T, A, d, &env, blob), ERR_RANGE);
}

/* Against hashlib.blake2b of Python 3.11. */
static void work_of_python(void **state)
{
    uint8_t drop[DROP_ID_BYTES], blob[REQUEST_BYTES], nonce[POW_NONCE_BYTES];

    (void)state;
    memset(drop, 0xd0, sizeof drop);
    memset(blob, 0xb0, sizeof blob);
    unhex("0000000000015e35", nonce);
    assert_int_equal(pow_bits(drop, slice_of(blob, sizeof blob), nonce), 16);
}

static void work_in_steps(void **state)
{
    uint8_t drop[DROP_ID_BYTES] = {1}, blob[REQUEST_BYTES] = {2}, nonce[POW_NONCE_BYTES];
    struct pow pow;
    unsigned steps = 0;
    enum err e;
    WORLD(env);

    (void)state;
    pow_init(&pow, drop, slice_of(blob, sizeof blob), 12, &env);
    assert_int_equal(pow_search(&pow, 0, nonce), ERR_AGAIN);
    while ((e = pow_search(&pow, 64, nonce)) == ERR_AGAIN)
        steps++;
    assert_int_equal(e, ERR_OK);
    assert_true(steps > 0 && steps < 4096);
    assert_true(pow_bits(drop, slice_of(blob, sizeof blob), nonce) >= 12);
    blob[0] ^= 1;
    assert_true(pow_bits(drop, slice_of(blob, sizeof blob), nonce) < 12);
    pow_init(&pow, drop, slice_of(blob, sizeof blob), 99, &env);
    assert_int_equal(pow.bits, POW_BITS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a proof of work counts the bits another BLAKE2b counts", work_of_python),
        sentence("the search goes in steps and ends with a nonce worth its bits", work_in_steps),
        sentence("the one it is for opens a request and knows the sender", opens),
        sentence("a succession travels with a request and can be verified", succession),
        sentence("another identity, another week or any changed bit opens nothing", nobody_else),
        sentence("another's certificate is no use without its device key", stolen_certificate),
        sentence("names and notes with controls, bad UTF-8 or too long are refused", texts),
        sentence("nothing is sealed to a key that is none", bad_receiver),
        sentence("a note opens for its pair, sender and week only", notes),
    };
    if (crypto_init() != ERR_OK)
        return 1;
    return run_sentences("request", tests);
}
