/* Promise: a machine that slept eight hours is in its place again without a hand: its record is put anew at once, its
 * contacts see it, and it rings. While awake the record is put again each hour, at minutes that are not the same. */
#include "scenario/homes.h"

#include "app/app_priv.h"
#include "crypto/item.h"
#include "dht/krpc.h"

#define PUTS_MAX 512

static struct ear {
    struct sim_phone *of;
    struct vnet *net;
    ns_t puts[PUTS_MAX]; /* of the `dev` item of any day near this one, each moment once */
    unsigned n;
} ear;

static void on_packet(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                      const struct addr *to, struct slice bytes)
{
    const struct keyring *k = &ear.of->keys;
    struct krpc_msg m;
    uint8_t P[KEY_BYTES];
    uint64_t epoch;

    (void)arg, (void)host, (void)from, (void)to;
    if (out || bytes.len == 0 || bytes.data[0] != 'd' || krpc_parse(bytes, &m) != ERR_OK ||
        m.type != KRPC_QUERY || m.method != KRPC_PUT || m.b.k.data == NULL || ear.n == PUTS_MAX)
        return;
    epoch = item_epoch(k->publish.pub, k->S, env_wall_ms(vnet_env(ear.of->host)) / 1000);
    assert_int_equal(item_blind_public(ITEM_DEV, k->publish.pub, k->S, epoch, P), ERR_OK);
    if (memcmp(m.b.k.data, P, KEY_BYTES) == 0 && (ear.n == 0 || now > ear.puts[ear.n - 1] + 60 * NS_PER_S))
        ear.puts[ear.n++] = now;
}

static bool sees_him(void *arg)
{
    const struct homes *h = arg;
    const struct contact *who = contacts_by_id(h->alice->app->contacts, h->bob->keys.identity.pub);

    return who->presence == PRESENCE_NEWS_ONLINE;
}

static bool is_put(void *arg)
{
    const ns_t *since = arg;

    return ear.n > 0 && ear.puts[ear.n - 1] >= *since;
}

static void eight_hours(void **state)
{
    struct homes h = {.settings = "{\"net\": {\"client\": true}}"};
    unsigned n_minutes = 0;
    ns_t woken;

    (void)state;
    build_friends(&h, 89, VNET_EI);
    memset(&ear, 0, sizeof ear);
    ear.of = h.bob;
    ear.net = h.net;
    vnet_tap(h.net, NULL, on_packet, NULL);
    assert_true(sees_him(&h));
    sim_phone_sleep(h.third);
    wait_for(&h, 8000);
    printf("put %u times in 8000 s, at the minutes", ear.n);
    for (unsigned i = 0; i < ear.n; i++) {
        printf(" %u", (unsigned)(ear.puts[i] / SECONDS(60) % 60));
        n_minutes += i == 0 || ear.puts[i] / SECONDS(60) % 60 != ear.puts[i - 1] / SECONDS(60) % 60;
        assert_true(i == 0 || ear.puts[i] - ear.puts[i - 1] < SECONDS(3720));
    }
    printf("\n");
    assert_true(ear.n >= 2);
    assert_true(n_minutes >= 2);

    sim_phone_sleep(h.bob);
    wait_for(&h, 600);
    sim_phone_sleep(h.alice);
    wait_for(&h, 8 * 3600 - 1200);
    sim_phone_wake(h.alice);
    wait_for(&h, 600);
    assert_false(sees_him(&h));
    sim_phone_wake(h.bob);
    woken = vnet_now(h.net);
    assert_true(vnet_run_for(h.net, SECONDS(30), is_put, &woken));
    printf("awake: record put after %llu ms", (unsigned long long)((vnet_now(h.net) - woken) / NS_PER_MS));
    if (!sees_him(&h))
        assert_true(vnet_run_for(h.net, SECONDS(60), sees_him, &h));
    printf(", seen after %llu ms\n", (unsigned long long)((vnet_now(h.net) - woken) / NS_PER_MS));
    talk(&h);
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("after eight hours of sleep a phone is found, seen and called again without a hand",
                 eight_hours),
    };

    return run_sentences("sleep", tests);
}
