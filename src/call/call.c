#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "call/call_priv.h"
#include "crypto/code.h"
#include "crypto/idtext.h"
#include "crypto/secret.h"

#define HEX32          65 /* 32 bytes in hex, with NUL */
#define OFFER_RETRY_NS (100 * NS_PER_MS)
#define BRANCH_ID      0x80000000u /* ids of branches; what people see counts from 1 */

static const struct {
    const char *token;
    int exit, sip;
} causes[CAUSE_COUNT] = {
    [CAUSE_NONE] = {NULL, 0, 0},
    [CAUSE_HANGUP_LOCAL] = {"hangup_local", 0, 200},
    [CAUSE_HANGUP_REMOTE] = {"hangup_remote", 0, 200},
    [CAUSE_CANCELLED] = {"cancelled", 9, 487},
    [CAUSE_DECLINED] = {"declined", 10, 603},
    [CAUSE_BUSY] = {"busy", 11, 486},
    [CAUSE_NO_ANSWER] = {"no_answer", 12, 480},
    [CAUSE_NOT_ALLOWED] = {"not_allowed", 13, 403},
    [CAUSE_OFFLINE] = {"offline", 14, 480},
    [CAUSE_NOT_FOUND] = {"not_found", 15, 404},
    [CAUSE_NO_NETWORK] = {"no_network", 16, 0},
    [CAUSE_NO_PATH] = {"no_path", 17, 0},
    [CAUSE_ID_MISMATCH] = {"id_mismatch", 18, 0},
    [CAUSE_LOST] = {"lost", 19, 0},
    [CAUSE_AUDIO] = {"audio", 20, 0},
    [CAUSE_INCOMPATIBLE] = {"incompatible", 21, 488},
    [CAUSE_INTERNAL] = {"internal", 22, 500},
    [CAUSE_MISSED] = {"missed", 12, 0},
    [CAUSE_ELSEWHERE] = {"answered_elsewhere", 12, 0},
};

const char *call_cause_token(enum call_cause c)
{
    return causes[c].token;
}

int call_cause_exit(enum call_cause c)
{
    return causes[c].exit;
}

const char *call_state_token(enum call_state s)
{
    static const char *const tokens[] = {"looking_up", "connecting",  "ringing",      "incoming", "in_call",
                                         "held_local", "held_remote", "reconnecting", "ended"};

    return tokens[s];
}

static enum call_cause cause_of_sip(int code)
{
    switch (code) {
    case 486:
    case 600:
        return CAUSE_BUSY;
    case 603:
        return CAUSE_DECLINED;
    case 487:
        return CAUSE_CANCELLED;
    case 480:
        return CAUSE_NO_ANSWER;
    case 408:
    case 481:
        return CAUSE_LOST;
    case 403:
        return CAUSE_NOT_ALLOWED;
    case 404:
        return CAUSE_NOT_FOUND;
    case 415:
    case 420:
    case 488:
    case 606:
        return CAUSE_INCOMPATIBLE;
    default:
        return CAUSE_INTERNAL;
    }
}

/* ---- life of a call ---- */

void call_changed(struct call *c)
{
    if (!c->is_over && c->lead == NULL)
        c->owner->ops.changed(c->owner->ops.arg, c);
}

static ns_t patience(const struct call *c, enum call_state s)
{
    switch (s) {
    case CALL_LOOKING_UP:
        return CALL_LOOKUP_NS + 5 * NS_PER_S; /* the owner gives up first, and knows why */
    case CALL_CONNECTING:
        return CALL_CONNECT_NS;
    case CALL_RINGING:
    case CALL_INCOMING:
        return c->owner->config.ring_ns;
    default:
        return NS_NEVER;
    }
}

static bool is_device(const char *name)
{
    return name != NULL && strncmp(name, "wav:", 4) != 0 && strcmp(name, "null") != 0;
}

/* Ring-back when they ring, the bell when we do: only through a sound card, and only if it opens. */
void call_set_tone(struct call *c, enum call_state s)
{
    const struct calls *x = c->owner;
    const char *device = s == CALL_INCOMING ? x->ring_device : x->output;
    struct err_detail detail;

    if (c->tone != NULL)
        media_tone_stop(c->tone);
    c->tone = NULL;
    if ((s != CALL_INCOMING && s != CALL_RINGING) || x->config.is_silent ||
        x->config.drive != MEDIA_THREADED || c->play_file != NULL || c->audio.loop_ms > 0 ||
        c->lead != NULL || !is_device(device))
        return;
    if (media_tone_start(device, s == CALL_INCOMING ? TONE_RING : TONE_RINGBACK, &c->tone, &detail) != ERR_OK)
        log_info(x->env, "call %u: no tone: %s", c->id, detail.text);
}

