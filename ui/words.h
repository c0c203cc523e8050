/* ui/words.h - every word of UX §3 and §5 that more than one screen shows: states, causes with their next
 * step, presence, paths, times, lengths, sizes. Pure: the moment and the offset of the local time come in.
 *
 *   out    text in the caller's buffer of WORDS_BYTES, returned for convenience */
#ifndef ITO_UI_WORDS_H
#define ITO_UI_WORDS_H

#include "app/model.h"

#define WORDS_BYTES 512

/* "now" of the wall clock, and how to show it. */
struct words_time {
    int64_t now_ms;
    int32_t (*utc_offset_s)(int64_t wall_s); /* NULL: UTC */
};

/* A year, month, day, hour... of a moment in local time. */
struct words_date {
    int64_t year;
    int month, day, hour, minute, second, weekday; /* month 1..12, weekday 0 = Sunday */
    int64_t day_number;                            /* local days since 1970 */
};

struct words_date words_date(const struct words_time *t, int64_t wall_ms);

/* "12:04", "12:04:02". */
const char *words_clock(const struct words_time *t, int64_t wall_ms, bool has_seconds,
                        char out[static WORDS_BYTES]);
/* "today", "Sat" (within 6 days), "12 Nov", "12 Nov 2025"; "-" when unknown. */
const char *words_day(const struct words_time *t, int64_t wall_ms, char out[static WORDS_BYTES]);
/* "today 11:02", "Sat   18:03". */
const char *words_when(const struct words_time *t, int64_t wall_ms, char out[static WORDS_BYTES]);
/* "now", "5 min ago", "2 h ago", "3 d ago"; "never" when unknown. */
const char *words_ago(const struct words_time *t, int64_t wall_ms, char out[static WORDS_BYTES]);
/* "45 s", "8 min", "1 h 02 min"; "-" when unknown. */
const char *words_length(int64_t s, char out[static WORDS_BYTES]);
/* "45 s", "2 min 07", "1 h 02 min": the column of the call list. */
const char *words_length_fine(int64_t s, char out[static WORDS_BYTES]);
/* "08:41", "1:08:41". */
const char *words_running(int64_t s, char out[static WORDS_BYTES]);
/* "00:08:41". */
const char *words_running_long(int64_t s, char out[static WORDS_BYTES]);
/* "4,300"; "-" when unknown. */
const char *words_number(int64_t n, char out[static WORDS_BYTES]);
/* "14.2 MB", "0"; "-" when unknown. Units of 1024 * 1024 bytes. */
const char *words_size(int64_t bytes, char out[static WORDS_BYTES]);
/* "1,204 MB", with sign: "+1,143 MB". */
const char *words_megabytes(int64_t bytes, bool has_sign, char out[static WORDS_BYTES]);

/* "ito1q3l6…8qju"; an ID that is short already stays. */
const char *words_short_id(const char *id, char out[static WORDS_BYTES]);
/* The petname, else the claimed name in quotes, else the short ID. */
const char *words_contact(const struct model_contact *c, char out[static WORDS_BYTES]);
const char *words_peer(const struct model_call *c, char out[static WORDS_BYTES]);
/* "●", "◐", "○", "?"; "-" for a blocked contact. */
const char *words_presence_mark(const struct model_contact *c);
const char *words_presence(const struct model_contact *c);
const char *words_list(enum model_list list);

/* "In call", "On hold by Kenji"; "Reconnecting 12 s" takes the seconds. */
const char *words_state(const struct model_call *c, int64_t seconds, char out[static WORDS_BYTES]);
/* The sentence of a cause; contact (may be NULL) tells when they were seen. */
const char *words_cause(const struct model_call *c, const struct model_contact *contact,
                        const struct words_time *t, char out[static WORDS_BYTES]);
/* "s message, V voicemail"; empty when there is none. */
const char *words_next_step(const char *cause);
/* "missed", "connection lost", "answered": the result column of the call list. */
const char *words_result(const struct model_call *c);

/* "direct (hole punched)", "relayed via iton1qnex…jttf, score 93", "checking". */
const char *words_path(const struct model_call *c, char out[static WORDS_BYTES]);
/* "direct", "relayed", "-". */
const char *words_path_short(const char *token);
/* "Opus 48 kHz mono". */
const char *words_codec(const char *token);
/* "482 913". */
const char *words_code(const char *digits, char out[static WORDS_BYTES]);
/* "poor (loss 9%)": names its worst number when poor. */
const char *words_quality(const struct model_call *c, char out[static WORDS_BYTES]);
/* "0.4%", "12%"; "-" when negative. */
const char *words_percent(double part, char out[static WORDS_BYTES]);

#endif
