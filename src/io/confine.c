#include "io/confine.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- system calls ---- */

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define THIS_ARCH AUDIT_ARCH_RISCV64
#endif

#define X32_BIT 0x40000000u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER
#endif
#endif

/* What neither a phone nor a relay ever needs: other processes, the kernel's inside, mounts, clocks, namespaces,
 * and interfaces with a history of holes. */
static const uint16_t denied[] = {
#ifndef HAS_SANITIZER /* its leak checker is a tracer */
    SYS_ptrace,
#endif
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_acct,
    SYS_quotactl,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_syslog,
    SYS_unshare,
    SYS_setns,
    SYS_open_by_handle_at,
    SYS_vhangup,
    SYS_fanotify_init,
    SYS_personality,
    SYS_move_pages,
    SYS_migrate_pages,
    SYS_name_to_handle_at,
    SYS_lookup_dcookie,
    SYS_nfsservctl,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_bpf
    SYS_bpf,
#endif
#ifdef SYS_io_uring_setup
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
#endif
#ifdef SYS_open_tree
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
#endif
#ifdef SYS_iopl
    SYS_iopl,
    SYS_ioperm,
#endif
#ifdef SYS_modify_ldt
    SYS_modify_ldt,
#endif
};

#define N_DENIED (sizeof denied / sizeof *denied)

static bool set_filter(bool with_bpf)
{
#ifdef THIS_ARCH
    struct sock_filter code[N_DENIED + 8];
    struct sock_fprog program = {.filter = code};
    unsigned short n = 0;

    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, N_DENIED + 1, 0);
    for (size_t i = 0; i < N_DENIED; i++) { /* to the last statement */
        uint16_t number = with_bpf && denied[i] == SYS_bpf ? denied[0] : denied[i];

        code[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, (uint8_t)(N_DENIED - i), 0);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1 /* EPERM */);
    program.len = n;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
#else
    (void)with_bpf;
    return false;
#endif
}

_Static_assert(N_DENIED < 250, "jumps are 8 bits");

/* ---- files ---- */

/* Rights that later kernels know: the packaged header stops before. */
#define RIGHT_REFER     (1ull << 13) /* ABI 2 */
#define RIGHT_TRUNCATE  (1ull << 14) /* ABI 3 */
#define RIGHT_IOCTL_DEV (1ull << 15) /* ABI 5 */

#define RIGHTS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RIGHTS_FILE                                                                              \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | \
     RIGHT_TRUNCATE | RIGHT_IOCTL_DEV)
#define RIGHTS_ALL ((1ull << 13) - 1) /* of ABI 1 */

static uint64_t known_rights(int abi)
{
    return RIGHTS_ALL | (abi >= 2 ? RIGHT_REFER : 0) | (abi >= 3 ? RIGHT_TRUNCATE : 0) |
           (abi >= 5 ? RIGHT_IOCTL_DEV : 0);
}

static const struct confine_place system_places[] = {
    {"/etc/hosts", CONFINE_READ},
    {"/etc/host.conf", CONFINE_READ},
    {"/etc/resolv.conf", CONFINE_READ},
    {"/etc/nsswitch.conf", CONFINE_READ},
    {"/etc/gai.conf", CONFINE_READ},
    {"/etc/services", CONFINE_READ},
    {"/etc/protocols", CONFINE_READ},
    {"/etc/localtime", CONFINE_READ},
    {"/etc/ld.so.cache", CONFINE_READ},
    {"/etc/ssl", CONFINE_READ},
    {"/usr/share/zoneinfo", CONFINE_READ},
    {"/usr/lib", CONFINE_RUN},
    {"/lib", CONFINE_RUN},
    {"/lib64", CONFINE_RUN},
    {"/proc", CONFINE_READ},
    {"/sys/devices/system/cpu", CONFINE_READ},
    {"/dev/null", CONFINE_WRITE},
    {"/dev/urandom", CONFINE_READ},
};

static uint64_t rights_of(enum confine_use use)
{
    switch (use) {
    case CONFINE_READ:
        return RIGHTS_READ;
    case CONFINE_RUN:
        return RIGHTS_READ | LANDLOCK_ACCESS_FS_EXECUTE;
    default:
        return ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE;
    }
}

static void allow(int ruleset, uint64_t known, const struct confine_place *p)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights_of(p->use) & known};
    int fd = p->path != NULL ? open(p->path, O_PATH | O_CLOEXEC) : -1;
    struct stat st;

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= RIGHTS_FILE;
    rule.parent_fd = fd;
    (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(fd);
}

/* The ABI in force, or 0. */
static int set_landlock(const struct confine_place *places, size_t n)
{
    struct landlock_ruleset_attr attr;
    int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION), ruleset;
    bool ok;

    if (abi < 1)
        return 0;
    memset(&attr, 0, sizeof attr);
    attr.handled_access_fs = known_rights(abi);
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    if (ruleset < 0)
        return 0;
    for (size_t i = 0; i < sizeof system_places / sizeof *system_places; i++)
        allow(ruleset, attr.handled_access_fs, &system_places[i]);
    for (size_t i = 0; i < n; i++)
        allow(ruleset, attr.handled_access_fs, &places[i]);
    ok = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return ok ? abi : 0;
}

void confine_memory(void)
{
    static const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0); /* a core that is piped to a program heeds no limit */
}

void confine(const struct confine_place *places, size_t n, bool with_bpf, struct confine_result *out)
{
    *out = (struct confine_result){.no_new_privileges = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0};
    if (!out->no_new_privileges)
        return; /* the others ask for it */
    if (places != NULL)
        out->landlock = set_landlock(places, n);
    out->has_filter = set_filter(with_bpf);
}
