/* Any bytes: what parses is written, parsed again and written the same; a failed parse leaves zeroes. */
#include <stdlib.h>

#include "sip/sdp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t write_sdp(const struct sdp *s, uint8_t *buf, size_t size)
{
    struct wr w;

    wr_init(&w, buf, size);
    sdp_write(s, &w);
    return wr_ok(&w) ? wr_len(&w) : 0;
}

static void description(struct slice bytes)
{
    static uint8_t one[32768], two[32768];
    static const struct sdp zero;
    struct sdp s, again, local, answer;
    size_t n;

    switch (sdp_parse(bytes, &s)) {
    case ERR_OK:
        break;
    case ERR_PARSE:
    case ERR_RANGE:
        if (memcmp(&s, &zero, sizeof s) != 0)
            abort();
        return;
    default:
        return;
    }
    n = write_sdp(&s, one, sizeof one);
    if (n == 0)
        abort();
    /* What lists were cut to may still be longer than we read. */
    if (n <= SDP_MAX_BYTES) {
        if (sdp_parse(slice_of(one, n), &again) != ERR_OK || write_sdp(&again, two, sizeof two) != n ||
            memcmp(one, two, n) != 0)
            abort();
    }
    sdp_local(&local, s.profile == SDP_SAVP || s.profile == SDP_SAVPF ? SDP_SAVPF : SDP_AVP);
    if (sdp_answer(&s, &local, &answer) == ERR_OK && sdp_check_answer(&s, &answer) != ERR_OK)
        abort();
    (void)sdp_is_hold(&s);
    for (size_t i = 0; i < s.n_payloads; i++) {
        struct sdp_opus o;

        sdp_opus_params(&s.payloads[i], &o);
    }
}

static void fragment(struct slice bytes)
{
    static uint8_t one[32768];
    struct sdp_frag f, again;
    struct wr w;

    if (sdp_frag_parse(bytes, &f) != ERR_OK)
        return;
    wr_init(&w, one, sizeof one);
    sdp_frag_write(&f, &w);
    if (!wr_ok(&w))
        abort();
    if (wr_len(&w) > SDP_MAX_BYTES)
        return;
    if (sdp_frag_parse(wr_done(&w), &again) != ERR_OK || again.ice.n_candidates != f.ice.n_candidates ||
        strcmp(again.ice.pwd, f.ice.pwd) != 0 || strcmp(again.mid, f.mid) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    description(slice_of(data, size));
    fragment(slice_of(data, size));
    return 0;
}
