/* app/model.h - what a screen needs, kept current from the core's JSON; read-only to the views.
 *
 * Answers replace a whole list, events change one entry. Unknown members are ignored, missing ones mean
 * "unknown". Beyond UX §6 the model reads these members when they are there (all optional):
 *
 *   status    the object of UX §6 as member "status", because "id" is the request's; or bare
 *   contact   claimed, former (an ID), last_length (s), last_cause, last_dir, code (safety number), note
 *   CALL      text (the <reason> or <what> of a cause, or what a stage is doing), delay_ms, muted, volume_pct,
 *             gain_pct, mic, speaker, fec, relay_name, score, direct_failed, ring_s, list, lost_s, digits
 *   network   since, reachable (bool), reach_by, lookups_ok (0..1), lookup_s, address, tried, to_try;
 *             ports[].until
 *   relay     on, since, reachable, score, calls, max_calls, kbps_in, kbps_out, max_kbps, today {calls, bytes,
 *             refused, refused_full, refused_not_allowed, failed}, forwards [{n, since, kbps, packets, lost}]
 *   requests  {"in":[REQUEST],"out":[REQUEST],"dropped_today":37};
 *             REQUEST {"n":1,"id":"ito1…","name":"claimed","when":"…Z","wants":"call","tries":4,"note":"…"}
 *   voicemail {"voicemail":[{"n":1,"id":"ito1…","name":"Kenji","when":"…Z","length":24,"state":"new"}]}
 *   messages  {"messages":[{"n":1,"peer":"ito1…","dir":"out","when":"…Z","text":"…","state":"sent","cause":null}]}
 *   config_show {"file":"config.json","keys":[{"key":"audio.bitrate","value":"32000","default":"24000",
 *             "meaning":"speech quality, bit/s"}]}
 *   events    {"ev":"presence","id":"ito1…","presence":"online","seen":"…Z"} (or "contact":CONTACT),
 *             {"ev":"request","requests":3,"request":REQUEST}, {"ev":"message","message":MESSAGE},
 *             {"ev":"voicemail","voicemail":3}, {"ev":"network","network":NETWORK}, {"ev":"relay","relay":RELAY}
 *
 *   in     cJSON objects, borrowed
 *   out    arrays of plain structs, valid until the next model_answer() or model_event()
 *   owner  the ui
 *   trust  every text that shows is cleaned (utf8_clean) on the way in; IDs are cut to their field
 *   caps   MODEL_ROWS_MAX rows of a list, MODEL_CALLS_MAX calls; what is over is dropped */
#ifndef ITO_APP_MODEL_H
#define ITO_APP_MODEL_H

#include "base/env.h"
#include "base/json.h"

#define MODEL_ID_BYTES   72  /* "iton1" + 58 characters, and NUL */
#define MODEL_NAME_BYTES 72  /* a petname: 64 bytes of UTF-8, and NUL */
#define MODEL_TEXT_BYTES 256 /* one line of words */
#define MODEL_NOTE_BYTES 804 /* 200 characters of note */
#define MODEL_BODY_BYTES 4004
#define MODEL_WORD_BYTES 32
#define MODEL_ROWS_MAX   4096
#define MODEL_CALLS_MAX  8
#define MODEL_PORTS_MAX  8
#define MODEL_UNKNOWN    INT64_MIN /* a number or moment that was null or missing */

enum model_presence { PRESENCE_UNKNOWN, PRESENCE_ONLINE, PRESENCE_AWAY, PRESENCE_BUSY, PRESENCE_OFFLINE };
enum model_list { LIST_NONE, LIST_ALLOWED, LIST_ASKED, LIST_BLOCKED };

/* States of UX §5, by token. */
enum model_state {
    STATE_NONE,
    STATE_LOOKING_UP,
    STATE_CONNECTING,
    STATE_RINGING,
    STATE_INCOMING,
    STATE_IN_CALL,
    STATE_HELD_LOCAL,
    STATE_HELD_REMOTE,
    STATE_RECONNECTING,
    STATE_ENDED
};

struct model_contact {
    char id[MODEL_ID_BYTES];
    char name[MODEL_NAME_BYTES];    /* petname; empty when there is none */
    char claimed[MODEL_NAME_BYTES]; /* what they call themselves */
    char former[MODEL_ID_BYTES];    /* the ID this one took the place of; empty: none */
    char safety[MODEL_TEXT_BYTES];  /* 60 digits, may be empty */
    enum model_list list;
    enum model_presence presence;
    bool is_verified;
    int64_t seen_ms, last_call_ms; /* wall clock or MODEL_UNKNOWN */
    int64_t last_length_s;         /* or MODEL_UNKNOWN: not connected */
    bool last_missed;
};

struct model_call {
    int64_t id;
    char peer[MODEL_ID_BYTES];
    char name[MODEL_NAME_BYTES];
    bool is_outgoing, is_verified, is_muted, has_fec;
    enum model_list list;
    enum model_state state;
    int64_t since_ms, end_ms, length_s;
    char cause[MODEL_WORD_BYTES]; /* token of UX §5, or empty */
    char text[MODEL_TEXT_BYTES];
    char path[MODEL_WORD_BYTES]; /* token, see words_path() */
    char relay[MODEL_ID_BYTES], relay_name[MODEL_NAME_BYTES], direct_failed[MODEL_TEXT_BYTES];
    char codec[MODEL_WORD_BYTES], quality[MODEL_WORD_BYTES], code[MODEL_WORD_BYTES];
    char mic[MODEL_NAME_BYTES], speaker[MODEL_NAME_BYTES];
    int64_t score, volume_pct, gain_pct, ring_s, lost_s; /* MODEL_UNKNOWN when missing */
    int64_t jitter_ms, rtt_ms, delay_ms, level_in_db, level_out_db;
    double kbps_out, kbps_in, loss_in, loss_out; /* negative: unknown */
};

