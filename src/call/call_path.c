#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "call/call_priv.h"
#include "crypto/secret.h"

#define STATS_NS (100 * NS_PER_MS) /* meters move at 10 Hz */
#define RELAYED_NS \
    (300 * NS_PER_MS) /* sound first by the relay that is there, then better paths are looked for */
#define TELL_NS            NS_PER_S
#define WARM_NS            NS_PER_S       /* after the answer: the second allocation */
#define LEG_RETRY_NS       (2 * NS_PER_S) /* no relay for it: asked again */
#define LEG_SPREAD_NS      (5 * NS_PER_S) /* relay-only: how often that is looked at */
#define DOUBT_NS           (2 * NS_PER_S) /* how often the owner is told that nothing comes */
#define LOOPBACK_BITRATE   64000
#define LOOPBACK_JITTER_MS 100
#define FIRST_SOUND_NS     (15 * NS_PER_S) /* answered, and no path by then: no_path */
#define LEAVE_QUIET_NS     NS_PER_S        /* nothing came by a leg that is left: given back */
#define LAST_WORDS_NS      NS_PER_S        /* before a relay stops: the other side is told while it can be */
#define LEAVE_RECENT_NS    (60 * NS_PER_S)
#define LEAVING_TEXT       "The relay will stop carrying this call; another is looked for."

static const struct path no_path;
static const struct leg no_leg = {.slot = -1, .end_at = NS_NEVER};

static struct path path_of_base(const struct call *c, uint8_t base, const struct addr *to)
{
    struct path p = no_path;

    p.kind = base >= BASE_TURN ? PATH_TURN : PATH_UDP;
    p.slot = base >= BASE_TURN ? (uint16_t)c->legs[base - BASE_TURN].slot : 0;
    p.addr = *to;
    return p;
}

/* The base a datagram came by; negative: not one of this call's. */
static int base_of_path(const struct call *c, const struct path *via)
{
    if (via->kind == PATH_UDP)
        return BASE_UDP;
    for (int i = 0; i < LEGS && via->kind == PATH_TURN; i++)
        if (c->legs[i].slot >= 0 && via->slot == (uint16_t)c->legs[i].slot)
            return BASE_TURN + i;
    return -1;
}

bool path_has_leg(const struct call *c)
{
    for (int i = 0; i < LEGS; i++)
        if (c->legs[i].slot >= 0)
            return true;
    return false;
}

bool path_has_leg_up(const struct call *c)
{
    for (int i = 0; i < LEGS; i++)
        if (c->legs[i].is_up)
            return true;
    return false;
}

/* ---- ICE ---- */

static void ice_send_cb(void *arg, uint8_t base, const struct addr *to, struct slice bytes)
{
    struct call *c = arg;
    struct path p = path_of_base(c, base, to);

    c->owner->ops.send(c->owner->ops.arg, &p, bytes);
}

static void ice_path_cb(void *arg, ns_t now, const struct ice_path *path)
{
    struct call *c = arg;
    struct path p = path_of_base(c, path->base, &path->remote);

    if (!c->has_last_path)
        c->tell_at = ns_min(c->tell_at, now + RELAYED_NS);
    c->last_path = *path;
    c->has_last_path = true;
    /* Signalling follows the sound: knock flows end after 90 s, a call does not. */
    if (c->session != NULL && c->is_answered)
        c->owner->ops.move_session(c->owner->ops.arg, c->session, &p);
    call_changed(c);
}

static void ice_failed_cb(void *arg, ns_t now)
{
    struct call *c = arg;

    if (c->is_answered && c->last_stats.n_in == 0)
        call_end(c, now, CAUSE_NO_PATH, NULL);
}

static void ice_consent_lost_cb(void *arg, ns_t now)
{
    struct call *c = arg;

    ice_restart(c->ice, now);
}

static const struct ice_ops ice_callbacks = {
    .send = ice_send_cb, .path = ice_path_cb, .failed = ice_failed_cb, .consent_lost = ice_consent_lost_cb};

static void add_local(struct call *c, ns_t now, enum candidate_type type, const struct addr *addr,
                      const struct addr *related, uint8_t base, uint16_t preference)
{
    struct candidate candidate = candidate_make(type, addr, related, base, preference);

    ice_add_local(c->ice, now, &candidate);
}

