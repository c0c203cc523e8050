#include "ui/words.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

#define DAY_S 86400

/* Write at most WORDS_BYTES and return the buffer. */
static const char *say(char out[static WORDS_BYTES], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static const char *say(char out[static WORDS_BYTES], const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(out, WORDS_BYTES, fmt, args);
    va_end(args);
    return out;
}

/* ---- times ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

struct words_date words_date(const struct words_time *t, int64_t wall_ms)
{
    int64_t s = floor_div(wall_ms, 1000), day, era_day, era, year, in_year;
    struct words_date d = {0};
    int month;

    s += t->utc_offset_s != NULL ? t->utc_offset_s(s) : 0;
    d.day_number = day = floor_div(s, DAY_S);
    s -= day * DAY_S;
    d.hour = (int)(s / 3600);
    d.minute = (int)(s / 60 % 60);
    d.second = (int)(s % 60);
    d.weekday = (int)((day % 7 + 11) % 7); /* 1970-01-01 was a Thursday */
    /* Days to year, month, day: eras of 400 years that begin on 1 March. */
    day += 719468;
    era = floor_div(day, 146097);
    era_day = day - era * 146097;
    year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
    in_year = era_day - (365 * year + year / 4 - year / 100);
    month = (int)((5 * in_year + 2) / 153);
    d.day = (int)(in_year - (153 * month + 2) / 5 + 1);
    d.month = month < 10 ? month + 3 : month - 9;
    d.year = year + era * 400 + (d.month <= 2);
    return d;
}

const char *words_clock(const struct words_time *t, int64_t wall_ms, bool has_seconds,
                        char out[static WORDS_BYTES])
{
    struct words_date d;

    if (wall_ms == MODEL_UNKNOWN)
        return say(out, "-");
    d = words_date(t, wall_ms);
    if (has_seconds)
        return say(out, "%02d:%02d:%02d", d.hour, d.minute, d.second);
    return say(out, "%02d:%02d", d.hour, d.minute);
}

const char *words_day(const struct words_time *t, int64_t wall_ms, char out[static WORDS_BYTES])
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct words_date d, now;
    int64_t ago;

    if (wall_ms == MODEL_UNKNOWN)
        return say(out, "-");
    d = words_date(t, wall_ms);
    now = words_date(t, t->now_ms);
    ago = now.day_number - d.day_number;
    if (ago == 0)
        return say(out, "today");
    if (ago > 0 && ago < 7)
        return say(out, "%s", days[d.weekday]);
    if (d.year == now.year || (ago >= 0 && ago < 300))
        return say(out, "%d %s", d.day, months[d.month - 1]);
    return say(out, "%d %s %lld", d.day, months[d.month - 1], (long long)d.year);
}

const char *words_when(const struct words_time *t, int64_t wall_ms, char out[static WORDS_BYTES])
{
    char day[WORDS_BYTES], clock[WORDS_BYTES];

    if (wall_ms == MODEL_UNKNOWN)
        return say(out, "-");
    return say(out, "%-5s %s", words_day(t, wall_ms, day), words_clock(t, wall_ms, false, clock));
}

const char *words_ago(const struct words_time *t, int64_t wall_ms, char out[static WORDS_BYTES])
{
    int64_t s;

    if (wall_ms == MODEL_UNKNOWN)
        return say(out, "never");
    s = (t->now_ms - wall_ms) / 1000;
    if (s < 60)
        return say(out, "now");
    if (s < 3600)
        return say(out, "%d min ago", (int)(s / 60));
    if (s < DAY_S)
        return say(out, "%d h ago", (int)(s / 3600));
    return say(out, "%lld d ago", (long long)(s / DAY_S));
}

const char *words_length(int64_t s, char out[static WORDS_BYTES])
{
    if (s < 0)
        return say(out, "-");
    if (s < 60)
        return say(out, "%d s", (int)s);
    if (s < 3600)
        return say(out, "%d min", (int)(s / 60));
    return say(out, "%lld h %02d min", (long long)(s / 3600), (int)(s / 60 % 60));
}

