#include "sim/phone.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "crypto/secret.h"

#define FRAME          960
#define TONE_AMPLITUDE 8000.0

/* Its own monotonic clock, which stands still while the machine sleeps. */
static ns_t own(const struct sim_phone *p, ns_t now)
{
    return now - p->slept_ns;
}

static double phase_of(const struct sim_phone *p, ns_t at, double hz)
{
    double s = (double)(at - p->started_at) / 1e9;

    return 2.0 * M_PI * fmod(s * hz, 1.0);
}

static void say(void *arg, ns_t at, int16_t *out, size_t n)
{
    struct sim_phone *p = arg;

    if (p->is_quiet)
        memset(out, 0, n * sizeof *out);
    for (size_t i = 0; i < n && !p->is_quiet; i++)
        out[i] = (int16_t)(TONE_AMPLITUDE * sin(phase_of(p, at + i * NS_PER_S / 48000, p->pitch_hz)));
}

/* Goertzel by hand: how much of each 20 ms is the tone we wait for. */
static void hear(void *arg, ns_t at, const int16_t *pcm, size_t n)
{
    struct sim_phone *p = arg;

    for (size_t i = 0; i < n && !p->is_quiet; i++) {
        double phase = phase_of(p, at + i * NS_PER_S / 48000, p->wanted_hz);

        p->sum_sin += pcm[i] * sin(phase);
        p->sum_cos += pcm[i] * cos(phase);
        p->energy += (double)pcm[i] * pcm[i];
        if (++p->in_frame < FRAME)
            continue;
        p->n_frames++;
        if (p->energy / FRAME > 1e5 &&
            hypot(p->sum_sin, p->sum_cos) * 2 / FRAME > 0.5 * sqrt(2 * p->energy / FRAME)) {
            p->n_heard++;
            p->has_heard = true;
            p->run_without = 0;
        } else if (p->has_heard && ++p->run_without > p->longest_without) {
            p->longest_without = p->run_without;
        }
        p->sum_sin = p->sum_cos = p->energy = 0;
        p->in_frame = 0;
    }
}

static void take_call(struct sim_phone *p, const cJSON *call)
{
    const char *state = json_str(call, "state", ""), *path = json_str(call, "path", "");
    ns_t now = vnet_now(p->net);

    p->call_id = (uint32_t)json_num(call, "id", 0);
    if (strcmp(state, p->state) != 0) {
        snprintf(p->state, sizeof p->state, "%s", state);
        p->state_at = now;
        if (strcmp(state, "ringing") == 0)
            p->ringing_at = now;
        if (strcmp(state, "in_call") == 0 && p->in_call_at == 0)
            p->in_call_at = now;
        if (strcmp(state, "incoming") == 0)
            p->n_calls++;
    }
    if (path[0] != '\0' && strcmp(path, p->path) != 0) {
        size_t used = strlen(p->paths_seen);

        snprintf(p->path, sizeof p->path, "%s", path);
        snprintf(p->paths_seen + used, sizeof p->paths_seen - used, "%s ", path);
    }
    snprintf(p->cause, sizeof p->cause, "%s", json_str(call, "cause", ""));
    snprintf(p->code, sizeof p->code, "%s", json_str(call, "code", ""));
}

static void on_event(void *arg, const char *json)
{
    struct sim_phone *p = arg;
    cJSON *v = cJSON_Parse(json);
    const char *ev = json_str(v, "ev", "");

    if (strcmp(ev, "call") == 0)
        take_call(p, cJSON_GetObjectItem(v, "call"));
    if (strcmp(ev, "device") == 0) {
        snprintf(p->device_state, sizeof p->device_state, "%s", json_str(v, "state", ""));
        if (json_str(v, "code", NULL) != NULL)
            snprintf(p->device_code, sizeof p->device_code, "%s", json_str(v, "code", ""));
    }
    if (strcmp(ev, "request") == 0)
        p->n_requests = (unsigned)json_num(v, "requests", 0);
    cJSON_Delete(v);
}