void call_enter(struct call *c, ns_t now, enum call_state s)
{
    if (c->is_over || (c->state == s && c->state_at != 0))
        return;
    fork_advance(c, now, s);
    c->state = s;
    c->state_at = now;
    c->since_ms = env_wall_ms(c->owner->env);
    c->deadline = patience(c, s) == NS_NEVER ? NS_NEVER : now + patience(c, s);
    call_set_tone(c, s);
    call_changed(c);
}

static void free_call(void *p)
{
    struct call *c = p;

    mem_free(c->play_file);
    mem_free(c->record_file);
    secret_wipe(c, sizeof *c);
    mem_free(c);
}

static int reject_code(enum call_cause cause)
{
    return cause == CAUSE_BUSY           ? 486
           : cause == CAUSE_DECLINED     ? 603
           : cause == CAUSE_INCOMPATIBLE ? 488
                                         : 480;
}

/* Told in the BYE, so that the other side does not take what failed for a hang-up (RFC 3326). */
static const char *bye_reason(enum call_cause cause)
{
    return cause == CAUSE_LOST      ? "ito;cause=19;text=\"lost\""
           : cause == CAUSE_NO_PATH ? "ito;cause=17;text=\"no_path\""
                                    : NULL;
}

static enum call_cause cause_of_bye(const char *reason)
{
    if (fork_cause(reason, CAUSE_NONE) != CAUSE_NONE)
        return fork_cause(reason, CAUSE_NONE); /* two answered at once, and the other was first */
    for (enum call_cause c = CAUSE_NONE; reason != NULL && c < CAUSE_COUNT; c++)
        if (bye_reason(c) != NULL && strcmp(reason, bye_reason(c)) == 0)
            return c;
    return CAUSE_HANGUP_REMOTE;
}

void call_close_dialog(struct call *c, ns_t now, enum call_cause cause, const char *reason)
{
    struct ua_call *ua = c->ua;

    if (ua == NULL)
        return;
    c->ua = NULL;
    ua_call_set_user(ua, NULL);
    if (c->is_answered)
        ua_bye(ua, now, bye_reason(cause));
    else if (c->is_outgoing)
        ua_cancel(ua, now, reason);
    else
        ua_reject(ua, now, reject_code(cause), NULL);
}

void call_forget(struct call *c)
{
    struct calls *x = c->owner;

    c->is_over = true;
    for (int i = 0; i < CALLS_SLOTS; i++)
        if (x->calls[i] == c)
            x->calls[i] = NULL;
    env_defer(x->env, free_call, c);
}

/* The end, once: cause, sound, path, then the owner, then the memory. */
void call_end(struct call *c, ns_t now, enum call_cause cause, const char *text)
{
    struct calls *x = c->owner;

    if (c->is_over || fork_takes_end(c, now, &cause))
        return;
    call_close_dialog(c, now, cause, NULL); /* the other side is told, whatever the reason */
    c->cause = cause;
    snprintf(c->text, sizeof c->text, "%s", text != NULL ? text : "");
    c->ended_ms = env_wall_ms(x->env);
    c->rang_ms = c->state == CALL_RINGING ? c->ended_ms - c->since_ms : 0;
    path_close(c, now);
    c->state = CALL_ENDED;
    c->since_ms = c->ended_ms;
    x->ops.changed(x->ops.arg, c);
    c->is_over = true;
    x->ops.ended(x->ops.arg, c);
    call_forget(c);
}

/* A place for one more, of those that people see or of their branches. */
static struct call **free_slot(struct calls *x, bool is_branch)
{
    struct call **free = NULL;
    int n_seen = 0;

    for (int i = 0; i < CALLS_SLOTS; i++) {
        if (x->calls[i] == NULL)
            free = &x->calls[i];
        else
            n_seen += x->calls[i]->lead == NULL;
    }
    return is_branch || n_seen < CALLS_MAX ? free : NULL;
}

static struct call *call_new(struct calls *x, const uint8_t peer[static 32], bool is_outgoing,
                             const struct call_policy *policy, const struct call_audio *audio,
                             struct call *lead)
{
    struct call **slot = free_slot(x, lead != NULL), *c;

