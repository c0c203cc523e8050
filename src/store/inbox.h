/* store/inbox.h - requests of strangers that wait for a decision, and our own that wait for an answer.
 *
 *   in     struct inbox_entry made from an opened request (crypto/request.h)
 *   owner  inbox_create()/destroy(); entries are borrowed until the next change
 *   caps   `max` requests in, one for each ID (a repeat counts up `tries`); INBOX_OUT_MAX out; what does not
 *          fit is counted as dropped */
#ifndef ITO_STORE_INBOX_H
#define ITO_STORE_INBOX_H

#include "base/json.h"
#include "crypto/cert.h"
#include "crypto/idtext.h"

#define INBOX_OUT_MAX    64
#define INBOX_NOTE_BYTES 401

struct inbox_entry {
    uint8_t id[KEY_BYTES];
    char name[ID_NAME_BYTES]; /* claimed */
    char note[INBOX_NOTE_BYTES];
    bool wants_contact; /* else a call */
    int64_t when_ms;    /* wall clock, last time */
    int64_t made_s;     /* as the sender says; tells repeats from copies */
    unsigned tries;
    bool has_S; /* the sender's S came along: allowing makes them callable at once */
    uint8_t S[KEY_BYTES];
    uint32_t S_gen;
};

struct inbox;

/* NULL path: in memory only. */
struct inbox *inbox_create(const char *path);
void inbox_destroy(struct inbox *b);
enum err inbox_load(struct inbox *b, struct err_detail *detail);
/* A request arrived: ERR_OK new, ERR_DUPLICATE known (tries counted when it was made later), ERR_FULL dropped. */
enum err inbox_put(struct inbox *b, const struct inbox_entry *entry, size_t max, struct err_detail *detail);
/* We sent one. */
enum err inbox_put_out(struct inbox *b, const struct inbox_entry *entry, struct err_detail *detail);
size_t inbox_count(const struct inbox *b, bool is_out);
const struct inbox_entry *inbox_at(const struct inbox *b, bool is_out, size_t i); /* 0 is the newest */
const struct inbox_entry *inbox_by_id(const struct inbox *b, bool is_out, const uint8_t id[static KEY_BYTES]);
/* Forget the entry of that ID; fine when there is none. */
enum err inbox_delete(struct inbox *b, bool is_out, const uint8_t id[static KEY_BYTES],
                      struct err_detail *detail);
unsigned inbox_dropped_today(const struct inbox *b, int64_t wall_ms);
void inbox_count_dropped(struct inbox *b, int64_t wall_ms);

#endif
