/* store/contacts.h - who is on the lists, and what the program knows of them.
 *
 * Two files. contacts.json is the person's: IDs, petnames, lists; it may be edited by hand, is read again on
 * HUP, and a broken edit is refused whole, named by line, the old list stays in force. contacts.state is the
 * program's: secrets received, generations, last stamps; it is no loss to copy and no gain to edit.
 *
 *   owner  contacts_create()/destroy(); struct contact pointers are valid until the contact is removed or the
 *          file is read again (see contacts_generation())
 *   caps   CONTACTS_MAX contacts, 64 bytes and 32 columns a petname */
#ifndef ITO_STORE_CONTACTS_H
#define ITO_STORE_CONTACTS_H

#include "base/env.h"
#include "base/json.h"
#include "crypto/cert.h"
#include "crypto/idtext.h"

#define CONTACTS_MAX         4096
#define CONTACT_NAME_COLUMNS 32
#define CONTACTS_UNDO_NS     (10 * NS_PER_S)

enum contact_list { CONTACT_ALLOWED, CONTACT_BLOCKED };

/* Who sees an address, and when (DESIGN.md §5); POLICY_DEFAULT is net.path. */
enum contact_policy { POLICY_DEFAULT, POLICY_PRIVATE, POLICY_DIRECT, POLICY_RELAY_ONLY };

struct contact {
    /* contacts.json */
    uint8_t id[KEY_BYTES];
    char name[ID_NAME_BYTES]; /* petname; may be empty */
    enum contact_list list;
    enum contact_policy policy;
    bool is_verified;

    /* contacts.state */
    char claimed[ID_NAME_BYTES]; /* what they call themselves */
    bool has_S;                  /* they answered: we may look them up and call */
    uint8_t S[KEY_BYTES];
    uint32_t S_gen;
    bool has_devices;
    struct device_list devices;    /* of the highest gen seen */
    uint8_t next[KEY_BYTES];       /* pinned for their successor; zero when unknown */
    uint8_t former[KEY_BYTES];     /* the ID this one took the place of; zero: none */
    uint32_t told_S_gen, told_gen; /* what they confirmed to know of us */
    uint64_t stamps[DEVICES_MAX];  /* last handshake stamp of each slot */
    int64_t seen_ms, last_call_ms; /* wall clock; 0 never */
    int64_t added_ms;

    /* not stored */
    uint8_t T[KEY_BYTES]; /* pair secret, filled in by the owner; has_T */
    bool has_T;
    bool is_T_kept;      /* it came from the main device, as we cannot compute it: stored after all */
    uint64_t link_at;    /* monotonic ns: when we next tell them we are here */
    unsigned link_tries; /* in vain, in a row */
    uint8_t presence;    /* the owner's */
    int32_t met_day;     /* of the last time they were told how relays served us */
};

struct contacts;

/* NULL paths: in memory only. */
struct contacts *contacts_create(const char *path, const char *state_path);
void contacts_destroy(struct contacts *c); /* wipes secrets */
/* Read both files; missing ones are empty. ERR_CONFIG with all errors, one a line, each "contacts.json:LINE: ...".
 * ERR_OK with words in detail: a damaged contacts.state was kept aside. */
enum err contacts_load(struct contacts *c, struct err_detail *detail);
/* Write contacts.json / contacts.state, whole. */
enum err contacts_save(struct contacts *c, struct err_detail *detail);
enum err contacts_save_state(struct contacts *c, struct err_detail *detail);
/* Counts up whenever pointers may have become void. */
unsigned contacts_generation(const struct contacts *c);
/* Somebody who knew S is no longer allowed: a new S is owed to the others (THREATS.md §4.4). Kept in
 * contacts.state until contacts_paid_S(). */
bool contacts_owes_S(const struct contacts *c);
void contacts_paid_S(struct contacts *c);

size_t contacts_count(const struct contacts *c);
struct contact *contacts_at(const struct contacts *c, size_t i);
struct contact *contacts_by_id(const struct contacts *c, const uint8_t id[static KEY_BYTES]);
/* A petname for somebody who calls themselves so: cut to what a petname may be, with a number when it is in use. "" for "". */
void contacts_free_name(const struct contacts *c, const char *claimed, char out[static ID_NAME_BYTES]);
/* A petname, an ID in any form, or any unique part of a petname; NULL with a sentence. */
struct contact *contacts_find(const struct contacts *c, const char *text, struct err_detail *detail);

/* A petname is kept without control, bidi and zero-width characters. All of these check first, write the file, and change nothing when that fails. now 0: a change nobody asked for,
 * which cannot be undone, and after which nothing before it can. */
enum err contacts_add(struct contacts *c, ns_t now, const uint8_t id[static KEY_BYTES], const char *name,
                      enum contact_list list, int64_t wall_ms, struct contact **out,
                      struct err_detail *detail);
enum err contacts_set_list(struct contacts *c, ns_t now, struct contact *who, enum contact_list list,
                           struct err_detail *detail);
enum err contacts_remove(struct contacts *c, ns_t now, struct contact *who, struct err_detail *detail);
enum err contacts_rename(struct contacts *c, ns_t now, struct contact *who, const char *name,
                         struct err_detail *detail);
enum err contacts_set_verified(struct contacts *c, struct contact *who, bool is_verified,
                               struct err_detail *detail);
/* Their identity was given up for a new one, whose proof the caller has verified against ->next (THREATS.md §4.11): the entry
 * moves there with its name and list, what was known of the old one is forgotten but its ID, a new S is owed to the others.
 * next: pinned from now on. ERR_EXISTS when new_id is on the lists already. Cannot be undone. */
enum err contacts_succeed(struct contacts *c, struct contact *who, const uint8_t new_id[static KEY_BYTES],
                          const uint8_t next[static KEY_BYTES], struct err_detail *detail);
/* Who has taken the place of that ID; NULL: nobody. */
struct contact *contacts_by_former(const struct contacts *c, const uint8_t id[static KEY_BYTES]);
/* Take back the last change of the lists, within CONTACTS_UNDO_NS; who comes back is known as before. ERR_NOT_FOUND
 * when there is none, ERR_EXISTS when the name was given away since. All pointers are void after it. */
enum err contacts_undo(struct contacts *c, ns_t now, struct err_detail *detail);

struct contacts_import {
    unsigned added, changed, same, bad;
};
/* Merge a file in the form of contacts.json; all or nothing: with bad > 0, or any error, nothing changed. All
 * pointers are void after it. */
enum err contacts_import(struct contacts *c, ns_t now, const char *name, struct slice text,
                         struct contacts_import *out, struct err_detail *detail);
/* One person as another device of ours has them; of entry the person's part counts (id, name, list, policy, verified). */
struct contact_change {
    const struct contact *entry;
    bool is_gone; /* removed there */
};
/* Take them in, all or nothing; no S is owed for it, as the device that struck somebody off owes it, and nothing can be undone.
 * A name that is in use goes to the lesser ID, the other one gets a number. People for whom there is no room are left
 * out. All pointers are void after it. */
enum err contacts_take(struct contacts *c, const struct contact_change *changes, size_t n,
                       struct err_detail *detail);
/* The text of contacts.json; free with mem_free(). */
char *contacts_print(const struct contacts *c);

const char *contact_policy_name(enum contact_policy p); /* "private", ...; "default" */

#endif
