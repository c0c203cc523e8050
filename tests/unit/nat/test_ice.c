#include "unit/test.h"

#include <stdio.h>

#include "unit/nat/ice_phone.h"

/* Two phones, each behind its NAT (or none), a STUN and TURN server, links of 10 ms. */
struct scene {
    struct vnet *net;
    struct vnet_nat *nat_a, *nat_b;
    struct fake_turn relay, relay2;
    struct phone a, b;
};

static const struct vnet_link link_10 = {.delay_ns = 10 * MS};

static void scene_begin(struct scene *s, uint64_t seed, const struct vnet_nat_config *nat_a,
                        const struct vnet_nat_config *nat_b)
{
    memset(s, 0, sizeof *s);
    s->net = vnet_create(seed);
    if (nat_a != NULL)
        s->nat_a = vnet_add_nat(s->net, NULL, "203.0.113.1", nat_a);
    if (nat_b != NULL)
        s->nat_b = vnet_add_nat(s->net, NULL, "203.0.113.2", nat_b);
    fake_turn_init(&s->relay, s->net, "198.51.100.1:3478");
    fake_turn_init(&s->relay2, s->net, "198.51.100.2:3478");
    phone_init(&s->a, s->net, s->nat_a, "alice", s->nat_a ? "192.168.1.2:4000" : "203.0.113.10:4000", true);
    phone_init(&s->b, s->net, s->nat_b, "bob", s->nat_b ? "192.168.2.2:4000" : "203.0.113.11:4000", false);
    vnet_set_link(s->a.host, &link_10);
    vnet_set_link(s->b.host, &link_10);
}

static void scene_call(struct scene *s, bool with_relay)
{
    phones_meet(&s->a, &s->b);
    phone_use_stun(&s->a, &s->relay);
    phone_use_stun(&s->b, &s->relay);
    if (with_relay) {
        phone_use_turn(&s->a, &s->relay);
        phone_use_turn(&s->b, &s->relay);
    }
}

static void scene_end(struct scene *s)
{
    phone_fini(&s->a);
    phone_fini(&s->b);
    vnet_destroy(s->net);
}

struct count {
    const char *ip;
    unsigned n;
};

static void count_sent(void *arg, ns_t now, struct vnet_host *host, bool out, const struct addr *from,
                       const struct addr *to, struct slice bytes)
{
    struct count *c = arg;
    char text[ADDR_TEXT_BYTES];

    (void)now;
    (void)host;
    (void)from;
    (void)bytes;
    if (out && strcmp(addr_print_ip(to, text), c->ip) == 0)
        c->n++;
}

static bool both_have_path(void *arg)
{
    struct scene *s = arg;

    return ice_path(s->a.ice) != NULL && ice_path(s->b.ice) != NULL;
}

static bool both_direct(void *arg)
{
    struct scene *s = arg;

    return is_direct(&s->a) && is_direct(&s->b);
}

/* Media arrives at both ends within the next second, every packet of it. */
static bool media_flows(struct scene *s)
{
    uint64_t a = s->a.n_media_in, b = s->b.n_media_in;

    vnet_run_for(s->net, NS_PER_S, NULL, NULL);
    return s->a.n_media_in - a >= 48 && s->b.n_media_in - b >= 48;
}

static void public_hosts(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, 1, NULL, NULL);
    phones_meet(&s.a, &s.b);
    assert_true(vnet_run_for(s.net, NS_PER_S, both_have_path, &s));
    /* Signalling 30 ms, then one round trip of 40 ms. */
    assert_true(vnet_now(s.net) - CLOCK_START_NS <= 30 * MS + 45 * MS);
    assert_true(media_flows(&s));
    assert_true(ice_path(s.a.ice)->is_nominated && ice_path(s.b.ice)->is_nominated);
    assert_true(addr_equal(&ice_path(s.a.ice)->remote, vnet_addr(s.b.host)));
    assert_int_equal(ice_path(s.a.ice)->local_type, CANDIDATE_HOST);
    assert_true(ice_path(s.a.ice)->rtt == 40 * MS);
    scene_end(&s);
}

static const char *const behaviour_name[] = {"EI", "AD", "APD"};

