/* One message between a caretaker and its client: what parses can be written again, the same bytes. The same input as
 * the file of what a caretaker keeps: it loads what it can. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "dht/dht.h"
#include "relay/care.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(void *arg, void *out, size_t n)
{
    (void)arg;
    memset(out, 7, n);
}

static int64_t wall(void *arg)
{
    (void)arg;
    return 1767225700000; /* the time of corpus/care/state */
}

static void on_log(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

/* The dht goes when nothing is on the stack any more: here, at once. */
static void on_defer(void *arg, env_defer_cb cb, void *what)
{
    (void)arg;
    cb(what);
}

static void load(const uint8_t *data, size_t size)
{
    static const struct env_ops ops = {.random = fill, .wall_ms = wall, .defer = on_defer, .log = on_log};
    struct env env = {.ops = &ops};
    struct dht_config zone = {.profile = DHT_MAINLINE, .max_items = 1, .max_contacts = 8};
    struct care_config config = {.dht = dht_create(&zone, &env), .max_clients = 4, .kbps = 64};
    struct care_ops none = {.say = NULL};
    struct care *c = care_create(&config, &none, NULL, &env);
    size_t len;

    care_load(c, NS_PER_S, slice_of(data, size));
    mem_free(care_save(c, &len));
    care_destroy(c);
    dht_destroy(config.dht);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t buf[CARE_MESSAGE_MAX];
    struct care_msg m;
    struct slice again;

    load(data, size);
    if (care_parse(slice_of(data, size), &m) != ERR_OK) {
        assert(m.type == 0 && m.item.v_len == 0 && m.req == 0);
        return 0;
    }
    again = care_write(buf, sizeof buf, &m);
    assert(again.len == size && memcmp(again.data, data, size) == 0);
    return 0;
}
