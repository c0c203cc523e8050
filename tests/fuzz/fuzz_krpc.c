/* A message that parses can be written; what was written parses to the same message and is written to the same bytes.
 * Writing drops unknown keys, so the first packet may differ. Cutting out sig or mac leaves the rest. */
#include <stdlib.h>

#include "dht/krpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_true)
{
    if (!is_true)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t first[KRPC_IN_MAX + 64], second[KRPC_IN_MAX + 64], cut[KRPC_IN_MAX + 64];
    struct slice packet = slice_of(data, size), a, b, v;
    struct krpc_msg m, again;
    struct addr ip;

    if (krpc_parse(packet, &m) != ERR_OK)
        return 0;
    must(m.t.len >= 1 && m.t.len <= KRPC_T_MAX);
    must(m.type == KRPC_ERROR || m.b.id.len == 20);
    must((size_t)m.cut_at + m.cut_len <= size);
    must((m.cut_len == 72) == (m.sig.data != NULL) && (m.cut_len == 24) == (m.mac.data != NULL));
    must(krpc_cut(packet, &m, cut) == size - m.cut_len);
    (void)krpc_v_string(&m, &v);
    (void)krpc_read_compact(m.ip, &ip);
    if (m.type == KRPC_QUERY && m.method == KRPC_UNKNOWN)
        return 0; /* its name is not kept */
    a = krpc_write(&m, first, sizeof first);
    must(a.len > 0 && a.len <= size);
    must(krpc_parse(a, &again) == ERR_OK);
    must(again.cut_at == m.cut_at && again.cut_len == m.cut_len);
    b = krpc_write(&again, second, sizeof second);
    must(slice_equal(a, b));
    return 0;
}
