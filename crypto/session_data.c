/* C3: type1 0·3 receiver4 counter8 sealed; ad = these 16 bytes, 1200 bytes in all at most. */
#include "crypto/session_impl.h"

#define HEAD_BYTES 16

/* New keys are due, at the next tick; the initiator sees to it. */
static void wear_out(struct run *r)
{
    if (r->is_worn || !r->is_initiator || r->state != RUN_LIVE || r != r->session->current)
        return;
    r->is_worn = true;
    r->rekey_at = 0;
    schedule(r);
}

/* --- out --- */

static void send_piece(struct run *r, const struct piece *p)
{
    struct session *s = r->session;
    uint8_t datagram[SESSION_DATAGRAM_MAX], plain[PIECE_PLAIN_MAX];
    size_t len = piece_write(p, plain);
    struct wr w;

    wr_init(&w, datagram, sizeof datagram);
    wr_u32(&w, (uint32_t)HANDSHAKE_DATA << 24);
    wr_u32(&w, r->remote);
    wr_u64(&w, r->n_sent);
    noise_seal(r->keys.send, r->n_sent++, slice_of(datagram, HEAD_BYTES), slice_of(plain, len),
               wr_room(&w, len + NOISE_TAG_BYTES));
    s->table->stats.data_out++;
    if (s->path.kind != PATH_NONE)
        send_on(s->table, &s->path, wr_done(&w));
    if (r->n_sent >= s->table->config.rekey_count)
        wear_out(r);
}

/* Something that wants an answer went out: from now on silence counts. */
static void expect_answer(struct run *r, ns_t now)
{
    if (r->is_unanswered || r->state != RUN_LIVE)
        return;
    r->is_unanswered = true;
    if (!r->is_proven)
        return; /* has its own, shorter retries */
    r->retry_at = now + ASK_FIRST_NS;
    r->retry_ns = ASK_FIRST_NS;
    r->end_at = ns_min(r->life_end_at, now + SESSION_SILENCE_NS);
    schedule(r);
}

void send_own(struct run *r, ns_t now, enum own_message what)
{
    uint8_t byte = (uint8_t)what;
    struct piece p = {.nfrag = 1, .msg = r->session->next_msg++, .data = slice_of(&byte, 1)};

    send_piece(r, &p);
    if (what == OWN_PING)
        expect_answer(r, now);
}

enum err session_send(struct session *s, ns_t now, uint8_t chan, struct slice msg)
{
    struct piece p = {.chan = chan};

    if (!session_is_established(s))
        return ERR_STATE;
    if (chan == 0 || msg.len > SESSION_MESSAGE_MAX)
        return ERR_RANGE;
    p.msg = s->next_msg++;
    p.nfrag = (uint8_t)(msg.len == 0 ? 1 : (msg.len + PIECE_DATA_MAX - 1) / PIECE_DATA_MAX);
    for (; p.frag < p.nfrag; p.frag++) {
        size_t at = (size_t)p.frag * PIECE_DATA_MAX, left = msg.len - at;

        p.data = slice_of(msg.len > 0 ? msg.data + at : NULL, left < PIECE_DATA_MAX ? left : PIECE_DATA_MAX);
        send_piece(s->current, &p);
    }
    expect_answer(s->current, now);
    return ERR_OK;
}

void session_ping(struct session *s, ns_t now)
{
    if (session_is_established(s))
        send_own(s->current, now, OWN_PING);
}

/* --- in --- */

/* The first data of an initiator: its keys are proven, and only now does the session exist for its owner. Returns
 * the session that the datagram belongs to, or NULL. */
static struct session *prove_initiator(struct run *r, ns_t now)
{
    struct session *s = r->session, *keeper = find_keeper(r);
    struct sessions *x = s->table;

    if (x->config.ops->stamp_set != NULL)
        x->config.ops->stamp_set(x->config.arg, s->peer_device, s->hello.said.stamp);
    else
        door_set_stamp(&x->door, now, s->peer_device, s->hello.said.stamp);
    go_live(r, now);
    if (keeper != NULL) {
        move_run(r, keeper);
        if (keeper->is_initiator)
            retire_run(r, now);
        else
            set_current(keeper, r, now);
        drop_session(s);
        return keeper;
    }
    if (x->stats.n_sessions >= x->config.max_sessions) {
        x->stats.msg1_full++;
        drop_session(s);
        return NULL;
    }
    s->current = r;
    s->is_known = true;
    x->stats.n_sessions++;
    x->stats.established++;
    x->config.ops->established(x->config.arg, s, now);
    settle(s, now);
    return s;
}

