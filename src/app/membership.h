/* app/membership.h - our place in a closed zone: net.zone_key and net.zone_cert, and what is wrong with them in words
 * (THREATS.md §4.13).
 *
 *   in     settings that config.c has checked for form
 *   out    the zone's id; what dht_create() needs
 *   trust  a certificate counts when the zone's key has signed it for our node key in this zone
 *   owner  the caller; nothing is kept */
#ifndef ITO_APP_MEMBERSHIP_H
#define ITO_APP_MEMBERSHIP_H

#include "app/config.h"
#include "crypto/zone.h"
#include "dht/dht.h"

/* Is a zone key set? */
bool membership_is_closed(const struct config *settings);
/* Id of the zone `name`, by net.zone_key if it is closed. ERR_CONFIG: that is no key. */
enum err membership_zone_id(const struct config *settings, const char *name, bool is_closed,
                            uint8_t out[static ZONE_ID_BYTES]);
/* The certificate of N. ERR_CONFIG with a sentence: there is none, or it is not for this node in this zone. */
enum err membership_read(const struct config *settings, const uint8_t zone[static ZONE_ID_BYTES],
                         const uint8_t N[static KEY_BYTES], struct dht_membership *out, uint32_t *until_day,
                         struct err_detail *detail);
/* False with a sentence that names both dates: over, or the clock is wrong. */
bool membership_is_valid(uint32_t until_day, int64_t wall_ms, struct err_detail *detail);
/* "2026-11-27" of a day since 1970. */
const char *membership_day(uint32_t day, char out[static 16]);

#endif
