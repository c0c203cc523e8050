#include "unit/test.h"

#include "nat/stun.h"

#define BYTES(text) slice_of(text, sizeof(text) - 1)

/* RFC 5769 §2.1 */
static const char request[] =
    "\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
    "\x80\x22\x00\x10STUN test client"
    "\x00\x24\x00\x04\x6e\x00\x01\xff"
    "\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36"
    "\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20"
    "\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5"
    "\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2"
    "\x80\x28\x00\x04\xe5\x7a\x3b\xcf";
/* RFC 5769 §2.2 */
static const char response4[] =
    "\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
    "\x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20"
    "\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43"
    "\x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9"
    "\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7"
    "\x80\x28\x00\x04\xc0\x7d\x4c\x96";
/* RFC 5769 §2.3 */
static const char response6[] =
    "\x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
    "\x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20"
    "\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9"
    "\x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c"
    "\x82\x92\xc2\x75\xbf\xe3\xed\x41"
    "\x80\x28\x00\x04\xc8\xfb\x0b\x4c";
/* RFC 5769 §2.4; the user name is six katakana */
#define MATRIX "\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9"
static const char long_term[] =
    "\x00\x01\x00\x60\x21\x12\xa4\x42\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e"
    "\x00\x06\x00\x12" MATRIX "\x00\x00"
    "\x00\x15\x00\x1c"
    "f//499k954d6OL34oL9FSTvy64sA"
    "\x00\x14\x00\x0b"
    "example.org\x00"
    "\x00\x08\x00\x14\xf6\x70\x24\x65\x6d\xd6\x4a\x3e\x02\xb8\xe0\x71\x2e\x85\xc9\xa2\x8c\xa8\x96\x66";
/* RFC 8489 appendix B.1 with erratum 6268 */
static const char sha256[] =
    "\x00\x01\x00\x90\x21\x12\xa4\x42\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e"
    "\x00\x1e\x00\x20\x4a\x3c\xf3\x8f\xef\x69\x92\xbd\xa9\x52\xc6\x78\x04\x17\xda\x0f"
    "\x24\x81\x94\x15\x56\x9e\x60\xb2\x05\xc4\x6e\x41\x40\x7f\x17\x04"
    "\x00\x15\x00\x29"
    "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA\x00\x00\x00"
    "\x00\x14\x00\x0b"
    "example.org\x00"
    "\x00\x1d\x00\x04\x00\x02\x00\x00"
    "\x00\x1c\x00\x20\xb5\xc7\xbf\x00\x5b\x6c\x52\xa2\x1c\x51\xc5\xe8\x92\xf8\x19\x24"
    "\x13\x62\x96\xcb\x92\x7c\x43\x14\x93\x09\x27\x8c\xc6\x51\x8e\x65";
static const char password[] = "VOkJxbRl1RmTxUk/WvJxBt";

static struct addr at(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(text, &a), ERR_OK);
    return a;
}

static void sample_request(void **state)
{
    struct stun_msg m;

    (void)state;
    assert_int_equal(stun_parse(BYTES(request), &m), ERR_OK);
    assert_int_equal(m.cls, STUN_REQUEST);
    assert_int_equal(m.method, STUN_BINDING);
    assert_true(slice_is(m.software, "STUN test client"));
    assert_true(slice_is(m.username, "evtj:h6vY"));
    assert_int_equal(m.priority, 0x6e0001ff);
    assert_true(m.has_ice_controlled && !m.has_ice_controlling);
    assert_true(m.ice_controlled == 0x932ff9b151263b36);
    assert_true(m.has_fingerprint);
    assert_int_equal(m.n_unknown, 0);
    assert_int_equal(stun_check_integrity(&m, slice_str(password)), ERR_OK);
    assert_int_equal(stun_check_integrity(&m, slice_str("VOkJxbRl1RmTxUk/WvJxBu")), ERR_AUTH);
}