/* An authentic datagram: silence is broken, new keys are proven. */
static void note_heard(struct session *s, struct run *r, ns_t now)
{
    s->heard_at = now;
    if (r->state != RUN_LIVE)
        return;
    if (!r->is_proven || r->is_unanswered) {
        r->is_proven = true;
        r->is_unanswered = false;
        r->retry_at = NS_NEVER;
        r->end_at = r->life_end_at;
        schedule(r);
    }
    if (r == s->next)
        set_current(s, r, now);
}

static void follow_path(struct session *s, const struct path *via)
{
    const struct sessions_config *c = &s->table->config;

    if (!path_equal(via, &s->path) && (c->ops->path_allowed == NULL || c->ops->path_allowed(c->arg, s, via)))
        s->path = *via;
}

static void deliver_own(struct session *s, struct run *r, struct slice data, ns_t now)
{
    if (data.len != 1 || r != s->current)
        return;
    if (data.data[0] == OWN_PING)
        send_own(r, now, OWN_PONG);
    else if (data.data[0] == OWN_CLOSE)
        end_session(s, ERR_CANCELLED, now);
}

static void deliver(struct session *s, struct run *r, const struct piece *p, ns_t now)
{
    struct sessions *x = s->table;
    struct slice msg;

    if (p->chan == 0) {
        deliver_own(s, r, p->data, now);
        return;
    }
    if (reassembly_put(x->reassembly, now, r->local, p, &msg) == ERR_OK) {
        s->receiving = r;
        x->config.ops->message(x->config.arg, s, p->chan, msg, now);
        s->receiving = NULL; /* s is freed at the end of the turn at the earliest */
    }
    x->stats.reassembly_dropped = reassembly_dropped(x->reassembly);
}

/* Counters, seal and padding of one datagram; its plain bytes go to x->plain. */
static struct run *open_datagram(struct sessions *x, struct slice datagram, struct piece *p, bool *is_newest)
{
    struct slice sealed;
    uint64_t counter;
    struct run *r;
    struct rd in;

    rd_init(&in, datagram);
    rd_skip(&in, 4);
    r = find_run(x, rd_u32(&in));
    counter = rd_u64(&in);
    sealed = rd_rest(&in);
    if (!rd_ok(&in) || datagram.len > SESSION_DATAGRAM_MAX || memcmp(datagram.data + 1, "\0\0", 3) != 0) {
        x->stats.data_malformed++;
        return NULL;
    }
    if (r == NULL || r->state == RUN_OPENING || r->state == RUN_HEARD) {
        x->stats.data_unknown++;
        return NULL;
    }
    if (!replay_is_fresh(&r->replay, counter)) {
        x->stats.data_replayed++;
        return NULL;
    }
    if (noise_open(r->keys.receive, counter, slice_of(datagram.data, HEAD_BYTES), sealed, x->plain) !=
        ERR_OK) {
        x->stats.data_bad++;
        return NULL;
    }
    *is_newest = replay_set(&r->replay, counter);
    if (counter >= x->config.rekey_count)
        wear_out(r);
    if (piece_parse(slice_of(x->plain, sealed.len - NOISE_TAG_BYTES), p) != ERR_OK) {
        x->stats.data_malformed++;
        return NULL;
    }
    return r;
}

void input_data(struct sessions *x, ns_t now, const struct path *via, struct slice datagram)
{
    bool is_newest = false;
    struct session *s;
    struct piece p;
    struct run *r = open_datagram(x, datagram, &p, &is_newest);

    if (r == NULL)
        return;
    x->stats.data_in++;
    s = r->state == RUN_ANSWERED ? prove_initiator(r, now) : r->session;
    if (s == NULL || s->is_gone)
        return;
    note_heard(s, r, now);
    if (is_newest && r == s->current)
        follow_path(s, via);
    deliver(s, r, &p, now);
}
