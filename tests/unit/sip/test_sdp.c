/* Session descriptions: what phones write, what we write, offer and answer (RFC 3264). */
#include "sip/sdp.h"

#include <stdio.h>

#include "unit/test.h"

static enum err parse(const char *text, struct sdp *s)
{
    return sdp_parse(slice_str(text), s);
}

static const char *print(const struct sdp *s, char *buf, size_t size)
{
    struct wr w;

    wr_init(&w, buf, size - 1);
    sdp_write(s, &w);
    assert_true(wr_ok(&w));
    buf[wr_len(&w)] = '\0';
    return buf;
}

/* RFC 3264 §10.1. */
static const char alice[] = "v=0\r\n"
                            "o=alice 2890844526 2890844526 IN IP4 host.anywhere.com\r\n"
                            "s= \r\n"
                            "c=IN IP4 host.anywhere.com\r\n"
                            "t=0 0\r\n"
                            "m=audio 49170 RTP/AVP 0\r\n"
                            "a=rtpmap:0 PCMU/8000\r\n"
                            "m=video 51372 RTP/AVP 31\r\n"
                            "a=rtpmap:31 H261/90000\r\n"
                            "m=video 53000 RTP/AVP 32\r\n"
                            "a=rtpmap:32 MPV/90000\r\n";

static void published_offer(void **state)
{
    struct sdp offer, local, answer;
    char text[2048];

    (void)state;
    assert_int_equal(parse(alice, &offer), ERR_OK);
    assert_int_equal(offer.session_id, 2890844526u);
    assert_int_equal(offer.media.port, 49170);
    assert_int_equal(offer.media.family, ADDR_NONE); /* a name: nothing here resolves it */
    assert_int_equal(offer.profile, SDP_AVP);
    assert_int_equal(offer.n_others, 2);
    assert_int_equal(sdp_speech(&offer)->codec, SDP_PCMU);
    sdp_local(&local, SDP_AVP);
    local.session_id = 2890844730;
    local.media = addr_v4((uint8_t[]){192, 0, 2, 7}, 49920);
    local.rtcp = local.media;
    assert_int_equal(sdp_answer(&offer, &local, &answer), ERR_OK);
    assert_string_equal(print(&answer, text, sizeof text), "v=0\r\n"
                                                           "o=- 2890844730 1 IN IP4 192.0.2.7\r\n"
                                                           "s=-\r\n"
                                                           "c=IN IP4 192.0.2.7\r\n"
                                                           "t=0 0\r\n"
                                                           "m=audio 49920 RTP/AVP 0\r\n"
                                                           "c=IN IP4 192.0.2.7\r\n"
                                                           "a=rtpmap:0 PCMU/8000\r\n"
                                                           "a=ptime:20\r\n"
                                                           "a=sendrecv\r\n"
                                                           "a=rtcp:49920 IN IP4 192.0.2.7\r\n"
                                                           "m=video 0 RTP/AVP 31\r\n"
                                                           "m=video 0 RTP/AVP 32\r\n");
    assert_int_equal(sdp_check_answer(&offer, &answer), ERR_OK);
}

/* As a browser of 2022 writes it: bundle, fingerprint, header extensions. */
static const char browser[] =
    "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "a=extmap-allow-mixed\r\na=msid-semantic: WMS s\r\nm=audio 54609 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 "
    "126\r\n"
    "c=IN IP4 203.0.113.141\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
    "a=candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0\r\n"
    "a=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlM0\r\na=ice-options:trickle\r\n"
    "a=fingerprint:sha-256 75:74:5A:A6\r\na=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\n"
    "a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"
    "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:126 "
    "telephone-event/8000\r\n";

static void a_browser(void **state)
{
    struct sdp s;
    struct sdp_opus opus;

    (void)state;
    assert_int_equal(parse(browser, &s), ERR_OK);
    assert_int_equal(s.profile, SDP_PROFILE_OTHER); /* DTLS: not for us */
    assert_int_equal(s.n_payloads, 8);
    assert_int_equal(sdp_find(&s, SDP_OPUS)->type, 111);
    assert_int_equal(sdp_find(&s, SDP_RED)->type, 63);
    assert_int_equal(sdp_find(&s, SDP_DTMF)->type, 126);
    assert_int_equal(s.payloads[2].codec, SDP_OTHER);
    sdp_opus_params(sdp_find(&s, SDP_OPUS), &opus);
    assert_true(opus.useinbandfec);
    assert_false(opus.cbr);
    assert_int_equal(opus.maxplaybackrate_hz, 48000);
    assert_string_equal(s.ice.ufrag, "4ZcD");
    assert_true(s.ice.is_trickle);
    assert_int_equal(s.ice.n_candidates, 1);
    assert_string_equal(s.mid, "0");
    assert_true(s.has_rtcp_mux);
    assert_int_equal(s.rtcp.port, 9);
}

