#include "io/upnp.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include <miniupnpc.h>
#include <upnpcommands.h>

#include "base/mem.h"

#define SEARCHES     3 /* UPNP_DISCOVERY_MS is shared by them */
#define DEVICES_MAX  8
#define URL_BYTES    256
#define PORTS        4   /* the wanted one, then others */
#define CONFLICT     718 /* error codes of AddPortMapping, WANIPConnection:1 §2.4.16 */
#define SAME_PORTS   724
#define ONLY_FOREVER 725
#define DESCRIPTION  "itodenwa"

/* A gateway that answered: what the next step needs of it. */
struct igd {
    char control[URL_BYTES], service[128], inside[64];
};

enum step { STEP_MAP, STEP_UNMAP };

/* One step on a worker. It owns all it touches; owner and generation are the loop's. */
struct job {
    uv_work_t req;
    struct upnp *owner; /* NULL: nobody waits any more */
    unsigned generation;
    atomic_bool is_cancelled;
    enum step step;
    uint16_t inside_port, ports[PORTS];
    bool has_igd, is_mapped;
    struct igd igd;
    uint16_t outside_port;
    uint32_t lifetime_s;
    char outside_ip[64];
};

struct upnp {
    struct io *io;
    upnp_cb cb;
    void *arg;
    uv_timer_t *timer; /* freed by its close callback */
    struct job *job;
    uint16_t port;
    bool wants, is_due;  /* a mapping is wanted; the next try is due */
    unsigned generation; /* of what is wanted; a job of an older one is undone */
    bool is_mapped;
    unsigned mapped_generation;
    struct igd igd;
    uint16_t outside_port;
};

/* ---- on the worker ---- */

/* The host of "http://HOST[:PORT]/...", when it is an address of the LAN: no name, nobody outside. */
static bool lan_host(const char *url, struct addr *out)
{
    static const char scheme[] = "http://";
    char host[64];
    size_t n;

    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return false;
    url += sizeof scheme - 1;
    n = strcspn(url, "/");
    if (n >= sizeof host)
        return false;
    memcpy(host, url, n);
    host[n] = '\0';
    return addr_parse(host, out) == ERR_OK &&
           (addr_class(out) == ADDR_PRIVATE || addr_class(out) == ADDR_LINK_LOCAL);
}

static bool take_igd(const char *description, struct igd *out)
{
    struct UPNPUrls urls = {0};
    struct IGDdatas data;
    struct addr told, control;
    bool ok = false;

    memset(&data, 0, sizeof data);
    if (!lan_host(description, &told))
        return false;
    if (UPNP_GetIGDFromUrl(description, &urls, &data, out->inside, sizeof out->inside) != 1)
        return false;
    if (urls.controlURL != NULL && strlen(urls.controlURL) < sizeof out->control &&
        lan_host(urls.controlURL, &control) && addr_equal_ip(&told, &control) &&
        data.first.servicetype[0] != '\0') {
        snprintf(out->control, sizeof out->control, "%s", urls.controlURL);
        snprintf(out->service, sizeof out->service, "%s", data.first.servicetype);
        ok = true;
    }
    FreeUPNPUrls(&urls);
    return ok;
}

static bool discover(struct job *j)
{
    static const char *const searches[SEARCHES] = {"urn:schemas-upnp-org:device:InternetGatewayDevice:1",
                                                   "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
                                                   "urn:schemas-upnp-org:service:WANIPConnection:1"};

    for (int i = 0; i < SEARCHES && !atomic_load(&j->is_cancelled); i++) {
        const char *one[] = {searches[i], NULL};
        int error = 0, n = 0;
        struct UPNPDev *devices =
            upnpDiscoverDevices(one, UPNP_DISCOVERY_MS / SEARCHES, NULL, NULL, 0, 0, 2, &error, 0);

        for (struct UPNPDev *d = devices; d != NULL && n < DEVICES_MAX && !j->has_igd; d = d->pNext, n++)
            j->has_igd = !atomic_load(&j->is_cancelled) && take_igd(d->descURL, &j->igd);
        freeUPNPDevlist(devices);
        if (j->has_igd)
            return true;
    }
    return false;
}

/* 0, or an error code of UPnP. */
static int add(struct job *j, uint16_t outside, uint32_t lease_s)
{
    char out[8], in[8], lease[16];

    snprintf(out, sizeof out, "%u", outside);
    snprintf(in, sizeof in, "%u", j->inside_port);
    snprintf(lease, sizeof lease, "%u", lease_s);
    return UPNP_AddPortMapping(j->igd.control, j->igd.service, out, in, j->igd.inside, DESCRIPTION, "UDP",
                               NULL, lease);
}

static bool add_any(struct job *j)
{
    uint32_t lease_s = UPNP_LEASE_S;

    for (int i = 0; i < PORTS && !atomic_load(&j->is_cancelled); i++) {
        int e = add(j, j->ports[i], lease_s);

        if (e == ONLY_FOREVER) {
            lease_s = 0;
            e = add(j, j->ports[i], lease_s);
        }
        if (e == 0) {
            j->outside_port = j->ports[i];
            j->lifetime_s = lease_s;
            return true;
        }
        if (e != CONFLICT && e != SAME_PORTS)
            return false;
    }
    return false;
}

