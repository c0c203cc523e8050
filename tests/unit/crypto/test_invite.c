#include "crypto/invite.h"

#include "crypto/identity.h"
#include "unit/crypto/world.h"

static void make(struct invite *inv, uint8_t n)
{
    memset(inv, 0, sizeof *inv);
    unhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8", inv->A);
    inv->expires_s = 1795910400;
    memset(inv->I, 0x11, sizeof inv->I);
    memset(inv->zone_id, 0x22, sizeof inv->zone_id);
    inv->n_addrs = n;
    for (uint8_t i = 0; i < n; i++)
        assert_int_equal(addr_parse(i % 2 == 0 ? "[2001:db8::1]:41641" : "192.0.2.1:41641", &inv->addrs[i]),
                         ERR_OK);
}

static void round_trip(void **state)
{
    char text[INVITE_TEXT_BYTES];
    struct invite inv, got;

    (void)state;
    for (uint8_t n = 0; n <= INVITE_ADDRS_MAX; n++) {
        make(&inv, n);
        assert_int_equal(invite_format(&inv, text), ERR_OK);
        assert_memory_equal(text, "ito:ito1q", 9);
        assert_non_null(strstr(text, "?i=itoi1"));
        assert_true(invite_is(text));
        assert_int_equal(invite_parse(text, &got, NULL), ERR_OK);
        assert_memory_equal(&inv, &got, sizeof got);
    }
    make(&inv, 2);
    inv.is_link = true;
    assert_int_equal(invite_format(&inv, text), ERR_OK);
    assert_non_null(strstr(text, "?l=itol1"));
    assert_true(invite_is_link(text) && !invite_is(text));
    assert_int_equal(invite_parse(text, &got, NULL), ERR_OK);
    assert_memory_equal(&inv, &got, sizeof got);
    strstr(text, "?l=")[1] = 'i'; /* the one is not taken for the other */
    assert_int_equal(invite_parse(text, &got, NULL), ERR_PARSE);
    inv.n_addrs = INVITE_ADDRS_MAX + 1;
    assert_int_equal(invite_format(&inv, text), ERR_RANGE);
    assert_string_equal(text, "");
}

static void mangled_by_mail(void **state)
{
    char text[INVITE_TEXT_BYTES], mail[2 * INVITE_TEXT_BYTES] = "";
    struct invite inv, got;

    (void)state;
    make(&inv, 3);
    assert_int_equal(invite_format(&inv, text), ERR_OK);
    for (size_t i = 0, at = 0; text[i] != '\0'; i++) {
        if (i % 60 == 59)
            at += (size_t)sprintf(mail + at, "\r\n ");
        at += (size_t)sprintf(mail + at, "%c", i % 3 == 0 && text[i] >= 'a' ? text[i] - 32 : text[i]);
    }
    strcat(mail, "&name=Taro ");
    assert_int_equal(invite_parse(mail, &got, NULL), ERR_OK);
    assert_memory_equal(got.I, inv.I, sizeof inv.I);
    assert_string_equal(got.name, "Taro");
}

static void refused(const char *text, enum err e, const char *sentence)
{
    struct err_detail d = {0};
    struct invite got;

    memset(&got, 1, sizeof got);
    assert_int_equal(invite_parse(text, &got, &d), e);
    assert_string_equal(d.text, sentence);
    assert_true(secret_is_zero(&got, sizeof got));
}

static void mistakes(void **state)
{
    char text[INVITE_TEXT_BYTES];
    struct invite inv;
    size_t len;

    (void)state;
    make(&inv, 2);
    assert_int_equal(invite_format(&inv, text), ERR_OK);
    len = strlen(text);
    text[len - 1] = text[len - 1] == 'q' ? 'p' : 'q';
    refused(text, ERR_PARSE, "Invite is cut off or has a typing error. Copy all of it again.");
    text[len - 20] = '\0';
    refused(text, ERR_PARSE, "Invite is cut off or has a typing error. Copy all of it again.");
    text[4 + ID_TEXT_CHARS] = '\0';
    assert_false(invite_is(text));
    refused(text, ERR_PARSE, "That is no invite: it has no i= part.");
    refused("ito:ito1qqws?i=itoi1abc", ERR_PARSE, "ID has 8 characters, needs 63.");
}

static void odd_contents(void **state)
{
    static const char id[] = "ito:ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5?i=";
    uint8_t raw[31] = {2}, symbols[60];
    char code[100], text[200];

    (void)state;
    bech32m_encode("itoi", symbols, bech32m_from_bytes(slice_of(raw, 30), symbols), code, sizeof code);
    snprintf(text, sizeof text, "%s%s", id, code);
    refused(text, ERR_VERSION, "Invite is version 2; this ito knows version 1. Update ito.");
    raw[0] = 1;
    bech32m_encode("itoi", symbols, bech32m_from_bytes(slice_of(raw, 31), symbols), code, sizeof code);
    snprintf(text, sizeof text, "%s%s", id, code);
    refused(text, ERR_PARSE, "Invite is well written but makes no sense. Ask for another.");
    raw[29] = 9; /* addresses */
    bech32m_encode("itoi", symbols, bech32m_from_bytes(slice_of(raw, 30), symbols), code, sizeof code);
    snprintf(text, sizeof text, "%s%s", id, code);
    refused(text, ERR_PARSE, "Invite is well written but makes no sense. Ask for another.");
}

static void secret(void **state)
{
    struct invite inv;
    uint8_t x[32];

    (void)state;
    make(&inv, 0);
    invite_secret(inv.A, inv.I, x);
    assert_hex(
        x,
        "40321800109c0504b28a93b811f30eb3b5d0508e27ec8528b4e5aed5ff8e4fc5"); /* CPython's hashlib.blake2b */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("an invite survives the text, with none to eight addresses", round_trip),
        sentence("an invite survives line breaks and letter case", mangled_by_mail),
        sentence("what is cut off or mistyped is told, and nothing is left of it", mistakes),
        sentence("other versions and lengths are told", odd_contents),
        sentence("X_I is H(32, -; context, A, I)", secret),
    };

    return crypto_init() == ERR_OK ? run_sentences("invite", tests) : 1;
}
