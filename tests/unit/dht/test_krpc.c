#include <stdio.h>

#include "unit/test.h"

#include "dht/krpc.h"

/* Parse, write: the same bytes again. */
static struct krpc_msg round_trip(struct slice packet)
{
    uint8_t buf[KRPC_IN_MAX];
    struct krpc_msg m, again;

    assert_int_equal(krpc_parse(packet, &m), ERR_OK);
    again = m;
    assert_true(slice_equal(krpc_write(&again, buf, sizeof buf), packet));
    assert_int_equal(again.cut_at, m.cut_at);
    assert_int_equal(again.cut_len, m.cut_len);
    return m;
}

static void bep5(void **state)
{
    struct krpc_msg m;
    (void)state;

    m = round_trip(slice_str("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"));
    assert_int_equal(m.type, KRPC_QUERY);
    assert_int_equal(m.method, KRPC_PING);
    assert_true(slice_is(m.b.id, "abcdefghij0123456789") && slice_is(m.t, "aa"));
    m = round_trip(slice_str("d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re"));
    assert_int_equal(m.type, KRPC_ANSWER);
    m = round_trip(slice_str(
        "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe"));
    assert_int_equal(m.method, KRPC_FIND_NODE);
    assert_true(slice_is(m.b.target, "mnopqrstuvwxyz123456"));
    m = round_trip(
        slice_str("d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:"
                  "aa1:y1:qe"));
    assert_int_equal(m.method, KRPC_GET_PEERS);
    m = round_trip(
        slice_str("d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:"
                  "re"));
    assert_true(slice_is(m.b.token, "aoeusnth") && slice_is(m.b.values, "l6:axje.u6:idhtnme"));
    m = round_trip(
        slice_str("d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:"
                  "porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe"));
    assert_int_equal(m.method, KRPC_ANNOUNCE_PEER);
    assert_int_equal(m.b.port.v, 6881);
    m = round_trip(slice_str("d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee"));
    assert_int_equal(m.type, KRPC_ERROR);
    assert_int_equal(m.code, 201);
    assert_true(slice_is(m.text, "A Generic Error Ocurred"));
}

static void refused(void **state)
{
    static const char *const bad[] = {
        "d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe",                  /* a short id */
        "d1:ade1:q4:ping1:t2:aa1:y1:qe",                                            /* no id */
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:y1:qe",                        /* no transaction */
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t0:1:y1:qe",                   /* an empty one */
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t17:aaaaaaaaaaaaaaaaa1:y1:qe", /* a long one */
        "d1:ad2:id20:abcdefghij0123456789e1:t2:aa1:y1:qe",                          /* no method */
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aae",                       /* no type */
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:xe",                 /* another type */
        "d1:al2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",                 /* a list */
        "d1:q4:ping1:ad2:id20:abcdefghij0123456789e1:t2:aa1:y1:qe",                 /* out of order */
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qex",                /* more after it */
        "d1:eli201ee1:t2:aa1:y1:ee",                                                /* no text */
        "d1:el3:abc3:abce1:t2:aa1:y1:ee",                                           /* no code */
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:q1:z8:zoneidzoe",    /* a zone's, unsigned */
        "d1:ad2:id20:abcdefghij01234567891:v1:xe1:q4:ping3:mac16:abcdefghijklmnop1:t2:aa1:y1:qe", /* mac, no zone */
        "d1:rd2:id20:abcdefghij01234567895:nodes25:abcdefghijklmnopqrstuvwxye1:t2:aa1:y1:re", /* not 26 n */
        "i1e",
    };
    struct krpc_msg m;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (krpc_parse(slice_str(bad[i]), &m) == ERR_OK)
            fail_msg("accepted: %s", bad[i]);
}

static void unknown(void **state)
{
    struct krpc_msg m;
    (void)state;

    assert_int_equal(
        krpc_parse(slice_str("d1:ad2:id20:abcdefghij01234567892:xxi7ee1:q4:vote2:qqle1:t2:aa1:y1:qe"), &m),
        ERR_OK);
    assert_int_equal(m.method, KRPC_UNKNOWN);
}

