#include "crypto/session.h"

#include "unit/crypto/pipe.h"

struct two {
    struct pipe *p;
    struct phone *a, *b;
};

static struct two two_phones(void)
{
    struct two t = {.p = pipe_new()};

    t.a = pipe_phone(t.p);
    t.b = pipe_phone(t.p);
    return t;
}

/* Two phones with an established session, opened by a. */
static struct two connected(void)
{
    struct two t = two_phones();

    phone_open(t.a, t.b);
    pipe_run_ms(t.p, 1000);
    assert_int_equal(t.a->n_established, 1);
    assert_int_equal(t.b->n_established, 1);
    return t;
}

static void say(struct two *t, struct phone *from, struct phone *to, const char *text)
{
    to->last_len = 0;
    assert_int_equal(session_send(from->last, t->p->now, SESSION_SIP, slice_str(text)), ERR_OK);
    pipe_run_ms(t->p, 200);
    assert_true(got(to, text));
}

/* --- the cold call --- */

static void cold_call(void **state)
{
    struct two t = two_phones();
    struct session_peer peer = peer_of(t.b);
    uint8_t ha[64], hb[64];
    ns_t began = t.p->now;

    (void)state;
    peer.n_candidates = 1;
    peer.candidates[0] = t.a->addr;
    t.a->says_hello = true;
    phone_open_peer(t.a, t.b, &peer);
    pipe_run_ms(t.p, 1000);
    assert_int_equal(t.a->established_at - began, 2 * ONE_WAY_NS);
    assert_int_equal(t.b->message_at - began, 3 * ONE_WAY_NS);
    assert_true(got(t.b, "INVITE"));
    assert_memory_equal(t.a->exporter, t.b->exporter, 32);
    assert_int_equal(session_handshake_hash(t.a->last, ha), ERR_OK);
    assert_int_equal(session_handshake_hash(t.b->last, hb), ERR_OK);
    assert_memory_equal(ha, hb, 64);

    const struct session_hello *h = session_hello(t.b->last);
    assert_memory_equal(session_peer_id(t.b->last), t.a->identity.pub, 32);
    assert_memory_equal(session_peer_device(t.b->last), t.a->self.devices[0].public, 32);
    assert_memory_equal(session_call_id(t.b->last), peer.call_id, 16);
    assert_true(h->secret_id == 1 && h->cert.gen == 1 && h->cert.slot == 1 && h->said.kind == HELLO_CALL);
    assert_true(addr_equal(&h->said.candidates[0], &t.a->addr));
    assert_int_equal(session_reply(t.a->last)->s_gen, 2);
    assert_true(session_is_initiator(t.a->last) && !session_is_initiator(t.b->last));
    assert_ptr_equal(sessions_find(t.b->x, SESSION_CONTACT, t.a->self.devices[0].public), t.b->last);
    say(&t, t.b, t.a, "180");
    pipe_free(t.p);
}

static void nothing_before_data(void **state)
{
    struct two t = two_phones();

    (void)state;
    t.p->drop_type = HANDSHAKE_DATA;
    t.a->says_hello = true;
    phone_open(t.a, t.b);
    pipe_run_ms(t.p, 30000);
    assert_int_equal(t.a->n_established, 1);
    assert_int_equal(t.a->n_closed, 1);
    assert_int_equal(t.a->last_why, ERR_TIMEOUT);
    assert_int_equal(t.b->n_admit, 1);
    assert_int_equal(t.b->n_established + t.b->n_closed + t.b->n_messages, 0);
    assert_int_equal(sessions_stats(t.b->x)->n_pending, 0);
    pipe_free(t.p);
}

static void silent_initiator_proves(void **state)
{
    struct two t = connected(); /* nobody said anything: the ping is the proof */

    (void)state;
    assert_int_equal(t.a->n_messages + t.b->n_messages, 0);
    assert_int_equal(session_heard_at(t.a->last), t.b->established_at + ONE_WAY_NS);
    pipe_free(t.p);
}

static void times_out(void **state)
{
    struct two t = two_phones();
    ns_t began = t.p->now;

    (void)state;
    t.b->refuses = true;
    phone_open(t.a, t.b);
    pipe_run_ms(t.p, 20000);
    assert_int_equal(t.a->n_sent, 5); /* 0, 0.5, 1.5, 3.5, 7.5 s */
    assert_int_equal(t.a->closed_at - began, SESSION_OPEN_NS);
    assert_int_equal(t.a->last_why, ERR_TIMEOUT);
    assert_int_equal(t.a->n_established, 0);
    assert_int_equal(sessions_deadline(t.a->x), NS_NEVER);
    pipe_free(t.p);
}

static void loss_and_reorder(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct two t = two_phones();

        t.p->dice.state = seed;
        t.p->loss_pct = 20;
        t.p->jitter_ms = 80;
        t.a->says_hello = true;
        phone_open(t.a, t.b);
        pipe_run_ms(t.p, 11000);
        if (t.a->n_established != 1 || t.b->n_established != 1)
            fail_msg("seed %u: %u, %u", seed, t.a->n_established, t.b->n_established);
        assert_int_equal(t.a->n_closed + t.b->n_closed, 0);
        pipe_free(t.p);
    }
}

