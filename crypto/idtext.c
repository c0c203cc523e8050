#include "crypto/idtext.h"

#include <stdio.h>
#include <strings.h>

#include "base/utf8.h"
#include "crypto/identity.h"

#define CHECKSUM_SYMBOLS 6
#define BECH32M_CONST    0x2bc830a3u
#define KEY_SYMBOLS      52
#define ID_SYMBOLS       (1 + KEY_SYMBOLS)               /* version, key */
#define CODE_SYMBOLS     (ID_SYMBOLS + CHECKSUM_SYMBOLS) /* all behind the separator */
#define ID_VERSION       0
#define WRONG_MAX        8 /* marked at most; more of them are no typing error */

static const char charset[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/* --- Bech32m --- */

/* One symbol more in the checksum register (BIP-173). */
static uint32_t step(uint32_t chk, uint8_t symbol)
{
    static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
    uint32_t top = chk >> 25;

    chk = (chk & 0x1ffffff) << 5 ^ symbol;
    for (int i = 0; i < 5; i++)
        chk ^= (top >> i & 1) ? generator[i] : 0;
    return chk;
}

static uint32_t checksum(const char *hrp, const uint8_t *symbols, size_t n)
{
    uint32_t chk = 1;

    for (const char *p = hrp; *p != '\0'; p++)
        chk = step(chk, (uint8_t)*p >> 5);
    chk = step(chk, 0);
    for (const char *p = hrp; *p != '\0'; p++)
        chk = step(chk, (uint8_t)*p & 31);
    for (size_t i = 0; i < n; i++)
        chk = step(chk, symbols[i]);
    return chk;
}

/* 0..31, or -1. */
static int symbol_of(char c)
{
    const char *at = c != '\0' ? strchr(charset, c) : NULL;

    return at != NULL ? (int)(at - charset) : -1;
}

enum err bech32m_encode(const char *hrp, const uint8_t *symbols, size_t n, char *out, size_t size)
{
    size_t hrp_len = strlen(hrp), at = 0;
    uint32_t chk;

    if (hrp_len + 1 + n + CHECKSUM_SYMBOLS + 1 > size)
        return ERR_FULL;
    chk = checksum(hrp, symbols, n);
    for (int i = 0; i < CHECKSUM_SYMBOLS; i++)
        chk = step(chk, 0);
    chk ^= BECH32M_CONST;
    memcpy(out, hrp, hrp_len);
    at = hrp_len;
    out[at++] = '1';
    for (size_t i = 0; i < n; i++)
        out[at++] = charset[symbols[i] & 31];
    for (int i = CHECKSUM_SYMBOLS - 1; i >= 0; i--)
        out[at++] = charset[chk >> (5 * i) & 31];
    out[at] = '\0';
    return ERR_OK;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Printable, and not of both cases. */
static bool has_one_case(const char *text)
{
    bool has_lower = false, has_upper = false;

    for (const char *p = text; *p != '\0'; p++) {
        if (*p < 33 || *p > 126)
            return false;
        has_lower |= *p >= 'a' && *p <= 'z';
        has_upper |= *p >= 'A' && *p <= 'Z';
    }
    return !(has_lower && has_upper);
}

enum err bech32m_decode(const char *text, size_t max_chars, char hrp[static BECH32M_HRP_MAX + 1],
                        uint8_t *symbols, size_t size, size_t *n)
{
    const char *one = strrchr(text, '1');
    size_t len = strlen(text), hrp_len, n_data;
    uint32_t chk;

    *n = 0;
    hrp[0] = '\0';
    if (len > max_chars || one == NULL || !has_one_case(text))
        return ERR_PARSE;
    hrp_len = (size_t)(one - text);
    n_data = len - hrp_len - 1;
    if (hrp_len < 1 || hrp_len > BECH32M_HRP_MAX || n_data < CHECKSUM_SYMBOLS)
        return ERR_PARSE;
    if (n_data - CHECKSUM_SYMBOLS > size)
        return ERR_FULL;
    for (size_t i = 0; i < hrp_len; i++)
        hrp[i] = lower(text[i]);
    hrp[hrp_len] = '\0';
    chk = checksum(hrp, NULL, 0);
    for (size_t i = 0; i < n_data; i++) {
        int v = symbol_of(lower(one[1 + i]));

        if (v < 0)
            return ERR_PARSE;
        chk = step(chk, (uint8_t)v);
        if (i < n_data - CHECKSUM_SYMBOLS)
            symbols[i] = (uint8_t)v;
    }
    if (chk != BECH32M_CONST)
        return ERR_AUTH;
    *n = n_data - CHECKSUM_SYMBOLS;
    return ERR_OK;
}

size_t bech32m_from_bytes(struct slice bytes, uint8_t *symbols)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        bits = (bits << 8 | bytes.data[i]) & 0xfff;
        for (n_bits += 8; n_bits >= 5; n_bits -= 5)
            symbols[n++] = bits >> (n_bits - 5) & 31;
    }
    if (n_bits > 0)
        symbols[n++] = (uint8_t)(bits << (5 - n_bits) & 31);
    return n;
}

