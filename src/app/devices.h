/* app/devices.h - the other devices of this identity (THREATS.md §4.11): linking one, sessions with each; device list,
 * S, certificates and contacts kept the same; a device struck off.
 *
 *   main device                              new device (a core that is only there to be linked: is_joining)
 *     devices_open_link() ── text, by hand ──▶ devices_join(): finds the main device by the card under X_L,
 *     a session under X_L  ◀── ASK ──────────  with an identity that is thrown away; D and Q are the ones it keeps
 *     both show the code of that session, the person compares
 *     devices_accept() ──── DONE ────────────▶ devices_joined_keys(): certificate, list, S; written down by its owner
 *                          ◀── TAKEN ────────
 *
 * Afterwards own devices find each other like contacts, tell by STATE what they hold, and send KEYS to who is behind.
 *
 *   owner  the app; one object for its life
 *   trust  what comes by a session of DEVICE_LINK is from who knows the text: nothing happens until the person said that
 *          the codes agree. Other messages are from a device of our list, which may be stolen: lists count by their
 *          signature, S by S_gen
 *   caps   one link at a time, for DEVICES_LINK_S; one device by it */
#ifndef ITO_APP_DEVICES_H
#define ITO_APP_DEVICES_H

#include "app/app_priv.h"
#include "crypto/device_wire.h"
#include "crypto/invite.h"

#define DEVICES_LINK_S 600
#define DEVICES_MARK   0x40000000u /* session_secret.id of the link text */

enum join_state { JOIN_NONE, JOIN_LOOKING, JOIN_COMPARE, JOIN_LINKED, JOIN_REFUSED, JOIN_EXPIRED };

void devices_create(struct app *a);
void devices_destroy(struct app *a);
/* Our keys are others than before. */
void devices_refresh(struct app *a);
void devices_tick(struct app *a, ns_t now);
ns_t devices_deadline(const struct app *a);

/* ---- main device: linking a new one ---- */
/* Secret and addresses are filled in inv by the caller; expires_s here. ERR_STATE: not the main device; ERR_FULL. */
enum err devices_open_link(struct app *a, ns_t now, struct invite *inv, struct err_detail *detail);
/* The secret of an open link, or NULL. */
const uint8_t *devices_link_secret(const struct app *a);
bool devices_admits(const struct app *a, const struct session_hello *hello);
void devices_candidate_up(struct app *a, ns_t now, struct session *s);
bool devices_is_candidate(const struct app *a, const struct session *s);
void devices_candidate_message(struct app *a, ns_t now, struct slice msg);
void devices_candidate_closed(struct app *a, const struct session *s);
/* The codes agree: certify it. ERR_STATE: nobody asks. *slot of the new device. */
enum err devices_accept(struct app *a, ns_t now, uint8_t *slot, struct err_detail *detail);
enum err devices_refuse(struct app *a, ns_t now, struct err_detail *detail);
/* Strike the device of that slot off the list; new S. */
enum err devices_remove(struct app *a, ns_t now, uint8_t slot, struct err_detail *detail);

/* ---- new device ---- */
enum err devices_join(struct app *a, ns_t now, const struct invite *inv, struct err_detail *detail);
/* X_L, when `who` is the one we want to be linked to; NULL otherwise. */
const uint8_t *devices_join_secret(const struct app *a, const struct contact *who);
/* What to keep; NULL before JOIN_LINKED. The name is that of the identity. */
const struct keyring *devices_joined_keys(const struct app *a, const char **name);
/* It is kept: the main device may hear so. */
enum err devices_taken(struct app *a, ns_t now, struct err_detail *detail);

/* ---- sessions with others of ours, or with the one we join ---- */
/* Whom the sessions are with, for reach.c: ourselves, or the one we join; else NULL. */
struct contact *devices_contact(struct app *a, const uint8_t id[static KEY_BYTES]);
/* Nobody on the lists: no presence, no calls, no favours. */
bool devices_is_hidden(const struct app *a, const struct contact *who);
/* Somebody of ours is not connected, and it is time to look; *by_card: for the main device's card, as S may be another
 * by now, else for records. */
bool devices_wants_link(struct app *a, ns_t now, bool *by_card);
/* Secrets under which cards for linked devices stand that may not know the newest S: of A and their Q. At most max. */
size_t devices_card_secrets(const struct app *a, uint8_t (*out)[KEY_BYTES], size_t max);
/* The main device's card for us. What it says of S also leads to the main device when ours is newer. */
void devices_take_card(struct app *a, ns_t now, uint32_t S_gen, const uint8_t S[static KEY_BYTES],
                       const struct device_list *list);
void devices_up(struct peer *p, ns_t now);
void devices_down(struct peer *p);
void devices_message(struct peer *p, ns_t now, struct slice msg);
/* Lists, or what is known of people, may be others: the other devices hear it within a second. */
void devices_lists_changed(struct app *a);
/* STATE to all of them. */
void devices_tell(struct app *a, ns_t now);

cJSON *json_devices(struct app *a);

#endif