/* What RFC 4787 NATs allow, derived by hand. A NAT whose mapping is not endpoint-independent shows the peer a
 * port that nobody can know before a packet from it gets through:
 *   both mappings EI        each knows where to send: always
 *   one EI                  the other's first packet comes from an unknown port, and must pass the EI side's
 *                           filter: all but APD
 *   none EI                 a first packet must reach the port the STUN server saw (an EI filter there), the
 *                           answer must pass the sender's filter though its port is new (not APD there), and
 *                           one side at least must keep its port towards one IP (AD mapping), or every answer
 *                           comes from yet another port */
static bool may_connect(const struct vnet_nat_config *a, const struct vnet_nat_config *b)
{
    if (a->mapping == VNET_EI && b->mapping == VNET_EI)
        return true;
    if (a->mapping == VNET_EI)
        return a->filtering != VNET_APD;
    if (b->mapping == VNET_EI)
        return b->filtering != VNET_APD;
    if (a->mapping == VNET_APD && b->mapping == VNET_APD)
        return false;
    return (a->filtering == VNET_EI && b->filtering != VNET_APD) ||
           (b->filtering == VNET_EI && a->filtering != VNET_APD);
}

static void one_nat_pair(const struct vnet_nat_config *a, const struct vnet_nat_config *b, unsigned *n_direct)
{
    struct scene s;
    char name[64];

    snprintf(name, sizeof name, "%s/%s with %s/%s", behaviour_name[a->mapping], behaviour_name[a->filtering],
             behaviour_name[b->mapping], behaviour_name[b->filtering]);
    scene_begin(&s, 7, a, b);
    scene_call(&s, true);
    if (!vnet_run_for(s.net, NS_PER_S, both_have_path, &s))
        fail_msg("%s: no path within a second", name);
    vnet_run_for(s.net, 15 * NS_PER_S, NULL, NULL);
    if (is_direct(&s.a) != may_connect(a, b) || is_direct(&s.b) != may_connect(a, b))
        fail_msg("%s: direct %d and %d, theory says %d", name, is_direct(&s.a), is_direct(&s.b),
                 may_connect(a, b));
    if (!media_flows(&s))
        fail_msg("%s: claims a path, carries nothing", name);
    if (s.a.longest_gap > 100 * MS || s.b.longest_gap > 100 * MS)
        fail_msg("%s: a gap on the way from relay to direct", name);
    *n_direct += is_direct(&s.a);
    scene_end(&s);
}

static void nat_matrix(void **state)
{
    unsigned n_direct = 0;

    (void)state;
    for (unsigned k = 0; k < 81; k++) {
        struct vnet_nat_config a = {.mapping = (enum vnet_behaviour)(k / 27),
                                    .filtering = (enum vnet_behaviour)(k / 9 % 3),
                                    .ports = VNET_PORTS_RANDOM};
        struct vnet_nat_config b = {.mapping = (enum vnet_behaviour)(k / 3 % 3),
                                    .filtering = (enum vnet_behaviour)(k % 3),
                                    .ports = VNET_PORTS_RANDOM};

        one_nat_pair(&a, &b, &n_direct);
    }
    print_message("%u of 81 NAT pairs direct, the rest by relay\n", n_direct);
}

static const struct vnet_nat_config symmetric = {
    .mapping = VNET_APD, .filtering = VNET_APD, .ports = VNET_PORTS_RANDOM};
static const struct vnet_nat_config restricted = {.filtering = VNET_APD};

static void counting_nat(void **state)
{
    const struct vnet_nat_config counting = {
        .mapping = VNET_APD, .filtering = VNET_APD, .ports = VNET_PORTS_SEQUENTIAL};

    (void)state;
    for (size_t n = 0; n <= PHONE_PREDICTED; n += PHONE_PREDICTED) {
        struct scene s;

        scene_begin(&s, 3, &counting, &restricted);
        s.a.n_predicted = n;
        scene_call(&s, true);
        stun_client_ask(s.a.stun, vnet_now(s.net), vnet_addr(s.relay2.host));
        vnet_run_for(s.net, 10 * NS_PER_S, NULL, NULL);
        assert_int_equal(both_direct(&s), n > 0);
        assert_true(media_flows(&s));
        scene_end(&s);
    }
}

