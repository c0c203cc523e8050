/* Messages: the torture tests of RFC 4475 (by their names there), and what libosip2 lets through. */
#include <unistd.h>

#include "unit/sip/phones.h"

#include "sip/msg.h"

/* Lines are written with \n here and travel with \r\n. */
static char *crlf(const char *text)
{
    char *out = mem_alloc(2 * strlen(text) + 1), *w = out;

    for (; *text != '\0'; text++) {
        if (*text == '\n')
            *w++ = '\r';
        *w++ = *text;
    }
    return out;
}

/* A phone that takes every user part, hears `text`, and says what it says first. */
static void hear(const char *text, size_t len, char *said, size_t size, char *events)
{
    struct world *w = world_create(1);
    struct ua_cfg cfg = {.uri = "sip:user@example.com", .accepts_any = true, .transport = "UDP"};
    struct phone *p = phone_create(w, "user");

    ua_destroy(p->ua);
    p->rings = false;
    p->ua = ua_create(&cfg, &phone_ops, p, &w->env);
    (void)ua_input(p->ua, w->now, &p->line, slice_of(text, len));
    world_run_deferred(w);
    snprintf(said, size, "%s", w->log[0] ? w->log + 7 : "");
    strcpy(events, p->events);
    world_destroy(w);
}

static void expect(const char *name, const char *text, const char *said, const char *events)
{
    char *wire = crlf(text), got[256], got_events[2048];

    hear(wire, strlen(wire), got, sizeof got, got_events);
    if (strcmp(got, said) != 0 || strcmp(got_events, events) != 0)
        fail_msg("%s: said \"%s\", expected \"%s\"; events \"%s\", expected \"%s\"", name, got, said,
                 got_events, events);
    mem_free(wire);
}

#define SDP_4475                                                                                             \
    "v=0\no=mhandley 29739 7272939 IN IP4 192.0.2.3\ns=-\nc=IN IP4 192.0.2.4\nt=0 0\nm=audio 49217 RTP/AVP " \
    "0 12\n"                                                                                                 \
    "m=video 3227 RTP/AVP 31\na=rtpmap:31 LPC\n"

#define HEAD(method, id, cseq)                                           \
    "To: sip:j.user@example.com\nFrom: sip:caller@example.net;tag=1\n"   \
    "Max-Forwards: 6\nCall-ID: " id "@192.0.2.1\nCSeq: " cseq " " method \
    "\nVia: SIP/2.0/UDP host.example.net;branch=z9hG4bK" id "\n"

