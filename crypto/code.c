#include "crypto/code.h"

#include <stdio.h>

void call_commit(const uint8_t nonce_caller[static 32], const uint8_t caller[static KEY_BYTES],
                 const uint8_t callee[static KEY_BYTES], const uint8_t call_id[static CALL_ID_BYTES],
                 uint8_t out[static 32])
{
    struct hasher h;

    hash_begin(&h, 32, NULL, 0);
    hash_text(&h, "itodenwa-commit-v1");
    hash_bytes(&h, nonce_caller, 32);
    hash_bytes(&h, caller, KEY_BYTES);
    hash_bytes(&h, callee, KEY_BYTES);
    hash_bytes(&h, call_id, CALL_ID_BYTES);
    hash_end(&h, out);
}

bool call_commit_ok(const uint8_t commit[static 32], const uint8_t nonce_caller[static 32],
                    const uint8_t caller[static KEY_BYTES], const uint8_t callee[static KEY_BYTES],
                    const uint8_t call_id[static CALL_ID_BYTES])
{
    uint8_t expected[32];

    call_commit(nonce_caller, caller, callee, call_id, expected);
    return secret_equal(commit, expected, sizeof expected);
}

/* Big-endian, n bytes. */
static uint64_t number(const uint8_t *b, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | b[i];
    return v;
}

uint32_t call_code(const uint8_t h[static 64], const uint8_t nonce_caller[static 32],
                   const uint8_t nonce_callee[static 32], const uint8_t caller[static KEY_BYTES],
                   const uint8_t callee[static KEY_BYTES])
{
    struct hasher hash;
    uint8_t b[8];

    hash_begin(&hash, sizeof b, NULL, 0);
    hash_text(&hash, "itodenwa-code-v1");
    hash_bytes(&hash, h, 64);
    hash_bytes(&hash, nonce_caller, 32);
    hash_bytes(&hash, nonce_callee, 32);
    hash_bytes(&hash, caller, KEY_BYTES);
    hash_bytes(&hash, callee, KEY_BYTES);
    hash_end(&hash, b);
    return (uint32_t)(number(b, sizeof b) % 1000000);
}

uint32_t link_code(const uint8_t h[static 64])
{
    struct hasher hash;
    uint8_t b[8];

    hash_begin(&hash, sizeof b, NULL, 0);
    hash_text(&hash, "itodenwa-link-code-v1");
    hash_bytes(&hash, h, 64);
    hash_end(&hash, b);
    return (uint32_t)(number(b, sizeof b) % 1000000);
}

const char *call_code_print(uint32_t code, char out[static CALL_CODE_BYTES])
{
    snprintf(out, CALL_CODE_BYTES, "%03u %03u", code / 1000 % 1000, code % 1000);
    return out;
}

/* Six groups of five digits, each with a space behind. */
static void half(const uint8_t A[static KEY_BYTES], char out[static 37])
{
    struct hasher h;
    uint8_t b[30];

    hash_begin(&h, sizeof b, NULL, 0);
    hash_text(&h, "itodenwa-safety-v1");
    hash_bytes(&h, A, KEY_BYTES);
    hash_end(&h, b);
    for (int i = 0; i < 6; i++)
        snprintf(out + 6 * i, 7, "%05u ", (unsigned)(number(b + 5 * i, 5) % 100000));
}

const char *safety_number(const uint8_t a[static KEY_BYTES], const uint8_t b[static KEY_BYTES],
                          char out[static SAFETY_NUMBER_BYTES])
{
    bool a_first = memcmp(a, b, KEY_BYTES) < 0;
    char second[37];

    half(a_first ? a : b, out);
    half(a_first ? b : a, second);
    second[35] = '\0';
    memcpy(out + 36, second, 36);
    return out;
}