struct model_request {
    int64_t n, when_ms, tries;
    char id[MODEL_ID_BYTES];
    char name[MODEL_NAME_BYTES]; /* claimed for "in", ours for "out" */
    char wants[MODEL_WORD_BYTES], state[MODEL_WORD_BYTES];
    char note[MODEL_NOTE_BYTES];
};

struct model_relay {
    char id[MODEL_ID_BYTES];
    char name[MODEL_NAME_BYTES];
    char role[MODEL_WORD_BYTES];  /* "active", "standby", ... */
    char parts[MODEL_TEXT_BYTES]; /* the parts of the score in words */
    int64_t score, rtt_ms, bytes; /* or MODEL_UNKNOWN */
    double answer;                /* 0..1, negative: unknown */
};

struct model_voicemail {
    int64_t n, when_ms, length_s, position_s;
    char id[MODEL_ID_BYTES];
    char name[MODEL_NAME_BYTES];
    bool is_new, is_playing;
};

struct model_message {
    int64_t n, when_ms;
    char peer[MODEL_ID_BYTES];
    bool is_outgoing;
    char state[MODEL_WORD_BYTES], cause[MODEL_WORD_BYTES];
    char text[MODEL_BODY_BYTES];
};

struct model_setting {
    char key[MODEL_NAME_BYTES];
    char value[MODEL_TEXT_BYTES], standard[MODEL_TEXT_BYTES], meaning[MODEL_TEXT_BYTES];
};

struct model_port {
    char proto[8], by[MODEL_WORD_BYTES];
    int64_t local, external, until_ms;
};

struct model_network {
    char state[MODEL_WORD_BYTES]; /* "joined", "joining", "offline"; empty: not told yet */
    char nat[MODEL_WORD_BYTES], ipv6[MODEL_WORD_BYTES], reach_by[MODEL_WORD_BYTES];
    char reachable[8]; /* "yes", "no", or empty */
    int64_t since_ms, peers, size_est, size_low, size_high, tried, to_try;
    double lookups_ok, lookup_s; /* negative: unknown */
    struct model_port ports[MODEL_PORTS_MAX];
    size_t n_ports;
};

struct model_forward {
    int64_t n, since_ms, packets, lost;
    double kbps;
};

struct model_service {
    bool is_on, is_draining;
    char reachable[8];
    int64_t since_ms, score, calls, max_calls, max_kbps;
    double kbps_in, kbps_out;
    int64_t today_calls, today_bytes, refused, refused_full, refused_not_allowed, failed;
    int64_t month_bytes, month_max_bytes; /* max 0: no limit */
    struct model_forward *forwards;
    size_t n_forwards;
};

struct model_self {
    char id[MODEL_ID_BYTES];
    char name[MODEL_NAME_BYTES];
    char mode[MODEL_WORD_BYTES];
    int64_t requests, missed, voicemail; /* counters of the tabs */
};

struct model_totals {
    int64_t given, used, balance; /* bytes; MODEL_UNKNOWN before the first answer */
};

/* What an event changed, so that the ui can say it. Texts are borrowed from the model. */
struct model_change {
    char ev[16];
    const struct model_contact *contact; /* presence */
    enum model_presence presence_before;
    const struct model_call
        *call; /* call: the new state; also for an ended call, which is kept until the next */
    enum model_state state_before; /* STATE_NONE: a new call */
    char path_before[MODEL_WORD_BYTES];
    const struct model_message *message;
};

struct model;

struct model *model_create(void);
void model_destroy(struct model *m);

/* Take in the answer to the command `cmd` (its member "ok" was true). ERR_PARSE when the list that belongs to
 * it is missing; commands without a list give ERR_OK. */
enum err model_answer(struct model *m, const char *cmd, const cJSON *answer);
/* Take in one `watch` object. ERR_PARSE when it has no known "ev"; then *out is zero. */
enum err model_event(struct model *m, const cJSON *event, struct model_change *out);

const struct model_self *model_self(const struct model *m);
const struct model_network *model_network(const struct model *m);
const struct model_service *model_service(const struct model *m);
const struct model_totals *model_totals(const struct model *m);
/* Each list, with its length. Contacts are in the order of UX §3 (online, last call, name). */
const struct model_contact *model_contacts(const struct model *m, size_t *n);
const struct model_call *model_calls(const struct model *m, size_t *n); /* those not ended */
const struct model_call *model_history(const struct model *m, size_t *n);
const struct model_request *model_requests(const struct model *m, bool is_out, size_t *n);
int64_t model_requests_dropped(const struct model *m);
const struct model_relay *model_relays(const struct model *m, size_t *n);
const struct model_voicemail *model_voicemails(const struct model *m, size_t *n);
const struct model_message *model_messages(const struct model *m, size_t *n);
const struct model_setting *model_settings(const struct model *m, size_t *n);
const char *model_settings_file(const struct model *m);

const struct model_contact *model_contact_by_id(const struct model *m, const char *id);
/* By petname, whole ID, or a unique part of a petname (case as typed); NULL when none or several. */
const struct model_contact *model_contact_find(const struct model *m, const char *text);
/* The call with that number, ended or not; NULL when it is forgotten. */
const struct model_call *model_call_by_id(const struct model *m, int64_t id);

/* Order of the contact list: "name", "seen", "state" (the default). */
void model_sort_contacts(struct model *m, const char *by);

/* "2026-11-22T12:04:02Z" (fractions ignored) to ms since 1970 UTC, or MODEL_UNKNOWN. */
int64_t model_time_ms(const char *rfc3339);

#endif
