#include "unit/test.h"

#include "ui/words.h"

#include <stdio.h>

static int32_t tokyo(int64_t wall_s)
{
    (void)wall_s;
    return 9 * 3600;
}

static const struct words_time utc = {1795521842000, NULL}; /* Tue 2026-11-24 12:04:02 */

static struct model_call ended(const char *cause, bool is_outgoing)
{
    struct model_call c = {.state = STATE_ENDED, .is_outgoing = is_outgoing, .ring_s = MODEL_UNKNOWN};

    snprintf(c.name, sizeof c.name, "Kenji");
    snprintf(c.cause, sizeof c.cause, "%s", cause);
    snprintf(c.text, sizeof c.text, "version 9.");
    return c;
}

/* The table of UX §5, to the letter. */
static void every_cause(void **state)
{
    static const char *const table[][3] = {
        {"hangup_local", "You hung up.", ""},
        {"hangup_remote", "Kenji hung up.", ""},
        {"cancelled", "You cancelled the call.", ""},
        {"declined", "Kenji declined.", "s message, V voicemail"},
        {"busy", "Kenji is in another call.", "w tell me when free, V voicemail"},
        {"no_answer", "No answer after 60 s.", "V voicemail, s message, r again"},
        {"not_allowed", "Request sent. You can call once they allow you.", "shown under Requests, Out"},
        {"offline", "Kenji is offline (seen 2 h ago).", "w tell me when online, s message"},
        {"not_found", "No record of Kenji was found.",
         "only for contacts who allowed you: 6 shows the network; ask for a new invite"},
        {"no_network", "You are not connected to the network.", "6 shows why; :doctor"},
        {"no_path", "No direct path, and no relay would carry the call.", "r again in a minute; :doctor net"},
        {"id_mismatch", "The other end could not prove this ID. Call stopped.",
         "do not retry on this network; i details"},
        {"lost", "Connection lost: nothing from Kenji for 30 s.", "r call again"},
        {"audio", "Microphone cannot be opened: version 9.", "< > other device; :doctor audio"},
        {"incompatible", "Kenji's program is too old (or too new): version 9.", "both update"},
        {"internal", "ito failed: version 9. This is a bug.", "9 shows the log"},
    };
    struct model_contact kenji = {.seen_ms = 1795521842000 - 2 * 3600 * 1000};
    char text[WORDS_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct model_call c = ended(table[i][0], true);

        assert_string_equal(words_cause(&c, &kenji, &utc, text), table[i][1]);
        assert_string_equal(words_next_step(table[i][0]), table[i][2]);
        assert_string_not_equal(words_result(&c), "-");
    }
}

static void the_sound_card_is_named_once(void **state)
{
    struct model_call c = ended("audio", true);
    char text[WORDS_BYTES];

    (void)state;
    snprintf(c.text, sizeof c.text, "Speaker cannot be opened: in use by another program.");
    assert_string_equal(words_cause(&c, NULL, &utc, text), c.text);
}

static void missed(void **state)
{
    struct model_call c = ended("cancelled", false);

    (void)state;
    assert_string_equal(words_result(&c), "missed");
    c = ended("no_answer", false);
    assert_string_equal(words_result(&c), "missed");
    c = ended("no_answer", true);
    assert_string_equal(words_result(&c), "no answer");
    c = ended("lost", true);
    assert_string_equal(words_result(&c), "connection lost");
}

static void states(void **state)
{
    struct model_call c = ended("", true);
    char text[WORDS_BYTES];

    (void)state;
    c.state = STATE_LOOKING_UP;
    assert_string_equal(words_state(&c, 0, text), "Looking up");
    c.state = STATE_HELD_LOCAL;
    assert_string_equal(words_state(&c, 0, text), "On hold by you");
    c.state = STATE_HELD_REMOTE;
    assert_string_equal(words_state(&c, 0, text), "On hold by Kenji");
    c.state = STATE_RECONNECTING;
    assert_string_equal(words_state(&c, 12, text), "Reconnecting 12 s");
}

static void times(void **state)
{
    struct words_time there = {1795521842000, tokyo};
    char text[WORDS_BYTES];

    (void)state;
    assert_string_equal(words_when(&utc, model_time_ms("2026-11-24T11:02:00Z"), text), "today 11:02");
    assert_string_equal(words_when(&utc, model_time_ms("2026-11-21T18:03:00Z"), text), "Sat   18:03");
    assert_string_equal(words_day(&utc, model_time_ms("2026-11-12T18:03:00Z"), text), "12 Nov");
    assert_string_equal(words_day(&utc, model_time_ms("2024-02-29T00:00:00Z"), text), "29 Feb 2024");
    assert_string_equal(words_day(&utc, MODEL_UNKNOWN, text), "-");
    assert_string_equal(words_clock(&there, there.now_ms, true, text), "21:04:02");
    assert_string_equal(words_day(&there, model_time_ms("2026-11-23T15:00:00Z"), text), "today");
    assert_string_equal(words_ago(&utc, utc.now_ms - 5000, text), "now");
    assert_string_equal(words_ago(&utc, utc.now_ms - 7200000, text), "2 h ago");
    assert_string_equal(words_ago(&utc, MODEL_UNKNOWN, text), "never");
}

