/* sip/sdp.h - session descriptions of one audio stream: parse, write, offer and answer (RFC 8866, RFC 3264).
 *
 * One struct holds what a telephone needs to know: one audio m-line, its payloads, ICE lines as text (the nat
 * room reads them), and the media key number of THREATS.md §4.10. Other m-lines of an offer are remembered
 * just well enough to be refused in the answer (port 0). Keys, fingerprints and unknown attributes are skipped.
 *
 *   in     bytes of an application/sdp body, or application/trickle-ice-sdpfrag (RFC 8840)
 *   out    a struct without pointers: copy it freely
 *   trust  hearsay: texts are printable, numbers in range, lists bounded; addresses are not judged here
 *   caps   SDP_MAX_BYTES; SDP_PAYLOADS, SDP_CANDIDATES and SDP_MEDIA entries, the rest of a list is left out */
#ifndef ITO_SIP_SDP_H
#define ITO_SIP_SDP_H

#include "base/addr.h"

#define SDP_MAX_BYTES       6144
#define SDP_PAYLOADS        16
#define SDP_CANDIDATES      16
#define SDP_CANDIDATE_BYTES 192
#define SDP_MEDIA           8 /* m-lines in all */
#define SDP_FMTP_BYTES      160
#define SDP_UFRAG_BYTES     257 /* 4..256 characters (RFC 8839 §5.4) */
#define SDP_PWD_BYTES       257 /* 22..256 */
#define SDP_OPUS_FMTP \
    "stereo=0;sprop-stereo=0;useinbandfec=1;cbr=1;usedtx=0;maxplaybackrate=48000" /* media.md §6 */

enum sdp_codec { SDP_OTHER, SDP_OPUS, SDP_PCMU, SDP_PCMA, SDP_DTMF, SDP_RED, SDP_CN };
enum sdp_profile { SDP_AVP, SDP_AVPF, SDP_SAVP, SDP_SAVPF, SDP_PROFILE_OTHER };
enum sdp_direction { SDP_SENDRECV, SDP_SENDONLY, SDP_RECVONLY, SDP_INACTIVE };

struct sdp_payload {
    uint8_t type; /* 0..127 */
    enum sdp_codec codec;
    char name[24];
    uint32_t rate_hz;
    uint8_t channels;
    char fmtp[SDP_FMTP_BYTES]; /* "" for none */
};

/* An m-line that is not our audio stream. */
struct sdp_media {
    char media[16], proto[32], fmt[64];
    char mid[16];
};

struct sdp_ice {
    char ufrag[SDP_UFRAG_BYTES], pwd[SDP_PWD_BYTES]; /* "" for none */
    bool is_trickle, is_ice2, is_lite;
    uint8_t n_candidates;
    bool is_end;                                          /* a=end-of-candidates */
    char candidates[SDP_CANDIDATES][SDP_CANDIDATE_BYTES]; /* "candidate:..." without "a=" */
};

struct sdp {
    uint64_t session_id, version; /* o= */
    struct addr media;            /* c= and m= port; family ADDR_NONE for a name we do not resolve */
    struct addr rtcp;             /* a=rtcp, or port + 1 */
    enum sdp_profile profile;
    bool is_refused; /* port 0 */
    bool has_rtcp_mux;
    enum sdp_direction direction;
    uint16_t ptime_ms, maxptime_ms; /* 0: not said */
    bool has_key;
    uint16_t key_n; /* a=x-ito-key */
    char mid[16];   /* "" for none */
    uint8_t n_payloads;
    struct sdp_payload payloads[SDP_PAYLOADS]; /* in order of preference */
    struct sdp_ice ice;
    uint8_t n_others, audio_index; /* other m-lines; where among them ours stands */
    struct sdp_media others[SDP_MEDIA - 1];
};

/* One INFO of trickled candidates. */
struct sdp_frag {
    char mid[16];
    struct sdp_ice ice;
};

/* What the fmtp of Opus says, with the defaults of RFC 7587 §6.1 where it is silent. */
struct sdp_opus {
    uint32_t maxplaybackrate_hz, maxaveragebitrate; /* 48000; 0: not said */
    bool useinbandfec, cbr, usedtx, stereo, sprop_stereo;
};

/* ERR_PARSE: not SDP, or a value out of range. ERR_UNSUPPORTED: SDP without an audio m-line. ERR_RANGE: too long. */
enum err sdp_parse(struct slice text, struct sdp *out);
/* Nothing is written (wr_ok() false) when it does not fit. */
void sdp_write(const struct sdp *s, struct wr *w);
enum err sdp_frag_parse(struct slice text, struct sdp_frag *out);
void sdp_frag_write(const struct sdp_frag *f, struct wr *w);

/* What a phone of ours offers: Opus, RED for it, telephone-event; then PCMU and PCMA for SDP_AVP. Media address,
 * ICE lines, key number, session id are the caller's to fill in. Media port 9 until set. */
void sdp_local(struct sdp *s, enum sdp_profile profile);
/* The answer to an offer, out of what we would offer ourselves (RFC 3264 §6): payloads both know, in the offer's
 * order and by the offer's numbers, our addresses and ICE lines, the direction both want. `local` is a filled
 * sdp_local(); its direction says what we want. ERR_UNSUPPORTED: nothing in common; the SIP code is 488. */
enum err sdp_answer(const struct sdp *offer, const struct sdp *local, struct sdp *out);
/* Does this answer belong to our offer? ERR_UNSUPPORTED: refused, or another profile, or codecs not offered. */
enum err sdp_check_answer(const struct sdp *offer, const struct sdp *answer);

/* The first payload of that codec, or NULL. */
const struct sdp_payload *sdp_find(const struct sdp *s, enum sdp_codec codec);
/* The first payload that carries speech (Opus, PCMU, PCMA), or NULL. */
const struct sdp_payload *sdp_speech(const struct sdp *s);
void sdp_opus_params(const struct sdp_payload *p, struct sdp_opus *out);
/* Does the other side hold us, by this description of theirs? */
bool sdp_is_hold(const struct sdp *theirs);
/* Add a "candidate:..." line (a leading "a=" is dropped). ERR_FULL, ERR_RANGE, ERR_PARSE. */
enum err sdp_add_candidate(struct sdp_ice *ice, const char *line);

#endif