/* Host and server-reflexive candidates: what a policy hides until the answer. */
static void add_own(struct call *c, ns_t now)
{
    struct addr addrs[CALL_ADDRS_MAX];
    size_t n_host, n;

    if (c->policy.is_relay_only)
        return;
    n = c->owner->ops.addrs(c->owner->ops.arg, c, addrs, &n_host);
    for (size_t i = 0; i < n; i++) {
        bool is_host = i < n_host;

        add_local(c, now, is_host ? CANDIDATE_HOST : CANDIDATE_SRFLX, &addrs[i],
                  is_host || n_host == 0 ? NULL : &addrs[0], BASE_UDP, (uint16_t)(65535 - i));
    }
}

/* Relays the other side is at: each telling names all it has. */
static void note_their_relays(struct call *c, const struct sdp_ice *ice)
{
    struct candidate candidate;
    unsigned n = 0;

    for (unsigned i = 0; i < ice->n_candidates && n < LEGS; i++)
        if (candidate_parse(slice_str(ice->candidates[i]), &candidate) == ERR_OK &&
            candidate.type == CANDIDATE_RELAYED)
            c->theirs[n++] = candidate.addr;
    if (n > 0)
        c->n_theirs = n;
}

static bool is_theirs(const struct call *c, const struct addr *relay)
{
    for (unsigned i = 0; i < c->n_theirs; i++)
        if (addr_equal_ip(&c->theirs[i], relay))
            return true;
    return false;
}

static int allocate(const struct call *c, int i, bool must_avoid)
{
    return c->owner->ops.allocate(c->owner->ops.arg, c, c->legs[1 - i].slot, c->theirs,
                                  c->policy.is_relay_only ? c->n_theirs : 0, must_avoid);
}

/* Another allocation: never where the other leg is. Who is relay-only keeps away from the other side's relays. */
static void ask_leg(struct call *c, int i)
{
    if (c->policy.allow_loopback || c->legs[i].slot >= 0)
        return;
    c->legs[i] = no_leg;
    c->legs[i].slot = allocate(c, i, false);
}

enum err path_open(struct call *c, ns_t now)
{
    struct ice_config config = {.is_controlling = c->is_outgoing,
                                .allow_loopback = c->policy.allow_loopback,
                                .is_relay_only = c->policy.is_relay_only};

    c->ice = ice_create(&config, &ice_callbacks, c, c->owner->env);
    note_their_relays(c, &c->offer.ice);
    ask_leg(c, 0);
    if (c->policy.is_relay_only)
        ask_leg(c, 1);
    c->alloc_wait_until = now + CALL_ALLOC_WAIT_NS;
    if (c->policy.may_tell_early)
        add_own(c, now);
    return ERR_OK;
}

void path_close(struct call *c, ns_t now)
{
    path_stop_media(c, now);
    ice_destroy(c->ice);
    c->ice = NULL;
    for (int i = 0; i < LEGS; i++) {
        if (c->legs[i].slot >= 0)
            c->owner->ops.release(c->owner->ops.arg, c->legs[i].slot);
        c->legs[i] = no_leg;
    }
}

bool path_is_waiting(const struct call *c, ns_t now)
{
    return path_has_leg(c) && !path_has_leg_up(c) && now < c->alloc_wait_until;
}

/* The call that holds this allocation, and which leg it is. */
static struct call *call_of_slot(struct calls *x, int slot, int *leg)
{
    for (int i = 0; i < CALLS_SLOTS; i++)
        for (*leg = 0; x->calls[i] != NULL && *leg < LEGS; (*leg)++)
            if (x->calls[i]->legs[*leg].slot == slot)
                return x->calls[i];
    return NULL;
}

void calls_alloc_ready(struct calls *x, ns_t now, int slot, const struct addr *relayed,
                       const struct addr *mapped)
{
    int leg;
    struct call *c = call_of_slot(x, slot, &leg);

    if (c == NULL)
        return;
    c->legs[leg].is_up = true;
    c->legs[leg].relayed = *relayed;
    add_local(c, now, CANDIDATE_RELAYED, relayed, c->policy.is_relay_only ? NULL : mapped,
              (uint8_t)(BASE_TURN + leg), (uint16_t)(65535 - leg));
    if (c->is_told)
        path_tell_all(c, now);
}

