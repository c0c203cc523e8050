/* What `relay.metrics` shows: counters and sizes in the text format of Prometheus 0.0.4. No key, address or name of
 * anybody is among them. */
#include <stdarg.h>
#include <stdio.h>

#include "app/app_priv.h"
#include "base/mem.h"

struct page {
    char *text;
    size_t len, cap;
};

static void put(struct page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct page *p, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(p->text + p->len, p->cap - p->len, fmt, ap);
    va_end(ap);
    if (p->len + (size_t)n >= p->cap) {
        p->cap = 2 * (p->cap + (size_t)n);
        p->text = mem_resize(p->text, p->cap, 1);
        va_start(ap, fmt);
        vsnprintf(p->text + p->len, p->cap - p->len, fmt, ap);
        va_end(ap);
    }
    p->len += (size_t)n;
}

static void head(struct page *p, const char *name, const char *type, const char *help)
{
    put(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct page *p, const char *name, double value, const char *help)
{
    head(p, name, "gauge", help);
    put(p, "%s %.15g\n", name, value);
}

static void counter(struct page *p, const char *name, uint64_t value, const char *help)
{
    head(p, name, "counter", help);
    put(p, "%s %llu\n", name, (unsigned long long)value);
}

/* One line of a family that head() began. */
static void part(struct page *p, const char *name, const char *label, const char *of, uint64_t value)
{
    put(p, "%s{%s=\"%s\"} %llu\n", name, label, of, (unsigned long long)value);
}

static void put_service(struct page *p, const struct app *a, const struct service_stats *s)
{
    gauge(p, "ito_relay_on", a->service_is_relay, "1: carries calls of others; 0: knocks only");
    gauge(p, "ito_relay_draining", s->is_draining, "1: takes no new calls");
    gauge(p, "ito_relay_over_budget", s->is_over_budget, "1: relay.monthly_gb is used up");
    gauge(p, "ito_relay_start_time_seconds", (double)a->started_ms / 1000,
          "when this process began, Unix time");
    gauge(p, "ito_relay_calls", s->calls, "calls carried now");
    gauge(p, "ito_relay_calls_max", s->max_calls, "relay.max_calls");
    head(p, "ito_relay_kbps", "gauge", "sound carried now, kbit/s");
    part(p, "ito_relay_kbps", "direction", "in", s->in_kbps);
    part(p, "ito_relay_kbps", "direction", "out", s->out_kbps);
    gauge(p, "ito_relay_kbps_max", s->max_kbps, "relay.max_kbps");
    gauge(p, "ito_relay_load_ratio", s->load_pct / 100.0, "slots in use, 1 is full");
    gauge(p, "ito_relay_sessions", s->sessions, "accounts connected");
    gauge(p, "ito_relay_registrations", s->registrations, "phones that get knocks here");
    gauge(p, "ito_relay_today_calls", s->calls_today, "calls begun since midnight UTC");
    gauge(p, "ito_relay_today_bytes", (double)s->bytes_today, "bytes carried since midnight UTC");
    gauge(p, "ito_relay_today_failed", s->failed_today, "calls that could not be carried to their end");
    head(p, "ito_relay_today_refused", "gauge", "calls refused since midnight UTC, by cause");
    part(p, "ito_relay_today_refused", "cause", "full", s->refused_full_today);
    part(p, "ito_relay_today_refused", "cause", "not_allowed", s->refused_not_allowed_today);
    gauge(p, "ito_relay_month_bytes", (double)s->bytes_month,
          "bytes on the wire this month, as a provider bills");
    gauge(p, "ito_relay_month_bytes_max", (double)config_int(a->settings, CFG_RELAY_MONTHLY_GB) * 1e9,
          "relay.monthly_gb in bytes; 0: no limit");
    counter(p, "ito_relay_statements_total", s->statements, "statements that became doubly signed");
    counter(p, "ito_relay_unsigned_stops_total", s->unsigned_stops,
            "calls ended since nobody signed for them");
    counter(p, "ito_relay_malformed_messages_total", s->malformed, "messages of sessions that made no sense");
    head(p, "ito_relay_score", "gauge",
         "this relay as others see it, 0 to 100; none before three statements");
    if (s->my_score >= 0)
        put(p, "ito_relay_score %d\n", s->my_score);
}

static void put_turn(struct page *p, const struct turn_server_stats *t)
{
    gauge(p, "ito_relay_allocations", t->allocations, "TURN allocations");
    gauge(p, "ito_relay_ports_open", t->ports_open, "relayed ports with a socket");
    counter(p, "ito_relay_packets_total", t->packets, "packets forwarded");
    counter(p, "ito_relay_bytes_total", t->bytes, "payload bytes forwarded");
    counter(p, "ito_relay_received_bytes_total", t->bytes_in, "payload bytes that came, forwarded or not");
    counter(p, "ito_relay_wire_bytes_total", t->wire_bytes, "bytes in and out with IP and UDP headers");
    counter(p, "ito_relay_inner_packets_total", t->hairpins, "packets of calls with both ends here");
    counter(p, "ito_relay_kernel_packets_total", t->offloaded,
            "of these, carried by the kernel (relay.xdp) or by threads (relay.workers)");
    gauge(p, "ito_relay_kernel_calls", t->offload_pairs,
          "calls that the kernel (relay.xdp) or threads (relay.workers) carry now");
    head(p, "ito_relay_dropped_packets_total", "counter", "packets dropped, by cause");
    part(p, "ito_relay_dropped_packets_total", "cause", "rate", t->lost_rate);
    part(p, "ito_relay_dropped_packets_total", "cause", "no_port", t->lost_port);
    part(p, "ito_relay_dropped_packets_total", "cause", "queue", t->lost_queue);
    part(p, "ito_relay_dropped_packets_total", "cause", "no_permission", t->no_permission);
    part(p, "ito_relay_dropped_packets_total", "cause", "unknown_channel", t->unknown_channel);
    part(p, "ito_relay_dropped_packets_total", "cause", "too_large", t->too_large);
    part(p, "ito_relay_dropped_packets_total", "cause", "malformed", t->malformed);
    counter(p, "ito_relay_turn_requests_total", t->requests, "TURN requests");
    head(p, "ito_relay_turn_errors_total", "counter", "TURN requests refused, by error code");
    part(p, "ito_relay_turn_errors_total", "code", "401", t->errors_401);
    part(p, "ito_relay_turn_errors_total", "code", "403", t->errors_403);
    part(p, "ito_relay_turn_errors_total", "code", "437", t->errors_437);
    part(p, "ito_relay_turn_errors_total", "code", "438", t->errors_438);
    part(p, "ito_relay_turn_errors_total", "code", "441", t->errors_441);
    part(p, "ito_relay_turn_errors_total", "code", "486", t->errors_486);
    part(p, "ito_relay_turn_errors_total", "code", "508", t->errors_508);
    counter(p, "ito_relay_unamplified_total", t->unamplified,
            "answers not sent since larger than the request of an unproven address");
}

static void put_knock(struct page *p, const struct knock_stats *k)
{
    gauge(p, "ito_knock_flows", k->flows, "knocks under way");
    counter(p, "ito_knock_delivered_total", k->delivered, "datagrams handed to a registered phone");
    counter(p, "ito_knock_returned_total", k->returned, "datagrams of its answers");
    head(p, "ito_knock_dropped_total", "counter", "knocks dropped, by cause");
    part(p, "ito_knock_dropped_total", "cause", "unknown_token", k->unknown_token);
    part(p, "ito_knock_dropped_total", "cause", "unknown_flow", k->unknown_flow);
    part(p, "ito_knock_dropped_total", "cause", "malformed", k->malformed);
    part(p, "ito_knock_dropped_total", "cause", "over_cap", k->over_cap);
    part(p, "ito_knock_dropped_total", "cause", "over_rate", k->over_rate);
}

static void put_ledger(struct page *p, const struct ledger_totals *t)
{
    head(p, "ito_ledger_bytes", "gauge", "bytes given to others and used of theirs");
    part(p, "ito_ledger_bytes", "way", "given", t->given_bytes);
    part(p, "ito_ledger_bytes", "way", "used", t->used_bytes);
    head(p, "ito_ledger_slot_seconds", "gauge", "slot-seconds of doubly signed statements");
    part(p, "ito_ledger_slot_seconds", "way", "given", t->given_s);
    part(p, "ito_ledger_slot_seconds", "way", "used", t->got_s);
    gauge(p, "ito_ledger_accounts", t->accounts, "accounts kept");
}

static void put_sessions(struct page *p, const struct sessions_stats *s)
{
    gauge(p, "ito_sessions", s->n_sessions, "secure sessions that stand");
    gauge(p, "ito_sessions_pending", s->n_pending, "handshakes under way");
    counter(p, "ito_handshakes_total", s->msg1_in, "first handshake messages that came");
    counter(p, "ito_sessions_established_total", s->established, "sessions that came to stand");
    head(p, "ito_session_datagrams_total", "counter", "datagrams of sessions");
    part(p, "ito_session_datagrams_total", "direction", "in", s->data_in);
    part(p, "ito_session_datagrams_total", "direction", "out", s->data_out);
    head(p, "ito_session_dropped_total", "counter", "datagrams dropped, by cause");
    part(p, "ito_session_dropped_total", "cause", "bad_mac", s->msg1_bad_mac);
    part(p, "ito_session_dropped_total", "cause", "bad_handshake", s->msg1_bad + s->msg2_bad);
    part(p, "ito_session_dropped_total", "cause", "handshake_rate", s->msg1_rate_limited);
    part(p, "ito_session_dropped_total", "cause", "handshake_refused", s->msg1_refused);
    part(p, "ito_session_dropped_total", "cause", "full", s->msg1_full);
    part(p, "ito_session_dropped_total", "cause", "unknown", s->data_unknown);
    part(p, "ito_session_dropped_total", "cause", "bad_seal", s->data_bad);
    part(p, "ito_session_dropped_total", "cause", "replayed", s->data_replayed);
    part(p, "ito_session_dropped_total", "cause", "malformed", s->data_malformed + s->reassembly_dropped);
}

static void put_dht(struct page *p, const struct dht_stats *d)
{
    gauge(p, "ito_dht_peers", d->peers, "overlay nodes in the table");
    gauge(p, "ito_dht_size_estimate", d->size, "nodes in the zone, estimated");
    head(p, "ito_dht_lookups_total", "counter", "look-ups, by how they ended");
    part(p, "ito_dht_lookups_total", "result", "ok", d->lookups_ok);
    part(p, "ito_dht_lookups_total", "result", "not", d->lookups - d->lookups_ok);
    head(p, "ito_dht_messages_total", "counter", "messages of the overlay");
    part(p, "ito_dht_messages_total", "direction", "in", d->msgs_in);
    part(p, "ito_dht_messages_total", "direction", "out", d->msgs_out);
    head(p, "ito_dht_bytes_total", "counter", "bytes of the overlay");
    part(p, "ito_dht_bytes_total", "direction", "in", d->bytes_in);
    part(p, "ito_dht_bytes_total", "direction", "out", d->bytes_out);
    head(p, "ito_dht_stored", "gauge", "values held for others, by kind");
    part(p, "ito_dht_stored", "kind", "item", d->items);
    part(p, "ito_dht_stored", "kind", "blob", d->blobs);
    part(p, "ito_dht_stored", "kind", "advert", d->adverts);
    head(p, "ito_dht_dropped_total", "counter", "messages dropped, by cause");
    part(p, "ito_dht_dropped_total", "cause", "bad", d->bad_packets);
    part(p, "ito_dht_dropped_total", "cause", "rate", d->rate_drops);
    part(p, "ito_dht_dropped_total", "cause", "cap", d->cap_drops);
    counter(p, "ito_dht_timeouts_total", d->timeouts, "queries without an answer");
}

char *app_metrics(struct app *a, ns_t now)
{
    struct page p = {.cap = 16384};
    struct service_stats s;
    struct dht_stats d = {0};

    a->now = now;
    p.text = mem_alloc(p.cap);
    if (a->service != NULL) {
        service_stats(a->service, now, &s);
        put_service(&p, a, &s);
        put_turn(&p, service_turn_stats(a->service));
        put_knock(&p, service_knock_stats(a->service));
        put_ledger(&p, &s.ledger);
    }
    if (a->sessions != NULL)
        put_sessions(&p, sessions_stats(a->sessions));
    if (a->zones[0].dht != NULL) {
        dht_stats(a->zones[0].dht, &d);
        put_dht(&p, &d);
    }
    return p.text;
}
