/* C0, C1, C2: what it takes until both sides have keys. */
#include "crypto/session_impl.h"

/* --- initiator --- */

void send_msg1(struct run *r, size_t path)
{
    struct shake *k = r->shake;
    uint8_t datagram[HANDSHAKE_MSG1_BYTES];

    memcpy(datagram, k->msg1, sizeof datagram);
    if (k->has_cookie[path])
        handshake_set_mac2(k->cookies[path], datagram);
    send_on(r->session->table, &k->paths[path], slice_of(datagram, sizeof datagram));
}

static enum err write_msg1(struct run *r, const struct dh_key *own, const struct hello *hello)
{
    struct session *s = r->session;
    struct shake *k = r->shake;
    uint8_t prologue[HANDSHAKE_PROLOGUE_BYTES], plain[HANDSHAKE_MSG1_PLAIN], ephemeral[KEY_BYTES];
    struct noise_config config = {.pattern = NOISE_IKPSK0,
                                  .is_initiator = true,
                                  .static_secret = own->secret,
                                  .static_public = own->pub,
                                  .remote_static = s->peer_device,
                                  .psk = k->psk};
    enum err e = hello_write(s->class, hello, plain);

    if (e != ERR_OK)
        return e;
    handshake_prologue(s->class, s->peer_id, prologue);
    config.prologue = slice_of(prologue, sizeof prologue);
    noise_init(&k->noise, &config);
    handshake_mac_key(k->psk, s->peer_device, k->mac_key);
    env_random(s->table->env, ephemeral, sizeof ephemeral);
    e = handshake_write_msg1(&k->noise, r->local, ephemeral, plain, k->mac_key, k->msg1);
    s->table->stats.dh += k->noise.n_dh;
    secret_wipe(ephemeral, sizeof ephemeral);
    return e;
}

static uint64_t next_stamp(struct sessions *x)
{
    int64_t wall_ms = env_wall_ms(x->env);
    uint64_t clock_ns = wall_ms > 0 ? (uint64_t)wall_ms * NS_PER_MS : 0;

    x->stamp = clock_ns > x->stamp ? clock_ns : x->stamp + 1;
    if (x->config.ops->stamp_own != NULL)
        x->config.ops->stamp_own(x->config.arg, x->stamp);
    return x->stamp;
}

static enum err begin_run(struct session *s, ns_t now, const struct dh_key *own, struct hello *hello,
                          const struct path *paths, size_t n_paths, struct run **out)
{
    struct run *r = new_run(s, RUN_OPENING, now);
    struct shake *k = r->shake;
    enum err e;

    hello->stamp = next_stamp(s->table);
    memcpy(k->psk, s->psk, sizeof k->psk);
    memcpy(k->responder_static, s->peer_device, sizeof k->responder_static);
    e = write_msg1(r, own, hello);
    if (e != ERR_OK) {
        drop_run(r);
        return e;
    }
    s->hello.class = s->class;
    s->hello.said = *hello;
    memcpy(s->hello.device, own->pub, sizeof s->hello.device);
    memcpy(s->hello.identity, hello->certificate,
           sizeof s->hello.identity); /* A or the account comes first */
    k->n_paths = (uint8_t)n_paths;
    for (size_t i = 0; i < n_paths; i++)
        k->paths[i] = paths[i];
    r->retry_at = now + SESSION_RETRY_NS;
    r->retry_ns = 2 * SESSION_RETRY_NS;
    r->end_at = now + SESSION_OPEN_NS;
    schedule(r);
    for (size_t i = 0; i < n_paths; i++)
        send_msg1(r, i);
    *out = r;
    return ERR_OK;
}

/* --- opening --- */

