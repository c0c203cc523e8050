#include "crypto/noise.h"

#include "base/json.h"
#include "crypto/identity.h"
#include "unit/crypto/world.h"

#define VECTORS "tests/vectors/noise.json"

/* --- the parts --- */

/* RFC 8439 appendix A.5: the one whose nonce begins with four zero bytes, as all of Noise do. */
static void published_aead(void **state)
{
    static const char *const sealed_hex =
        "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0"
        "bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
        "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e9"
        "9040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
        "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130"
        "305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38";
    uint8_t key[32], ad[12], sealed[400], plain[400], again[400];
    size_t n = unhex(sealed_hex, sealed);

    (void)state;
    unhex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0", key);
    unhex("f33388860000000000004e91", ad);
    assert_int_equal(noise_open(key, 0x0807060504030201, slice_of(ad, 12), slice_of(sealed, n), plain),
                     ERR_OK);
    assert_memory_equal(plain, "Internet-Drafts are draft documents valid for a maximum of six months", 69);
    noise_seal(key, 0x0807060504030201, slice_of(ad, 12), slice_of(plain, n - 16), again);
    assert_memory_equal(again, sealed, n);
    sealed[5] ^= 1;
    assert_int_equal(noise_open(key, 0x0807060504030201, slice_of(ad, 12), slice_of(sealed, n), plain),
                     ERR_AUTH);
    assert_int_equal(noise_open(key, 0, slice_of(ad, 12), slice_of(sealed, 15), plain), ERR_PARSE);
}

/* Against the hmac module of Python 3.11, which is RFC 2104 on hashlib.blake2b: block 128, not the keyed mode. */
static void hmac_of_python(void **state)
{
    uint8_t key[64], out[64], out2[64], out3[64];

    (void)state;
    for (int i = 0; i < 64; i++)
        key[i] = (uint8_t)i;
    noise_hmac(key, sizeof key, slice_str("abc"), out);
    assert_hex(out, "cfb7fadba5986a2320ddff615fe9386cf3927144d40c77320914b152bb06ab8e"
                    "04e835035bab5ff0f4518528fe5ce4a190d75b7b4cc03337b78f8c9d8a0761e5");
    noise_hkdf(key, slice_str("ikm"), out, out2, out3);
    assert_hex(out, "26e13c279f04f79d2802e0d1c73c411339dcdb41dadc6420e2c4cfcfa9c311f5"
                    "6aeb66894b83562172c4a64556dda81e796a5ecffaca891d240d1d801a3921aa");
    assert_hex(out2, "f04fb652ce80a27aacf4728aa77c7c8b1a6f5524ba9414100616ef01aa105fc9"
                     "9536577da9f6006fbd7cc740ff504ece4221f2f7f26448d271373932022dfb9f");
    assert_hex(out3, "fc27a1c88e3abcc9f46b193c0e3fd371fc22810eaa646d1e9b6b5c80561d8c9d"
                     "01e5860a75e9d2f6aaed14cc03673de5907146f20a123c5ef303ef2f7fead1d2");
    memset(out3, 0x55, sizeof out3);
    noise_hkdf(key, slice_str("ikm"), out, out2, NULL);
    assert_hex(out2, "f04fb652ce80a27aacf4728aa77c7c8b1a6f5524ba9414100616ef01aa105fc9"
                     "9536577da9f6006fbd7cc740ff504ece4221f2f7f26448d271373932022dfb9f");
}

/* --- published handshakes --- */

static cJSON *read_vectors(void)
{
    char text[16384];
    FILE *f = fopen(VECTORS, "r");
    struct err_detail detail;
    cJSON *tree;
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof text, f);
    fclose(f);
    assert_int_equal(json_parse(slice_of(text, n), NULL, NULL, &tree, &detail), ERR_OK);
    return tree;
}

struct end {
    struct noise noise;
    struct noise_keys keys;
    uint64_t n_out, n_in;
    uint8_t ephemeral[32];
};

