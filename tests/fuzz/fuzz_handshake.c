/* The datagrams and payloads of a handshake. What parses is written again to the same bytes. */
#include <assert.h>
#include <stdlib.h>

#include "crypto/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void payload(struct slice in)
{
    static const enum session_class classes[] = {SESSION_CONTACT, SESSION_INVITE, SESSION_NODE};
    uint8_t plain[HANDSHAKE_MSG1_PLAIN], plain2[HANDSHAKE_MSG2_PLAIN];
    struct hello_reply reply;
    struct hello hello;

    for (size_t i = 0; i < 3; i++)
        if (hello_parse(classes[i], in, &hello) == ERR_OK) {
            assert(hello_write(classes[i], &hello, plain) == ERR_OK);
            assert(memcmp(plain, in.data, sizeof plain) == 0);
        }
    if (hello_reply_parse(in, &reply) == ERR_OK) {
        hello_reply_write(&reply, plain2);
        assert(memcmp(plain2, in.data, sizeof plain2) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct handshake_key key = {.class = SESSION_CONTACT};
    uint8_t digest[32], padded[HANDSHAKE_MSG1_PLAIN] = {0};
    struct msg1_wire m1;
    struct msg2_wire m2;
    struct cookie_wire c;

    if (msg1_wire_parse(in, &m1) == ERR_OK) {
        assert(size == HANDSHAKE_MSG1_BYTES && m1.mac2.data + 16 == data + size);
        handshake_digest(m1.body, digest);
        assert(handshake_find_key(&key, 1, digest, m1.mac1) <= 0);
    }
    if (msg2_wire_parse(in, &m2) == ERR_OK)
        assert(size == HANDSHAKE_MSG2_BYTES && m2.noise.data == data + 12 && m2.mac1.data == data + 124);
    if (cookie_wire_parse(in, &c) == ERR_OK)
        assert(size == HANDSHAKE_COOKIE_BYTES && c.sealed.data + c.sealed.len == data + size);
    payload(in);
    memcpy(padded, data, size < sizeof padded ? size : sizeof padded);
    payload(slice_of(padded, sizeof padded));
    return 0;
}
