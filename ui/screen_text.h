/* ui/screen_text.h - the grid as lines of text: for tests and for the picture in the README. */
#ifndef ITO_UI_SCREEN_TEXT_H
#define ITO_UI_SCREEN_TEXT_H

#include "ui/screen.h"

/* One line a row, each ended by '\n', blanks at its end cut. Free with mem_free(). */
char *screen_text(const struct screen *s);

#endif