/* --- who is heard --- */

static struct datagram msg1_of(struct two *t, const struct session_peer *peer)
{
    t->p->n_record = 0;
    t->p->drop_type = HANDSHAKE_MSG1;
    session_close(phone_open_peer(t->a, t->b, peer), t->p->now);
    phone_end_turn(t->a);
    t->p->drop_type = 0;
    assert_int_equal(t->p->n_record, 1);
    return t->p->record[0];
}

static void strangers(void **state)
{
    struct two t = two_phones();
    const struct sessions_stats *stats;
    uint8_t seed[32] = {1};

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        struct session_peer peer = peer_of(t.b);
        struct path via = path_udp(&t.b->addr);
        struct session *s;

        peer.class = i % 3 == 0 ? SESSION_CONTACT : i % 3 == 1 ? SESSION_INVITE : SESSION_NODE;
        memset(peer.secret, (int)i, sizeof peer.secret);
        peer.secret[0] = 0xff; /* not S */
        if (peer.class == SESSION_NODE)
            assert_int_equal(sessions_open_account(t.a->x, t.p->now, &peer, seed, &via, 1, &s), ERR_OK);
        else
            assert_int_equal(sessions_open(t.a->x, t.p->now, &peer, &via, 1, &s), ERR_OK);
        session_close(s, t.p->now);
        phone_end_turn(t.a);
        pipe_run_ms(t.p, 1);
    }
    pipe_run_ms(t.p, 5000);
    stats = sessions_stats(t.b->x);
    assert_int_equal(stats->msg1_in, 1000);
    assert_int_equal(stats->msg1_bad_mac, 1000);
    assert_int_equal(stats->dh, 0);
    assert_int_equal(stats->answers, 0);
    assert_int_equal(t.b->n_sent + t.b->n_admit, 0);
    pipe_free(t.p);
}

static void silence_is_total(void **state)
{
    struct two t = two_phones();

    (void)state;
    t.b->refuses = true;
    phone_open(t.a, t.b);
    pipe_run_ms(t.p, 20000);
    assert_true(t.b->n_admit > 0);
    assert_int_equal(t.b->n_sent, 0);
    assert_int_equal(sessions_stats(t.b->x)->dh, 2); /* the first copy only */
    pipe_free(t.p);
}

static void path_policy(void **state)
{
    struct two t = two_phones();
    struct session_peer peer = peer_of(t.b);
    struct datagram d = msg1_of(&t, &peer), other;
    uint64_t dh;

    (void)state;
    t.b->refused_port = 4000; /* the path msg1 comes by first */
    pipe_deliver(t.p, &d);
    assert_int_equal(t.b->n_sent, 0);
    dh = sessions_stats(t.b->x)->dh;
    assert_int_equal(dh, 2);
    other = d;
    other.from.port = 5000;
    pipe_deliver(t.p,
                 &other); /* the same bytes by a path that is allowed: no DH is paid again but for msg2 */
    assert_int_equal(t.b->n_sent, 1);
    assert_int_equal(sessions_stats(t.b->x)->dh, dh + 3);
    pipe_deliver(t.p, &d);
    assert_int_equal(t.b->n_sent, 1);
    pipe_deliver(t.p, &other); /* a copy gets the same msg2 */
    assert_int_equal(t.b->n_sent, 2);
    assert_int_equal(sessions_stats(t.b->x)->dh, dh + 3);
    pipe_free(t.p);
}

static void several_paths(void **state)
{
    struct two t = two_phones();
    struct session_peer peer = peer_of(t.b);
    struct addr nowhere = addr_v4((const uint8_t[]){10, 9, 9, 9}, 9);
    struct path via = path_udp(&nowhere), good = path_udp(&t.b->addr);
    struct session *s;

    (void)state;
    assert_int_equal(sessions_open(t.a->x, t.p->now, &peer, &via, 1, &s), ERR_OK);
    pipe_run_ms(t.p, 100);
    assert_int_equal(session_add_path(s, t.p->now, &via), ERR_DUPLICATE);
    assert_int_equal(session_add_path(s, t.p->now, &good), ERR_OK);
    pipe_run_ms(t.p, 300);
    assert_int_equal(t.a->n_established, 1);
    assert_int_equal(t.b->n_established, 1);
    assert_true(path_equal(session_path(s), &good));
    assert_int_equal(session_add_path(s, t.p->now, &via), ERR_STATE);
    pipe_free(t.p);
}