static size_t on_local_addrs(void *arg, struct addr *out, size_t max)
{
    struct sim_phone *p = arg;

    if (max == 0)
        return 0;
    out[0] = *vnet_addr(p->host);
    return 1;
}

static void on_port_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    const struct sim_port *p = arg;

    app_port_input(p->phone->app, own(p->phone, now), p->handle, from, bytes);
}

static struct sim_port *port_of(struct sim_phone *p, uint32_t handle, bool is_free)
{
    for (size_t i = 0; i < SIM_PORTS; i++)
        if (is_free ? p->ports[i].socket == NULL : p->ports[i].socket != NULL && p->ports[i].handle == handle)
            return &p->ports[i];
    return NULL;
}

static enum err on_open_port(void *arg, uint8_t family, uint16_t port, uint32_t handle)
{
    struct sim_phone *p = arg;
    struct sim_port *place = port_of(p, 0, true);

    (void)family;
    if (place == NULL)
        return ERR_FULL;
    *place = (struct sim_port){.phone = p, .handle = handle};
    place->socket = vnet_open_port(p->host, port, on_port_recv, place);
    return place->socket != NULL ? ERR_OK : ERR_EXISTS;
}

static void on_port_send(void *arg, uint32_t handle, const struct addr *to, struct slice bytes)
{
    struct sim_port *place = port_of(arg, handle, false);

    if (place != NULL)
        vnet_send_from(place->socket, to, bytes);
}

static void on_close_port(void *arg, uint32_t handle)
{
    struct sim_port *place = port_of(arg, handle, false);

    if (place == NULL)
        return;
    vnet_close_port(place->socket);
    place->socket = NULL;
}

static void on_recv(void *arg, ns_t now, const struct addr *from, struct slice bytes)
{
    struct sim_phone *p = arg;

    app_input(p->app, own(p, now), from, bytes);
}

static ns_t phone_deadline(void *arg)
{
    const struct sim_phone *p = arg;
    ns_t at = app_deadline(p->app);

    return at == NS_NEVER ? NS_NEVER : at + p->slept_ns;
}

static void phone_tick(void *arg, ns_t now)
{
    struct sim_phone *p = arg;

    app_tick(p->app, own(p, now));
}

static const struct clock_ops driver_ops = {.deadline = phone_deadline, .tick = phone_tick};

static void start(struct sim_phone *p)
{
    struct app_config config = {.mode = p->mode, .drive = MEDIA_INLINE, .is_silent = true};
    struct err_detail detail = {{0}};

    config.settings = p->settings;
    config.is_joining = p->is_joining;
    config.paths.ledger = p->ledger_path;
    config.paths.care = p->care_path;
    config.paths.node_key = p->node_path;
    config.keys = &p->keys;
    config.port = vnet_addr(p->host)->port;
    config.audio = &p->audio;
    config.ops = (struct app_ops){.arg = p,
                                  .event = on_event,
                                  .local_addrs = on_local_addrs,
                                  .open_port = on_open_port,
                                  .port_send = on_port_send,
                                  .close_port = on_close_port};
    if (app_create(&config, vnet_env(p->host), own(p, vnet_now(p->net)), &p->app, &detail) != ERR_OK) {
        fprintf(stderr, "%s: %s\n", vnet_name(p->host), detail.text);
        abort();
    }
    vnet_on_recv(p->host, on_recv, p);
    p->driver = vnet_drive(p->host, &driver_ops, p);
}

static void stop(struct sim_phone *p)
{
    vnet_undrive(p->host, p->driver);
    vnet_on_recv(p->host, NULL, NULL);
    app_destroy(p->app, own(p, vnet_now(p->net)));
}

struct sim_phone *sim_phone_create(struct vnet *net, struct vnet_host *host, enum app_mode mode,
                                   const char *settings)
{
    return sim_phone_create_member(net, host, mode, settings, NULL);
}

