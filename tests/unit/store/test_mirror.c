/* Devices of one identity over a line that loses and reorders: whatever is done where, the lists end the same. */
#include "unit/store/folder.h"

#include "store/mirror.h"
#include "unit/crypto/world.h"

#define NODES    3
#define LINE_MAX 512
#define MS       NS_PER_MS

struct node {
    struct net *net;
    uint8_t slot;
    bool is_off;
    struct contacts *contacts;
    struct mirror *mirror;
    unsigned n_leaving, n_applied;
};

struct net {
    struct test_world world;
    struct env env;
    ns_t now;
    unsigned loss_pct;
    struct node nodes[NODES];
    unsigned n_nodes, n_line;
    size_t n_sent, n_bytes;
    struct {
        ns_t at;
        uint8_t from, to;
        size_t len;
        uint8_t *data;
    } line[LINE_MAX];
};

static void on_send(void *arg, uint8_t slot, struct slice msg)
{
    struct node *n = arg;
    struct net *net = n->net;

    assert_true(msg.len <= MIRROR_PAGE_BYTES);
    net->n_sent++;
    net->n_bytes += msg.len;
    if (slot >= net->n_nodes || net->nodes[slot].is_off || n->is_off ||
        env_random_u32(&net->env) % 100 < net->loss_pct)
        return;
    assert_true(net->n_line < LINE_MAX);
    net->line[net->n_line].at = net->now + (10 + env_random_u32(&net->env) % 80) * MS;
    net->line[net->n_line].from = n->slot;
    net->line[net->n_line].to = slot;
    net->line[net->n_line].len = msg.len;
    net->line[net->n_line].data = mem_alloc(msg.len + 1);
    memcpy(net->line[net->n_line++].data, msg.data, msg.len);
}

static void on_leaving(void *arg, struct contact *who)
{
    struct node *n = arg;

    assert_int_equal(who->list, CONTACT_ALLOWED);
    n->n_leaving++;
}

/* As the app does: the main device works the pair secret out of every new entry. */
static void compute_T(struct node *n)
{
    for (size_t i = 0; n->slot == 0 && i < contacts_count(n->contacts); i++) {
        struct contact *who = contacts_at(n->contacts, i);

        memcpy(who->T, who->id, KEY_BYTES);
        who->T[0] ^= 0x55;
        who->has_T = true;
    }
}

static void on_applied(void *arg)
{
    struct node *n = arg;

    n->n_applied++;
    compute_T(n);
}

static void start(struct node *n, const char *path)
{
    struct mirror_config config = {
        .contacts = n->contacts, .path = path, .slot = n->slot, .is_main = n->slot == 0};
    struct mirror_ops ops = {.arg = n, .send = on_send, .leaving = on_leaving, .applied = on_applied};

    memcpy(config.self, id_of(9999), KEY_BYTES);
    n->mirror = mirror_create(&config, &ops, &n->net->env);
}

static void begin(struct net *net, unsigned n_nodes, unsigned loss_pct)
{
    crypto_init();
    *net = (struct net){.world = {.state = 88172645463325252ull, .wall_ms = 1795305600000},
                        .n_nodes = n_nodes,
                        .loss_pct = loss_pct,
                        .now = NS_PER_S};
    net->env = world_env(&net->world);
    for (unsigned i = 0; i < n_nodes; i++) {
        net->nodes[i] =
            (struct node){.net = net, .slot = (uint8_t)i, .contacts = contacts_create(NULL, NULL)};
        start(&net->nodes[i], NULL);
    }
}

static void meet(struct net *net, unsigned a, unsigned b)
{
    mirror_up(net->nodes[a].mirror, net->now, (uint8_t)b);
    mirror_up(net->nodes[b].mirror, net->now, (uint8_t)a);
}

static void part(struct net *net, unsigned a, unsigned b)
{
    mirror_down(net->nodes[a].mirror, (uint8_t)b);
    mirror_down(net->nodes[b].mirror, (uint8_t)a);
}

