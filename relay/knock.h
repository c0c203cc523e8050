/* relay/knock.h - the proxy's part of a knock (THREATS.md §4.8), and the caller's frame codec.
 *
 * A caller's C8 frame with a valid token goes to the registered client as flow4 ‖ body; what the client gives
 * back for that flow goes to the caller as C9. The proxy never answers by itself, stores nothing, and says
 * nothing about tokens it does not know.
 *
 *   in     C8 frames at the main port; flow4 ‖ body of clients (session channel 4)
 *   out    ops->send to callers, ops->deliver to clients
 *   owner  knock_proxy_create(); ops and env must outlive it
 *   trust  a caller's address is proven when it sends a flow back; until then no more bytes are returned than
 *          came. Tokens are keyed hashes of account, generation and epoch
 *   caps   KNOCK_* below, max_registrations, 2 % of the relay's kbit/s */
#ifndef ITO_RELAY_KNOCK_H
#define ITO_RELAY_KNOCK_H

#include "crypto/zone.h"

#define KNOCK_C8        0xc8
#define KNOCK_C9        0xc9
#define KNOCK_C8_HEADER 16 /* C8 flags1 len2 token8 flow4 */
#define KNOCK_C9_HEADER 8  /* C9 flags1 len2 flow4 */
#define KNOCK_BODY_MAX  1232
#define KNOCK_FRAME_MAX (KNOCK_C8_HEADER + KNOCK_BODY_MAX)
/* Open flows. A flow is proven once its caller sent back the number that the client's answer brought: whoever answers
 * has checked the knock by then, so those who know each other do not use up what is for anybody. */
#define KNOCK_UNPROVEN_PER_NET   4   /* from one /24 or /48 to one token */
#define KNOCK_UNPROVEN_PER_TOKEN 32  /* from everywhere */
#define KNOCK_PROVEN_PER_NET     16  /* from one /24 or /48 to one token: the oldest makes room */
#define KNOCK_FLOWS_PER_NET      128 /* from one /24 or /48 */
#define KNOCK_FLOWS_MAX          1024
#define KNOCK_NEW_BURST          32 /* new flows of one token at once ... */
#define KNOCK_NEW_PER_S          3  /* ... and lasting */
#define KNOCK_FLOW_DATAGRAMS     64 /* each way */
#define KNOCK_FLOW_BYTES         65536
#define KNOCK_BURST_KIB          128 /* of the rate, taken at once */
#define KNOCK_FLOW_S             90
#define KNOCK_REGISTRATIONS_MAX  4096
#define KNOCK_EPOCH_S            86400

struct knock_proxy;

struct knock_config {
    const uint8_t *secret;      /* 32 bytes, lasting: the same client gets the same token after a restart */
    uint32_t max_registrations; /* 1..KNOCK_REGISTRATIONS_MAX; a full node that is no relay: 16 */
    uint32_t max_kbps;          /* all knocks together; 0: no limit */
};

struct knock_ops {
    void (*send)(void *arg, const struct addr *to, struct slice bytes);
    void (*deliver)(void *arg, uint64_t session_ref, struct slice flow_and_body);
    /* The epoch turned: tell the client its new tokens. */
    void (*renewed)(void *arg, uint64_t session_ref, uint32_t generation);
};

struct knock_stats {
    uint32_t registrations, flows;
    uint64_t delivered, returned;
    uint64_t unknown_token, unknown_flow, malformed, over_cap, over_rate;
};

struct knock_tokens {
    uint8_t token[KNOCK_TOKEN_BYTES], old[KNOCK_TOKEN_BYTES];
    uint32_t valid_s;
};

struct knock_proxy *knock_proxy_create(const struct knock_config *config, const struct knock_ops *ops,
                                       void *arg, const struct env *env);
void knock_proxy_destroy(struct knock_proxy *kp); /* accepts NULL */
/* Register the client of a session, or change its generation. The same account on a new session replaces the
 * old one. ERR_FULL. */
enum err knock_register(struct knock_proxy *kp, ns_t now, uint64_t session_ref,
                        const uint8_t account[static 32], uint32_t generation, struct knock_tokens *out);
void knock_unregister(struct knock_proxy *kp, uint64_t session_ref);
/* One datagram from a caller; only C8 is heard. */
void knock_input(struct knock_proxy *kp, ns_t now, const struct addr *from, struct slice bytes);
/* flow4 ‖ body from a client. */
void knock_reply(struct knock_proxy *kp, ns_t now, uint64_t session_ref, struct slice flow_and_body);
void knock_tick(struct knock_proxy *kp, ns_t now);
ns_t knock_deadline(const struct knock_proxy *kp);
void knock_set_kbps(struct knock_proxy *kp, uint32_t max_kbps);
const struct knock_stats *knock_stats(const struct knock_proxy *kp);

/* The caller's side: a C8 frame (flow 0: the first); empty when it does not fit. */
struct slice knock_build_c8(void *buf, size_t size, const uint8_t token[static KNOCK_TOKEN_BYTES],
                            uint32_t flow, struct slice body);
struct slice knock_build_c9(void *buf, size_t size, uint32_t flow, struct slice body);
enum err knock_parse_c8(struct slice bytes, uint8_t token[static KNOCK_TOKEN_BYTES], uint32_t *flow,
                        struct slice *body);
enum err knock_parse_c9(struct slice bytes, uint32_t *flow, struct slice *body);

#endif