static void one_a_second(void **state)
{
    struct two t = two_phones();
    struct session_peer peer = peer_of(t.b);
    struct datagram d[6];

    (void)state;
    for (unsigned i = 0; i < 6; i++)
        d[i] = msg1_of(&t, &peer);
    for (unsigned i = 0; i < 5; i++)
        pipe_deliver(t.p, &d[i]);
    assert_int_equal(sessions_stats(t.b->x)->msg1_rate_limited, 4);
    assert_int_equal(t.b->n_sent, 1);
    t.p->now += NS_PER_S;
    pipe_deliver(t.p, &d[5]);
    assert_int_equal(t.b->n_sent, 2);
    pipe_free(t.p);
}

static void load(void **state)
{
    struct pipe *p = pipe_new();
    struct phone *b = pipe_phone(p), *callers[40];
    unsigned n_established = 0;

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        callers[i] = pipe_phone(p);
        phone_open(callers[i], b);
    }
    pipe_run_ms(p, 3000);
    for (unsigned i = 0; i < 40; i++)
        n_established += callers[i]->n_established;
    assert_int_equal(n_established, 40);
    assert_int_equal(b->n_established, 40);
    assert_int_equal(sessions_stats(b->x)->cookies_out, 20); /* beyond SESSIONS_LOAD_PER_S */
    pipe_free(p);
}

static void load_without_address(void **state)
{
    struct pipe *p = pipe_new();
    struct phone *b = pipe_phone(p);
    uint64_t dh;

    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        struct two t = {.p = p, .a = i < 21 ? pipe_phone(p) : &p->phones[1 + i % 21], .b = b};
        struct session_peer peer = peer_of(b);
        struct datagram d = msg1_of(&t, &peer);

        d.from = addr_v4((const uint8_t[]){172, 16, 0, (uint8_t)i}, 7); /* spoofed */
        pipe_deliver(p, &d);
        if (i == 19)
            dh = sessions_stats(b->x)->dh;
    }
    assert_int_equal(sessions_stats(b->x)->dh, dh);
    assert_int_equal(sessions_stats(b->x)->cookies_out, 40);
    assert_true(b->bytes_sent <= 60 * HANDSHAKE_MSG1_BYTES);
    pipe_free(p);
}

static void dead_clock(void **state)
{
    struct two t = two_phones();

    (void)state;
    phone_open(t.a, t.b);
    pipe_run_ms(t.p, 1000);
    assert_int_equal(t.b->n_established, 1);
    phone_stop(t.a);
    t.a->world.wall_ms = 0; /* 1970, and no reservation on disk either */
    phone_start(t.a, 0);
    phone_open(t.a, t.b);
    pipe_run_ms(t.p, 2000);
    assert_int_equal(sessions_stats(t.b->x)->cookies_out, 1);
    assert_int_equal(t.a->n_established, 2);
    assert_int_equal(t.b->n_established, 2);
    assert_int_equal(t.b->n_closed, 1); /* the session before the restart */
    assert_int_equal(t.b->last_why, ERR_EXISTS);
    pipe_free(t.p);
}

static void stamps_rise(void **state)
{
    struct two t = two_phones();
    struct session_peer peer = peer_of(t.b);
    uint64_t first, second;

    (void)state;
    msg1_of(&t, &peer);
    first = sessions_last_stamp(t.a->x);
    msg1_of(&t, &peer);
    second = sessions_last_stamp(t.a->x);
    assert_int_equal(first, (1795305600000ull + 1000000) * NS_PER_MS);
    assert_int_equal(second, first + 1); /* the clock stood still */
    pipe_free(t.p);
}

static void invites(void **state)
{
    struct two t = two_phones();
    struct session_peer peer = peer_of(t.b);

    (void)state;
    t.b->self.n_secrets = 3;
    t.b->self.secrets[1] = (struct session_secret){.class = SESSION_CONTACT, .is_previous = true, .id = 8};
    t.b->self.secrets[2] = (struct session_secret){.class = SESSION_INVITE, .id = 77, .secret = {0x11}};
    assert_int_equal(sessions_set_self(t.b->x, &t.b->self), ERR_OK);
    peer.class = SESSION_INVITE;
    memset(peer.secret, 0, 32);
    peer.secret[0] = 0x11;
    phone_open_peer(t.a, t.b, &peer);
    pipe_run_ms(t.p, 1000);
    assert_int_equal(t.b->n_established, 1);
    assert_int_equal(session_class(t.b->last), SESSION_INVITE);
    assert_int_equal(session_hello(t.b->last)->secret_id, 77);
    pipe_free(t.p);
}

static void old_device_key(void **state)
{
    struct two t = two_phones();
    struct session_peer peer = peer_of(t.b);
    struct dh_key fresh;
    uint8_t secret[32] = {0x77};

    (void)state;
    t.b->self.devices[1] = t.b->self.devices[0];
    dh_key_from_secret(secret, &fresh);
    memcpy(t.b->self.devices[0].secret, fresh.secret, 32);
    memcpy(t.b->self.devices[0].public, fresh.pub, 32);
    t.b->self.n_devices = 2;
    assert_int_equal(sessions_set_self(t.b->x, &t.b->self), ERR_OK);
    phone_open_peer(t.a, t.b, &peer); /* to the old D */
    pipe_run_ms(t.p, 1000);
    assert_int_equal(t.b->n_established, 1);
    pipe_free(t.p);
}

