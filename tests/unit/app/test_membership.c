/* What a person is told about a place in a closed zone. */
#include "app/membership.h"
#include "app/node_file.h"
#include "crypto/idtext.h"
#include "unit/test.h"

#define DAY 20784u /* 2026-11-27 */

struct place {
    struct config *settings;
    struct sign_key Z, node;
    uint8_t zone[ZONE_ID_BYTES];
    struct err_detail detail;
};

static void place_init(struct place *p)
{
    char text[ZONE_TEXT_BYTES];

    *p = (struct place){.settings = config_create()};
    sign_key_from_seed((uint8_t[32]){'Z'}, &p->Z);
    sign_key_from_seed((uint8_t[32]){'N'}, &p->node);
    assert_int_equal(
        config_set(p->settings, NULL, "net.zone_key", zone_key_format(p->Z.pub, text), &p->detail), ERR_OK);
    assert_true(membership_is_closed(p->settings));
    assert_int_equal(membership_zone_id(p->settings, "office", true, p->zone), ERR_OK);
}

/* Certify N in that zone and install it. */
static void install(struct place *p, const struct sign_key *by, const uint8_t *N, const uint8_t *zone)
{
    uint8_t cert[MEMBER_CERT_BYTES];
    char text[MEMBER_TEXT_BYTES];

    assert_int_equal(zone_member_make(by, zone, N, DAY, cert), ERR_OK);
    assert_int_equal(config_set(p->settings, NULL, "net.zone_cert", member_format(cert, text), &p->detail),
                     ERR_OK);
}

static enum err read(struct place *p, uint32_t *until_day)
{
    struct dht_membership m;

    return membership_read(p->settings, p->zone, p->node.pub, &m, until_day, &p->detail);
}

static void texts(void **state)
{
    uint8_t cert[MEMBER_CERT_BYTES], back[MEMBER_CERT_BYTES], Z[KEY_BYTES];
    char text[MEMBER_TEXT_BYTES], key[ZONE_TEXT_BYTES];
    struct place p;
    (void)state;

    place_init(&p);
    zone_key_format(p.Z.pub, key);
    assert_int_equal(strlen(key), ZONE_TEXT_BYTES - 1);
    assert_int_equal(zone_key_parse(key, Z, NULL), ERR_OK);
    assert_memory_equal(Z, p.Z.pub, sizeof Z);
    assert_int_not_equal(node_parse(key, Z, NULL), ERR_OK);
    zone_member_make(&p.Z, p.zone, p.node.pub, DAY, cert);
    member_format(cert, text);
    assert_int_equal(strlen(text), MEMBER_TEXT_BYTES - 1);
    assert_int_equal(member_parse(text, back, NULL), ERR_OK);
    assert_memory_equal(back, cert, sizeof cert);
    for (size_t i = 5; i < sizeof text - 1; i++) {
        char was = text[i];

        text[i] = was == 'q' ? 'p' : 'q';
        assert_int_not_equal(member_parse(text, back, NULL), ERR_OK);
        text[i] = '\0';
        assert_int_not_equal(member_parse(text, back, NULL), ERR_OK);
        text[i] = was;
    }
    assert_int_not_equal(member_parse("", back, NULL), ERR_OK);
    config_destroy(p.settings);
}

static void settings(void **state)
{
    struct place p;
    (void)state;

    place_init(&p);
    assert_int_equal(config_set(p.settings, NULL, "net.zone_key", "office", &p.detail), ERR_CONFIG);
    assert_int_equal(config_set(p.settings, NULL, "net.zone_cert", "itom1qqq", &p.detail), ERR_CONFIG);
    assert_non_null(strstr(p.detail.text, "no member certificate"));
    assert_true(membership_is_closed(p.settings)); /* what was there still is */
    assert_int_equal(config_set(p.settings, NULL, "net.zone_key", "", &p.detail), ERR_OK);
    assert_false(membership_is_closed(p.settings));
    config_destroy(p.settings);
}

static void what_is_missing(void **state)
{
    struct place p;
    struct sign_key other;
    uint8_t elsewhere[ZONE_ID_BYTES];
    char name[NODE_TEXT_BYTES];
    uint32_t until = 0;
    (void)state;

    place_init(&p);
    node_format(p.node.pub, name);
    assert_int_equal(read(&p, &until), ERR_CONFIG);
    assert_non_null(strstr(p.detail.text, "net.zone_cert is empty"));
    assert_non_null(strstr(p.detail.text, name)); /* what the administrator has to be told */
    sign_key_from_seed((uint8_t[32]){'O'}, &other);
    install(&p, &p.Z, other.pub, p.zone);
    assert_int_equal(read(&p, &until), ERR_CONFIG);
    assert_non_null(strstr(p.detail.text, "not for this node"));
    install(&p, &other, p.node.pub, p.zone);
    assert_int_equal(read(&p, &until), ERR_CONFIG);
    membership_zone_id(p.settings, "kitchen", true, elsewhere);
    install(&p, &p.Z, p.node.pub, elsewhere);
    assert_int_equal(read(&p, &until), ERR_CONFIG);
    install(&p, &p.Z, p.node.pub, p.zone);
    assert_int_equal(read(&p, &until), ERR_OK);
    assert_int_equal(until, DAY);
    config_destroy(p.settings);
}

static void dates(void **state)
{
    struct err_detail d = {""};
    char day[16];
    (void)state;

    assert_string_equal(membership_day(0, day), "1970-01-01");
    assert_string_equal(membership_day(11016, day), "2000-02-29");
    assert_string_equal(membership_day(DAY, day), "2026-11-27");
    assert_string_equal(membership_day(24855, day), "2038-01-19");
    assert_true(membership_is_valid(DAY, (int64_t)DAY * 86400000 + 86399999, &d));
    assert_false(membership_is_valid(DAY, 2147483640000, &d));
    assert_non_null(strstr(d.text, "2026-11-27"));
    assert_non_null(strstr(d.text, "2038-01-19"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("zone keys and certificates are texts that show a typing error", texts),
        sentence("a setting that is no key or certificate is refused, and the old one stays", settings),
        sentence("a missing or foreign certificate is told with what to ask for", what_is_missing),
        sentence("an expired certificate is told with its last day and what the clock says", dates),
    };

    return run_sentences("membership", tests);
}
