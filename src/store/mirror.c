#include "store/mirror.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/identity.h"

#define MARK_BYTES   8
#define DIGEST_BYTES 16
#define CHANGES_MAX  512 /* entries of one page */
#define ENTRY_MAX    (32 + 8 + 1 + 1 + 1 + 8 + 2 * (1 + ID_NAME_BYTES) + 36 + LIST_MAX_BYTES + 3 * KEY_BYTES)

enum message { DIGEST = MIRROR_FIRST, PAGE, ACK };
enum entry_flag {
    FLAG_GONE = 1,
    FLAG_VERIFIED = 2,
    FLAG_S = 4,
    FLAG_DEVICES = 8,
    FLAG_NEXT = 16,
    FLAG_FORMER = 32,
    FLAG_T = 64
};
#define FLAG_LAST   1
#define FLAG_ANSWER 1

/* What is remembered of one person, on the list or removed. */
struct row {
    uint8_t id[KEY_BYTES];
    uint64_t version;
    uint8_t mark[MARK_BYTES]; /* of the person's part, when it got its version */
    uint8_t seen[MARK_BYTES]; /* of what the program knows, when it was last looked at */
    bool is_gone;
    int64_t gone_s;
    uint32_t look; /* of m->look: it was on the list then */
    uint64_t at;   /* counts changes of rows in this process: what another device has not been sent yet */
    bool is_from;
    uint8_t from; /* is_from: the device that the last change came from needs not hear it */
};

/* One device that is connected. */
struct other {
    bool is_up, is_settled, wants_push, wants_digest;
    uint8_t slot;
    uint64_t sent_at; /* rows up to this are there */
    uint64_t pass_at; /* being sent: up to this */
    bool is_pushing;
    uint32_t pass;
    uint16_t number;
    uint8_t after[KEY_BYTES]; /* the page being sent holds those behind this id */
    uint8_t until[KEY_BYTES]; /* up to this one */
    bool is_last;
    unsigned passes, tries;
    ns_t at; /* something is sent again then */
};

struct mirror {
    struct mirror_config config;
    struct mirror_ops ops;
    const struct env *env;
    char *path;
    struct row *rows; /* by id */
    size_t n, room;
    uint64_t clock, counter; /* Lamport; of `at` */
    uint32_t next_pass, look;
    bool is_dirty;
    struct other others[DEVICES_MAX];
};

/* What one entry says. */
struct entry {
    struct contact who; /* the parts that travel */
    uint64_t version;
    bool is_gone;
};

/* ---- rows ---- */