static void same_lan(void **state)
{
    struct scene s;

    (void)state;
    memset(&s, 0, sizeof s);
    s.net = vnet_create(3);
    s.nat_a = vnet_add_nat(s.net, NULL, "203.0.113.1", &symmetric);
    fake_turn_init(&s.relay, s.net, "198.51.100.1:3478");
    phone_init(&s.a, s.net, s.nat_a, "alice", "192.168.1.2:4000", true);
    phone_init(&s.b, s.net, s.nat_a, "bob", "192.168.1.3:4000", false);
    scene_call(&s, true);
    vnet_run_for(s.net, 3 * NS_PER_S, NULL, NULL);
    assert_true(both_direct(&s));
    assert_true(addr_equal(&ice_path(s.a.ice)->remote, vnet_addr(s.b.host)));
    scene_end(&s);
}

static void late_reflexive_address(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, 1, &restricted, &restricted);
    phones_meet(&s.a, &s.b);
    phone_use_stun(&s.b, &s.relay);
    vnet_run_for(s.net, 12 * NS_PER_S, NULL, NULL); /* alice has asked bob seven times, in vain */
    assert_null(ice_path(s.a.ice));
    phone_use_stun(&s.a, &s.relay);
    assert_true(vnet_run_for(s.net, NS_PER_S, both_direct, &s));
    assert_true(media_flows(&s));
    scene_end(&s);
}

static void no_way(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, 1, &symmetric, &symmetric);
    scene_call(&s, false);
    ice_end_of_local(s.a.ice, vnet_now(s.net));
    ice_end_of_remote(s.a.ice, vnet_now(s.net));
    vnet_run_for(s.net, 60 * NS_PER_S, NULL, NULL);
    assert_null(ice_path(s.a.ice));
    assert_null(ice_path(s.b.ice));
    assert_int_equal(s.a.n_failed, 1);
    assert_int_equal(s.b.n_failed, 1);
    assert_true(s.a.failed_at - CLOCK_START_NS <= 16 * NS_PER_S);
    assert_true(s.b.failed_at - CLOCK_START_NS <= 31 * NS_PER_S); /* nobody told bob that this was all */
    assert_int_equal(s.a.n_media_out, 0);
    scene_end(&s);
}

static void relay_first_direct_later(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, 1, &restricted, &restricted);
    s.a.hides_direct = s.b.hides_direct = true;
    scene_call(&s, true);
    assert_true(vnet_run_for(s.net, NS_PER_S, both_have_path, &s));
    vnet_run_for(s.net, 2 * NS_PER_S, NULL, NULL);
    assert_true(ice_path(s.a.ice)->is_relayed && ice_path(s.b.ice)->is_relayed);
    assert_true(media_flows(&s));

    s.a.hides_direct = s.b.hides_direct = false; /* the human answered */
    s.a.longest_gap = s.b.longest_gap = 0;
    stun_client_destroy(s.a.stun);
    stun_client_destroy(s.b.stun);
    phones_meet(&s.a, &s.b);
    phone_use_stun(&s.a, &s.relay);
    phone_use_stun(&s.b, &s.relay);
    assert_true(vnet_run_for(s.net, 2 * NS_PER_S, both_direct, &s));
    assert_true(media_flows(&s));
    assert_true(s.a.longest_gap <= 45 * MS && s.b.longest_gap <= 45 * MS); /* without a gap */
    vnet_run_for(s.net, 60 * NS_PER_S, NULL, NULL);
    assert_true(both_direct(&s));
    assert_true(ice_path(s.b.ice)->is_nominated);
    scene_end(&s);
}

static void hidden_addresses_stay_hidden(void **state)
{
    struct count to_alice = {"203.0.113.10", 0};
    struct candidate c;
    struct scene s;

    (void)state;
    scene_begin(&s, 1, NULL, NULL);
    s.b.hides_direct = true;
    vnet_tap(s.net, s.b.host, count_sent, &to_alice);
    scene_call(&s, true);
    /* alice guesses bob's address, and even knows his credentials: he answers nothing there */
    c = candidate_make(CANDIDATE_HOST, vnet_addr(s.b.host), NULL, 0, 65535);
    assert_int_equal(ice_add_remote(s.a.ice, vnet_now(s.net), &c), ERR_OK);
    vnet_run_for(s.net, 5 * NS_PER_S, NULL, NULL);
    assert_true(ice_path(s.a.ice)->is_relayed);
    assert_true(media_flows(&s));
    assert_int_equal(to_alice.n, 0);
    scene_end(&s);
}