static void sample_responses(void **state)
{
    struct stun_msg m;
    struct addr want4 = at("192.0.2.1:32853"), want6 = at("[2001:db8:1234:5678:11:2233:4455:6677]:32853");

    (void)state;
    assert_int_equal(stun_parse(BYTES(response4), &m), ERR_OK);
    assert_int_equal(m.cls, STUN_SUCCESS);
    assert_true(slice_is(m.software, "test vector"));
    assert_true(addr_equal(&m.mapped, &want4));
    assert_int_equal(stun_check_integrity(&m, slice_str(password)), ERR_OK);
    assert_int_equal(stun_parse(BYTES(response6), &m), ERR_OK);
    assert_true(addr_equal(&m.mapped, &want6));
    assert_int_equal(stun_check_integrity(&m, slice_str(password)), ERR_OK);
}

static void sample_long_term(void **state)
{
    uint8_t key[STUN_SHA1_KEY_BYTES];
    struct stun_msg m;

    (void)state;
    assert_int_equal(stun_parse(BYTES(long_term), &m), ERR_OK);
    assert_true(slice_is(m.nonce, "f//499k954d6OL34oL9FSTvy64sA"));
    stun_long_term_key(m.username, m.realm, slice_str("TheMatrIX"), key);
    assert_int_equal(stun_check_integrity(&m, slice_of(key, sizeof key)), ERR_OK);
    assert_false(m.has_fingerprint);
}

static void sample_sha256(void **state)
{
    uint8_t key[STUN_SHA256_BYTES], hash[STUN_SHA256_BYTES];
    struct stun_msg m;

    (void)state;
    assert_int_equal(stun_parse(BYTES(sha256), &m), ERR_OK);
    stun_userhash(slice_str(MATRIX), m.realm, hash);
    assert_true(slice_equal(m.userhash, slice_of(hash, sizeof hash)));
    assert_int_equal(m.password_algorithm, STUN_ALGORITHM_SHA256);
    stun_long_term_key_sha256(slice_str(MATRIX), m.realm, slice_str("TheMatrIX"), key);
    assert_int_equal(stun_check_integrity(&m, slice_of(key, sizeof key)), ERR_OK);
    key[0] ^= 1;
    assert_int_equal(stun_check_integrity(&m, slice_of(key, sizeof key)), ERR_AUTH);
}

static void writer_makes_the_vectors(void **state)
{
    uint8_t buf[256], key[STUN_SHA1_KEY_BYTES];
    struct addr want = at("192.0.2.1:32853");
    struct stun_wr w;
    struct stun_msg m;

    (void)state;
    stun_begin(&w, buf, sizeof buf, STUN_REQUEST, STUN_BINDING, (const uint8_t *)long_term + 8);
    stun_put(&w, STUN_USERNAME, slice_str(MATRIX));
    stun_put(&w, STUN_NONCE, slice_str("f//499k954d6OL34oL9FSTvy64sA"));
    stun_put(&w, STUN_REALM, slice_str("example.org"));
    stun_long_term_key(slice_str(MATRIX), slice_str("example.org"), slice_str("TheMatrIX"), key);
    stun_put_integrity(&w, slice_of(key, sizeof key));
    assert_true(slice_equal(stun_end(&w), BYTES(long_term)));

    /* Padding in the RFC's other samples is of spaces, ours of zeros: write, then read back. */
    stun_begin(&w, buf, sizeof buf, STUN_SUCCESS, STUN_BINDING, (const uint8_t *)response4 + 8);
    stun_put(&w, STUN_SOFTWARE, slice_str("test vector"));
    stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, &want);
    assert_memory_equal(buf + 36, response4 + 36, 12);
    stun_put_integrity(&w, slice_str(password));
    stun_put_fingerprint(&w);
    assert_int_equal(stun_parse(stun_end(&w), &m), ERR_OK);
    assert_true(m.has_fingerprint && addr_equal(&m.mapped, &want));
    assert_int_equal(stun_check_integrity(&m, slice_str(password)), ERR_OK);
}

