/* app/favours.c - what contacts do for each other about relays (relay/favour_wire.h): who runs one gives passes for it,
 * and, when told to, lets its surplus be drawn on; all tell what they met. Said when a session with a contact is up. */
#include <math.h>

#include "app/app_priv.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/zone.h"
#include "relay/favour_db.h"
#include "relay/favour_wire.h"

#define STEP_NS     (60 * NS_PER_S)
#define EXPIRY_DAYS 30 /* of a line; it is signed anew at a session of its last half */

static int32_t today(const struct app *a)
{
    return (int32_t)(env_wall_ms(a->env) / 86400000);
}

static void say(struct peer *p, ns_t now, const struct favour_msg *m)
{
    uint8_t buf[FAVOUR_MESSAGE_MAX];
    struct slice bytes = favour_write(buf, m);

    if (p->is_up && p->session != NULL && bytes.len > 0)
        session_send(p->session, now, SESSION_CONTROL, bytes);
    secret_wipe(buf, sizeof buf);
}

/* Where our relay is reached; false: it is none, or nobody knows. */
static bool own_relay(struct app *a, uint8_t node[static 32], struct addr *out)
{
    struct addr external[2];

    if (a->service == NULL || !a->service_is_relay)
        return false;
    app_external(a, external);
    *out = external[external[0].family == ADDR_NONE];
    memcpy(node, dht_key(a->zones[0].dht), 32);
    return out->family != ADDR_NONE && out->port != 0;
}

static bool is_friend(const struct peer *p)
{
    return p->contact != NULL && p->contact->list == CONTACT_ALLOWED && p->contact != p->app->echo &&
           p->app->config.mode != APP_ECHO && p->app->ledger != NULL;
}

/* ---- passes ---- */

void favours_set_guests(struct app *a)
{
    uint8_t(*secrets)[32];
    size_t n = 0;

    if (a->service == NULL)
        return;
    secrets = mem_array(contacts_count(a->contacts) + 1, sizeof *secrets);
    for (size_t i = 0; i < contacts_count(a->contacts); i++) {
        const struct contact *who = contacts_at(a->contacts, i);

        if (who->list == CONTACT_ALLOWED && who->has_T)
            memcpy(secrets[n++], who->T, 32);
    }
    service_set_guests(a->service, (const uint8_t(*)[32])secrets, n);
    secret_wipe(secrets, (contacts_count(a->contacts) + 1) * sizeof *secrets);
    mem_free(secrets);
}

static void give_pass(struct peer *p, ns_t now)
{
    struct favour_msg m = {.type = FAVOUR_PASS};

    if (!p->contact->has_T || !own_relay(p->app, m.relay, &m.addr))
        return;
    service_guest_pass(p->app->service, p->contact->T, m.pass);
    say(p, now, &m);
    secret_wipe(&m, sizeof m);
}

static void on_pass(struct peer *p, ns_t now, const struct favour_msg *m)
{
    struct app *a = p->app;
    struct favour_pass pass = {.addr = m->addr, .day = today(a)};
    enum addr_class class = addr_class(&m->addr);

    if (class != ADDR_GLOBAL && class != ADDR_PRIVATE)
        return;
    memcpy(pass.relay, m->relay, 32);
    memcpy(pass.contact, p->id, 32);
    memcpy(pass.pass, m->pass, sizeof pass.pass);
    favour_db_put_pass(a->ledger, &pass);
    secret_wipe(&pass, sizeof pass);
    if (a->relays != NULL)
        relays_add_known(a->relays, now, m->relay, &m->addr);
}

/* ---- sponsor lines ---- */

struct surplus {
    const uint8_t *me;
    double owed_s;
};

static void add_owed(void *arg, const struct ledger_row *row)
{
    struct surplus *s = arg;

    if (memcmp(row->me, s->me, 32) == 0 && row->account.sponsor_s <= 0)
        s->owed_s += row->account.debt_s;
}

struct lines {
    struct app *a;
    double surplus_s;
};

/* What the others owe us on the whole: nobody lends what it has not. */
static double surplus_of(struct app *a)
{
    struct surplus s = {.me = dht_key(a->zones[0].dht)};

    ledger_db_each(a->ledger, add_owed, &s);
    return s.owed_s > 0 ? s.owed_s : 0;
}