static void node_class(void **state)
{
    struct two t = two_phones();
    struct session_peer peer = {.class = SESSION_NODE};
    struct path via = path_udp(&t.b->addr);
    struct sign_key node, account;
    uint8_t seed[32] = {0x99}, account_seed[32] = {0x98}, converted[32];
    struct session *s;

    (void)state;
    memcpy(t.b->self.node_seed, seed, 32);
    t.b->self.hears_node = true;
    assert_int_equal(sessions_set_self(t.b->x, &t.b->self), ERR_OK);
    sign_key_from_seed(seed, &node);
    sign_key_from_seed(account_seed, &account);
    memcpy(peer.responder, node.pub, 32);
    assert_int_equal(sessions_open(t.a->x, t.p->now, &peer, &via, 1, &s), ERR_RANGE);
    assert_int_equal(sessions_open_account(t.a->x, t.p->now, &peer, account_seed, &via, 1, &s), ERR_OK);
    pipe_run_ms(t.p, 1000);
    assert_int_equal(t.b->n_established, 1);
    assert_memory_equal(session_peer_id(t.b->last), account.pub, 32);
    assert_memory_equal(session_peer_id(t.a->last), node.pub, 32);
    assert_int_equal(ed_to_x_public(node.pub, converted), ERR_OK);
    assert_ptr_equal(sessions_find(t.a->x, SESSION_NODE, converted), t.a->last);
    say(&t, t.a, t.b, "ALLOCATE");
    unhex(bad_points[0], peer.responder);
    assert_int_equal(sessions_open_account(t.a->x, t.p->now, &peer, account_seed, &via, 1, &s), ERR_AUTH);
    pipe_free(t.p);
}

static void borrowed_certificate(void **state)
{
    struct two t = two_phones();
    struct phone *c = pipe_phone(t.p);

    (void)state;
    memcpy(t.a->self.devices[0].certificate, c->self.devices[0].certificate, CERT_BYTES);
    assert_int_equal(sessions_set_self(t.a->x, &t.a->self), ERR_OK);
    phone_open(t.a, t.b);
    pipe_run_ms(t.p, 12000);
    assert_int_equal(t.b->n_admit + t.b->n_sent, 0);
    pipe_free(t.p);
}

/* --- replay, delay, key compromise --- */

static void replays(void **state)
{
    static const uint64_t pauses_ms[] = {0, 1000, 3600 * 1000, 3600 * 1000};
    struct two t = two_phones();
    struct datagram *record;
    unsigned n;

    (void)state;
    t.b->keeps_stamp = true;
    phone_stop(t.b);
    phone_start(t.b, 0);
    t.a->says_hello = true;
    phone_open(t.a, t.b);
    pipe_run_ms(t.p, 1000);
    say(&t, t.b, t.a, "180");
    n = t.p->n_record;
    record = malloc(n * sizeof *record);
    memcpy(record, t.p->record, n * sizeof *record);
    for (unsigned round = 0; round < 4; round++) {
        unsigned rung = t.b->n_established, messages = t.b->n_messages + t.a->n_messages;

        t.p->now += pauses_ms[round] * NS_PER_MS;
        if (round == 3) { /* a restart: only the stamps are left */
            phone_stop(t.b);
            phone_start(t.b, 0);
        }
        for (unsigned i = 0; i < n; i++) {
            unsigned bytes = t.b->bytes_sent;

            pipe_deliver(t.p, &record[i]);
            assert_true(t.b->bytes_sent - bytes <= record[i].len);
        }
        assert_int_equal(t.b->n_established, rung);
        assert_int_equal(t.a->n_established, 1);
        assert_int_equal(t.b->n_messages + t.a->n_messages, messages);
    }
    free(record);
    pipe_free(t.p);
}

/* Replayed first messages must not use up the allowance of the one who once sent them. */
static void replays_block_nobody(void **state)
{
    struct two t = connected();
    struct datagram old = {0};

    (void)state;
    for (unsigned i = 0; i < t.p->n_record; i++)
        if (t.p->record[i].bytes[0] == HANDSHAKE_MSG1)
            old = t.p->record[i];
    session_close(t.a->last, t.p->now);
    for (unsigned i = 0; i < 100; i++) {
        pipe_deliver(t.p, &old);
        pipe_run_ms(t.p, 100);
    }
    pipe_run_ms(t.p, 11000); /* nothing of them is pending any more */
    pipe_deliver(t.p, &old);
    phone_open(t.a, t.b);
    pipe_run_ms(t.p, 200);
    assert_int_equal(t.b->n_established, 2);
    pipe_free(t.p);
}