static bool is_one_way(enum noise_pattern pattern)
{
    return pattern == NOISE_X || pattern == NOISE_NPSK0;
}

static void init_end(struct end *e, const cJSON *v, enum noise_pattern pattern, bool is_initiator)
{
    uint8_t prologue[64], secret[32], remote[32], psk[32];
    const char *side = is_initiator ? "init" : "resp";
    const cJSON *psks;
    struct dh_key own;
    char key[32];
    struct noise_config c = {.pattern = pattern, .is_initiator = is_initiator};

    *e = (struct end){0};
    snprintf(key, sizeof key, "%s_prologue", side);
    c.prologue = slice_of(prologue, unhex(json_str(v, key, ""), prologue));
    snprintf(key, sizeof key, "%s_static", side);
    if (unhex(json_str(v, key, ""), secret) == 32) {
        dh_key_from_secret(secret, &own);
        c.static_secret = own.secret;
        c.static_public = own.pub;
    }
    snprintf(key, sizeof key, "%s_psks", side);
    psks = cJSON_GetObjectItem(v, key);
    if (psks != NULL && unhex(cJSON_GetArrayItem(psks, 0)->valuestring, psk) == 32)
        c.psk = psk;
    snprintf(key, sizeof key, "%s_ephemeral", side);
    unhex(json_str(v, key, ""), e->ephemeral);
    if (is_initiator && unhex(json_str(v, "init_remote_static", ""), remote) == 32)
        c.remote_static = remote;
    noise_init(&e->noise, &c);
}

static void transport(struct end *from, struct end *to, struct slice payload, struct slice expected)
{
    uint8_t sealed[256], plain[256];

    noise_seal(from->keys.send, from->n_out++, slice_of(NULL, 0), payload, sealed);
    assert_memory_equal(sealed, expected.data, expected.len);
    assert_int_equal(noise_open(to->keys.receive, to->n_in++, slice_of(NULL, 0), expected, plain), ERR_OK);
    assert_memory_equal(plain, payload.data, payload.len);
}

static void run_vector(const cJSON *v, enum noise_pattern pattern)
{
    const cJSON *messages = cJSON_GetObjectItem(v, "messages"), *m;
    struct end ends[2];
    int i = 0, from;
    struct wr w;

    init_end(&ends[0], v, pattern, true);
    init_end(&ends[1], v, pattern, false);
    cJSON_ArrayForEach(m, messages)
    {
        uint8_t payload[128], cipher[256], out[256], in[128];
        size_t n = unhex(json_str(m, "payload", ""), payload),
               n_cipher = unhex(json_str(m, "ciphertext", ""), cipher);

        from = is_one_way(pattern) ? 0 : i & 1;
        i++;
        if (noise_is_done(&ends[from].noise)) {
            transport(&ends[from], &ends[!from], slice_of(payload, n), slice_of(cipher, n_cipher));
            continue;
        }
        wr_init(&w, out, sizeof out);
        assert_int_equal(noise_write(&ends[from].noise, ends[from].ephemeral, slice_of(payload, n), &w),
                         ERR_OK);
        assert_int_equal(wr_len(&w), n_cipher);
        assert_memory_equal(out, cipher, n_cipher);
        wr_init(&w, in, sizeof in);
        assert_int_equal(noise_read(&ends[!from].noise, slice_of(cipher, n_cipher), &w), ERR_OK);
        assert_int_equal(wr_len(&w), n);
        assert_memory_equal(in, payload, n);
        for (int k = 0; k < 2 && noise_is_done(&ends[0].noise); k++) {
            assert_int_equal(noise_split(&ends[k].noise, &ends[k].keys), ERR_OK);
            assert_hex(ends[k].noise.h, json_str(v, "handshake_hash", "00"));
        }
    }
    assert_true(i >= 6);
    noise_fini(&ends[0].noise);
    noise_fini(&ends[1].noise);
}