static void refill(struct app *a, struct favour_given *g)
{
    const uint8_t *me = dht_key(a->zones[0].dht);
    struct ledger_row row;
    double before;

    if (g->day == today(a) || ledger_db_get(a->ledger, me, g->account, &row) != ERR_OK)
        return;
    before = row.account.debt_s;
    row.account.day = g->day;
    ledger_forgive(&row.account, g->line_s, g->per_days, today(a));
    if (before > row.account.debt_s)
        ledger_db_owe(a->ledger, me, g->account, row.account.debt_s - before, today(a));
    g->day = today(a);
    favour_db_put_given(a->ledger, g);
}

static void apply_line(void *arg, const struct favour_given *row)
{
    struct lines *l = arg;
    struct favour_given g = *row;
    double line = fmin(g.line_s, l->surplus_s);

    if (!g.has_account)
        return;
    refill(l->a, &g);
    ledger_db_set_sponsor(l->a->ledger, dht_key(l->a->zones[0].dht), g.account, line);
    l->surplus_s -= line;
}

static void apply_lines(struct app *a)
{
    struct lines l = {.a = a};

    if (!a->service_is_relay || a->ledger == NULL)
        return;
    l.surplus_s = surplus_of(a);
    favour_db_each_given(a->ledger, apply_line, &l);
}

static void offer(struct peer *p, ns_t now)
{
    struct favour_msg m = {.type = FAVOUR_OFFER};
    struct favour_given g;

    if (!own_relay(p->app, m.relay, &m.addr) || favour_db_get_given(p->app->ledger, p->id, &g) != ERR_OK)
        return;
    m.line_s = g.line_s;
    m.per_days = g.per_days > 0 ? g.per_days : 7;
    say(p, now, &m);
}

enum err favours_sponsor(struct app *a, ns_t now, const struct contact *who, uint32_t line_s,
                         uint16_t per_days, struct err_detail *detail)
{
    struct favour_given g;
    enum err e;

    if (!a->service_is_relay)
        return err_set(detail, ERR_STATE, "Only who relays has credit to share: relay on first.");
    if (who->list != CONTACT_ALLOWED)
        return err_set(detail, ERR_REFUSED, "Only an allowed contact can be sponsored.");
    e = favour_db_get_given(a->ledger, who->id, &g);
    if (e != ERR_OK && line_s == 0)
        return err_set(detail, ERR_NOT_FOUND, "There is no line for this contact.");
    if (e != ERR_OK)
        g.day = today(a);
    g.line_s = line_s;
    g.per_days = per_days;
    e = favour_db_put_given(a->ledger, &g);
    if (e != ERR_OK)
        return err_set(detail, e, "The line could not be written down.");
    apply_lines(a);
    for (int i = 0; i < PEERS_MAX; i++)
        if (a->peers[i].is_used && a->peers[i].is_up && a->peers[i].contact == who)
            offer(&a->peers[i], now);
    return ERR_OK;
}

/* Taken at once: it costs us nothing but that they learn our account at their own relay. */
static void on_offer(struct peer *p, ns_t now, const struct favour_msg *m)
{
    struct favour_msg answer = {.type = FAVOUR_ACCEPT};
    struct favour_pass pass;
    struct app *a = p->app;

    /* Only of the relay whose passes they give: that is theirs. */
    if (a->relays == NULL || favour_db_get_pass(a->ledger, m->relay, &pass) != ERR_OK ||
        memcmp(pass.contact, p->id, 32) != 0)
        return;
    if (m->line_s == 0) {
        favour_db_drop_line(a->ledger, m->relay);
        return;
    }
    memcpy(answer.relay, m->relay, 32);
    relays_account(a->relays, m->relay, answer.account, NULL);
    say(p, now, &answer);
}

static void on_accept(struct peer *p, ns_t now, const struct favour_msg *m)
{
    struct favour_msg answer = {.type = FAVOUR_LINE};
    struct sponsor_line line = {0};
    struct favour_given g;
    struct app *a = p->app;
    struct addr addr;
    uint8_t node[32];

    if (!own_relay(a, node, &addr) || memcmp(m->relay, node, 32) != 0 || memcmp(m->account, node, 32) == 0 ||
        favour_db_get_given(a->ledger, p->id, &g) != ERR_OK || g.line_s == 0)
        return;
    if (g.has_account && memcmp(g.account, m->account, 32) != 0) /* a line has one account */
        ledger_db_set_sponsor(a->ledger, node, g.account, 0);
    memcpy(g.account, m->account, 32);
    g.has_account = true;
    g.serial++;
    if (favour_db_put_given(a->ledger, &g) != ERR_OK)
        return;
    apply_lines(a);
    zone_net_id(a->zones[0].id, line.net_id);
    memcpy(line.sponsor, node, 32);
    memcpy(line.beneficiary, m->account, 32);
    line.line_s = g.line_s;
    line.per_days = g.per_days;
    line.expiry_day = (uint16_t)(today(a) + EXPIRY_DAYS);
    line.serial = g.serial;
    if (sponsor_sign(&line, a->zones[0].node_seed) != ERR_OK)
        return;
    sponsor_write(&line, answer.paper);
    say(p, now, &answer);
}

