/* io/confine.h - what this process gives up for good: privileges by exec, system calls it never needs, files that are
 * not its own (DESIGN.md §6). Linux only; what a kernel does not have is left out, and told.
 *
 *   no new privileges   prctl(2): no set-user-ID program helps any more
 *   system calls        a seccomp filter in all threads: those on the list are EPERM, the rest is untouched
 *   files               Landlock, as far as this kernel knows it: only the places given, and what the C library reads
 *
 *   memory          prctl(2), setrlimit(2): neither core dumps nor ptrace
 *
 * Nothing of it can be undone; it is inherited over fork and exec. */
#ifndef ITO_IO_CONFINE_H
#define ITO_IO_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

/* No core dump, and no look into our memory or environment from outside, not by our own user either (THREATS.md §3): for
 * the beginning of the program. What has been started by a debugger stays open to it. */
void confine_memory(void);

enum confine_use {
    CONFINE_READ,  /* a file, or all below a folder */
    CONFINE_WRITE, /* the same, also to make, replace and remove below it */
    CONFINE_RUN    /* read and run */
};

struct confine_place {
    const char *path; /* NULL and what is not there are left out */
    enum confine_use use;
};

struct confine_result {
    bool no_new_privileges, has_filter;
    int landlock; /* its ABI, 0: not in force */
};

/* places NULL: files are left alone. Those of the system (resolver, libraries, time zone, /dev/null) are added.
 * with_bpf: bpf(2) is let through, for a program after exec that loads what we have loaded (io/xdp.h). */
void confine(const struct confine_place *places, size_t n, bool with_bpf, struct confine_result *out);

#endif
