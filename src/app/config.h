/* app/config.h - the settings: one table of keys, types, ranges, defaults and meanings (UX.md §9).
 *
 * The table below is the only place a key is named: the checker, `ito config`, the setup screen and
 * config.example.json are made from it. A bad file is refused whole: every error is found and told, with
 * file, line, key, what is wrong and what is right, and the values stay as they were.
 *
 *   owner  config_create()/config_destroy(); strings returned are borrowed until the next load or set */
#ifndef ITO_APP_CONFIG_H
#define ITO_APP_CONFIG_H

#include "base/addr.h"
#include "base/err.h"
#include "base/slice.h"

/* X(name, key, type, default as JSON, min, max, choices, meaning) */
#define CONFIG_KEYS(X)                                                                                       \
    X(IDENTITY_NAME, "identity.name", STR, "\"\"", 0, 64, NULL, "name shown to others")                      \
    X(IDENTITY_LOCK_AFTER, "identity.lock_after", INT, "0", 0, 86400, NULL,                                  \
      "lock the key when idle, s (0 never)")                                                                 \
    X(PRESENCE_SHOW, "presence.show", ENUM, "\"contacts\"", 0, 0, "contacts,nobody",                         \
      "who is told you are online")                                                                          \
    X(AUDIO_INPUT, "audio.input", STR, "\"default\"", 1, 255, NULL,                                          \
      "microphone: ALSA name, wav:FILE or null")                                                             \
    X(AUDIO_OUTPUT, "audio.output", STR, "\"default\"", 1, 255, NULL,                                        \
      "speaker: ALSA name, wav:FILE or null")                                                                \
    X(AUDIO_RING_DEVICE, "audio.ring_device", STR, "\"default\"", 1, 255, NULL, "where it rings")            \
    X(AUDIO_BITRATE, "audio.bitrate", INT, "24000", 6000, 128000, NULL, "speech quality, bit/s")             \
    X(AUDIO_FRAME_MS, "audio.frame_ms", CHOICE, "20", 10, 60, "10,20,40,60", "sound in one packet, ms")      \
    X(AUDIO_FEC, "audio.fec", BOOL, "true", 0, 0, NULL, "send repairs for lost packets")                     \
    X(AUDIO_DTX, "audio.dtx", BOOL, "false", 0, 0, NULL, "save data in silence (tells when you speak)")      \
    X(AUDIO_ECHO_CANCEL, "audio.echo_cancel", BOOL, "true", 0, 0, NULL, "remove the loudspeaker's echo")     \
    X(AUDIO_NOISE_SUPPRESS, "audio.noise_suppress", BOOL, "true", 0, 0, NULL, "remove steady noise")         \
    X(AUDIO_JITTER_MIN_MS, "audio.jitter_min_ms", INT, "20", 0, 200, NULL, "least play-out delay, ms")       \
    X(AUDIO_JITTER_MAX_MS, "audio.jitter_max_ms", INT, "200", 40, 1000, NULL, "largest play-out delay, ms")  \
    X(CALL_RING_S, "call.ring_s", INT, "60", 10, 180, NULL, "ring this long, s")                             \
    X(CALL_WAITING, "call.waiting", BOOL, "true", 0, 0, NULL, "show a second call during a call")            \
    X(CALL_AUTO_ANSWER, "call.auto_answer", LIST, "[]", 0, 64, NULL, "contacts answered without asking")     \
    X(REQUESTS_ACCEPT, "requests.accept", BOOL, "true", 0, 0, NULL, "keep requests of strangers")            \
    X(REQUESTS_MAX, "requests.max", INT, "100", 0, 1000, NULL, "requests kept")                              \
    X(REQUESTS_NOTIFY, "requests.notify", BOOL, "false", 0, 0, NULL, "run notify.command for requests")      \
    X(VOICEMAIL_ON, "voicemail.on", BOOL, "true", 0, 0, NULL, "take voicemail from contacts")                \
    X(VOICEMAIL_MAX_S, "voicemail.max_s", INT, "120", 10, 600, NULL, "longest message, s")                   \
    X(VOICEMAIL_KEEP_DAYS, "voicemail.keep_days", INT, "30", 1, 3650, NULL, "delete after days")             \
    X(NET_PORT, "net.port", INT, "0", 0, 65535, NULL, "UDP port (0 any)")                                    \
    X(NET_IPV4, "net.ipv4", BOOL, "true", 0, 0, NULL, "use IPv4")                                            \
    X(NET_IPV6, "net.ipv6", BOOL, "true", 0, 0, NULL, "use IPv6")                                            \
    X(NET_PORT_MAPPING, "net.port_mapping", BOOL, "true", 0, 0, NULL, "ask the router for a port")           \
    X(NET_PEERS, "net.peers", PEERS, "[]", 0, 64, NULL, "first addresses to ask, HOST:PORT")                 \
    X(NET_ROUTERS, "net.routers", PEERS,                                                                     \
      "[\"router.bittorrent.com:6881\",\"router.utorrent.com:6881\",\"dht.transmissionbt.com:6881\","        \
      "\"dht.libtorrent.org:25401\"]",                                                                       \
      0, 16, NULL, "first nodes of the public BitTorrent DHT, asked when nobody else answers")               \
    X(NET_LAN_DISCOVERY, "net.lan_discovery", BOOL, "true", 0, 0, NULL, "find phones on this network")       \
    X(NET_PATH, "net.path", ENUM, "\"private\"", 0, 0, "private,direct,relay-only",                          \
      "who sees your address, and when")                                                                     \
    X(NET_ZONE, "net.zone", STR, "\"public\"", 1, 32, NULL, "overlay zone")                                  \
    X(NET_MAINLINE, "net.mainline", ENUM, "\"client\"", 0, 0, "off,client", "use the public BitTorrent DHT") \
    X(NET_CLIENT, "net.client", BOOL, "false", 0, 0, NULL, "take from the overlay, store and relay nothing") \
    X(NET_FINDABLE, "net.findable", ENUM, "\"anyone\"", 0, 0, "anyone,invited", "who may leave a request")   \
    X(NET_ZONE_KEY, "net.zone_key", STR, "\"\"", 0, 128, NULL, "public key of a closed zone")                \
    X(NET_ZONE_CERT, "net.zone_cert", STR, "\"\"", 0, 512, NULL, "our member certificate of a closed zone")  \
    X(RELAY_ON, "relay.on", BOOL, "false", 0, 0, NULL, "carry calls of others")                              \
    X(RELAY_PORT, "relay.port", INT, "0", 0, 65535, NULL, "relay port (0 net.port)")                         \
    X(RELAY_TURN_USERS, "relay.turn_users", MAP, "{}", 0, 64, NULL, "ordinary TURN clients: name, password") \
    X(RELAY_STRANGERS_PCT, "relay.strangers_pct", INT, "10", 0, 100, NULL,                                   \
      "share of capacity for strangers when busy")                                                           \
    X(RELAY_ALLOW_LOCAL, "relay.allow_local", BOOL, "false", 0, 0, NULL,                                     \
      "forward to private addresses (laboratories)")                                                         \
    X(RELAY_HAIRPIN_ONLY, "relay.hairpin_only", BOOL, "false", 0, 0, NULL, "only calls with both ends here") \
    X(RELAY_XDP, "relay.xdp", BOOL, "false", 0, 0, NULL, "forward in the kernel where possible")             \
    X(RELAY_WORKERS, "relay.workers", INT, "1", 1, 16, NULL, "cores that forward")                           \
    X(RELAY_METRICS, "relay.metrics", STR, "\"\"", 0, 128, NULL,                                             \
      "loopback HOST:PORT for Prometheus (empty off)")                                                       \
    X(RELAY_MAX_CALLS, "relay.max_calls", INT, "20", 1, 10000, NULL, "calls at once")                        \
    X(RELAY_MAX_KBPS, "relay.max_kbps", INT, "2000", 64, 10000000, NULL, "kbit/s at most")                   \
    X(RELAY_MONTHLY_GB, "relay.monthly_gb", INT, "0", 0, 1000000, NULL, "GB a month (0 no limit)")           \
    X(RELAY_FOR, "relay.for", ENUM, "\"anyone\"", 0, 0, "anyone,contacts", "whose calls are carried")        \
    X(RELAYS_MIN_SCORE, "relays.min_score", INT, "50", 0, 100, NULL, "do not use relays below this score")   \
    X(RELAYS_NEVER, "relays.never", LIST, "[]", 0, 256, NULL, "relays never used")                           \
    X(NOTIFY_COMMAND, "notify.command", LIST, "[]", 0, 32, NULL, "program and arguments run for a call")     \
    X(LOG_LEVEL, "log.level", ENUM, "\"info\"", 0, 0, "error,warn,info,debug", "how much is logged")         \
    X(KEYS, "keys", MAP, "{}", 0, 128, NULL, "keys changed: action, key")                                    \
    X(UI_COLOR, "ui.color", ENUM, "\"auto\"", 0, 0, "auto,always,never", "colours")                          \
    X(UI_MOUSE, "ui.mouse", BOOL, "false", 0, 0, NULL, "mouse in the screens")                               \
    X(UI_LANG, "ui.lang", ENUM, "\"auto\"", 0, 0, "auto,en,ja", "language")                                  \
    X(UI_AMBIGUOUS_WIDE, "ui.ambiguous_wide", BOOL, "false", 0, 0, NULL,                                     \
      "terminal draws ambiguous characters wide")                                                            \
    X(UI_BELL, "ui.bell", ENUM, "\"calls\"", 0, 0, "calls,all,off", "when the terminal bell sounds")

