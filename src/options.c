/* Options of one command, and messages about what was typed (verb.h). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verb.h"

int usage_error(struct cli *cli, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\ntry: ito help%s%s\n", cli->verb != NULL ? " " : "",
            cli->verb != NULL ? cli->verb : "");
    return EXIT_USAGE;
}

void say(const struct cli *cli, const char *fmt, ...)
{
    va_list ap;

    if (cli->is_quiet)
        return;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void complain(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

size_t word_distance(const char *a, const char *b)
{
    size_t n = strlen(b), row[32];

    if (n >= 32 || strlen(a) >= 32)
        return 32;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t swap = corner + (a[i - 1] != b[j - 1]);
            size_t least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

            corner = row[j];
            row[j] = swap < least ? swap : least;
        }
    }
    return row[n];
}

/* So far a word may be from the one that was meant, plus one. */
size_t word_slack(const char *given)
{
    return strlen(given) > 3 ? 3 : strlen(given) > 1 ? 2 : 1;
}

/* The one of the words (separated by blanks) that was probably meant; "" when none. */
static void nearest(const char *given, const char *words, char best[static 32])
{
    size_t least = word_slack(given);

    best[0] = '\0';
    for (const char *at = words; at != NULL && *at != '\0';) {
        char word[32];
        int len = (int)strcspn(at, " ");
        size_t d;

        snprintf(word, sizeof word, "%.*s", len, at);
        d = word_distance(given, word);
        if (d < least) {
            least = d;
            strcpy(best, word);
        }
        at += len + (at[len] == ' ');
    }
}

int unknown_sub(struct cli *cli, const char *given)
{
    size_t n;
    const struct verb *v = verb_table(&n);
    char best[32];

    while (strcmp(v->name, cli->verb) != 0)
        v++;
    nearest(given, v->subs, best);
    if (best[0] != '\0')
        return usage_error(cli, "Unknown command \"%s %.64s\". Did you mean \"%s %s\"?", cli->verb, given,
                           cli->verb, best);
    return usage_error(cli, "Unknown command \"%s %.64s\".", cli->verb, given);
}

static const struct opt *find(const struct opt *opts, size_t n, const char *word, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(opts[i].name) == len && memcmp(opts[i].name, word, len) == 0)
            return &opts[i];
    return NULL;
}

static void unknown(struct cli *cli, const struct opt *opts, size_t n, const char *word, size_t len)
{
    const char *best = NULL;
    size_t least = word_slack("12345");
    char given[32];

    snprintf(given, sizeof given, "%.*s", (int)len, word);
    for (size_t i = 0; i < n; i++) {
        size_t d = word_distance(given, opts[i].name);

        if (d < least) {
            least = d;
            best = opts[i].name;
        }
    }
    if (best != NULL)
        usage_error(cli, "Unknown option \"%.*s\". Did you mean \"%s\"?", (int)len, word, best);
    else
        usage_error(cli, "Unknown option \"%.*s\".", (int)len, word);
}

bool opt_take(struct cli *cli, const struct opt *opts, size_t n, int *argc, char **argv)
{
    int kept = 0, i = 0;

    for (; i < *argc && strcmp(argv[i], "--") != 0; i++) {
        size_t len = strcspn(argv[i], "=");
        const struct opt *o;

        if (argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[kept++] = argv[i];
            continue;
        }
        o = find(opts, n, argv[i], len);
        if (o == NULL) {
            unknown(cli, opts, n, argv[i], len);
            return false;
        }
        if (o->flag != NULL ? argv[i][len] == '=' : argv[i][len] != '=' && i + 1 == *argc) {
            usage_error(cli, o->flag != NULL ? "Option %s takes no value." : "Option %s needs a value.",
                        o->name);
            return false;
        }
        if (o->flag != NULL)
            *o->flag = true;
        else
            *o->value = argv[i][len] == '=' ? argv[i] + len + 1 : argv[++i];
    }
    for (i++; i < *argc; i++)
        argv[kept++] = argv[i];
    *argc = kept;
    return true;
}

bool opt_number(struct cli *cli, const char *name, const char *text, long min, long max, long *out)
{
    char *end;

    *out = strtol(text, &end, 10);
    if (text[0] != '\0' && *end == '\0' && *out >= min && *out <= max)
        return true;
    usage_error(cli, "Option %s: \"%s\" is not a number from %ld to %ld.", name, text, min, max);
    return false;
}
