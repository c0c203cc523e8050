/* dht/bencode.h - canonical bencoding (BEP 3), read strictly and written in order.
 *
 * Reading has two steps: ben_check() goes through all the bytes once (types, lengths, depth, keys sorted and
 * distinct, no leading zeros); after that the walkers below cannot run out of bounds, and still check.
 *
 *   in     bytes of anybody
 *   out    borrowed slices of them
 *   caps   BEN_DEPTH nested lists and dictionaries; integers of 64 bits */
#ifndef ITO_DHT_BENCODE_H
#define ITO_DHT_BENCODE_H

#include "base/cursor.h"
#include "base/err.h"

#define BEN_DEPTH 8

/* ERR_OK when bytes are exactly one canonical value, else ERR_PARSE. */
enum err ben_check(struct slice bytes);

/* The value at hand as ...; false when it is something else. raw is one whole value. */
bool ben_int(struct slice raw, int64_t *out);
bool ben_str(struct slice raw, struct slice *out);

/* Walk over a list or a dictionary. */
struct ben_iter {
    struct slice left;
    bool is_dict;
};
/* False when raw is not of that type. */
bool ben_list(struct slice raw, struct ben_iter *it);
bool ben_dict(struct slice raw, struct ben_iter *it);
/* The next pair or element (key is empty in lists); false at the end. value is raw. */
bool ben_next(struct ben_iter *it, struct slice *key, struct slice *value);

/* Writer. It fails, and stays failed, when the room ends or a key is not greater than the one before it. */
struct ben_wr {
    struct wr w;
    struct slice last[BEN_DEPTH]; /* the last key of each open dictionary, in the buffer; of a list: unused */
    uint8_t depth;
};
void ben_wr_init(struct ben_wr *b, void *buf, size_t size);
void ben_open_dict(struct ben_wr *b);
void ben_open_list(struct ben_wr *b);
void ben_close(struct ben_wr *b);
void ben_put_key(struct ben_wr *b, const char *key);
void ben_put_int(struct ben_wr *b, int64_t v);
void ben_put_str(struct ben_wr *b, struct slice s);
/* One value that is bencoded already. */
void ben_put_raw(struct ben_wr *b, struct slice raw);
/* The head "<len>:" of a byte string and room for its bytes; NULL when there is none. */
uint8_t *ben_put_room(struct ben_wr *b, size_t len);
/* What was written; empty after a failure or while something is open. */
struct slice ben_wr_done(const struct ben_wr *b);

#endif
