/* nat/ice_message.h - credentials of an ICE agent, and the two STUN messages it makes (RFC 8445 §7, RFC 8839 §5.4).
 *
 *   owner  the caller of everything; buffers hold ICE_MESSAGE_BYTES
 *   trust  credentials of the peer pass ice_credentials_set() before anything is made of them */
#ifndef ITO_NAT_ICE_MESSAGE_H
#define ITO_NAT_ICE_MESSAGE_H

#include "base/env.h"
#include "nat/ice.h"
#include "nat/stun.h"

#define ICE_MESSAGE_BYTES 1024

struct ice_credentials {
    char ufrag[ICE_CRED_MAX + 1], pwd[ICE_CRED_MAX + 1]; /* ufrag empty: not known */
};

struct ice_check {
    const struct ice_credentials *own, *remote;
    const uint8_t *id; /* STUN_ID_BYTES */
    uint32_t priority;
    bool is_controlling;
    uint64_t tie_breaker;
    uint32_t nomination; /* 0: no USE-CANDIDATE */
    bool is_leaving;     /* we are about to lose this way */
};

void ice_credentials_draw(struct ice_credentials *c, const struct env *env);
/* ERR_RANGE: too short (4 and 22 characters), too long, or of other characters than ice-char. */
enum err ice_credentials_set(struct ice_credentials *c, const char *ufrag, const char *pwd);
/* username is "ufrag of c" ":" anything. */
bool ice_credentials_name(const struct ice_credentials *c, struct slice username);
/* username is "own ufrag" ":" "remote ufrag", or the remote one is not known yet. */
bool ice_credentials_name_both(const struct ice_credentials *own, const struct ice_credentials *remote,
                               struct slice username);

struct slice ice_write_check(const struct ice_check *check, uint8_t buf[static ICE_MESSAGE_BYTES]);
/* Success (code 0) with the mapped address, or an error; signed by our password. */
struct slice ice_write_answer(const struct stun_msg *request, const struct addr *mapped, uint16_t code,
                              const char *pwd, uint8_t buf[static ICE_MESSAGE_BYTES]);

#endif
