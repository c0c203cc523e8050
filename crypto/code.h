/* crypto/code.h - what two people read aloud: the call code of one call, the safety number of two IDs
 * (THREATS.md §4.10), the code of two devices that are linked (§4.11). */
#ifndef ITO_CRYPTO_CODE_H
#define ITO_CRYPTO_CODE_H

#include "crypto/secret.h"

#define CALL_ID_BYTES       16
#define CALL_CODE_BYTES     8  /* "482 913" */
#define SAFETY_NUMBER_BYTES 72 /* 12 groups of 5 digits */

/* c = H(32, -; "itodenwa-commit-v1" || nA32 || A_caller || A_callee || call_id16), sent in the INVITE. */
void call_commit(const uint8_t nonce_caller[static 32], const uint8_t caller[static KEY_BYTES],
                 const uint8_t callee[static KEY_BYTES], const uint8_t call_id[static CALL_ID_BYTES],
                 uint8_t out[static 32]);
/* The opened commitment is the one that was made; else the call ends as id_mismatch. */
bool call_commit_ok(const uint8_t commit[static 32], const uint8_t nonce_caller[static 32],
                    const uint8_t caller[static KEY_BYTES], const uint8_t callee[static KEY_BYTES],
                    const uint8_t call_id[static CALL_ID_BYTES]);
/* 0..999999. h: handshake hash of the session that carried the INVITE. */
uint32_t call_code(const uint8_t h[static 64], const uint8_t nonce_caller[static 32],
                   const uint8_t nonce_callee[static 32], const uint8_t caller[static KEY_BYTES],
                   const uint8_t callee[static KEY_BYTES]);
/* 0..999999: what both devices show while one is linked (§4.11). h: handshake hash of their session. */
uint32_t link_code(const uint8_t h[static 64]);
/* "482 913" */
const char *call_code_print(uint32_t code, char out[static CALL_CODE_BYTES]);
/* 60 digits in 12 groups of 5, a space between; the same for (a, b) and (b, a). */
const char *safety_number(const uint8_t a[static KEY_BYTES], const uint8_t b[static KEY_BYTES],
                          char out[static SAFETY_NUMBER_BYTES]);

#endif
