/* Promise (THREATS.md §5, "replay, delay"): each datagram of a whole call, sent again a second later, an hour later and
 * after the phones started anew, rings nothing and writes no row. */
#include "scenario/homes.h"

#include "app/app_priv.h"
#include "base/mem.h"

#define CAPTURED_MAX 8192

struct captured {
    struct sim_phone *to;
    struct addr from;
    uint16_t len;
    uint8_t *bytes;
};

static struct tape {
    struct homes *h;
    struct captured all[CAPTURED_MAX];
    unsigned n;
    bool is_on;
} tape;

static void on_packet(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                      const struct addr *to, struct slice bytes)
{
    struct homes *h = tape.h;
    struct captured *c = &tape.all[tape.n];

    (void)arg, (void)now;
    if (!tape.is_on || out || tape.n == CAPTURED_MAX || to->port != vnet_addr(host)->port)
        return;
    c->to = host == h->alice->host   ? h->alice
            : host == h->bob->host   ? h->bob
            : host == h->relay->host ? h->relay
                                     : NULL;
    if (c->to == NULL)
        return;
    c->from = *from;
    c->len = (uint16_t)bytes.len;
    c->bytes = mem_dup(bytes.data, bytes.len);
    tape.n++;
}

/* What there is to see of calls at both. */
struct rows {
    unsigned rung;
    size_t history, inbox, contacts;
    size_t calls;
};

static struct rows rows_of(const struct sim_phone *p)
{
    struct rows r = {.rung = p->n_calls,
                     .history = history_count(p->app->history),
                     .inbox = inbox_count(p->app->inbox, false),
                     .contacts = contacts_count(p->app->contacts)};

    while (calls_at(p->app->calls, r.calls) != NULL)
        r.calls++;
    return r;
}

static void same_rows(const struct rows *a, const struct rows *b)
{
    assert_int_equal(a->rung, b->rung);
    assert_int_equal(a->history, b->history);
    assert_int_equal(a->inbox, b->inbox);
    assert_int_equal(a->contacts, b->contacts);
    assert_int_equal(a->calls, b->calls);
}

/* All of it, in its order, from where it came and from elsewhere. */
static void play_again(struct homes *h)
{
    const struct addr elsewhere = addr_v4((uint8_t[]){20, 9, 9, 9}, 4000);
    struct rows alice = rows_of(h->alice), bob = rows_of(h->bob), now;

    tape.is_on = false;
    for (unsigned i = 0; i < tape.n; i++) {
        struct captured *c = &tape.all[i];

        app_input(c->to->app, vnet_now(h->net), &c->from, slice_of(c->bytes, c->len));
        app_input(c->to->app, vnet_now(h->net), &elsewhere, slice_of(c->bytes, c->len));
        vnet_run_for(h->net, 500 * NS_PER_US, NULL, NULL);
    }
    wait_for(h, 12);
    now = rows_of(h->alice);
    same_rows(&alice, &now);
    now = rows_of(h->bob);
    same_rows(&bob, &now);
}

static void know_again(struct sim_phone *p, const struct sim_phone *who)
{
    assert_true(sim_ask(p, "{\"cmd\":\"contacts_allow\",\"contact\":\"%s\"}", who->id));
}

static void whole_call(void **state)
{
    struct homes h = {0};

    (void)state;
    memset(&tape, 0, sizeof tape);
    tape.h = &h;
    build_homes(&h, 83, VNET_APD, true); /* all of the call goes through the relay */
    vnet_tap(h.net, NULL, on_packet, NULL);
    tape.is_on = true;
    sim_befriend(h.alice, "Bob", h.bob, "Alice");
    wait_for(&h, 20);
    talk(&h);
    wait_for(&h, 4);
    assert_true(sim_ask(h.alice, "{\"cmd\":\"hangup\"}"));
    wait_for(&h, 1);
    printf("%u datagrams\n", tape.n);
    assert_in_range(tape.n, 1000, CAPTURED_MAX - 1);
    assert_int_equal(h.bob->n_calls, 1);
    play_again(&h); /* a second later */
    wait_for(&h, 3600);
    play_again(&h);
    sim_phone_restart(h.alice);
    sim_phone_restart(h.bob);
    sim_phone_restart(h.relay);
    know_again(h.alice, h.bob);
    know_again(h.bob, h.alice);
    play_again(&h);
    for (unsigned i = 0; i < tape.n; i++)
        mem_free(tape.all[i].bytes);
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence(
            "a whole call sent again after a second, an hour and a restart rings nothing and writes nothing",
            whole_call),
    };

    return run_sentences("replay", tests);
}
