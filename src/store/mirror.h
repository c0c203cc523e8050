/* store/mirror.h - keeps the lists of the devices of one identity the same (THREATS.md §4.11).
 *
 * Every entry has a version: a Lamport count and the slot of the device that wrote it last; what was removed leaves one,
 * too. Of two versions the greater counts. What only the program knows of people (S, device list, `next`, pair secret)
 * is taken where it is better, whatever the version.
 *
 * Devices that meet tell the digest of all they have; when it is not the same each sends pages, one after the other, each
 * acknowledged, until the digests agree. A change is sent at once to those who are connected, and only that.
 *
 *   type name    after type1
 *   96   DIGEST  flags1 digest16; flag 1: an answer is wanted
 *   97   PAGE    pass4 number2 flags1 n2, then n entries; flag 1: the last one
 *   98   ACK     pass4 number2
 *   entry        id32 version8 flags1: 1 gone, which ends it here; 2 verified, 4 S, 8 devices, 16 next, 32 former,
 *                64 pair secret; list1 policy1 added8 n1 name m1 claimed [S_gen4 S32] [signed list] [next32] [former32] [T32]
 *
 *   in     messages of other devices of ours; time; that the lists changed here
 *   out    ops
 *   owner  mirror_create()/destroy(); contacts outlives it
 *   trust  a device of ours, which may be stolen: it may write lists, as the person may with it in hand; device lists count
 *          by their signature
 *   caps   CONTACTS_MAX people, MIRROR_GONE_MAX removed ones for MIRROR_GONE_S, DEVICES_MAX devices, MIRROR_PASSES in a row
 *          with one of them, then MIRROR_REST_NS of silence */
#ifndef ITO_STORE_MIRROR_H
#define ITO_STORE_MIRROR_H

#include "base/env.h"
#include "store/contacts.h"

#define MIRROR_FIRST      96 /* of the control channel's types, those from here to MIRROR_LAST are ours */
#define MIRROR_LAST       98
#define MIRROR_PAGE_BYTES 12288
#define MIRROR_GONE_MAX   1024
#define MIRROR_GONE_S     (90 * 86400)
#define MIRROR_PASSES     8
#define MIRROR_REST_NS    (60 * NS_PER_S)
#define MIRROR_RETRY_NS   (2 * NS_PER_S)
#define MIRROR_TRIES      8

struct mirror;

struct mirror_config {
    struct contacts *contacts;
    const char *path;        /* where versions are kept; NULL: in memory. Copied */
    uint8_t self[KEY_BYTES]; /* our identity: never an entry */
    uint8_t slot;            /* of this device */
    bool is_main;            /* holds the identity key: pair secrets are its own, never another's word */
};

struct mirror_ops {
    void *arg;
    void (*send)(void *arg, uint8_t slot, struct slice msg);
    /* This person goes, or is blocked: sessions end before the pointer is void. */
    void (*leaving)(void *arg, struct contact *who);
    /* The lists were changed by another device; all pointers are void. */
    void (*applied)(void *arg);
};

struct mirror *mirror_create(const struct mirror_config *config, const struct mirror_ops *ops,
                             const struct env *env);
void mirror_destroy(struct mirror *m); /* NULL is fine */
/* A session with the device of that slot stands; is over. */
void mirror_up(struct mirror *m, ns_t now, uint8_t slot);
void mirror_down(struct mirror *m, uint8_t slot);
void mirror_message(struct mirror *m, ns_t now, uint8_t slot, struct slice msg);
/* Something may have changed here: in the lists, or in what is known of people. */
void mirror_changed(struct mirror *m, ns_t now);
void mirror_tick(struct mirror *m, ns_t now);
ns_t mirror_deadline(const struct mirror *m);
/* That device said the same digest as ours last. */
bool mirror_is_settled(const struct mirror *m, uint8_t slot);

#endif