static void work(uv_work_t *req)
{
    struct job *j = req->data;
    char port[8];

    if (j->step == STEP_UNMAP) {
        snprintf(port, sizeof port, "%u", j->outside_port);
        UPNP_DeletePortMapping(j->igd.control, j->igd.service, port, "UDP", NULL);
        return;
    }
    if (j->has_igd)
        j->is_mapped = add_any(j);
    if (!j->is_mapped) { /* another router than last time */
        j->has_igd = false;
        j->is_mapped = discover(j) && add_any(j);
    }
    if (j->is_mapped && UPNP_GetExternalIPAddress(j->igd.control, j->igd.service, j->outside_ip) != 0)
        j->outside_ip[0] = '\0';
}

/* ---- on the loop ---- */

static void after(uv_work_t *req, int status);

static struct job *job_new(const struct upnp *u, enum step step)
{
    struct job *j = mem_alloc(sizeof *j);

    j->step = step;
    j->generation = u->generation;
    j->igd = u->igd;
    j->has_igd = u->is_mapped;
    j->inside_port = u->port;
    j->outside_port = u->is_mapped ? u->outside_port : 0;
    j->ports[0] = u->is_mapped ? u->outside_port : u->port;
    for (int i = 1; i < PORTS; i++)
        j->ports[i] = (uint16_t)(16384 + env_random_u32(io_env(u->io)) % 32768);
    return j;
}

static bool queue(uv_loop_t *loop, struct job *j)
{
    j->req.data = j;
    if (uv_queue_work(loop, &j->req, work, after) == 0)
        return true;
    mem_free(j);
    return false;
}

static void run(struct upnp *u, enum step step)
{
    struct job *j = job_new(u, step);

    j->owner = u;
    u->job = queue(io_uv(u->io), j) ? j : NULL;
}

/* What is to be done next, one thing at a time. */
static void go(struct upnp *u)
{
    if (u->job != NULL)
        return;
    if (u->is_mapped && (!u->wants || u->mapped_generation != u->generation)) {
        run(u, STEP_UNMAP);
    } else if (u->wants && u->is_due) {
        u->is_due = false;
        run(u, STEP_MAP);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct upnp *u = timer->data;

    if (u == NULL)
        return;
    u->is_due = true;
    go(u);
}

static void mapped(struct upnp *u, const struct job *j)
{
    struct addr outside = {.family = ADDR_NONE};

    u->is_mapped = j->is_mapped;
    u->mapped_generation = j->generation;
    u->igd = j->igd;
    u->outside_port = j->outside_port;
    if (!u->wants || j->generation != u->generation)
        return;
    if (j->is_mapped) /* one that lasts is asked for again as well: the router may restart */
        uv_timer_start(u->timer, on_timer, (uint64_t)UPNP_LEASE_S * 1000 / 2, 0);
    if (j->is_mapped && addr_parse(j->outside_ip, &outside) == ERR_OK)
        outside.port = j->outside_port;
    else
        outside.family = ADDR_NONE;
    u->cb(u->arg, io_now(), &outside, j->lifetime_s);
}

static void after(uv_work_t *req, int status)
{
    struct job *j = req->data;
    struct upnp *u = j->owner;

    (void)status;
    if (u == NULL) { /* closed meanwhile: undo what was done */
        if (j->step == STEP_MAP && j->outside_port != 0) {
            struct job *undo = mem_dup(j, sizeof *j);

            undo->step = STEP_UNMAP;
            queue(req->loop, undo);
        }
        mem_free(j);
        return;
    }
    u->job = NULL;
    if (j->step == STEP_UNMAP)
        u->is_mapped = false;
    else
        mapped(u, j);
    mem_free(j);
    go(u);
}

struct upnp *upnp_open(struct io *io, upnp_cb cb, void *arg)
{
    struct upnp *u = mem_alloc(sizeof *u);

    *u = (struct upnp){.io = io, .cb = cb, .arg = arg};
    u->timer = mem_alloc(sizeof *u->timer);
    uv_timer_init(io_uv(io), u->timer);
    u->timer->data = u;
    return u;
}

static void free_timer(uv_handle_t *timer)
{
    mem_free(timer);
}

void upnp_close(struct upnp *u)
{
    if (u == NULL)
        return;
    if (u->job != NULL) {
        u->job->owner = NULL;
        atomic_store(&u->job->is_cancelled, true);
    } else if (u->is_mapped) {
        queue(io_uv(u->io), job_new(u, STEP_UNMAP));
    }
    u->timer->data = NULL;
    uv_close((uv_handle_t *)u->timer, free_timer);
    mem_free(u);
}

void upnp_map(struct upnp *u, uint16_t port)
{
    u->port = port;
    u->wants = u->is_due = true;
    go(u);
}

void upnp_unmap(struct upnp *u)
{
    u->wants = u->is_due = false;
    u->generation++;
    uv_timer_stop(u->timer);
    if (u->job != NULL)
        atomic_store(&u->job->is_cancelled, true);
    go(u);
}
