#include "ui/theme.h"

#include "ui/screen.h"

enum { RED = 1, GREEN, YELLOW, BLUE, MAGENTA, CYAN };

uint8_t theme_style(enum role role, bool has_color)
{
    static const uint8_t styles[ROLE_COUNT] = {
        [ROLE_TITLE] = STYLE_BOLD,
        [ROLE_TAB_HERE] = STYLE_BOLD | STYLE_REVERSE,
        [ROLE_HEAD] = STYLE_BOLD,
        [ROLE_SELECTED] = STYLE_REVERSE,
        [ROLE_ONLINE] = GREEN,
        [ROLE_BUSY] = YELLOW,
        [ROLE_GOOD] = GREEN,
        [ROLE_WARN] = YELLOW,
        [ROLE_BAD] = RED | STYLE_BOLD,
        [ROLE_NOTICE] = STYLE_BOLD,
        [ROLE_HINT] = CYAN,
        [ROLE_CALL_BOX] = GREEN | STYLE_BOLD,
    };

    return has_color ? styles[role] : styles[role] & (uint8_t)~STYLE_COLOR;
}