static void lengths(void **state)
{
    char text[WORDS_BYTES];

    (void)state;
    assert_string_equal(words_length(481, text), "8 min");
    assert_string_equal(words_length(3725, text), "1 h 02 min");
    assert_string_equal(words_length_fine(127, text), "2 min 07");
    assert_string_equal(words_length_fine(45, text), "45 s");
    assert_string_equal(words_running(521, text), "08:41");
    assert_string_equal(words_running_long(521, text), "00:08:41");
    assert_string_equal(words_running_long(360000, text), "100:00:00");
}

static void numbers(void **state)
{
    char text[WORDS_BYTES];

    (void)state;
    assert_string_equal(words_number(4300, text), "4,300");
    assert_string_equal(words_number(-1234567, text), "-1,234,567");
    assert_string_equal(words_number(999, text), "999");
    assert_string_equal(words_number(MODEL_UNKNOWN, text), "-");
    assert_string_equal(words_size(14889779, text), "14.2 MB");
    assert_string_equal(words_size(0, text), "0");
    assert_string_equal(words_megabytes(1262485504, false, text), "1,204 MB");
    assert_string_equal(words_megabytes(1198522368, true, text), "+1,143 MB");
    assert_string_equal(words_megabytes(-5242880, true, text), "-5 MB");
    assert_string_equal(words_percent(0.004, text), "0.4%");
    assert_string_equal(words_percent(0.97, text), "97%");
    assert_string_equal(words_percent(-1, text), "-");
    assert_string_equal(words_code("482913", text), "482 913");
}

static void people(void **state)
{
    struct model_contact c = {.list = LIST_BLOCKED};
    char text[WORDS_BYTES];

    (void)state;
    assert_string_equal(
        words_short_id("ito1qqwss00lnecgtu8tsm5vwwj7qn9n7f43snwjs6hcamjrxgyj4xxuqyw8kn5", text),
        "ito1qqws…8kn5");
    assert_string_equal(words_short_id("iton1qnexs5w9x2v7n3m6t0r5y8u2pjttf", text), "iton1qnex…jttf");
    assert_string_equal(words_short_id("", text), "");
    snprintf(c.claimed, sizeof c.claimed, "bot");
    assert_string_equal(words_contact(&c, text), "\"bot\"");
    assert_string_equal(words_presence(&c), "-");
    c.list = LIST_ALLOWED;
    assert_string_equal(words_presence(&c), "unknown");
    assert_string_equal(words_presence_mark(&c), "?");
}

static void paths(void **state)
{
    static const char *const table[][2] = {{"direct_lan", "direct (same network)"},
                                           {"direct_ipv6", "direct (IPv6)"},
                                           {"direct_punched", "direct (hole punched)"},
                                           {"direct_mapped", "direct (mapped port)"},
                                           {"checking", "checking"},
                                           {"", "checking"}};
    struct model_call c = {.score = 93};
    char text[WORDS_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(c.path, sizeof c.path, "%s", table[i][0]);
        assert_string_equal(words_path(&c, text), table[i][1]);
    }
    snprintf(c.path, sizeof c.path, "relayed");
    snprintf(c.relay, sizeof c.relay, "iton1qnexs5w9x2v7n3m6t0r5y8u2pjttf");
    assert_string_equal(words_path(&c, text), "relayed via iton1qnex…jttf, score 93");
    c.score = MODEL_UNKNOWN;
    assert_string_equal(words_path(&c, text), "relayed via iton1qnex…jttf, score -");
}

static void qualities(void **state)
{
    struct model_call c = {.loss_in = 0.09, .loss_out = 0, .rtt_ms = 100, .jitter_ms = 5};
    char text[WORDS_BYTES];

    (void)state;
    assert_string_equal(words_quality(&c, text), "measuring");
    snprintf(c.quality, sizeof c.quality, "poor");
    assert_string_equal(words_quality(&c, text), "poor (loss 9%)");
    c.loss_in = 0;
    c.rtt_ms = 900;
    assert_string_equal(words_quality(&c, text), "poor (RTT 900 ms)");
    snprintf(c.quality, sizeof c.quality, "fair");
    assert_string_equal(words_quality(&c, text), "fair");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("every cause has its sentence and its next step", every_cause),
        sentence("a sound card that cannot be opened is named once", the_sound_card_is_named_once),
        sentence("a call nobody answered is missed on one side, no answer on the other", missed),
        sentence("call states have their words", states),
        sentence("times are told by day, weekday, date, in local time", times),
        sentence("lengths are told in the largest units that matter", lengths),
        sentence("numbers have separators, sizes units, unknown is a dash", numbers),
        sentence("people are named by petname, claimed name in quotes, or short ID", people),
        sentence("paths have their words", paths),
        sentence("poor quality names its worst number", qualities),
    };

    return run_sentences("words", tests);
}
