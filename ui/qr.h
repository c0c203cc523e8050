/* ui/qr.h - a QR code as lines of text (libqrencode): version 3, level L for an ID in capitals, margin 2.
 *
 * Two modules a character, one above the other, by half blocks; without UTF-8 one module is "##" and takes a
 * line of its own. Colour means explicit black on white, which every camera reads; without it the light
 * modules are drawn, for a dark background, or the dark ones when is_inverted. */
#ifndef ITO_UI_QR_H
#define ITO_UI_QR_H

#include <stdbool.h>

#define QR_COLUMNS_MIN 33 /* an ID: 29 modules and the margin */

struct qr_options {
    bool is_ascii, has_color, is_inverted;
};

/* Lines ended by '\n', all of the same width; NULL when the text is too long. Free with mem_free(). */
char *qr_text(const char *text, const struct qr_options *options);

#endif