    if (slot == NULL)
        return NULL;
    c = mem_alloc(sizeof *c);
    c->owner = x;
    c->lead = lead;
    c->id = lead != NULL ? BRANCH_ID | ++x->next_branch : ++x->next_id;
    c->is_outgoing = is_outgoing;
    for (int i = 0; i < LEGS; i++)
        c->legs[i] = (struct leg){.slot = -1, .end_at = NS_NEVER};
    c->leg_at = NS_NEVER;
    c->judged_slot = -1;
    c->volume_pct = 100;
    c->deadline = c->tell_at = NS_NEVER;
    memcpy(c->peer, peer, 32);
    if (policy != NULL)
        c->policy = *policy;
    if (audio != NULL)
        c->audio = *audio;
    c->play_file = c->audio.play_file != NULL ? mem_str(c->audio.play_file) : NULL;
    c->record_file = c->audio.record_file != NULL ? mem_str(c->audio.record_file) : NULL;
    c->started_ms = env_wall_ms(x->env);
    env_random(x->env, c->nonce, sizeof c->nonce);
    *slot = c;
    return c;
}

/* ---- call code ---- */

static const char *to_hex(const uint8_t *bytes, size_t n, char out[static HEX32])
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return out;
}

static bool from_hex(const char *text, uint8_t *out, size_t n)
{
    if (text == NULL || strlen(text) != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;

        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        out[i] = (uint8_t)byte;
    }
    return true;
}

static void make_code(struct call *c, const uint8_t nA[static 32], const uint8_t nB[static 32])
{
    const uint8_t *own = c->owner->config.identity;

    c->code = call_code(c->handshake, nA, nB, c->is_outgoing ? own : c->peer, c->is_outgoing ? c->peer : own);
    c->has_code = true;
}

static bool bind_session(struct call *c, struct session *s)
{
    c->session = s;
    return session_exporter(s, c->exporter) == ERR_OK && session_handshake_hash(s, c->handshake) == ERR_OK;
}

/* ---- outgoing ---- */

enum err calls_dial(struct calls *x, ns_t now, const uint8_t peer[static 32],
                    const struct call_policy *policy, const struct call_audio *audio, struct call **out)
{
    struct call *c = call_new(x, peer, true, policy, audio, NULL);

    *out = c;
    if (c == NULL)
        return ERR_FULL;
    env_random(x->env, c->hello_id, sizeof c->hello_id);
    path_open(c, now);
    call_enter(c, now, CALL_LOOKING_UP);
    return ERR_OK;
}

struct call *call_fork(struct call *c, ns_t now)
{
    struct call_audio audio = c->audio;
    struct call *branch;

    if (c->is_over || !c->is_outgoing || c->is_answered)
        return NULL;
    audio.play_file = c->play_file;
    audio.record_file = c->record_file;
    branch = call_new(c->owner, c->peer, true, &c->policy, &audio, c->lead != NULL ? c->lead : c);
    if (branch == NULL)
        return NULL;
    env_random(c->owner->env, branch->hello_id, sizeof branch->hello_id);
    path_open(branch, now);
    call_enter(branch, now, CALL_LOOKING_UP);
    return branch;
}

const uint8_t *call_hello_id(const struct call *c)
{
    return c->hello_id;
}

void call_connecting(struct call *c, ns_t now)
{
    call_enter(c, now, CALL_CONNECTING);
}

static void invite(struct call *c, ns_t now)
{
    char uri[ID_SIP_BYTES], hex[HEX32], call[HEX32], body[SDP_MAX_BYTES];
    uint8_t commit[32];
    struct ua_header headers[2] = {{"X-Ito-Commit", hex}, {"X-Ito-Call", call}};
    struct wr w;

    c->wants_invite = false;
    call_commit(c->nonce, c->owner->config.identity, c->peer, c->hello_id, commit);
    to_hex(commit, 32, hex);
    to_hex(c->hello_id, sizeof c->hello_id, call);
    path_describe(c, now, NULL, &c->local);
    wr_init(&w, body, sizeof body);
    sdp_write(&c->local, &w);
    c->ua = ua_invite(c->owner->ua, now, c->session, id_sip(c->peer, uri), wr_done(&w), headers, 2);
    if (c->ua == NULL) {
        call_end(c, now, CAUSE_INTERNAL, "the INVITE could not be made");
        return;
    }
    ua_call_set_user(c->ua, c);
}

void call_use_session(struct call *c, ns_t now, struct session *s)
{
    if (!bind_session(c, s)) {
        call_end(c, now, CAUSE_INTERNAL, "session without keys");
        return;
    }
    if (path_is_waiting(c, now))
        c->wants_invite = true;
    else
        invite(c, now);
}

void call_abort(struct call *c, ns_t now, enum call_cause cause, const char *text)
{
    call_end(c, now, cause, text);
}