static void run(struct net *net, unsigned seconds)
{
    ns_t end = net->now + seconds * NS_PER_S;

    for (unsigned i = 0; i < net->n_nodes; i++)
        mirror_changed(net->nodes[i].mirror, net->now);
    while (net->now < end) {
        ns_t at = end;
        unsigned next = 0;

        for (unsigned i = 0; i < net->n_line; i++)
            if (net->line[i].at < at) {
                at = net->line[i].at;
                next = i + 1;
            }
        for (unsigned i = 0; i < net->n_nodes; i++)
            if (mirror_deadline(net->nodes[i].mirror) < at) {
                at = mirror_deadline(net->nodes[i].mirror);
                next = 0;
            }
        net->now = at > net->now ? at : net->now;
        if (next > 0) {
            uint8_t *data = net->line[next - 1].data, from = net->line[next - 1].from;
            struct node *to = &net->nodes[net->line[next - 1].to];
            size_t len = net->line[next - 1].len;

            net->line[next - 1] = net->line[--net->n_line];
            mirror_message(to->mirror, net->now, from, slice_of(data, len));
            mem_free(data);
        }
        for (unsigned i = 0; i < net->n_nodes; i++) {
            if (mirror_deadline(net->nodes[i].mirror) <= net->now)
                mirror_tick(net->nodes[i].mirror, net->now);
            mirror_changed(net->nodes[i].mirror, net->now);
        }
    }
}

static void end(struct net *net)
{
    for (unsigned i = 0; i < net->n_line; i++)
        mem_free(net->line[i].data);
    for (unsigned i = 0; i < net->n_nodes; i++) {
        mirror_destroy(net->nodes[i].mirror);
        contacts_destroy(net->nodes[i].contacts);
    }
}

static struct contact *add(struct node *n, unsigned person, const char *name)
{
    struct contact *who;

    assert_int_equal(
        contacts_add(n->contacts, n->net->now, id_of(person), name, CONTACT_ALLOWED, 1000, &who, NULL),
        ERR_OK);
    compute_T(n);
    return who;
}

static struct contact *of(struct node *n, unsigned person)
{
    return contacts_by_id(n->contacts, id_of(person));
}

/* The same text, whatever the order of entries; and settled. */
static void all_the_same(struct net *net)
{
    for (unsigned i = 1; i < net->n_nodes; i++) {
        const struct contacts *a = net->nodes[0].contacts, *b = net->nodes[i].contacts;

        assert_int_equal(contacts_count(a), contacts_count(b));
        for (size_t k = 0; k < contacts_count(a); k++) {
            const struct contact *x = contacts_at(a, k), *y = contacts_by_id(b, x->id);

            assert_non_null(y);
            assert_string_equal(x->name, y->name);
            assert_int_equal(x->list, y->list);
            assert_int_equal(x->policy, y->policy);
            assert_int_equal(x->is_verified, y->is_verified);
            assert_true(x->has_T && y->has_T);
            assert_memory_equal(x->T, y->T, KEY_BYTES);
            assert_int_equal(x->has_S, y->has_S);
            assert_memory_equal(x->S, y->S, KEY_BYTES);
        }
    }
}