bool bech32m_to_bytes(const uint8_t *symbols, size_t n, uint8_t *out, size_t size, size_t *len)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;

    *len = 0;
    for (size_t i = 0; i < n; i++) {
        bits = (bits << 5 | symbols[i]) & 0xfff;
        n_bits += 5;
        if (n_bits < 8)
            continue;
        if (*len == size)
            return false;
        n_bits -= 8;
        out[(*len)++] = (uint8_t)(bits >> n_bits);
    }
    return n_bits <= 4 && (bits & ((1u << n_bits) - 1)) == 0;
}

/* --- IDs out --- */

static void format_key(const char *hrp, const uint8_t key[static KEY_BYTES], char *out, size_t size)
{
    uint8_t symbols[ID_SYMBOLS] = {ID_VERSION};

    bech32m_from_bytes(slice_of(key, KEY_BYTES), symbols + 1);
    if (bech32m_encode(hrp, symbols, ID_SYMBOLS, out, size) != ERR_OK)
        out[0] = '\0';
}

const char *id_format(const uint8_t A[static KEY_BYTES], char out[static ID_TEXT_BYTES])
{
    format_key("ito", A, out, ID_TEXT_BYTES);
    return out;
}

const char *node_format(const uint8_t N[static KEY_BYTES], char out[static NODE_TEXT_BYTES])
{
    format_key("iton", N, out, NODE_TEXT_BYTES);
    return out;
}

const char *zone_key_format(const uint8_t Z[static KEY_BYTES], char out[static ZONE_TEXT_BYTES])
{
    format_key("itoz", Z, out, ZONE_TEXT_BYTES);
    return out;
}

#define MEMBER_BYTES   68
#define MEMBER_SYMBOLS (1 + (MEMBER_BYTES * 8 + 4) / 5)

const char *member_format(const uint8_t cert[static 68], char out[static MEMBER_TEXT_BYTES])
{
    uint8_t symbols[MEMBER_SYMBOLS] = {ID_VERSION};

    bech32m_from_bytes(slice_of(cert, MEMBER_BYTES), symbols + 1);
    if (bech32m_encode("itom", symbols, MEMBER_SYMBOLS, out, MEMBER_TEXT_BYTES) != ERR_OK)
        out[0] = '\0';
    return out;
}

const char *id_short(const char *text, bool ascii, char out[static ID_SHORT_BYTES])
{
    size_t len = strlen(text);

    if (len <= 12)
        snprintf(out, ID_SHORT_BYTES, "%s", text);
    else
        snprintf(out, ID_SHORT_BYTES, "%.8s%s%s", text, ascii ? ".." : "\u2026", text + len - 4);
    return out;
}

const char *id_sip(const uint8_t A[static KEY_BYTES], char out[static ID_SIP_BYTES])
{
    char id[ID_TEXT_BYTES];

    snprintf(out, ID_SIP_BYTES, "sip:%s@ito.alt", id_format(A, id));
    return out;
}

const char *id_spaced(const uint8_t A[static KEY_BYTES], char out[static ID_SPACED_BYTES])
{
    char id[ID_TEXT_BYTES];
    size_t at = 0;

    id_format(A, id);
    for (size_t i = 0; i < ID_TEXT_CHARS; i++) {
        if (i > 0 && i % 4 == 0)
            out[at++] = ' ';
        out[at++] = id[i];
    }
    out[at] = '\0';
    return out;
}

/* --- IDs in --- */

/* What people's programs put between the characters. */
static bool is_skipped(uint32_t c)
{
    return c == ' ' || c == '-' || (c >= '\t' && c <= '\r') || c == 0xa0 || c == 0xad ||
           (c >= 0x2000 && c <= 0x2015) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x2060 ||
           c == 0x2212 || c == 0x3000 || c == 0xfeff;
}

static void put(char *out, size_t size, size_t *n, char c)
{
    if (*n + 1 < size)
        out[*n] = c;
    ++*n;
}

