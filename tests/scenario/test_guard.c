/* Promise (THREATS.md §1, "Relay / proxy", and §4.3): what a guard says of a record is hearsay. A forged, replayed,
 * expired, oversize or wrong-key one is never used, and never stops the search: the next guard is asked.
 *
 * One of alice's guards gets to say what it likes on each look-up; then she asks the others, who look truly. */
#include "scenario/homes.h"

#include "app/app_priv.h"
#include "crypto/item.h"
#include "dht/dht.h"

#define SEARCHES 40
#define LIES     2500 /* on each */

struct search {
    const uint8_t *P, *X;
    bool is_done;
    enum err e;
    unsigned n_used, n_false;
    uint8_t D[KEY_BYTES];
};

static bool on_value(void *arg, const struct item *item)
{
    struct search *s = arg;
    uint8_t plain[ITEM_PLAIN_MAX];
    struct dev_record record;
    size_t len;

    if (item_open(s->X, s->P, slice_of(item->v, item->v_len), plain, &len) != ERR_OK ||
        dev_record_parse(slice_of(plain, len), &record) != ERR_OK)
        return false;
    s->n_used++;
    s->n_false += memcmp(record.D, s->D, KEY_BYTES) != 0;
    return true;
}

static void on_done(void *arg, enum err e, const struct dht_result *result)
{
    struct search *s = arg;

    (void)result;
    s->is_done = true;
    s->e = e;
}

static bool is_over(void *arg)
{
    return ((struct search *)arg)->is_done;
}

/* The i-th lie about `truth`; `others` is signed well by somebody else. */
static void lie(const struct env *env, unsigned i, const struct item *truth, const struct item *others,
                struct item *out)
{
    uint32_t dice = env_random_u32(env);

    *out = *truth;
    out->seq += 1 + i;
    switch (i % 6) {
    case 0:
        out->v[dice % out->v_len] ^= 1;
        break;
    case 1:
        out->sig[dice % SIG_BYTES] ^= 4;
        break;
    case 2:
        out->k[dice % KEY_BYTES] ^= 1;
        break;
    case 3: /* as it is */
        *out = *others;
        break;
    case 4: /* under the name that was asked for */
        *out = *others;
        memcpy(out->k, truth->k, KEY_BYTES);
        break;
    default:
        env_random(env, out->v, CARE_V_MAX);
        out->v_len = CARE_V_MAX;
        break;
    }
}

/* The link she would ask first. */
static int first_guard(struct homes *h)
{
    struct relays_link link;

    for (uint16_t pass = 0; pass < 2; pass++)
        for (uint16_t i = 0; i < RELAYS_LINKS; i++) {
            relays_link(h->alice->app->relays, i, &link);
            if (link.is_up && (pass == 1 || link.is_relay))
                return i;
        }
    return -1;
}

static void a_lying_guard(void **state)
{
    struct homes h = {0};
    struct search s = {0};
    struct items_ops items;
    struct item truth, others;
    struct keyring *bob;
    const struct env *env;
    uint8_t P[KEY_BYTES], plain[64] = {0};
    unsigned n_lies = 0, n_found = 0;
    uint64_t epoch;
    int guard;

    (void)state;
    build_friends(&h, 81, VNET_EI);
    wait_for(&h, 20);
    bob = &h.bob->keys;
    env = vnet_env(h.alice->host);
    epoch = item_epoch(bob->publish.pub, bob->S, env_wall_ms(env) / 1000);
    assert_int_equal(item_blind_public(ITEM_DEV, bob->publish.pub, bob->S, epoch, P), ERR_OK);
    assert_int_equal(item_build(env, ITEM_DEV, &bob->publish, bob->S, epoch, env_wall_ms(env) / 1000 + 10,
                                slice_of(plain, sizeof plain), &truth),
                     ERR_OK);
    assert_int_equal(item_build(env, ITEM_DEV, &h.third->keys.publish, bob->S, epoch, truth.seq + 1000000,
                                slice_of(plain, sizeof plain), &others),
                     ERR_OK);
    keepers_items(h.alice->app->keepers, &items);
    guard = first_guard(&h);
    assert_true(guard >= 0);
    for (unsigned i = 0; i < SEARCHES; i++) {
        struct care_msg done = {.type = CARE_DONE};
        uint8_t buf[CARE_MESSAGE_MAX];

        s = (struct search){.P = P, .X = bob->S};
        memcpy(s.D, bob->device.pub, KEY_BYTES);
        done.req = items.get(items.arg, vnet_now(h.net), P, 0, on_value, on_done, &s);
        assert_true(done.req != 0);
        vnet_run_for(h.net, 5 * NS_PER_MS, NULL, NULL); /* asked, and not answered yet: 30 ms away */
        for (unsigned k = 0; k < LIES; k++) {
            struct care_msg m = {.type = CARE_VALUE, .req = done.req};

            lie(env, n_lies++, &truth, &others, &m.item);
            records_keeper_message(h.alice->app, vnet_now(h.net), (uint16_t)guard,
                                   care_write(buf, sizeof buf, &m));
        }
        records_keeper_message(h.alice->app, vnet_now(h.net), (uint16_t)guard,
                               care_write(buf, sizeof buf, &done));
        vnet_run_for(h.net, SECONDS(15), is_over, &s);
        assert_true(s.is_done);
        assert_int_equal(s.n_false, 0);
        n_found += s.e == ERR_OK && s.n_used > 0;
        wait_for(&h, 10); /* nodes look up so often for one client, and no more */
    }
    printf("%u lies of a guard in %d look-ups: 0 used, %u found the true record\n", n_lies, SEARCHES,
           n_found);
    assert_int_equal(n_found, SEARCHES);
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a guard's forged records are never used, and the search goes on by another guard",
                 a_lying_guard),
    };

    return run_sentences("guard", tests);
}
