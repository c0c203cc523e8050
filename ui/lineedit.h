/* ui/lineedit.h - one line of input: Emacs keys and arrows, history, paste. Completion is the owner's.
 *
 *   in     keys (ui/keys.h) and pasted text; control characters in a paste become spaces
 *   owner  whoever embeds it; lineedit_fini() wipes the text, which may be a passphrase
 *   caps   LINEEDIT_BYTES of text, LINEEDIT_HISTORY lines kept */
#ifndef ITO_UI_LINEEDIT_H
#define ITO_UI_LINEEDIT_H

#include "base/slice.h"
#include "ui/keys.h"

#define LINEEDIT_BYTES   4096
#define LINEEDIT_HISTORY 50

struct lineedit {
    char text[LINEEDIT_BYTES]; /* valid UTF-8, NUL-terminated */
    size_t len, caret;         /* bytes */
    char cut[LINEEDIT_BYTES];  /* what Ctrl-K, Ctrl-U, Ctrl-W took, for Ctrl-Y */
    char *history[LINEEDIT_HISTORY];
    size_t n_history, at; /* at == n_history: the line being typed */
};

enum lineedit_result {
    LINEEDIT_NONE,  /* not a key of input lines */
    LINEEDIT_TAKEN, /* text or caret may have changed */
    LINEEDIT_ENTER,
    LINEEDIT_CANCEL, /* Esc, Ctrl-C, Ctrl-G, or Backspace in an empty line */
    LINEEDIT_COMPLETE
};

void lineedit_fini(struct lineedit *e);
/* Empty, or with a text to change; the history stays. */
void lineedit_set(struct lineedit *e, const char *text);
enum lineedit_result lineedit_key(struct lineedit *e, uint32_t key);
void lineedit_paste(struct lineedit *e, const char *text, size_t len);
/* Put text in place of the bytes from `from` to the caret. */
void lineedit_replace(struct lineedit *e, size_t from, const char *text);
/* Remember the line for Up. Never call it for a secret. */
void lineedit_remember(struct lineedit *e);

#endif
