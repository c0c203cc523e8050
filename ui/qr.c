#include "ui/qr.h"

#include <qrencode.h>
#include <stdio.h>

#include "base/mem.h"

#define MARGIN 2

/* Is the module drawn with ink of the terminal's foreground? Outside the code everything is light. */
static bool is_ink(const QRcode *code, int row, int col, bool dark_ink)
{
    bool is_dark = false;

    row -= MARGIN;
    col -= MARGIN;
    if (row >= 0 && row < code->width && col >= 0 && col < code->width)
        is_dark = code->data[row * code->width + col] & 1;
    return is_dark == dark_ink;
}

static size_t put(char *out, const char *text)
{
    memcpy(out, text, strlen(text));
    return strlen(text);
}

/* One line of half blocks: rows row and row + 1. */
static size_t half_blocks(const QRcode *code, int row, int size, bool dark_ink, char *out)
{
    static const char *const blocks[] = {" ", "▄", "▀", "█"};
    size_t n = 0;

    for (int col = 0; col < size; col++) {
        bool upper = is_ink(code, row, col, dark_ink);
        bool lower = row + 1 < size && is_ink(code, row + 1, col, dark_ink);

        n += put(out + n, blocks[upper * 2 + lower]);
    }
    return n;
}

char *qr_text(const char *text, const struct qr_options *options)
{
    QRcode *code = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
    bool dark_ink = options->has_color || options->is_inverted;
    size_t n = 0;
    char *out;
    int size;

    if (code == NULL)
        return NULL;
    size = code->width + 2 * MARGIN;
    out = mem_alloc((size_t)size * (size_t)(size * 3 + 32) + 1);
    for (int row = 0; row < size; row += options->is_ascii ? 1 : 2) {
        if (options->has_color)
            n += put(out + n, "\033[30;47m");
        if (options->is_ascii) {
            for (int col = 0; col < size; col++)
                n += put(out + n, is_ink(code, row, col, dark_ink) ? "##" : "  ");
        } else {
            n += half_blocks(code, row, size, dark_ink, out + n);
        }
        n += put(out + n, options->has_color ? "\033[0m\n" : "\n");
    }
    out[n] = '\0';
    QRcode_free(code);
    return out;
}