/* A message of a zone with every field there is. */
static struct krpc_msg full_query(void)
{
    struct krpc_msg m = {.type = KRPC_QUERY, .method = KRPC_DROP_PUT};

    m.t = slice_str("tttt");
    m.z = slice_str("zonezone");
    m.k = slice_str("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");
    m.p = slice_str("pppppppp");
    m.member = slice_str("mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm");
    m.cookie = slice_str("cccccccc");
    m.voucher = slice_str("wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww");
    m.ts = (struct krpc_int){.v = -5, .is_set = true};
    m.ro = (struct krpc_int){.v = 1, .is_set = true};
    m.b.id = slice_str("abcdefghij0123456789");
    m.b.target = m.b.id;
    m.b.nonce = slice_str("nnnnnnnn");
    m.b.token = slice_str("token");
    return m;
}

/* A voucher has one size, and those in an answer are whole. */
static void vouchers(void **state)
{
    static const uint8_t sig[64], bytes[64];
    uint8_t buf[KRPC_OUT_MAX];
    struct krpc_msg m = full_query(), back;
    (void)state;

    m.sig = slice_of(sig, sizeof sig);
    for (size_t n = 39; n <= 41; n++) {
        m.voucher = slice_of(bytes, n);
        assert_int_equal(krpc_parse(krpc_write(&m, buf, sizeof buf), &back),
                         n == KRPC_VOUCHER ? ERR_OK : ERR_PARSE);
    }
    m = full_query();
    m.type = KRPC_ANSWER;
    m.sig = slice_of(sig, sizeof sig);
    for (size_t n = 0; n <= 24; n++) {
        m.b.zv = slice_of(bytes, n);
        assert_int_equal(krpc_parse(krpc_write(&m, buf, sizeof buf), &back),
                         n % KRPC_ZV == 0 ? ERR_OK : ERR_PARSE);
    }
    assert_int_equal(back.b.zv.len, 24);
}

static void zone_message(void **state)
{
    static const uint8_t sig[64] = {1, 2, 3};
    uint8_t buf[KRPC_OUT_MAX], cut[KRPC_OUT_MAX], bare[KRPC_OUT_MAX];
    struct krpc_msg m = full_query(), back;
    struct slice packet, without;
    (void)state;

    without = krpc_write(&m, bare, sizeof bare);
    assert_int_equal(m.cut_len, 0);
    assert_int_equal(krpc_parse(without, &back), ERR_PARSE); /* neither sig nor mac */
    m.sig = slice_of(sig, sizeof sig);
    packet = krpc_write(&m, buf, sizeof buf);
    assert_int_equal(packet.len, without.len + 72);
    assert_int_equal(krpc_parse(packet, &back), ERR_OK);
    assert_true(slice_equal(slice_of(cut, krpc_cut(packet, &back, cut)), without));
    assert_memory_equal(packet.data + back.cut_at + back.cut_len - 64, sig, 64);
    m.mac = slice_of(sig, 16);
    packet = krpc_write(&m, buf, sizeof buf);
    assert_int_equal(krpc_parse(packet, &back), ERR_PARSE); /* both */
    m.sig = (struct slice){0};
    packet = krpc_write(&m, buf, sizeof buf);
    assert_int_equal(packet.len, without.len + 24);
    round_trip(packet);
    assert_int_equal(krpc_parse(packet, &back), ERR_OK);
    assert_true(slice_equal(slice_of(cut, krpc_cut(packet, &back, cut)), without));
}