void calls_alloc_gone(struct calls *x, ns_t now, int slot)
{
    int leg;
    struct call *c = call_of_slot(x, slot, &leg);

    if (c == NULL)
        return;
    c->legs[leg] = no_leg;
    x->ops.release(x->ops.arg, slot);
    if (c->is_answered)
        c->leg_at = ns_min(c->leg_at, now + LEG_RETRY_NS);
    if (c->ice != NULL)
        ice_remove_base(c->ice, now, (uint8_t)(BASE_TURN + leg));
}

void calls_alloc_leaving(struct calls *x, ns_t now, int slot, ns_t end_at)
{
    int leg;
    struct call *c = call_of_slot(x, slot, &leg);

    if (c == NULL)
        return;
    if (end_at != NS_NEVER)
        c->legs[leg].end_at = ns_min(c->legs[leg].end_at, end_at);
    if (c->legs[leg].is_leaving)
        return;
    c->legs[leg].is_leaving = true;
    c->legs[leg].media_at = now;
    if (c->ice != NULL)
        ice_leave_base(c->ice, now, (uint8_t)(BASE_TURN + leg));
    if (c->is_answered)
        c->leg_at = now;
}

static bool is_path_by(const struct call *c, int leg)
{
    const struct ice_path *path = ice_path(c->ice);

    return path != NULL && path->base == BASE_TURN + leg;
}

/* The words on the screen while the pair in use has no successor. */
static void tell_leaving(struct call *c, ns_t now)
{
    const struct ice_path *path = ice_path(c->ice);
    bool leaves = path != NULL && path->is_leaving;

    if (leaves)
        c->told_to_move_at = now;
    if (leaves == c->says_leaving)
        return;
    c->says_leaving = leaves;
    if (leaves || strcmp(c->text, LEAVING_TEXT) == 0)
        snprintf(c->text, sizeof c->text, "%s", leaves ? LEAVING_TEXT : "");
}

/* Relays that asked to move: given back when the call has moved, and the end when it could not. */
static void watch_leaving(struct call *c, ns_t now)
{
    tell_leaving(c, now);
    for (int i = 0; i < LEGS; i++) {
        struct leg *leg = &c->legs[i];

        if (leg->slot < 0 || !leg->is_leaving)
            continue;
        if (!is_path_by(c, i) && now >= leg->media_at + LEAVE_QUIET_NS) {
            int slot = leg->slot;

            *leg = no_leg;
            c->owner->ops.release(c->owner->ops.arg, slot);
            ice_remove_base(c->ice, now, (uint8_t)(BASE_TURN + i));
            c->leg_at = now;
        } else if (is_path_by(c, i) && leg->end_at != NS_NEVER && now + LAST_WORDS_NS >= leg->end_at) {
            call_end(c, now, CAUSE_NO_PATH, NULL);
            return;
        }
    }
}

void path_want_legs(struct call *c, ns_t now)
{
    c->leg_at = now;
}

/* Relay-only, when both sides have the same two relays: the death of one would leave one, which may not carry both ends.
 * What stands by moves to a third; the caller's first, so that not both move. */
static void spread_legs(struct call *c, ns_t now)
{
    int standby = is_path_by(c, 0) ? 1 : 0;
    int slot, old = c->legs[standby].slot;

    if (ice_path(c->ice) == NULL)
        return;
    for (int i = 0; i < LEGS; i++)
        if (!c->legs[i].is_up || !is_theirs(c, &c->legs[i].relayed))
            return;
    slot = allocate(c, standby, true);
    if (slot < 0)
        return;
    ice_remove_base(c->ice, now, (uint8_t)(BASE_TURN + standby));
    c->owner->ops.release(c->owner->ops.arg, old);
    c->legs[standby] = no_leg;
    c->legs[standby].slot = slot;
}