const char *words_length_fine(int64_t s, char out[static WORDS_BYTES])
{
    if (s >= 60 && s < 3600)
        return say(out, "%d min %02d", (int)(s / 60), (int)(s % 60));
    return words_length(s, out);
}

const char *words_running(int64_t s, char out[static WORDS_BYTES])
{
    if (s < 0)
        s = 0;
    if (s < 3600)
        return say(out, "%02d:%02d", (int)(s / 60), (int)(s % 60));
    return say(out, "%lld:%02d:%02d", (long long)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}

const char *words_running_long(int64_t s, char out[static WORDS_BYTES])
{
    if (s < 0)
        s = 0;
    return say(out, "%02lld:%02d:%02d", (long long)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}

/* ---- numbers ---- */

const char *words_number(int64_t n, char out[static WORDS_BYTES])
{
    char plain[32];
    size_t len, at = 0;

    if (n == MODEL_UNKNOWN)
        return say(out, "-");
    snprintf(plain, sizeof plain, "%lld", (long long)(n < 0 ? -n : n));
    len = strlen(plain);
    if (n < 0)
        out[at++] = '-';
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = plain[i];
    }
    out[at] = '\0';
    return out;
}

const char *words_size(int64_t bytes, char out[static WORDS_BYTES])
{
    double mb = (double)bytes / 1048576.0;

    if (bytes == MODEL_UNKNOWN)
        return say(out, "-");
    if (bytes == 0)
        return say(out, "0");
    if (mb < 0.1)
        return say(out, "%.1f kB", (double)bytes / 1024.0);
    return mb < 1000 ? say(out, "%.1f MB", mb) : say(out, "%.1f GB", mb / 1024.0);
}

const char *words_megabytes(int64_t bytes, bool has_sign, char out[static WORDS_BYTES])
{
    char number[WORDS_BYTES];
    int64_t mb = bytes / 1048576;

    if (bytes == MODEL_UNKNOWN)
        return say(out, "-");
    words_number(mb < 0 ? -mb : mb, number);
    return say(out, "%s%s MB", mb < 0 ? "-" : has_sign ? "+" : "", number);
}

const char *words_percent(double part, char out[static WORDS_BYTES])
{
    double pct = part * 100;

    if (part < 0)
        return say(out, "-");
    if (pct >= 10 || fabs(pct - round(pct)) < 0.05)
        return say(out, "%.0f%%", pct);
    return say(out, "%.1f%%", pct);
}

/* ---- people ---- */

const char *words_short_id(const char *id, char out[static WORDS_BYTES])
{
    const char *one = strchr(id, '1');
    size_t n = strlen(id), head = one != NULL ? (size_t)(one - id) + 5 : 8;

    if (n < head + 6 || n >= WORDS_BYTES - 4)
        return say(out, "%.*s", WORDS_BYTES - 1, id);
    return say(out, "%.*s…%s", (int)head, id, id + n - 4);
}

const char *words_contact(const struct model_contact *c, char out[static WORDS_BYTES])
{
    if (c->name[0] != '\0')
        return say(out, "%s", c->name);
    if (c->claimed[0] != '\0')
        return say(out, "\"%s\"", c->claimed);
    return words_short_id(c->id, out);
}

const char *words_peer(const struct model_call *c, char out[static WORDS_BYTES])
{
    return c->name[0] != '\0' ? say(out, "%s", c->name) : words_short_id(c->peer, out);
}

const char *words_presence_mark(const struct model_contact *c)
{
    static const char *const marks[] = {"?", "●", "◐", "◐", "○"};

    return c->list == LIST_BLOCKED ? "-" : marks[c->presence];
}

const char *words_presence(const struct model_contact *c)
{
    static const char *const words[] = {"unknown", "online", "away", "busy", "offline"};

    return c->list == LIST_BLOCKED ? "-" : words[c->presence];
}

const char *words_list(enum model_list list)
{
    static const char *const words[] = {"-", "allowed", "asked", "blocked"};

    return words[list];
}

/* ---- calls ---- */

const char *words_state(const struct model_call *c, int64_t seconds, char out[static WORDS_BYTES])
{
    static const char *const words[] = {
        "",        "Looking up",     "Connecting", "Ringing",      "Incoming call",
        "In call", "On hold by you", "On hold by", "Reconnecting", "Ended"};
    char who[WORDS_BYTES];

    if (c->state == STATE_HELD_REMOTE) {
        words_peer(c, who);
        return say(out, "On hold by %.*s", WORDS_BYTES - 16, who);
    }
    if (c->state == STATE_RECONNECTING)
        return say(out, "Reconnecting %lld s", (long long)(seconds < 0 ? 0 : seconds));
    return say(out, "%s", words[c->state]);
}

struct cause {
    const char *token, *words; /* $ stands for the name, # for the reason, % for seconds */
    const char *next, *out_result, *in_result;
};

static const struct cause causes[] = {
    {"hangup_local", "You hung up.", "", "answered", "answered"},
    {"hangup_remote", "$ hung up.", "", "answered", "answered"},
    {"cancelled", "You cancelled the call.", "", "cancelled", "missed"},
    {"declined", "$ declined.", "s message, V voicemail", "declined", "declined"},
    {"busy", "$ is in another call.", "w tell me when free, V voicemail", "busy", "missed"},
    {"no_answer", "No answer after % s.", "V voicemail, s message, r again", "no answer", "missed"},
    {"not_allowed", "Request sent. You can call once they allow you.", "shown under Requests, Out",
     "request sent", "not allowed"},
    {"offline", "$ is offline&.", "w tell me when online, s message", "offline", "missed"},
    {"not_found", "No record of $ was found.",
     "only for contacts who allowed you: 6 shows the network; ask for a new invite", "not found",
     "not found"},
    {"no_network", "You are not connected to the network.", "6 shows why; :doctor", "no network",
     "no network"},
    {"no_path", "No direct path, and no relay would carry the call.", "r again in a minute; :doctor net",
     "no path", "no path"},
    {"id_mismatch", "The other end could not prove this ID. Call stopped.",
     "do not retry on this network; i details", "ID mismatch", "ID mismatch"},
    {"lost", "Connection lost: nothing from $ for 30 s.", "r call again", "connection lost",
     "connection lost"},
    {"audio", "Microphone cannot be opened: #.", "< > other device; :doctor audio", "no microphone",
     "no microphone"},
    {"incompatible", "$'s program is too old (or too new): #.", "both update", "incompatible",
     "incompatible"},
    {"internal", "ito failed: #. This is a bug.", "9 shows the log", "ito failed", "ito failed"},
    {"missed", "Missed call from $.", "r call back", "missed", "missed"},
    {"answered_elsewhere", "Answered on another of your devices.", "", "answered", "answered elsewhere"},
};

static const struct cause *cause_of(const char *token)
{
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        if (strcmp(causes[i].token, token) == 0)
            return &causes[i];
    }
    return NULL;
}