static size_t place_of(const struct mirror *m, const uint8_t id[static KEY_BYTES])
{
    size_t low = 0, high = m->n;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (memcmp(m->rows[mid].id, id, KEY_BYTES) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct row *row_of(const struct mirror *m, const uint8_t id[static KEY_BYTES])
{
    size_t at = place_of(m, id);

    return at < m->n && memcmp(m->rows[at].id, id, KEY_BYTES) == 0 ? &m->rows[at] : NULL;
}

static void drop_row(struct mirror *m, size_t at)
{
    m->n--;
    memmove(&m->rows[at], &m->rows[at + 1], (m->n - at) * sizeof m->rows[0]);
    m->is_dirty = true;
}

/* Removed ones are forgotten after a while, and the oldest when there are too many. */
static void forget_gone(struct mirror *m)
{
    int64_t wall_s = env_wall_ms(m->env) / 1000;
    size_t n_gone = 0, oldest = 0;

    for (size_t i = m->n; i-- > 0;)
        if (m->rows[i].is_gone && wall_s - m->rows[i].gone_s > MIRROR_GONE_S)
            drop_row(m, i);
    for (size_t i = 0; i < m->n; i++) {
        if (!m->rows[i].is_gone)
            continue;
        if (n_gone++ == 0 || m->rows[i].gone_s < m->rows[oldest].gone_s)
            oldest = i;
    }
    if (n_gone > MIRROR_GONE_MAX)
        drop_row(m, oldest);
}

static struct row *make_row(struct mirror *m, const uint8_t id[static KEY_BYTES])
{
    size_t at = place_of(m, id);

    if (at < m->n && memcmp(m->rows[at].id, id, KEY_BYTES) == 0)
        return &m->rows[at];
    if (m->n == m->room) {
        m->room = m->room > 0 ? 2 * m->room : 64;
        m->rows = mem_resize(m->rows, m->room, sizeof m->rows[0]);
    }
    memmove(&m->rows[at + 1], &m->rows[at], (m->n - at) * sizeof m->rows[0]);
    m->rows[at] = (struct row){0};
    memcpy(m->rows[at].id, id, KEY_BYTES);
    m->n++;
    return &m->rows[at];
}

static void mark_of(const struct contact *who, uint8_t out[static MARK_BYTES])
{
    struct hasher h;
    uint8_t small[3] = {(uint8_t)who->list, (uint8_t)who->policy, who->is_verified};

    hash_begin(&h, MARK_BYTES, NULL, 0);
    hash_bytes(&h, small, sizeof small);
    hash_text(&h, who->name);
    hash_end(&h, out);
}

/* What the program knows that another device may want. */
static void seen_of(const struct contact *who, uint8_t out[static MARK_BYTES])
{
    struct hasher h;
    uint8_t small[9];
    struct slice bytes;
    struct wr w;

    wr_init(&w, small, sizeof small);
    wr_u8(&w, (uint8_t)(who->has_S | who->has_devices << 1 | who->has_T << 2 |
                        !secret_is_zero(who->next, KEY_BYTES) << 3));
    wr_u32(&w, who->has_S ? who->S_gen : 0);
    wr_u32(&w, who->has_devices ? who->devices.gen : 0);
    bytes = wr_done(&w);
    hash_begin(&h, MARK_BYTES, NULL, 0);
    hash_bytes(&h, bytes.data, bytes.len);
    hash_end(&h, out);
}

static void touch(struct mirror *m, struct row *r)
{
    r->at = ++m->counter;
    r->is_from = false;
    m->is_dirty = true;
}

static void touch_from(struct mirror *m, struct row *r, uint8_t slot)
{
    touch(m, r);
    r->is_from = true;
    r->from = slot;
}

static uint64_t new_version(struct mirror *m)
{
    m->clock++;
    return m->clock << 8 | m->config.slot;
}

static void take_version(struct mirror *m, struct row *r, uint64_t version)
{
    r->version = version;
    m->clock = version >> 8 > m->clock ? version >> 8 : m->clock;
}

/* Give a version to all that the person, or a hand in the file, changed since. True when something was. */
static bool note_changes(struct mirror *m)
{
    uint64_t before = m->counter;
    uint8_t mark[MARK_BYTES], seen[MARK_BYTES];
    struct row *r;

    m->look++;
    for (size_t i = 0; i < contacts_count(m->config.contacts); i++) {
        const struct contact *who = contacts_at(m->config.contacts, i);

        if (memcmp(who->id, m->config.self, KEY_BYTES) == 0)
            continue;
        r = make_row(m, who->id);
        r->look = m->look;
        mark_of(who, mark);
        seen_of(who, seen);
        if (r->version == 0 || r->is_gone || memcmp(r->mark, mark, sizeof mark) != 0) {
            r->version = new_version(m);
            r->is_gone = false;
            memcpy(r->mark, mark, sizeof mark);
            touch(m, r);
        }
        if (memcmp(r->seen, seen, sizeof seen) != 0) {
            memcpy(r->seen, seen, sizeof seen);
            touch(m, r);
        }
    }
    for (size_t i = 0; i < m->n; i++) {
        r = &m->rows[i];
        if (r->is_gone || r->look == m->look)
            continue;
        r->version = new_version(m);
        r->is_gone = true;
        r->gone_s = env_wall_ms(m->env) / 1000;
        touch(m, r);
    }
    forget_gone(m);
    return m->counter != before;
}

static void digest_all(const struct mirror *m, uint8_t out[static DIGEST_BYTES])
{
    struct hasher h;

    hash_begin(&h, DIGEST_BYTES, NULL, 0);
    for (size_t i = 0; i < m->n; i++) {
        const struct row *r = &m->rows[i];
        uint8_t version[8];
        struct wr w;

        wr_init(&w, version, sizeof version);
        wr_u64(&w, r->version);
        hash_bytes(&h, r->id, KEY_BYTES);
        hash_bytes(&h, version, sizeof version);
        if (!r->is_gone)
            hash_bytes(&h, r->seen, sizeof r->seen);
    }
    hash_end(&h, out);
}

/* ---- the file: {"v":1,"rows":[{"id":hex,"version":"...","mark":hex,"gone":s}]} ---- */

static void hex_of(const uint8_t *data, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", data[i]);
}

static bool hex_to(const char *text, uint8_t *out, size_t n)
{
    unsigned byte;

    if (strlen(text) != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        out[i] = (uint8_t)byte;
    }
    return true;
}

static void save(struct mirror *m)
{
    cJSON *tree, *array;
    struct err_detail detail;
    char *text;

    if (!m->is_dirty || m->path == NULL)
        return;
    m->is_dirty = false;
    tree = cJSON_CreateObject();
    cJSON_AddNumberToObject(tree, "v", 1);
    array = cJSON_AddArrayToObject(tree, "rows");
    for (size_t i = 0; i < m->n; i++) {
        const struct row *r = &m->rows[i];
        char id[2 * KEY_BYTES + 1], mark[2 * MARK_BYTES + 1], version[24];
        cJSON *v = cJSON_CreateObject();

        hex_of(r->id, KEY_BYTES, id);
        hex_of(r->mark, MARK_BYTES, mark);
        snprintf(version, sizeof version, "%llu", (unsigned long long)r->version);
        json_add_str(v, "id", id);
        json_add_str(v, "version", version);
        json_add_str(v, "mark", mark);
        if (r->is_gone)
            cJSON_AddNumberToObject(v, "gone", (double)r->gone_s);
        cJSON_AddItemToArray(array, v);
    }
    text = json_print(tree);
    cJSON_Delete(tree);
    if (file_replace(m->path, slice_str(text), 0600, &detail) != ERR_OK)
        log_error(m->env, "%s", detail.text);
    mem_free(text);
}

/* A damaged file is no loss: all entries are new then, and the other devices' count where they differ. */
static void load(struct mirror *m)
{
    uint8_t *text;
    size_t len;
    cJSON *tree;
    const cJSON *v;
    enum err e;

    if (m->path == NULL || file_read(m->path, JSON_FILE_MAX, &text, &len, NULL) != ERR_OK)
        return;
    e = json_parse(slice_of(text, len), NULL, NULL, &tree, NULL);
    mem_free(text);
    if (e != ERR_OK)
        return;
    cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(tree, "rows"))
    {
        unsigned long long version = 0;
        uint8_t id[KEY_BYTES];
        struct row *r;

        if (m->n >= CONTACTS_MAX + MIRROR_GONE_MAX || !hex_to(json_str(v, "id", ""), id, KEY_BYTES) ||
            sscanf(json_str(v, "version", ""), "%llu", &version) != 1)
            continue;
        r = make_row(m, id);
        take_version(m, r, version);
        (void)hex_to(json_str(v, "mark", ""), r->mark, MARK_BYTES);
        r->is_gone = cJSON_GetObjectItemCaseSensitive(v, "gone") != NULL;
        r->gone_s = (int64_t)json_num(v, "gone", 0);
    }
    cJSON_Delete(tree);
}

/* ---- entries ---- */

static void write_name(struct wr *w, const char *name)
{
    wr_u8(w, (uint8_t)strlen(name));
    wr_text(w, name);
}

static void write_entry(struct wr *w, const struct row *r, const struct contact *who)
{
    uint8_t flags = FLAG_GONE;

    if (!r->is_gone && who != NULL)
        flags =
            (uint8_t)((who->is_verified ? FLAG_VERIFIED : 0) | (who->has_S ? FLAG_S : 0) |
                      (who->has_devices ? FLAG_DEVICES : 0) |
                      (secret_is_zero(who->next, KEY_BYTES) ? 0 : FLAG_NEXT) |
                      (secret_is_zero(who->former, KEY_BYTES) ? 0 : FLAG_FORMER) | (who->has_T ? FLAG_T : 0));
    wr_bytes(w, r->id, KEY_BYTES);
    wr_u64(w, r->version);
    wr_u8(w, flags);
    if (flags == FLAG_GONE)
        return;
    wr_u8(w, (uint8_t)who->list);
    wr_u8(w, (uint8_t)who->policy);
    wr_u64(w, (uint64_t)who->added_ms);
    write_name(w, who->name);
    write_name(w, who->claimed);
    if (who->has_S) {
        wr_u32(w, who->S_gen);
        wr_bytes(w, who->S, KEY_BYTES);
    }
    if (who->has_devices)
        device_list_write(w, &who->devices);
    if (flags & FLAG_NEXT)
        wr_bytes(w, who->next, KEY_BYTES);
    if (flags & FLAG_FORMER)
        wr_bytes(w, who->former, KEY_BYTES);
    if (who->has_T)
        wr_bytes(w, who->T, KEY_BYTES);
}

static void read_name(struct rd *r, char out[static ID_NAME_BYTES])
{
    struct slice name = rd_bytes(r, rd_u8(r));

    if (name.len >= ID_NAME_BYTES || (name.len > 0 && memchr(name.data, 0, name.len) != NULL))
        rd_fail(r);
    else if (name.len > 0)
        memcpy(out, name.data, name.len);
}

static void read_entry(struct rd *r, struct entry *e)
{
    struct contact *who = &e->who;
    struct slice list;
    uint8_t flags;

    rd_copy(r, who->id, KEY_BYTES);
    e->version = rd_u64(r);
    flags = rd_u8(r);
    e->is_gone = flags == FLAG_GONE;
    if (e->is_gone)
        return;
    if ((flags & (FLAG_GONE | 128)) != 0)
        rd_fail(r);
    who->is_verified = (flags & FLAG_VERIFIED) != 0;
    who->has_S = (flags & FLAG_S) != 0;
    who->has_T = (flags & FLAG_T) != 0;
    who->list = (enum contact_list)rd_u8(r);
    who->policy = (enum contact_policy)rd_u8(r);
    who->added_ms = (int64_t)rd_u64(r);
    if (who->list > CONTACT_BLOCKED || who->policy > POLICY_RELAY_ONLY)
        rd_fail(r);
    read_name(r, who->name);
    read_name(r, who->claimed);
    if (who->has_S) {
        who->S_gen = rd_u32(r);
        rd_copy(r, who->S, KEY_BYTES);
    }
    if (flags & FLAG_DEVICES) {
        list = device_list_slice(r);
        who->has_devices = rd_ok(r) && device_list_open(list, who->id, &who->devices) == ERR_OK;
    }
    if (flags & FLAG_NEXT)
        rd_copy(r, who->next, KEY_BYTES);
    if (flags & FLAG_FORMER)
        rd_copy(r, who->former, KEY_BYTES);
    if (who->has_T)
        rd_copy(r, who->T, KEY_BYTES);
}

/* ---- taking in ---- */

/* What only the program knows, where theirs is better. */
static bool take_known(const struct mirror *m, struct contact *mine, const struct contact *theirs)
{
    bool is_news = false;

    if (theirs->has_S && (!mine->has_S || theirs->S_gen > mine->S_gen)) {
        memcpy(mine->S, theirs->S, KEY_BYTES);
        mine->S_gen = theirs->S_gen;
        mine->has_S = is_news = true;
    }
    if (theirs->has_devices && (!mine->has_devices || theirs->devices.gen > mine->devices.gen)) {
        mine->devices = theirs->devices;
        mine->has_devices = is_news = true;
    }
    if (secret_is_zero(mine->next, KEY_BYTES) && !secret_is_zero(theirs->next, KEY_BYTES)) {
        memcpy(mine->next, theirs->next, KEY_BYTES);
        is_news = true;
    }
    if (secret_is_zero(mine->former, KEY_BYTES) && !secret_is_zero(theirs->former, KEY_BYTES)) {
        memcpy(mine->former, theirs->former, KEY_BYTES);
        is_news = true;
    }
    if (theirs->has_T && !mine->has_T && !m->config.is_main) {
        memcpy(mine->T, theirs->T, KEY_BYTES);
        mine->has_T = mine->is_T_kept = is_news = true;
    }
    if (mine->claimed[0] == '\0' && theirs->claimed[0] != '\0')
        memcpy(mine->claimed, theirs->claimed, sizeof mine->claimed);
    if (mine->added_ms == 0)
        mine->added_ms = theirs->added_ms;
    return is_news;
}

/* The person's part: as changes of the list. Rows get the versions only when the list is written. */
static bool take_lists(struct mirror *m, struct entry *entries, size_t n)
{
    struct contact_change *changes = mem_array(n, sizeof *changes);
    size_t n_changes = 0;
    struct err_detail detail;
    enum err e = ERR_OK;

    for (size_t i = 0; i < n; i++) {
        const struct row *r = row_of(m, entries[i].who.id);
        struct contact *mine = contacts_by_id(m->config.contacts, entries[i].who.id);

        if (r != NULL && entries[i].version <= r->version)
            continue;
        if (mine == NULL && (entries[i].is_gone || !ed_key_valid(entries[i].who.id)))
            continue;
        if (mine != NULL && mine->list == CONTACT_ALLOWED &&
            (entries[i].is_gone || entries[i].who.list != CONTACT_ALLOWED))
            m->ops.leaving(m->ops.arg, mine);
        changes[n_changes++] =
            (struct contact_change){.entry = &entries[i].who, .is_gone = entries[i].is_gone};
    }
    if (n_changes > 0)
        e = contacts_take(m->config.contacts, changes, n_changes, &detail);
    if (e != ERR_OK)
        log_error(m->env, "%s", detail.text);
    mem_free(changes);
    return e == ERR_OK && n_changes > 0;
}

/* The versions of what was taken; a name that was in use got another one here, which is a change of ours. */
static void take_versions(struct mirror *m, uint8_t slot, const struct entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct contact *mine = contacts_by_id(m->config.contacts, entries[i].who.id);
        struct row *r;

        if ((mine == NULL) != entries[i].is_gone)
            continue; /* no room for it, or it could not be written */
        r = make_row(m, entries[i].who.id);
        if (entries[i].version <= r->version)
            continue;
        take_version(m, r, entries[i].version);
        if (entries[i].is_gone && !r->is_gone)
            r->gone_s = env_wall_ms(m->env) / 1000;
        r->is_gone = entries[i].is_gone;
        if (!r->is_gone)
            mark_of(&entries[i].who, r->mark);
        touch_from(m, r, slot);
    }
}

