#include "nat/stun_client.h"

#include "base/mem.h"

#define LAST_WAIT_RTO 16 /* Rm, RFC 8489 §6.2.1 */

void stun_retry_start(struct stun_retry *r, ns_t now)
{
    r->at = now;
    r->n_sent = 0;
}

void stun_retry_stop(struct stun_retry *r)
{
    r->at = NS_NEVER;
    r->n_sent = 0;
}

bool stun_retry_due(struct stun_retry *r, ns_t now)
{
    if (r->at == NS_NEVER || now < r->at || r->n_sent == STUN_RETRY_MAX)
        return false;
    r->at = now + (r->n_sent + 1 < STUN_RETRY_MAX ? STUN_RTO_NS << r->n_sent : STUN_RTO_NS * LAST_WAIT_RTO);
    r->n_sent++;
    return true;
}

bool stun_retry_is_over(const struct stun_retry *r, ns_t now)
{
    return r->at != NS_NEVER && r->n_sent == STUN_RETRY_MAX && now >= r->at;
}

struct question {
    struct addr server;
    struct stun_retry retry;
    uint8_t id[STUN_ID_BYTES];
};

struct stun_client {
    const struct stun_client_ops *ops;
    void *arg;
    const struct env *env;
    bool is_dead;
    struct question asked[STUN_CLIENT_MAX]; /* free when retry.at is NS_NEVER */
    /* Answers of the last two different servers, the older first. */
    struct addr servers[2], mapped[2];
    unsigned n_answers;
};

struct stun_client *stun_client_create(const struct stun_client_ops *ops, void *arg, const struct env *env)
{
    struct stun_client *c = mem_alloc(sizeof *c);

    c->ops = ops;
    c->arg = arg;
    c->env = env;
    for (int i = 0; i < STUN_CLIENT_MAX; i++)
        stun_retry_stop(&c->asked[i].retry);
    return c;
}

void stun_client_destroy(struct stun_client *c)
{
    if (c == NULL || c->is_dead)
        return;
    c->is_dead = true;
    env_defer(c->env, mem_free, c);
}

static struct question *find_free(struct stun_client *c)
{
    for (int i = 0; i < STUN_CLIENT_MAX; i++)
        if (c->asked[i].retry.at == NS_NEVER)
            return &c->asked[i];
    return NULL;
}

/* As long as any answer: relays send strangers no more than they got (relay/turn_server.h). */
static void send_question(struct stun_client *c, const struct question *q)
{
    static const char filler[] = "                    "; /* 20: with it the request is 52 bytes */
    uint8_t buf[64];
    struct stun_wr w;

    stun_begin(&w, buf, sizeof buf, STUN_REQUEST, STUN_BINDING, q->id);
    stun_put(&w, STUN_SOFTWARE, slice_str(filler));
    stun_put_fingerprint(&w);
    c->ops->send(c->arg, &q->server, stun_end(&w));
}

enum err stun_client_ask(struct stun_client *c, ns_t now, const struct addr *server)
{
    struct question *q;

    for (int i = 0; i < STUN_CLIENT_MAX; i++)
        if (c->asked[i].retry.at != NS_NEVER && addr_equal(&c->asked[i].server, server))
            return ERR_EXISTS;
    q = find_free(c);
    if (q == NULL)
        return ERR_FULL;
    q->server = *server;
    env_random(c->env, q->id, sizeof q->id);
    stun_retry_start(&q->retry, now);
    (void)stun_retry_due(&q->retry, now);
    send_question(c, q);
    return ERR_OK;
}

static void remember(struct stun_client *c, const struct addr *server, const struct addr *mapped)
{
    if (c->n_answers > 0 && addr_equal_ip(&c->servers[1], server)) {
        c->mapped[1] = *mapped;
        return;
    }
    c->servers[0] = c->servers[1];
    c->mapped[0] = c->mapped[1];
    c->servers[1] = *server;
    c->mapped[1] = *mapped;
    if (c->n_answers < 2)
        c->n_answers++;
}

bool stun_client_input(struct stun_client *c, ns_t now, const struct addr *from, struct slice bytes)
{
    struct stun_msg m;
    bool is_good;

    if (stun_parse(bytes, &m) != ERR_OK || m.method != STUN_BINDING ||
        (m.cls != STUN_SUCCESS && m.cls != STUN_ERROR))
        return false;
    for (int i = 0; i < STUN_CLIENT_MAX; i++) {
        struct question *q = &c->asked[i];

        if (q->retry.at == NS_NEVER || memcmp(q->id, m.id, sizeof q->id) != 0 ||
            !addr_equal(&q->server, from))
            continue;
        is_good = m.cls == STUN_SUCCESS && m.n_unknown == 0 && addr_class(&m.mapped) != ADDR_UNUSABLE &&
                  m.mapped.port != 0;
        stun_retry_stop(&q->retry);
        if (is_good)
            remember(c, from, &m.mapped);
        c->ops->answer(c->arg, now, from, is_good ? ERR_OK : ERR_REFUSED, &m.mapped);
        return true;
    }
    return false;
}

void stun_client_tick(struct stun_client *c, ns_t now)
{
    for (int i = 0; i < STUN_CLIENT_MAX && !c->is_dead; i++) {
        struct question *q = &c->asked[i];

        if (stun_retry_due(&q->retry, now)) {
            send_question(c, q);
        } else if (stun_retry_is_over(&q->retry, now)) {
            struct addr server = q->server, none = {.family = ADDR_NONE};

            stun_retry_stop(&q->retry);
            c->ops->answer(c->arg, now, &server, ERR_TIMEOUT, &none);
        }
    }
}

ns_t stun_client_deadline(const struct stun_client *c)
{
    ns_t at = NS_NEVER;

    for (int i = 0; i < STUN_CLIENT_MAX && !c->is_dead; i++)
        at = ns_min(at, c->asked[i].retry.at);
    return at;
}

enum stun_mapping stun_client_mapping(const struct stun_client *c, const struct addr *own, int *step)
{
    *step = 0;
    if (c->n_answers > 0 && own != NULL && addr_equal(own, &c->mapped[1]))
        return STUN_MAPPING_NONE;
    if (c->n_answers < 2)
        return STUN_MAPPING_UNKNOWN;
    if (addr_equal(&c->mapped[0], &c->mapped[1]))
        return STUN_MAPPING_SAME;
    if (addr_equal_ip(&c->mapped[0], &c->mapped[1]))
        *step = (int)c->mapped[1].port - (int)c->mapped[0].port;
    return STUN_MAPPING_VARIES;
}

size_t stun_client_predict(const struct stun_client *c, struct addr *out, size_t max)
{
    int step, port;
    size_t n = 0;

    if (stun_client_mapping(c, NULL, &step) != STUN_MAPPING_VARIES || step == 0 || step > STUN_STEP_MAX ||
        step < -STUN_STEP_MAX)
        return 0;
    for (port = c->mapped[1].port + step; n < max && port >= 1024 && port <= 65535; port += step) {
        out[n] = c->mapped[1];
        out[n++].port = (uint16_t)port;
    }
    return n;
}
