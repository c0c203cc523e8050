/* ui/theme.h - what each part of the screen looks like: the 8 base colours on the terminal's own background.
 * Meaning is always in a word or mark too, so without colour nothing is lost; bold and reverse stay. */
#ifndef ITO_UI_THEME_H
#define ITO_UI_THEME_H

#include <stdbool.h>
#include <stdint.h>

enum role {
    ROLE_TEXT,
    ROLE_TITLE,
    ROLE_TAB,
    ROLE_TAB_HERE,
    ROLE_HEAD,     /* table heads, labels */
    ROLE_SELECTED, /* the row with > */
    ROLE_ONLINE,
    ROLE_BUSY,
    ROLE_FAINT,
    ROLE_GOOD,
    ROLE_WARN,
    ROLE_BAD,
    ROLE_NOTICE,
    ROLE_HINT,
    ROLE_BOX,
    ROLE_CALL_BOX,
    ROLE_COUNT
};

/* A style of screen.h. */
uint8_t theme_style(enum role role, bool has_color);

#endif