static enum err open_session(struct sessions *x, ns_t now, const struct session_peer *peer,
                             const struct dh_key *own, struct slice proof, const struct path *paths,
                             size_t n_paths, struct session **out)
{
    struct session *s;
    struct run *r;
    struct hello hello = {.kind = peer->kind,
                          .flags = peer->flags & HELLO_FLAGS_MINE,
                          .n_candidates = peer->n_candidates,
                          .has_succession = peer->has_succession};
    enum err e = ERR_OK;

    if (n_paths > SESSION_PATHS_MAX || peer->n_candidates > HANDSHAKE_CANDIDATES_MAX)
        return ERR_RANGE;
    if (x->stats.n_sessions >= x->config.max_sessions)
        return ERR_FULL;
    memcpy(hello.call_id, peer->call_id, sizeof hello.call_id);
    memcpy(hello.certificate, proof.data, proof.len);
    memcpy(hello.candidates, peer->candidates, sizeof hello.candidates);
    memcpy(hello.succession, peer->succession, sizeof hello.succession);

    s = new_session(x, peer->class);
    s->is_initiator = true;
    s->user = peer->user;
    memcpy(s->peer_id, peer->responder, sizeof s->peer_id);
    memcpy(s->peer_device, peer->responder_static, sizeof s->peer_device);
    if (peer->class == SESSION_NODE)
        e = ed_key_valid(peer->responder) ? ed_to_x_public(peer->responder, s->peer_device) : ERR_AUTH;
    if (e == ERR_OK && memcmp(s->peer_device, own->pub, KEY_BYTES) == 0)
        e = ERR_RANGE;
    if (e == ERR_OK) {
        handshake_psk(peer->class, peer->secret, s->peer_device, s->psk);
        memcpy(s->own_public, own->pub, sizeof s->own_public);
        e = begin_run(s, now, own, &hello, paths, n_paths, &r);
    }
    if (e != ERR_OK) {
        drop_session(s);
        return e == ERR_PARSE ? ERR_AUTH : e;
    }
    s->current = r;
    s->is_known = true;
    x->stats.n_sessions++;
    *out = s;
    return ERR_OK;
}

enum err sessions_open(struct sessions *x, ns_t now, const struct session_peer *peer,
                       const struct path *paths, size_t n_paths, struct session **out)
{
    struct dh_key own;
    enum err e;

    if (x->self.n_devices == 0)
        return ERR_STATE;
    if (peer->class != SESSION_CONTACT && peer->class != SESSION_INVITE)
        return ERR_RANGE;
    memcpy(own.secret, x->self.devices[0].secret, sizeof own.secret);
    memcpy(own.pub, x->self.devices[0].public, sizeof own.pub);
    e = open_session(x, now, peer, &own, slice_of(x->self.devices[0].certificate, CERT_BYTES), paths, n_paths,
                     out);
    secret_wipe(&own, sizeof own);
    return e;
}

enum err sessions_open_account(struct sessions *x, ns_t now, const struct session_peer *peer,
                               const uint8_t account_seed[static 32], const struct path *paths,
                               size_t n_paths, struct session **out)
{
    struct sign_key account;
    struct dh_key own;
    uint8_t secret[KEY_BYTES];
    enum err e;

    if (peer->class != SESSION_NODE)
        return ERR_RANGE;
    sign_key_from_seed(account_seed, &account);
    ed_to_x_secret(&account, secret);
    dh_key_from_secret(secret, &own);
    e = open_session(x, now, peer, &own, slice_of(account.pub, KEY_BYTES), paths, n_paths, out);
    if (e == ERR_OK) {
        (*out)->is_account = true;
        memcpy((*out)->account_secret, secret, sizeof secret);
    }
    secret_wipe(&account, sizeof account);
    secret_wipe(&own, sizeof own);
    secret_wipe(secret, sizeof secret);
    return e;
}

enum err session_add_path(struct session *s, ns_t now, const struct path *via)
{
    struct shake *k;

    (void)now;
    if (s->is_gone || s->current == NULL || s->current->state != RUN_OPENING)
        return ERR_STATE;
    k = s->current->shake;
    for (size_t i = 0; i < k->n_paths; i++)
        if (path_equal(&k->paths[i], via))
            return ERR_DUPLICATE;
    if (k->n_paths == SESSION_PATHS_MAX)
        return ERR_FULL;
    k->paths[k->n_paths++] = *via;
    send_msg1(s->current, k->n_paths - 1u);
    return ERR_OK;
}