/* A call that is answered has a relay for its sound and one to spare. */
static void keep_legs(struct call *c, ns_t now)
{
    if (now < c->leg_at)
        return;
    c->leg_at = NS_NEVER;
    for (int i = 0; i < LEGS; i++) {
        ask_leg(c, i);
        if (c->legs[i].slot < 0)
            c->leg_at = now + LEG_RETRY_NS;
    }
    if (c->policy.is_relay_only) {
        spread_legs(c, now);
        c->leg_at = ns_min(c->leg_at, now + (c->is_outgoing ? LEG_SPREAD_NS : 2 * LEG_SPREAD_NS));
    }
}

static void write_ice(struct call *c, struct sdp_ice *out)
{
    const struct candidate *locals;
    size_t n = ice_locals(c->ice, &locals);
    char line[CANDIDATE_TEXT_BYTES];

    *out = (struct sdp_ice){.is_trickle = true, .is_ice2 = true};
    snprintf(out->ufrag, sizeof out->ufrag, "%s", ice_ufrag(c->ice));
    snprintf(out->pwd, sizeof out->pwd, "%s", ice_pwd(c->ice));
    for (size_t i = 0; i < n; i++) {
        struct candidate told = locals[i];

        if (!c->is_told && told.type == CANDIDATE_RELAYED && !c->policy.may_tell_early)
            told.related = (struct addr){0}; /* raddr is our own address: not before the answer */
        sdp_add_candidate(out, candidate_print(&told, line));
    }
}

void path_describe(struct call *c, ns_t now, const struct sdp *offer, struct sdp *out)
{
    struct sdp local;

    sdp_local(&local, SDP_SAVPF);
    local.session_id = c->id;
    local.version = ++c->sdp_version;
    local.has_rtcp_mux = true;
    local.has_key = true;
    local.key_n = 0;
    local.ptime_ms = (uint16_t)c->owner->config.frame_ms;
    local.direction = c->state == CALL_HELD_LOCAL ? SDP_SENDONLY : SDP_SENDRECV;
    if (c->is_answered && !c->is_told && !path_has_leg(c) && !c->policy.is_relay_only) {
        add_own(c, now); /* no relay to begin with: everything at once */
        c->is_told = true;
    }
    write_ice(c, &local.ice);
    *out = local;
    if (offer != NULL && sdp_answer(offer, &local, out) != ERR_OK)
        out->n_payloads = 0;
    c->local = *out;
}

void path_take_remote(struct call *c, ns_t now, const struct sdp_ice *ice)
{
    note_their_relays(c, ice);
    if (ice->ufrag[0] != '\0')
        ice_set_remote(c->ice, now, ice->ufrag, ice->pwd);
    for (unsigned i = 0; i < ice->n_candidates; i++) {
        struct candidate candidate;

        if (candidate_parse(slice_str(ice->candidates[i]), &candidate) != ERR_OK)
            continue;
        ice_add_remote(c->ice, now, &candidate);
    }
    if (ice->is_end)
        ice_end_of_remote(c->ice, now);
}

void path_tell_all(struct call *c, ns_t now)
{
    struct sdp_frag frag = {.mid = ""};
    char body[SDP_MAX_BYTES];
    struct wr w;

    if (c->policy.is_relay_only && !path_has_leg_up(c))
        return;
    if (!c->is_told)
        add_own(c, now);
    c->is_told = true;
    write_ice(c, &frag.ice);
    frag.ice.is_end = !path_has_leg(c) || path_has_leg_up(c);
    wr_init(&w, body, sizeof body);
    sdp_frag_write(&frag, &w);
    if (wr_ok(&w) && c->ua != NULL)
        ua_info(c->ua, now, "application/trickle-ice-sdpfrag", wr_done(&w));
    if (frag.ice.is_end)
        ice_end_of_local(c->ice, now);
}

/* ---- sound ---- */

/* key16 salt12 of one direction (THREATS.md §4.10). */
static void media_key(const struct call *c, uint16_t n, uint8_t dir, uint8_t out[static SRTP_KEY_BYTES])
{
    struct hasher h;

    hash_begin(&h, SRTP_KEY_BYTES, c->exporter, sizeof c->exporter);
    hash_text(&h, "itodenwa-srtp-v1");
    hash_bytes(&h, c->hello_id, sizeof c->hello_id);
    hash_u16(&h, n);
    hash_u8(&h, dir);
    hash_end(&h, out);
}