static void valid(void **state)
{
    (void)state;
    /* 3.1.1.1; its own two bodies' worth of blanks, folds, compact forms; the To has a tag, so 481 is right. */
    expect(
        "wsinv",
        "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\n"
        "TO :\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\n"
        "from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\n  ;\n  tag = 98asjd8\n"
        "MaX-fOrWaRdS: 0068\nCall-ID: wsinv.ndaksdj@192.0.2.1\nContent-Length   : 150\ncseq: 0009\n  INVITE\n"
        "Via  : SIP  /   2.0\n /UDP\n    192.0.2.2;branch=390skdjuw\ns :\n"
        "NewFangledHeader:   newfangled value\n continued newfangled value\n"
        "UnknownHeaderWithUnusualValue: ;;,,;;,;\nContent-Type: application/sdp\n"
        "Route:\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\n"
        "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\n  branch  =   z9hG4bK9ikj8  ,\n"
        " SIP  /    2.0   / UDP  192.168.255.111   ; branch=\n z9hG4bK30239\n"
        "m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\n      newvalue ;\n"
        "  secondparam ; q = 0.33\n\n" SDP_4475,
        "481 INVITE", "");
    expect(
        "intmeth",
        "!interesting-Method0123456789_*+`.%indeed'~ "
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
        "@example.com SIP/2.0\nVia: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~\n"
        "To: <sip:1_unusual.URI@example.com>\nFrom: token1~` <sip:mundane@example.com>;fromParam''~+*_!.-%=\""
        "really?\";tag=_token~1'+`*%!-.\nCall-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\n"
        "CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~\nMax-Forwards: 255\nContent-Length: "
        "0\n\n",
        "501 !interesting-Method0123456789_*+`.%indeed'~", "");
    expect("esc01",
           "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0\nTo: sip:%75se%72@example.com\n"
           "From: <sip:I%20have%20spaces@example.net>;tag=938\nMax-Forwards: 87\ni: "
           "esc01.239409asdfakjkn23onasd0-3234\n"
           "CSeq: 234234 INVITE\nVia: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw\nC: application/sdp\n"
           "Contact:\n  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>\nContent-Length: "
           "150\n\n" SDP_4475,
           "100 INVITE", "incoming");
    expect("lwsdisp",
           "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: "
           "caller<sip:caller@example.com>;tag=323\n"
           "Max-Forwards: 70\nCall-ID: lwsdisp.1234abcd@funky.example.com\nCSeq: 60 OPTIONS\n"
           "Via: SIP/2.0/UDP funky.example.com;branch=z9hG4bKkdjuw\nl: 0\n\n",
           "200 OPTIONS", "");
    expect("dblreq", /* octets after the body are not ours */
           "OPTIONS sip:j.user@example.com SIP/2.0\n" HEAD(
               "OPTIONS", "dblreq",
               "8") "Content-Length: 0\n\n"
                    "INVITE sip:joe@example.com SIP/2.0\nt: sip:joe@example.com\nFrom: "
                    "sip:caller@example.net;tag=141334\n"
                    "Max-Forwards: 8\nCall-ID: dblreq.0ha0isnda977644900765@192.0.2.15\nCSeq: 8 INVITE\n"
                    "Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw380234\nContent-Type: application/sdp\n"
                    "Content-Length: 150\n\n" SDP_4475,
           "200 OPTIONS", "");
    expect("semiuri",
           "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0\n" HEAD(
               "OPTIONS", "semiuri",
               "8") "Accept: application/sdp, application/pkcs7-mime, multipart/mixed, multipart/signed,\n"
                    "  message/sip, message/sipfrag\nl: 0\n\n",
           "200 OPTIONS", "");
    expect("transports",
           "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: "
           "<sip:caller@example.com>;tag=323\n"
           "Max-Forwards: 70\nCall-ID:  transports.kijh4akdnaqjkwendsasfdj\nAccept: application/sdp\nCSeq: "
           "60 OPTIONS\n"
           "Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw\nVia: SIP/2.0/SCTP "
           "t2.example.com;branch=z9hG4bKklasjdhf\n"
           "Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj\n"
           "Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en\n"
           "Via: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee\nl: 0\n\n",
           "200 OPTIONS", "");
    expect("mpart", /* after 3.1.1.11: the SDP is one part of several */
           "INVITE sip:user@example.com SIP/2.0\n" HEAD(
               "INVITE", "mpart",
               "1") "Content-Type: multipart/mixed; boundary=7a9cbec02ceef655\n\n"
                    "--7a9cbec02ceef655\nContent-Type: text/plain\n\nHello\n--7a9cbec02ceef655\n"
                    "Content-Type: application/sdp\n\nv=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\nm=audio 9 "
                    "RTP/AVP 0\n"
                    "--7a9cbec02ceef655--\n",
           "100 INVITE", "incoming");
    expect("mpart2", /* of our own: libosip loses memory by a part that says twice what it is */
           "INVITE sip:user@example.com SIP/2.0\n" HEAD(
               "INVITE", "mpart2",
               "1") "Content-Type: multipart/mixed; boundary=b\n\n"
                    "--b\nContent-Type: text/plain\ncontent-type: application/sdp\n\nHello\n--b--\n",
           "", "");
    expect("inv2543", /* 3.4.1, with a Via of its time: no branch, no tag, no Max-Forwards */
           "INVITE sip:UserB@example.com SIP/2.0\nVia: SIP/2.0/UDP iftgw.example.com\nFrom: "
           "<sip:+13035551111@ift.client."
           "example.net;user=phone>\nRecord-Route: <sip:UserB@example.com;maddr=ss1.example.com>\n"
           "To: sip:+16505552222@ss1.example.net;user=phone\nCall-ID: inv2543.1717@ift.client.example.com\n"
           "CSeq: 56 INVITE\nContent-Type: application/sdp\n\n" SDP_4475,
           "100 INVITE", "incoming");
    expect(
        "zeromf", /* 3.3.11: we are no proxy */
        "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: sip:caller@example.net;tag=3\n"
        "Call-ID: zeromf.jfasdlfnm2o2l43r5u0asdfas\nCSeq: 39234321 OPTIONS\n"
        "Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKkdjuw2349i\nMax-Forwards: 0\nContent-Length: 0\n\n",
        "200 OPTIONS", "");
}