static void every_attribute_comes_back(void **state)
{
    const uint8_t id[STUN_ID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    struct addr a = at("198.51.100.7:3478"), b = at("[2001:db8::9]:49152");
    const uint16_t unknown[3] = {0x7001, 0x7002, 0x7003};
    uint8_t buf[1024];
    struct stun_wr w;
    struct stun_msg m;

    (void)state;
    stun_begin(&w, buf, sizeof buf, STUN_ERROR, TURN_ALLOCATE, id);
    stun_put_error(&w, STUN_STALE_NONCE, stun_code_text(STUN_STALE_NONCE));
    stun_put_unknown(&w, unknown, 3);
    stun_put_u32(&w, STUN_LIFETIME, 600);
    stun_put_u16(&w, STUN_CHANNEL_NUMBER, 0x4001);
    stun_put_u8(&w, STUN_REQUESTED_TRANSPORT, STUN_TRANSPORT_UDP);
    stun_put_u8(&w, STUN_REQUESTED_FAMILY, STUN_FAMILY_V6);
    stun_put_u8(&w, STUN_ADDITIONAL_FAMILY, STUN_FAMILY_V6);
    stun_put_even_port(&w, true);
    stun_put_flag(&w, STUN_DONT_FRAGMENT);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &a);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &b);
    stun_put_addr(&w, STUN_XOR_RELAYED_ADDRESS, &b);
    stun_put_addr(&w, STUN_ALTERNATE_SERVER, &a);
    stun_put_addr(&w, STUN_OTHER_ADDRESS, &b);
    stun_put_addr(&w, STUN_RESPONSE_ORIGIN, &a);
    stun_put(&w, STUN_DATA, slice_str("hello"));
    stun_put(&w, STUN_RESERVATION_TOKEN, slice_str("8 bytes!"));
    stun_put_u32(&w, STUN_PRIORITY, 42);
    stun_put_flag(&w, STUN_USE_CANDIDATE);
    stun_put_flag(&w, STUN_LEAVING);
    stun_put_u64(&w, STUN_ICE_CONTROLLING, 0x0102030405060708);
    stun_put_u32(&w, STUN_CHANGE_REQUEST, STUN_CHANGE_IP | STUN_CHANGE_PORT);
    stun_put(&w, STUN_PASSWORD_ALGORITHMS, slice_of("\0\2\0\0\0\1\0\0", 8));
    stun_put_fingerprint(&w);
    assert_int_equal(stun_parse(stun_end(&w), &m), ERR_OK);

    assert_int_equal(m.cls, STUN_ERROR);
    assert_int_equal(m.method, TURN_ALLOCATE);
    assert_memory_equal(m.id, id, sizeof id);
    assert_int_equal(m.error_code, 438);
    assert_true(slice_is(m.error_reason, "Stale Nonce"));
    assert_int_equal(m.n_unknown_answer, 3);
    assert_int_equal(m.unknown_answer[2], 0x7003);
    assert_true(m.has_lifetime && m.lifetime_s == 600);
    assert_true(m.has_channel && m.channel == 0x4001);
    assert_true(m.has_transport && m.transport == STUN_TRANSPORT_UDP);
    assert_true(m.has_family && m.family == STUN_FAMILY_V6 && m.additional_family == STUN_FAMILY_V6);
    assert_true(m.has_even_port && m.wants_next_port && m.has_dont_fragment);
    assert_int_equal(m.n_peers, 2);
    assert_true(addr_equal(&m.peers[0], &a) && addr_equal(&m.peers[1], &b));
    assert_int_equal(m.n_relayed, 1);
    assert_true(addr_equal(&m.relayed[0], &b));
    assert_true(addr_equal(&m.alternate_server, &a) && addr_equal(&m.other_address, &b));
    assert_true(addr_equal(&m.response_origin, &a));
    assert_true(slice_is(m.data, "hello") && slice_is(m.reservation_token, "8 bytes!"));
    assert_true(m.has_priority && m.priority == 42 && m.has_use_candidate && m.has_leaving);
    assert_true(m.has_ice_controlling && m.ice_controlling == 0x0102030405060708);
    assert_int_equal(m.change_request, 6);
    assert_int_equal(m.n_password_algorithms, 2);
    assert_int_equal(m.password_algorithms[0], STUN_ALGORITHM_SHA256);
}

