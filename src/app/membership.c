#include "app/membership.h"

#include <stdio.h>

#include "base/cursor.h"
#include "crypto/idtext.h"

bool membership_is_closed(const struct config *settings)
{
    return config_str(settings, CFG_NET_ZONE_KEY)[0] != '\0';
}

enum err membership_zone_id(const struct config *settings, const char *name, bool is_closed,
                            uint8_t out[static ZONE_ID_BYTES])
{
    uint8_t Z[KEY_BYTES];

    if (is_closed && zone_key_parse(config_str(settings, CFG_NET_ZONE_KEY), Z, NULL) != ERR_OK)
        return ERR_CONFIG;
    zone_id(name, is_closed ? Z : NULL, out);
    return ERR_OK;
}

enum err membership_read(const struct config *settings, const uint8_t zone[static ZONE_ID_BYTES],
                         const uint8_t N[static KEY_BYTES], struct dht_membership *out, uint32_t *until_day,
                         struct err_detail *detail)
{
    const char *cert = config_str(settings, CFG_NET_ZONE_CERT);
    char name[NODE_TEXT_BYTES];
    struct rd r;

    node_format(N, name);
    if (zone_key_parse(config_str(settings, CFG_NET_ZONE_KEY), out->zone_key, detail) != ERR_OK)
        return ERR_CONFIG;
    if (cert[0] == '\0')
        return err_set(
            detail, ERR_CONFIG,
            "net.zone_key is set: this zone takes members only, and net.zone_cert is empty. Ask its "
            "administrator for: ito zone member %s",
            name);
    if (member_parse(cert, out->cert, detail) != ERR_OK)
        return ERR_CONFIG;
    if (zone_member_verify(zone, out->zone_key, N, slice_of(out->cert, sizeof out->cert), 0) != ERR_OK)
        return err_set(
            detail, ERR_CONFIG,
            "net.zone_cert is not for this node in this zone: it was made for another node, another "
            "net.zone or by another key than net.zone_key. Ask for: ito zone member %s",
            name);
    rd_init(&r, slice_of(out->cert, sizeof out->cert));
    *until_day = rd_u32(&r);
    return ERR_OK;
}

/* Days since 1970 to the calendar (Gregorian, in years that begin in March). */
const char *membership_day(uint32_t day, char out[static 16])
{
    uint64_t z = (uint64_t)day + 719468, era = z / 146097, in_era = z % 146097;
    uint64_t year_of = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = (unsigned)(in_era - (365 * year_of + year_of / 4 - year_of / 100));
    unsigned march = (5 * in_year + 2) / 153, month = march < 10 ? march + 3 : march - 9;

    snprintf(out, 16, "%04u-%02u-%02u", (unsigned)((year_of + era * 400 + (month <= 2)) % 100000000),
             month % 13, (in_year - (153 * march + 2) / 5 + 1) % 32);
    return out;
}

bool membership_is_valid(uint32_t until_day, int64_t wall_ms, struct err_detail *detail)
{
    uint32_t today = wall_ms > 0 ? (uint32_t)(wall_ms / 86400000) : 0;
    char last[16], now[16];

    if (today <= until_day)
        return true;
    err_set(detail, ERR_LATE,
            "The member certificate of this node was good until %s, and by the clock of this machine today "
            "is %s: the "
            "other members do not answer. Ask for a new one (ito zone node), or set the clock.",
            membership_day(until_day, last), membership_day(today, now));
    return false;
}