/* ---- incoming ---- */

static void on_incoming(void *arg, struct ua_call *ua, struct slice sdp, const struct ua_msg *msg)
{
    struct calls *x = arg;
    struct session *s = ua_call_flow(ua);
    struct call *c;
    enum err e;

    if (sdp.len == 0) {
        ua_reject(ua, x->now, 488, NULL);
        return;
    }
    c = call_new(x, session_peer_id(s), false, NULL, NULL, NULL);
    if (c == NULL) {
        ua_reject(ua, x->now, 486, NULL);
        return;
    }
    c->ua = ua;
    ua_call_set_user(ua, c);
    if (!bind_session(c, s) || !from_hex(ua_msg_header(msg, "X-Ito-Call"), c->hello_id, sizeof c->hello_id) ||
        sdp_parse(sdp, &c->offer) != ERR_OK || c->offer.profile != SDP_SAVPF) {
        call_end(c, x->now, CAUSE_INCOMPATIBLE, "no usable offer");
        return;
    }
    e = x->ops.incoming(x->ops.arg, s, c, &c->policy, &c->audio);
    if (c->is_over)
        return;
    if (e != ERR_OK) {
        call_end(c, x->now, e == ERR_FULL ? CAUSE_BUSY : CAUSE_DECLINED, NULL);
        return;
    }
    c->has_commit = from_hex(ua_msg_header(msg, "X-Ito-Commit"), c->peer_commit, sizeof c->peer_commit);
    path_open(c, x->now);
    path_take_remote(c, x->now, &c->offer.ice);
    if (c->state_at == 0)
        call_enter(c, x->now, CALL_INCOMING);
    if (!c->is_answered && !c->is_over)
        ua_ring(ua, x->now, NULL, 0);
}

static void answer_now(struct call *c, ns_t now)
{
    char hex[HEX32], body[SDP_MAX_BYTES];
    struct ua_header headers[1] = {{"X-Ito-Nonce", hex}};
    struct sdp mine;
    struct wr w;

    c->wants_answer = false;
    c->is_answered = true; /* so that all addresses are described; what fails until the 200 is a refusal */
    path_describe(c, now, &c->offer, &mine);
    c->is_answered = false;
    if (mine.n_payloads == 0) {
        call_end(c, now, CAUSE_INCOMPATIBLE, "no codec in common");
        return;
    }
    if (path_start_media(c, now, &mine) != ERR_OK)
        return;
    c->is_answered = true;
    c->answered_ms = env_wall_ms(c->owner->env);
    to_hex(c->nonce, sizeof c->nonce, hex);
    wr_init(&w, body, sizeof body);
    sdp_write(&mine, &w);
    ua_answer(c->ua, now, wr_done(&w), headers, c->has_commit ? 1 : 0);
    call_enter(c, now, CALL_IN_CALL);
}

enum err call_answer(struct call *c, ns_t now)
{
    if (c->is_outgoing || c->is_answered || c->wants_answer || c->is_over)
        return ERR_STATE;
    if (c->state_at == 0)
        call_enter(c, now, CALL_INCOMING);
    if (path_is_waiting(c, now))
        c->wants_answer = true;
    else
        answer_now(c, now);
    return ERR_OK;
}

/* ---- what the user agent says ---- */

static void on_provisional(void *arg, struct ua_call *ua, int code, struct slice sdp,
                           const struct ua_msg *msg)
{
    struct calls *x = arg;
    struct call *c = ua_call_user(ua);

    (void)sdp;
    (void)msg;
    if (c != NULL && code == 180)
        call_enter(c, x->now, CALL_RINGING);
}

static void on_answered(void *arg, struct ua_call *ua, struct slice sdp, const struct ua_msg *msg)
{
    struct calls *x = arg;
    struct call *c = ua_call_user(ua);
    struct sdp *answer;
    char hex[HEX32];
    struct ua_header headers[1] = {{"X-Ito-Nonce", hex}};

    if (c == NULL)
        return;
    fork_won(c, x->now);
    answer = mem_alloc(sizeof *answer);
    c->is_answered = true;
    c->answered_ms = env_wall_ms(x->env);
    if (sdp_parse(sdp, answer) != ERR_OK || sdp_check_answer(&c->local, answer) != ERR_OK) {
        mem_free(answer);
        call_end(c, x->now, CAUSE_INCOMPATIBLE, "no codec in common");
        return;
    }
    to_hex(c->nonce, sizeof c->nonce, hex);
    ua_set_ack(ua, (struct slice){0}, headers, 1);
    if (from_hex(ua_msg_header(msg, "X-Ito-Nonce"), c->peer_nonce, sizeof c->peer_nonce))
        make_code(c, c->nonce, c->peer_nonce);
    path_take_remote(c, x->now, &answer->ice);
    if (path_start_media(c, x->now, answer) == ERR_OK) {
        call_enter(c, x->now, CALL_IN_CALL);
        path_answered(c, x->now);
    }
    mem_free(answer);
}

