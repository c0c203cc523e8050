/* app/app.h - one phone: builds, owns and routes to everything below it.
 *
 * The program gives it a world (env), files, and a few doors; packets, time and requests go in, packets, answers
 * and events come out. The same object runs behind the screens, as a daemon, as a relay, as the Echo contact and,
 * by the hundred, in the scenarios.
 *
 *   in     datagrams of the one UDP port and of relayed ports; time; requests as JSON (UX.md §6, §7)
 *   out    config.ops
 *   owner  the program; keyring and config are borrowed and outlive the app. The keyring changes while we run
 *          (new S, new device keys), in the file first
 *   trust  every datagram is a stranger's until a layer below has proven it
 *   caps   those of the parts; APP_ZONES overlay zones, APP_KNOCKS outgoing knock flows */
#ifndef ITO_APP_APP_H
#define ITO_APP_APP_H

#include "app/config.h"
#include "base/env.h"
#include "base/json.h"
#include "crypto/keystore.h"
#include "media/media.h"
#include "relay/offload.h"

#define APP_ZONES       2
#define APP_KNOCKS      384
#define APP_LOCAL_ADDRS 16

enum app_mode { APP_PHONE, APP_DAEMON, APP_RELAY, APP_ECHO };

struct app;

/* Doors to the world besides env. All run on the caller's thread. */
struct app_ops {
    void *arg;
    /* One event for everybody who watches: a whole JSON object, without line end. */
    void (*event)(void *arg, const char *json);
    /* Addresses of this machine with the main port; returns how many. */
    size_t (*local_addrs)(void *arg, struct addr *out, size_t max);
    /* Relayed ports (relay/service.h). */
    enum err (*open_port)(void *arg, uint8_t family, uint16_t port, uint32_t handle);
    void (*port_send)(void *arg, uint32_t handle, const struct addr *to, struct slice bytes);
    void (*close_port)(void *arg, uint32_t handle);
    /* Watch a media fd for call id, or no longer. NULL: inline media. */
    void (*media_fd)(void *arg, uint32_t call_id, int fd, bool is_on);
    /* Resolve HOST:PORT and give the addresses to app_add_address(). May be NULL. */
    void (*resolve)(void *arg, const char *host_port);
    /* The same for a node of the public BitTorrent DHT: to app_add_router(). May be NULL. */
    void (*resolve_router)(void *arg, const char *host_port);
    /* Start the Echo contact: a second phone on loopback, in zone APP_ECHO_ZONE, whose contact we are. Writes its
     * identity, the pair secret of it and us (a linked device could not compute it) and its address. NULL: there is no
     * Echo here. */
    enum err (*start_echo)(void *arg, const uint8_t caller[static 32], uint8_t identity[static 32],
                           uint8_t pair_secret[static 32], struct addr *addr);
    /* The default gateway, and our address towards it. False: there is none. NULL: no port mapping. */
    bool (*gateway)(void *arg, struct addr *gateway, struct addr *inside);
    /* Ask the router by UPnP IGD for the UDP port, or give it back; news come by app_port_mapped(). May be NULL. */
    void (*map_port)(void *arg, uint16_t port, bool is_on);
    /* The last lines of the log: an array of {"at":"…Z","level":"info","text":"…"}, for the caller. May be NULL. */
    cJSON *(*log_lines)(void *arg);
    /* Become the program that lies under our path now. May be NULL. */
    enum err (*upgrade)(void *arg, struct err_detail *detail);
    /* The desktop hook (notify.command). May be NULL. */
    void (*notify)(void *arg, const char *event, const char *name);
};

#define APP_ECHO_ZONE "loopback"
#define APP_ECHO_NAME "Echo (this computer)"

/* Where things are kept; NULL members: in memory only. */
struct app_paths {
    const char *identity, *config, *contacts, *contacts_state, *requests, *invites, *history, *ledger, *peers,
        *node_key, *mainline, *care, *mirror;
};