static void media_event_cb_(void *arg, const struct media_event *ev)
{
    struct call *c = arg;

    if (ev->kind != MEDIA_DEVICE_LOST && ev->kind != MEDIA_DEVICE_CHANGED)
        return;
    snprintf(c->text, sizeof c->text, "%s", ev->text != NULL ? ev->text : "The sound device changed.");
    log_warn(c->owner->env, "call %u sound: %s", c->id, c->text);
}

static void fill_media_cfg(struct call *c, const struct sdp *theirs, struct media_cfg *cfg)
{
    const struct calls_config *config = &c->owner->config;
    const struct sdp_payload *opus = sdp_find(theirs, SDP_OPUS), *dtmf = sdp_find(theirs, SDP_DTMF);
    const struct sdp_payload *red = sdp_find(theirs, SDP_RED);
    bool is_live = c->play_file == NULL && c->audio.source == NULL && c->audio.loop_ms == 0 &&
                   config->input != NULL &&
                   strncmp(config->input, "wav:", 4) != 0; /* a file, or Echo, has no room around it */

    *cfg = (struct media_cfg){.drive = config->drive,
                              .input = config->input,
                              .output = config->output,
                              .play_file = c->play_file,
                              .record_file = c->record_file,
                              .loop_ms = c->audio.loop_ms,
                              .source = c->audio.source,
                              .sink = c->audio.sink,
                              .audio_arg = c->audio.audio_arg,
                              .has_echo_cancel = config->has_echo_cancel && is_live,
                              .has_noise_suppress = config->has_noise_suppress && is_live,
                              .event = media_event_cb_,
                              .event_arg = c};
    cfg->stream = (struct stream_cfg){.payload_type = opus->type,
                                      .red_type = red != NULL ? red->type : 0,
                                      .event_type = dtmf != NULL ? dtmf->type : 0,
                                      .bitrate = config->bitrate,
                                      .frame_ms = config->frame_ms,
                                      .has_fec = config->has_fec,
                                      .is_variable = config->is_variable,
                                      .jitter_min_ms = config->jitter_min_ms,
                                      .jitter_max_ms = config->jitter_max_ms};
    if (c->policy
            .allow_loopback) { /* a wire of no length: what is heard is the sound, not a network's economy */
        cfg->stream.bitrate = LOOPBACK_BITRATE;
        cfg->stream.max_bitrate = 2 * LOOPBACK_BITRATE;
        cfg->stream.jitter_min_ms = LOOPBACK_JITTER_MS;
        cfg->stream.jitter_max_ms = 4 * LOOPBACK_JITTER_MS;
    }
}

/* A first call to Echo needs no sound card: the half that cannot be opened is silence there, and said so. */
static enum err open_media(struct call *c, struct media_cfg *cfg, struct err_detail *detail)
{
    enum err e = media_create(cfg, c->owner->env, &c->media, detail);

    if (e == ERR_OK || !c->policy.allow_loopback)
        return e;
    snprintf(c->text, sizeof c->text, "%.128s This call is silent.", detail->text);
    log_warn(c->owner->env, "call %u: %s", c->id, c->text);
    cfg->input = "null";
    c->has_no_input = true;
    e = media_create(cfg, c->owner->env, &c->media, detail);
    if (e == ERR_OK)
        return e;
    cfg->output = "null";
    c->has_no_output = true;
    return media_create(cfg, c->owner->env, &c->media, detail);
}

enum err path_start_media(struct call *c, ns_t now, const struct sdp *theirs)
{
    uint8_t tx[SRTP_KEY_BYTES], rx[SRTP_KEY_BYTES];
    uint8_t own = session_is_initiator(c->session) ? 0 : 1;
    struct err_detail detail = {{0}};
    struct media_cfg cfg;
    enum err e;

