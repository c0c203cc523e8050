#include "crypto/cert.h"

#include "unit/crypto/world.h"

struct scene {
    struct sign_key identity, successor, after;
    struct device_list list;
    uint8_t bytes[LIST_MAX_BYTES], cert[CERT_BYTES];
    size_t len;
};

static void make(struct scene *s)
{
    uint8_t m[32];
    struct wr w;
    WORLD(env);

    memset(s, 0, sizeof *s);
    memset(m, 1, 32);
    identity_derive(m, 0, &s->identity);
    identity_derive(m, 1, &s->successor);
    identity_derive(m, 2, &s->after);
    s->list.gen = 5;
    s->list.n = 2;
    identity_next(s->successor.pub, s->list.next);
    for (uint8_t i = 0; i < 2; i++) {
        struct sign_key q;

        env_random(&env, q.seed, 32);
        sign_key_from_seed(q.seed, &q);
        memcpy(s->list.devices[i].Q, q.pub, 32);
        env_random(&env, s->list.devices[i].D, 32);
        s->list.devices[i].slot = (uint8_t)(3 * i);
    }
    assert_int_equal(device_list_sign(&s->identity, &s->list), ERR_OK);
    wr_init(&w, s->bytes, sizeof s->bytes);
    device_list_write(&w, &s->list);
    s->len = wr_len(&w);
    assert_int_equal(cert_make(&s->identity, 5, &s->list.devices[1], s->list.next, s->cert), ERR_OK);
}

static void list_round(void **state)
{
    struct scene s;
    struct device_list got;

    (void)state;
    make(&s);
    assert_int_equal(s.len, LIST_BYTES(2));
    assert_int_equal(device_list_open(slice_of(s.bytes, s.len), s.identity.pub, &got), ERR_OK);
    assert_memory_equal(&got, &s.list, sizeof got);
    assert_ptr_equal(device_list_find(&got, 3), &got.devices[1]);
    assert_null(device_list_find(&got, 1));
}

static void list_changed(void **state)
{
    struct scene s;
    struct device_list got, zero = {0};

    (void)state;
    make(&s);
    for (size_t i = 0; i < s.len; i++) {
        s.bytes[i] ^= 0x40;
        assert_int_not_equal(device_list_open(slice_of(s.bytes, s.len), s.identity.pub, &got), ERR_OK);
        assert_memory_equal(&got, &zero, sizeof got);
        s.bytes[i] ^= 0x40;
    }
    for (size_t cut = 0; cut < s.len; cut++)
        assert_int_equal(device_list_open(slice_of(s.bytes, cut), s.identity.pub, &got), ERR_PARSE);
    assert_int_equal(device_list_open(slice_of(s.bytes, s.len), s.successor.pub, &got), ERR_AUTH);
}

static void list_bounds(void **state)
{
    struct scene s;

    (void)state;
    make(&s);
    s.list.n = 0;
    assert_int_equal(device_list_sign(&s.identity, &s.list), ERR_RANGE);
    s.list.n = 9;
    assert_int_equal(device_list_sign(&s.identity, &s.list), ERR_RANGE);
    s.list.n = 2;
    s.list.devices[1].slot = s.list.devices[0].slot;
    assert_int_equal(device_list_sign(&s.identity, &s.list), ERR_RANGE);
}

static void list_bad_point(void **state)
{
    struct scene s;
    struct device_list got;
    struct wr w;

    (void)state;
    make(&s);
    unhex(bad_points[0], s.list.devices[1].Q);
    assert_int_equal(device_list_sign(&s.identity, &s.list), ERR_OK);
    wr_init(&w, s.bytes, sizeof s.bytes);
    device_list_write(&w, &s.list);
    assert_int_equal(device_list_open(wr_done(&w), s.identity.pub, &got), ERR_PARSE);
    assert_int_equal(got.n, 0);
}

static void list_inside(void **state)
{
    struct scene s;
    struct slice part;
    struct rd r;

    (void)state;
    make(&s);
    s.bytes[s.len] = 0xee;
    rd_init(&r, slice_of(s.bytes, s.len + 1));
    part = device_list_slice(&r);
    assert_int_equal(part.len, s.len);
    assert_int_equal(rd_u8(&r), 0xee);
    assert_true(rd_done(&r));
    rd_init(&r, slice_of(s.bytes, s.len - 1));
    assert_int_equal(device_list_slice(&r).len, 0);
    assert_false(rd_ok(&r));
}

static void cert_round(void **state)
{
    struct scene s;
    struct device_cert c;

    (void)state;
    make(&s);
    assert_int_equal(cert_open(slice_of(s.cert, CERT_BYTES), s.list.devices[1].D, &c), ERR_OK);
    assert_memory_equal(c.A, s.identity.pub, 32);
    assert_memory_equal(c.Q, s.list.devices[1].Q, 32);
    assert_memory_equal(c.D, s.list.devices[1].D, 32);
    assert_memory_equal(c.next, s.list.next, 32);
    assert_int_equal(c.gen, 5);
    assert_int_equal(c.slot, 3);
}

