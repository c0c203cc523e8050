/* dht/bep42.h - node ids bound to the external address (BEP 42): CRC32-C of the masked address in the first 21 bits. */
#ifndef ITO_DHT_BEP42_H
#define ITO_DHT_BEP42_H

#include "base/addr.h"
#include "dht/id.h"

/* Make the random bytes in id an id for that address: bits 0..20 and the last byte's low three are its. */
void bep42_make(const struct addr *a, uint8_t id[static ID_BYTES]);
/* Does the id suit the address? Addresses that are not global suit any id. */
bool bep42_ok(const struct addr *a, const uint8_t id[static ID_BYTES]);

#endif
