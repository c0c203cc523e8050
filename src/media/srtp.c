#include "media/srtp.h"

#include <pthread.h>
#include <srtp2/srtp.h>

#include "base/mem.h"
#include "crypto/secret.h"

#define RTP_MIN  12
#define RTCP_MIN 8

struct srtp_pair {
    srtp_t tx, rx;
    srtp_t old_rx; /* until old_until */
    ns_t old_until;
    bool has_ssrc;
    uint32_t rx_ssrc;
};

/* libsrtp2 keeps a table of ciphers in globals of its own; it is filled once. */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_library(void)
{
    srtp_init();
}

void srtp_warm_up(void)
{
    pthread_once(&once, init_library);
}

/* A context for any SSRC of that direction; NULL if libsrtp refuses. */
static srtp_t context(const uint8_t *key, srtp_ssrc_type_t direction)
{
    uint8_t copy[SRTP_KEY_BYTES]; /* libsrtp wants it writable */
    srtp_policy_t policy;
    srtp_t ctx = NULL;

    srtp_warm_up();
    memcpy(copy, key, sizeof copy);
    memset(&policy, 0, sizeof policy);
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
    policy.ssrc.type = direction;
    policy.key = copy;
    policy.window_size = 128;
    if (srtp_create(&ctx, &policy) != srtp_err_status_ok)
        ctx = NULL;
    secret_wipe(copy, sizeof copy);
    return ctx;
}

static void drop(srtp_t *ctx)
{
    if (*ctx)
        srtp_dealloc(*ctx); /* wipes its keys */
    *ctx = NULL;
}

struct srtp_pair *srtp_pair_create(const uint8_t tx_key[static SRTP_KEY_BYTES],
                                   const uint8_t rx_key[static SRTP_KEY_BYTES])
{
    struct srtp_pair *p = mem_alloc(sizeof *p);

    p->tx = context(tx_key, ssrc_any_outbound);
    p->rx = context(rx_key, ssrc_any_inbound);
    return p;
}

void srtp_pair_destroy(struct srtp_pair *p)
{
    if (!p)
        return;
    drop(&p->tx);
    drop(&p->rx);
    drop(&p->old_rx);
    mem_free(p);
}

void srtp_pair_rekey(struct srtp_pair *p, const uint8_t *tx_key, const uint8_t *rx_key, ns_t now)
{
    if (tx_key) {
        drop(&p->tx);
        p->tx = context(tx_key, ssrc_any_outbound);
    }
    if (rx_key) {
        drop(&p->old_rx);
        p->old_rx = p->rx;
        p->old_until = now + SRTP_OVERLAP_NS;
        p->rx = context(rx_key, ssrc_any_inbound);
        p->has_ssrc = false;
    }
}

static bool is_rtcp(const uint8_t *buf)
{
    return buf[1] >= 192 && buf[1] <= 223; /* RFC 5761 §4 */
}

static enum err from_status(srtp_err_status_t s)
{
    switch (s) {
    case srtp_err_status_ok:
        return ERR_OK;
    case srtp_err_status_replay_fail:
    case srtp_err_status_replay_old:
        return ERR_REPLAY;
    case srtp_err_status_bad_param:
    case srtp_err_status_parse_err:
        return ERR_PARSE;
    default:
        return ERR_AUTH;
    }
}

enum err srtp_pair_protect(struct srtp_pair *p, uint8_t *buf, size_t *len, size_t cap)
{
    int n = (int)*len;
    srtp_err_status_t s;

    if (*len < RTCP_MIN || !p->tx)
        return ERR_PARSE;
    if (*len + (is_rtcp(buf) ? SRTCP_GROWTH_BYTES : SRTP_GROWTH_BYTES) > cap || *len > 65535)
        return ERR_RANGE;
    s = is_rtcp(buf) ? srtp_protect_rtcp(p->tx, buf, &n) : srtp_protect(p->tx, buf, &n);
    if (s != srtp_err_status_ok)
        return from_status(s);
    *len = (size_t)n;
    return ERR_OK;
}

static srtp_err_status_t open_with(srtp_t ctx, uint8_t *buf, size_t *len)
{
    int n = (int)*len;
    srtp_err_status_t s = is_rtcp(buf) ? srtp_unprotect_rtcp(ctx, buf, &n) : srtp_unprotect(ctx, buf, &n);

    if (s == srtp_err_status_ok)
        *len = (size_t)n;
    return s;
}

static uint32_t ssrc_of(const uint8_t *buf)
{
    const uint8_t *at = buf + (is_rtcp(buf) ? 4 : 8);

    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

enum err srtp_pair_unprotect(struct srtp_pair *p, uint8_t *buf, size_t *len, ns_t now)
{
    srtp_err_status_t s;
    uint8_t copy[2048]; /* decryption in place spoils the bytes for the second try */
    size_t copy_len = *len;
    uint32_t ssrc;

    if (*len < RTCP_MIN + SRTCP_GROWTH_BYTES || *len > sizeof copy || !p->rx)
        return ERR_PARSE;
    if (!is_rtcp(buf) && *len < RTP_MIN + SRTP_GROWTH_BYTES)
        return ERR_PARSE;
    ssrc = ssrc_of(buf);
    if (p->old_rx && now >= p->old_until)
        drop(&p->old_rx);
    if (p->has_ssrc && ssrc != p->rx_ssrc && !p->old_rx)
        return ERR_REFUSED;
    if (p->old_rx)
        memcpy(copy, buf, *len);
    s = p->has_ssrc && ssrc != p->rx_ssrc ? srtp_err_status_auth_fail : open_with(p->rx, buf, len);
    if (s == srtp_err_status_ok) {
        p->has_ssrc = true;
        p->rx_ssrc = ssrc;
    } else if (s == srtp_err_status_auth_fail && p->old_rx) {
        memcpy(buf, copy, copy_len);
        *len = copy_len;
        s = open_with(p->old_rx, buf, len);
    }
    return from_status(s);
}
