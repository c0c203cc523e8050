#include "tty.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

bool tty_can_ask(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

/* By read(2): stdio would keep a copy of a secret in its buffer. */
static bool read_line(char *out, size_t size)
{
    size_t n = 0;
    char c;

    for (;;) {
        if (read(STDIN_FILENO, &c, 1) != 1)
            return n > 0;
        if (c == '\n')
            return true;
        if (n + 1 < size) {
            out[n++] = c;
            out[n] = '\0';
        }
    }
}

bool tty_ask(const char *prompt, bool is_hidden, char *out, size_t size)
{
    struct termios before, quiet;
    bool ok;

    out[0] = '\0';
    if (!tty_can_ask())
        return false;
    fputs(prompt, stderr);
    fflush(stderr);
    if (!is_hidden)
        return read_line(out, size);
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    ok = read_line(out, size);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputc('\n', stderr);
    return ok;
}
