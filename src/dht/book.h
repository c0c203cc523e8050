/* dht/book.h - contacts, each kept once and named by a number.
 *
 * Tables and pairs hold 4 bytes in place of a whole contact. One node has a book of its own; the many nodes of one
 * process may share one (dht_config.book), and then what a thousand of them know of one node is kept once.
 *
 *   owner  whoever made it; every number given out by book_keep() is held until book_drop()
 *   trust  none: two contacts that differ in any byte are two contacts
 *   caps   none of its own: its users have theirs */
#ifndef ITO_DHT_BOOK_H
#define ITO_DHT_BOOK_H

#include "base/addr.h"
#include "dht/id.h"

/* Whom to send to. */
struct contact {
    uint8_t id[ID_BYTES];
    uint8_t key[32]; /* N; zeros on mainline */
    uint8_t nonce[8];
    struct addr addr;
};

#define BOOK_PAGE 64 /* contacts allocated at a time; they never move */

struct book_entry {
    struct contact c;
    uint32_t n_holders, next; /* next with the same hash, or free */
};

struct book {
    struct book_entry **pages;
    uint32_t *heads;
    uint32_t n_pages, n_heads, n, free; /* heads, free: number + 1; 0: none */
};

struct book *book_create(void);
void book_destroy(struct book *b); /* accepts NULL */
/* The number of that contact, held once more. */
uint32_t book_keep(struct book *b, const struct contact *c);
/* The same for a number that is held already. */
void book_hold(struct book *b, uint32_t number);
void book_drop(struct book *b, uint32_t number);

/* Valid while the number is held. */
static inline const struct contact *book_at(const struct book *b, uint32_t number)
{
    return &b->pages[number / BOOK_PAGE][number % BOOK_PAGE].c;
}

bool contact_equal(const struct contact *a, const struct contact *b);

#endif