static struct sdp ours(void)
{
    struct sdp s;

    sdp_local(&s, SDP_SAVPF);
    s.session_id = 7;
    s.has_key = true;
    s.key_n = 3;
    s.ice.is_trickle = s.ice.is_ice2 = true;
    strcpy(s.ice.ufrag, "abcd");
    strcpy(s.ice.pwd, "0123456789012345678901");
    strcpy(s.mid, "0");
    assert_int_equal(
        sdp_add_candidate(&s.ice, "a=candidate:1 1 UDP 1 192.0.2.1 9 typ relay raddr 0.0.0.0 rport 0"),
        ERR_OK);
    s.ice.is_end = true;
    return s;
}

static void our_own(void **state)
{
    struct sdp s = ours(), back;
    char text[4096], again[4096];

    (void)state;
    print(&s, text, sizeof text);
    assert_string_equal(
        text, "v=0\r\no=- 7 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
              "a=ice-options:trickle ice2\r\nm=audio 9 RTP/SAVPF 111 63 101\r\na=mid:0\r\n"
              "c=IN IP4 0.0.0.0\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 " SDP_OPUS_FMTP "\r\n"
              "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:101 telephone-event/48000\r\n"
              "a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\na=rtcp-mux\r\na=x-ito-key:3\r\n"
              "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
              "a=candidate:1 1 UDP 1 192.0.2.1 9 typ relay raddr 0.0.0.0 rport 0\r\n"
              "a=end-of-candidates\r\n");
    assert_int_equal(parse(text, &back), ERR_OK);
    assert_string_equal(print(&back, again, sizeof again), text);
    assert_int_equal(back.key_n, 3);
    assert_true(back.has_key && back.ice.is_end && back.ice.is_ice2);
    assert_false(sdp_is_hold(&back)); /* c=0.0.0.0 means "not yet" with trickle */
}

static void both_phones_are_ours(void **state)
{
    struct sdp offer = ours(), local = ours(), answer;
    struct sdp_opus opus;

    (void)state;
    offer.payloads[0].type = 96; /* their numbers rule */
    offer.payloads[1].type = 97;
    assert_int_equal(sdp_answer(&offer, &local, &answer), ERR_OK);
    assert_int_equal(answer.n_payloads, 3);
    assert_int_equal(sdp_find(&answer, SDP_OPUS)->type, 96);
    assert_string_equal(sdp_find(&answer, SDP_RED)->fmtp, "96/96");
    sdp_opus_params(sdp_speech(&answer), &opus);
    assert_true(opus.cbr && opus.useinbandfec && !opus.usedtx && !opus.stereo);
    assert_int_equal(sdp_check_answer(&offer, &answer), ERR_OK);
}

static void directions(void **state)
{
    /* offer, what we want, answer (RFC 3264 §6.1) */
    static const enum sdp_direction t[][3] = {
        {SDP_SENDRECV, SDP_SENDRECV, SDP_SENDRECV}, {SDP_SENDONLY, SDP_SENDRECV, SDP_RECVONLY},
        {SDP_RECVONLY, SDP_SENDRECV, SDP_SENDONLY}, {SDP_INACTIVE, SDP_SENDRECV, SDP_INACTIVE},
        {SDP_SENDRECV, SDP_SENDONLY, SDP_SENDONLY}, {SDP_SENDONLY, SDP_SENDONLY, SDP_INACTIVE},
        {SDP_RECVONLY, SDP_RECVONLY, SDP_INACTIVE}, {SDP_SENDRECV, SDP_INACTIVE, SDP_INACTIVE}};

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct sdp offer = ours(), local = ours(), answer;

        offer.direction = t[i][0];
        local.direction = t[i][1];
        assert_int_equal(sdp_answer(&offer, &local, &answer), ERR_OK);
        assert_int_equal(answer.direction, t[i][2]);
        assert_int_equal(sdp_is_hold(&offer), t[i][0] == SDP_SENDONLY || t[i][0] == SDP_INACTIVE);
    }
}

