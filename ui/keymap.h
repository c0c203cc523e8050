/* ui/keymap.h - one table from keys to commands. Help is printed from it, config `keys` changes it.
 *
 * A command means the same on every screen (UX §4); a screen only says which ones it takes. Alt-a, Alt-d,
 * Alt-x and ":" cannot be taken away. */
#ifndef ITO_UI_KEYMAP_H
#define ITO_UI_KEYMAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "ui/keys.h"

/* X(COMMAND, config name, meaning, keys...) */
#define COMMANDS(X)                                                            \
    X(UP, "up", "move up", 'k', K_UP, 0)                                       \
    X(DOWN, "down", "move down", 'j', K_DOWN, 0)                               \
    X(TOP, "top", "first row", 'g', K_TO_START, 0)                             \
    X(BOTTOM, "bottom", "last row", 'G', K_TO_END, 0)                          \
    X(PAGE_DOWN, "page_down", "half a page down", K_CTRL('D'), K_PAGE_DOWN, 0) \
    X(PAGE_UP, "page_up", "half a page up", K_CTRL('U'), K_PAGE_UP, 0)         \
    X(OPEN, "open", "open", K_ENTER, 'l', K_RIGHT)                             \
    X(BACK, "back", "back", K_ESC, 'h', K_LEFT)                                \
    X(SCREEN_1, "contacts", "contacts", '1', 0, 0)                             \
    X(SCREEN_2, "requests", "requests", '2', 0, 0)                             \
    X(SCREEN_3, "calls", "calls", '3', 0, 0)                                   \
    X(SCREEN_4, "chat", "chat", '4', 0, 0)                                     \
    X(SCREEN_5, "voice", "voicemail", '5', 0, 0)                               \
    X(SCREEN_6, "network", "network", '6', 0, 0)                               \
    X(SCREEN_7, "relay", "relay", '7', 0, 0)                                   \
    X(SCREEN_8, "setup", "setup", '8', 0, 0)                                   \
    X(SCREEN_9, "log", "log", '9', 0, 0)                                       \
    X(NEXT_SCREEN, "next", "next screen", K_TAB, 0, 0)                         \
    X(LAST_SCREEN, "previous", "screen before", K_BACKTAB, 0, 0)               \
    X(CURRENT, "current_call", "the call", '0', 0, 0)                          \
    X(LINE, "command", "command", ':', 0, 0)                                   \
    X(FILTER, "filter", "filter", '/', 0, 0)                                   \
    X(HELP, "help", "help", '?', K_FUNCTION(1), 0)                             \
    X(CALL, "call", "call", 'c', 0, 0)                                         \
    X(ALLOW, "answer", "answer or allow", 'a', 0, 0)                           \
    X(DECLINE, "decline", "decline", 'd', 0, 0)                                \
    X(HANGUP, "hangup", "hang up", 'x', 0, 0)                                  \
    X(ALT_ANSWER, "alt_answer", "answer", K_ALT('a'), 0, 0)                    \
    X(ALT_DECLINE, "alt_decline", "decline", K_ALT('d'), 0, 0)                 \
    X(ALT_HANGUP, "alt_hangup", "hang up", K_ALT('x'), 0, 0)                   \
    X(MUTE, "mute", "mute", 'm', 0, 0)                                         \
    X(HOLD, "hold", "hold", 'o', 0, 0)                                         \
    X(TONES, "tones", "tones", 't', 0, 0)                                      \
    X(LOUDER, "louder", "volume up", '+', 0, 0)                                \
    X(SOFTER, "softer", "volume down", '-', 0, 0)                              \
    X(GAIN_DOWN, "gain_down", "microphone down", '[', 0, 0)                    \
    X(GAIN_UP, "gain_up", "microphone up", ']', 0, 0)                          \
    X(SILENCE, "silence", "silence the ring", 'z', 0, 0)                       \
    X(MESSAGE, "message", "message", 's', 0, 0)                                \
    X(PLAY, "play", "play or pause", 'p', 0, 0)                                \
    X(DETAILS, "details", "details", 'i', 0, 0)                                \
    X(VERIFY, "verify", "verify", 'v', 0, 0)                                   \
    X(NEW, "new", "new", 'n', 0, 0)                                            \
    X(RENAME, "rename", "rename or retry", 'r', 0, 0)                          \
    X(BLOCK, "block", "block", 'b', 0, 0)                                      \
    X(DELETE, "delete", "delete", 'D', 0, 0)                                   \
    X(UNDO, "undo", "undo", 'u', 0, 0)                                         \
    X(COPY, "copy", "copy", 'y', 0, 0)                                         \
    X(QR, "qr", "QR code", 'Q', 0, 0)                                          \
    X(NOTIFY, "notify", "tell me when online or free", 'w', 0, 0)              \
    X(LESS, "less", "choice before, 5 s back", '<', 0, 0)                      \
    X(MORE, "more", "next choice, 5 s on", '>', 0, 0)                          \
    X(VOICEMAIL, "voicemail", "leave voicemail", 'V', 0, 0)                    \
    X(TEST, "test", "test", 'T', 0, 0)                                         \
    X(REJOIN, "rejoin", "rejoin", 'R', 0, 0)                                   \
    X(ONOFF, "onoff", "relay on or off", 'O', 0, 0)                            \
    X(DRAIN, "drain", "drain", 'W', 0, 0)                                      \
    X(LIMITS, "limits", "limits", 'E', 0, 0)                                   \
    X(LEVEL, "level", "log level", 'L', 0, 0)                                  \
    X(FOLLOW, "follow", "follow", 'F', 0, 0)                                   \
    X(DEFAULT, "default", "back to the default", '=', 0, 0)                    \
    X(SKIP, "skip", "skip", 'S', 0, 0)                                         \
    X(QUIT, "quit", "quit", 'q', K_CTRL('C'), 0)                               \
    X(REDRAW, "redraw", "draw again", K_CTRL('L'), 0, 0)                       \
    X(SUSPEND, "suspend", "suspend", K_CTRL('Z'), 0, 0)

#define COMMAND_ENUM(name, word, meaning, k1, k2, k3) CMD_##name,
enum command { CMD_NONE, COMMANDS(COMMAND_ENUM) CMD_COUNT };
#undef COMMAND_ENUM

#define KEYMAP_KEYS_PER_COMMAND 3

struct keymap {
    uint32_t keys[CMD_COUNT][KEYMAP_KEYS_PER_COMMAND];
};

void keymap_init(struct keymap *map);
/* Apply {"call":"C","mute":"Alt-m"}: that key becomes the first one of that command, and is taken from any
 * other. ERR_CONFIG names the first entry that is wrong; the others are applied. json may be NULL. */
enum err keymap_remap(struct keymap *map, const char *json, struct err_detail *detail);

enum command keymap_command(const struct keymap *map, uint32_t key);
/* The key shown for a command. */
uint32_t keymap_key(const struct keymap *map, enum command command);
/* What a command does, in words for the help. */
const char *keymap_meaning(enum command command);

#endif