/* --- new keys --- */

/* Our static of then, if we still have it. */
static enum err own_static(const struct session *s, struct dh_key *own, struct hello *hello)
{
    const struct sessions_self *self = &s->table->self;

    memcpy(own->pub, s->own_public, sizeof own->pub);
    if (s->is_account) {
        memcpy(own->secret, s->account_secret, sizeof own->secret);
        memcpy(hello->certificate, s->hello.said.certificate, sizeof hello->certificate);
        return ERR_OK;
    }
    for (size_t i = 0; i < self->n_devices; i++) {
        const struct session_device *d = &self->devices[i];

        if (memcmp(d->public, s->own_public, KEY_BYTES) == 0) {
            memcpy(own->secret, d->secret, sizeof own->secret);
            memcpy(hello->certificate, d->certificate, sizeof hello->certificate);
            return ERR_OK;
        }
    }
    return ERR_LATE;
}

enum err begin_rekey(struct session *s, ns_t now)
{
    struct session_hello before = s->hello;
    struct hello hello = {.kind = HELLO_LINK, .flags = HELLO_REKEY};
    struct dh_key own;
    struct run *r;
    enum err e = own_static(s, &own, &hello);

    if (e == ERR_OK && s->next == NULL)
        e = begin_run(s, now, &own, &hello, &s->path, s->path.kind != PATH_NONE, &r);
    if (e == ERR_OK)
        s->next = r;
    s->hello = before; /* the owner keeps seeing what the session was opened with */
    secret_wipe(&own, sizeof own);
    return e;
}

/* A path by which an answer came is ours; else the slot that its flow hangs on; else the first. */
static size_t find_path(const struct shake *k, const struct path *via)
{
    for (size_t i = 0; i < k->n_paths; i++)
        if (path_equal(&k->paths[i], via))
            return i;
    for (size_t i = 0; i < k->n_paths; i++)
        if (k->paths[i].kind == via->kind && k->paths[i].slot == via->slot && via->kind == PATH_KNOCK)
            return i;
    return k->n_paths;
}

void input_cookie(struct sessions *x, ns_t now, const struct path *via, struct slice datagram)
{
    struct cookie_wire wire;
    struct run *r;
    struct shake *k;
    uint8_t cookie[16];
    size_t path;

    (void)now;
    if (cookie_wire_parse(datagram, &wire) != ERR_OK) {
        x->stats.cookies_bad++;
        return;
    }
    r = find_run(x, wire.receiver);
    if (r == NULL || r->state != RUN_OPENING) {
        x->stats.data_unknown++;
        return;
    }
    k = r->shake;
    path = find_path(k, via);
    if (path == k->n_paths ||
        cookie_open(k->psk, k->responder_static, &wire,
                    slice_of(k->msg1 + HANDSHAKE_MSG1_BYTES - 2 * HANDSHAKE_MAC_BYTES, HANDSHAKE_MAC_BYTES),
                    cookie) != ERR_OK) {
        x->stats.cookies_bad++;
        return;
    }
    x->stats.cookies_in++;
    if (!k->has_cookie[path] || memcmp(k->cookies[path], cookie, sizeof cookie) != 0) {
        k->has_cookie[path] = true;
        memcpy(k->cookies[path], cookie, sizeof cookie);
        send_msg1(r, path);
    }
}

static enum err take_keys(struct run *r, const struct noise *n)
{
    enum err e = noise_split(n, &r->keys);

    if (e == ERR_OK)
        e = noise_exporter(n, "itodenwa-exporter-v1", r->exporter);
    memcpy(r->hash, n->h, sizeof r->hash);
    return e;
}