static void relay_dies(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, 5, &symmetric, &symmetric);
    scene_call(&s, true);
    phone_use_turn(&s.a, &s.relay2);
    phone_use_turn(&s.b, &s.relay2);
    vnet_run_for(s.net, 20 * NS_PER_S, NULL, NULL);
    assert_true(media_flows(&s));
    s.a.longest_gap = s.b.longest_gap = 0;
    /* The relay in use is killed: alice's, which the path goes through. */
    {
        struct fake_turn *used = ice_path(s.a.ice)->base == 2 ? &s.relay2 : &s.relay;

        vnet_cut(used->host, true);
    }
    vnet_run_for(s.net, 5 * NS_PER_S, NULL, NULL);
    assert_true(media_flows(&s));
    print_message("sound lost when the relay in use is killed: %u and %u ms\n",
                  (unsigned)(s.a.longest_gap / MS), (unsigned)(s.b.longest_gap / MS));
    assert_true(s.a.longest_gap < 150 * MS &&
                s.b.longest_gap < 150 * MS); /* by two ways before the path moves */
    assert_int_equal(s.a.n_lost + s.b.n_lost, 0);
    assert_null(ice_standby(s.a.ice, vnet_now(s.net)));
    scene_end(&s);
}

static void direct_dies_and_comes_back(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, 5, &restricted, &restricted);
    scene_call(&s, true);
    vnet_run_for(s.net, 10 * NS_PER_S, NULL, NULL);
    assert_true(both_direct(&s));
    s.a.longest_gap = s.b.longest_gap = 0;
    vnet_cut_between(s.net, "203.0.113.1", "203.0.113.2", true);
    vnet_run_for(s.net, 2 * NS_PER_S, NULL, NULL);
    assert_false(is_direct(&s.a) || is_direct(&s.b));
    assert_true(media_flows(&s));
    print_message("sound lost when the direct path is cut: %u and %u ms\n", (unsigned)(s.a.longest_gap / MS),
                  (unsigned)(s.b.longest_gap / MS));
    assert_true(s.a.longest_gap < 300 * MS && s.b.longest_gap < 300 * MS);
    vnet_run_for(s.net, 30 * NS_PER_S, NULL, NULL);
    assert_false(is_direct(&s.a) || is_direct(&s.b));
    vnet_cut_between(s.net, "203.0.113.1", "203.0.113.2", false);
    assert_true(vnet_run_for(s.net, 60 * NS_PER_S, both_direct, &s));
    s.a.longest_gap = s.b.longest_gap = 0;
    assert_true(media_flows(&s));
    assert_true(s.a.longest_gap < 60 * MS);
    scene_end(&s);
}

static void lossy_link_does_not_flap(void **state)
{
    struct scene s;
    struct vnet_link bad = {.delay_ns = 40 * MS, .jitter_ns = 30 * MS, .loss_pct = 20, .dup_pct = 2};

    (void)state;
    scene_begin(&s, 5, &restricted, &restricted);
    vnet_set_link(s.a.host, &bad);
    scene_call(&s, true);
    vnet_run_for(s.net, 20 * NS_PER_S, NULL, NULL);
    assert_true(both_direct(&s));
    {
        unsigned before = s.a.n_paths + s.b.n_paths;

        vnet_run_for(s.net, 300 * NS_PER_S, NULL, NULL);
        print_message("path changes in 5 min at 20 %% loss: %u\n", s.a.n_paths + s.b.n_paths - before);
        assert_true(s.a.n_paths + s.b.n_paths - before <= 6);
    }
    scene_end(&s);
}

static void silence_keeps_consent(void **state)
{
    struct scene s;
    uint64_t sent;

    (void)state;
    scene_begin(&s, 5, &restricted, &restricted);
    scene_call(&s, true);
    vnet_run_for(s.net, 10 * NS_PER_S, NULL, NULL);
    s.a.next_media_at = s.b.next_media_at = NS_NEVER; /* on hold: nobody sends */
    vnet_run_for(s.net, 10 * NS_PER_S, NULL, NULL);
    sent = vnet_get_stats(s.net)->sent;
    vnet_run_for(s.net, 600 * NS_PER_S, NULL, NULL);
    assert_true(both_direct(&s));
    assert_int_equal(s.a.n_lost + s.b.n_lost, 0);
    print_message("packets a second on hold, both phones: %.2f\n",
                  (double)(vnet_get_stats(s.net)->sent - sent) / 600);
    assert_true(vnet_get_stats(s.net)->sent - sent < 600 * 6);
    scene_end(&s);
}

