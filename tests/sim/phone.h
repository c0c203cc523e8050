/* tests/sim/phone.h - whole phones on the virtual network, for scenarios.
 *
 * A phone is a struct app on a vnet host, with its own keys and settings, sound made and heard in virtual time: it
 * says a tone of its own pitch, and counts how much of the other's it hears.
 *
 *   owner  the test: sim_phone_create()/destroy(); the net outlives the phones */
#ifndef ITO_SIM_PHONE_H
#define ITO_SIM_PHONE_H

#include "app/app.h"
#include "call/call.h"
#include "crypto/idtext.h"
#include "sim/vnet.h"

#define SIM_PORTS 256 /* relayed ports of one relay */

struct sim_phone {
    struct vnet *net;
    struct vnet_host *host;
    struct clock_driver *driver;
    enum app_mode mode;
    const char *ledger_path; /* NULL: in memory */
    const char *node_path;   /* of the key of its node; NULL: a new one at each start */
    const char *care_path;   /* from the next start on; NULL: what it keeps for others is lost at each */
    struct keyring keys;
    struct config *settings;
    struct app *app;
    char id[ID_TEXT_BYTES];
    struct call_audio audio;
    bool is_joining;  /* from the next start on: only there to be linked */
    bool is_quiet;    /* says silence and does not listen: stories in which nobody counts what is heard */
    double pitch_hz;  /* of what it says */
    double wanted_hz; /* of what it listens for */
    ns_t started_at;
    ns_t asleep_at, slept_ns;
    /* what it heard, in frames of 20 ms: with the wanted tone, and the longest run without it once it began */
    unsigned n_heard, n_frames, run_without, longest_without;
    bool has_heard;
    double sum_sin, sum_cos, energy;
    size_t in_frame;
    struct sim_port {
        struct sim_phone *phone;
        struct vnet_socket *socket;
        uint32_t handle;
    } ports[SIM_PORTS];
    char *answer;                                         /* the newest answer, JSON */
    char state[24], cause[24], path[24], paths_seen[256]; /* of the newest call event */
    char code[8];
    char device_state[16], device_code[8]; /* of the newest device event */
    ns_t state_at, ringing_at, in_call_at;
    unsigned n_calls, n_requests;
    uint32_t call_id;
};

/* settings: text of a config.json, or NULL. mode APP_RELAY makes a volunteer's relay. */
struct sim_phone *sim_phone_create(struct vnet *net, struct vnet_host *host, enum app_mode mode,
                                   const char *settings);
/* The same with a node key that is kept in that file (app/node_file.h): members of a closed zone. */
struct sim_phone *sim_phone_create_member(struct vnet *net, struct vnet_host *host, enum app_mode mode,
                                          const char *settings, const char *node_path);
void sim_phone_destroy(struct sim_phone *p);
/* A relay's ledger in that file from its next start on. */
void sim_phone_keep_ledger(struct sim_phone *p, const char *path);
/* The program ends and starts again with the same keys and settings; what was in memory only is lost, lists too. */
void sim_phone_restart(struct sim_phone *p);
/* The lid is closed: nothing is heard, nothing runs, its monotonic clock stands still; and opened again. */
void sim_phone_sleep(struct sim_phone *p);
void sim_phone_wake(struct sim_phone *p);
/* A request as text with printf-like arguments; its answer is in p->answer. True when it was ok. */
bool sim_ask(struct sim_phone *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Each knows the other's address in the overlay. */
void sim_bootstrap(struct sim_phone *p, const struct sim_phone *from);
/* Put each on the other's list. */
void sim_befriend(struct sim_phone *a, const char *a_calls_b, struct sim_phone *b, const char *b_calls_a);
/* Stop predicates for vnet_run_for(). */
struct sim_wait {
    struct sim_phone *p;
    const char *state; /* reached by the newest call */
    const char *path;  /* and the call's path, or NULL */
};
bool sim_reached(void *arg);

#endif
