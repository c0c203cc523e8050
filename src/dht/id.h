/* dht/id.h - 160-bit ids and the XOR distance between them (BEP 5). */
#ifndef ITO_DHT_ID_H
#define ITO_DHT_ID_H

#include <endian.h>

#include "base/slice.h"

#define ID_BYTES 20
#define ID_BITS  160

/* Length of the common prefix in bits, 0..160. */
static inline unsigned id_prefix(const uint8_t a[static ID_BYTES], const uint8_t b[static ID_BYTES])
{
    for (unsigned i = 0; i < ID_BYTES; i++)
        if (a[i] != b[i])
            return i * 8 + (unsigned)__builtin_clz((unsigned)(a[i] ^ b[i])) - 24;
    return ID_BITS;
}

/* Negative, 0, positive: a is closer to target than b, equal, farther. */
static inline int id_compare(const uint8_t target[static ID_BYTES], const uint8_t a[static ID_BYTES],
                             const uint8_t b[static ID_BYTES])
{
    uint64_t x, y, t;
    unsigned i = 0;

    for (; i < ID_BYTES - 4; i += 8) {
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y) {
            memcpy(&t, target + i, 8);
            return be64toh(x ^ t) < be64toh(y ^ t) ? -1 : 1;
        }
    }
    for (; i < ID_BYTES; i++)
        if (a[i] != b[i])
            return (a[i] ^ target[i]) - (b[i] ^ target[i]);
    return 0;
}

static inline bool id_equal(const uint8_t a[static ID_BYTES], const uint8_t b[static ID_BYTES])
{
    return memcmp(a, b, ID_BYTES) == 0;
}

/* The distance as a share of the id space, 0..1, to 53 bits: for densities, not for order. */
static inline double id_distance(const uint8_t a[static ID_BYTES], const uint8_t b[static ID_BYTES])
{
    double v = 0, unit = 1.0 / 256;

    for (unsigned i = 0; i < 12; i++, unit /= 256)
        v += (a[i] ^ b[i]) * unit;
    return v;
}

/* Make `id` (random on entry) share exactly `prefix` bits with `own`; prefix < 160. */
static inline void id_set_prefix(uint8_t id[static ID_BYTES], const uint8_t own[static ID_BYTES],
                                 unsigned prefix)
{
    unsigned byte = prefix / 8, bit = prefix % 8;
    uint8_t keep = (uint8_t)(0xff00u >> bit), flip = (uint8_t)(0x80u >> bit);

    memcpy(id, own, byte);
    id[byte] = (uint8_t)((own[byte] & keep) | (~own[byte] & flip) | (id[byte] & ~(keep | flip)));
}

#endif
