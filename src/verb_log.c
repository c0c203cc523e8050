/* The log file and the events, as they come (UX.md §6). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "verb.h"

#define COPY_BYTES 16384

/* All that can be read now, to stdout. False: nobody reads it any more. */
static bool copy(int fd)
{
    char buf[COPY_BYTES];
    ssize_t n;

    while ((n = read(fd, buf, sizeof buf)) > 0)
        if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
            return false;
    return fflush(stdout) == 0;
}

static int open_log(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

/* What is added, across rotation: then the name stands for another file. Ends by a signal. */
static int follow(const char *path, int fd)
{
    int watch = inotify_init1(IN_CLOEXEC);
    char buf[4096];
    char folder[4096];
    struct stat ours, there;
    bool goes_on = true;

    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    if (watch < 0 || inotify_add_watch(watch, folder, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
        complain("%s: cannot be watched: %s", folder, strerror(errno));
        return EXIT_FAILED;
    }
    goes_on = copy(fd); /* what was added before the watch began */
    while (goes_on && read(watch, buf, sizeof buf) > 0) {
        goes_on = copy(fd);
        if (stat(path, &there) == 0 && fstat(fd, &ours) == 0 && there.st_ino != ours.st_ino) {
            close(fd);
            fd = open_log(path);
            goes_on = fd >= 0 && copy(fd);
        }
    }
    close(watch);
    close(fd);
    return EXIT_DONE;
}

int verb_log(struct cli *cli, int argc, char **argv)
{
    bool follows = false;
    const struct opt opts[] = {{"-f", NULL, &follows}};
    int fd;

    if (!opt_take(cli, opts, 1, &argc, argv))
        return EXIT_USAGE;
    if (argc > 0)
        return usage_error(cli, "ito log takes no argument \"%s\".", argv[0]);
    fd = open_log(cli->files.log);
    if (fd < 0) {
        complain("%s: %s", cli->files.log, errno == ENOENT ? "nothing was logged yet" : strerror(errno));
        return EXIT_NO_SUCH;
    }
    if (!copy(fd))
        return EXIT_FAILED;
    if (follows)
        return follow(cli->files.log, fd);
    close(fd);
    return EXIT_DONE;
}

/* ---- watch ---- */

static void on_event(void *arg, const char *json)
{
    struct cli *cli = arg;

    if (json == NULL)
        return;
    if (puts(json) == EOF || fflush(stdout) != 0)
        ctl_stop(cli->ctl);
}

int verb_watch(struct cli *cli, int argc, char **argv)
{
    struct ctl_ops ops = {.arg = cli, .event = on_event};
    int code;

    if (!opt_take(cli, NULL, 0, &argc, argv))
        return EXIT_USAGE;
    if (argc > 0)
        return usage_error(cli, "ito watch takes no argument \"%s\".", argv[0]);
    code = verb_open(cli, CTL_DAEMON);
    if (code != EXIT_DONE)
        return code;
    ctl_set_ops(cli->ctl, &ops);
    if (!ctl_watch(cli->ctl)) {
        complain("The running ito did not answer within 5 s.");
        return EXIT_NO_DAEMON;
    }
    say(cli, "Watching. Ctrl-C ends it.");
    ctl_run(cli->ctl);
    if (ctl_is_lost(cli->ctl)) {
        complain("The running ito ended.");
        return EXIT_NO_DAEMON;
    }
    return EXIT_DONE;
}