static void on_acked(void *arg, struct ua_call *ua, struct slice sdp, const struct ua_msg *msg)
{
    struct calls *x = arg;
    struct call *c = ua_call_user(ua);

    (void)sdp;
    if (c == NULL)
        return;
    c->is_acked = true;
    if (c->has_commit && from_hex(ua_msg_header(msg, "X-Ito-Nonce"), c->peer_nonce, sizeof c->peer_nonce)) {
        if (!call_commit_ok(c->peer_commit, c->peer_nonce, c->peer, x->config.identity, c->hello_id)) {
            call_end(c, x->now, CAUSE_ID_MISMATCH, NULL);
            return;
        }
        make_code(c, c->peer_nonce, c->nonce);
    }
    path_answered(c, x->now);
    call_changed(c);
}

static void on_failed(void *arg, struct ua_call *ua, int code, const char *reason, const struct ua_msg *msg)
{
    struct calls *x = arg;
    struct call *c = ua_call_user(ua);
    enum call_cause cause = cause_of_sip(code);

    (void)msg;
    if (c == NULL)
        return;
    c->ua = NULL;
    log_debug(x->env, "call %u: SIP %d", c->id, code);
    if (cause == CAUSE_LOST && !c->is_answered)
        cause = CAUSE_OFFLINE;
    call_end(c, x->now, cause, cause == CAUSE_INTERNAL || cause == CAUSE_INCOMPATIBLE ? reason : NULL);
}

static void on_bye(void *arg, struct ua_call *ua, const struct ua_msg *msg)
{
    struct calls *x = arg;
    struct call *c = ua_call_user(ua);

    if (c == NULL)
        return;
    c->ua = NULL;
    call_end(c, x->now, cause_of_bye(ua_msg_header(msg, "Reason")), NULL);
}

static void on_cancelled(void *arg, struct ua_call *ua, const struct ua_msg *msg)
{
    struct calls *x = arg;
    struct call *c = ua_call_user(ua);

    if (c == NULL)
        return;
    c->ua = NULL;
    call_end(c, x->now, fork_cause(ua_msg_header(msg, "Reason"), CAUSE_MISSED), NULL);
}

static int on_info(void *arg, struct ua_call *ua, const char *type, struct slice body,
                   const struct ua_msg *msg)
{
    struct calls *x = arg;
    struct call *c = ua_call_user(ua);
    struct sdp_frag *frag;

    (void)msg;
    if (c == NULL)
        return 481;
    if (strcmp(type, "application/trickle-ice-sdpfrag") != 0)
        return 415;
    frag = mem_alloc(sizeof *frag);
    if (sdp_frag_parse(body, frag) == ERR_OK)
        path_take_remote(c, x->now, &frag->ice);
    mem_free(frag);
    return 200;
}

static void on_reinvite(void *arg, struct ua_call *ua, struct slice sdp, const struct ua_msg *msg)
{
    struct calls *x = arg;
    struct call *c = ua_call_user(ua);
    struct sdp *offer, *mine;
    char body[SDP_MAX_BYTES];
    struct wr w;

    (void)msg;
    offer = mem_alloc(sizeof *offer);
    mine = mem_alloc(sizeof *mine);
    if (c == NULL || c->ice == NULL || sdp_parse(sdp, offer) != ERR_OK) {
        ua_reinvite_reject(ua, x->now, 488);
    } else {
        path_take_remote(c, x->now, &offer->ice);
        path_describe(c, x->now, offer, mine);
        wr_init(&w, body, sizeof body);
        sdp_write(mine, &w);
        ua_reinvite_answer(ua, x->now, wr_done(&w));
        if (c->state != CALL_HELD_LOCAL)
            call_enter(c, x->now, sdp_is_hold(offer) ? CALL_HELD_REMOTE : CALL_IN_CALL);
    }
    mem_free(offer);
    mem_free(mine);
}

/* A new offer of what we are now; when another is still open, right after it. */
static void offer_again(struct call *c, ns_t now)
{
    char body[SDP_MAX_BYTES];
    struct sdp *mine = mem_alloc(sizeof *mine);
    struct wr w;

    path_describe(c, now, NULL, mine);
    wr_init(&w, body, sizeof body);
    sdp_write(mine, &w);
    mem_free(mine);
    c->offer_at = now + OFFER_RETRY_NS;
    c->wants_offer = c->ua != NULL && ua_reinvite(c->ua, now, wr_done(&w)) == ERR_AGAIN;
}