size_t id_clean(struct slice text, char *out, size_t size)
{
    size_t n = 0;

    while (text.len > 0) {
        uint32_t c = utf8_next(&text);

        if (is_skipped(c))
            continue;
        if (c == 0x2026) {
            put(out, size, &n, '.');
            put(out, size, &n, '.');
        } else {
            put(out, size, &n, c > 32 && c < 127 ? lower((char)c) : '?');
        }
    }
    out[n < size ? n : size - 1] = '\0';
    return n;
}

/* All before the '?' of the parameters. */
static struct slice before_params(const char *text)
{
    return slice_of(text, strcspn(text, "?"));
}

bool id_param(const char *text, const char *key, struct slice *value)
{
    const char *at = strchr(text, '?');
    size_t key_len = strlen(key);

    *value = (struct slice){0};
    while (at != NULL && *at != '\0') {
        size_t len;

        at += 1 + strspn(at + 1, " \t\r\n");
        len = strcspn(at, "&#");
        if (len > key_len && at[key_len] == '=' && strncasecmp(at, key, key_len) == 0) {
            *value = slice_of(at + key_len + 1, len - key_len - 1);
            return true;
        }
        at = at[len] == '&' ? at + len : NULL;
    }
    return false;
}

static int hex_digit(uint8_t c)
{
    const char *digits = "0123456789abcdef", *at = c != 0 ? strchr(digits, lower((char)c)) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/* Percent-decode; a '%' without two digits stays. The cleaner drops what is no text. */
static size_t percent_decode(struct slice in, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < in.len && n < size; i++) {
        int high = i + 2 < in.len ? hex_digit(in.data[i + 1]) : -1;
        int low = i + 2 < in.len ? hex_digit(in.data[i + 2]) : -1;

        if (in.data[i] == '%' && high >= 0 && low >= 0) {
            out[n++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[n++] = (char)in.data[i];
        }
    }
    return n;
}

static void read_name(const char *text, char *name)
{
    char decoded[ID_INPUT_MAX];
    struct slice value;
    size_t n, first = 0;

    name[0] = '\0';
    if (!id_param(text, "name", &value))
        return;
    n = percent_decode(value, decoded, sizeof decoded);
    while (n > 0 && (decoded[n - 1] == ' ' || decoded[n - 1] == '\n' || decoded[n - 1] == '\r'))
        n--;
    while (first < n && decoded[first] == ' ')
        first++;
    utf8_clean(decoded + first, n - first, name, ID_NAME_BYTES);
}

/* What the sentences say about an ID and about a node. */
struct kind {
    const char *hrp, *noun, *small_noun;
    size_t chars;
};

static const struct kind person = {"ito", "ID", "ID", ID_TEXT_CHARS};
static const struct kind node = {"iton", "Node name", "node name", NODE_TEXT_CHARS};
static const struct kind zone_key = {"itoz", "Zone key", "zone key", ZONE_TEXT_BYTES - 1};

/* Positions, from 0 in the cleaned text, that are probably wrong. */
struct wrong {
    size_t at[WRONG_MAX];
    size_t n;
};

static void wrong_add(struct wrong *w, size_t at)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->at[i] == at)
            return;
    if (w->n < WRONG_MAX)
        w->at[w->n++] = at;
}

/* The change of the checksum register by value v at symbol p. The code is linear: changes add up by xor. */
static void changes_by(uint32_t table[CODE_SYMBOLS][32])
{
    for (uint8_t v = 0; v < 32; v++) {
        uint32_t r = v;

        for (size_t p = CODE_SYMBOLS; p > 0; p--) {
            table[p - 1][v] = r;
            r = step(r, 0);
        }
    }
}

/* One or two symbols whose change explains `residue`. The code's distance of 5 makes the answer unique. Tries
 * all 1.6 million pairs, about a millisecond: only after a typing error. */
static size_t locate(uint32_t residue, size_t at[static 2])
{
    uint32_t table[CODE_SYMBOLS][32];

    changes_by(table);
    for (at[0] = 0; at[0] < CODE_SYMBOLS; at[0]++)
        for (int v = 1; v < 32; v++)
            if (table[at[0]][v] == residue)
                return 1;
    for (at[0] = 0; at[0] < CODE_SYMBOLS; at[0]++)
        for (int v = 1; v < 32; v++)
            for (at[1] = at[0] + 1; at[1] < CODE_SYMBOLS; at[1]++)
                for (int u = 1; u < 32; u++)
                    if ((table[at[0]][v] ^ table[at[1]][u]) == residue)
                        return 2;
    return 0;
}