static void cert_changed(void **state)
{
    struct scene s;
    struct device_cert c, zero = {0};

    (void)state;
    make(&s);
    for (size_t i = 0; i < CERT_BYTES; i++) {
        s.cert[i] ^= 1;
        assert_int_not_equal(cert_open(slice_of(s.cert, CERT_BYTES), s.list.devices[1].D, &c), ERR_OK);
        assert_memory_equal(&c, &zero, sizeof c);
        s.cert[i] ^= 1;
    }
    assert_int_equal(cert_open(slice_of(s.cert, CERT_BYTES - 1), s.list.devices[1].D, &c), ERR_PARSE);
    assert_int_equal(cert_open(slice_of(s.cert, CERT_BYTES), s.list.devices[0].D, &c), ERR_AUTH);
}

static void standing(void **state)
{
    struct scene s;
    struct device_cert c;

    (void)state;
    make(&s);
    assert_int_equal(cert_open(slice_of(s.cert, CERT_BYTES), s.list.devices[1].D, &c), ERR_OK);
    assert_int_equal(cert_check(&c, &s.list), CERT_LISTED);
    s.list.gen = 9; /* other devices changed: this one is still listed */
    assert_int_equal(cert_check(&c, &s.list), CERT_LISTED);
    s.list.n = 1;
    assert_int_equal(cert_check(&c, &s.list), CERT_REMOVED);
    s.list.gen = 5;
    assert_int_equal(cert_check(&c, &s.list), CERT_REMOVED);
    s.list.gen = 4;
    assert_int_equal(cert_check(&c, &s.list), CERT_NEWER);
}

static void linked_device(void **state)
{
    struct scene s;
    uint8_t cert[CERT_BYTES];

    (void)state;
    make(&s);
    memset(s.identity.seed, 0, 32);
    assert_int_equal(device_list_sign(&s.identity, &s.list), ERR_STATE);
    assert_int_equal(cert_make(&s.identity, 5, &s.list.devices[1], s.list.next, cert), ERR_STATE);
    assert_true(secret_is_zero(cert, CERT_BYTES));
}

static void succession(void **state)
{
    struct scene s;
    uint8_t proof[SUCCESSION_BYTES], next_of_successor[32], thief_next[32];
    struct sign_key thief;
    uint8_t m[32];

    (void)state;
    make(&s);
    identity_next(s.after.pub, next_of_successor);
    assert_int_equal(succession_make(&s.successor, s.identity.pub, next_of_successor, proof), ERR_OK);
    assert_memory_equal(proof, next_of_successor, 32);
    assert_int_equal(succession_verify(s.identity.pub, s.list.next, s.successor.pub, proof), ERR_OK);
    assert_int_equal(succession_verify(s.after.pub, s.list.next, s.successor.pub, proof), ERR_AUTH);
    /* the thief of a_0 has another successor in mind */
    memset(m, 9, 32);
    identity_derive(m, 1, &thief);
    identity_next(thief.pub, thief_next);
    assert_int_equal(succession_make(&thief, s.identity.pub, next_of_successor, proof), ERR_OK);
    assert_int_equal(succession_verify(s.identity.pub, s.list.next, thief.pub, proof), ERR_AUTH);
    assert_int_equal(succession_verify(s.identity.pub, s.list.next, s.successor.pub, proof), ERR_AUTH);
    assert_int_equal(succession_verify(s.identity.pub, thief_next, thief.pub, proof), ERR_OK);
}

static void succession_changed(void **state)
{
    struct scene s;
    uint8_t proof[SUCCESSION_BYTES], next[32];

    (void)state;
    make(&s);
    identity_next(s.after.pub, next);
    assert_int_equal(succession_make(&s.successor, s.identity.pub, next, proof), ERR_OK);
    for (size_t i = 0; i < SUCCESSION_BYTES; i++) {
        proof[i] ^= 2;
        assert_int_equal(succession_verify(s.identity.pub, s.list.next, s.successor.pub, proof), ERR_AUTH);
        proof[i] ^= 2;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a device list survives the wire", list_round),
        sentence("a changed, cut or foreign device list is refused and leaves nothing", list_changed),
        sentence("a list has 1 to 8 devices with slots of their own", list_bounds),
        sentence("a list naming a bad point is refused though it is signed", list_bad_point),
        sentence("a list is found inside other bytes without its keys", list_inside),
        sentence("a certificate survives the wire", cert_round),
        sentence("a changed certificate, or one of another device, is refused", cert_changed),
        sentence("a certificate is good when listed or newer, else its device was removed", standing),
        sentence("a linked device signs neither lists nor certificates", linked_device),
        sentence("only the pinned successor takes over", succession),
        sentence("a changed proof of succession is refused", succession_changed),
    };

    return crypto_init() == ERR_OK ? run_sentences("cert", tests) : 1;
}
