/* store/invites.h - invites we gave out and those we hold (THREATS.md §4.4): a secret each, uses, an end.
 *
 *   owner  invites_create()/destroy(); entries are borrowed until the next change
 *   caps   INVITES_MAX open ones of ours; INVITES_HELD_MAX of others
 *   trust  the file holds bearer secrets: 0600, wiped in memory */
#ifndef ITO_STORE_INVITES_H
#define ITO_STORE_INVITES_H

#include "base/err.h"
#include "base/json.h"
#include "crypto/invite.h"

#define INVITES_MAX      16
#define INVITES_HELD_MAX 32
#define INVITE_USES_MAX  100
#define INVITE_MARK      0x80000000u

struct invite_row {
    uint8_t X[KEY_BYTES]; /* X_I */
    uint8_t A[KEY_BYTES]; /* held: who invites us; ours: our own */
    int64_t expires_s;
    unsigned uses; /* left; held ones have 1 */
};

struct invites;

/* NULL path: in memory only. */
struct invites *invites_create(const char *path);
void invites_destroy(struct invites *v);
/* A damaged file is kept aside (.damaged) and ERR_PARSE; the lists are empty then. */
enum err invites_load(struct invites *v, struct err_detail *detail);
/* is_held: one somebody gave us. ERR_FULL; a held one of the same person is replaced. */
enum err invites_add(struct invites *v, bool is_held, const struct invite_row *row,
                     struct err_detail *detail);
size_t invites_count(const struct invites *v, bool is_held);
const struct invite_row *invites_at(const struct invites *v, bool is_held, size_t i);
/* A name of one of ours that stays when others are used up: INVITE_MARK and 24 bits. */
uint32_t invite_row_mark(const struct invite_row *row);
const struct invite_row *invites_by_mark(const struct invites *v, uint32_t mark);
const struct invite_row *invites_held_of(const struct invites *v, const uint8_t A[static KEY_BYTES]);
/* One use less of ours by its secret; gone at 0. */
void invites_use(struct invites *v, const uint8_t X[static KEY_BYTES]);
void invites_drop_held(struct invites *v, const uint8_t A[static KEY_BYTES]);
/* Forget what is over. True when something changed. */
bool invites_expire(struct invites *v, int64_t wall_s);

#endif