static void responses_are_read(void **state)
{
    static const char *const texts[] = {
        /* unreason: UTF-8 in the reason phrase */
        "SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe\nVia: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923\n"
        "Call-ID: unreason.1234ksdfak3j2erwedfsASdf\nCSeq: 35 INVITE\nFrom: "
        "sip:user@example.com;tag=11141343\n"
        "To: sip:user@example.edu;tag=2229\nContent-Length: 0\nContact: <sip:user@host198.example.com>\n\n",
        /* noreason */
        "SIP/2.0 100 \nVia: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe\nCall-ID: "
        "noreason.asndj203insdf99223ndf\n"
        "CSeq: 35 INVITE\nFrom: <sip:user@example.com>;tag=39ansfi3\nTo: "
        "<sip:user@example.edu>;tag=902jndnke3\n"
        "Content-Length: 0\nContact: <sip:user@host105.example.com>\n\n",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char *wire = crlf(texts[i]);
        osip_message_t *msg;
        int code;

        assert_int_equal(sip_msg_parse(slice_str(wire), &msg, &code), ERR_OK);
        assert_int_equal(msg->status_code, i == 0 ? 200 : 100);
        osip_message_free(msg);
        mem_free(wire);
    }
}

static void invalid(void **state)
{
    (void)state;
    expect(
        "badinv01",
        "INVITE sip:user@example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: "
        "sip:caller@example.net;tag=134161461246\n"
        "Max-Forwards: 7\nCall-ID: badinv01.0ha0isndaksdjasdf3234nas\nCSeq: 8 INVITE\n"
        "Via: SIP/2.0/UDP 192.0.2.15;;,;,,\nContact: \"Joe\" <sip:joe@example.org>;;;;\nContent-Length: 152\n"
        "Content-Type: application/sdp\n\n" SDP_4475,
        "", "");
    expect("clerr",
           "INVITE sip:user@example.com SIP/2.0\n" HEAD(
               "INVITE", "clerr", "8") "Content-Type: application/sdp\nContent-Length: 9999\n\n" SDP_4475,
           "", "");
    expect("ncl",
           "INVITE sip:user@example.com SIP/2.0\n" HEAD(
               "INVITE", "ncl", "8") "Content-Type: application/sdp\nContent-Length: -999\n\n" SDP_4475,
           "400 INVITE", "");
    expect("negative length, no type",
           "OPTIONS sip:user@example.com SIP/2.0\n" HEAD("OPTIONS", "ncl2", "8") "Content-Length: -5\n\n",
           "400 OPTIONS", "");
    expect("scalar02",
           "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/TCP host129.example.com;branch=z9hG4bK342sdfoi3\n"
           "To: <sip:user@example.com>\nFrom: <sip:user@example.com>;tag=239232jh3\nCSeq: "
           "36893488147419103232 REGISTER\n"
           "Call-ID: scalar02.23o0pd9vanlq3wnrlnewofjas9ui32\nMax-Forwards: 300\nContent-Length: 0\n\n",
           "", "");
    expect(
        "quotbal",
        "INVITE sip:user@example.com SIP/2.0\nTo: \"Mr. J. User <sip:j.user@example.com>\n"
        "From: sip:caller@example.net;tag=93334\nMax-Forwards: 10\nCall-ID: quotbal.aksdj\nCSeq: 8 INVITE\n"
        "Via: SIP/2.0/UDP 192.0.2.59:5050;branch=z9hG4bKkdjuw39234\nContent-Length: 0\n\n",
        "", "");
    expect("ltgtruri", "INVITE <sip:user@example.com> SIP/2.0\n" HEAD("INVITE", "ltgtruri", "1") "l: 0\n\n",
           "", "");
    expect("lwsruri", "INVITE sip:user@example.com; lr SIP/2.0\n" HEAD("INVITE", "lwsruri", "1") "l: 0\n\n",
           "", "");
    expect("badvers",
           "OPTIONS sip:t.watson@example.org SIP/7.0\n" HEAD(
               "OPTIONS", "badvers", "1") "Contact: <sip:caller@host.example.net>\nl: 0\n\n",
           "505 OPTIONS", "");
    expect("mismatch01",
           "OPTIONS sip:user@example.com SIP/2.0\n" HEAD("INVITE", "mismatch01", "8") "l: 0\n\n", "", "");
    expect("mismatch02",
           "NEWMETHOD sip:user@example.com SIP/2.0\n" HEAD("INVITE", "mismatch02", "8") "l: 0\n\n", "", "");
    expect("bigcode",
           "SIP/2.0 4294967301 better not break the receiver\nVia: SIP/2.0/UDP "
           "192.0.2.105;branch=z9hG4bK2398ndaoe\n"
           "Call-ID: bigcode.asdof3uj203asdnf3429uasdhfas3ehjasdfas9i\nCSeq: 353494 INVITE\n"
           "From: <sip:user@example.com>;tag=39ansfi3\nTo: "
           "<sip:user@example.edu>;tag=902jndnke3\nContent-Length: 0\n\n",
           "", "");
    expect("insuf",
           "INVITE sip:user@example.com SIP/2.0\nCSeq: 193942 INVITE\n"
           "Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf\nContent-Type: application/sdp\nl: "
           "150\n\n" SDP_4475,
           "", "");
    expect("multi01: two of what may stand once",
           "INVITE sip:user@company.com SIP/2.0\n" HEAD("INVITE", "multi01", "5") "CSeq: 59 INVITE\nl: 0\n\n",
           "", "");
    expect("mcl01",
           "OPTIONS sip:user@example.com SIP/2.0\n" HEAD(
               "OPTIONS", "mcl01",
               "5") "Content-Length: 13\n"
                    "Content-Length: 5\n\nThere's no way to know how many octets are supposed to be here.\n",
           "", "");
}

