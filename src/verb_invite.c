/* `ito invite`: a text to hand over (UX.md §6, THREATS.md §4.4). */
#include <stdio.h>

#include "base/mem.h"
#include "crypto/secret.h"
#include "store/invites.h"
#include "verb.h"

/* The text alone on stdout, so that it can be piped; what it means on stderr. */
static void print_invite(const struct cli *cli, const cJSON *answer, bool has_qr, bool is_inverted)
{
    double uses = json_num(answer, "uses", 1);

    puts(json_str(answer, "invite", ""));
    if (has_qr)
        print_qr(cli, json_str(answer, "invite", ""), is_inverted);
    if (uses > 1)
        say(cli, "The first %.0f who read it may ring you without asking. Good until %s.", uses,
            json_str(answer, "expires", ""));
    else
        say(cli, "Whoever reads it first may ring you without asking. Good until %s.",
            json_str(answer, "expires", ""));
    if (json_str(answer, "zone_key", NULL) != NULL)
        say(cli,
            "The zone \"%s\" takes members only. Before they can use the invite they need\n"
            "  ito config set net.zone %s\n  ito config set net.zone_key %s\n"
            "and a member certificate for the node that \"ito zone node\" names there.",
            json_str(answer, "zone", ""), json_str(answer, "zone", ""), json_str(answer, "zone_key", ""));
}

int verb_invite(struct cli *cli, int argc, char **argv)
{
    const char *expires = "7d", *uses = "1";
    bool has_qr = false, is_inverted = false;
    const struct opt opts[] = {{"--expires", &expires, NULL},
                               {"--uses", &uses, NULL},
                               {"--qr", NULL, &has_qr},
                               {"--invert", NULL, &is_inverted}};
    cJSON *request, *answer = NULL;
    long n;
    int code;

    if (!opt_take(cli, opts, sizeof opts / sizeof opts[0], &argc, argv) ||
        !opt_number(cli, "--uses", uses, 1, INVITE_USES_MAX, &n))
        return EXIT_USAGE;
    if (argc > 0)
        return usage_error(cli, "ito invite takes no argument \"%s\".", argv[0]);
    code = verb_open(cli, CTL_LISTS);
    if (code != EXIT_DONE)
        return code;
    request = ctl_request("invite");
    cJSON_AddStringToObject(request, "expires", expires);
    cJSON_AddNumberToObject(request, "uses", (double)n);
    code = verb_ask_take(cli, request, &answer);
    if (code == EXIT_DONE && cli->is_json)
        print_json(answer);
    else if (code == EXIT_DONE)
        print_invite(cli, answer, has_qr, is_inverted);
    cJSON_Delete(answer);
    return code;
}