/* text has the right length and a wrong checksum: say where, as far as that can be told. */
static void find_wrong(const struct kind *kind, const char *text, struct wrong *w)
{
    size_t hrp_len = strlen(kind->hrp), at[2], n;
    uint8_t symbols[CODE_SYMBOLS];
    uint32_t residue;

    w->n = 0;
    for (size_t i = 0; i <= hrp_len; i++)
        if (text[i] != (i < hrp_len ? kind->hrp[i] : '1'))
            wrong_add(w, i);
    for (size_t i = 0; i < CODE_SYMBOLS; i++) {
        int v = symbol_of(text[hrp_len + 1 + i]);

        if (v < 0)
            wrong_add(w, hrp_len + 1 + i);
        symbols[i] = v < 0 ? 0 : (uint8_t)v;
    }
    if (w->n > 2) {
        w->n = 0;
        return;
    }
    residue = checksum(kind->hrp, symbols, CODE_SYMBOLS) ^ BECH32M_CONST;
    n = residue != 0 ? locate(residue, at) : 0;
    for (size_t i = 0; i < n; i++)
        wrong_add(w, hrp_len + 1 + at[i]);
}

static enum err typing_error(const struct kind *kind, const char *text, struct err_detail *detail)
{
    char marks[NODE_TEXT_BYTES], places[64];
    size_t last = 0, used = 0;
    struct wrong w;

    find_wrong(kind, text, &w);
    if (w.n == 0)
        return err_set(detail, ERR_PARSE, "%s has several typing errors. Ask for it again.", kind->noun);
    memset(marks, ' ', sizeof marks);
    for (size_t i = 0; i < w.n; i++) {
        marks[w.at[i]] = '^';
        last = w.at[i] > last ? w.at[i] : last;
    }
    marks[last + 1] = '\0';
    for (size_t i = 0, left = w.n; i <= last; i++)
        if (marks[i] == '^') {
            left--;
            used += (size_t)snprintf(places + used, sizeof places - used, "%zu%s", i + 1,
                                     left > 1    ? ", "
                                     : left == 1 ? " and "
                                                 : "");
        }
    if (w.n == 1)
        return err_set(detail, ERR_PARSE,
                       "%s has a typing error, probably at character %s (marked ^).\n%s\n%s", kind->noun,
                       places, text, marks);
    return err_set(detail, ERR_PARSE,
                   "%s has %zu typing errors, probably at characters %s (marked ^).\n%s\n%s", kind->noun, w.n,
                   places, text, marks);
}

/* A text with a right checksum that is of another kind. */
static enum err other_kind(const struct kind *kind, const char *hrp, struct err_detail *detail)
{
    if (strcmp(hrp, "iton") == 0)
        return err_set(detail, ERR_PARSE, "That is the name of a node, not the ID of a person.");
    if (strcmp(hrp, "ito") == 0)
        return err_set(detail, ERR_PARSE, "That is the ID of a person, not the name of a node.");
    if (strcmp(hrp, "itoi") == 0)
        return err_set(detail, ERR_PARSE,
                       "That is only the end of an invite. Paste the whole text, from ito: on.");
    return err_set(detail, ERR_PARSE, "%s starts with %s1, this with %.20s1.", kind->noun, kind->hrp, hrp);
}

static enum err read_key(const struct kind *kind, const uint8_t *symbols, size_t n,
                         uint8_t key[static KEY_BYTES], struct err_detail *detail)
{
    size_t len;

    if (n > 0 && symbols[0] != ID_VERSION)
        return err_set(detail, ERR_VERSION, "%s is version %d; this ito knows version %d. Update ito.",
                       kind->noun, symbols[0], ID_VERSION);
    if (n != ID_SYMBOLS)
        return ERR_RANGE;
    if (!bech32m_to_bytes(symbols + 1, KEY_SYMBOLS, key, KEY_BYTES, &len) || len != KEY_BYTES ||
        !ed_key_valid(key)) {
        memset(key, 0, KEY_BYTES);
        return err_set(detail, ERR_PARSE, "%s is well written but is not a key.", kind->noun);
    }
    return ERR_OK;
}

/* text is cleaned and without what stands around it; n_chars may be more than was kept of it. */
static enum err parse_key(const struct kind *kind, const char *text, size_t n_chars,
                          uint8_t key[static KEY_BYTES], struct err_detail *detail)
{
    uint8_t symbols[ID_INPUT_MAX];
    char hrp[BECH32M_HRP_MAX + 1];
    enum err e = ERR_PARSE;
    size_t n;

    if (strstr(text, "..") != NULL)
        return err_set(detail, ERR_PARSE, "That is a shortened %s. Ask for all %zu characters.",
                       kind->small_noun, kind->chars);
    if (n_chars < ID_INPUT_MAX)
        e = bech32m_decode(text, ID_INPUT_MAX, hrp, symbols, sizeof symbols, &n);
    if (e == ERR_OK && strcmp(hrp, kind->hrp) != 0)
        return other_kind(kind, hrp, detail);
    if (e == ERR_OK) {
        e = read_key(kind, symbols, n, key, detail);
        if (e != ERR_RANGE)
            return e;
    }
    if (n_chars != kind->chars)
        return err_set(detail, ERR_PARSE, "%s has %zu characters, needs %zu.", kind->noun, n_chars,
                       kind->chars);
    return typing_error(kind, text, detail);
}

