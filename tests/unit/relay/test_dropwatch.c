/* A caretaker of the shipped kind on one of four nodes, in virtual time: what it does at the drops of a client who is away. */
#include "unit/dht/bed.h"
#include "unit/dht/pow_nonces.h"

#include "dht/krpc.h"
#include "relay/care.h"
#include "relay/dropwatch.h"

#define NODES      4
#define WRITER     1
#define MINUTES(n) (60 * (n)*NS_PER_S)
#define HOURS(n)   MINUTES(60 * (n))
#define DAYS(n)    HOURS(24 * (n))
#define SESSION    77

enum { LAST, THIS, NEXT };

static struct bed b;
static struct care *care;
static const uint8_t account[KEY_BYTES] = {9};
static ns_t heard;

/* What the client hears, and what the overlay hears of the caretaker. */
static struct {
    unsigned news, blobs, done_n, kept_why, is_taken;
    bool is_done;
    unsigned char first_of_blob[64];
    unsigned reads[CARE_WEEKS], observes[CARE_WEEKS];
    ns_t observed_at, longest_gap;
} seen;

static void drop_of(int week, uint8_t out[static CARE_DROP_BYTES])
{
    memset(out, week == THIS ? 7 : 70 + week, CARE_DROP_BYTES);
}

static void on_packet(struct bed *bed, const struct addr *from, const struct addr *to, struct slice bytes)
{
    struct krpc_msg m;
    uint8_t drop[CARE_DROP_BYTES];

    (void)to;
    if (!addr_equal(from, &bed->nodes[0].addr) || krpc_parse(bytes, &m) != ERR_OK || m.type != KRPC_QUERY ||
        m.b.target.data == NULL)
        return;
    for (int week = LAST; week <= NEXT; week++) {
        drop_of(week, drop);
        if (memcmp(m.b.target.data, drop, sizeof drop) != 0)
            continue;
        seen.reads[week] += m.method == KRPC_DROP_GET;
        if (m.method != KRPC_OBSERVE)
            continue;
        seen.observes[week]++;
        if (seen.observed_at != 0 && bed->now - seen.observed_at > seen.longest_gap)
            seen.longest_gap = bed->now - seen.observed_at;
        seen.observed_at = bed->now;
    }
}

static void on_say(void *arg, uint64_t ref, struct slice bytes)
{
    struct care_msg m;

    (void)arg;
    assert_int_equal(ref, SESSION);
    assert_int_equal(care_parse(bytes, &m), ERR_OK);
    seen.news += m.type == CARE_NEWS;
    if (m.type == CARE_BLOB)
        seen.first_of_blob[seen.blobs++ % 64] = m.blob[0];
    if (m.type == CARE_DONE) {
        seen.is_done = true;
        seen.done_n = m.n;
    }
    if (m.type == CARE_KEPT) {
        seen.kept_why = m.why;
        seen.is_taken = m.flags & CARE_FLAG_TAKEN;
    }
}

static ns_t on_heard_at(void *arg, uint64_t ref)
{
    (void)arg, (void)ref;
    return heard;
}

static void on_notify(void *arg, const uint8_t target[DHT_ID_BYTES])
{
    (void)arg;
    if (care != NULL)
        care_notified(care, b.now, target);
}

static void run(ns_t duration)
{
    ns_t until = b.now + duration;

    while (b.now < until) {
        ns_t at = ns_min(care_deadline(care), until);

        while (bed_step(&b, at))
            at = ns_min(care_deadline(care), until);
        b.now = at > b.now ? at : b.now;
        care_tick(care, b.now);
        bed_end_turn(&b, &b.nodes[0]);
    }
}

static void say(const struct care_msg *m)
{
    uint8_t buf[CARE_MESSAGE_MAX];

    heard = b.now;
    care_message(care, b.now, SESSION, account, care_write(buf, sizeof buf, m));
    bed_end_turn(&b, &b.nodes[0]);
}

static void forget(void)
{
    memset(&seen, 0, sizeof seen);
}

static void leave(void)
{
    care_closed(care, b.now, SESSION);
}

static void make_care(void)
{
    struct care_config config = {.dht = b.nodes[0].dht, .max_clients = 600, .kbps = 64};
    struct care_ops ops = {.say = on_say, .heard_at = on_heard_at};
    static struct env env;

    env = (struct env){.ops = &bed_env_ops, .world = &b.nodes[0]};
    dht_items(config.dht, &config.items);
    care = care_create(&config, &ops, NULL, &env);
}

