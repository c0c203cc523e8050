/* What the relay screen, `ito status` and the overlay are told. */
#include "relay/service_impl.h"

static uint8_t load_pct(struct service *svc)
{
    double share = ledger_load_share(&svc->load, svc->now);

    return share < 2.55 ? (uint8_t)(100 * share) : 255;
}

static bool is_running(const struct service *svc, const struct grant *g)
{
    return g->n_turns > 0 && g->first_at != 0 && svc->now < g->last_at + GRANT_IDLE_S * NS_PER_S;
}

void service_stats(struct service *svc, ns_t now, struct service_stats *out)
{
    const struct turn_server_stats *t = turn_server_stats(svc->turn);
    uint32_t n_static = 0, n_granted = 0;

    svc->now = now;
    service_step_calendar(svc);
    memset(out, 0, sizeof *out);
    list_each(node, &svc->grants)
    {
        const struct grant *g = list_item(node, struct grant, all);

        if (is_running(svc, g))
            (*(g->client == NULL ? &n_static : &n_granted))++;
    }
    out->is_draining = svc->is_draining;
    out->is_over_budget = service_over_budget(svc);
    out->since = svc->since;
    out->calls = n_granted + (n_static + 1) / 2;
    out->max_calls = svc->max_calls;
    out->max_kbps = svc->max_kbps;
    out->in_kbps = svc->in_kbps;
    out->out_kbps = svc->out_kbps;
    out->calls_today = svc->calls_today;
    out->refused_full_today = svc->refused_full;
    out->refused_not_allowed_today = svc->refused_not_allowed;
    out->failed_today = svc->failed;
    out->bytes_today = svc->bytes_today;
    out->bytes_month = svc->bytes_month;
    out->packets = t->packets;
    out->lost = t->lost_rate + t->lost_port + t->lost_queue;
    out->load_pct = load_pct(svc);
    out->my_score = svc->statements < 3 ? -1 : (int)(100 * (svc->signed_s + 1) / (svc->proposed_s + 1));
    if (out->my_score > 100)
        out->my_score = 100;
    out->sessions = HASH_CNT(hh_session, svc->by_session);
    out->registrations = knock_stats(svc->knock)->registrations;
    out->statements = svc->statements;
    out->unsigned_stops = svc->unsigned_stops;
    out->malformed = svc->malformed;
    ledger_db_totals(svc->db, &out->ledger);
}

size_t service_calls(struct service *svc, ns_t now, struct service_call *out, size_t max)
{
    size_t n = 0;

    svc->now = now;
    list_each(node, &svc->grants)
    {
        struct grant *g = list_item(node, struct grant, all);

        if (n == max)
            break;
        bill_measure(svc, g);
        if (!is_running(svc, g))
            continue;
        out[n++] = (struct service_call){
            .number = g->number,
            .age = now - g->created_at,
            .kbps = g->kbps,
            .packets = g->packets,
            .lost = g->lost,
            .admission = (uint8_t)g->class,
        };
    }
    return n;
}

const struct turn_server_stats *service_turn_stats(const struct service *svc)
{
    return turn_server_stats(svc->turn);
}

const struct knock_stats *service_knock_stats(const struct service *svc)
{
    return knock_stats(svc->knock);
}

struct slice service_advert(struct service *svc, ns_t now, uint8_t buf[static ADVERT_BYTES_MAX])
{
    int64_t wall_ms = env_wall_ms(svc->env);
    struct advert ad = {
        .day = (uint16_t)(wall_ms / 86400000),
        .minute = (uint16_t)(wall_ms / 60000 % 1440),
        .slots = (uint16_t)(svc->max_calls < 65535 ? svc->max_calls : 65535),
        .max_kbps = svc->max_kbps,
    };

    svc->now = now;
    memcpy(ad.zone_id, svc->zone_id, sizeof ad.zone_id);
    memcpy(ad.nonce, svc->puzzle_nonce, sizeof ad.nonce);
    ad.load_pct = load_pct(svc);
    ad.flags =
        (uint8_t)(ADVERT_FLAG_CARETAKER | (svc->serve == SERVICE_FOR_ANYONE ? ADVERT_FLAG_STRANGERS : 0) |
                  (svc->has_streams ? ADVERT_FLAG_TCP | ADVERT_FLAG_TLS : 0) |
                  (svc->is_draining || service_over_budget(svc) ? ADVERT_FLAG_DRAINING : 0));
    for (int i = 0; i < 2; i++) {
        if (svc->external[i].family != ADDR_NONE)
            ad.addrs[ad.n_addrs++] = svc->external[i];
    }
    return advert_write(&ad, svc->node.seed, buf);
}