static void on_reinvited(void *arg, struct ua_call *ua, int code, struct slice sdp, const struct ua_msg *msg)
{
    struct calls *x = arg;
    struct call *c = ua_call_user(ua);

    (void)sdp;
    (void)msg;
    if (c == NULL)
        return;
    log_debug(x->env, "call %u: new offer %d", c->id, code);
}

static void on_sip_send(void *arg, void *flow, struct slice sip)
{
    struct calls *x = arg;

    x->ops.sip_send(x->ops.arg, flow, sip);
}

/* ---- verbs ---- */

void call_hangup(struct call *c, ns_t now)
{
    if (c->is_answered)
        call_end(c, now, CAUSE_HANGUP_LOCAL, NULL);
    else
        call_end(c, now, c->is_outgoing ? CAUSE_CANCELLED : CAUSE_DECLINED, NULL);
}

enum err call_mute(struct call *c, bool is_on)
{
    c->is_muted = is_on;
    if (c->media != NULL)
        media_set(c->media, MEDIA_MUTE, is_on);
    call_changed(c);
    return ERR_OK;
}

enum err call_hold(struct call *c, ns_t now, bool is_on)
{
    if (!c->is_answered || c->media == NULL || is_on == (c->state == CALL_HELD_LOCAL))
        return ERR_STATE;
    media_set(c->media, MEDIA_HOLD, is_on);
    call_enter(c, now, is_on ? CALL_HELD_LOCAL : CALL_IN_CALL);
    offer_again(c, now);
    return ERR_OK;
}

enum err call_dtmf(struct call *c, const char *keys)
{
    return c->media != NULL ? media_dtmf(c->media, keys) : ERR_STATE;
}

enum err call_volume(struct call *c, int pct)
{
    c->volume_pct = pct;
    call_changed(c);
    return c->media != NULL ? media_set(c->media, MEDIA_VOLUME, pct) : ERR_STATE;
}

enum err call_gain(struct call *c, int db)
{
    c->gain_db = db;
    call_changed(c);
    return c->media != NULL ? media_set(c->media, MEDIA_GAIN, db) : ERR_STATE;
}

void call_silence(struct call *c)
{
    if (c->tone != NULL)
        media_tone_stop(c->tone);
    c->tone = NULL;
}

/* ---- the table ---- */

static const struct ua_ops ua_callbacks = {.send = on_sip_send,
                                           .incoming = on_incoming,
                                           .provisional = on_provisional,
                                           .answered = on_answered,
                                           .acked = on_acked,
                                           .failed = on_failed,
                                           .bye = on_bye,
                                           .cancelled = on_cancelled,
                                           .info = on_info,
                                           .reinvite = on_reinvite,
                                           .reinvited = on_reinvited};

static char *copy(const char *text)
{
    return text != NULL ? mem_str(text) : NULL;
}

static void set_devices(struct calls *x, const struct calls_config *config)
{
    mem_free(x->input);
    mem_free(x->output);
    mem_free(x->ring_device);
    x->config.input = x->input = copy(config->input);
    x->config.output = x->output = copy(config->output);
    x->config.ring_device = x->ring_device = copy(config->ring_device);
}

void calls_configure(struct calls *x, const struct calls_config *config)
{
    struct calls_config before = x->config;

    x->config = *config;
    memcpy(x->config.identity, before.identity, sizeof before.identity);
    x->config.uri = before.uri;
    x->config.name = before.name;
    x->config.drive = before.drive;
    x->config.is_silent = before.is_silent;
    set_devices(x, config);
}

struct calls *calls_create(const struct calls_config *config, const struct calls_ops *ops,
                           const struct env *env)
{
    struct calls *x = mem_alloc(sizeof *x);
    struct ua_cfg ua = {.name = config->name, .user_agent = "itodenwa"};

    x->config = *config;
    x->uri = copy(config->uri);
    set_devices(x, config);
    x->ops = *ops;
    x->env = env;
    ua.uri = x->uri;
    x->ua = ua_create(&ua, &ua_callbacks, x, env);
    return x;
}