/* Step over the scheme and cut the host: "ito:ID", "sip:ID@ito.alt", "<...>". */
static enum err strip(char **text, struct err_detail *detail)
{
    char *t = *text, *at;
    size_t len;

    if (*t == '<')
        t++;
    len = strlen(t);
    if (len > 0 && t[len - 1] == '>')
        t[len - 1] = '\0';
    if (strncmp(t, "ito:", 4) == 0 || strncmp(t, "sip:", 4) == 0)
        t += 4;
    if (strncmp(t, "//", 2) == 0)
        t += 2;
    *text = t;
    at = strchr(t, '@');
    if (at == NULL)
        return ERR_OK;
    *at++ = '\0';
    at[strcspn(at, ";>")] = '\0';
    if (strcmp(at, "ito.alt") != 0)
        return err_set(detail, ERR_PARSE, "An ID ends in @ito.alt or has no @; this one ends in @%.64s.", at);
    return ERR_OK;
}

enum err id_parse(const char *text, uint8_t A[static KEY_BYTES], char *name, struct err_detail *detail)
{
    char clean[ID_INPUT_MAX], *id = clean;
    size_t n_chars, n_kept;
    enum err e;

    memset(A, 0, KEY_BYTES);
    if (name != NULL)
        name[0] = '\0';
    n_chars = id_clean(before_params(text), clean, sizeof clean);
    n_kept = strlen(clean);
    e = strip(&id, detail);
    if (e != ERR_OK)
        return e;
    e = parse_key(&person, id, strlen(id) + (n_chars - n_kept), A, detail);
    if (e == ERR_OK && name != NULL)
        read_name(text, name);
    return e;
}

/* A key that stands alone. */
static enum err parse_alone(const struct kind *kind, const char *text, uint8_t out[static KEY_BYTES],
                            struct err_detail *detail)
{
    char clean[ID_INPUT_MAX];
    size_t n_chars;

    memset(out, 0, KEY_BYTES);
    n_chars = id_clean(slice_str(text), clean, sizeof clean);
    return parse_key(kind, clean, n_chars, out, detail);
}

enum err node_parse(const char *text, uint8_t N[static KEY_BYTES], struct err_detail *detail)
{
    return parse_alone(&node, text, N, detail);
}

enum err zone_key_parse(const char *text, uint8_t Z[static KEY_BYTES], struct err_detail *detail)
{
    return parse_alone(&zone_key, text, Z, detail);
}

enum err member_parse(const char *text, uint8_t cert[static 68], struct err_detail *detail)
{
    char clean[ID_INPUT_MAX], hrp[BECH32M_HRP_MAX + 1];
    uint8_t symbols[ID_INPUT_MAX], bytes[MEMBER_BYTES];
    size_t n, len = 0;
    enum err e = ERR_PARSE;

    memset(cert, 0, MEMBER_BYTES);
    if (id_clean(slice_str(text), clean, sizeof clean) == MEMBER_TEXT_BYTES - 1)
        e = bech32m_decode(clean, ID_INPUT_MAX, hrp, symbols, sizeof symbols, &n);
    if (e == ERR_AUTH)
        return err_set(detail, ERR_PARSE, "This member certificate has a typing error.");
    if (e != ERR_OK || strcmp(hrp, "itom") != 0 || n != MEMBER_SYMBOLS)
        return err_set(detail, ERR_PARSE,
                       "This is no member certificate. They have %d characters and begin with itom1.",
                       MEMBER_TEXT_BYTES - 1);
    if (symbols[0] != ID_VERSION)
        return err_set(detail, ERR_VERSION,
                       "This member certificate is of version %d; this program knows %d.", symbols[0],
                       ID_VERSION);
    if (!bech32m_to_bytes(symbols + 1, n - 1, bytes, sizeof bytes, &len) || len != MEMBER_BYTES)
        return err_set(detail, ERR_PARSE, "This member certificate has a typing error.");
    memcpy(cert, bytes, MEMBER_BYTES);
    return ERR_OK;
}
