/* A stranger's request whose sealed text is the input, behind a certificate that is good (first byte even) or part
 * of the input (odd). What opens can be sealed and opened again, the same. */
#include <assert.h>
#include <stdlib.h>

#include "crypto/noise.h"
#include "crypto/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void e_random(void *w, void *out, size_t n)
{
    (void)w;
    memset(out, 0x42, n);
}

static const struct env_ops env_ops = {.random = e_random};
static const struct env env = {.ops = &env_ops};

struct people {
    struct sign_key from, to;
    struct dh_key D;
    uint8_t to_x[32], certificate[CERT_BYTES], drop[DROP_ID_BYTES];
};

static void make_people(struct people *p)
{
    static const uint8_t seed_from[32] = {1}, seed_to[32] = {2}, secret[32] = {3};
    struct device_entry device = {.slot = 1};

    *p = (struct people){0};
    sign_key_from_seed(seed_from, &p->from);
    sign_key_from_seed(seed_to, &p->to);
    dh_key_from_secret(secret, &p->D);
    memcpy(device.D, p->D.pub, 32);
    memcpy(device.Q, p->from.pub, 32);
    if (ed_to_x_public(p->to.pub, p->to_x) != ERR_OK ||
        cert_make(&p->from, 1, &device, seed_to, p->certificate) != ERR_OK)
        abort();
}

static void seal(const struct people *p, const uint8_t plain[864], uint8_t blob[REQUEST_BYTES])
{
    uint8_t prologue[20 + DROP_ID_BYTES] = "itodenwa-request-v1", ephemeral[32] = {9};
    struct noise_config c = {.pattern = NOISE_X, .is_initiator = true, .remote_static = p->to_x};
    struct noise n;
    struct wr w;

    c.prologue = slice_of(prologue, sizeof prologue);
    c.static_secret = p->D.secret;
    c.static_public = p->D.pub;
    noise_init(&n, &c);
    wr_init(&w, blob, REQUEST_BYTES);
    if (noise_write(&n, ephemeral, slice_of(plain, 864), &w) != ERR_OK)
        abort();
    noise_fini(&n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t plain[864] = {0}, blob[REQUEST_BYTES];
    struct request r, again;
    struct people p;
    size_t at;

    if (size < 1)
        return 0;
    make_people(&p);
    at = data[0] % 2 == 0 ? CERT_BYTES : 0;
    memcpy(plain, p.certificate, CERT_BYTES);
    memcpy(plain + at, data + 1, size - 1 < sizeof plain - at ? size - 1 : sizeof plain - at);
    seal(&p, plain, blob);
    if (request_open(slice_of(blob, sizeof blob), p.to.seed, p.drop, &r) == ERR_OK) {
        assert(memcmp(r.identity, p.from.pub, 32) == 0 && memcmp(r.device, p.D.pub, 32) == 0);
        assert(request_seal(&r, p.D.secret, p.to.pub, p.drop, &env, blob) == ERR_OK);
        assert(request_open(slice_of(blob, sizeof blob), p.to.seed, p.drop, &again) == ERR_OK);
        assert(memcmp(&r, &again, sizeof r) == 0);
    }
    return 0;
}
