#include "crypto/request.h"

#include <sodium.h>

#include "base/utf8.h"
#include "crypto/identity.h"
#include "crypto/noise.h"

#define REQUEST_PLAIN_BYTES 864
#define NOTE_PLAIN_BYTES    920
#define XNONCE_BYTES        24

/* --- the text of a request --- */

/* Valid UTF-8 of at most max_chars code points, without control characters (a note may have line breaks). */
static bool is_text(struct slice text, size_t max_chars, bool may_break)
{
    size_t n = 0;

    while (text.len > 0) {
        uint32_t c = utf8_next(&text);

        if (c == UTF8_BAD || (c < 0x20 && !(may_break && c == '\n')) || (c >= 0x7f && c < 0xa0))
            return false;
        n++;
    }
    return n <= max_chars;
}

static bool is_name(struct slice text)
{
    return text.len <= REQUEST_NAME_BYTES && is_text(text, REQUEST_NAME_BYTES, false);
}

static bool is_note(struct slice text)
{
    return text.len <= REQUEST_NOTE_BYTES && is_text(text, REQUEST_NOTE_CHARS, true);
}

static enum err plain_write(const struct request *r, uint8_t out[static REQUEST_PLAIN_BYTES])
{
    struct slice name = slice_of(r->name, strnlen(r->name, sizeof r->name));
    struct slice note = slice_of(r->note, strnlen(r->note, sizeof r->note));
    struct wr w;

    if (!is_name(name) || !is_note(note))
        return ERR_RANGE;
    wr_init(&w, out, REQUEST_PLAIN_BYTES);
    wr_bytes(&w, r->certificate, sizeof r->certificate);
    wr_u8(&w, r->wants);
    wr_u64(&w, r->made_s);
    wr_u8(&w, (uint8_t)name.len);
    wr_slice(&w, name);
    wr_u16(&w, (uint16_t)note.len);
    wr_slice(&w, note);
    wr_u32(&w, r->s_gen);
    wr_bytes(&w, r->s, sizeof r->s);
    if (r->has_succession) {
        wr_bytes(&w, r->old_identity, sizeof r->old_identity);
        wr_bytes(&w, r->succession + KEY_BYTES, SIG_BYTES);
    }
    wr_zeros(&w, REQUEST_PLAIN_BYTES - wr_len(&w));
    return wr_ok(&w) ? ERR_OK : ERR_INTERNAL;
}

static void read_text(struct rd *r, size_t len, bool (*is_good)(struct slice), char *out)
{
    struct slice text = rd_bytes(r, len);

    if (!is_good(text))
        rd_fail(r);
    else if (text.len > 0)
        memcpy(out, text.data, text.len);
}

static enum err plain_read(struct slice plain, struct request *out)
{
    struct device_cert cert;
    struct rd r;
    enum err e;

    rd_init(&r, plain);
    rd_copy(&r, out->certificate, sizeof out->certificate);
    out->wants = rd_u8(&r);
    out->made_s = rd_u64(&r);
    read_text(&r, rd_u8(&r), is_name, out->name);
    read_text(&r, rd_u16(&r), is_note, out->note);
    out->s_gen = rd_u32(&r);
    rd_copy(&r, out->s, sizeof out->s);
    rd_copy(&r, out->old_identity, sizeof out->old_identity);
    rd_copy(&r, out->succession + KEY_BYTES, SIG_BYTES);
    if (!rd_zeros(&r) || !rd_done(&r))
        return ERR_PARSE;
    e = cert_open(slice_of(out->certificate, sizeof out->certificate), out->device, &cert);
    if (e != ERR_OK)
        return ERR_AUTH;
    memcpy(out->identity, cert.A, sizeof out->identity);
    out->has_succession = !secret_is_zero(out->old_identity, sizeof out->old_identity);
    if (out->has_succession)
        memcpy(out->succession, cert.next, KEY_BYTES);
    else if (!secret_is_zero(out->succession, sizeof out->succession))
        return ERR_PARSE;
    return ERR_OK;
}

/* --- the sealed request --- */

#define PROLOGUE_BYTES (sizeof "itodenwa-request-v1" + DROP_ID_BYTES)

static void make_prologue(const uint8_t drop[static DROP_ID_BYTES], uint8_t out[static PROLOGUE_BYTES])
{
    memcpy(out, "itodenwa-request-v1", sizeof "itodenwa-request-v1");
    memcpy(out + sizeof "itodenwa-request-v1", drop, DROP_ID_BYTES);
}