static void understood_but_not_done(void **state)
{
    (void)state;
    expect("unkscm",
           "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0\n" HEAD("OPTIONS", "unkscm",
                                                                               "3") "l: 0\n\n",
           "416 OPTIONS", "");
    expect("novelsc: osip knows schemes of letters only",
           "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0\n" HEAD("OPTIONS", "novelsc", "3") "l: 0\n\n", "",
           "");
    expect("bext01",
           "OPTIONS sip:user@example.com SIP/2.0\n" HEAD(
               "OPTIONS", "bext01",
               "8") "Require: nothingSupportsThis, nothingSupportsThisEither\nProxy-Require: "
                    "noProxiesSupportThis\nl: 0\n\n",
           "420 OPTIONS", "");
    expect("invut",
           "INVITE sip:user@example.com SIP/2.0\n" HEAD(
               "INVITE", "invut", "8") "Content-Type: application/unknownformat\nContent-Length: "
                                       "40\n\n<audio>\n <pcmu port=\"443\"/>\n</audio>123\n",
           "415 INVITE", "");
    expect("gzip",
           "INVITE sip:user@example.com SIP/2.0\n" HEAD(
               "INVITE", "gzip",
               "8") "Content-Type: application/sdp\nContent-Encoding: gzip\nContent-Length: 4\n\nabcd",
           "415 INVITE", "");
    expect("REGISTER is known", "REGISTER sip:example.com SIP/2.0\n" HEAD("REGISTER", "reg", "1") "l: 0\n\n",
           "405 REGISTER", "");
    expect("BYE of nothing", "BYE sip:user@example.com SIP/2.0\n" HEAD("BYE", "bye", "1") "l: 0\n\n",
           "481 BYE", "");
    expect("CANCEL of nothing",
           "CANCEL sip:user@example.com SIP/2.0\n" HEAD("CANCEL", "cancel", "1") "l: 0\n\n", "481 CANCEL",
           "");
    expect("INFO outside a dialog",
           "INFO sip:user@example.com SIP/2.0\n" HEAD("INFO", "info", "1") "l: 0\n\n", "481 INFO", "");
    expect("an ACK is never answered",
           "ACK sip:user@example.com SIP/2.0\n" HEAD("ACK", "ack", "1") "l: 0\n\n", "", "");
    expect("nor a bad one", "ACK sip:user@example.com SIP/2.0\n" HEAD("ACK", "ack2", "1") "l: 7\n\n", "", "");
}