static void on_line(struct peer *p, const struct favour_msg *m)
{
    struct app *a = p->app;
    uint8_t net_id[NET_ID_BYTES], account[32];
    struct sponsor_line line;
    struct favour_pass pass;

    zone_net_id(a->zones[0].id, net_id);
    if (a->relays == NULL || sponsor_parse(slice_of(m->paper, sizeof m->paper), &line) != ERR_OK ||
        favour_db_get_pass(a->ledger, line.sponsor, &pass) != ERR_OK ||
        memcmp(pass.contact, p->id, 32) != 0 || memcmp(line.net_id, net_id, sizeof net_id) != 0)
        return;
    relays_account(a->relays, line.sponsor, account, NULL);
    if (memcmp(line.beneficiary, account, 32) != 0 || sponsor_verify(&line) != ERR_OK)
        return;
    favour_db_put_line(a->ledger, &line);
    log_info(a->env, "a contact shares credit: %u s in %u days", line.line_s, line.per_days);
}

/* ---- what was met ---- */

static uint16_t tenths(double n)
{
    return n < 0 ? 0 : n > 6000 ? 60000 : (uint16_t)lround(10 * n);
}

static void tell_met(struct peer *p, ns_t now)
{
    struct favour_msg m = {.type = FAVOUR_MET};
    struct ledger_quality q[FAVOUR_MET_MAX];
    uint8_t relays[FAVOUR_MET_MAX][32];
    struct app *a = p->app;
    size_t n;

    if (a->relays == NULL || p->contact->met_day == today(a))
        return;
    n = favour_db_met(a->ledger, relays, q, FAVOUR_MET_MAX);
    for (size_t i = 0; i < n; i++) {
        struct favour_met *row = &m.met[m.n_met];

        ledger_quality_age(&q[i], today(a));
        memcpy(row->relay, relays[i], 32);
        row->good = tenths(q[i].good);
        row->bad = tenths(q[i].bad);
        m.n_met += row->good > 0 || row->bad > 0;
    }
    if (m.n_met == 0)
        return;
    p->contact->met_day = today(a);
    say(p, now, &m);
}

static void on_met(struct peer *p, const struct favour_msg *m)
{
    struct app *a = p->app;

    if (ledger_db_begin(a->ledger) != ERR_OK)
        return;
    for (uint8_t i = 0; i < m->n_met; i++) {
        struct ledger_hearsay h = {
            .good = m->met[i].good / 10.0, .bad = m->met[i].bad / 10.0, .day = today(a)};

        favour_db_put_heard(a->ledger, p->id, m->met[i].relay, &h);
    }
    ledger_db_commit(a->ledger);
}

/* ---- events ---- */

void favours_hello(struct peer *p, ns_t now)
{
    if (!is_friend(p))
        return;
    give_pass(p, now);
    offer(p, now);
    tell_met(p, now);
}

void favours_message(struct peer *p, ns_t now, struct slice msg)
{
    struct favour_msg m;

    if (!is_friend(p) || favour_parse(msg, &m) != ERR_OK)
        return;
    switch (m.type) {
    case FAVOUR_PASS:
        on_pass(p, now, &m);
        break;
    case FAVOUR_OFFER:
        on_offer(p, now, &m);
        break;
    case FAVOUR_ACCEPT:
        on_accept(p, now, &m);
        break;
    case FAVOUR_LINE:
        on_line(p, &m);
        break;
    case FAVOUR_MET:
        on_met(p, &m);
        break;
    }
    secret_wipe(&m, sizeof m);
}

/* Nothing of somebody who is removed or blocked counts any more, and what was lent is taken back. */
void favours_contact_gone(struct app *a, const uint8_t id[static 32])
{
    struct favour_given g;

    if (a->ledger == NULL)
        return;
    favour_db_forget(a->ledger, id);
    if (favour_db_get_given(a->ledger, id, &g) != ERR_OK)
        return;
    g.line_s = 0;
    favour_db_put_given(a->ledger, &g);
    apply_lines(a);
}

void favours_tick(struct app *a, ns_t now)
{
    if (now < a->favours_at)
        return;
    a->favours_at = now + STEP_NS;
    apply_lines(a);
}