/* Read msg2 into a copy of the state: a forged one must not end the handshake. */
static enum err read_msg2(struct run *r, const struct msg2_wire *wire, struct hello_reply *reply)
{
    struct shake *k = r->shake;
    uint8_t mac_key[32], digest[32], plain[HANDSHAKE_MSG2_PLAIN];
    struct noise n = k->noise;
    struct wr w;
    enum err e = ERR_AUTH;

    handshake_mac_key(k->psk, k->noise.s_public, mac_key);
    handshake_digest(wire->body, digest);
    if (!handshake_mac1_is_right(mac_key, digest, wire->mac1))
        goto out;
    wr_init(&w, plain, sizeof plain);
    n.n_dh = 0;
    e = noise_read(&n, wire->noise, &w);
    r->session->table->stats.dh += n.n_dh;
    if (e == ERR_OK)
        e = hello_reply_parse(wr_done(&w), reply);
    if (e == ERR_OK)
        e = take_keys(r, &n);
out:
    noise_fini(&n);
    return e;
}

static void open_is_done(struct run *r, const struct path *via, ns_t now)
{
    struct session *s = r->session;
    struct sessions *x = s->table;
    const struct session_ops *ops = x->config.ops;
    bool is_fresh = s->current == r, is_ours = find_path(r->shake, via) < r->shake->n_paths;

    if (is_fresh) {
        s->path = r->shake->n_paths > 0 ? r->shake->paths[0] : *via;
        if (is_ours || ops->path_allowed == NULL || ops->path_allowed(x->config.arg, s, via))
            s->path = *via;
    }
    go_live(r, now);
    if (is_fresh) {
        x->stats.established++;
        ops->established(x->config.arg, s, now);
        settle(s, now);
    }
    if (!s->is_gone && r->n_sent == 0 && (s->current == r || s->next == r))
        send_own(r, now, OWN_PING); /* the proof that the responder waits for */
}

void input_msg2(struct sessions *x, ns_t now, const struct path *via, struct slice datagram)
{
    struct hello_reply reply;
    struct msg2_wire wire;
    struct run *r;

    if (msg2_wire_parse(datagram, &wire) != ERR_OK) {
        x->stats.msg2_bad++;
        return;
    }
    r = find_run(x, wire.receiver);
    if (r == NULL || r->state != RUN_OPENING) {
        x->stats.data_unknown++;
        return;
    }
    if (read_msg2(r, &wire, &reply) != ERR_OK) {
        x->stats.msg2_bad++;
        return;
    }
    x->stats.msg2_in++;
    r->remote = wire.sender;
    r->session->reply = reply;
    open_is_done(r, via, now);
}

/* --- responder --- */

/* msg1 on its way in. */
struct knocking {
    struct msg1_wire wire;
    struct slice datagram;
    uint8_t digest[32];
    struct hearing key; /* a copy: admit() may change who we are */
    const struct path *via;
    bool is_proven_address; /* mac2 is right */
};

static void send_cookie(struct sessions *x, ns_t now, const struct knocking *m)
{
    const uint8_t *own = m->key.device < 0 ? x->node_dh.pub : x->self.devices[m->key.device].public;
    uint8_t cookie[16], nonce[24], datagram[HANDSHAKE_COOKIE_BYTES];

    door_cookie(&x->door, now, m->via, cookie);
    env_random(x->env, nonce, sizeof nonce);
    cookie_write(m->key.psk, own, m->wire.sender, nonce, m->wire.mac1, cookie, datagram);
    x->stats.cookies_out++;
    x->stats.answers++;
    send_on(x, m->via, slice_of(datagram, sizeof datagram));
}

/* A place among the unproven: the oldest that was not answered yields, else the oldest. */
static void make_pending_room(struct sessions *x)
{
    struct run *victim;

    if (x->stats.n_pending < SESSIONS_PENDING_MAX)
        return;
    x->stats.msg1_full++;
    victim = list_item(x->pending.next, struct run, pending);
    list_each(node, &x->pending)
    {
        struct run *r = list_item(node, struct run, pending);

        if (r->state == RUN_HEARD) {
            victim = r;
            break;
        }
    }
    drop_session(victim->session);
}