static void types_split_and_join(void **state)
{
    (void)state;
    assert_int_equal(stun_type(STUN_SUCCESS, STUN_BINDING), 0x0101);
    assert_int_equal(stun_type(STUN_ERROR, TURN_ALLOCATE), 0x0113);
    assert_int_equal(stun_type(STUN_INDICATION, TURN_SEND), 0x0016);
    assert_int_equal(stun_type(STUN_REQUEST, TURN_CHANNEL_BIND), 0x0009);
    for (unsigned method = 0; method < 0x100; method++) {
        for (int cls = 0; cls < 4; cls++) {
            uint8_t buf[STUN_HEADER_BYTES], id[STUN_ID_BYTES] = {0};
            struct stun_wr w;
            struct stun_msg m;

            stun_begin(&w, buf, sizeof buf, (enum stun_class)cls, (uint16_t)method, id);
            assert_int_equal(stun_parse(stun_end(&w), &m), ERR_OK);
            assert_int_equal(m.method, method);
            assert_int_equal(m.cls, cls);
        }
    }
}

static void damage_is_refused(void **state)
{
    uint8_t copy[sizeof request];
    struct stun_msg m;

    (void)state;
    for (size_t i = 0; i < sizeof request - 1; i++) { /* the fingerprint covers every byte */
        memcpy(copy, request, sizeof request);
        copy[i] ^= 0x10;
        assert_false(stun_parse(slice_of(copy, sizeof request - 1), &m) == ERR_OK && m.has_fingerprint);
    }
    for (size_t n = 0; n < sizeof request - 1; n++)
        assert_int_equal(stun_parse(slice_of(request, n), &m), ERR_PARSE);
    memcpy(copy, request, sizeof request);
    assert_int_equal(stun_parse(slice_of(copy, sizeof request), &m), ERR_PARSE); /* one byte too many */
}

static void after_integrity_nothing_counts(void **state)
{
    const uint8_t id[STUN_ID_BYTES] = {9};
    uint8_t buf[256];
    struct stun_wr w;
    struct stun_msg m;

    (void)state;
    stun_begin(&w, buf, sizeof buf, STUN_REQUEST, STUN_BINDING, id);
    stun_put_integrity(&w, slice_str("key"));
    stun_put_flag(&w, STUN_USE_CANDIDATE);
    stun_put_integrity_sha256(&w, slice_str("key"));
    stun_put_u32(&w, STUN_PRIORITY, 1);
    assert_int_equal(stun_parse(stun_end(&w), &m), ERR_OK);
    assert_false(m.has_use_candidate || m.has_priority);
    assert_int_equal(stun_check_integrity(&m, slice_str("key")), ERR_OK);
    assert_int_equal(stun_check_integrity(&m, slice_str("kez")), ERR_AUTH);
}

static void unknown_required_attributes_are_listed(void **state)
{
    const uint8_t id[STUN_ID_BYTES] = {9};
    uint8_t buf[256];
    struct stun_wr w;
    struct stun_msg m;

    (void)state;
    stun_begin(&w, buf, sizeof buf, STUN_REQUEST, STUN_BINDING, id);
    for (uint16_t i = 0; i < STUN_UNKNOWN_MAX + 3; i++)
        stun_put_u32(&w, (uint16_t)(0x7000 + i), 0);
    stun_put_u32(&w, 0xf000, 0);
    assert_int_equal(stun_parse(stun_end(&w), &m), ERR_OK);
    assert_int_equal(m.n_unknown, STUN_UNKNOWN_MAX);
    assert_int_equal(m.unknown[0], 0x7000);
}

