/* app/devices_priv.h - what devices.c (those we have) and devices_link.c (one more) share. Nobody else includes it. */
#ifndef ITO_APP_DEVICES_PRIV_H
#define ITO_APP_DEVICES_PRIV_H

#include "app/devices.h"
#include "store/mirror.h"

/* One more of our devices, while a session with it stands. */
struct other {
    struct peer *peer; /* NULL: not connected */
    uint8_t slot;
    ns_t tell_at, told_at; /* tell_at NS_NEVER: it holds what we hold */
    unsigned tries;        /* since it was last heard */
};

struct devices {
    struct contact own; /* sessions with others of ours are with this one */
    struct other others[DEVICES_MAX];
    bool is_card_turn; /* records and the card are looked for in turn */
    ns_t offer_at;
    struct mirror *mirror; /* NULL: there is one device, or no network */
    ns_t mirror_at;        /* lists may have changed */
    struct {
        bool is_open, is_told, is_accepted; /* told: the person was asked */
        uint8_t X[KEY_BYTES];
        ns_t ends_at;
        struct session *session; /* of the device that asks; NULL: none yet */
        char name[ID_NAME_BYTES];
        uint32_t code;
        uint8_t slot, cert[CERT_BYTES];
    } link;
    struct {
        enum join_state state;
        struct contact to;
        uint8_t X[KEY_BYTES];
        struct peer *peer;
        ns_t ends_at, ask_at, look_at;
        uint32_t code;
        struct keyring keys;
        char name[ID_NAME_BYTES];
    } join;
};
/* devices.c */
struct slice device_list_bytes(const struct device_list *list, uint8_t buf[static LIST_MAX_BYTES]);
void device_say(struct session *s, ns_t now, const struct device_msg *m);
void device_say_type(struct session *s, ns_t now, enum device_msg_type type);
/* New keys, in the file first. */
enum err device_keep(struct app *a, const struct keyring *k, struct err_detail *detail);

/* devices_link.c */
void device_link_tick(struct app *a, ns_t now);
/* The session with the device we join stands, is over, says something. */
void device_join_up(struct peer *p, ns_t now);
void device_join_down(const struct peer *p);
void device_join_message(struct app *a, ns_t now, const struct device_msg *m);
void device_join_tick(struct app *a, ns_t now);

#endif
