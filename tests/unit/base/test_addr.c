#include "unit/test.h"

#include "base/addr.h"

static void round_trip(const char *in, const char *out, enum addr_class class)
{
    char text[ADDR_TEXT_BYTES];
    struct addr a, b;
    uint8_t buf[32];
    struct wr w;
    struct rd r;

    assert_int_equal(addr_parse(in, &a), ERR_OK);
    assert_string_equal(addr_print(&a, text), out);
    assert_int_equal(addr_class(&a), class);
    wr_init(&w, buf, sizeof buf);
    addr_write(&w, &a);
    rd_init(&r, wr_done(&w));
    addr_read(&r, &b);
    assert_true(rd_done(&r));
    assert_true(addr_equal(&a, &b));
}

static void texts(void **state)
{
    (void)state;
    round_trip("1.2.3.4:5", "1.2.3.4:5", ADDR_GLOBAL);
    round_trip("203.0.113.9:1", "203.0.113.9:1", ADDR_GLOBAL);
    round_trip("198.51.100.1", "198.51.100.1", ADDR_GLOBAL);
    round_trip("[2001:db8::1]:7", "[2001:db8::1]:7", ADDR_GLOBAL);
    round_trip("::1", "::1", ADDR_LOOPBACK);
    round_trip("[::ffff:10.0.0.1]:9", "10.0.0.1:9", ADDR_PRIVATE);
    round_trip("100.64.1.1:9", "100.64.1.1:9", ADDR_PRIVATE);
    round_trip("169.254.1.1:9", "169.254.1.1:9", ADDR_LINK_LOCAL);
    round_trip("[fe80::1]:9", "[fe80::1]:9", ADDR_LINK_LOCAL);
    round_trip("[fd00::1]:9", "[fd00::1]:9", ADDR_PRIVATE);
    round_trip("224.0.0.1:9", "224.0.0.1:9", ADDR_UNUSABLE);
    round_trip("0.0.0.0:9", "0.0.0.0:9", ADDR_UNUSABLE);
    round_trip("[64:ff9b::7f00:1]:9", "[64:ff9b::7f00:1]:9", ADDR_LOOPBACK);
    round_trip("[2002:a00:1::]:9", "[2002:a00:1::]:9", ADDR_PRIVATE);
}

static void bad_texts(void **state)
{
    static const char *const bad[] = {"",     "1.2.3",  "1.2.3.4:",      "1.2.3.4:65536", "1.2.3.4:5x",
                                      "[::1", "[::1]5", "example.org:5", "1.2.3.4:-1",    "::1:::"};
    struct addr a;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(addr_parse(bad[i], &a), ERR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("every class of address survives text and wire", texts),
        sentence("what is not an address is refused", bad_texts),
    };

    return run_sentences("addr", tests);
}
