#include "relay/audit.h"

void audit_start(struct audit_plan *p, ns_t now)
{
    p->left = AUDIT_AT_START;
    p->next_at = now;
}

bool audit_due(struct audit_plan *p, ns_t now)
{
    if (now < p->next_at)
        return false;
    if (p->left > 0)
        p->left--;
    p->next_at = p->left > 0 ? now + NS_PER_S : now + AUDIT_EVERY_S * NS_PER_S;
    return true;
}

static size_t place(uint64_t net)
{
    return (size_t)((net * 0x9e3779b97f4a7c15u) >> 58) % AUDIT_NETS;
}

bool audit_may(const struct audit_plan *p, uint64_t net, int32_t today)
{
    /* Two nets of one place share its day: it only makes us audit less. */
    return p->nets[place(net)].day < today;
}

void audit_note(struct audit_plan *p, uint64_t net, int32_t today)
{
    p->nets[place(net)].net = net;
    p->nets[place(net)].day = today;
}
