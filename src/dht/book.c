#include "dht/book.h"

#include "base/mem.h"

struct book *book_create(void)
{
    return mem_alloc(sizeof(struct book));
}

void book_destroy(struct book *b)
{
    if (b == NULL)
        return;
    for (uint32_t i = 0; i < b->n_pages; i++)
        mem_free(b->pages[i]);
    mem_free(b->pages);
    mem_free(b->heads);
    mem_free(b);
}

bool contact_equal(const struct contact *a, const struct contact *b)
{
    return id_equal(a->id, b->id) && addr_equal(&a->addr, &b->addr) &&
           memcmp(a->key, b->key, sizeof a->key) == 0 && memcmp(a->nonce, b->nonce, sizeof a->nonce) == 0;
}

static struct book_entry *entry(const struct book *b, uint32_t number)
{
    return &b->pages[number / BOOK_PAGE][number % BOOK_PAGE];
}

static uint32_t *head_of(const struct book *b, const struct contact *c)
{
    uint32_t v;

    memcpy(&v, c->id + 12,
           sizeof v); /* the first bytes are shared with us, the last may be chosen: no matter */
    return &b->heads[(v ^ c->addr.port) & (b->n_heads - 1)];
}

static void rehash(struct book *b)
{
    mem_free(b->heads);
    b->n_heads = b->n_heads > 0 ? b->n_heads * 2 : BOOK_PAGE;
    b->heads = mem_array(b->n_heads, sizeof *b->heads);
    for (uint32_t i = 0; i < b->n_pages * BOOK_PAGE; i++) {
        struct book_entry *e = entry(b, i);

        if (e->n_holders > 0) {
            uint32_t *head = head_of(b, &e->c);

            e->next = *head;
            *head = i + 1;
        }
    }
}

static void add_page(struct book *b)
{
    uint32_t first = b->n_pages * BOOK_PAGE;

    if ((b->n_pages & (b->n_pages - 1)) == 0)
        b->pages = mem_resize(b->pages, b->n_pages > 0 ? b->n_pages * 2 : 1, sizeof *b->pages);
    b->pages[b->n_pages++] = mem_array(BOOK_PAGE, sizeof **b->pages);
    for (uint32_t i = BOOK_PAGE; i > 0; i--) {
        entry(b, first + i - 1)->next = b->free;
        b->free = first + i;
    }
}

uint32_t book_keep(struct book *b, const struct contact *c)
{
    struct book_entry *e;
    uint32_t number, *head;

    if (b->n >= b->n_heads)
        rehash(b);
    for (uint32_t at = *head_of(b, c); at != 0; at = e->next) {
        e = entry(b, at - 1);
        if (contact_equal(&e->c, c)) {
            e->n_holders++;
            return at - 1;
        }
    }
    if (b->free == 0)
        add_page(b);
    number = b->free - 1;
    e = entry(b, number);
    b->free = e->next;
    head = head_of(b, c);
    *e = (struct book_entry){.c = *c, .n_holders = 1, .next = *head};
    *head = number + 1;
    b->n++;
    return number;
}

void book_hold(struct book *b, uint32_t number)
{
    entry(b, number)->n_holders++;
}

void book_drop(struct book *b, uint32_t number)
{
    struct book_entry *e = entry(b, number);
    uint32_t *link;

    if (--e->n_holders > 0)
        return;
    for (link = head_of(b, &e->c); *link != number + 1; link = &entry(b, *link - 1)->next)
        ;
    *link = e->next;
    memset(e, 0, sizeof *e);
    e->next = b->free;
    b->free = number + 1;
    b->n--;
}