void calls_destroy(struct calls *x, ns_t now)
{
    if (x == NULL)
        return;
    for (int i = 0; i < CALLS_SLOTS; i++) {
        if (x->calls[i] == NULL)
            continue;
        path_close(x->calls[i], now);
        x->calls[i]->is_over = true;
        free_call(x->calls[i]);
    }
    ua_destroy(x->ua);
    mem_free(x->uri);
    mem_free(x->input);
    mem_free(x->output);
    mem_free(x->ring_device);
    mem_free(x);
}

static void give_up(struct call *c, ns_t now)
{
    switch (c->state) {
    case CALL_RINGING:
        call_end(c, now, CAUSE_NO_ANSWER, NULL);
        break;
    case CALL_INCOMING:
        call_end(c, now, CAUSE_MISSED, NULL);
        break;
    case CALL_CONNECTING:
        call_end(c, now, CAUSE_OFFLINE, NULL);
        break;
    default:
        call_end(c, now, CAUSE_NOT_FOUND, NULL);
    }
}

void calls_tick(struct calls *x, ns_t now)
{
    x->now = now;
    if (ua_deadline(x->ua) <= now)
        ua_tick(x->ua, now);
    for (int i = 0; i < CALLS_SLOTS; i++) {
        struct call *c = x->calls[i];

        if (c == NULL)
            continue;
        if (c->wants_invite && !path_is_waiting(c, now))
            invite(c, now);
        if (!c->is_over && c->wants_answer && !path_is_waiting(c, now))
            answer_now(c, now);
        if (!c->is_over && c->wants_offer && now >= c->offer_at)
            offer_again(c, now);
        if (!c->is_over)
            path_tick(c, now);
        if (!c->is_over && c->deadline <= now)
            give_up(c, now);
    }
}

ns_t calls_deadline(const struct calls *x)
{
    ns_t at = ua_deadline(x->ua);

    for (int i = 0; i < CALLS_SLOTS; i++) {
        const struct call *c = x->calls[i];

        if (c == NULL)
            continue;
        at = ns_min(at, ns_min(path_deadline(c), c->deadline));
        if (c->wants_offer)
            at = ns_min(at, c->offer_at);
        if (c->wants_invite || c->wants_answer)
            at = ns_min(at, path_has_leg_up(c) || !path_has_leg(c) ? 0 : c->alloc_wait_until);
    }
    return at;
}

void calls_sip_input(struct calls *x, ns_t now, struct session *s, struct slice sip)
{
    x->now = now;
    ua_input(x->ua, now, s, sip);
}

void calls_session_replaced(struct calls *x, ns_t now, struct session *old, struct session *fresh)
{
    x->now = now;
    for (int i = 0; i < CALLS_SLOTS; i++) {
        struct call *c = x->calls[i];

        if (c == NULL || c->session != old)
            continue;
        c->session = fresh; /* media keys stay those of the session that carried the INVITE */
        if (c->ua != NULL)
            ua_call_set_flow(c->ua, fresh);
    }
}

void calls_session_gone(struct calls *x, ns_t now, struct session *s)
{
    x->now = now;
    ua_flow_gone(x->ua, s);
    for (int i = 0; i < CALLS_SLOTS; i++) {
        struct call *c = x->calls[i];

        if (c == NULL || c->session != s)
            continue;
        c->session = NULL;
        if (!c->is_answered) {
            if (c->ua != NULL)
                ua_drop(c->ua);
            c->ua = NULL;
            call_end(c, now, c->is_outgoing ? CAUSE_OFFLINE : CAUSE_MISSED, NULL);
        }
    }
}

bool calls_input(struct calls *x, ns_t now, const struct path *via, struct slice bytes)
{
    x->now = now;
    for (int i = 0; i < CALLS_SLOTS; i++)
        if (x->calls[i] != NULL && path_input(x->calls[i], now, via, bytes))
            return true;
    return false;
}

void calls_media_ready(struct calls *x, ns_t now, struct call *c)
{
    x->now = now;
    if (!c->is_over)
        path_pump(c, now);
}

/* None of the addresses we told is ours any more: what went by them goes nowhere. */
static bool has_moved(struct call *c)
{
    struct addr own[CALL_ADDRS_MAX];
    const struct candidate *locals;
    size_t n_host, n = c->owner->ops.addrs(c->owner->ops.arg, c, own, &n_host);
    size_t n_locals = ice_locals(c->ice, &locals);
    bool has_host = false;

    (void)n;
    for (size_t i = 0; i < n_locals; i++) {
        if (locals[i].type != CANDIDATE_HOST)
            continue;
        has_host = true;
        for (size_t k = 0; k < n_host; k++)
            if (addr_equal(&locals[i].addr, &own[k]))
                return false;
    }
    return has_host;
}

