/* The least a relay can do, to measure others by: one socket, recvmmsg, rewrite a channel number, sendmmsg.
 *
 *   relay_floor PORT [BASE]      ChannelData from BASE + i goes to BASE + (i ^ 1), same port (see relay_load) */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH   64
#define IP_BASE "127.16.0.1"

int main(int argc, char **argv)
{
    static uint8_t data[BATCH][2048];
    static struct mmsghdr msgs[BATCH];
    static struct iovec iov[BATCH];
    static struct sockaddr_in from[BATCH];
    struct sockaddr_in self = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), big = 16 << 20;
    uint32_t base;

    if (argc < 2 || argc > 3)
        return 2;
    base = ntohl(inet_addr(argc > 2 ? argv[2] : IP_BASE));
    self.sin_port = htons((uint16_t)atoi(argv[1]));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
    if (bind(fd, (struct sockaddr *)&self, sizeof self) != 0) {
        perror("relay_floor");
        return 1;
    }
    for (;;) {
        static const struct timespec nap = {0, 1000000};
        int n;

        for (int i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){data[i], sizeof data[i]};
            msgs[i].msg_hdr = (struct msghdr){
                .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &iov[i], .msg_iovlen = 1};
        }
        n = recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < n; i++) {
            uint32_t to = (ntohl(from[i].sin_addr.s_addr) - base) ^ 1;
            uint16_t channel = (uint16_t)(0x4000 + to % 0x1000);

            from[i].sin_addr.s_addr = htonl(base + to);
            data[i][0] = (uint8_t)(channel >> 8);
            data[i][1] = (uint8_t)channel;
            iov[i].iov_len = msgs[i].msg_len;
        }
        for (int at = 0; at < n;) {
            int sent = sendmmsg(fd, msgs + at, (unsigned)(n - at), 0);

            at += sent > 0 ? sent : 1;
        }
        if (n < BATCH)
            nanosleep(&nap, NULL);
    }
}
