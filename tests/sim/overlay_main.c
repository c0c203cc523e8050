/* sim-overlay - the overlay's numbers, from the shipped engine (make sim-overlay).
 *
 *   sim-overlay [n=1000] [seed=1] [json=1] [real=1] [loss=PERMILLE] [lookups=N] [foes=PCT] [tables=oracle [eager=1]]
 *               [parts=WORD,WORD...]
 *
 * Prints `name value unit`, a line each. tables=oracle: nobody joins, nodes get the tables their joins would have given
 * (overlay.h, ov_know()); eager=1: at once, and not each node when it is first spoken to. Parts, each a world of its own
 * that joins anew (idle, churn, eclipse: always):
 *
 *   base    constant delay, all honest: look-ups, puts, memory, speed; then, each in a copy of that world, 30, 50 and
 *           70 % die at once
 *   spread  round trips spread lognormally, sigma 0.7
 *   foes    20, 30 and 50 % colluders, which poison tables from the first join on
 *   liars   30 % of nodes that lie; droppers: that drop; replayers: that give old records
 *   eclipse 1 and 5 % of nodes with ids chosen beside whatever is asked for, on mainline, where nobody proves an id
 *   idle    1,000 nodes at rest for an hour, one of ten of them a client
 *   churn   1,000 nodes of which each leaves after ten hours on average (Weibull, shape 0.5) and another comes; records
 *           put again each hour, looked up just before
 *
 * Keys, puzzles and signatures are real up to 1,000 nodes (idle, churn: never), keyed hashes above; real= overrides. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/overlay.h"

#define REAL_NODES 1000 /* with more of them, signatures are keyed hashes unless asked for */

struct options {
    struct ov_config config;
    uint32_t n_lookups, n_records;
    int real;          /* -1: up to REAL_NODES */
    unsigned only_pct; /* foes: this share only */
    bool has_oracle, is_eager;
    const char *parts;
};

static bool is_first = true, is_json;

static void print(const char *name, double value, const char *unit)
{
    if (is_json)
        printf("%s\n  {\"name\": \"%s\", \"value\": %.9g, \"unit\": \"%s\"}", is_first ? "[" : ",", name,
               value, unit);
    else
        printf("%s %.9g %s\n", name, value, unit);
    is_first = false;
    fflush(stdout);
}

static void print_word(const char *name, const char *word)
{
    if (is_json)
        printf("%s\n  {\"name\": \"%s\", \"value\": \"%s\", \"unit\": \"\"}", is_first ? "[" : ",", name,
               word);
    else
        printf("%s %s\n", name, word);
    is_first = false;
}

static void print_as(const char *group, const char *name, double value, const char *unit)
{
    char text[96];

    snprintf(text, sizeof text, "%s_%s", group, name);
    print(text, value, unit);
}

static double pct(const struct ov_batch *b)
{
    return b->n > 0 ? 100.0 * b->n_ok / b->n : 0;
}

static struct overlay *grow(const struct options *opt, uint32_t n, enum ov_foe foe, unsigned foes_pct)
{
    struct ov_config c = opt->config;
    struct overlay *o;

    c.n = n;
    c.foe = foe;
    c.foes_pct = foes_pct;
    o = ov_create(&c);
    if (opt->has_oracle)
        ov_know(o, opt->is_eager);
    else
        ov_join(o);
    return o;
}

/* Success and price of look-ups under some misfortune. */
static void print_gets(const char *group, const struct ov_batch *b)
{
    print_as(group, "success", pct(b), "%");
    print_as(group, "rtt_median", b->rtt_median / 100.0, "RTT");
    print_as(group, "rtt_p90", b->rtt_p90 / 100.0, "RTT");
    print_as(group, "rtt_p99", b->rtt_p99 / 100.0, "RTT");
    print_as(group, "queries", b->queries, "queries");
    print_as(group, "forged", b->n_forged, "values");
    print_as(group, "stale", b->n_stale, "values");
}

/* In a copy of the process, so that each starts from the same world. */
static void kill_part(struct overlay *o, const struct options *opt, unsigned killed)
{
    struct ov_batch gets = {0}, puts = {0};
    char group[32];
    int pipes[2];
    pid_t child;

    fflush(stdout);
    if (pipe(pipes) != 0 || (child = fork()) < 0) {
        perror("sim-overlay: fork");
        exit(1);
    }
    if (child == 0) {
        ov_kill(o, killed);
        ov_lookups(o, opt->n_lookups, &gets);
        ov_forget(o);
        ov_records(o, opt->n_records / 4 + 1, &puts);
        if (write(pipes[1], &gets, sizeof gets) < 0 || write(pipes[1], &puts, sizeof puts) < 0)
            _exit(1);
        _exit(0);
    }
    close(pipes[1]);
    if (read(pipes[0], &gets, sizeof gets) != sizeof gets ||
        read(pipes[0], &puts, sizeof puts) != sizeof puts)
        fprintf(stderr, "sim-overlay: the copy with %u %% dead ended early\n", killed);
    close(pipes[0]);
    waitpid(child, NULL, 0);
    snprintf(group, sizeof group, "killed_%u_pct", killed);
    print_gets(group, &gets);
    print_as(group, "put_rtt_median", puts.rtt_median / 100.0, "RTT");
}