static void stolen_callee_key(void **state)
{
    struct two t = two_phones();
    const struct session_device *mother = &t.a->self.devices[0], *callee = &t.b->self.devices[0];
    struct hello hello = {.stamp = UINT64_MAX, .kind = HELLO_CALL};
    uint8_t psk[32], mk[32], prologue[HANDSHAKE_PROLOGUE_BYTES], plain[HANDSHAKE_MSG1_PLAIN];
    struct noise_config c = {.pattern = NOISE_IKPSK0, .psk = psk};
    struct datagram d = {.to = t.b->addr, .from = t.a->addr, .len = HANDSHAKE_MSG1_BYTES};
    struct dh_key e = {.secret = {5}};
    struct noise n;

    (void)state;
    handshake_psk(SESSION_CONTACT, t.b->self.secrets[0].secret, callee->public, psk);
    handshake_mac_key(psk, callee->public, mk);
    handshake_prologue(SESSION_CONTACT, t.b->identity.pub, prologue);
    c.prologue = slice_of(prologue, sizeof prologue);
    c.static_secret = callee->secret; /* all that the thief has, besides S */
    c.static_public = callee->public;
    noise_init(&n, &c);
    dh_key_from_secret(e.secret, &e);
    n.is_writing_next = true; /* es and ss by the callee's half of the two DHs */
    memcpy(n.remote_ephemeral, e.pub, 32);
    memcpy(n.remote_static, mother->public, 32);
    memcpy(n.s_public, mother->public, 32);
    memcpy(hello.certificate, mother->certificate, CERT_BYTES);
    assert_int_equal(hello_write(SESSION_CONTACT, &hello, plain), ERR_OK);
    assert_int_equal(handshake_write_msg1(&n, 1, e.secret, plain, mk, d.bytes), ERR_OK);
    pipe_deliver(t.p, &d);
    assert_int_equal(t.b->n_admit, 1); /* it passes for Mother's */
    assert_int_equal(t.b->n_sent, 1);
    pipe_run_ms(t.p, 11000);
    assert_int_equal(t.b->n_established + t.b->n_messages, 0);
    phone_open(t.a, t.b); /* and does not keep Mother out */
    pipe_run_ms(t.p, 1000);
    assert_int_equal(t.b->n_established, 1);
    noise_fini(&n);
    pipe_free(t.p);
}

static void forged_msg2(void **state)
{
    struct two t = two_phones();
    struct datagram d = {0};

    (void)state;
    t.p->drop_type = HANDSHAKE_MSG2;
    phone_open(t.a, t.b);
    pipe_run_ms(t.p, 200);
    t.p->drop_type = 0;
    for (unsigned i = 0; i < t.p->n_record; i++)
        if (t.p->record[i].bytes[0] == HANDSHAKE_MSG2)
            d = t.p->record[i];
    for (size_t at = 12; at < 140; at += 9) {
        d.bytes[at] ^= 1;
        pipe_deliver(t.p, &d);
        d.bytes[at] ^= 1;
    }
    assert_int_equal(t.a->n_established, 0);
    pipe_deliver(t.p, &d);
    assert_int_equal(t.a->n_established, 1);
    pipe_free(t.p);
}

/* --- data --- */

static void big_messages(void **state)
{
    static uint8_t big[SESSION_MESSAGE_MAX + 1];
    static const size_t sizes[] = {0, 1, 46, 47, 1143, 1144, 5000, SESSION_MESSAGE_MAX};
    struct two t = connected();

    (void)state;
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 7 + i / 256);
    t.p->jitter_ms = 200;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(session_send(t.a->last, t.p->now, SESSION_LEDGER, slice_of(big, sizes[i])), ERR_OK);
        pipe_run_ms(t.p, 1000);
        assert_int_equal(t.b->n_messages, i + 1);
        assert_int_equal(t.b->last_chan, SESSION_LEDGER);
        assert_int_equal(t.b->last_len, sizes[i]);
        assert_memory_equal(t.b->last_msg, big, sizes[i]);
    }
    assert_int_equal(session_send(t.a->last, t.p->now, SESSION_SIP, slice_of(big, sizeof big)), ERR_RANGE);
    assert_int_equal(session_send(t.a->last, t.p->now, 0, slice_of(big, 1)), ERR_RANGE);
    pipe_free(t.p);
}

static void one_size_for_words(void **state)
{
    struct two t = connected();
    unsigned before;

    (void)state;
    before = t.a->bytes_sent;
    session_send(t.a->last, t.p->now, SESSION_SIP, slice_str("y"));
    assert_int_equal(t.a->bytes_sent - before, 16 + 64 + 16);
    session_send(t.a->last, t.p->now, SESSION_SIP,
                 slice_str("a longer word, of fifty-five bytes at the most.........."));
    assert_int_equal(t.a->bytes_sent - before, 16 + 64 + 16 + 16 + 128 + 16);
    pipe_free(t.p);
}