static void run_named(const char *name, enum noise_pattern pattern)
{
    cJSON *tree = read_vectors();
    const cJSON *v;
    int found = 0;

    cJSON_ArrayForEach(v, cJSON_GetObjectItem(tree, "vectors"))
    {
        if (strcmp(json_str(v, "protocol_name", ""), name) == 0) {
            run_vector(v, pattern);
            found++;
        }
    }
    assert_int_equal(found, 1);
    cJSON_Delete(tree);
}

static void published_x(void **state)
{
    (void)state;
    run_named("Noise_X_25519_ChaChaPoly_BLAKE2b", NOISE_X);
}

static void published_npsk0(void **state)
{
    (void)state;
    run_named("Noise_Npsk0_25519_ChaChaPoly_BLAKE2b", NOISE_NPSK0);
}

static void published_ikpsk1(void **state)
{
    (void)state;
    run_named("Noise_IKpsk1_25519_ChaChaPoly_BLAKE2b", NOISE_IKPSK1);
}

static void published_ikpsk2(void **state)
{
    (void)state;
    run_named("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b", NOISE_IKPSK2);
}

/* --- IKpsk0, which has no published vector: the contract --- */

struct pair {
    struct noise i, r;
    uint8_t ei[32], er[32];
};

static void init_pair(struct pair *p, const char *prologue_r, uint8_t psk_r)
{
    struct dh_key si, sr;
    uint8_t psk[32];
    struct noise_config c = {.pattern = NOISE_IKPSK0, .is_initiator = true, .psk = psk};

    memset(p, 0, sizeof *p);
    memset(p->ei, 0x11, 32);
    memset(p->er, 0x22, 32);
    memset(si.secret, 0x33, 32);
    memset(sr.secret, 0x44, 32);
    dh_key_from_secret(si.secret, &si);
    dh_key_from_secret(sr.secret, &sr);
    memset(psk, 7, sizeof psk);
    c.prologue = slice_str("here");
    c.static_secret = si.secret;
    c.static_public = si.pub;
    c.remote_static = sr.pub;
    noise_init(&p->i, &c);
    memset(psk, psk_r, sizeof psk);
    c = (struct noise_config){.pattern = NOISE_IKPSK0, .psk = psk, .prologue = slice_str(prologue_r)};
    c.static_secret = sr.secret;
    c.static_public = sr.pub;
    noise_init(&p->r, &c);
}

static enum err one_message(struct pair *p, int spoil)
{
    uint8_t buf[200], out[100];
    struct wr w;

    wr_init(&w, buf, sizeof buf);
    assert_int_equal(noise_write(&p->i, p->ei, slice_str("hello"), &w), ERR_OK);
    if (spoil >= 0)
        buf[spoil] ^= 1;
    struct slice m = wr_done(&w);
    wr_init(&w, out, sizeof out);
    return noise_read(&p->r, m, &w);
}

static void both_ends_agree(void **state)
{
    struct noise_keys ki, kr;
    uint8_t buf[200], out[100], xi[32], xr[32];
    struct pair p;
    struct wr w;

    (void)state;
    init_pair(&p, "here", 7);
    assert_int_equal(noise_split(&p.i, &ki), ERR_STATE);
    assert_int_equal(noise_exporter(&p.i, "label", xi), ERR_STATE);
    assert_int_equal(one_message(&p, -1), ERR_OK);
    wr_init(&w, buf, sizeof buf);
    assert_int_equal(noise_write(&p.i, p.ei, slice_str("x"), &w), ERR_STATE);
    assert_int_equal(noise_write(&p.r, p.er, slice_str("back"), &w), ERR_OK);
    struct slice m = wr_done(&w);
    wr_init(&w, out, sizeof out);
    assert_int_equal(noise_read(&p.i, m, &w), ERR_OK);
    assert_memory_equal(out, "back", 4);
    assert_int_equal(noise_split(&p.i, &ki), ERR_OK);
    assert_int_equal(noise_split(&p.r, &kr), ERR_OK);
    assert_memory_equal(ki.send, kr.receive, 32);
    assert_memory_equal(ki.receive, kr.send, 32);
    assert_memory_not_equal(ki.send, ki.receive, 32);
    assert_int_equal(noise_exporter(&p.i, "label", xi), ERR_OK);
    assert_int_equal(noise_exporter(&p.r, "label", xr), ERR_OK);
    assert_memory_equal(xi, xr, 32);
    assert_int_equal(noise_exporter(&p.r, "other", xr), ERR_OK);
    assert_memory_not_equal(xi, xr, 32);
    assert_int_equal(p.i.n_dh + p.r.n_dh, 2 * 4 + 2); /* es ss ee se on each side, a key pair on each */
}

