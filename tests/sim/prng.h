/* tests/sim/prng.h - repeatable random numbers (xoshiro256**, seeded by splitmix64). Not for secrets. */
#ifndef ITO_SIM_PRNG_H
#define ITO_SIM_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t s[4];
};

static inline void prng_seed(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        p->s[i] = z ^ z >> 31;
    }
}

static inline uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->s, r = s[1] * 5, t = s[1] << 17;

    r = (r << 7 | r >> 57) * 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return r;
}

static inline bool prng_chance(struct prng *p, double pct)
{
    return pct > 0 && (double)(prng_next(p) >> 11) * 0x1p-53 * 100 < pct;
}

#endif