static void consent_ends(void **state)
{
    struct scene s;
    uint64_t sent;

    (void)state;
    scene_begin(&s, 5, NULL, NULL);
    phones_meet(&s.a, &s.b);
    vnet_run_for(s.net, 10 * NS_PER_S, NULL, NULL);
    vnet_cut(s.b.host, true);
    vnet_run_for(s.net, 23 * NS_PER_S, NULL, NULL); /* the last answer is up to 6 s old */
    assert_int_equal(s.a.n_lost, 0);
    assert_true(ice_silent_ns(s.a.ice, vnet_now(s.net)) > 22 * NS_PER_S);
    vnet_run_for(s.net, 8 * NS_PER_S, NULL, NULL);
    assert_int_equal(s.a.n_lost, 1);
    assert_null(ice_path(s.a.ice));
    sent = s.a.n_media_out;
    vnet_run_for(s.net, 100 * NS_PER_S, NULL, NULL);
    assert_true(s.a.n_media_out == sent); /* RFC 7675 §5.1 */
    scene_end(&s);
}

static void roaming(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, 5, &restricted, &restricted);
    scene_call(&s, false);
    vnet_run_for(s.net, 10 * NS_PER_S, NULL, NULL);
    assert_true(both_direct(&s));
    vnet_move(s.a.host, NULL, "203.0.113.77");
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    ice_restart(s.a.ice, vnet_now(s.net));
    ice_restart(s.b.ice, vnet_now(s.net));
    phones_meet(&s.a, &s.b);
    vnet_run_for(s.net, 3 * NS_PER_S, NULL, NULL);
    assert_true(both_direct(&s));
    assert_true(media_flows(&s));
    assert_int_equal(ice_get_stats(s.a.ice)->bad, 0);
    scene_end(&s);
}

static void restart_keeps_sound(void **state)
{
    struct scene s;
    char ufrag[ICE_CRED_MAX];

    (void)state;
    scene_begin(&s, 5, &restricted, &restricted);
    scene_call(&s, true);
    vnet_run_for(s.net, 10 * NS_PER_S, NULL, NULL);
    s.a.longest_gap = s.b.longest_gap = 0;
    strcpy(ufrag, ice_ufrag(s.a.ice));
    ice_restart(s.a.ice, vnet_now(s.net));
    assert_string_not_equal(ufrag, ice_ufrag(s.a.ice));
    phone_tell_credentials(&s.a);
    vnet_run_for(s.net, SIGNAL_NS + MS, NULL, NULL);
    ice_restart(s.b.ice, vnet_now(s.net));
    (void)ice_set_remote(s.b.ice, vnet_now(s.net), ice_ufrag(s.a.ice), ice_pwd(s.a.ice));
    phone_tell_credentials(&s.b);
    {
        const struct candidate *c;

        for (size_t n = ice_locals(s.a.ice, &c); n > 0; n--)
            phone_tell_candidate(&s.a, &c[n - 1]);
        for (size_t n = ice_locals(s.b.ice, &c); n > 0; n--)
            phone_tell_candidate(&s.b, &c[n - 1]);
    }
    vnet_run_for(s.net, 5 * NS_PER_S, NULL, NULL);
    assert_true(both_direct(&s));
    assert_true(media_flows(&s));
    assert_true(ice_path(s.a.ice)->is_nominated && ice_path(s.b.ice)->is_nominated);
    assert_true(s.a.longest_gap <= 60 * MS && s.b.longest_gap <= 60 * MS);
    scene_end(&s);
}

static void role_conflict(void **state)
{
    (void)state;
    for (int both = 0; both < 2; both++) {
        struct scene s;

        scene_begin(&s, 5, &restricted, &restricted);
        ice_destroy(s.a.ice);
        ice_destroy(s.b.ice);
        for (int k = 0; k < 2; k++) {
            struct phone *p = k ? &s.a : &s.b;
            static const struct ice_ops ops = {phone_ice_send, phone_path, phone_failed, phone_lost};

            p->ice = ice_create(&(struct ice_config){.is_controlling = both}, &ops, p, vnet_env(p->host));
        }
        scene_call(&s, true);
        vnet_run_for(s.net, 5 * NS_PER_S, NULL, NULL);
        assert_true(ice_is_controlling(s.a.ice) != ice_is_controlling(s.b.ice));
        assert_true(both_direct(&s));
        assert_true(ice_path(s.a.ice)->is_nominated && ice_path(s.b.ice)->is_nominated);
        assert_true(media_flows(&s));
        scene_end(&s);
    }
}