static void begin_with(uint32_t nodes, uint64_t seed)
{
    bed_init(&b, nodes, seed);
    b.nodes[0].config.events.notify = on_notify;
    bed_join_all(&b, NS_PER_S);
    b.tap = on_packet;
    make_care();
    forget();
}

static void begin(uint64_t seed)
{
    begin_with(NODES, seed);
}

static void end(void)
{
    care_destroy(care);
    care = NULL;
    bed_fini(&b);
}

/* Somebody leaves a request, with work that was done before. */
static void put(unsigned blob_of, uint32_t n)
{
    uint8_t blob[CARE_BLOB_BYTES], nonce[CARE_NONCE_BYTES] = {0}, drop[CARE_DROP_BYTES];
    struct bed_result r = {0};

    drop_of(THIS, drop);
    memset(blob, (int)blob_of, sizeof blob);
    for (int i = 0; i < 4; i++)
        nonce[4 + i] = (uint8_t)(n >> (24 - 8 * i));
    assert_true(dht_drop_put(b.nodes[WRITER].dht, b.now, drop, blob, nonce, bed_on_done, &r) != 0);
    bed_end_turn(&b, &b.nodes[WRITER]);
    for (int i = 0; i < 600 && !r.is_done; i++)
        run(100 * NS_PER_MS);
    assert_int_equal(r.e, ERR_OK);
}

static struct care_msg watch_msg(void)
{
    struct care_msg m = {.type = CARE_WATCH, .req = 1};

    m.week = drop_week(dht_zone_time_ms(b.nodes[0].dht, b.now) / 1000);
    for (int week = LAST; week <= NEXT; week++)
        drop_of(week, m.drops[week]);
    return m;
}

static void watch(void)
{
    struct care_msg m = watch_msg();

    say(&m);
    assert_true(seen.is_taken);
}

static void look(int week)
{
    struct care_msg m = {.type = CARE_LOOK, .req = 2};

    drop_of(week, m.drop);
    say(&m);
}

static void seven_days(void **state)
{
    unsigned n_this, n_next;

    (void)state;
    begin(31);
    watch();
    leave();
    run(DAYS(6) + HOURS(20));
    n_this = seen.observes[THIS];
    n_next = seen.observes[NEXT];
    printf("%u observations of this week's drop, %u of the next one's, %u of last week's; longest time "
           "without %.0f "
           "min; reads %u, %u, %u\n",
           n_this, n_next, seen.observes[LAST], (double)seen.longest_gap / MINUTES(1.), seen.reads[LAST],
           seen.reads[THIS], seen.reads[NEXT]);
    assert_int_equal(seen.observes[LAST], 0);
    assert_true(n_this > 0 && n_next > 0);        /* the week turned in between */
    assert_true(seen.longest_gap <= MINUTES(50)); /* and does so for all at another minute */
    assert_true(seen.reads[LAST] > 0 && seen.reads[NEXT] > 0);
    run(HOURS(6));
    forget();
    run(DAYS(2));
    assert_int_equal(seen.observes[THIS] + seen.observes[NEXT] + seen.reads[THIS] + seen.reads[NEXT], 0);
    end();
}

static void fetched(void **state)
{
    (void)state;
    begin(32);
    watch();
    run(MINUTES(1));
    leave();
    run(HOURS(3));
    forget();
    put(0, MINED[0]);
    run(MINUTES(1));
    assert_true(seen.reads[THIS] > 0); /* at once, as the nodes told of it */
    assert_int_equal(seen.news, 0);
    run(HOURS(1));

    forget();
    watch();
    run(MINUTES(20));
    printf("told of news %u times in 20 min\n", seen.news);
    assert_in_range(seen.news, 2, 8);
    forget();
    look(THIS);
    assert_true(seen.is_done);
    assert_int_equal(seen.done_n, 1);
    assert_int_equal(seen.blobs, 1);
    assert_int_equal(seen.reads[THIS], 0); /* from what was kept */
    forget();
    run(MINUTES(5));
    assert_int_equal(seen.news, 0);

    put(1, MINED[1]); /* while the client is here */
    run(NS_PER_S);
    assert_true(seen.news > 0);
    look(THIS);
    assert_int_equal(seen.blobs, 2);
    end();
}

/* In a small zone requests lie at the caretaker itself, and nobody else could tell it. */
static void at_itself(void **state)
{
    (void)state;
    begin_with(2, 37);
    watch();
    run(MINUTES(1));
    put(0, MINED[0]);
    run(NS_PER_S);
    assert_true(seen.news > 0);
    look(THIS);
    assert_int_equal(seen.blobs, 1);
    end();
}