    if (c->media != NULL)
        return ERR_OK;
    if (sdp_find(theirs, SDP_OPUS) == NULL) {
        call_end(c, now, CAUSE_INCOMPATIBLE, "no codec in common");
        return ERR_UNSUPPORTED;
    }
    fill_media_cfg(c, theirs, &cfg);
    media_key(c, 0, own, tx);
    media_key(c, theirs->key_n, own ^ 1, rx);
    cfg.stream.tx_key = tx;
    cfg.stream.rx_key = rx;
    e = open_media(c, &cfg, &detail);
    secret_wipe(tx, sizeof tx);
    secret_wipe(rx, sizeof rx);
    if (e == ERR_OK)
        e = media_start(c->media, now);
    if (e != ERR_OK) {
        log_warn(c->owner->env, "call %u: %s", c->id, detail.text);
        call_end(c, now, CAUSE_AUDIO, detail.text);
        return e;
    }
    if (c->owner->ops.media_fd != NULL && media_fd(c->media) >= 0)
        c->owner->ops.media_fd(c->owner->ops.arg, c, media_fd(c->media), true);
    if (c->is_muted)
        media_set(c->media, MEDIA_MUTE, 1);
    c->media_since = c->stats_at = now;
    return ERR_OK;
}

void path_stop_media(struct call *c, ns_t now)
{
    if (c->tone != NULL)
        media_tone_stop(c->tone);
    c->tone = NULL;
    if (c->media == NULL)
        return;
    media_stats(c->media, &c->last_stats);
    if (c->owner->ops.media_fd != NULL && media_fd(c->media) >= 0)
        c->owner->ops.media_fd(c->owner->ops.arg, c, media_fd(c->media), false);
    media_stop(c->media, now);
    path_pump(c, now); /* RTCP BYE */
    media_destroy(c->media);
    c->media = NULL;
}

static void send_by(struct call *c, const struct ice_path *path, struct slice datagram)
{
    struct path p;

    if (path == NULL)
        return;
    p = path_of_base(c, path->base, &path->remote);
    c->owner->ops.send(c->owner->ops.arg, &p, datagram);
}

static void rtp_out(void *arg, struct slice datagram)
{
    struct call *c = arg;

    send_by(c, ice_path(c->ice), datagram);
    send_by(c, c->standby, datagram);
}

/* A relay may be what fails: let the owner look. */
static void tell_doubt(struct call *c, ns_t now, bool is_cut)
{
    if (now < c->doubt_at || c->owner->ops.doubt == NULL || !path_has_leg(c))
        return;
    c->doubt_at = now + DOUBT_NS;
    c->owner->ops.doubt(c->owner->ops.arg, c, is_cut);
}

static void begin_judging(struct call *c, ns_t now, int slot)
{
    c->judged_slot = slot;
    c->judge_at = now + CALL_JUDGE_NS;
    c->n_judged = 0;
    c->sum_loss = c->sum_jitter_ms = 0;
}

/* So that nobody blames a relay for our own line. */
static void tell_line(struct call *c)
{
    int lost = c->owner->ops.line_loss != NULL ? (int)(c->owner->ops.line_loss(c->owner->ops.arg) * 255) : 0;

    if (lost != c->told_line && media_set(c->media, MEDIA_LINE, lost) == ERR_OK)
        c->told_line = lost;
}

/* How good is the relay that carries us? Only one that we asked for is ours to judge. */
static void judge_relay(struct call *c, ns_t now)
{
    const struct ice_path *path = c->ice != NULL ? ice_path(c->ice) : NULL;
    int slot = path != NULL && path->base >= BASE_TURN ? c->legs[path->base - BASE_TURN].slot : -1;
    const struct stream_stats *s = &c->last_stats;

    if (slot != c->judged_slot || !c->is_answered) {
        begin_judging(c, now, slot);
        return;
    }
    if (slot < 0 || s->is_held || s->quality == STREAM_MEASURING)
        return;
    c->n_judged++;
    c->sum_loss += (s->loss_in < s->loss_out ? s->loss_in : s->loss_out) - s->peer_line_loss;
    c->sum_jitter_ms += s->jitter_ms;
    if (now < c->judge_at)
        return;
    if (c->owner->ops.judged != NULL)
        c->owner->ops.judged(c->owner->ops.arg, slot, c->sum_loss / c->n_judged,
                             c->sum_jitter_ms / c->n_judged);
    begin_judging(c, now, slot);
}

