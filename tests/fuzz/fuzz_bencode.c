/* What ben_check() accepts can be walked, and written again to the same bytes: the form is canonical. */
#include <stdlib.h>

#include "dht/bencode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy(struct ben_wr *w, struct slice raw)
{
    struct slice key, value, s;
    struct ben_iter it;
    char name[256];
    int64_t v;

    if (ben_int(raw, &v)) {
        ben_put_int(w, v);
    } else if (ben_str(raw, &s)) {
        ben_put_str(w, s);
    } else if (ben_list(raw, &it)) {
        ben_open_list(w);
        while (ben_next(&it, &key, &value))
            copy(w, value);
        ben_close(w);
    } else if (ben_dict(raw, &it)) {
        ben_open_dict(w);
        while (ben_next(&it, &key, &value)) {
            if (key.len >= sizeof name || (key.len > 0 && memchr(key.data, 0, key.len) != NULL)) {
                w->w.failed = true; /* the writer takes texts for keys: not a finding */
                return;
            }
            if (key.len > 0)
                memcpy(name, key.data, key.len);
            name[key.len] = '\0';
            ben_put_key(w, name);
            copy(w, value);
        }
        ben_close(w);
    } else {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buf[1 << 16];
    struct slice in = slice_of(data, size);
    struct ben_wr w;

    if (size > sizeof buf || ben_check(in) != ERR_OK)
        return 0;
    ben_wr_init(&w, buf, sizeof buf);
    copy(&w, in);
    if (wr_ok(&w.w) && !slice_equal(ben_wr_done(&w), in))
        abort();
    return 0;
}
