#include "unit/test.h"

#include "relay/care_wire.h"

static struct care_msg full(enum care_type type)
{
    struct care_msg m = {.type = type, .req = 0x01020304};

    switch (type) {
    case CARE_KEEP:
        m.flags = CARE_FLAG_HERE;
        m.from_s = 1795000000, m.until_s = 1795086400;
        /* fall through */
    case CARE_DROP:
        m.slot = 15;
        break;
    case CARE_KEPT:
        m.flags = CARE_FLAG_TAKEN | CARE_FLAG_STORED;
        /* fall through */
    case CARE_DONE:
        m.why = CARE_WHY_ALONE, m.n = 20;
        break;
    case CARE_GET:
        m.min_seq = 1795000000;
        memset(m.key, 7, sizeof m.key);
        break;
    case CARE_WATCH:
        m.flags = CARE_FLAG_NO_MORE;
        m.week = 2970;
        memset(m.drops, 6, sizeof m.drops);
        break;
    case CARE_BLOB:
        memset(m.nonce, 8, sizeof m.nonce);
        memset(m.blob, 9, sizeof m.blob);
        break;
    default:
        break;
    }
    if (type >= CARE_LOOK && type != CARE_WATCH)
        memset(m.drop, 5, sizeof m.drop);
    if (type == CARE_KEEP || type == CARE_VALUE) {
        memset(m.item.k, 1, sizeof m.item.k);
        memset(m.item.sig, 2, sizeof m.item.sig);
        m.item.seq = 1795000001;
        m.item.v_len = CARE_V_MAX;
        memset(m.item.v, 3, CARE_V_MAX);
    }
    return m;
}

static void there_and_back(void **state)
{
    (void)state;
    for (int type = CARE_KEEP; type <= CARE_WATCH; type++) {
        uint8_t buf[CARE_MESSAGE_MAX], again[CARE_MESSAGE_MAX];
        struct care_msg m = full(type), out;
        struct slice bytes = care_write(buf, sizeof buf, &m);

        assert_true(bytes.len >= 8);
        assert_int_equal(care_parse(bytes, &out), ERR_OK);
        assert_memory_equal(&out, &m, sizeof m);
        assert_int_equal(care_write(again, sizeof again, &out).len, bytes.len);
        assert_memory_equal(again, buf, bytes.len);
        for (size_t cut = 0; cut < bytes.len; cut++) {
            assert_int_not_equal(care_parse(slice_of(buf, cut), &out), ERR_OK);
            assert_int_equal(out.type, 0);
        }
    }
}

static void refused(void **state)
{
    uint8_t buf[CARE_MESSAGE_MAX + 1];
    struct care_msg m = full(CARE_KEEP), out;
    size_t len = care_write(buf, CARE_MESSAGE_MAX, &m).len;

    (void)state;
    buf[2] = CARE_SLOTS;
    assert_int_equal(care_parse(slice_of(buf, len), &out), ERR_PARSE);
    buf[2] = 0, buf[3] = 1;
    assert_int_equal(care_parse(slice_of(buf, len), &out), ERR_PARSE);
    buf[3] = 0, buf[1] = 4;
    assert_int_equal(care_parse(slice_of(buf, len), &out), ERR_PARSE);
    buf[1] = 0, buf[56] = 0x80; /* a seq below zero */
    assert_int_equal(care_parse(slice_of(buf, len), &out), ERR_PARSE);
    m.item.v_len = CARE_V_MAX + 1;
    len = care_write(buf, sizeof buf, &m).len;
    assert_int_equal(care_parse(slice_of(buf, len), &out), ERR_PARSE);
    m.item.v_len = 448;
    m.until_s = m.from_s - 1;
    len = care_write(buf, sizeof buf, &m).len;
    assert_int_equal(care_parse(slice_of(buf, len), &out), ERR_PARSE);
    memset(buf, 0, 16);
    buf[0] = 99;
    assert_int_equal(care_parse(slice_of(buf, 16), &out), ERR_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("each message is read as it was written, and no shorter piece of it", there_and_back),
        sentence("a slot, flag, time, seq or length out of range is refused whole", refused),
    };

    return run_sentences("care_wire", tests);
}