static void base_part(const struct options *opt)
{
    struct overlay *o = grow(opt, opt->config.n, OV_HONEST, 0);
    double contacts, foes, mean, deviation;
    struct ov_totals t;
    struct ov_batch b;

    ov_totals(o, &t);
    if (!opt->has_oracle) {
        print("join_messages", (double)t.msgs / opt->config.n, "messages/node");
        print("join_cpu", t.cpu_s, "s");
        print("messages_per_second", (double)t.msgs / t.cpu_s, "messages/s");
    }
    ov_tables(o, &contacts, &foes);
    print("bytes_per_node", ov_node_bytes(o), "B");
    print("contacts_per_node", contacts, "contacts");
    ov_sizes(o, &mean, &deviation);
    print("size_estimate", mean * 100, "% of the right one");
    print("size_estimate_deviation", deviation * 100, "%");
    ov_records(o, opt->n_records, &b);
    print("put_rtt_median", b.rtt_median / 100.0, "RTT");
    print("put_rtt_p99", b.rtt_p99 / 100.0, "RTT");
    print("put_queries", b.queries, "queries");
    print("put_acks", b.acks, "nodes");
    print("put_nearest", b.nearest_pct, "%");
    ov_lookups(o, opt->n_lookups, &b);
    print_gets("lookup", &b);
    ov_cold(o, OV_COLD_MAX, &b);
    print("cold_join_to_value_rtt_median", b.rtt_median / 100.0, "RTT");
    print("cold_join_to_value_success", pct(&b), "%");
    for (unsigned killed = 30; killed <= 70; killed += 20)
        kill_part(o, opt, killed);
    if (opt->has_oracle) {
        print("nodes_made", ov_made(o), "nodes");
        print("bytes_per_node_after", ov_node_bytes(o), "B");
    }
    print("digest", (double)(ov_digest(o) >> 16), "");
    ov_destroy(o);
}

static void spread_part(const struct options *opt)
{
    struct options spread = *opt;
    struct overlay *o;
    struct ov_batch b;

    spread.config.spread = 0.7;
    o = grow(&spread, opt->config.n, OV_HONEST, 0);
    ov_records(o, opt->n_records, &b);
    print("spread_put_rtt_median", b.rtt_median / 100.0, "RTT");
    ov_lookups(o, opt->n_lookups, &b);
    print_gets("spread", &b);
    ov_destroy(o);
}

static void foe_part(const struct options *opt, const char *name, enum ov_foe foe, unsigned foes_pct)
{
    struct overlay *o = grow(opt, opt->config.n, foe, foes_pct);
    double contacts, foes;
    struct ov_batch b;
    char group[40];

    snprintf(group, sizeof group, "%s_%u_pct", name, foes_pct);
    ov_tables(o, &contacts, &foes);
    print_as(group, "tables", foes, "%");
    ov_records(o, opt->n_records, &b);
    if (foe == OV_REPLAYER) /* it gives the first seq when there is a second */
        ov_records(o, opt->n_records, &b);
    print_as(group, "put_success", pct(&b), "%");
    print_as(group, "put_queries", b.queries, "queries");
    ov_lookups(o, opt->n_lookups, &b);
    print_gets(group, &b);
    print_as(group, "digest", (double)(ov_digest(o) >> 16), "");
    ov_destroy(o);
}

static void idle_part(const struct options *opt)
{
    struct options idle = *opt;
    struct overlay *o;
    struct ov_idle i;

    idle.config.clients_pct = 10;
    idle.config.is_real = idle.has_oracle = false;
    o = grow(&idle, 1000, OV_HONEST, 0);
    ov_run(o, 1800 * NS_PER_S);
    ov_idle(o, 3600 * NS_PER_S, &i);
    print("idle_out", i.out_bytes_per_s, "B/s");
    print("idle_in", i.in_bytes_per_s, "B/s");
    print("idle_messages", i.out_msgs_per_min, "messages/min");
    print("idle_client_out", i.client_out_bytes_per_s, "B/s");
    print("idle_client_in", i.client_in_bytes_per_s, "B/s");
    print("idle_client_messages", i.client_out_msgs_per_min, "messages/min");
    ov_destroy(o);
}