static void escapes_stay_escapes(void **state)
{
    struct world *w = world_create(1);
    struct ua_cfg cfg = {.uri = "sip:user@example.com", .accepts_any = true};
    struct phone *p = phone_create(w, "user");
    char *wire = crlf("INVITE sip:user@example.com SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bKe\n"
                      "From: \"a\\\" <sip:x@y>\" <sip:a%0d%0aEvil:%20yes@h;p=%0d%0aEvil:yes>;tag=1\n"
                      "To: <sip:user@example.com>\nCall-ID: escapes\nCSeq: 1 INVITE\n"
                      "Contact: <sip:c%3E%0d%0aEvil:%20yes@h>\nl: 0\n\n");

    (void)state;
    ua_destroy(p->ua);
    p->ua = ua_create(&cfg, &phone_ops, p, &w->env);
    p->answers = true;
    (void)ua_input(p->ua, w->now, &p->line, slice_str(wire));
    assert_string_equal(p->events, "incoming");
    assert_null(strstr(w->last, "\nEvil"));
    assert_true(sip_is_line(ua_call_remote_uri(p->call), 1000));
    assert_string_equal(ua_call_remote_name(p->call), "a\" <sip:x@y>");
    assert_int_equal(ua_bye(p->call, w->now, NULL), ERR_OK); /* waits for the ACK, then for its end */
    world_run_for(w, 40 * S);
    assert_non_null(strstr(w->log, "user > BYE"));
    assert_null(strstr(w->last, "\nEvil"));
    mem_free(wire);
    world_destroy(w);
}

/* ---- what osip lets through (libraries.md §2) ---- */

static enum err parse_code(const char *bytes, size_t len, int *code)
{
    osip_message_t *msg;
    enum err e = sip_msg_parse(slice_of(bytes, len), &msg, code);

    osip_message_free(msg);
    return e;
}

static void no_headers(void **state)
{
    static const char bare[] = "INVITE sip:a SIP/2.0\r\n\r\n", without_to[] =
                                                                   "OPTIONS sip:a@b SIP/2.0\r\n"
                                                                   "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
                                                                   "From: <sip:c@d>;tag=1\r\nCall-ID: x\r\n"
                                                                   "CSeq: 1 OPTIONS\r\n\r\n";
    osip_message_t *msg = NULL;
    int code;

    (void)state;
    /* The trap itself, so that we notice when the library changes. */
    sip_msg_setup();
    assert_int_equal(osip_message_init(&msg), 0);
    assert_int_equal(osip_message_parse(msg, bare, strlen(bare)), 0);
    assert_null(msg->from);
    assert_int_equal(sip_message_check(msg, 0, &code), ERR_PARSE);
    osip_message_free(msg);
    assert_int_equal(parse_code(bare, strlen(bare), &code), ERR_PARSE);
    assert_int_equal(parse_code(without_to, strlen(without_to), &code), ERR_PARSE);
}