static void hold_of_old_phones(void **state)
{
    struct sdp s;

    (void)state;
    assert_int_equal(
        parse("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nc=IN IP4 0.0.0.0\nt=0 0\nm=audio 4000 RTP/AVP 0\n", &s),
        ERR_OK);
    assert_true(sdp_is_hold(&s));
}

static void nothing_in_common(void **state)
{
    struct sdp offer, local, answer = {.session_id = 77};

    (void)state;
    sdp_local(&local, SDP_AVP);
    assert_int_equal(parse("v=0\no=- 1 1 IN IP4 1.2.3.4\ns=-\nt=0 0\nm=audio 4000 RTP/AVP 18\n", &offer),
                     ERR_OK);
    assert_int_equal(sdp_answer(&offer, &local, &answer), ERR_UNSUPPORTED);
    assert_int_equal(answer.session_id, 77); /* untouched */
    offer = ours();
    assert_int_equal(sdp_answer(&offer, &local, &answer), ERR_UNSUPPORTED); /* SRTP against RTP */
    assert_int_equal(parse(browser, &offer), ERR_OK);
    assert_int_equal(sdp_answer(&offer, &local, &answer), ERR_UNSUPPORTED);
    assert_int_equal(parse("v=0\no=- 1 1 IN IP4 1.2.3.4\ns=-\nt=0 0\nm=video 4000 RTP/AVP 31\n", &offer),
                     ERR_UNSUPPORTED);
}

static void answers_that_do_not_fit(void **state)
{
    struct sdp offer = ours(), local = ours(), good, bad;

    (void)state;
    assert_int_equal(sdp_answer(&offer, &local, &good), ERR_OK);
    bad = good;
    bad.is_refused = true;
    assert_int_equal(sdp_check_answer(&offer, &bad), ERR_UNSUPPORTED);
    bad = good;
    bad.profile = SDP_AVP;
    assert_int_equal(sdp_check_answer(&offer, &bad), ERR_UNSUPPORTED);
    bad = good;
    bad.payloads[0].type = 99;
    assert_int_equal(sdp_check_answer(&offer, &bad), ERR_UNSUPPORTED);
    bad = good;
    bad.n_others = 1;
    assert_int_equal(sdp_check_answer(&offer, &bad), ERR_UNSUPPORTED);
}

static void broken_ones(void **state)
{
    static const char *const bad[] = {
        "",
        "v=0\n",
        "v=1\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\n",
        "o=- 1 1 IN IP4 1.2.3.4\nv=0\nm=audio 9 RTP/AVP 0\n",
        "v=0\no=- x 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\n",
        "v=0\no=- 99999999999999999999 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 65536 RTP/AVP 0\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 128\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio -1 RTP/AVP 0\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\na=ice-ufrag:abc\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\na=ice-ufrag:ab d\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\na=ice-pwd:tooshort\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\na=x-ito-key:65536\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\na=x\x01\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\nrubbish\n",
        "v=0\nv=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\n",
    };
    struct sdp s;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse(bad[i], &s) != ERR_PARSE)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(sdp_parse(slice_of(browser, SDP_MAX_BYTES + 1), &s), ERR_RANGE);
}

static void caps(void **state)
{
    char text[6000] = "v=0\no=- 1 1 IN IP4 1.2.3.4\ns=-\nt=0 0\nm=audio 9 RTP/AVP";
    struct sdp s;
    size_t n = strlen(text);

    (void)state;
    for (int i = 96; i < 128; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " %d", i);
    n += (size_t)snprintf(text + n, sizeof text - n,
                          "\na=rtpmap:127 opus/48000/2\na=candidate:%0250d 1 udp\n", 1);
    for (int i = 0; i < 20; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "a=candidate:%d 1 udp 1 192.0.2.1 9 typ host\n", i);
    assert_int_equal(parse(text, &s), ERR_OK);
    assert_int_equal(s.n_payloads, SDP_PAYLOADS);
    assert_int_equal(s.ice.n_candidates, SDP_CANDIDATES);
    assert_memory_equal(s.ice.candidates[0], "candidate:0 ", 12); /* the overlong one is left out */
    assert_int_equal(sdp_add_candidate(&s.ice, "candidate:1 1 udp"), ERR_FULL);
    n = 0;
    n += (size_t)snprintf(text, sizeof text, "v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 0\n");
    for (int i = 1; i < SDP_MEDIA; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "m=video 9 RTP/AVP 31\n");
    assert_int_equal(parse(text, &s), ERR_OK);
    snprintf(text + n, sizeof text - n, "m=video 9 RTP/AVP 31\n");
    assert_int_equal(parse(text, &s), ERR_PARSE);
}

