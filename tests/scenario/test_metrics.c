/* What a relay prints for Prometheus, while it carries a call; and that the dashboard asks for nothing else. */
#include "scenario/homes.h"

#include <ctype.h>

#include "base/file.h"
#include "base/mem.h"

#define DASHBOARD "contrib/grafana/ito-relay.json"

/* The value of the sample that begins so, up to its space; fails when there is none. */
static double sample(const char *page, const char *name)
{
    size_t n = strlen(name);

    for (const char *line = page; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, n) == 0 && line[n] == ' ')
            return strtod(line + n, NULL);
    }
    fail_msg("no sample %s", name);
    return 0;
}

/* Is it a family that was announced by TYPE? */
static bool is_family(const char *page, const char *name)
{
    char wanted[sizeof "\n# TYPE  " + 128];

    snprintf(wanted, sizeof wanted, "\n# TYPE %s ", name);
    return strstr(page, wanted) != NULL;
}

static void name_of(const char *line, char *out, size_t size)
{
    size_t n = 0;

    while (n + 1 < size && (isalnum((unsigned char)line[n]) || line[n] == '_' || line[n] == ':')) {
        out[n] = line[n];
        n++;
    }
    out[n] = '\0';
}

static void check_format(const char *page)
{
    char name[128], last[128] = "";
    unsigned n = 0;

    for (const char *line = page; *line != '\0'; line = strchr(line, '\n') + 1) {
        char *end;

        if (line[0] == '#') {
            if (strncmp(line, "# TYPE ", 7) == 0) {
                name_of(line + 7, last, sizeof last);
            }
            continue;
        }
        name_of(line, name, sizeof name);
        assert_string_equal(name, last); /* each sample stands under its own TYPE */
        (void)strtod(strchr(line, '}') != NULL && strchr(line, '}') < strchr(line, '\n')
                         ? strchr(line, '}') + 1
                         : line + strlen(name),
                     &end);
        assert_int_equal(*end, '\n');
        n++;
    }
    printf("%u samples, %zu bytes\n", n, strlen(page));
    assert_true(n > 80);
}

static void while_it_carries(void **state)
{
    struct homes h = {0};
    char *before, *page;
    const struct sim_phone *people[] = {NULL, NULL};
    char word[ADDR_TEXT_BYTES];

    (void)state;
    build_friends(&h, 51, VNET_APD);
    before = app_metrics(h.relay->app, vnet_now(h.net));
    assert_true(sample(before, "ito_relay_calls") == 0);
    talk(&h);
    wait_for(&h, 80);
    page = app_metrics(h.relay->app, vnet_now(h.net));
    check_format(page);
    assert_true(sample(page, "ito_relay_on") == 1);
    assert_true(sample(page, "ito_relay_calls") >= 1);
    assert_true(sample(page, "ito_relay_packets_total") >= 4000);
    assert_true(sample(page, "ito_relay_bytes_total") > 50000);
    assert_true(sample(page, "ito_relay_wire_bytes_total") > sample(page, "ito_relay_bytes_total"));
    assert_true(sample(page, "ito_relay_allocations") >= 2);
    assert_true(sample(page, "ito_relay_sessions") >= 2);
    assert_true(sample(page, "ito_relay_load_ratio") >= 0 && sample(page, "ito_relay_load_ratio") <= 1);
    assert_true(sample(page, "ito_ledger_slot_seconds{way=\"given\"}") > 0);
    assert_true(
        sample(page, "ito_dht_stored{kind=\"item\"}") + sample(page, "ito_dht_stored{kind=\"advert\"}") > 0);
    assert_true(sample(page, "ito_relay_dropped_packets_total{cause=\"rate\"}") == 0);
    /* nobody is in it: no ID, no node name, no address */
    people[0] = h.alice;
    people[1] = h.bob;
    assert_null(strstr(page, "ito1"));
    assert_null(strstr(page, "iton1"));
    for (int i = 0; i < 2; i++)
        assert_null(strstr(page, people[i]->id));
    assert_null(strstr(page, addr_print_ip(vnet_nat_addr(h.nat_a), word)));
    assert_null(strstr(page, addr_print_ip(vnet_nat_addr(h.nat_b), word)));
    mem_free(before);
    mem_free(page);
    tear_down(&h);
}

/* Every name in an expression of the dashboard, and how many there were. */
static unsigned check_expressions(const cJSON *v, const char *page)
{
    const cJSON *it;
    unsigned n = 0;

    if (v->string != NULL && strcmp(v->string, "expr") == 0) {
        for (const char *at = strstr(v->valuestring, "ito_"); at != NULL; at = strstr(at + 1, "ito_")) {
            char name[128];

            if (at > v->valuestring && (isalnum((unsigned char)at[-1]) || at[-1] == '_'))
                continue;
            name_of(at, name, sizeof name);
            if (!is_family(page, name))
                fail_msg("%s asks for %s, which nobody prints", DASHBOARD, name);
            n++;
        }
    }
    cJSON_ArrayForEach(it, v) n += check_expressions(it, page);
    return n;
}

static void dashboard(void **state)
{
    struct homes h = {0};
    uint8_t *text;
    size_t len;
    char *page;
    cJSON *v;
    unsigned n;

    (void)state;
    build_homes(&h, 52, VNET_EI, true);
    page = app_metrics(h.relay->app, vnet_now(h.net));
    assert_int_equal(file_read(DASHBOARD, 1u << 20, &text, &len, NULL), ERR_OK);
    v = cJSON_Parse((const char *)text);
    assert_non_null(v);
    n = check_expressions(v, page);
    printf("%u metrics named in the dashboard\n", n);
    assert_true(n >= 20);
    cJSON_Delete(v);
    mem_free(text);
    mem_free(page);
    tear_down(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a relay that carries a call tells how much, and nobody's name", while_it_carries),
        sentence("every metric of the Grafana dashboard is printed", dashboard),
    };

    return run_sentences("metrics", tests);
}