static void tampered_data(void **state)
{
    struct two t = connected();
    const struct sessions_stats *stats = sessions_stats(t.b->x);
    uint64_t in = stats->data_in;
    struct datagram d;

    (void)state;
    t.p->n_record = 0;
    t.p->drop_type = HANDSHAKE_DATA;
    session_send(t.a->last, t.p->now, SESSION_SIP, slice_str("x"));
    t.p->drop_type = 0;
    d = t.p->record[0];
    for (size_t at = 0; at < d.len; at++) {
        d.bytes[at] ^= 4;
        pipe_deliver(t.p, &d);
        d.bytes[at] ^= 4;
    }
    assert_int_equal(stats->data_in, in);
    assert_int_equal(t.b->n_messages, 0);
    pipe_deliver(t.p, &d);
    assert_int_equal(t.b->n_messages, 1);
    pipe_free(t.p);
}

static void unknown_index(void **state)
{
    struct two t = connected();
    struct datagram d = {.to = t.b->addr, .from = t.a->addr, .len = 96, .bytes = {HANDSHAKE_DATA}};
    unsigned sent = t.b->n_sent;

    (void)state;
    pipe_deliver(t.p, &d);
    for (unsigned type = 0xc4; type <= 0xff; type++) {
        d.bytes[0] = (uint8_t)type;
        pipe_deliver(t.p, &d);
    }
    assert_int_equal(t.b->n_sent, sent);
    pipe_free(t.p);
}

static void moving_endpoint(void **state)
{
    struct two t = connected();
    struct addr before = t.a->addr;
    struct path path;

    (void)state;
    t.a->addr.port = 6000;
    say(&t, t.a, t.b, "I moved");
    path = path_udp(&t.a->addr);
    assert_true(path_equal(session_path(t.b->last), &path));
    say(&t, t.b, t.a, "I see");
    t.b->refuses_new_path = true;
    t.a->addr = before;
    say(&t, t.a, t.b, "I am back");
    assert_true(path_equal(session_path(t.b->last), &path));
    pipe_free(t.p);
}

static void closing(void **state)
{
    struct two t = connected();

    (void)state;
    session_close(t.a->last, t.p->now);
    phone_end_turn(t.a);
    pipe_run_ms(t.p, 200);
    assert_int_equal(t.a->n_closed, 0);
    assert_int_equal(t.b->n_closed, 1);
    assert_int_equal(t.b->last_why, ERR_CANCELLED);
    assert_int_equal(sessions_stats(t.b->x)->n_sessions, 0);
    pipe_free(t.p);
}

static void silence(void **state)
{
    struct two t = connected();
    ns_t began = t.p->now;

    (void)state;
    pipe_run_ms(t.p, 600 * 1000); /* idle is not silent */
    assert_int_equal(t.a->n_closed + t.b->n_closed, 0);
    phone_stop(t.b);
    began = t.p->now;
    session_send(t.a->last, t.p->now, SESSION_CONTROL, slice_str("are you there"));
    pipe_run_ms(t.p, 120 * 1000);
    assert_int_equal(t.a->closed_at - began, SESSION_SILENCE_NS);
    assert_int_equal(t.a->last_why, ERR_TIMEOUT);
    pipe_free(t.p);
}

static void idle_is_quiet(void **state)
{
    struct two t = connected();
    unsigned sent = t.a->n_sent + t.b->n_sent;

    (void)state;
    pipe_run_ms(t.p, 50 * 60 * 1000);
    assert_int_equal(t.a->n_sent + t.b->n_sent, sent);
    session_ping(t.b->last, t.p->now);
    pipe_run_ms(t.p, 1000);
    assert_int_equal(t.a->n_sent + t.b->n_sent, sent + 2);
    pipe_free(t.p);
}

/* --- new keys --- */

static void rekey_by_time(void **state)
{
    struct two t = connected();
    struct session *a = t.a->last, *b = t.b->last;
    uint8_t before[32], ea[32], eb[32];

    (void)state;
    assert_int_equal(session_exporter(a, before), ERR_OK);
    pipe_run_ms(t.p, 61 * 60 * 1000);
    assert_int_equal(session_exporter(a, ea), ERR_OK);
    assert_int_equal(session_exporter(b, eb), ERR_OK);
    assert_memory_equal(ea, eb, 32);
    assert_memory_not_equal(ea, before, 32);
    assert_int_equal(t.a->n_established + t.b->n_established, 2);
    assert_int_equal(t.a->n_closed + t.b->n_closed, 0);
    say(&t, t.b, t.a, "still here");
    say(&t, t.a, t.b, "me too");
    assert_int_equal(session_call_id(a)[0], 0xca);
    pipe_run_ms(t.p, 24 * 3600 * 1000ull);
    assert_ptr_equal(t.a->last, a);
    assert_ptr_equal(t.b->last, b);
    say(&t, t.b, t.a, "a day later");
    pipe_free(t.p);
}

