#include "crypto/idtext.h"

#include "crypto/identity.h"
#include "unit/crypto/world.h"

/* Seed 00..1f, as UX.md §1 prints it. */
#define ID "ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5"
static const char key_hex[] = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

static void bech32m_good(void **state)
{
    static const char *const good[] = {
        "A1LQFN3A",
        "a1lqfn3a",
        "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
        "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
        "11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
        "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
        "?1v759aa",
    };
    char hrp[BECH32M_HRP_MAX + 1], again[100];
    uint8_t symbols[90];
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(bech32m_decode(good[i], 90, hrp, symbols, sizeof symbols, &n), ERR_OK);
        assert_int_equal(bech32m_encode(hrp, symbols, n, again, sizeof again), ERR_OK);
        assert_string_equal(again, i == 0 ? good[1] : good[i]);
    }
}

static void bech32m_bad(void **state)
{
    static const struct {
        const char *text;
        enum err e;
    } bad[] = {
        {"\x20"
         "1xj0phk",
         ERR_PARSE},
        {"\x7f"
         "1g6xzxy",
         ERR_PARSE},
        {"\x80"
         "1vctc34",
         ERR_PARSE},
        {"an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4",
         ERR_PARSE},
        {"qyrz8wqd2c9m", ERR_PARSE},
        {"1qyrz8wqd2c9m", ERR_PARSE},
        {"y1b0jsk6g", ERR_PARSE},
        {"lt1igcx5c0", ERR_PARSE},
        {"in1muywd", ERR_PARSE},
        {"mm1crxm3i", ERR_PARSE},
        {"au1s5cgom", ERR_PARSE},
        {"M1VUXWEZ", ERR_AUTH},
        {"16plkw9", ERR_PARSE},
        {"1p2gdwpf", ERR_PARSE},
        {"a1Lqfn3a", ERR_PARSE}, /* of both cases */
        {"", ERR_PARSE},
    };
    char hrp[BECH32M_HRP_MAX + 1];
    uint8_t symbols[90];
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(bech32m_decode(bad[i].text, 90, hrp, symbols, sizeof symbols, &n), bad[i].e);
}

