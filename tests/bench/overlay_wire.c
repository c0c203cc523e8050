/* The wire of overlay.py: a tun device where each packet waits a fixed time, and every packet is counted.
 *
 *   overlay_wire DEVICE DELAY_US COUNTS-FILE
 *
 * Nodes are bound to 10.B.I.1, addresses of the device, and know each other as 10.B+100.I.1, which is behind it.
 * A packet from 10.B.I.1 to 10.B+100.J.1 leaves here as one from 10.B+100.I.1 to 10.B.J.1: what one address word gains
 * the other loses, so the checksums stay right. Only UDP passes. COUNTS-FILE holds, for each B and I, four uint64:
 * packets and bytes sent, packets and bytes delivered, IP and UDP headers included. Prints `ready`; ends with stdin. */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX 1500
#define QUEUE_MAX  65536
#define OUTSIDE    100 /* added to B */

struct waiting {
    uint64_t at;
    uint16_t len;
    uint8_t bytes[PACKET_MAX];
};

struct counts {
    uint64_t sent, sent_bytes, got, got_bytes;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int open_device(const char *name)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    return fd >= 0 && ioctl(fd, TUNSETIFF, &r) == 0 ? fd : -1;
}

static struct counts (*open_counts(const char *path))[256]
{
    size_t size = sizeof(struct counts[256][256]);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    void *at;

    if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
        return NULL;
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* UDP over IPv4 from a node to a node of the same bed. */
static int is_ours(const uint8_t *p, ssize_t n)
{
    return n >= 28 && p[0] == 0x45 && p[9] == 17 && p[12] == 10 && p[16] == 10 && p[13] < OUTSIDE &&
           p[17] == p[13] + OUTSIDE;
}

int main(int argc, char **argv)
{
    static struct waiting queue[QUEUE_MAX];
    struct counts(*counts)[256] = argc == 4 ? open_counts(argv[3]) : NULL;
    uint64_t delay = argc == 4 ? strtoull(argv[2], NULL, 10) * 1000 : 0;
    size_t head = 0, n = 0;
    int fd = argc == 4 ? open_device(argv[1]) : -1;

    if (counts == NULL || fd < 0) {
        perror("overlay_wire");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
        uint64_t now = now_ns(), at = n > 0 ? queue[head].at : now + 1000000000;
        uint64_t left = at > now ? at - now : 0;
        struct timespec t = {.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};

        ppoll(fds, 2, &t, NULL);
        if (fds[1].revents != 0)
            return 0;
        for (now = now_ns(); n > 0 && queue[head].at <= now; n--, head = (head + 1) % QUEUE_MAX) {
            struct waiting *w = &queue[head];
            struct counts *c = &counts[w->bytes[17]][w->bytes[18]];

            if (write(fd, w->bytes, w->len) == w->len) {
                c->got++;
                c->got_bytes += w->len;
            }
        }
        while (n < QUEUE_MAX) {
            struct waiting *w = &queue[(head + n) % QUEUE_MAX];
            ssize_t len = read(fd, w->bytes, sizeof w->bytes);
            struct counts *c = &counts[w->bytes[13]][w->bytes[14]];

            if (len <= 0)
                break;
            if (!is_ours(w->bytes, len))
                continue;
            c->sent++;
            c->sent_bytes += (uint64_t)len;
            w->bytes[13] = (uint8_t)(w->bytes[13] + OUTSIDE);
            w->bytes[17] = (uint8_t)(w->bytes[17] - OUTSIDE);
            w->len = (uint16_t)len;
            w->at = now_ns() + delay;
            n++;
        }
    }
}
