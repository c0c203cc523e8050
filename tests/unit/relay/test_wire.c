#include "unit/test.h"

#include "relay/wire.h"

static struct wire_msg full(enum wire_type type)
{
    struct wire_msg m = {.type = type};

    switch (type) {
    case WIRE_ALLOCATE:
        m.flags = WIRE_FLAG_PASS | WIRE_FLAG_AUDIT;
        m.req = 7, m.slots = 2, m.wish_s = 600, m.head_inc = 3, m.head_seq = 4;
        memset(m.pass, 9, sizeof m.pass);
        break;
    case WIRE_OK:
        m.req = 7, m.slots = 2, m.admission = 1, m.funded_s = 500, m.expiry_s = 0xf0000000, m.load_pct = 80;
        memset(m.alloc_id, 1, 8);
        memset(m.realm, 'r', WIRE_TEXT_MAX);
        memset(m.nonce, 'n', WIRE_TEXT_MAX);
        memset(m.username, 'u', WIRE_TEXT_MAX);
        memset(m.password, 'p', WIRE_TEXT_MAX);
        break;
    case WIRE_BUSY:
    case WIRE_POOL_EMPTY:
        m.req = 7, m.why = WIRE_WHY_FULL, m.retry_ms = 15000, m.load_pct = 120;
        break;
    case WIRE_SYNC:
        memset(m.statement, 5, sizeof m.statement);
        break;
    case WIRE_CHEQUE:
        m.flags = WIRE_FLAG_LINE;
        m.req = 9;
        memset(m.cheque, 2, sizeof m.cheque);
        memset(m.line, 3, sizeof m.line);
        break;
    case WIRE_CLEARED:
        m.flags = WIRE_FLAG_OTHER;
        m.req = 9, m.verdict = 1;
        memset(m.cleared, 4, sizeof m.cleared);
        memset(m.cheque, 2, sizeof m.cheque);
        break;
    case WIRE_CLEAR:
    case WIRE_DIGEST_ASK:
        m.req = 9;
        if (type == WIRE_CLEAR)
            memset(m.cheque, 2, sizeof m.cheque);
        break;
    case WIRE_PROOF:
        m.req = 9;
        memset(m.proof, 8, sizeof m.proof);
        break;
    case WIRE_CREDITED:
        m.req = 9, m.verdict = 2, m.credit_s = 600;
        break;
    case WIRE_REGISTERED:
        memset(m.token, 3, 8), memset(m.token_old, 4, 8), m.valid_s = 86400;
        /* fall through */
    case WIRE_REGISTER:
        m.req = 8, m.generation = 2;
        break;
    default:
        memset(m.alloc_id, 1, 8);
        if (type == WIRE_PROPOSE || type == WIRE_SIGN)
            memset(m.body, 6, sizeof m.body);
        if (type == WIRE_SIGN || type == WIRE_DONE)
            memset(m.sig, 7, sizeof m.sig);
        if (type == WIRE_PROPOSE)
            m.flags = WIRE_FLAG_LAST;
        if (type == WIRE_DONE)
            m.seq = 9, m.total_bytes = 1ull << 40;
        if (type == WIRE_SIGN_REQUIRED)
            m.unsigned_s = 95;
        if (type == WIRE_MIGRATE)
            m.why = WIRE_WHY_FUNDS, m.within_s = 180;
        break;
    }
    return m;
}

static void round_trips(void **state)
{
    (void)state;
    for (int type = WIRE_ALLOCATE; type <= WIRE_PROOF; type++) {
        struct wire_msg m = full((enum wire_type)type), got;
        uint8_t buf[WIRE_MESSAGE_MAX], longer[WIRE_MESSAGE_MAX + 1];
        struct slice bytes = wire_write(buf, sizeof buf, &m);

        if (type == WIRE_DIGEST) /* has no length of its own: test_digest */
            continue;
        assert_true(bytes.len > 0);
        assert_int_equal(wire_parse(bytes, &got), ERR_OK);
        assert_memory_equal(&got, &m, sizeof m);
        for (size_t n = 0; n < bytes.len; n++)
            assert_int_equal(wire_parse(slice_of(buf, n), &got), ERR_PARSE);
        memcpy(longer, buf, bytes.len);
        longer[bytes.len] = 0;
        assert_int_equal(wire_parse(slice_of(longer, bytes.len + 1), &got), ERR_PARSE);
    }
}

static void strict(void **state)
{
    struct wire_msg m = full(WIRE_OK), got;
    uint8_t buf[WIRE_MESSAGE_MAX];
    struct slice bytes = wire_write(buf, sizeof buf, &m);

    (void)state;
    buf[0] = 99;
    assert_int_equal(wire_parse(bytes, &got), ERR_VERSION);
    buf[0] = WIRE_OK;
    buf[1] = 1; /* a flag OK has not */
    assert_int_equal(wire_parse(bytes, &got), ERR_PARSE);
    buf[1] = 0;
    buf[bytes.len - 1] = '\n'; /* in a password */
    assert_int_equal(wire_parse(bytes, &got), ERR_PARSE);
    m = full(WIRE_ALLOCATE);
    m.slots = 0;
    bytes = wire_write(buf, sizeof buf, &m);
    assert_int_equal(wire_parse(bytes, &got), ERR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("every message survives writing and parsing, and no other length does", round_trips),
        sentence("unknown types and flags, line breaks and zero slots are refused", strict),
    };
    return run_sentences("wire", tests);
}