static void caps_hold(void **state)
{
    const uint8_t id[STUN_ID_BYTES] = {9};
    struct addr a = at("198.51.100.7:3478");
    uint8_t buf[256];
    struct stun_wr w;
    struct stun_msg m;

    (void)state;
    for (int n = STUN_PEERS_MAX; n <= STUN_PEERS_MAX + 1; n++) {
        stun_begin(&w, buf, sizeof buf, STUN_REQUEST, TURN_CREATE_PERMISSION, id);
        for (int i = 0; i < n; i++)
            stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &a);
        assert_int_equal(stun_parse(stun_end(&w), &m), n == STUN_PEERS_MAX ? ERR_OK : ERR_PARSE);
    }
    stun_begin(&w, buf, 30, STUN_REQUEST, STUN_BINDING, id); /* a message that does not fit is empty */
    stun_put(&w, STUN_SOFTWARE, slice_str("a long name of a program"));
    stun_put_integrity(&w, slice_str("key"));
    stun_put_fingerprint(&w);
    assert_int_equal(stun_end(&w).len, 0);
}

static void channel_data(void **state)
{
    uint8_t buf[64];
    struct slice frame = stun_channel_write(buf, sizeof buf, 0x4abc, slice_str("hello")), data;
    uint16_t channel;
    size_t n;

    (void)state;
    assert_int_equal(frame.len, 9);
    assert_int_equal(stun_channel_parse(frame, &channel, &data), ERR_OK);
    assert_int_equal(channel, 0x4abc);
    assert_true(slice_is(data, "hello"));
    assert_int_equal(stun_channel_parse(slice_of(buf, 8), &channel, &data), ERR_PARSE);
    assert_int_equal(stun_frame_bytes(frame, &n), ERR_OK);
    assert_int_equal(n, 12);
    assert_int_equal(stun_frame_bytes(BYTES(request), &n), ERR_OK);
    assert_int_equal(n, sizeof request - 1);
    assert_int_equal(stun_frame_bytes(slice_str("IN"), &n), ERR_OK); /* 'I' is 0x49: may be a channel */
    assert_int_equal(n, 0);
    assert_int_equal(stun_frame_bytes(slice_str("GET /"), &n), ERR_OK);
    assert_int_equal(stun_frame_bytes(slice_str("\xff\x00"), &n), ERR_PARSE);
    frame = stun_channel_write(buf, sizeof buf, 0x5000, slice_str("x"));
    assert_int_equal(stun_channel_parse(frame, &channel, &data), ERR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("RFC 5769 2.1: the sample request is read and its password checks", sample_request),
        sentence("RFC 5769 2.2, 2.3: the sample responses give their addresses", sample_responses),
        sentence("RFC 5769 2.4: the long-term request checks under the MD5 key", sample_long_term),
        sentence("RFC 8489 B.1: user hash and SHA-256 integrity check", sample_sha256),
        sentence("the writer makes the bytes of the vectors", writer_makes_the_vectors),
        sentence("every attribute that is written is read back", every_attribute_comes_back),
        sentence("class and method split and join for every method of RFC 7983 demultiplexing",
                 types_split_and_join),
        sentence("a message with any byte changed or cut is refused", damage_is_refused),
        sentence("attributes after the integrity do not count", after_integrity_nothing_counts),
        sentence("unknown comprehension-required attributes are listed",
                 unknown_required_attributes_are_listed),
        sentence("caps hold, and a message that does not fit is empty", caps_hold),
        sentence("ChannelData is framed over UDP and TCP", channel_data),
    };

    return run_sentences("stun", tests);
}