/* True when anything was news. */
static bool take_entries(struct mirror *m, uint8_t slot, struct entry *entries, size_t n)
{
    bool is_news = take_lists(m, entries, n);

    take_versions(m, slot, entries, n);
    for (size_t i = 0; i < n; i++) {
        struct contact *mine = contacts_by_id(m->config.contacts, entries[i].who.id);
        struct row *r = row_of(m, entries[i].who.id);
        uint8_t ours[MARK_BYTES], theirs[MARK_BYTES];

        if (mine == NULL || r == NULL || entries[i].is_gone || !take_known(m, mine, &entries[i].who))
            continue;
        is_news = true;
        seen_of(mine, ours);
        seen_of(&entries[i].who, theirs);
        if (memcmp(ours, theirs, sizeof ours) == 0) {
            memcpy(r->seen, ours, sizeof ours);
            touch_from(m, r, slot);
        }
    }
    return is_news;
}

/* ---- sending ---- */

static struct other *other_of(struct mirror *m, uint8_t slot)
{
    for (int i = 0; i < DEVICES_MAX; i++)
        if (m->others[i].is_up && m->others[i].slot == slot)
            return &m->others[i];
    return NULL;
}

static void send_digest(struct mirror *m, struct other *o, bool wants_answer)
{
    uint8_t buf[2 + DIGEST_BYTES], digest[DIGEST_BYTES];
    struct wr w;

    digest_all(m, digest);
    wr_init(&w, buf, sizeof buf);
    wr_u8(&w, DIGEST);
    wr_u8(&w, wants_answer ? FLAG_ANSWER : 0);
    wr_bytes(&w, digest, sizeof digest);
    m->ops.send(m->ops.arg, o->slot, wr_done(&w));
}

