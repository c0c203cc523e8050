/* relay/audit.h - whom to try out, so that newcomers who really relay get a first line (LEDGER.md §6), pure.
 *
 * A relay that is up places a real allocation of AUDIT_S at near relays it has no account with, and owes them the
 * minute: boost makes a line of five out of it. So a newcomer's allowance costs it a reachable address and a minute
 * carried, and is counted by network, not by identity.
 *
 *   caps   AUDIT_AT_START when coming up, then one in AUDIT_EVERY_S; one a day for a /24 or /48, AUDIT_NETS of them
 *          remembered; the audited side lets one audit run at a time (ledger_admit) */
#ifndef ITO_RELAY_AUDIT_H
#define ITO_RELAY_AUDIT_H

#include "base/env.h"

#define AUDIT_S        60
#define AUDIT_AT_START 4
#define AUDIT_EVERY_S  1800 /* while up: a newcomer must not wait until somebody restarts */
#define AUDIT_NETS     64

struct audit_plan {
    ns_t next_at;
    uint8_t left; /* of those at the start */
    struct {
        uint64_t net;
        int32_t day;
    } nets[AUDIT_NETS];
};

/* We came up. */
void audit_start(struct audit_plan *p, ns_t now);
/* Is one due? Then the next is planned; the caller picks a near relay without an account whose net audit_may(). */
bool audit_due(struct audit_plan *p, ns_t now);
bool audit_may(const struct audit_plan *p, uint64_t net, int32_t today);
void audit_note(struct audit_plan *p, uint64_t net, int32_t today);

#endif
