/* What another device of ours may say: any bytes, cut into messages by a length before each; the list stays a list that
 * can be read back, within its caps. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/secret.h"
#include "store/mirror.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_random(void *world, void *out, size_t n)
{
    (void)world;
    memset(out, 7, n);
}

static int64_t on_wall(void *world)
{
    (void)world;
    return 1795305600000;
}

static void on_log(void *world, enum log_level level, const char *line)
{
    (void)world;
    (void)level;
    (void)line;
}

static void on_send(void *arg, uint8_t slot, struct slice msg)
{
    (void)arg;
    (void)slot;
    assert(msg.len > 0 && msg.len <= MIRROR_PAGE_BYTES);
}

static void on_leaving(void *arg, struct contact *who)
{
    (void)arg;
    (void)who;
}

static void on_applied(void *arg)
{
    (void)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct env_ops world = {.random = on_random, .wall_ms = on_wall, .log = on_log};
    static const struct env env = {.ops = &world};
    const struct mirror_ops ops = {.send = on_send, .leaving = on_leaving, .applied = on_applied};
    struct mirror_config config = {.contacts = contacts_create(NULL, NULL), .slot = 0};
    struct contacts *again = contacts_create(NULL, NULL);
    struct contacts_import counts;
    struct err_detail detail;
    struct mirror *m;
    char *text;

    crypto_init();
    m = mirror_create(&config, &ops, &env);
    mirror_up(m, NS_PER_S, 1);
    while (size > 2) {
        size_t len = (size_t)(data[0] << 8 | data[1]);

        len = len < size - 2 ? len : size - 2;
        mirror_message(m, 2 * NS_PER_S, 1, slice_of(data + 2, len));
        data += 2 + len;
        size -= 2 + len;
    }
    mirror_tick(m, 90 * NS_PER_S);
    assert(contacts_count(config.contacts) <= CONTACTS_MAX);
    text = contacts_print(config.contacts);
    assert(contacts_import(again, NS_PER_S, "again", slice_str(text), &counts, &detail) == ERR_OK);
    mem_free(text);
    mirror_destroy(m);
    contacts_destroy(config.contacts);
    contacts_destroy(again);
    return 0;
}