struct sim_phone *sim_phone_create_member(struct vnet *net, struct vnet_host *host, enum app_mode mode,
                                          const char *settings, const char *node_path)
{
    struct sim_phone *p = mem_alloc(sizeof *p);
    struct config_errors errors = {0};
    uint8_t phrase[KEY_BYTES];

    crypto_init();
    p->net = net;
    p->host = host;
    p->mode = mode;
    p->node_path = node_path;
    p->pitch_hz = 440;
    p->wanted_hz = 440;
    p->started_at = vnet_now(net);
    p->audio = (struct call_audio){.source = say, .sink = hear, .audio_arg = p};
    keyring_create(vnet_env(host), &p->keys, phrase);
    id_format(p->keys.identity.pub, p->id);
    p->settings = config_create();
    if (settings == NULL) /* a steady tone is what noise suppression removes */
        settings = "{\"audio\": {\"echo_cancel\": false, \"noise_suppress\": false}}";
    if (config_parse(p->settings, "scenario", slice_str(settings), &errors) != ERR_OK) {
        fprintf(stderr, "%s\n", errors.lines[0]);
        abort();
    }
    start(p);
    return p;
}

void sim_phone_sleep(struct sim_phone *p)
{
    vnet_undrive(p->host, p->driver);
    vnet_on_recv(p->host, NULL, NULL);
    p->asleep_at = vnet_now(p->net);
}

void sim_phone_wake(struct sim_phone *p)
{
    p->slept_ns += vnet_now(p->net) - p->asleep_at;
    vnet_on_recv(p->host, on_recv, p);
    p->driver = vnet_drive(p->host, &driver_ops, p);
    app_network_changed(p->app, own(p, vnet_now(p->net))); /* as src/io/netlink does */
}

void sim_phone_keep_ledger(struct sim_phone *p, const char *path)
{
    p->ledger_path = path;
    sim_phone_restart(p);
}

void sim_phone_restart(struct sim_phone *p)
{
    stop(p);
    start(p);
}

void sim_phone_destroy(struct sim_phone *p)
{
    if (p == NULL)
        return;
    stop(p);
    config_destroy(p->settings);
    keyring_wipe(&p->keys);
    mem_free(p->answer);
    mem_free(p);
}

static void on_reply(void *arg, const char *json)
{
    struct sim_phone *p = arg;

    mem_free(p->answer);
    p->answer = mem_str(json);
}

bool sim_ask(struct sim_phone *p, const char *fmt, ...)
{
    char text[2048];
    cJSON *v;
    bool ok;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    app_request(p->app, own(p, vnet_now(p->net)), text, on_reply, p);
    v = cJSON_Parse(p->answer);
    ok = json_bool(v, "ok", false);
    cJSON_Delete(v);
    return ok;
}

void sim_bootstrap(struct sim_phone *p, const struct sim_phone *from)
{
    app_add_address(p->app, own(p, vnet_now(p->net)), vnet_addr(from->host));
}

void sim_befriend(struct sim_phone *a, const char *a_calls_b, struct sim_phone *b, const char *b_calls_a)
{
    if (!sim_ask(a, "{\"id\":1,\"cmd\":\"contacts_allow\",\"contact\":\"%s\"}", b->id) ||
        !sim_ask(a, "{\"id\":1,\"cmd\":\"contacts_rename\",\"contact\":\"%s\",\"name\":\"%s\"}", b->id,
                 a_calls_b) ||
        !sim_ask(b, "{\"id\":1,\"cmd\":\"contacts_allow\",\"contact\":\"%s\"}", a->id) ||
        !sim_ask(b, "{\"id\":1,\"cmd\":\"contacts_rename\",\"contact\":\"%s\",\"name\":\"%s\"}", a->id,
                 b_calls_a)) {
        fprintf(stderr, "%s %s\n", a->answer, b->answer);
        abort();
    }
}

bool sim_reached(void *arg)
{
    const struct sim_wait *w = arg;

    return strcmp(w->p->state, w->state) == 0 && (w->path == NULL || strcmp(w->p->path, w->path) == 0);
}