/* What a placeholder of a cause stands for. */
static void fill_in(char mark, const struct model_call *c, const struct model_contact *contact,
                    const struct words_time *t, char out[static WORDS_BYTES])
{
    char ago[WORDS_BYTES];
    const char *reason = c->text[0] != '\0' ? c->text : "unknown reason";
    size_t n = strlen(reason);

    out[0] = '\0';
    if (mark == '$') {
        words_peer(c, out);
    } else if (mark == '%') {
        snprintf(out, WORDS_BYTES, "%lld", (long long)(c->ring_s > 0 ? c->ring_s : 60));
    } else if (mark == '#') {
        snprintf(out, WORDS_BYTES, "%.*s", (int)(reason[n - 1] == '.' ? n - 1 : n), reason);
    } else if (contact != NULL && contact->seen_ms != MODEL_UNKNOWN) {
        words_ago(t, contact->seen_ms, ago);
        say(out, " (seen %s)", ago);
    }
}

const char *words_cause(const struct model_call *c, const struct model_contact *contact,
                        const struct words_time *t, char out[static WORDS_BYTES])
{
    const struct cause *cause = cause_of(c->cause);
    char who[WORDS_BYTES];
    size_t n = 0;

    if (cause == NULL)
        return say(out, "The call ended.");
    /* The sound card's own sentence names which half it was. */
    if (strcmp(cause->token, "audio") == 0 && strstr(c->text, " cannot be opened: ") != NULL)
        return say(out, "%.*s", WORDS_BYTES - 1, c->text);
    if (strcmp(cause->token, "cancelled") == 0 && !c->is_outgoing)
        return say(out, "Missed call from %s.", words_peer(c, who));
    if (strcmp(cause->token, "declined") == 0 && !c->is_outgoing)
        return say(out, "You declined.");
    for (const char *at = cause->words; *at != '\0' && n < WORDS_BYTES - 1; at++) {
        char filled[WORDS_BYTES];

        if (strchr("$#%&", *at) == NULL) {
            out[n++] = *at;
            continue;
        }
        fill_in(*at, c, contact, t, filled);
        n += (size_t)snprintf(out + n, WORDS_BYTES - n, "%s", filled);
        if (n > WORDS_BYTES - 1)
            n = WORDS_BYTES - 1;
    }
    out[n] = '\0';
    return out;
}