static bool is_owed(const struct other *o, const struct row *r)
{
    return r->at > o->sent_at && !(r->is_from && r->from == o->slot);
}

/* The page behind o->after, of rows that are newer than what is there; it ends at o->until. */
static void send_page(struct mirror *m, struct other *o)
{
    uint8_t *buf = mem_alloc(MIRROR_PAGE_BYTES), one[ENTRY_MAX];
    uint16_t count = 0;
    size_t i = place_of(m, o->after);
    struct wr w, e;

    wr_init(&w, buf, MIRROR_PAGE_BYTES);
    wr_u8(&w, PAGE);
    wr_u32(&w, o->pass);
    wr_u16(&w, o->number);
    wr_u8(&w, 0);
    wr_u16(&w, 0);
    memcpy(o->until, o->after, KEY_BYTES);
    o->is_last = true;
    for (; i < m->n; i++) {
        const struct row *r = &m->rows[i];

        if (!is_owed(o, r) || memcmp(r->id, o->after, KEY_BYTES) == 0)
            continue;
        wr_init(&e, one, sizeof one);
        write_entry(&e, r, contacts_by_id(m->config.contacts, r->id));
        if (wr_len(&w) + wr_len(&e) > MIRROR_PAGE_BYTES || count == CHANGES_MAX) {
            o->is_last = false;
            break;
        }
        wr_slice(&w, wr_done(&e));
        memcpy(o->until, r->id, KEY_BYTES);
        count++;
    }
    buf[7] = o->is_last ? FLAG_LAST : 0;
    buf[8] = (uint8_t)(count >> 8);
    buf[9] = (uint8_t)count;
    m->ops.send(m->ops.arg, o->slot, wr_done(&w));
    secret_wipe(one, sizeof one);
    secret_wipe(buf, MIRROR_PAGE_BYTES);
    mem_free(buf);
}