enum err request_seal(const struct request *r, const uint8_t device_secret[static 32],
                      const uint8_t to[static 32], const uint8_t drop[static DROP_ID_BYTES],
                      const struct env *env, uint8_t out[static REQUEST_BYTES])
{
    uint8_t plain[REQUEST_PLAIN_BYTES], prologue[PROLOGUE_BYTES], ephemeral[KEY_BYTES], theirs[KEY_BYTES];
    struct noise_config config = {.pattern = NOISE_X, .is_initiator = true, .remote_static = theirs};
    struct noise n = {0};
    struct wr w;
    enum err e = plain_write(r, plain);

    if (e != ERR_OK)
        goto out;
    e = ed_key_valid(to) && ed_to_x_public(to, theirs) == ERR_OK ? ERR_OK : ERR_AUTH;
    if (e != ERR_OK)
        goto out;
    make_prologue(drop, prologue);
    config.prologue = slice_of(prologue, sizeof prologue);
    config.static_secret = device_secret;
    config.static_public = r->device;
    noise_init(&n, &config);
    env_random(env, ephemeral, sizeof ephemeral);
    wr_init(&w, out, REQUEST_BYTES);
    e = noise_write(&n, ephemeral, slice_of(plain, sizeof plain), &w);
out:
    noise_fini(&n);
    secret_wipe(plain, sizeof plain);
    secret_wipe(ephemeral, sizeof ephemeral);
    return e;
}

enum err request_open(struct slice blob, const uint8_t identity_seed[static 32],
                      const uint8_t drop[static DROP_ID_BYTES], struct request *out)
{
    uint8_t plain[REQUEST_PLAIN_BYTES], prologue[PROLOGUE_BYTES], secret[KEY_BYTES], public[KEY_BYTES];
    struct noise_config config = {.pattern = NOISE_X, .static_secret = secret, .static_public = public};
    struct request r = {0};
    struct sign_key identity;
    struct noise n = {0};
    struct wr w;
    enum err e = ERR_PARSE;

    sign_key_from_seed(identity_seed, &identity);
    ed_to_x_secret(&identity, secret);
    if (blob.len != REQUEST_BYTES || ed_to_x_public(identity.pub, public) != ERR_OK)
        goto out;
    make_prologue(drop, prologue);
    config.prologue = slice_of(prologue, sizeof prologue);
    noise_init(&n, &config);
    wr_init(&w, plain, sizeof plain);
    e = noise_read(&n, blob, &w);
    if (e != ERR_OK)
        goto out;
    memcpy(r.device, n.remote_static, sizeof r.device);
    e = plain_read(wr_done(&w), &r);
    if (e == ERR_OK)
        *out = r;
out:
    noise_fini(&n);
    request_wipe(&r);
    secret_wipe(&identity, sizeof identity);
    secret_wipe(secret, sizeof secret);
    secret_wipe(plain, sizeof plain);
    return e;
}

void request_wipe(struct request *r)
{
    secret_wipe(r, sizeof *r);
}

/* --- notes --- */

static void note_key(const uint8_t pair[static 32], const uint8_t sender[static 32], uint8_t key[static 32])
{
    struct hasher h;

    hash_begin(&h, 32, pair, 32);
    hash_text(&h, "itodenwa-note-v1");
    hash_bytes(&h, sender, 32);
    hash_end(&h, key);
}

static bool note_is_sound(const struct note *note)
{
    return note->parts >= 1 && note->parts <= NOTE_PARTS_MAX && note->part < note->parts &&
           note->len <= NOTE_DATA_BYTES;
}

enum err note_seal(const struct note *note, const uint8_t pair[static 32], const uint8_t sender[static 32],
                   const uint8_t d[static DROP_ID_BYTES], const struct env *env,
                   uint8_t out[static REQUEST_BYTES])
{
    uint8_t plain[NOTE_PLAIN_BYTES], key[32];
    struct wr w;

    if (!note_is_sound(note))
        return ERR_RANGE;
    wr_init(&w, plain, sizeof plain);
    wr_bytes(&w, note->id, sizeof note->id);
    wr_u8(&w, note->part);
    wr_u8(&w, note->parts);
    wr_u16(&w, note->len);
    wr_bytes(&w, note->data, note->len);
    wr_zeros(&w, sizeof plain - wr_len(&w));
    note_key(pair, sender, key);
    env_random(env, out, XNONCE_BYTES);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out + XNONCE_BYTES, NULL, plain, sizeof plain, d,
                                               DROP_ID_BYTES, NULL, out, key);
    secret_wipe(key, sizeof key);
    secret_wipe(plain, sizeof plain);
    return ERR_OK;
}