static struct candidate remote_at(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(text, &a), ERR_OK);
    return candidate_make(CANDIDATE_HOST, &a, NULL, 0, 65535);
}

static void foreign_candidates(void **state)
{
    static const char *const never[] = {"127.0.0.1:5000",   "224.0.0.1:5000", "0.0.0.0:5000",
                                        "[::1]:5000",       "[ff02::1]:5000", "255.255.255.255:5000",
                                        "203.0.113.10:4000"};
    struct count private_count = {"10.1.2.3", 0}, victim = {"198.51.100.99", 0};
    struct scene s;
    struct candidate c;
    ns_t start;

    (void)state;
    scene_begin(&s, 5, NULL, NULL); /* alice is at 203.0.113.10:4000, and has no private address */
    phones_meet(&s.a, &s.b);
    vnet_cut(s.b.host, true);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        c = remote_at(never[i]);
        if (ice_add_remote(s.a.ice, vnet_now(s.net), &c) != ERR_REFUSED)
            fail_msg("%s", never[i]);
    }
    vnet_tap(s.net, s.a.host, count_sent, &private_count);
    vnet_tap(s.net, s.a.host, count_sent, &victim);
    c = remote_at("10.1.2.3:5000");
    assert_int_equal(ice_add_remote(s.a.ice, vnet_now(s.net), &c), ERR_OK); /* kept, not asked */
    start = vnet_now(s.net);
    for (unsigned i = 0; i < 20; i++) {
        char text[ADDR_TEXT_BYTES];

        snprintf(text, sizeof text, "198.51.100.99:%u", 5000 + i);
        c = remote_at(text);
        assert_int_equal(ice_add_remote(s.a.ice, start, &c), i < ICE_REMOTES_MAX - 1 ? ERR_OK : ERR_FULL);
    }
    vnet_run_for(s.net, NS_PER_S, NULL, NULL);
    assert_in_range(victim.n, 15, 21); /* paced by 50 ms */
    vnet_run_for(s.net, 100 * NS_PER_S, NULL, NULL);
    assert_int_equal(private_count.n, 0);
    assert_true(victim.n <= 7 * ICE_REMOTES_MAX); /* 7 checks each */
    assert_true(victim.n >= 7 * (ICE_REMOTES_MAX - 2));
    scene_end(&s);
}

/* Two relayed ends at two relays, and nothing else, whatever is told or comes. */
static void relay_only_pairs(void **state)
{
    static const struct ice_ops ops = {phone_ice_send, phone_path, phone_failed, phone_lost};
    static const struct {
        const char *at;
        enum candidate_type type;
        enum err result;
    } theirs[] = {{"203.0.113.5:5000", CANDIDATE_HOST, ERR_REFUSED},
                  {"203.0.113.6:5000", CANDIDATE_SRFLX, ERR_REFUSED},
                  {"198.51.100.1:5001", CANDIDATE_RELAYED, ERR_OK},  /* at our own relay */
                  {"198.51.100.2:5002", CANDIDATE_RELAYED, ERR_OK}}; /* at another */
    struct ice_config config = {.is_controlling = true, .is_relay_only = true};
    struct count own = {"198.51.100.1", 0}, other = {"198.51.100.2", 0};
    struct candidate c;
    struct addr relayed;
    struct scene s;

    (void)state;
    scene_begin(&s, 5, NULL, NULL);
    ice_destroy(s.a.ice);
    s.a.ice = ice_create(&config, &ops, &s.a, vnet_env(s.a.host));
    assert_int_equal(addr_parse("198.51.100.1:5000", &relayed), ERR_OK);
    c = candidate_make(CANDIDATE_RELAYED, &relayed, NULL, 0,
                       65535); /* base 0, so that the tap sees the checks */
    assert_int_equal(ice_add_local(s.a.ice, vnet_now(s.net), &c), ERR_OK);
    assert_int_equal(ice_set_remote(s.a.ice, vnet_now(s.net), "abcdefgh", "abcdefghijklmnopqrstuvwx"),
                     ERR_OK);
    vnet_tap(s.net, s.a.host, count_sent, &own);
    vnet_tap(s.net, s.a.host, count_sent, &other);
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++) {
        assert_int_equal(addr_parse(theirs[i].at, &relayed), ERR_OK);
        c = candidate_make(theirs[i].type, &relayed, NULL, 0, 65535);
        assert_int_equal(ice_add_remote(s.a.ice, vnet_now(s.net), &c), theirs[i].result);
    }
    vnet_run_for(s.net, 20 * NS_PER_S, NULL, NULL);
    assert_int_equal(own.n, 0);
    assert_int_equal(other.n, ICE_CHECKS_MAX);
    scene_end(&s);
}

