/* Completion for three shells, made from the table of commands. */
#include <stdio.h>
#include <string.h>

#include "verb.h"

#define GLOBALS "--dir --config --json --plain --color --ascii --help --version -v -q -y"

static void bash(const struct verb *v, size_t n)
{
    puts("_ito() {\n"
         "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= sub= w words=\n"
         "    local -i i\n"
         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "        w=${COMP_WORDS[i]}\n"
         "        case $w in --dir|--config|--color) ((i++)) ;; -*) ;; *) if [ -z \"$verb\" ]; then verb=$w; "
         "elif [ -z \"$sub\" ]; then sub=$w; fi ;; esac\n"
         "    done\n"
         "    case $prev in\n"
         "    --color) COMPREPLY=($(compgen -W 'auto always never' -- \"$cur\")); return ;;\n"
         "    --dir) COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n"
         "    --config|--play|--record|--passphrase-file|import|export|check) COMPREPLY=($(compgen -f -- "
         "\"$cur\")); return ;;\n"
         "    esac\n"
         "    case $verb in");
    printf("    '') words='");
    for (size_t i = 0; i < n; i++)
        printf("%s ", v[i].name);
    puts("' ;;");
    for (size_t i = 0; i < n; i++)
        if (v[i].subs != NULL || v[i].options != NULL)
            printf("    %s) [ -z \"$sub\" ] && words='%s'; words+=' %s' ;;\n", v[i].name,
                   v[i].subs != NULL ? v[i].subs : "", v[i].options != NULL ? v[i].options : "");
    puts("    esac\n"
         "    case $verb$sub in configget|configset) words=$(ito config show 2>/dev/null | cut -d' ' -f1) ;; "
         "esac\n"
         "    COMPREPLY=($(compgen -W \"$words " GLOBALS "\" -- \"$cur\"))\n"
         "}\n"
         "complete -F _ito ito");
}

static void zsh(const struct verb *v, size_t n)
{
    puts("#compdef ito\n_ito() {\n    local -a verbs\n    verbs=(");
    for (size_t i = 0; i < n; i++)
        printf("        '%s:%s'\n", v[i].name, v[i].about);
    puts("    )\n    if (( CURRENT == 2 )); then _describe command verbs; return; fi\n    case $words[2] in");
    for (size_t i = 0; i < n; i++)
        if (v[i].subs != NULL || v[i].options != NULL)
            printf("    %s) compadd -- %s %s " GLOBALS " ;;\n", v[i].name, v[i].subs != NULL ? v[i].subs : "",
                   v[i].options != NULL ? v[i].options : "");
    puts("    *) _files ;;\n    esac\n}\ncompdef _ito ito");
}

static void fish_words(const char *verb, const char *words)
{
    if (words != NULL && words[0] != '\0')
        printf("complete -c ito -f -n '__fish_seen_subcommand_from %s' -a '%s'\n", verb, words);
}

static void fish(const struct verb *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("complete -c ito -f -n __fish_use_subcommand -a %s -d \"%s\"\n", v[i].name, v[i].about);
    for (size_t i = 0; i < n; i++) {
        fish_words(v[i].name, v[i].subs);
        fish_words(v[i].name, v[i].options);
    }
}

int verb_completion(struct cli *cli, int argc, char **argv)
{
    size_t n;
    const struct verb *v = verb_table(&n);

    if (argc == 1 && strcmp(argv[0], "bash") == 0)
        bash(v, n);
    else if (argc == 1 && strcmp(argv[0], "zsh") == 0)
        zsh(v, n);
    else if (argc == 1 && strcmp(argv[0], "fish") == 0)
        fish(v, n);
    else
        return usage_error(cli, "For which shell? bash, zsh or fish");
    return EXIT_DONE;
}
