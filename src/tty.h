/* tty.h - asking a person on the terminal, without showing what is typed.
 *
 *   owner  the caller's buffer; a secret: wipe it
 *   trust  nothing is asked when stdin or stderr is no terminal */
#ifndef ITO_TTY_H
#define ITO_TTY_H

#include <stdbool.h>
#include <stddef.h>

#define PASSPHRASE_BYTES 1024

bool tty_can_ask(void);
/* One line after `prompt`, without its end; is_hidden: not echoed. False at end of input, or when nothing can be asked. */
bool tty_ask(const char *prompt, bool is_hidden, char *out, size_t size);

#endif