static void start_push(struct mirror *m, ns_t now, struct other *o)
{
    if (o->is_pushing) {
        o->wants_push = true; /* once more, when this pass is over */
        return;
    }
    if (o->passes >= MIRROR_PASSES) {
        o->at = now + MIRROR_REST_NS;
        o->wants_digest = true;
        return;
    }
    o->passes++;
    o->is_pushing = true;
    o->wants_push = false;
    o->pass = ++m->next_pass;
    o->pass_at = m->counter;
    o->number = 0;
    o->tries = 0;
    memset(o->after, 0, sizeof o->after);
    o->at = now + MIRROR_RETRY_NS;
    send_page(m, o);
}

static void ask_digest(struct mirror *m, ns_t now, struct other *o)
{
    o->wants_digest = true;
    o->at = ns_min(o->at, now + MIRROR_RETRY_NS);
    send_digest(m, o, true);
}

static void hear_digest(struct mirror *m, ns_t now, struct other *o, struct rd *r)
{
    uint8_t flags = rd_u8(r), theirs[DIGEST_BYTES], ours[DIGEST_BYTES];

    rd_copy(r, theirs, sizeof theirs);
    if (!rd_done(r) || flags > FLAG_ANSWER)
        return;
    digest_all(m, ours);
    o->is_settled = memcmp(ours, theirs, sizeof ours) == 0;
    o->wants_digest = false;
    if (o->is_settled) {
        o->sent_at = m->counter;
        o->passes = 0;
    }
    if (flags & FLAG_ANSWER)
        send_digest(m, o, false);
    if (!o->is_settled && !o->is_pushing) { /* all of it: who knows what was lost */
        for (size_t i = 0; i < m->n; i++)
            m->rows[i].is_from = m->rows[i].is_from && m->rows[i].from != o->slot;
        o->sent_at = 0;
        start_push(m, now, o);
    }
}

