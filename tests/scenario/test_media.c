/* Promise (THREATS.md §4.10, §5 "media"): no (key, SSRC, index) is used twice, over hold, a cut that heals, another
 * network and another path.
 *
 * Seen on the wires: a packet of sound with the SSRC and number of an earlier one must be that one, byte by byte (it may
 * go by two paths). One key serves the whole call, as its session's exporter does. */
#include "scenario/homes.h"

#include "app/app_priv.h"
#include "base/mem.h"

#define PACKETS_MAX 16384
#define SOURCES_MAX 8

struct sound {
    uint32_t ssrc;
    int64_t index; /* roll-overs and number */
    uint64_t digest;
    uint16_t len;
};

static struct wire {
    struct sound all[PACKETS_MAX];
    unsigned n, n_again, n_reused, n_sources;
    bool is_on;
    struct {
        uint32_t ssrc;
        int64_t newest;
        const struct vnet_host *of;
    } sources[SOURCES_MAX];
} wire;

static uint64_t digest_of(struct slice b)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < b.len; i++)
        h = (h ^ b.data[i]) * 0x100000001b3u; /* FNV-1a */
    return h;
}

static void log_sound(const struct vnet_host *of, struct slice rtp)
{
    uint32_t ssrc = (uint32_t)rtp.data[8] << 24 | (uint32_t)rtp.data[9] << 16 | (uint32_t)rtp.data[10] << 8 |
                    rtp.data[11];
    uint16_t seq = (uint16_t)(rtp.data[2] << 8 | rtp.data[3]);
    struct sound s = {.ssrc = ssrc, .digest = digest_of(rtp), .len = (uint16_t)rtp.len};
    unsigned k = 0;

    while (k < wire.n_sources && wire.sources[k].ssrc != ssrc)
        k++;
    assert_true(k < SOURCES_MAX);
    if (k == wire.n_sources) {
        wire.sources[k].ssrc = ssrc;
        wire.sources[k].newest = seq;
        wire.sources[k].of = of;
        wire.n_sources++;
    }
    s.index = wire.sources[k].newest + (int16_t)(seq - (uint16_t)wire.sources[k].newest);
    if (s.index > wire.sources[k].newest)
        wire.sources[k].newest = s.index;
    for (unsigned i = 0; i < wire.n; i++) {
        if (wire.all[i].ssrc != ssrc || wire.all[i].index != s.index)
            continue;
        wire.n_again++;
        wire.n_reused += wire.all[i].digest != s.digest;
        return;
    }
    assert_true(wire.n < PACKETS_MAX);
    wire.all[wire.n++] = s;
}

/* What the two send: bare, in ChannelData, or in a Send indication (told by its size: signalling is in sessions). */
static void on_packet(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                      const struct addr *to, struct slice bytes)
{
    const struct homes *h = arg;

    (void)now, (void)from, (void)to;
    if (!wire.is_on || !out || (host != h->alice->host && host != h->bob->host) || bytes.len < 40)
        return;
    if (bytes.data[0] >= 64 && bytes.data[0] < 80) {
        size_t len = (size_t)(bytes.data[2] << 8 | bytes.data[3]);

        bytes = slice_of(bytes.data + 4, len < bytes.len - 4 ? len : bytes.len - 4);
    }
    if (bytes.data[0] < 128 || bytes.data[0] >= 192 || (bytes.data[1] >= 192 && bytes.data[1] < 224))
        return;
    log_sound(host, bytes);
}

static void move(struct homes *h, struct vnet_nat *nat, const char *ip)
{
    vnet_move(h->alice->host, nat, ip);
    wait_for(h, 1);
    app_network_changed(h->alice->app, vnet_now(h->net));
}

static void hold(struct homes *h, struct sim_phone *p, bool is_on)
{
    assert_true(sim_ask(p, "{\"cmd\":\"hold\",\"on\":%s}", is_on ? "true" : "false"));
    wait_for(h, 3);
}

static void one_call(void **state)
{
    const struct vnet_nat_config config = {.filtering = VNET_APD};
    struct homes h = {0};
    struct vnet_nat *office;

    (void)state;
    memset(&wire, 0, sizeof wire);
    wire.is_on = true;
    build_friends(&h, 88, VNET_EI);
    office = vnet_add_nat(h.net, NULL, "203.0.113.9", &config);
    vnet_tap(h.net, NULL, on_packet, &h);
    talk(&h);
    assert_true(
        reach(h.alice, "in_call", "direct_punched", SECONDS(5))); /* from the relay to a direct path */
    wait_for(&h, 3);
    hold(&h, h.alice, true);
    hold(&h, h.alice, false);
    hold(&h, h.bob, true);
    hold(&h, h.bob, false);
    vnet_cut(h.bob->host, true); /* a cut that heals: new checks, or a new ICE */
    assert_true(reach(h.alice, "reconnecting", NULL, SECONDS(4)));
    wait_for(&h, 2);
    vnet_cut(h.bob->host, false);
    assert_true(reach(h.alice, "in_call", NULL, SECONDS(10)));
    move(&h, office, "10.1.1.7");
    wait_for(&h, 20);
    assert_string_equal(h.alice->state, "in_call");
    assert_string_equal(h.bob->state, "in_call");
    printf("%u packets of %u sources, %u of them by two ways, %u numbers used twice; paths %s\n", wire.n,
           wire.n_sources, wire.n_again, wire.n_reused, h.alice->paths_seen);
    assert_int_equal(wire.n_sources, 2); /* so the numbers are of one source each, and never start again */
    assert_true(wire.n > 3000);
    assert_int_equal(wire.n_reused, 0);
    wire.is_on = false;
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("no number of a source is used for two packets, over hold, a cut, another network and path",
                 one_call),
    };

    return run_sentences("media", tests);
}