static void addresses(void **state)
{
    struct sdp s;
    char ip[ADDR_TEXT_BYTES], text[2048];

    (void)state;
    assert_int_equal(
        parse("v=0\no=- 1 1 IN IP6 ::1\ns=-\nc=IN IP6 2001:db8::1\nt=0 0\nm=audio 4000/2 RTP/AVP 0\n"
              "a=rtcp:4100\n",
              &s),
        ERR_OK);
    assert_string_equal(addr_print(&s.media, ip), "[2001:db8::1]:4000");
    assert_string_equal(addr_print(&s.rtcp, ip), "[2001:db8::1]:4100");
    assert_non_null(strstr(print(&s, text, sizeof text), "a=rtcp:4100 IN IP6 2001:db8::1\r\n"));
    assert_int_equal(
        parse("v=0\no=- 1 1 IN IP4 1.1.1.1\nc=IN IP4 192.0.2.1\nm=video 1 RTP/AVP 31\nc=IN IP4 9.9.9.9\n"
              "m=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.2/127\n",
              &s),
        ERR_OK);
    assert_int_equal(s.media.family, ADDR_NONE); /* multicast form: no address to talk to */
    assert_int_equal(s.audio_index, 1);
    assert_int_equal(s.rtcp.port, 4001);
}

static void fragments(void **state)
{
    /* RFC 8840 §9, as trickled by INFO */
    static const char text[] =
        "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=ice-ufrag:8hhY\r\n"
        "m=audio 9 RTP/AVP 0\r\na=mid:1\r\n"
        "a=candidate:1 1 UDP 1658497328 192.168.100.33 5000 typ host\r\n"
        "a=candidate:2 1 UDP 1658497328 96.1.2.3 5000 typ srflx\r\na=end-of-candidates\r\n";
    struct sdp_frag f, g;
    char out[1024];
    struct wr w;

    (void)state;
    assert_int_equal(sdp_frag_parse(slice_str(text), &f), ERR_OK);
    assert_string_equal(f.ice.ufrag, "8hhY");
    assert_string_equal(f.mid, "1");
    assert_int_equal(f.ice.n_candidates, 2);
    assert_true(f.ice.is_end);
    wr_init(&w, out, sizeof out);
    sdp_frag_write(&f, &w);
    assert_true(wr_ok(&w));
    assert_int_equal(sdp_frag_parse(wr_done(&w), &g), ERR_OK);
    assert_memory_equal(&f, &g, sizeof f);
    assert_int_equal(sdp_frag_parse(slice_str("a=ice-ufrag:x\r\n"), &f), ERR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the offer of RFC 3264 10.1 is answered: audio taken, video refused", published_offer),
        sentence("a browser's description is read, its unknown attributes skipped", a_browser),
        sentence("our own description, to the byte, and back", our_own),
        sentence("two of ours agree on Opus by the offer's numbers", both_phones_are_ours),
        sentence("directions are answered by RFC 3264 6.1", directions),
        sentence("c=0.0.0.0 of an old phone is hold", hold_of_old_phones),
        sentence("without a common codec or transport there is no answer", nothing_in_common),
        sentence("an answer that does not fit the offer is found out", answers_that_do_not_fit),
        sentence("broken descriptions are refused", broken_ones),
        sentence("payloads, candidates and m-lines are capped", caps),
        sentence("IPv6, rtcp attribute, multicast, media-level c=", addresses),
        sentence("trickled fragments, both ways (RFC 8840)", fragments),
    };

    return run_sentences("sip/sdp", tests);
}
