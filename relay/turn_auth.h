/* relay/turn_auth.h - who sent a TURN request: nonces, users of the config, tickets; without state per client.
 *
 * A nonce is base64url(made4 ‖ H(8, secret; address)), good for TURN_NONCE_S. A ticket's password is checked under
 * this week's key K and last week's (THREATS.md §4.12), so a relay keeps nothing about tickets.
 *
 *   owner  turn_auth_init() and turn_auth_fini(), which wipes */
#ifndef ITO_RELAY_TURN_AUTH_H
#define ITO_RELAY_TURN_AUTH_H

#include "nat/stun.h"
#include "relay/turn_server.h"

struct turn_auth_user {
    char *name;
    uint8_t key[STUN_SHA1_KEY_BYTES];
    uint32_t n_allocations;
};

struct turn_auth {
    char realm[TURN_REALM_MAX + 1];
    uint8_t secret[32];
    uint8_t week_key[2][32]; /* K of `week` and of the week before */
    uint32_t week;
    struct turn_auth_user *users;
    size_t n_users;
};

/* What turn_auth_check() found out. */
struct turn_who {
    uint8_t key[STUN_SHA1_KEY_BYTES];
    int32_t user; /* -1: a ticket */
    uint8_t alloc_id[TURN_ID_BYTES];
    uint32_t expiry_s;
};

void turn_auth_init(struct turn_auth *auth, const struct turn_server_config *config);
void turn_auth_fini(struct turn_auth *auth);
/* 0, or the error code to answer: 400, 401, 438. */
uint16_t turn_auth_check(struct turn_auth *auth, ns_t now, int64_t wall_s, const struct addr *from,
                         const struct stun_msg *msg, struct turn_who *who);
void turn_auth_nonce(struct turn_auth *auth, ns_t now, const struct addr *from,
                     char out[static TURN_TICKET_NONCE_BYTES]);
/* With a nonce for the address the client's session is at: the same socket, so no 401 is needed. */
void turn_auth_ticket(struct turn_auth *auth, ns_t now, int64_t wall_s, const struct addr *client,
                      const uint8_t alloc_id[static TURN_ID_BYTES], uint32_t expiry_s,
                      const uint8_t account[static 32], struct turn_ticket *out);
/* K of a day's week, for guest passes: this week's or last week's. */
const uint8_t *turn_auth_key(struct turn_auth *auth, int64_t wall_s, bool is_last_week);

#endif