static void hear_page(struct mirror *m, ns_t now, struct other *o, struct rd *r)
{
    uint8_t buf[7], flags;
    struct entry *entries;
    size_t n_others = 0;
    bool is_news;
    uint32_t pass = rd_u32(r);
    uint16_t number = rd_u16(r), n;
    struct wr w;

    flags = rd_u8(r);
    n = rd_u16(r);
    if (!rd_ok(r) || n > CHANGES_MAX || flags > FLAG_LAST)
        return;
    entries = mem_array(n + 1u, sizeof *entries);
    for (uint16_t i = 0; i < n && rd_ok(r); i++) {
        read_entry(r, &entries[n_others]);
        if (memcmp(entries[n_others].who.id, m->config.self, KEY_BYTES) != 0)
            n_others++;
        else
            memset(&entries[n_others], 0, sizeof entries[n_others]);
    }
    if (rd_done(r)) {
        is_news = take_entries(m, o->slot, entries, n_others);
        wr_init(&w, buf, sizeof buf);
        wr_u8(&w, ACK);
        wr_u32(&w, pass);
        wr_u16(&w, number);
        m->ops.send(m->ops.arg, o->slot, wr_done(&w));
        mirror_changed(m, now); /* what is news here goes on to those who may not have it */
        if (flags & FLAG_LAST)
            ask_digest(m, now, o);
        if (is_news)
            m->ops.applied(m->ops.arg);
    }
    secret_wipe(entries, (n + 1u) * sizeof *entries);
    mem_free(entries);
}