enum config_key {
#define X(name, key, type, def, min, max, choices, meaning) CFG_##name,
    CONFIG_KEYS(X)
#undef X
        CFG_COUNT
};

enum config_type {
    CFG_T_STR,
    CFG_T_INT,
    CFG_T_BOOL,
    CFG_T_ENUM,
    CFG_T_CHOICE,
    CFG_T_LIST,
    CFG_T_PEERS,
    CFG_T_MAP
};

struct config_info {
    const char *key;
    enum config_type type;
    const char *default_json;
    long min, max; /* of a number; of a text in bytes; most members of a list or map */
    const char *choices, *meaning;
};

#define CONFIG_FILE_MAX   (256u << 10)
#define CONFIG_ERRORS_MAX 64

/* What is wrong, one line each, in the order of the file. */
struct config_errors {
    char *lines[CONFIG_ERRORS_MAX];
    unsigned n, n_more; /* n_more: those that did not fit */
};

struct config;

struct config *config_create(void); /* all defaults */
void config_destroy(struct config *c);
const struct config_info *config_info(enum config_key key);
/* CFG_COUNT when there is no such key. */
enum config_key config_find(const char *key);
/* The key a person may have meant, or NULL. */
const char *config_suggest(const char *key);

/* Check text as the file called `name`, and take all its values (those not named become defaults), or none. */
enum err config_parse(struct config *c, const char *name, struct slice text, struct config_errors *errors);
/* The same for a file; a missing one is all defaults. name is how errors call it. */
enum err config_load(struct config *c, const char *path, const char *name, struct config_errors *errors);
void config_errors_fini(struct config_errors *errors);
/* All lines, and how many did not fit; free with mem_free(). */
char *config_errors_text(const struct config_errors *errors);

/* Put key = value (JSON, or bare text for texts and choices) into the file, checked first; the rest of the
 * file stays as it was. The values in c change too. The single error line has no file and line. path NULL:
 * only the value in c changes. */
enum err config_set(struct config *c, const char *path, const char *key, const char *value,
                    struct err_detail *detail);

long config_int(const struct config *c, enum config_key key);
bool config_bool(const struct config *c, enum config_key key);
const char *config_str(const struct config *c, enum config_key key);
size_t config_len(const struct config *c, enum config_key key); /* members of a list or map */
const char *config_item(const struct config *c, enum config_key key, size_t i);
const char *config_item_name(const struct config *c, enum config_key key, size_t i); /* of a map */
bool config_is_default(const struct config *c, enum config_key key);
/* The value as JSON; free with mem_free(). */
char *config_json(const struct config *c, enum config_key key);
/* The whole as nested JSON with white space: config.example.json when c has defaults. Free with mem_free(). */
char *config_print(const struct config *c);

/* HOST:PORT of this machine (127.0.0.0/8, [::1], localhost). ERR_PARSE: not HOST:PORT; ERR_REFUSED: elsewhere. */
enum err config_loopback(const char *text, struct addr *out);

#endif