static void dearest_stay(void **state)
{
    unsigned n_dear = 0;

    (void)state;
    begin(33);
    watch();
    for (unsigned i = 0; i < 48; i++) {
        if (i == 16 || i == 32)
            run(HOURS(25)); /* so that nodes take them in the place of old ones */
        put(i, MINED[i]);
        run(6 * NS_PER_S);
    }
    put(MINED_30_BLOB, MINED_30);
    run(HOURS(3));
    forget();
    look(THIS);
    for (unsigned i = 0; i < seen.blobs; i++)
        n_dear += seen.first_of_blob[i] == MINED_30_BLOB;
    assert_int_equal(seen.blobs, DROPWATCH_BLOBS);
    assert_int_equal(n_dear, 1);
    forget(); /* and nobody has them sent faster than the rate for all */
    for (int i = 0; i < 200; i++)
        look(THIS);
    printf("200 askings at once: %u of %u blobs were sent\n", seen.blobs, 200 * DROPWATCH_BLOBS);
    assert_in_range(seen.blobs, DROPWATCH_BLOBS, 8 * DROPWATCH_BLOBS);
    end();
}

static void over_restart(void **state)
{
    size_t len;
    uint8_t *bytes;

    (void)state;
    begin(34);
    watch();
    run(MINUTES(1));
    put(0, MINED[0]);
    leave();
    run(HOURS(1));
    bytes = care_save(care, &len);
    care_destroy(care);
    make_care();
    run(HOURS(1));
    forget();
    assert_int_equal(care_load(care, b.now, slice_of(bytes, len)), ERR_OK);
    mem_free(bytes);
    run(MINUTES(10));
    assert_true(seen.observes[THIS] > 0 && seen.reads[THIS] > 0);
    forget();
    watch();
    run(NS_PER_S);
    assert_true(seen.news > 0);
    look(THIS);
    assert_int_equal(seen.blobs, 1);
    end();
}

static void refused(void **state)
{
    struct care_msg m;
    uint8_t buf[CARE_MESSAGE_MAX], other[KEY_BYTES] = {0};

    (void)state;
    begin(35);
    m = watch_msg();
    m.week += 2;
    say(&m);
    assert_int_equal(seen.kept_why, CARE_WHY_BAD);
    m.week -= 4;
    say(&m);
    assert_int_equal(seen.kept_why, CARE_WHY_BAD);
    m.week += 2;
    leave();
    heard = b.now;
    for (unsigned i = 0; i < DROPWATCH_MAX; i++) {
        other[0] = (uint8_t)i;
        other[1] = (uint8_t)(i >> 8);
        other[31] = 1;
        care_message(care, b.now, SESSION, other, care_write(buf, sizeof buf, &m));
        care_closed(care, b.now, SESSION);
    }
    assert_true(seen.is_taken);
    say(&m);
    assert_int_equal(seen.kept_why, CARE_WHY_FULL);
    leave();
    m.flags = CARE_FLAG_NO_MORE;
    care_message(care, b.now, SESSION, other, care_write(buf, sizeof buf, &m));
    care_closed(care, b.now, SESSION);
    m.flags = 0;
    say(&m);
    assert_int_equal(seen.kept_why, CARE_WHY_NONE);
    end();
}

static void no_more(void **state)
{
    struct care_msg m = {.type = CARE_WATCH, .flags = CARE_FLAG_NO_MORE, .req = 3};
    struct care_stats stats;

    (void)state;
    begin(36);
    watch();
    run(MINUTES(5));
    assert_true(seen.observes[THIS] > 0);
    say(&m);
    assert_true(seen.is_taken);
    forget();
    run(HOURS(3));
    assert_int_equal(seen.observes[THIS] + seen.reads[THIS] + seen.reads[LAST], 0);
    leave();
    care_stats(care, &stats);
    assert_int_equal(stats.clients, 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("the drops of one who is away are watched for seven days, over the turn of the week",
                 seven_days),
        sentence("what was left meanwhile is told of and fetched without a look at the overlay", fetched),
        sentence("what was put at the caretaker's own node is found at once", at_itself),
        sentence("of more than fit, the dearest stay", dearest_stay),
        sentence("it goes on after a restart", over_restart),
        sentence("another week's and one client too many are refused", refused),
        sentence("a client who wants no more is forgotten", no_more),
    };

    return run_sentences("dropwatch", tests);
}
