#include "unit/test.h"

#include "nat/candidate.h"

static enum err parse(const char *text, struct candidate *c)
{
    return candidate_parse(slice_str(text), c);
}

static void rfc_examples(void **state)
{
    struct candidate c;
    char text[ADDR_TEXT_BYTES];

    (void)state;
    /* RFC 8839 §5.1 */
    assert_int_equal(parse("candidate:1 1 UDP 2130706431 203.0.113.141 8998 typ host", &c), ERR_OK);
    assert_int_equal(c.type, CANDIDATE_HOST);
    assert_int_equal(c.priority, 2130706431);
    assert_string_equal(addr_print(&c.addr, text), "203.0.113.141:8998");
    assert_int_equal(parse("2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998", &c),
                     ERR_OK);
    assert_int_equal(c.type, CANDIDATE_SRFLX);
    assert_string_equal(addr_print(&c.related, text), "203.0.113.141:8998");
    assert_int_equal(parse("candidate:3 1 udp 1 2001:db8::1 5 typ relay raddr :: rport 9 generation 0", &c),
                     ERR_OK);
    assert_int_equal(c.type, CANDIDATE_RELAYED);
    assert_int_equal(c.related.family, ADDR_NONE);
    assert_string_equal(addr_print(&c.addr, text), "[2001:db8::1]:5");
}

static void printed_is_parsed_again(void **state)
{
    struct addr a, base;
    struct candidate c, again;
    char text[CANDIDATE_TEXT_BYTES], text2[CANDIDATE_TEXT_BYTES];

    (void)state;
    assert_int_equal(addr_parse("[2001:db8::2]:40000", &a), ERR_OK);
    assert_int_equal(addr_parse("192.168.1.2:4000", &base), ERR_OK);
    for (int type = CANDIDATE_HOST; type <= CANDIDATE_RELAYED; type++) {
        for (int with_base = 0; with_base < 2; with_base++) {
            c = candidate_make((enum candidate_type)type, &a, with_base ? &base : NULL, 0, 65535);
            candidate_print(&c, text);
            assert_int_equal(parse(text, &again), ERR_OK);
            assert_string_equal(candidate_print(&again, text2), text);
        }
    }
    c = candidate_make(CANDIDATE_HOST, &base, NULL, 0, 65535);
    c.foundation[0] = '1';
    c.foundation[1] = '\0';
    assert_string_equal(candidate_print(&c, text), "candidate:1 1 udp 2130706431 192.168.1.2 4000 typ host");
}

static void priorities(void **state)
{
    (void)state;
    assert_int_equal(candidate_priority(CANDIDATE_HOST, 65535), 2130706431);
    assert_int_equal(candidate_priority(CANDIDATE_SRFLX, 65535), 1694498815);
    assert_true(candidate_priority(CANDIDATE_PRFLX, 0) > candidate_priority(CANDIDATE_SRFLX, 65535));
    assert_true(candidate_priority(CANDIDATE_RELAYED, 65535) < candidate_priority(CANDIDATE_SRFLX, 0));
    assert_true(candidate_pair_priority(5, 3) == (3ull << 32) + 11);
    assert_true(candidate_pair_priority(3, 5) == (3ull << 32) + 10);
}

static void foundations(void **state)
{
    struct addr a, b, mapped;
    struct candidate x, y;

    (void)state;
    assert_int_equal(addr_parse("192.168.1.2:4000", &a), ERR_OK);
    assert_int_equal(addr_parse("192.168.1.2:4001", &b), ERR_OK);
    assert_int_equal(addr_parse("203.0.113.1:4001", &mapped), ERR_OK);
    x = candidate_make(CANDIDATE_HOST, &a, NULL, 0, 65535);
    y = candidate_make(CANDIDATE_HOST, &b, NULL, 0, 65535);
    assert_string_equal(x.foundation, y.foundation); /* same type, same IP */
    y = candidate_make(CANDIDATE_SRFLX, &mapped, &a, 0, 65535);
    assert_string_not_equal(x.foundation, y.foundation);
}

static void refused(void **state)
{
    static const struct {
        const char *text;
        enum err e;
    } cases[] = {
        {"", ERR_PARSE},
        {"candidate:", ERR_PARSE},
        {"candidate:1 1 udp 1 1.2.3.4 5 typ", ERR_PARSE},
        {"candidate:1 1 udp 1 1.2.3.4 5 type host", ERR_PARSE},
        {"candidate:1 1 udp 0 1.2.3.4 5 typ host", ERR_PARSE},
        {"candidate:1 1 udp 2147483648 1.2.3.4 5 typ host", ERR_PARSE},
        {"candidate:1 1 udp 1 1.2.3.4 0 typ host", ERR_PARSE},
        {"candidate:1 1 udp 1 1.2.3.4 65536 typ host", ERR_PARSE},
        {"candidate:1 1 udp 1 1.2.3.4:7 5 typ host", ERR_PARSE},
        {"candidate:1 1 udp 1 [::1] 5 typ host", ERR_PARSE},
        {"candidate:1 1 udp 1 1.2.3.4 -5 typ host", ERR_PARSE},
        {"candidate:_ 1 udp 1 1.2.3.4 5 typ host", ERR_PARSE},
        {"candidate:123456789012345678901234567890123 1 udp 1 1.2.3.4 5 typ host", ERR_PARSE},
        {"candidate:1 1 udp 1 1.2.3.4 5 typ host generation", ERR_PARSE},
        {"candidate:1 1 udp 1 1.2.3.4 5 typ srflx raddr 1.2.3.4 rport x", ERR_PARSE},
        {"candidate:1 1 udp 1 1.2.3.4 5 typ host\r\nm=audio", ERR_PARSE},
        {"candidate:1 2 udp 1 1.2.3.4 5 typ host", ERR_UNSUPPORTED},
        {"candidate:1 1 tcp 1 1.2.3.4 9 typ host tcptype active", ERR_UNSUPPORTED},
        {"candidate:1 1 udp 1 evil.example.org 5 typ host", ERR_UNSUPPORTED},
        {"candidate:1 1 udp 1 4c2b.local 5 typ host", ERR_UNSUPPORTED},
        {"candidate:1 1 udp 1 1.2.3.4 5 typ warp", ERR_UNSUPPORTED},
    };
    struct candidate c;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (parse(cases[i].text, &c) != cases[i].e)
            fail_msg("%s", cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the candidates of RFC 8839 are read", rfc_examples),
        sentence("what is printed is parsed again to the same text", printed_is_parsed_again),
        sentence("priorities are those of RFC 8445", priorities),
        sentence("foundations are equal for one type and base address", foundations),
        sentence("malformed, TCP and named candidates are refused, each by its error", refused),
    };

    return run_sentences("candidate", tests);
}