const char *words_next_step(const char *token)
{
    const struct cause *cause = cause_of(token);

    return cause != NULL ? cause->next : "";
}

const char *words_result(const struct model_call *c)
{
    const struct cause *cause = cause_of(c->cause);

    return cause == NULL ? "-" : c->is_outgoing ? cause->out_result : cause->in_result;
}

static const struct {
    const char *token, *words;
} paths[] = {
    {"direct_lan", "direct (same network)"},     {"direct_ipv6", "direct (IPv6)"},
    {"direct_punched", "direct (hole punched)"}, {"direct_mapped", "direct (mapped port)"},
    {"direct", "direct (hole punched)"},
};

const char *words_path(const struct model_call *c, char out[static WORDS_BYTES])
{
    char relay[WORDS_BYTES];

    if (strncmp(c->path, "relay", 5) == 0 && c->relay[0] == '\0')
        return say(out, "relayed");
    if (strncmp(c->path, "relay", 5) == 0) {
        if (c->relay_name[0] != '\0')
            say(relay, "%s", c->relay_name);
        else
            words_short_id(c->relay, relay);
        if (c->score == MODEL_UNKNOWN)
            return say(out, "relayed via %s, score -", relay);
        return say(out, "relayed via %s, score %lld", relay, (long long)c->score);
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (strcmp(paths[i].token, c->path) == 0)
            return say(out, "%s", paths[i].words);
    }
    return say(out, "%s", c->path[0] != '\0' ? c->path : "checking");
}

const char *words_path_short(const char *token)
{
    return strncmp(token, "direct", 6) == 0 ? "direct" : strncmp(token, "relay", 5) == 0 ? "relayed" : "-";
}

const char *words_codec(const char *token)
{
    if (strcmp(token, "opus") == 0)
        return "Opus 48 kHz mono";
    if (strcmp(token, "pcmu") == 0)
        return "G.711 mu-law 8 kHz mono";
    if (strcmp(token, "pcma") == 0)
        return "G.711 A-law 8 kHz mono";
    return token[0] != '\0' ? token : "-";
}

const char *words_code(const char *digits, char out[static WORDS_BYTES])
{
    if (strlen(digits) != 6)
        return say(out, "%s", digits);
    return say(out, "%.3s %s", digits, digits + 3);
}

const char *words_quality(const struct model_call *c, char out[static WORDS_BYTES])
{
    double loss = c->loss_in > c->loss_out ? c->loss_in : c->loss_out;
    char pct[WORDS_BYTES];

    if (c->quality[0] == '\0')
        return say(out, "measuring");
    if (strcmp(c->quality, "poor") != 0)
        return say(out, "%s", c->quality);
    if (loss > 0.06)
        return say(out, "poor (loss %.16s)", words_percent(loss, pct));
    if (c->rtt_ms > 500)
        return say(out, "poor (RTT %lld ms)", (long long)c->rtt_ms);
    if (c->jitter_ms > 60)
        return say(out, "poor (jitter %lld ms)", (long long)c->jitter_ms);
    return say(out, "poor");
}