static char *options_with(const char *headers, const char *body)
{
    char *lf = mem_printf("OPTIONS sip:user@example.com SIP/2.0\n" HEAD("OPTIONS", "x", "1") "%s\n%s",
                          headers, body);
    char *wire = crlf(lf);

    mem_free(lf);
    return wire;
}

static void check_options(const char *headers, const char *body, enum err want, int want_code)
{
    char *wire = options_with(headers, body);
    int code;

    assert_int_equal(parse_code(wire, strlen(wire), &code), want);
    assert_int_equal(code, want_code);
    mem_free(wire);
}

static void body_and_length(void **state)
{
    (void)state;
    check_options("Content-Length: 0\n", "", ERR_OK, 0);
    check_options("Content-Type: text/plain\nContent-Length: 5\n", "hello", ERR_OK, 0);
    check_options("Content-Type: text/plain\n", "hello", ERR_OK, 0); /* UDP: to the end */
    check_options("Content-Type: text/plain\nContent-Length: 4\n", "hello", ERR_OK, 0);
    check_options("Content-Length: 5\n", "hello", ERR_REFUSED, 400); /* of no type */
    check_options("Content-Length: 9\n", "", ERR_REFUSED, 400);      /* and not there */
    check_options("Content-Length: -5\n", "hello", ERR_REFUSED, 400);
    check_options("Content-Length: 1e3\n", "hello", ERR_REFUSED, 400);
}

static void missing_blank_line(void **state)
{
    char *wire = crlf("OPTIONS sip:user@example.com SIP/2.0\n" HEAD("OPTIONS", "x", "1") "l: 0\n");
    int code;

    (void)state;
    assert_int_equal(parse_code(wire, strlen(wire), &code), ERR_PARSE);
    mem_free(wire);
}

static void limits_before_parsing(void **state)
{
    char *many = mem_alloc(20000), *wire;
    int code;

    (void)state;
    for (int i = 0; i < SIP_HEADERS_MAX - 6; i++) /* HEAD has six */
        strcat(many, "X: y\n");
    check_options(many, "", ERR_OK, 0);
    strcat(many, "X: y\n");
    check_options(many, "", ERR_PARSE, 0);
    many[0] = '\0';
    for (int i = 0; i < SIP_HOPS_MAX; i++)
        strcat(many, i == 0 ? "Route: <sip:h;lr>" : ",<sip:h;lr>");
    strcat(many, "\n");
    check_options(many, "", ERR_OK, 0);
    many[strlen(many) - 1] = '\0';
    strcat(many, ",<sip:h;lr>\n");
    check_options(many, "", ERR_PARSE, 0);
    memset(many, 'a', SIP_MESSAGE_MAX_BYTES + 1);
    memcpy(many, "X: ", 3);
    strcpy(many + SIP_MESSAGE_MAX_BYTES, "\n");
    wire = options_with(many, "");
    assert_int_equal(parse_code(wire, strlen(wire), &code), ERR_RANGE);
    mem_free(wire);
    mem_free(many);
}

static void stray_control_characters(void **state)
{
    static const char *const bad[] = {"X: a\rb\n", "X: a\x01\n", "X: a\x7f\n"};
    char *wire = options_with("X: ?\n", "");
    int code;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        check_options(bad[i], "", ERR_PARSE, 0);
    *strchr(wire, '?') = '\0';
    /* strchr found the header: the NUL is inside the message. */
    assert_int_equal(parse_code(wire, strlen(wire) + 20, &code), ERR_PARSE);
    mem_free(wire);
    check_options("X: \xe5\xb1\xb1\xe7\x94\xb0\n", "", ERR_OK, 0); /* UTF-8 is fine */
}