enum err note_open(struct slice blob, const uint8_t pair[static 32], const uint8_t sender[static 32],
                   const uint8_t d[static DROP_ID_BYTES], struct note *out)
{
    uint8_t plain[NOTE_PLAIN_BYTES], key[32];
    struct note note = {0};
    struct rd r;
    enum err e = ERR_PARSE;

    if (blob.len != REQUEST_BYTES)
        return ERR_PARSE;
    note_key(pair, sender, key);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, blob.data + XNONCE_BYTES,
                                                   blob.len - XNONCE_BYTES, d, DROP_ID_BYTES, blob.data,
                                                   key) != 0) {
        e = ERR_AUTH;
        goto out;
    }
    rd_init(&r, slice_of(plain, sizeof plain));
    rd_copy(&r, note.id, sizeof note.id);
    note.part = rd_u8(&r);
    note.parts = rd_u8(&r);
    note.len = rd_u16(&r);
    if (!note_is_sound(&note))
        goto out;
    rd_copy(&r, note.data, note.len);
    if (!rd_zeros(&r) || !rd_done(&r))
        goto out;
    *out = note;
    e = ERR_OK;
out:
    secret_wipe(key, sizeof key);
    secret_wipe(plain, sizeof plain);
    secret_wipe(&note, sizeof note);
    return e;
}

/* --- proof of work --- */

#define POW_NONCE_AT (sizeof "itodenwa-pow-v1" + DROP_ID_BYTES + 32)

static void pow_text(const uint8_t drop[static DROP_ID_BYTES], struct slice blob, uint8_t *text)
{
    memcpy(text, "itodenwa-pow-v1", sizeof "itodenwa-pow-v1");
    memcpy(text + sizeof "itodenwa-pow-v1", drop, DROP_ID_BYTES);
    hash_once(32, NULL, 0, blob, text + sizeof "itodenwa-pow-v1" + DROP_ID_BYTES);
}

static unsigned leading_zero_bits(const uint8_t hash[static 32])
{
    unsigned n = 0;

    while (n < 256 && (hash[n / 8] >> (7 - n % 8) & 1) == 0)
        n++;
    return n;
}

void pow_init(struct pow *p, const uint8_t drop[static DROP_ID_BYTES], struct slice blob, unsigned bits,
              const struct env *env)
{
    _Static_assert(sizeof p->text == POW_NONCE_AT + POW_NONCE_BYTES, "text of the proof");

    pow_text(drop, blob, p->text);
    env_random(env, &p->next, sizeof p->next);
    p->bits = (uint8_t)(bits < 1 ? 1 : bits > POW_BITS_MAX ? POW_BITS_MAX : bits);
}

enum err pow_search(struct pow *p, unsigned max_tries, uint8_t nonce[static POW_NONCE_BYTES])
{
    uint8_t hash[32];
    struct wr w;

    for (; max_tries > 0; max_tries--) {
        wr_init(&w, p->text + POW_NONCE_AT, POW_NONCE_BYTES);
        wr_u64(&w, p->next++);
        hash_once(sizeof hash, NULL, 0, slice_of(p->text, sizeof p->text), hash);
        if (leading_zero_bits(hash) >= p->bits) {
            memcpy(nonce, p->text + POW_NONCE_AT, POW_NONCE_BYTES);
            return ERR_OK;
        }
    }
    return ERR_AGAIN;
}

unsigned pow_bits(const uint8_t drop[static DROP_ID_BYTES], struct slice blob,
                  const uint8_t nonce[static POW_NONCE_BYTES])
{
    uint8_t text[POW_NONCE_AT + POW_NONCE_BYTES], hash[32];

    pow_text(drop, blob, text);
    memcpy(text + POW_NONCE_AT, nonce, POW_NONCE_BYTES);
    hash_once(sizeof hash, NULL, 0, slice_of(text, sizeof text), hash);
    return leading_zero_bits(hash);
}