struct app_config {
    enum app_mode mode;
    struct config *settings;
    struct keyring *keys;
    struct app_paths paths;
    struct app_ops ops;
    enum media_drive drive;
    bool is_offline;  /* lists only: no overlay, no sessions, no calls */
    bool is_silent;   /* no ring tones */
    bool is_joining;  /* the keys are thrown away: here only to be linked (`devices_join`) */
    bool has_streams; /* the owner listens on the same port by TCP and TLS, too */
    uint16_t port;    /* of the main socket */
    const struct offload_ops
        *offload; /* a relay: who carries its calls (relay.xdp, relay.workers); NULL: nobody */
    void *offload_arg;
    struct slice resume;            /* app_hand_over() of the process before us; or empty */
    uint8_t auto_answer[32];        /* APP_ECHO: who is answered; its only contact */
    struct call_audio const *audio; /* scenarios: sound of every call; NULL: devices */
};

/* Reads the files; ERR_CONFIG or ERR_IO with words in detail (then *out is NULL). */
enum err app_create(const struct app_config *config, const struct env *env, ns_t now, struct app **out,
                    struct err_detail *detail);
/* Says goodbye where it can, writes what is not yet written. NULL is fine. */
void app_destroy(struct app *a, ns_t now);

/* What the process gave up (io/confine.h), for `status`. */
struct app_confinement {
    bool is_known, no_new_privileges, has_filter;
    int landlock; /* its ABI, 0: not in force */
};
void app_set_confinement(struct app *a, const struct app_confinement *c);

/* A relay: a word to those who are connected; they come back to whoever is here then. */
void app_say_goodbye(struct app *a, ns_t now);
/* We are gone so soon: calls that we relay are asked to move; while one still goes by us, app_is_carrying(). */
void app_leave(struct app *a, ns_t now, unsigned within_s);
bool app_is_carrying(const struct app *a, ns_t now);
/* What it carries, with keys, for the process that takes its place: wipe, and mem_free(). Calls go on. */
uint8_t *app_hand_over(struct app *a, ns_t now, size_t *len);

void app_input(struct app *a, ns_t now, const struct addr *from, struct slice bytes);
void app_port_input(struct app *a, ns_t now, uint32_t handle, const struct addr *from, struct slice bytes);
/* The same for packets of calls that this relay carries, rewritten where they lie: FORWARD_HEAD bytes before them
 * and FORWARD_TAIL behind (relay/forward.h) may be written too. False: not such a packet, nothing was done. */
bool app_fast_input(struct app *a, ns_t now, const struct addr *from, uint8_t *bytes, size_t len);
bool app_port_fast(struct app *a, ns_t now, uint32_t handle, const struct addr *from, uint8_t *bytes,
                   size_t len);
/* The TCP or TLS connection of that address (ADDR_STREAM) is gone. */
void app_stream_gone(struct app *a, ns_t now, const struct addr *who);
void app_tick(struct app *a, ns_t now);
ns_t app_deadline(const struct app *a);
void app_media_ready(struct app *a, ns_t now, uint32_t call_id);
/* A first address of the public zone: net.peers, the cache, an invite, the LAN. */
void app_add_address(struct app *a, ns_t now, const struct addr *addr);
/* A first address of the public BitTorrent DHT: net.routers, the cache. */
void app_add_router(struct app *a, ns_t now, const struct addr *addr);
void app_network_changed(struct app *a, ns_t now);
/* UPnP's answer, netinfo.h: family ADDR_NONE: no mapping; lifetime_s 0: until given back. */
void app_port_mapped(struct app *a, ns_t now, const struct addr *outside, uint32_t lifetime_s);
/* Re-read contacts.json (HUP). On failure the old lists stay; detail has the lines. */
enum err app_reload(struct app *a, ns_t now, struct err_detail *detail);
/* End all calls politely. */
void app_hangup_all(struct app *a, ns_t now);
bool app_has_calls(const struct app *a);
/* After `devices_join`: what this device keeps, and the name of its identity; NULL: not linked (yet). */
const struct keyring *app_joined_keys(const struct app *a, const char **name);
const uint8_t *app_node_key(const struct app *a); /* N in the public zone */
/* net.zone_cert has changed: used from now on when it is for our node in this zone. */
void app_renew_member(struct app *a);
const uint8_t *app_zone_id(const struct app *a); /* of the public zone, 8 bytes */

/* Counters and sizes for Prometheus, a text for mem_free(); no identities. */
char *app_metrics(struct app *a, ns_t now);

/* One request {"id":1,"cmd":"call","to":"Kenji"}; the answer comes by reply, now or later, exactly once. */
typedef void (*app_reply_cb)(void *arg, const char *json);
void app_request(struct app *a, ns_t now, const char *json, app_reply_cb reply, void *arg);

#endif