static void rekey_by_count(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 10; seed++) {
        struct two t = two_phones();
        unsigned lost = 0;
        uint64_t dh;

        phone_stop(t.a);
        phone_start(t.a, 100);
        t.p->dice.state = seed;
        t.p->jitter_ms = 60;
        phone_open(t.a, t.b);
        pipe_run_ms(t.p, 1000);
        dh = sessions_stats(t.a->x)->dh;
        for (unsigned i = 0; i < 250; i++) {
            unsigned n = t.b->n_messages + t.a->n_messages;

            session_send(t.a->last, t.p->now, SESSION_SIP, slice_str("ping"));
            session_send(t.b->last, t.p->now, SESSION_SIP, slice_str("pong"));
            pipe_run_ms(t.p, 130);
            lost += n + 2 - (t.b->n_messages + t.a->n_messages);
        }
        assert_int_equal(lost, 0); /* not one datagram is lost to the change of keys */
        assert_int_equal(sessions_stats(t.a->x)->dh - dh, 2 * 5);
        pipe_free(t.p);
    }
}

static void rekey_that_fails(void **state)
{
    struct two t = connected();

    (void)state;
    t.p->drop_type = HANDSHAKE_MSG1;
    pipe_run_ms(t.p, 65 * 60 * 1000);
    say(&t, t.a, t.b, "the old keys serve");
    t.p->drop_type = 0;
    pipe_run_ms(t.p, 2 * 60 * 1000);
    say(&t, t.a, t.b, "and then the new ones");
    assert_int_equal(t.a->n_closed + t.b->n_closed, 0);
    t.p->drop_type = HANDSHAKE_MSG1;
    pipe_run_ms(t.p, 3 * 3600 * 1000);
    assert_int_equal(t.a->last_why, ERR_TIMEOUT);
    assert_int_equal(t.a->n_closed + t.b->n_closed, 2);
    pipe_free(t.p);
}

static void device_key_gone(void **state)
{
    struct two t = connected();

    (void)state;
    t.a->self.n_devices = 0;
    assert_int_equal(sessions_set_self(t.a->x, &t.a->self), ERR_OK);
    pipe_run_ms(t.p, 61 * 60 * 1000);
    assert_int_equal(t.a->n_closed, 1);
    assert_int_equal(t.a->last_why, ERR_LATE);
    pipe_free(t.p);
}

/* --- two sessions, one peer --- */

static void both_open(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++) {
        struct two t = two_phones();
        struct phone *small, *large;
        struct session *a, *b;
        bool lossy = seed > 20;

        t.p->dice.state = seed;
        t.p->jitter_ms = 90;
        t.p->loss_pct = lossy ? 20 : 0;
        small = memcmp(t.a->self.devices[0].public, t.b->self.devices[0].public, 32) < 0 ? t.a : t.b;
        large = small == t.a ? t.b : t.a;
        phone_open(t.a, t.b);
        pipe_run_ms(t.p, seed % 4 * 10);
        phone_open(t.b, t.a);
        pipe_run_ms(t.p, 12000);
        t.p->loss_pct = 0;
        a = sessions_find(t.a->x, SESSION_CONTACT, t.b->self.devices[0].public);
        b = sessions_find(t.b->x, SESSION_CONTACT, t.a->self.devices[0].public);
        assert_non_null(a);
        assert_non_null(b);
        assert_int_equal(sessions_stats(t.a->x)->n_sessions, 1);
        assert_int_equal(sessions_stats(t.b->x)->n_sessions, 1);
        if (!lossy) {
            assert_true(session_is_initiator(small == t.a ? a : b));
            assert_false(session_is_initiator(large == t.a ? a : b));
            assert_int_equal(large->last_why, ERR_EXISTS);
            assert_int_equal(large->n_closed, 1);
        }
        t.a->last = a;
        t.b->last = b;
        say(&t, t.a, t.b, "one string");
        say(&t, t.b, t.a, "two cups");
        pipe_free(t.p);
    }
}

static void late_but_smaller(void **state)
{
    struct two t = two_phones();
    bool a_is_small = memcmp(t.a->self.devices[0].public, t.b->self.devices[0].public, 32) < 0;
    struct phone *small = a_is_small ? t.a : t.b, *large = a_is_small ? t.b : t.a;
    struct session *s;

    (void)state;
    t.p->drop_type = HANDSHAKE_MSG1;
    s = phone_open(small, large);
    t.p->drop_type = 0;
    phone_open(large, small);
    pipe_run_ms(t.p, 300);
    assert_int_equal(large->n_established, 1);
    assert_false(session_is_established(s));
    pipe_run_ms(t.p, 1000); /* msg1 again at 0.5 s */
    assert_true(session_is_established(s));
    assert_int_equal(large->last_why, ERR_EXISTS);
    assert_int_equal(small->last_why, ERR_EXISTS);
    assert_int_equal(sessions_stats(small->x)->n_sessions, 1);
    small->last = s;
    say(&t, small, large, "mine");
    say(&t, large, small, "yours");
    pipe_free(t.p);
}