static void wrong_passwords(void **state)
{
    struct scene s;
    struct addr stranger = *vnet_addr((scene_begin(&s, 5, NULL, NULL), s.b.host));
    uint8_t buf[512], id[STUN_ID_BYTES] = {1};
    char name[64];
    struct stun_wr w;

    (void)state;
    phones_meet(&s.a, &s.b);
    vnet_run_for(s.net, 5 * NS_PER_S, NULL, NULL);
    stranger.port = 9999;
    snprintf(name, sizeof name, "%s:%s", ice_ufrag(s.a.ice), ice_ufrag(s.b.ice));
    stun_begin(&w, buf, sizeof buf, STUN_REQUEST, STUN_BINDING, id);
    stun_put(&w, STUN_USERNAME, slice_str(name));
    stun_put_u32(&w, STUN_PRIORITY, 1);
    stun_put_u64(&w, STUN_ICE_CONTROLLED, 1);
    stun_put_integrity(&w, slice_str("a guessed password......"));
    stun_put_fingerprint(&w);
    {
        uint64_t sent = vnet_get_stats(s.net)->sent;

        assert_true(ice_input(s.a.ice, vnet_now(s.net), 0, &stranger, stun_end(&w)));
        assert_true(vnet_get_stats(s.net)->sent == sent); /* not answered */
    }
    assert_int_equal(ice_get_stats(s.a.ice)->bad, 1);
    stun_begin(&w, buf, sizeof buf, STUN_REQUEST, STUN_BINDING, id);
    stun_put(&w, STUN_USERNAME, slice_str("someone:else"));
    stun_put_fingerprint(&w);
    assert_false(ice_input(s.a.ice, vnet_now(s.net), 0, &stranger, stun_end(&w)));
    stun_begin(&w, buf, sizeof buf, STUN_SUCCESS, STUN_BINDING, id);
    stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, &stranger);
    assert_false(ice_input(s.a.ice, vnet_now(s.net), 0, &stranger, stun_end(&w)));
    assert_int_equal(ice_set_remote(s.a.ice, 0, "abc", "0123456789012345678901"), ERR_RANGE);
    assert_int_equal(ice_set_remote(s.a.ice, 0, "abcd", "012345678901234567890"), ERR_RANGE);
    assert_int_equal(ice_set_remote(s.a.ice, 0, "ab d", "0123456789012345678901"), ERR_RANGE);
    scene_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("two public hosts are connected in one round trip after signalling", public_hosts),
        sentence("all 81 pairs of RFC 4787 NATs: direct exactly where theory says, else by relay",
                 nat_matrix),
        sentence("a symmetric NAT that counts its ports is met by predicted ones", counting_nat),
        sentence("two phones behind one symmetric NAT meet on the LAN", same_lan),
        sentence("a reflexive address that comes after all checks failed still connects",
                 late_reflexive_address),
        sentence("two symmetric NATs without a relay fail, once, in time", no_way),
        sentence("a call up over the relay moves to direct without a gap", relay_first_direct_later),
        sentence("an address that was not offered is not answered at", hidden_addresses_stay_hidden),
        sentence("a dying relay costs less than 300 ms of sound", relay_dies),
        sentence("a cut direct path costs less than 300 ms, and is taken up again when mended",
                 direct_dies_and_comes_back),
        sentence("a lossy link does not make the path flap", lossy_link_does_not_flap),
        sentence("a call on hold keeps its path at little cost", silence_keeps_consent),
        sentence("without answers for 30 s nothing more is sent", consent_ends),
        sentence("a phone that changed networks is found again by a restart", roaming),
        sentence("a restart makes no gap", restart_keeps_sound),
        sentence("a role conflict is settled either way", role_conflict),
        sentence("foreign candidates: never the forbidden ones, 16 of the rest, 7 checks each, paced",
                 foreign_candidates),
        sentence("relay-only asks the other side's relays, and never the one that is ours", relay_only_pairs),
        sentence("wrong passwords, strangers and forged answers change nothing", wrong_passwords),
    };

    return run_sentences("ice", tests);
}
