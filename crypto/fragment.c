#include "crypto/fragment.h"

#include "base/cursor.h"
#include "base/mem.h"

size_t piece_write(const struct piece *p, uint8_t out[static PIECE_PLAIN_MAX])
{
    size_t len = PIECE_HEAD_BYTES + p->data.len;
    struct wr w;

    len = (len + PIECE_PAD_BYTES - 1) / PIECE_PAD_BYTES * PIECE_PAD_BYTES;
    wr_init(&w, out, PIECE_PLAIN_MAX);
    wr_u8(&w, p->chan);
    wr_u32(&w, p->msg);
    wr_u8(&w, p->frag);
    wr_u8(&w, p->nfrag);
    wr_u16(&w, (uint16_t)p->data.len);
    wr_slice(&w, p->data);
    wr_zeros(&w, len - wr_len(&w));
    return len;
}

enum err piece_parse(struct slice plain, struct piece *out)
{
    struct rd r;

    if (plain.len == 0 || plain.len > PIECE_PLAIN_MAX || plain.len % PIECE_PAD_BYTES != 0)
        return ERR_PARSE;
    rd_init(&r, plain);
    out->chan = rd_u8(&r);
    out->msg = rd_u32(&r);
    out->frag = rd_u8(&r);
    out->nfrag = rd_u8(&r);
    out->data = rd_bytes(&r, rd_u16(&r));
    if (rd_left(&r) >= PIECE_PAD_BYTES || !rd_zeros(&r) || !rd_done(&r))
        return ERR_PARSE;
    if (out->nfrag < 1 || out->nfrag > PIECES_MAX || out->frag >= out->nfrag)
        return ERR_PARSE;
    if (out->frag + 1 < out->nfrag && out->data.len != PIECE_DATA_MAX)
        return ERR_PARSE;
    return ERR_OK;
}

/* --- replay window --- */

bool replay_is_fresh(const struct replay *w, uint64_t counter)
{
    if (counter >= w->next)
        return counter < UINT64_MAX;
    if (w->next - counter > REPLAY_WINDOW)
        return false;
    return (w->bits[counter / 64 % (REPLAY_WINDOW / 64)] >> counter % 64 & 1) == 0;
}

bool replay_set(struct replay *w, uint64_t counter)
{
    bool is_newest = counter >= w->next;

    if (is_newest) {
        if (counter - w->next >= REPLAY_WINDOW)
            memset(w->bits, 0, sizeof w->bits);
        else
            for (uint64_t c = w->next; c < counter; c++)
                w->bits[c / 64 % (REPLAY_WINDOW / 64)] &= ~(1ull << c % 64);
        w->next = counter + 1;
    }
    w->bits[counter / 64 % (REPLAY_WINDOW / 64)] |= 1ull << counter % 64;
    return is_newest;
}

/* --- reassembly --- */

struct slot {
    bool is_used;
    uint8_t chan, nfrag;
    uint16_t have; /* bit for each piece */
    uint16_t last_len;
    uint32_t msg;
    uint64_t owner;
    ns_t began_at;
    uint8_t data[FRAGMENT_MESSAGE_MAX];
};

struct reassembly {
    uint32_t n_slots;
    uint64_t dropped;
    struct slot slots[];
};

struct reassembly *reassembly_create(uint32_t n_slots)
{
    struct reassembly *a = mem_alloc(sizeof *a + n_slots * sizeof a->slots[0]);

    a->n_slots = n_slots;
    return a;
}

void reassembly_destroy(struct reassembly *a)
{
    mem_free(a);
}

static void drop(struct reassembly *a, struct slot *s)
{
    s->is_used = false;
    a->dropped++;
}

/* A slot for a new message: an empty one; the oldest of this owner when it has its share; else the oldest. */
static struct slot *take_slot(struct reassembly *a, uint64_t owner)
{
    struct slot *empty = NULL, *oldest = NULL, *own_oldest = NULL, *s;
    unsigned n_own = 0;

    for (uint32_t i = 0; i < a->n_slots; i++) {
        s = &a->slots[i];
        if (!s->is_used) {
            empty = s;
            continue;
        }
        if (oldest == NULL || s->began_at < oldest->began_at)
            oldest = s;
        if (s->owner == owner) {
            n_own++;
            if (own_oldest == NULL || s->began_at < own_oldest->began_at)
                own_oldest = s;
        }
    }
    s = n_own >= REASSEMBLY_PER_OWNER ? own_oldest : empty != NULL ? empty : oldest;
    if (s != NULL && s->is_used)
        drop(a, s);
    return s;
}

static struct slot *find_slot(struct reassembly *a, ns_t now, uint64_t owner, uint32_t msg)
{
    struct slot *found = NULL;

    for (uint32_t i = 0; i < a->n_slots; i++) {
        struct slot *s = &a->slots[i];

        if (s->is_used && now - s->began_at >= FRAGMENT_LIFE_NS)
            drop(a, s);
        if (s->is_used && s->owner == owner && s->msg == msg)
            found = s;
    }
    return found;
}

enum err reassembly_put(struct reassembly *a, ns_t now, uint64_t owner, const struct piece *p,
                        struct slice *msg)
{
    struct slot *s;

    if (p->nfrag == 1) {
        *msg = p->data;
        return ERR_OK;
    }
    s = find_slot(a, now, owner, p->msg);
    if (s == NULL) {
        s = take_slot(a, owner);
        if (s == NULL)
            return ERR_FULL;
        s->is_used = true;
        s->owner = owner;
        s->msg = p->msg;
        s->chan = p->chan;
        s->nfrag = p->nfrag;
        s->have = 0;
        s->began_at = now;
    }
    if (s->chan != p->chan || s->nfrag != p->nfrag) {
        drop(a, s);
        return ERR_PARSE;
    }
    if (s->have >> p->frag & 1)
        return ERR_DUPLICATE;
    if (p->data.len > 0)
        memcpy(s->data + (size_t)p->frag * PIECE_DATA_MAX, p->data.data, p->data.len);
    s->have |= (uint16_t)(1u << p->frag);
    if (p->frag + 1 == p->nfrag)
        s->last_len = (uint16_t)p->data.len;
    if (s->have != (uint16_t)((1u << p->nfrag) - 1))
        return ERR_AGAIN;
    s->is_used = false;
    *msg = slice_of(s->data, (size_t)(p->nfrag - 1) * PIECE_DATA_MAX + s->last_len);
    return ERR_OK;
}

void reassembly_forget(struct reassembly *a, uint64_t owner)
{
    for (uint32_t i = 0; i < a->n_slots; i++)
        if (a->slots[i].is_used && a->slots[i].owner == owner)
            a->slots[i].is_used = false;
}

uint64_t reassembly_dropped(const struct reassembly *a)
{
    return a->dropped;
}