/* The certificate, or the account key, is that of the Noise static. */
static enum err check_proof(struct session *s, const struct noise *n)
{
    struct session_hello *h = &s->hello;
    uint8_t converted[KEY_BYTES];
    enum err e;

    memcpy(h->device, n->remote_static, sizeof h->device);
    if (s->class == SESSION_NODE) {
        memcpy(h->identity, h->said.certificate, sizeof h->identity);
        if (!ed_key_valid(h->identity))
            return ERR_AUTH;
        e = ed_to_x_public(h->identity, converted);
        return e == ERR_OK && memcmp(converted, h->device, KEY_BYTES) == 0 ? ERR_OK : ERR_AUTH;
    }
    e = cert_open(slice_of(h->said.certificate, CERT_BYTES), h->device, &h->cert);
    memcpy(h->identity, h->cert.A, sizeof h->identity);
    return e;
}

static void begin_noise(const struct sessions *x, const struct hearing *key, struct noise *n)
{
    const struct session_device *d = key->device < 0 ? NULL : &x->self.devices[key->device];
    uint8_t prologue[HANDSHAKE_PROLOGUE_BYTES];
    struct noise_config config = {.pattern = NOISE_IKPSK0,
                                  .static_secret = d == NULL ? x->node_dh.secret : d->secret,
                                  .static_public = d == NULL ? x->node_dh.pub : d->public,
                                  .psk = key->psk};

    handshake_prologue(key->class, d == NULL ? x->node_id : x->self.identity, prologue);
    config.prologue = slice_of(prologue, sizeof prologue);
    noise_init(n, &config);
}

/* Pay for a msg1: two DH, one certificate. ERR_AGAIN: that key had its handshake of this second. */
static enum err read_msg1(struct sessions *x, ns_t now, const struct knocking *m, struct noise *n,
                          struct hello *hello)
{
    uint8_t plain[HANDSHAKE_MSG1_PLAIN];
    struct wr w;
    struct rd r;
    enum err e;

    begin_noise(x, &m->key, n);
    rd_init(&r, m->wire.noise);
    wr_init(&w, plain, sizeof plain);
    e = noise_read_begin(n, &r);
    if (e == ERR_OK && !door_pay(&x->door, now, n->remote_static))
        e = ERR_AGAIN;
    if (e == ERR_OK)
        e = noise_read_end(n, &r, &w);
    if (e == ERR_OK)
        e = hello_parse(m->key.class, wr_done(&w), hello);
    x->stats.dh += n->n_dh;
    secret_wipe(plain, sizeof plain);
    return e;
}

/* A session object for a msg1 that is sound, in state HEARD; NULL when it is not. */
static struct run *hear(struct sessions *x, ns_t now, const struct knocking *m)
{
    struct hello hello;
    struct session *s;
    struct noise n;
    struct run *r;
    enum err e = read_msg1(x, now, m, &n, &hello);

    if (e != ERR_OK) {
        if (e == ERR_AGAIN)
            x->stats.msg1_rate_limited++;
        else
            x->stats.msg1_bad++;
        noise_fini(&n);
        return NULL;
    }
    make_pending_room(x);
    s = new_session(x, m->key.class);
    s->hello.class = s->class;
    s->hello.said = hello;
    s->hello.secret_id = m->key.secret_id;
    r = new_run(s, RUN_HEARD, now);
    r->remote = m->wire.sender;
    r->shake->noise = n;
    memcpy(r->shake->digest, m->digest, sizeof r->shake->digest);
    memcpy(r->shake->psk, m->key.psk, sizeof r->shake->psk);
    r->end_at = now + SESSION_OPEN_NS;
    schedule(r);
    if (check_proof(s, &n) != ERR_OK || memcmp(s->hello.device, n.s_public, KEY_BYTES) == 0) {
        x->stats.msg1_bad++;
        drop_session(s);
        r = NULL;
    } else {
        memcpy(s->peer_id, s->hello.identity, sizeof s->peer_id);
        memcpy(s->peer_device, s->hello.device, sizeof s->peer_device);
    }
    noise_fini(&n);
    return r;
}

