/* ui/keys.h - one number for every key: a Unicode code point, or one of these. Alt is a bit on top. */
#ifndef ITO_UI_KEYS_H
#define ITO_UI_KEYS_H

#include <stdint.h>

#define K_NONE        0u
#define K_TAB         9u
#define K_ENTER       13u
#define K_ESC         27u
#define K_ERASE       127u /* Backspace */
#define K_CTRL(c)     ((uint32_t)(c)&0x1Fu)
#define K_ALT_BIT     0x1000000u
#define K_ALT(c)      ((uint32_t)(c) | K_ALT_BIT)
#define K_SPECIAL     0x200000u
#define K_UP          (K_SPECIAL + 1)
#define K_DOWN        (K_SPECIAL + 2)
#define K_LEFT        (K_SPECIAL + 3)
#define K_RIGHT       (K_SPECIAL + 4)
#define K_PAGE_UP     (K_SPECIAL + 5)
#define K_PAGE_DOWN   (K_SPECIAL + 6)
#define K_TO_START    (K_SPECIAL + 7)
#define K_TO_END      (K_SPECIAL + 8)
#define K_DELETE      (K_SPECIAL + 9)
#define K_BACKTAB     (K_SPECIAL + 10)
#define K_FUNCTION(n) (K_SPECIAL + 32 + (n)) /* F1 is K_FUNCTION(1) */

#define KEY_TEXT_BYTES 16

/* "c", "Alt-a", "Ctrl-L", "F1", "Enter", "Esc", "Space": what help shows and config `keys` takes. */
const char *key_print(uint32_t key, char out[static KEY_TEXT_BYTES]);
/* K_NONE for what is no key. */
uint32_t key_parse(const char *text);

#endif