/* BIP-350: witness programs are version symbol and bytes. */
static void bech32m_bytes(void **state)
{
    static const char good[] = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0";
    static const char four_bits[] = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf";
    static const char not_zero[] = "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j";
    char hrp[BECH32M_HRP_MAX + 1];
    uint8_t symbols[90], bytes[60], again[90];
    size_t n, len;

    (void)state;
    assert_int_equal(bech32m_decode(good, 90, hrp, symbols, sizeof symbols, &n), ERR_OK);
    assert_true(bech32m_to_bytes(symbols + 1, n - 1, bytes, sizeof bytes, &len));
    assert_int_equal(len, 32);
    assert_hex(bytes, "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
    assert_int_equal(bech32m_from_bytes(slice_of(bytes, len), again), n - 1);
    assert_memory_equal(again, symbols + 1, n - 1);
    assert_false(bech32m_to_bytes(symbols + 1, n - 1, bytes, 31, &len));
    assert_int_equal(bech32m_decode(four_bits, 90, hrp, symbols, sizeof symbols, &n), ERR_OK);
    assert_false(bech32m_to_bytes(symbols + 1, n - 1, bytes, sizeof bytes, &len));
    assert_int_equal(bech32m_decode(not_zero, 90, hrp, symbols, sizeof symbols, &n), ERR_OK);
    assert_false(bech32m_to_bytes(symbols + 1, n - 1, bytes, sizeof bytes, &len));
}

static void out_and_in(void **state)
{
    uint8_t key[32], got[32];
    char text[ID_TEXT_BYTES], node[NODE_TEXT_BYTES], sip[ID_SIP_BYTES], spaced[ID_SPACED_BYTES];

    (void)state;
    unhex(key_hex, key);
    assert_string_equal(id_format(key, text), ID);
    assert_int_equal(id_parse(text, got, NULL, NULL), ERR_OK);
    assert_memory_equal(key, got, 32);
    assert_int_equal(strlen(node_format(key, node)), NODE_TEXT_CHARS);
    assert_memory_equal(node, "iton1q", 6);
    assert_int_equal(node_parse(node, got, NULL), ERR_OK);
    assert_memory_equal(key, got, 32);
    assert_string_equal(id_sip(key, sip), "sip:" ID "@ito.alt");
    assert_string_equal(id_spaced(key, spaced),
                        "ito1 qqws s00l necg tu8t sm5v wwj7 qn9n 7f43 snwj s6hc amjr xgyj "
                        "4xxu qyw8 kn5");
    assert_int_equal(id_parse(spaced, got, NULL, NULL), ERR_OK);
}

static void short_form(void **state)
{
    char out[ID_SHORT_BYTES];

    (void)state;
    assert_string_equal(id_short(ID, false, out), "ito1qqws\xe2\x80\xa6"
                                                  "8kn5");
    assert_string_equal(id_short(ID, true, out), "ito1qqws..8kn5");
    assert_string_equal(id_short("ito1", false, out), "ito1");
}

static void as_people_write_it(void **state)
{
    static const char *const forms[] = {
        ID,
        "ITO1QQWSS00LNECGTU8TSM5VWWJ7QN9N7F43SNWJS6HCAMJRXGYJ4XXUQYW8KN5",
        "Ito1qqwss00LNECGTU8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5",
        "  ito1qqwss-00lnecgt-u8tsm5vwwj7qn9n7f43\r\n  snwjs6hcamjrxgyj4xxuqyw8kn5\n",
        "ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43\xe2\x80\x91snwjs6hcamjrxgyj4xxuqyw8kn5\xe2\x80\x8b\xc2\xa0",
        "ito:" ID,
        "ITO:" ID "?name=Taro",
        "ito:" ID "?other=1&name=Taro#x",
        "sip:" ID "@ito.alt",
        "SIP:" ID "@ITO.ALT",
        "<sip:" ID "@ito.alt;transport=udp>",
        ID "@ito.alt",
    };
    uint8_t got[32];
    char name[ID_NAME_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct err_detail d = {0};

        if (id_parse(forms[i], got, name, &d) != ERR_OK)
            fail_msg("%s: %s", forms[i], d.text);
        assert_hex(got, key_hex);
        assert_string_equal(name, strstr(forms[i], "Taro") != NULL ? "Taro" : "");
    }
}

static void names(void **state)
{
    uint8_t got[32];
    char name[ID_NAME_BYTES];
    static const char seventy[] = "ito:" ID "?name="
                                  "1234567890123456789012345678901234567890123456789012345678901234567890";

    (void)state;
    assert_int_equal(id_parse("ito:" ID "?name=%E5%B1%B1%E7%94%B0%20%E5%A4%AA%E9%83%8E", got, name, NULL),
                     ERR_OK);
    assert_string_equal(name, "\xe5\xb1\xb1\xe7\x94\xb0 \xe5\xa4\xaa\xe9\x83\x8e");
    assert_int_equal(id_parse("ito:" ID "?name=a%E2%80%AEb%00c%07", got, name, NULL), ERR_OK);
    assert_string_equal(name, "abc");
    assert_int_equal(id_parse("ito:" ID "?name=100%", got, name, NULL), ERR_OK);
    assert_string_equal(name, "100%");
    assert_int_equal(id_parse("ito:" ID "?name=", got, name, NULL), ERR_OK);
    assert_string_equal(name, "");
    assert_int_equal(id_parse(seventy, got, name, NULL), ERR_OK);
    assert_int_equal(strlen(name), 64);
}

static void refused(const char *text, enum err e, const char *sentence)
{
    struct err_detail d = {0};
    uint8_t got[32];

    memset(got, 1, 32);
    assert_int_equal(id_parse(text, got, NULL, &d), e);
    assert_string_equal(d.text, sentence);
    assert_true(secret_is_zero(got, 32));
}

static void lengths(void **state)
{
    char longer[2000];

    (void)state;
    refused("ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8k", ERR_PARSE,
            "ID has 61 characters, needs 63.");
    refused(ID "q", ERR_PARSE, "ID has 64 characters, needs 63.");
    refused("", ERR_PARSE, "ID has 0 characters, needs 63.");
    refused("Kenji", ERR_PARSE, "ID has 5 characters, needs 63.");
    memset(longer, 'q', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    refused(longer, ERR_PARSE, "ID has 1999 characters, needs 63.");
}

static void short_forms(void **state)
{
    (void)state;
    refused("ito1qqws\xe2\x80\xa6"
            "8kn5",
            ERR_PARSE, "That is a shortened ID. Ask for all 63 characters.");
    refused("ito1qqws..8kn5", ERR_PARSE, "That is a shortened ID. Ask for all 63 characters.");
}

static void one_typing_error(void **state)
{
    refused("ito1qqwss00lnecgpu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5", ERR_PARSE,
            "ID has a typing error, probably at character 17 (marked ^).\n"
            "ito1qqwss00lnecgpu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5\n"
            "                ^");
    (void)state;
    refused("ITO1-QQWS-S00L-NECGtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kno", ERR_PARSE,
            "ID has a typing error, probably at character 63 (marked ^).\n"
            "ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kno\n"
            "                                                              ^");
    refused("itq1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5", ERR_PARSE,
            "ID has a typing error, probably at character 3 (marked ^).\n"
            "itq1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5\n"
            "  ^");
}

/* Every place and every character: the one typing error is found where it is. */
static void every_typing_error(void **state)
{
    static const char letters[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l1bio";
    char text[] = ID, expected[128];
    struct err_detail d;
    uint8_t got[32];

    (void)state;
    for (size_t i = 0; i < ID_TEXT_CHARS; i++) {
        char right = text[i];

        for (size_t j = i % 7; j < sizeof letters - 1; j += 7) {
            if (letters[j] == right)
                continue;
            text[i] = letters[j];
            snprintf(expected, sizeof expected,
                     "ID has a typing error, probably at character %zu (marked ^).\n", i + 1);
            assert_int_equal(id_parse(text, got, NULL, &d), ERR_PARSE);
            assert_memory_equal(d.text, expected, strlen(expected));
        }
        text[i] = right;
    }
}

static void two_typing_errors(void **state)
{
    (void)state;
    refused("ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqwy8kn5", ERR_PARSE, /* swapped */
            "ID has 2 typing errors, probably at characters 58 and 59 (marked ^).\n"
            "ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqwy8kn5\n"
            "                                                         ^^");
    refused("ito1pqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn4", ERR_PARSE,
            "ID has 2 typing errors, probably at characters 5 and 63 (marked ^).\n"
            "ito1pqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn4\n"
            "    ^                                                         ^");
    refused("ito1oqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn4",
            ERR_PARSE, /* one unknown, one wrong */
            "ID has 2 typing errors, probably at characters 5 and 63 (marked ^).\n"
            "ito1oqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn4\n"
            "    ^                                                         ^");
}

static void many_typing_errors(void **state)
{
    (void)state;
    refused("ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43qqqqqqhcamjrxgyj4xxuqyw8kn5", ERR_PARSE,
            "ID has several typing errors. Ask for it again.");
    refused("###############################################################", ERR_PARSE,
            "ID has several typing errors. Ask for it again.");
}

static void versions_and_keys(void **state)
{
    uint8_t symbols[53] = {3}, key[32];
    char text[100];

    (void)state;
    assert_int_equal(bech32m_encode("ito", symbols, 53, text, sizeof text), ERR_OK);
    refused(text, ERR_VERSION, "ID is version 3; this ito knows version 0. Update ito.");
    for (size_t i = 0; i < N_BAD_POINTS; i++) {
        unhex(bad_points[i], key);
        refused(id_format(key, text), ERR_PARSE, "ID is well written but is not a key.");
    }
    unhex(key_hex, key);
    symbols[0] = 0;
    bech32m_from_bytes(slice_of(key, 32), symbols + 1);
    symbols[52] |= 1; /* padding */
    assert_int_equal(bech32m_encode("ito", symbols, 53, text, sizeof text), ERR_OK);
    refused(text, ERR_PARSE, "ID is well written but is not a key.");
}

static void other_kinds(void **state)
{
    char text[NODE_TEXT_BYTES];
    struct err_detail d;
    uint8_t key[32];

    (void)state;
    unhex(key_hex, key);
    refused(node_format(key, text), ERR_PARSE, "That is the name of a node, not the ID of a person.");
    assert_int_equal(node_parse(ID, key, &d), ERR_PARSE);
    assert_string_equal(d.text, "That is the ID of a person, not the name of a node.");
    assert_int_equal(node_parse("iton1q", key, &d), ERR_PARSE);
    assert_string_equal(d.text, "Node name has 6 characters, needs 64.");
    refused("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", ERR_PARSE,
            "ID starts with ito1, this with bc1.");
    refused(ID "@example.org", ERR_PARSE,
            "An ID ends in @ito.alt or has no @; this one ends in @example.org.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the valid strings of BIP-350 decode, and encode to themselves", bech32m_good),
        sentence("the invalid strings of BIP-350 do not", bech32m_bad),
        sentence("padding of more than 4 bits, or not zero, is refused (BIP-350)", bech32m_bytes),
        sentence("seed 00..1f has the ID that UX.md prints, in all forms", out_and_in),
        sentence("the short form is 8 characters, an ellipsis, 4 characters", short_form),
        sentence("any case, spaces, hyphens, lines, ito: and sip: forms are read", as_people_write_it),
        sentence("a name is decoded, cleaned of what deceives, and cut at 64 bytes", names),
        sentence("a wrong length is told", lengths),
        sentence("a shortened ID is told from a wrong one", short_forms),
        sentence("one typing error is placed and marked", one_typing_error),
        sentence("one typing error is found at every place", every_typing_error),
        sentence("two typing errors are placed, swapped neighbours too", two_typing_errors),
        sentence("where there are many, no place is invented", many_typing_errors),
        sentence("other versions, bad points and padding have their own sentences", versions_and_keys),
        sentence("nodes, IDs and other people's Bech32m are not mixed up", other_kinds),
    };

    return crypto_init() == ERR_OK ? run_sentences("idtext", tests) : 1;
}