static void one_bit_ends_it(void **state)
{
    struct pair p;

    (void)state;
    for (int at = 0; at < 101; at++) { /* e 32, s 48, payload 21 */
        init_pair(&p, "here", 7);
        assert_int_equal(one_message(&p, at), ERR_AUTH);
        assert_true(p.r.is_dead);
        assert_true(secret_is_zero(p.r.ck, sizeof p.r.ck) && secret_is_zero(p.r.s, sizeof p.r.s));
    }
    init_pair(&p, "there", 7);
    assert_int_equal(one_message(&p, -1), ERR_AUTH);
    init_pair(&p, "here", 8);
    assert_int_equal(one_message(&p, -1), ERR_AUTH);
}

static void zero_point(void **state)
{
    uint8_t message[96] = {0}, out[100];
    struct pair p;
    struct wr w;

    (void)state;
    init_pair(&p, "here", 7);
    wr_init(&w, out, sizeof out);
    assert_int_equal(noise_read(&p.r, slice_of(message, sizeof message), &w), ERR_AUTH);
    assert_int_equal(p.r.n_dh, 1);
    init_pair(&p, "here", 7);
    assert_int_equal(noise_read(&p.r, slice_of(message, 20), &w), ERR_PARSE);
}

static void static_known_after_one_dh(void **state)
{
    uint8_t buf[200], out[100];
    struct pair p;
    struct wr w;
    struct rd r;

    (void)state;
    init_pair(&p, "here", 7);
    wr_init(&w, buf, sizeof buf);
    assert_int_equal(noise_write(&p.i, p.ei, slice_str("hello"), &w), ERR_OK);
    rd_init(&r, wr_done(&w));
    assert_int_equal(noise_read_begin(&p.r, &r), ERR_OK);
    assert_int_equal(p.r.n_dh, 1);
    assert_memory_equal(p.r.remote_static, p.i.s_public, 32);
    wr_init(&w, out, sizeof out);
    assert_int_equal(noise_read_end(&p.r, &r, &w), ERR_OK);
    assert_int_equal(p.r.n_dh, 2);
    assert_memory_equal(out, "hello", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("sealing is that of RFC 8439 A.5", published_aead),
        sentence("HMAC and HKDF on BLAKE2b are those of Python's hmac", hmac_of_python),
        sentence("Noise_X gives the published messages", published_x),
        sentence("Noise_Npsk0 gives the published messages", published_npsk0),
        sentence("Noise_IKpsk1 gives the published messages", published_ikpsk1),
        sentence("Noise_IKpsk2 gives the published messages", published_ikpsk2),
        sentence("both ends of IKpsk0 get the same keys, hash and exporter", both_ends_agree),
        sentence("any changed bit, prologue or psk ends the handshake and wipes it", one_bit_ends_it),
        sentence("an ephemeral of zeroes is refused", zero_point),
        sentence("a responder knows the static key after one DH", static_known_after_one_dh),
    };
    if (crypto_init() != ERR_OK)
        return 1;
    return run_sentences("noise", tests);
}