static enum err write_msg2(struct run *r)
{
    struct sessions *x = r->session->table;
    struct shake *k = r->shake;
    uint8_t plain[HANDSHAKE_MSG2_PLAIN], ephemeral[KEY_BYTES], mac_key[32];
    enum err e;

    hello_reply_write(&x->self.reply, plain);
    handshake_mac_key(k->psk, r->session->peer_device, mac_key);
    env_random(x->env, ephemeral, sizeof ephemeral);
    k->noise.n_dh = 0;
    e = handshake_write_msg2(&k->noise, r->local, r->remote, ephemeral, plain, mac_key, k->msg2);
    x->stats.dh += k->noise.n_dh;
    secret_wipe(ephemeral, sizeof ephemeral);
    if (e == ERR_OK)
        e = take_keys(r, &k->noise);
    noise_fini(&k->noise);
    return e;
}

static uint64_t last_stamp(const struct sessions *x, const uint8_t *device)
{
    return x->config.ops->stamp_get != NULL ? x->config.ops->stamp_get(x->config.arg, device)
                                            : door_stamp(&x->door, device);
}

/* Ask the owner, then look at the stamp; answer, ask for an address, or be silent. */
static void consider(struct sessions *x, ns_t now, struct run *r, const struct knocking *m)
{
    struct session *s = r->session;

    if (!x->config.ops->admit(x->config.arg, &s->hello, m->via)) {
        x->stats.msg1_refused++;
        return;
    }
    if (s->is_gone)
        return;
    if (r->state == RUN_HEARD) {
        if (s->hello.said.stamp <= last_stamp(x, s->peer_device) && !m->is_proven_address) {
            door_set_stale(&x->door, m->digest);
            send_cookie(x, now, m);
            return;
        }
        if (write_msg2(r) != ERR_OK) {
            drop_session(s);
            return;
        }
        r->state = RUN_ANSWERED;
    }
    s->path = *m->via;
    x->stats.answers++;
    send_on(x, m->via, slice_of(r->shake->msg2, sizeof r->shake->msg2));
}

static struct run *find_pending(struct sessions *x, const uint8_t digest[static 32])
{
    list_each(node, &x->pending)
    {
        struct run *r = list_item(node, struct run, pending);

        if (memcmp(r->shake->digest, digest, 32) == 0)
            return r;
    }
    return NULL;
}

void input_msg1(struct sessions *x, ns_t now, const struct path *via, struct slice datagram)
{
    struct knocking m = {.datagram = datagram, .via = via};
    struct run *r;
    int key;

    x->stats.msg1_in++;
    if (msg1_wire_parse(datagram, &m.wire) != ERR_OK) {
        x->stats.msg1_bad++;
        return;
    }
    handshake_digest(m.wire.body, m.digest);
    key = handshake_find_key(x->keys, x->n_hearings, m.digest, m.wire.mac1);
    if (key < 0) {
        x->stats.msg1_bad_mac++;
        return;
    }
    m.key = x->hearings[key];
    door_count(&x->door, now);
    m.is_proven_address = door_mac2_is_right(&x->door, now, via, datagram);
    if (door_is_loaded(&x->door, now) && !m.is_proven_address) {
        send_cookie(x, now, &m);
        return;
    }
    r = find_pending(x, m.digest);
    if (r != NULL)
        x->stats.msg1_copies++;
    else if (door_is_stale(&x->door, m.digest) && !m.is_proven_address)
        x->stats.msg1_copies++;
    else
        r = hear(x, now, &m);
    if (r != NULL)
        consider(x, now, r, &m);
    secret_wipe(&m, sizeof m);
}
