#include "dht/bep42.h"

static uint32_t crc32c(const uint8_t *data, size_t n)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* The checksum whose first 21 bits an id begins with; r: the low three bits of its last byte. */
static uint32_t prefix_of(const struct addr *a, unsigned r)
{
    static const uint8_t mask4[4] = {0x03, 0x0f, 0x3f, 0xff};
    static const uint8_t mask6[8] = {0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff};
    size_t n = a->family == ADDR_V4 ? sizeof mask4 : sizeof mask6;
    const uint8_t *mask = a->family == ADDR_V4 ? mask4 : mask6;
    uint8_t ip[8];

    for (size_t i = 0; i < n; i++)
        ip[i] = a->ip[i] & mask[i];
    ip[0] |= (uint8_t)((r & 7) << 5);
    return crc32c(ip, n);
}

void bep42_make(const struct addr *a, uint8_t id[static ID_BYTES])
{
    uint32_t crc = prefix_of(a, id[ID_BYTES - 1]);

    id[0] = (uint8_t)(crc >> 24);
    id[1] = (uint8_t)(crc >> 16);
    id[2] = (uint8_t)((crc >> 8 & 0xf8) | (id[2] & 7));
}

bool bep42_ok(const struct addr *a, const uint8_t id[static ID_BYTES])
{
    uint32_t crc = prefix_of(a, id[ID_BYTES - 1]);

    if (addr_class(a) != ADDR_GLOBAL)
        return true;
    return id[0] == (uint8_t)(crc >> 24) && id[1] == (uint8_t)(crc >> 16) &&
           (id[2] & 0xf8) == (uint8_t)(crc >> 8 & 0xf8);
}