static void whoever_changes(void **state)
{
    struct net net;
    struct node *main = &net.nodes[0], *linked = &net.nodes[1];

    (void)state;
    begin(&net, 2, 20);
    for (unsigned i = 1; i <= 100; i++)
        add(main, i, "");
    of(main, 7)->has_S = true;
    of(main, 7)->S_gen = 3;
    memset(of(main, 7)->S, 9, KEY_BYTES);
    meet(&net, 0, 1);
    run(&net, 60);
    all_the_same(&net);
    assert_true(mirror_is_settled(main->mirror, 1) && mirror_is_settled(linked->mirror, 0));
    assert_int_equal(contacts_count(linked->contacts), 100);
    assert_true(of(linked, 7)->has_S && of(linked, 7)->is_T_kept);
    /* on the linked one: add, rename, block, remove, undo; the pair secret comes from the main one */
    add(linked, 201, "New");
    assert_int_equal(contacts_rename(linked->contacts, net.now, of(linked, 1), "One", NULL), ERR_OK);
    assert_int_equal(contacts_set_list(linked->contacts, net.now, of(linked, 2), CONTACT_BLOCKED, NULL),
                     ERR_OK);
    assert_int_equal(contacts_remove(linked->contacts, net.now, of(linked, 3), NULL), ERR_OK);
    run(&net, 60);
    all_the_same(&net);
    assert_string_equal(of(main, 1)->name, "One");
    assert_null(of(main, 3));
    assert_int_equal(main->n_leaving, 2);
    assert_true(contacts_owes_S(linked->contacts));
    assert_false(contacts_owes_S(main->contacts)); /* the other one owes it */
    assert_int_equal(contacts_remove(main->contacts, net.now, of(main, 4), NULL), ERR_OK);
    run(&net, 30);
    assert_null(of(linked, 4));
    assert_int_equal(contacts_undo(main->contacts, net.now - 20 * NS_PER_S, NULL), ERR_OK);
    run(&net, 30);
    all_the_same(&net);
    assert_non_null(of(linked, 4));
    end(&net);
}

/* A change costs one page and its acknowledgement, whoever has how many contacts; silence costs nothing. */
static void only_what_changed(void **state)
{
    struct net net;
    size_t bytes;

    (void)state;
    begin(&net, 2, 0);
    for (unsigned i = 1; i <= 500; i++)
        add(&net.nodes[0], i, "");
    meet(&net, 0, 1);
    run(&net, 60);
    all_the_same(&net);
    bytes = net.n_bytes;
    run(&net, 3600);
    assert_int_equal(net.n_bytes, bytes);
    assert_int_equal(contacts_rename(net.nodes[1].contacts, net.now, of(&net.nodes[1], 9), "Nine", NULL),
                     ERR_OK);
    run(&net, 60);
    assert_string_equal(of(&net.nodes[0], 9)->name, "Nine");
    assert_true(net.n_bytes - bytes < 400);
    end(&net);
}

static void apart_then_together(void **state)
{
    struct net net;
    struct node *a = &net.nodes[0], *b = &net.nodes[1], *c = &net.nodes[2];

    (void)state;
    begin(&net, 3, 20);
    for (unsigned i = 1; i <= 20; i++)
        add(a, i, "");
    meet(&net, 0, 1);
    meet(&net, 0, 2);
    run(&net, 60);
    all_the_same(&net);
    part(&net, 0, 1);
    part(&net, 0, 2);
    /* each does something else with the same people, and calls two people by one name */
    assert_int_equal(contacts_rename(a->contacts, net.now, of(a, 1), "A", NULL), ERR_OK);
    assert_int_equal(contacts_rename(b->contacts, net.now, of(b, 1), "B", NULL), ERR_OK);
    assert_int_equal(contacts_remove(c->contacts, net.now, of(c, 1), NULL), ERR_OK);
    assert_int_equal(contacts_set_verified(b->contacts, of(b, 2), true, NULL), ERR_OK);
    add(a, 301, "Bob");
    add(b, 302, "Bob");
    add(c, 303, "Bob");
    run(&net, 5);
    meet(&net, 1, 2); /* the linked two first, without the main one */
    run(&net, 60);
    meet(&net, 0, 2);
    run(&net, 120);
    all_the_same(&net);
    assert_true(of(a, 2)->is_verified);
    assert_non_null(contacts_find(a->contacts, "Bob", NULL));
    assert_non_null(contacts_find(a->contacts, "Bob 2", NULL));
    assert_non_null(contacts_find(a->contacts, "Bob 3", NULL));
    end(&net);
}