/* Tell again, with what is new. Who never tells its own addresses waits for the relayed one. */
static void tell_again(struct call *c, ns_t now)
{
    c->is_told = c->policy.is_relay_only;
    path_tell_all(c, now);
}

void calls_network_changed(struct calls *x, ns_t now)
{
    x->now = now;
    for (int i = 0; i < CALLS_SLOTS; i++) {
        struct call *c = x->calls[i];

        if (c == NULL || c->ice == NULL || !c->is_answered)
            continue;
        if (has_moved(c))
            ice_remove_base(c->ice, now, BASE_UDP);
        ice_restart(c->ice, now);
        tell_again(c, now);
    }
}

void calls_addrs_changed(struct calls *x, ns_t now)
{
    x->now = now;
    for (int i = 0; i < CALLS_SLOTS; i++) {
        struct call *c = x->calls[i];

        if (c != NULL && c->ice != NULL && c->is_answered && c->is_told && !c->policy.allow_loopback)
            tell_again(c, now);
    }
}

void calls_relay_back(struct calls *x, ns_t now)
{
    x->now = now;
    for (int i = 0; i < CALLS_SLOTS; i++) {
        struct call *c = x->calls[i];

        if (c != NULL && c->ice != NULL && c->is_answered && c->leg_at != NS_NEVER)
            path_want_legs(c, now);
    }
}

struct call *calls_find(const struct calls *x, uint32_t id)
{
    for (int i = 0; i < CALLS_SLOTS; i++)
        if (x->calls[i] != NULL && x->calls[i]->lead == NULL && x->calls[i]->id == id)
            return x->calls[i];
    return NULL;
}

struct call *calls_at(const struct calls *x, size_t n)
{
    for (int i = 0; i < CALLS_SLOTS; i++)
        if (x->calls[i] != NULL && x->calls[i]->lead == NULL && n-- == 0)
            return x->calls[i];
    return NULL;
}

struct call *calls_current(const struct calls *x)
{
    struct call *best = NULL;

    for (int i = 0; i < CALLS_SLOTS; i++) {
        struct call *c = x->calls[i];

        if (c == NULL || c->lead != NULL)
            continue;
        if (best == NULL || (c->state == CALL_INCOMING) > (best->state == CALL_INCOMING) ||
            ((c->state == CALL_INCOMING) == (best->state == CALL_INCOMING) && c->id > best->id))
            best = c;
    }
    return best;
}

uint32_t call_id(const struct call *c)
{
    return c->id;
}

const uint8_t *call_peer(const struct call *c)
{
    return c->peer;
}

struct session *call_session(const struct call *c)
{
    return c->session;
}

enum call_state call_get_state(const struct call *c)
{
    return c->state;
}

void call_set_user(struct call *c, void *user)
{
    c->user = user;
}

void *call_user(const struct call *c)
{
    return c->user;
}

void call_info(const struct call *c, struct call_info *out)
{
    const struct ice_path *path = c->ice != NULL ? ice_path(c->ice) : NULL;

    if (path == NULL && c->has_last_path && (c->is_answered || c->is_over))
        path = &c->last_path;
    *out = (struct call_info){.id = c->id,
                              .is_outgoing = c->is_outgoing,
                              .state = c->state,
                              .cause = c->cause,
                              .text = c->text,
                              .since_ms = c->since_ms,
                              .started_ms = c->started_ms,
                              .answered_ms = c->answered_ms,
                              .ended_ms = c->ended_ms,
                              .rang_ms = c->rang_ms,
                              .has_code = c->has_code,
                              .code = c->code,
                              .is_muted = c->is_muted,
                              .has_no_input = c->has_no_input,
                              .has_no_output = c->has_no_output,
                              .has_media = c->media != NULL || c->media_since != 0,
                              .alloc_slot = -1,
                              .volume_pct = c->volume_pct,
                              .gain_db = c->gain_db,
                              .stats = c->last_stats};
    memcpy(out->peer, c->peer, 32);
    for (int i = LEGS - 1; i >= 0; i--) {
        out->n_legs += c->legs[i].is_up;
        out->alloc_slot = c->legs[i].slot >= 0 ? c->legs[i].slot : out->alloc_slot;
    }
    if (path == NULL)
        return;
    out->has_path = true;
    out->path = *path;
    out->remote = path->remote;
    out->uses_alloc = path->base >= BASE_TURN;
    if (out->uses_alloc)
        out->alloc_slot = c->legs[path->base - BASE_TURN].slot;
    out->is_ipv6 = path->remote.family == ADDR_V6;
    out->is_same_network = addr_class(&path->remote) != ADDR_GLOBAL;
}