static void words_on_the_loser(void **state)
{
    struct two t = two_phones();
    struct phone *small, *large;

    (void)state;
    t.a->says_hello = t.b->says_hello = true;
    phone_open(t.a, t.b);
    phone_open(t.b, t.a);
    pipe_run_ms(t.p, 3000);
    small = memcmp(t.a->self.devices[0].public, t.b->self.devices[0].public, 32) < 0 ? t.a : t.b;
    large = small == t.a ? t.b : t.a;
    assert_int_equal(large->n_established, 2);
    assert_int_equal(small->n_established, 1);
    assert_int_equal(small->n_messages, 2); /* the first of them on keys that had already yielded */
    assert_int_equal(large->n_messages, 1);
    pipe_free(t.p);
}

static void peer_restarts(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct two t = connected();
        struct phone *dead = i == 0 ? t.a : t.b, *alive = i == 0 ? t.b : t.a;

        (void)state;
        pipe_run_ms(t.p, 60 * 1000);
        phone_stop(dead);
        phone_start(dead, 0);
        phone_open(dead, alive);
        pipe_run_ms(t.p, 1000);
        assert_int_equal(alive->n_established, 2);
        assert_int_equal(alive->n_closed, 1);
        assert_int_equal(alive->last_why, ERR_EXISTS);
        say(&t, alive, dead, "welcome back");
        pipe_free(t.p);
    }
}

/* --- the rules of the house --- */

static void destroyed_inside(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct two t = two_phones();
        struct phone *who = i == 0 ? t.a : t.b;

        (void)state;
        who->destroys_in_established = true;
        who->says_hello = true;
        phone_open(t.a, t.b);
        pipe_run_ms(t.p, 20000);
        assert_int_equal(who->n_established, 1);
        assert_null(who->x);
        pipe_free(t.p);
    }
}

static void full(void **state)
{
    struct two t = two_phones();
    struct session_peer peer = peer_of(t.b);
    struct session *s;
    unsigned n = 0;
    enum err e;

    (void)state;
    while ((e = sessions_open(t.a->x, t.p->now, &peer, NULL, 0, &s)) == ERR_OK)
        n++;
    assert_int_equal(e, ERR_FULL);
    assert_int_equal(n, SESSIONS_MAX_PHONE);
    pipe_free(t.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a cold call: keys after 1 RTT, the first word after 1.5, the same E and h", cold_call),
        sentence("nothing happens at the responder before the first data packet", nothing_before_data),
        sentence("an initiator with nothing to say proves itself with a ping", silent_initiator_proves),
        sentence("an open that nobody answers is repeated five times and ends after 10 s", times_out),
        sentence("sessions come up through 20 % loss and reordering", loss_and_reorder),
        sentence("1000 msg1 without S, in every class: 0 DH, 0 answers", strangers),
        sentence("who is not admitted gets not one byte, however often", silence_is_total),
        sentence("a copy by an allowed path is answered without paying again", path_policy),
        sentence("a path added later is tried at once, and the one that works is kept", several_paths),
        sentence("a static key gets one handshake a second", one_a_second),
        sentence("above the load limit callers are asked for a cookie and still get through", load),
        sentence("spoofed callers cost no DH under load and get less than they send", load_without_address),
        sentence("a caller whose clock died proves its address and gets through", dead_clock),
        sentence("stamps rise when the clock stands still", stamps_rise),
        sentence("an invite is heard under its own secret and named", invites),
        sentence("the old device key is heard", old_device_key),
        sentence("class node knows the account, and takes no key that is none", node_class),
        sentence("another's certificate is no use", borrowed_certificate),
        sentence("captured datagrams, sent again at any time or after a restart, ring nothing", replays),
        sentence("repeating old first messages keeps nobody out", replays_block_nobody),
        sentence("a thief of the callee's device key cannot make Mother's call ring", stolen_callee_key),
        sentence("a forged msg2 does not end a handshake", forged_msg2),
        sentence("messages of 0 to 18288 bytes arrive whole through reordering", big_messages),
        sentence("short messages are all of one size", one_size_for_words),
        sentence("one changed bit in a datagram and it is dropped", tampered_data),
        sentence("unknown receivers and types are dropped in silence", unknown_index),
        sentence("the endpoint follows the last authentic packet, within policy", moving_endpoint),
        sentence("closing tells the other side", closing),
        sentence("a word that nobody answers for a minute ends the session", silence),
        sentence("an idle session sends nothing", idle_is_quiet),
        sentence("keys change every hour and nobody notices", rekey_by_time),
        sentence("keys change by count without losing a datagram", rekey_by_count),
        sentence("a change of keys that fails is tried again, and ends the session after two hours",
                 rekey_that_fails),
        sentence("a session ends when its device key is gone", device_key_gone),
        sentence("when both open, the session of the smaller key stays on both sides", both_open),
        sentence("the smaller key's session replaces the other even when it comes up later",
                 late_but_smaller),
        sentence("what was said on the session that yields arrives", words_on_the_loser),
        sentence("a peer that restarts replaces its old session", peer_restarts),
        sentence("a table may be destroyed in its own callback", destroyed_inside),
        sentence("a full table refuses", full),
    };
    if (crypto_init() != ERR_OK)
        return 1;
    return run_sentences("session", tests);
}