void path_pump(struct call *c, ns_t now)
{
    if (c->media == NULL || c->ice == NULL)
        return;
    c->standby = ice_standby(c->ice, now);
    if (c->standby != NULL)
        tell_doubt(c, now, false);
    media_pump(c->media, now, rtp_out, c);
    c->standby = NULL;
}

bool path_input(struct call *c, ns_t now, const struct path *via, struct slice bytes)
{
    int base = base_of_path(c, via);

    if (base < 0 || c->ice == NULL || bytes.len == 0)
        return false;
    if (bytes.data[0] < 4)
        return ice_input(c->ice, now, (uint8_t)base, &via->addr, bytes);
    if (c->media == NULL || media_packet_in(c->media, now, bytes) != ERR_OK)
        return false;
    ice_heard(c->ice, now, (uint8_t)base, &via->addr);
    if (base >= BASE_TURN)
        c->legs[base - BASE_TURN].media_at = now;
    return true;
}

/* Sound again: the session, which may have been led another way meanwhile, follows it. */
static void come_back(struct call *c, ns_t now)
{
    const struct ice_path *path = ice_path(c->ice);

    if (path != NULL && c->session != NULL) {
        struct path p = path_of_base(c, path->base, &path->remote);

        c->owner->ops.move_session(c->owner->ops.arg, c->session, &p);
    }
    call_enter(c, now, CALL_IN_CALL);
}

/* Silence and its end: words on the screen after 2 s, the end of the call after 30. */
static void watch_silence(struct call *c, ns_t now)
{
    ns_t heard = c->last_stats.last_in_at > c->media_since ? c->last_stats.last_in_at : c->media_since;
    ns_t silent = now > heard ? now - heard : 0;

    if (c->last_stats.last_in_at == 0 && ice_path(c->ice) == NULL) {
        if (silent > FIRST_SOUND_NS)
            call_end(c, now, CAUSE_NO_PATH, NULL);
        return;
    }
    if (silent > CALL_LOST_NS)
        call_end(c, now,
                 c->told_to_move_at != 0 && now < c->told_to_move_at + LEAVE_RECENT_NS ? CAUSE_NO_PATH
                                                                                       : CAUSE_LOST,
                 NULL);
    else if (silent > CALL_SILENCE_NS && c->state == CALL_IN_CALL)
        call_enter(c, now, CALL_RECONNECTING);
    else if (silent > CALL_SILENCE_NS && c->state == CALL_RECONNECTING)
        tell_doubt(c, now, true);
    else if (silent <= CALL_SILENCE_NS && c->state == CALL_RECONNECTING)
        come_back(c, now);
}

void path_answered(struct call *c, ns_t now)
{
    c->tell_at = !path_has_leg(c) ? now : c->has_last_path ? now + RELAYED_NS : now + TELL_NS;
    c->leg_at = c->policy.allow_loopback ? NS_NEVER : now + WARM_NS;
}

void path_tick(struct call *c, ns_t now)
{
    if (c->tell_at <= now) {
        c->tell_at = NS_NEVER;
        if (c->is_answered && !c->is_told)
            path_tell_all(c, now);
    }
    if (c->ice != NULL && ice_deadline(c->ice) <= now)
        ice_tick(c->ice, now);
    if (!c->is_over)
        keep_legs(c, now);
    if (c->is_over || c->media == NULL)
        return;
    if (media_deadline(c->media) <= now) {
        media_tick(c->media, now);
        path_pump(c, now);
    }
    if (now >= c->stats_at) {
        c->stats_at = now + STATS_NS;
        media_stats(c->media, &c->last_stats);
        tell_line(c);
        judge_relay(c, now);
        call_changed(c);
        if (c->is_answered && c->ice != NULL)
            watch_leaving(c, now);
        if (!c->is_over)
            watch_silence(c, now);
    }
}

ns_t path_deadline(const struct call *c)
{
    ns_t at = c->ice != NULL ? ice_deadline(c->ice) : NS_NEVER;

    if (c->media != NULL)
        at = ns_min(at, ns_min(media_deadline(c->media), c->stats_at));
    return ns_min(at, ns_min(c->tell_at, c->leg_at));
}
