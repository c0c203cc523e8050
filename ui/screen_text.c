#include "ui/screen_text.h"

#include "base/mem.h"
#include "base/utf8.h"

char *screen_text(const struct screen *s)
{
    size_t cell_bytes = (1 + SCREEN_MARKS) * UTF8_MAX_BYTES, n = 0;
    char *text = mem_alloc(((size_t)screen_cols(s) * cell_bytes + 1) * screen_rows(s) + 1);

    for (uint16_t row = 0; row < screen_rows(s); row++) {
        size_t begin = n;

        for (uint16_t col = 0; col < screen_cols(s); col++) {
            const struct cell *c = screen_cell(s, row, col);

            if (c->width == 0)
                continue;
            n += utf8_put(c->ch, text + n);
            for (size_t i = 0; i < SCREEN_MARKS && c->marks[i] != 0; i++)
                n += utf8_put(c->marks[i], text + n);
        }
        while (n > begin && text[n - 1] == ' ')
            n--;
        text[n++] = '\n';
    }
    text[n] = '\0';
    return text;
}
