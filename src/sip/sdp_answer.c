/* Offer and answer (RFC 3264) on struct sdp; sdp.c has its text. */
#include <stdio.h>

#include "sip/sdp.h"

static void add_local(struct sdp *s, uint8_t type, enum sdp_codec codec, const char *name, uint32_t rate_hz,
                      uint8_t channels, const char *fmtp)
{
    struct sdp_payload *p = &s->payloads[s->n_payloads++];

    p->type = type;
    p->codec = codec;
    p->rate_hz = rate_hz;
    p->channels = channels;
    snprintf(p->name, sizeof p->name, "%s", name);
    snprintf(p->fmtp, sizeof p->fmtp, "%s", fmtp);
}

void sdp_local(struct sdp *s, enum sdp_profile profile)
{
    memset(s, 0, sizeof *s);
    s->profile = profile;
    s->media.port = 9;
    s->rtcp.port = 9;
    s->has_rtcp_mux = true;
    s->ptime_ms = 20;
    s->version = 1;
    add_local(s, 111, SDP_OPUS, "opus", 48000, 2, SDP_OPUS_FMTP);
    add_local(s, 63, SDP_RED, "red", 48000, 2, "111/111");
    if (profile == SDP_AVP || profile == SDP_AVPF) {
        add_local(s, 0, SDP_PCMU, "PCMU", 8000, 1, "");
        add_local(s, 8, SDP_PCMA, "PCMA", 8000, 1, "");
        add_local(s, 100, SDP_DTMF, "telephone-event", 8000, 1, "0-15");
    }
    add_local(s, 101, SDP_DTMF, "telephone-event", 48000, 1, "0-15");
}

static bool is_secure(enum sdp_profile p)
{
    return p == SDP_SAVP || p == SDP_SAVPF;
}

static const struct sdp_payload *find_same(const struct sdp *s, const struct sdp_payload *p)
{
    for (size_t i = 0; i < s->n_payloads; i++) {
        const struct sdp_payload *q = &s->payloads[i];

        if (p->codec != SDP_OTHER && q->codec == p->codec && q->rate_hz == p->rate_hz &&
            q->channels == p->channels)
            return q;
    }
    return NULL;
}

/* bit 0: sends, bit 1: receives */
static const uint8_t direction_bits[] = {3, 1, 2, 0};

static enum sdp_direction common_direction(enum sdp_direction theirs, enum sdp_direction ours)
{
    static const enum sdp_direction by_bits[] = {SDP_INACTIVE, SDP_SENDONLY, SDP_RECVONLY, SDP_SENDRECV};
    uint8_t t = direction_bits[theirs];
    uint8_t mirrored = (uint8_t)((t & 1) << 1 | t >> 1);

    return by_bits[mirrored & direction_bits[ours]];
}

static void answer_payloads(const struct sdp *offer, const struct sdp *local, struct sdp *out)
{
    const struct sdp_payload *opus = sdp_find(offer, SDP_OPUS);

    out->n_payloads = 0;
    memset(out->payloads, 0, sizeof out->payloads);
    for (size_t i = 0; i < offer->n_payloads; i++) {
        const struct sdp_payload *theirs = &offer->payloads[i], *ours = find_same(local, theirs);
        struct sdp_payload *p = &out->payloads[out->n_payloads];

        if (ours == NULL || (theirs->codec == SDP_RED && opus == NULL))
            continue;
        *p = *ours;
        p->type = theirs->type;
        if (theirs->codec == SDP_RED)
            snprintf(p->fmtp, sizeof p->fmtp, "%u/%u", opus->type, opus->type);
        out->n_payloads++;
    }
}

enum err sdp_answer(const struct sdp *offer, const struct sdp *local, struct sdp *out)
{
    struct sdp answer = *local;

    if (offer->is_refused || offer->profile == SDP_PROFILE_OTHER ||
        is_secure(offer->profile) != is_secure(local->profile))
        return ERR_UNSUPPORTED;
    answer_payloads(offer, local, &answer);
    if (sdp_speech(&answer) == NULL)
        return ERR_UNSUPPORTED;
    answer.profile = offer->profile;
    answer.direction = common_direction(offer->direction, local->direction);
    answer.has_rtcp_mux = offer->has_rtcp_mux && local->has_rtcp_mux;
    memcpy(answer.mid, offer->mid, sizeof answer.mid);
    answer.n_others = offer->n_others;
    answer.audio_index = offer->audio_index;
    memcpy(answer.others, offer->others, sizeof answer.others);
    if (offer->ice.ufrag[0] == '\0')
        memset(&answer.ice, 0, sizeof answer.ice);
    else
        answer.ice.is_trickle = local->ice.is_trickle && offer->ice.is_trickle;
    *out = answer;
    return ERR_OK;
}

enum err sdp_check_answer(const struct sdp *offer, const struct sdp *answer)
{
    if (answer->is_refused || answer->profile != offer->profile || answer->n_others != offer->n_others ||
        answer->audio_index != offer->audio_index)
        return ERR_UNSUPPORTED;
    for (size_t i = 0; i < answer->n_payloads; i++) {
        const struct sdp_payload *a = &answer->payloads[i];

        for (size_t j = 0; j < offer->n_payloads; j++)
            if (a->type == offer->payloads[j].type && a->codec == offer->payloads[j].codec &&
                (a->codec == SDP_OPUS || a->codec == SDP_PCMU || a->codec == SDP_PCMA))
                return ERR_OK;
    }
    return ERR_UNSUPPORTED;
}

const struct sdp_payload *sdp_find(const struct sdp *s, enum sdp_codec codec)
{
    for (size_t i = 0; i < s->n_payloads; i++)
        if (s->payloads[i].codec == codec)
            return &s->payloads[i];
    return NULL;
}

const struct sdp_payload *sdp_speech(const struct sdp *s)
{
    for (size_t i = 0; i < s->n_payloads; i++) {
        enum sdp_codec c = s->payloads[i].codec;

        if (c == SDP_OPUS || c == SDP_PCMU || c == SDP_PCMA)
            return &s->payloads[i];
    }
    return NULL;
}

bool sdp_is_hold(const struct sdp *theirs)
{
    static const uint8_t nowhere[16];

    if (theirs->direction == SDP_SENDONLY || theirs->direction == SDP_INACTIVE)
        return true;
    /* The old way (RFC 2543): c=0.0.0.0. Trickled ICE says the same and means "not yet" (RFC 8840 §4.1). */
    return theirs->media.family != ADDR_NONE && theirs->media.port != 9 && !theirs->ice.is_trickle &&
           memcmp(theirs->media.ip, nowhere, sizeof nowhere) == 0;
}