static void hear_ack(struct mirror *m, ns_t now, struct other *o, struct rd *r)
{
    uint32_t pass = rd_u32(r);
    uint16_t number = rd_u16(r);

    if (!rd_done(r) || !o->is_pushing || pass != o->pass || number != o->number)
        return;
    o->tries = 0;
    if (!o->is_last) {
        memcpy(o->after, o->until, KEY_BYTES);
        o->number++;
        o->at = now + MIRROR_RETRY_NS;
        send_page(m, o);
        return;
    }
    o->is_pushing = false;
    o->sent_at = o->pass_at;
    o->at = o->wants_digest ? o->at : NS_NEVER;
    if (o->wants_push)
        start_push(m, now, o);
}

/* ---- public ---- */

struct mirror *mirror_create(const struct mirror_config *config, const struct mirror_ops *ops,
                             const struct env *env)
{
    struct mirror *m = mem_alloc(sizeof *m);

    m->config = *config;
    m->ops = *ops;
    m->env = env;
    m->path = config->path != NULL ? mem_str(config->path) : NULL;
    load(m);
    (void)note_changes(m);
    save(m);
    return m;
}

void mirror_destroy(struct mirror *m)
{
    if (m == NULL)
        return;
    (void)note_changes(m);
    save(m);
    mem_free(m->rows);
    mem_free(m->path);
    mem_free(m);
}

void mirror_up(struct mirror *m, ns_t now, uint8_t slot)
{
    struct other *o = other_of(m, slot);

    for (int i = 0; i < DEVICES_MAX && o == NULL; i++)
        if (!m->others[i].is_up)
            o = &m->others[i];
    if (o == NULL)
        return;
    *o = (struct other){.is_up = true, .slot = slot, .at = NS_NEVER, .sent_at = m->counter};
    (void)note_changes(m);
    save(m);
    ask_digest(m, now, o);
}

void mirror_down(struct mirror *m, uint8_t slot)
{
    struct other *o = other_of(m, slot);

    if (o != NULL)
        *o = (struct other){0};
}

void mirror_message(struct mirror *m, ns_t now, uint8_t slot, struct slice msg)
{
    struct other *o = other_of(m, slot);
    struct rd r;

    if (o == NULL)
        return;
    o->tries = 0;
    rd_init(&r, msg);
    switch (rd_u8(&r)) {
    case DIGEST:
        hear_digest(m, now, o, &r);
        break;
    case PAGE:
        hear_page(m, now, o, &r);
        break;
    case ACK:
        hear_ack(m, now, o, &r);
        break;
    default:
        break;
    }
}

static bool owes_any(const struct mirror *m, const struct other *o)
{
    for (size_t i = 0; i < m->n; i++)
        if (is_owed(o, &m->rows[i]) && m->rows[i].at > (o->is_pushing ? o->pass_at : 0))
            return true;
    return false;
}

void mirror_changed(struct mirror *m, ns_t now)
{
    (void)note_changes(m);
    save(m);
    for (int i = 0; i < DEVICES_MAX; i++) {
        struct other *o = &m->others[i];

        if (!o->is_up || o->sent_at == m->counter)
            continue;
        if (!owes_any(m, o)) {
            o->sent_at = o->is_pushing ? o->sent_at : m->counter;
            continue;
        }
        o->is_settled = false;
        start_push(m, now, o);
    }
}

void mirror_tick(struct mirror *m, ns_t now)
{
    for (int i = 0; i < DEVICES_MAX; i++) {
        struct other *o = &m->others[i];

        if (!o->is_up || now < o->at)
            continue;
        o->at = NS_NEVER;
        if (++o->tries > MIRROR_TRIES) { /* the session's owner will notice; the next one begins anew */
            o->is_pushing = o->wants_digest = false;
            continue;
        }
        o->at = now + MIRROR_RETRY_NS;
        if (o->passes >= MIRROR_PASSES)
            o->passes = 0;
        if (o->is_pushing)
            send_page(m, o);
        else if (o->wants_digest)
            send_digest(m, o, true);
        else
            o->at = NS_NEVER;
    }
}

ns_t mirror_deadline(const struct mirror *m)
{
    ns_t at = NS_NEVER;

    for (int i = 0; i < DEVICES_MAX; i++)
        if (m->others[i].is_up)
            at = ns_min(at, m->others[i].at);
    return at;
}

bool mirror_is_settled(const struct mirror *m, uint8_t slot)
{
    for (int i = 0; i < DEVICES_MAX; i++)
        if (m->others[i].is_up && m->others[i].slot == slot)
            return m->others[i].is_settled;
    return false;
}