static void osip_is_silent(void **state)
{
    static const char *const bad[] = {"INVITE sip:a SIP/2.0\r\nVia: x\r\n\r\n", "garbage\r\n\r\n",
                                      "OPTIONS\r\n\r\n"};
    char name[] = "/tmp/ito-sip-XXXXXX";
    int fd = mkstemp(name), code, saved = dup(1);
    FILE *f;

    (void)state;
    assert_true(fd >= 0 && saved >= 0);
    fflush(stdout);
    dup2(fd, 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        (void)parse_code(bad[i], strlen(bad[i]), &code);
        hear(bad[i], strlen(bad[i]), (char[256]){0}, 256, (char[2048]){0});
    }
    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    f = fdopen(fd, "r");
    fseek(f, 0, SEEK_END);
    assert_int_equal(ftell(f), 0);
    fclose(f);
    unlink(name);
}

static void a_refusal_is_no_amplifier(void **state)
{
    char *wire = crlf(
        "OPTIONS sip:u@e SIP/7.0\nv:SIP/2.0/UDP h;branch=1\nf:sip:a@b\nt:sip:a@b\ni:1\nCSeq:1 OPTIONS\n\n");
    struct world *w = world_create(1);
    struct phone *p = phone_create(w, "user");

    (void)state;
    assert_int_equal(ua_input(p->ua, w->now, &p->line, slice_str(wire)), ERR_REFUSED);
    assert_int_equal(w->n_sent, 0); /* 505 would be longer than what it answers */
    mem_free(wire);
    world_destroy(w);
}

static void random_is_ours(void **state)
{
    struct world *a = world_create(5), *b = world_create(5);
    char x[SIP_TOKEN_BYTES], y[SIP_TOKEN_BYTES];

    (void)state;
    sip_random_token(&a->env, x);
    sip_random_token(&b->env, y);
    assert_string_equal(x, y); /* from the env, so reproducible; never osip's lrand48 */
    sip_random_token(&a->env, y);
    assert_string_not_equal(x, y);
    assert_int_equal(strlen(x), 20);
    world_destroy(a);
    world_destroy(b);
}

static void what_is_written_is_sent(void **state)
{
    struct pair p = pair_create(4);

    (void)state;
    dial(&p);
    assert_non_null(strstr(p.w->last, "\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO\r\n"));
    assert_non_null(strstr(p.w->last, "\r\nMax-Forwards: 70\r\n"));
    assert_non_null(strstr(p.w->last, "\r\nX-Ito-Commit: cccc\r\n"));
    world_destroy(p.w);
}

static void another_user(void **state)
{
    struct pair p = pair_create(3);

    (void)state;
    p.alice->call =
        ua_invite(p.alice->ua, p.w->now, &p.alice->line, "sip:carol@ito.alt", slice_of(NULL, 0), NULL, 0);
    world_run_for(p.w, 1 * S);
    assert_string_equal(p.alice->events, "failed 404");
    assert_string_equal(p.bob->events, "");
    world_destroy(p.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("valid torture messages are understood (RFC 4475 3.1.1, 3.3, 3.4)", valid),
        sentence("odd responses are read (RFC 4475 3.1.1.12, 3.1.1.13)", responses_are_read),
        sentence("invalid torture messages are dropped or refused (RFC 4475 3.1.2, 3.3)", invalid),
        sentence("what we do not do is refused by the right code (RFC 3261 8.2)", understood_but_not_done),
        sentence("escaped line ends in a URI never become line ends", escapes_stay_escapes),
        sentence("osip takes a request without headers; we do not", no_headers),
        sentence("Content-Length is true or the message is refused", body_and_length),
        sentence("a message without its blank line is none", missing_blank_line),
        sentence("8 KB, 64 headers, 16 routes: more is dropped before or right after parsing",
                 limits_before_parsing),
        sentence("control characters and bare CR are refused, UTF-8 is not", stray_control_characters),
        sentence("osip prints nothing", osip_is_silent),
        sentence("a refusal is never longer than what it answers", a_refusal_is_no_amplifier),
        sentence("tags, branches and Call-IDs come from the env", random_is_ours),
        sentence("messages leave as they were written", what_is_written_is_sent),
        sentence("a call for somebody else is not found here", another_user),
    };

    return run_sentences("sip/msg", tests);
}
