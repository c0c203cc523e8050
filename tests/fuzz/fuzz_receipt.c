/* The ledger's papers and the relay's messages: what parses is written back as the same bytes. */
#include <stdlib.h>

#include "relay/advert.h"
#include "relay/clearing.h"
#include "relay/digest.h"
#include "relay/knock.h"
#include "relay/receipt.h"
#include "relay/wire.h"

static void same(struct slice in, const uint8_t *out, size_t n)
{
    if (in.len != n || memcmp(in.data, out, n) != 0)
        abort();
}

static void papers(struct slice in)
{
    uint8_t out[RECEIPT_RLS1_BYTES];
    struct sponsor_line sponsor;
    struct statement statement;
    struct cleared cleared;
    struct cheque cheque;

    if (statement_parse(in, &statement) == ERR_OK) {
        statement_write(&statement, out);
        same(in, out, RECEIPT_RLS1_BYTES);
    }
    if (statement_parse_body(in, &statement) == ERR_OK) {
        statement_body(&statement, out);
        same(in, out, RECEIPT_BODY_BYTES);
    }
    if (cheque_parse(in, &cheque) == ERR_OK) {
        cheque_write(&cheque, out);
        same(in, out, RECEIPT_RLC1_BYTES);
    }
    if (cleared_parse(in, &cleared) == ERR_OK) {
        cleared_write(&cleared, out);
        same(in, out, RECEIPT_RLD1_BYTES);
    }
    if (sponsor_parse(in, &sponsor) == ERR_OK) {
        sponsor_write(&sponsor, out);
        same(in, out, RECEIPT_RLP1_BYTES);
    }
}

static void digests(struct slice in)
{
    uint8_t out[DIGEST_BYTES_MAX], culprit[32];
    struct slice written;
    struct digest d;

    if (digest_parse(in, &d) == ERR_OK) {
        written = digest_write(&d, out);
        same(in, written.data, written.len);
    }
    if (clearing_proof_check(in, culprit) == ERR_OK || clearing_fork_check(in, culprit) == ERR_OK)
        abort(); /* nobody is convicted by chance */
}

static void messages(struct slice in)
{
    uint8_t out[WIRE_MESSAGE_MAX], frame[KNOCK_FRAME_MAX], token[KNOCK_TOKEN_BYTES], culprit[32];
    struct slice body, written;
    struct wire_msg m;
    uint32_t flow;

    if (wire_parse(in, &m) == ERR_OK) {
        written = wire_write(out, sizeof out, &m);
        same(in, written.data, written.len);
        if (m.type == WIRE_PROOF &&
            clearing_proof_check(slice_of(m.proof, sizeof m.proof), culprit) == ERR_OK)
            abort();
    }
    if (knock_parse_c8(in, token, &flow, &body) == ERR_OK) {
        written = knock_build_c8(frame, sizeof frame, token, flow, body);
        same(in, written.data, written.len);
    }
    if (knock_parse_c9(in, &flow, &body) == ERR_OK) {
        written = knock_build_c9(frame, sizeof frame, flow, body);
        same(in, written.data, written.len);
    }
}

static void adverts(struct slice in)
{
    static const uint8_t zone[8];
    struct advert ad;

    if (advert_parse(in, &ad) == ERR_OK && advert_verify(&ad, zone, ad.day) == ERR_OK)
        abort(); /* nobody finds a signature by chance */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);

    papers(in);
    digests(in);
    messages(in);
    adverts(in);
    return 0;
}