static void churn_part(const struct options *opt)
{
    struct options churn = *opt;
    struct overlay *o;
    uint32_t n_ok = 0, n = 0;
    struct ov_batch b, client;

    churn.config.is_real = churn.has_oracle = false;
    churn.config.clients_pct = 10;
    o = grow(&churn, 1000, OV_HONEST, 0);
    ov_churn(o, 36000 * NS_PER_S);
    for (unsigned hour = 0; hour < 5; hour++) {
        ov_records(o, 200, &b);
        ov_run(o, 3400 * NS_PER_S);
        ov_lookups(o, 500, &b);
        n_ok += hour > 0 ? b.n_ok : 0;
        n += hour > 0 ? b.n : 0;
    }
    ov_client_lookups(o, 100, &client); /* who has asked for nothing in five hours */
    print("churn_success", 100.0 * n_ok / n, "%");
    print("churn_rtt_p99", b.rtt_p99 / 100.0, "RTT");
    print("churn_client_success", 100.0 * client.n_ok / client.n, "%");
    print("churn_client_rtt", client.rtt_median / 100.0, "RTT");
    print("churn_client_rtt_p99", client.rtt_p99 / 100.0, "RTT");
    ov_destroy(o);
}

static bool has_part(const struct options *opt, const char *name)
{
    return opt->parts == NULL || strstr(opt->parts, name) != NULL;
}

static bool read_option(struct options *opt, const char *text)
{
    const char *value = strchr(text, '=');
    uint64_t v = value != NULL ? strtoull(value + 1, NULL, 10) : 0;

    if (value == NULL)
        return false;
    if (strncmp(text, "n=", 2) == 0)
        opt->config.n = (uint32_t)v;
    else if (strncmp(text, "seed=", 5) == 0)
        opt->config.seed = v;
    else if (strncmp(text, "json=", 5) == 0)
        is_json = v != 0;
    else if (strncmp(text, "real=", 5) == 0)
        opt->real = v != 0;
    else if (strncmp(text, "loss=", 5) == 0)
        opt->config.loss_permille = (unsigned)v;
    else if (strncmp(text, "paths=", 6) == 0)
        opt->config.n_paths = (unsigned)v;
    else if (strncmp(text, "lookups=", 8) == 0)
        opt->n_lookups = (uint32_t)v;
    else if (strncmp(text, "foes=", 5) == 0)
        opt->only_pct = (unsigned)v;
    else if (strcmp(text, "tables=oracle") == 0 || strcmp(text, "tables=joins") == 0)
        opt->has_oracle = value[1] == 'o';
    else if (strncmp(text, "eager=", 6) == 0)
        opt->is_eager = v != 0;
    else if (strncmp(text, "parts=", 6) == 0)
        opt->parts = value + 1;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    struct options opt = {.config = {.n = 1000, .seed = 1}, .n_lookups = 2000, .real = -1};

    for (int i = 1; i < argc; i++)
        if (!read_option(&opt, argv[i])) {
            fprintf(stderr,
                    "sim-overlay: %s: not an option (n seed json real loss paths lookups foes tables"
                    " eager parts)\n",
                    argv[i]);
            return 2;
        }
    opt.n_records = opt.n_lookups / 2 + 1;
    opt.config.is_real = !opt.has_oracle && (opt.real > 0 || (opt.real < 0 && opt.config.n <= REAL_NODES));
    print("nodes", opt.config.n, "nodes");
    print("real_signatures", opt.config.is_real, "");
    print("seed", (double)opt.config.seed, "");
    print_word("tables", opt.has_oracle ? "oracle" : "joins");
    if (has_part(&opt, "base"))
        base_part(&opt);
    if (has_part(&opt, "spread"))
        spread_part(&opt);
    if (has_part(&opt, "foes"))
        for (unsigned foes_pct = 20; foes_pct <= 50; foes_pct += foes_pct == 20 ? 10 : 20)
            if (opt.only_pct == 0 || opt.only_pct == foes_pct)
                foe_part(&opt, "colluders", OV_COLLUDER, foes_pct);
    if (has_part(&opt, "liars"))
        foe_part(&opt, "liars", OV_LIAR, 30);
    if (has_part(&opt, "droppers"))
        foe_part(&opt, "droppers", OV_DROPPER, 30);
    if (has_part(&opt, "replayers"))
        foe_part(&opt, "replayers", OV_REPLAYER, 30);
    if (has_part(&opt, "eclipse")) {
        struct options mainline = opt;

        mainline.config.profile = DHT_MAINLINE;
        mainline.has_oracle = false;
        foe_part(&mainline, "eclipse", OV_ECLIPSE, 1);
        foe_part(&mainline, "eclipse", OV_ECLIPSE, 5);
    }
    if (has_part(&opt, "idle"))
        idle_part(&opt);
    if (has_part(&opt, "churn"))
        churn_part(&opt);
    getrusage(RUSAGE_SELF, &usage);
    print("peak_rss", (double)usage.ru_maxrss / 1024, "MiB");
    if (is_json)
        printf("\n]\n");
    return 0;
}