static void cookie_error(void **state)
{
    struct krpc_msg m = {.type = KRPC_ERROR, .code = KRPC_E_COOKIE, .text = slice_str("cookie")}, back;
    uint8_t buf[256];
    struct slice packet;
    (void)state;

    m.t = slice_str("tttttt");
    m.z = slice_str("zonezone");
    m.cookie = slice_str("cccccccc");
    packet = krpc_write(&m, buf, sizeof buf);
    assert_int_equal(krpc_parse(packet, &back), ERR_OK);
    assert_true(packet.len <= 64); /* shorter than any query */
    m.member = slice_str("mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm");
    assert_int_equal(krpc_parse(krpc_write(&m, buf, sizeof buf), &back), ERR_PARSE); /* it names nobody */
    m.member = (struct slice){0};
    m.cookie = (struct slice){0};
    assert_int_equal(krpc_parse(krpc_write(&m, buf, sizeof buf), &back), ERR_PARSE);
    m.code = KRPC_E_SEQ; /* no other error goes unsigned */
    m.cookie = slice_str("cccccccc");
    assert_int_equal(krpc_parse(krpc_write(&m, buf, sizeof buf), &back), ERR_PARSE);
}

static void every_cut(void **state)
{
    static const uint8_t mac[16];
    struct krpc_msg m = full_query(), back;
    uint8_t buf[KRPC_OUT_MAX];
    struct slice packet;
    (void)state;

    m.mac = slice_of(mac, sizeof mac);
    packet = krpc_write(&m, buf, sizeof buf);
    for (size_t n = 0; n < packet.len; n++)
        assert_int_equal(krpc_parse(slice_of(buf, n), &back), ERR_PARSE);
    for (size_t n = 0; n < packet.len; n++) {
        uint8_t small[KRPC_OUT_MAX];

        assert_int_equal(krpc_write(&m, small, n).len, 0);
    }
}

static void compact(void **state)
{
    uint8_t out[18], v6[16] = {0x20, 1, 0xd, 0xb8, 1};
    struct addr a = addr_v4((uint8_t[]){192, 0, 2, 1}, 0x1a2b), b = addr_v6(v6, 80), back;
    (void)state;

    assert_int_equal(krpc_write_compact(&a, out), 6);
    assert_memory_equal(out, "\xc0\x00\x02\x01\x1a\x2b", 6);
    assert_true(krpc_read_compact(slice_of(out, 6), &back) && addr_equal(&a, &back));
    assert_int_equal(krpc_write_compact(&b, out), 18);
    assert_true(krpc_read_compact(slice_of(out, 18), &back) && addr_equal(&b, &back));
    assert_false(krpc_read_compact(slice_of(out, 12), &back));
}

static void values(void **state)
{
    char packet[2200], v[1200];
    struct krpc_msg m;
    struct slice s;
    (void)state;

    memset(v, 'v', sizeof v);
    for (int len = 995; len <= 998; len++) {
        int n = snprintf(packet, sizeof packet, "d1:rd2:id20:abcdefghij01234567891:v%d:%.*se1:t2:aa1:y1:re",
                         len, len, v);

        assert_int_equal(krpc_parse(slice_of(packet, (size_t)n), &m), ERR_OK);
        assert_int_equal(krpc_v_string(&m, &s), len <= 996);
    }
    assert_int_equal(krpc_parse(slice_str("d1:rd2:id20:abcdefghij01234567891:vi7ee1:t2:aa1:y1:re"), &m),
                     ERR_OK);
    assert_false(krpc_v_string(&m, &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the messages of BEP 5 are read, and written to the byte", bep5),
        sentence("what is not a message is refused whole", refused),
        sentence("unknown methods and keys do not hurt", unknown),
        sentence("a message of a zone carries sig or mac, and cutting it out gives what was signed",
                 zone_message),
        sentence("vouchers have their size", vouchers),
        sentence("only the cookie error goes unsigned in a zone, and it is short", cookie_error),
        sentence("no beginning of a message is a message, and none is written into too little room",
                 every_cut),
        sentence("compact addresses have 6 or 18 bytes", compact),
        sentence("a value is a byte string of at most 996 bytes", values),
    };

    return run_sentences("krpc", tests);
}