/* Versions outlive the program, and a hand in contacts.json counts as a change. */
static void after_a_restart(void **state)
{
    struct folder f;
    struct net net;
    struct node *linked = &net.nodes[1];
    char path[80], *text, *at;

    (void)state;
    folder_make(&f, "contacts.json", "contacts.state");
    snprintf(path, sizeof path, "%s/mirror.state", f.dir);
    begin(&net, 2, 0);
    mirror_destroy(linked->mirror);
    contacts_destroy(linked->contacts);
    linked->contacts = contacts_create(f.path[0], f.path[1]);
    start(linked, path);
    add(&net.nodes[0], 1, "Kenji");
    add(&net.nodes[0], 2, "Hanako");
    add(&net.nodes[0], 3, "Taro");
    meet(&net, 0, 1);
    run(&net, 30);
    all_the_same(&net);
    part(&net, 0, 1);
    assert_int_equal(contacts_save_state(linked->contacts, NULL), ERR_OK);
    mirror_destroy(linked->mirror);
    contacts_destroy(linked->contacts);
    assert_int_equal(contacts_rename(net.nodes[0].contacts, net.now, of(&net.nodes[0], 1), "Ken", NULL),
                     ERR_OK);
    assert_int_equal(contacts_remove(net.nodes[0].contacts, net.now, of(&net.nodes[0], 3), NULL), ERR_OK);
    text = mem_str(get_file(f.path[0]));
    at = strstr(text, "Hanako");
    memcpy(at, "HANAKO", 6);
    put_file(f.path[0], text);
    mem_free(text);
    linked->contacts = contacts_create(f.path[0], f.path[1]);
    assert_int_equal(contacts_load(linked->contacts, NULL), ERR_OK);
    assert_true(of(linked, 2)->has_T);
    start(linked, path);
    meet(&net, 0, 1);
    run(&net, 30);
    all_the_same(&net);
    assert_string_equal(of(linked, 1)->name, "Ken");
    assert_string_equal(of(&net.nodes[0], 2)->name, "HANAKO");
    assert_null(of(linked, 3));
    end(&net);
    folder_remove(&f);
}

static void as_many_as_there_may_be(void **state)
{
    struct net net;
    struct node *a = &net.nodes[0], *b = &net.nodes[1];

    (void)state;
    begin(&net, 2, 2);
    for (unsigned i = 1; i <= 1500; i++)
        add(a, i, "");
    for (unsigned i = 3001; i <= 3300; i++)
        add(b, i, "");
    meet(&net, 0, 1);
    run(&net, 120);
    all_the_same(&net);
    assert_int_equal(contacts_count(b->contacts), 1800);
    end(&net);
}

/* A stolen device, not struck off yet: nothing it says breaks anything or grows beyond the caps. */
static void what_makes_no_sense(void **state)
{
    struct net net;
    struct node *a = &net.nodes[0];
    uint8_t bytes[300];
    size_t count;

    (void)state;
    begin(&net, 2, 0);
    add(a, 1, "Kenji");
    meet(&net, 0, 1);
    run(&net, 10);
    count = contacts_count(a->contacts);
    for (unsigned i = 0; i < 20000; i++) {
        size_t len = env_random_u32(&net.env) % sizeof bytes;

        env_random(&net.env, bytes, sizeof bytes);
        bytes[0] = (uint8_t)(MIRROR_FIRST + i % 4);
        bytes[8] = 0;
        bytes[9] %= 3;
        mirror_message(a->mirror, net.now, 1, slice_of(bytes, len));
        net.n_line = 0;
    }
    mirror_message(a->mirror, net.now, 77, slice_of(bytes, sizeof bytes));
    assert_int_equal(contacts_count(a->contacts), count);
    end(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("what is done on one device is done on the other", whoever_changes),
        sentence("a change is sent alone, and silence costs nothing", only_what_changed),
        sentence("three that were apart agree, whoever meets first", apart_then_together),
        sentence("versions outlive the program, a hand in the file counts", after_a_restart),
        sentence("1,800 people of two devices", as_many_as_there_may_be),
        sentence("nonsense of a stolen device changes nothing", what_makes_no_sense),
    };

    return run_sentences("mirror", tests);
}
