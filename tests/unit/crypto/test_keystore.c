#include "crypto/keystore.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/crypto/world.h"

/* A folder of its own for each test. */
struct place {
    char folder[64], path[96];
};

static void setup(struct place *p)
{
    strcpy(p->folder, "/tmp/ito-keystore-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->path, sizeof p->path, "%s/identity.key", p->folder);
}

static void teardown(struct place *p)
{
    unlink(p->path);
    assert_int_equal(rmdir(p->folder), 0); /* nothing else is left behind */
}

static size_t slurp(const char *path, uint8_t buf[static KEYSTORE_FILE_MAX])
{
    FILE *f = fopen(path, "rb");
    size_t n;

    assert_non_null(f);
    n = fread(buf, 1, KEYSTORE_FILE_MAX, f);
    fclose(f);
    return n;
}

static void spit(const char *path, const uint8_t *buf, size_t n)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(buf, 1, n, f), n);
    fclose(f);
    assert_int_equal(chmod(path, 0600), 0);
}

static bool contains(const uint8_t *hay, size_t n, const uint8_t needle[32])
{
    for (size_t i = 0; i + 32 <= n; i++)
        if (memcmp(hay + i, needle, 32) == 0)
            return true;
    return false;
}

/* Whom this identity follows is in the file, and only with the right proof. */
static void successor_round(void **state)
{
    struct keyring k, got;
    uint8_t m[32] = {9}, changed[32];
    struct sign_key before;
    struct place p;
    WORLD(env);

    (void)state;
    setup(&p);
    identity_derive(m, 2, &before);
    keyring_restore(&env, &k, m, 3);
    assert_memory_equal(k.old_identity, before.pub, 32);
    assert_int_equal(keystore_save_new(&env, p.path, &k, NULL), ERR_OK);
    assert_int_equal(keystore_load(p.path, NULL, &got, NULL), ERR_OK);
    assert_memory_equal(got.old_identity, k.old_identity, sizeof k.old_identity);
    assert_memory_equal(got.succession, k.succession, sizeof k.succession);
    assert_int_equal(got.first_gen, k.gen);
    assert_true(keyring_is_successor_to(&got, k.gen - 1));
    assert_false(keyring_is_successor_to(&got, k.gen));
    identity_next(k.identity.pub, changed);
    assert_int_equal(succession_verify(before.pub, changed, got.identity.pub, got.succession), ERR_OK);
    k.succession[40] ^= 1;
    assert_int_equal(keystore_replace(&env, p.path, &k, NULL), ERR_OK);
    assert_int_equal(keystore_load(p.path, NULL, &got, NULL), ERR_PARSE);
    keyring_wipe(&k);
    teardown(&p);
}

static void plain_round(void **state)
{
    struct keyring k, got;
    uint8_t m[32];
    struct place p;
    struct stat st;
    bool needs = true;
    WORLD(env);

    (void)state;
    setup(&p);
    keyring_create(&env, &k, m);
    assert_int_equal(keyring_rotate_device(&env, &k), ERR_OK);
    assert_int_equal(keyring_rotate_s(&env, &k), ERR_OK);
    assert_int_equal(keystore_save_new(&env, p.path, &k, NULL), ERR_OK);
    assert_int_equal(stat(p.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(keystore_needs_passphrase(p.path, &needs, NULL), ERR_OK);
    assert_false(needs);
    assert_int_equal(keystore_load(p.path, NULL, &got, NULL), ERR_OK);
    assert_memory_equal(&k, &got, sizeof k);
    teardown(&p);
}

static void sealed_round(void **state)
{
    struct keyring k, got;
    uint8_t m[32], file[KEYSTORE_FILE_MAX];
    struct err_detail d;
    struct place p;
    bool needs = false;
    size_t n;
    WORLD(env);

    (void)state;
    setup(&p);
    keyring_create(&env, &k, m);
    assert_int_equal(keyring_set_passphrase(&env, &k, "correct horse"), ERR_OK);
    assert_int_equal(keystore_save_new(&env, p.path, &k, NULL), ERR_OK);
    n = slurp(p.path, file);
    assert_false(contains(file, n, k.identity.seed));
    assert_false(contains(file, n, k.identity.pub));
    assert_false(contains(file, n, k.S));
    assert_false(contains(file, n, k.lock.key));
    assert_int_equal(keystore_needs_passphrase(p.path, &needs, NULL), ERR_OK);
    assert_true(needs);
    assert_int_equal(keystore_load(p.path, "correct horse", &got, &d), ERR_OK);
    assert_memory_equal(&k, &got, sizeof k);
    assert_int_equal(keystore_load(p.path, "correct horsf", &got, &d), ERR_LOCKED);
    assert_non_null(strstr(d.text, "identity.key: wrong passphrase"));
    assert_true(secret_is_zero(&got, sizeof got));
    assert_int_equal(keystore_load(p.path, NULL, &got, &d), ERR_LOCKED);
    assert_non_null(strstr(d.text, "protected by a passphrase"));
    assert_int_equal(keystore_load(p.path, "", &got, &d), ERR_LOCKED);
    teardown(&p);
}

static void replaced(void **state)
{
    struct keyring k, got;
    uint8_t m[32], one[KEYSTORE_FILE_MAX], two[KEYSTORE_FILE_MAX];
    struct place p;
    WORLD(env);

    (void)state;
    setup(&p);
    keyring_create(&env, &k, m);
    assert_int_equal(keyring_set_passphrase(&env, &k, "pass"), ERR_OK);
    assert_int_equal(keystore_save_new(&env, p.path, &k, NULL), ERR_OK);
    slurp(p.path, one);
    assert_int_equal(keyring_rotate_device(&env, &k), ERR_OK);
    assert_int_equal(keystore_replace(&env, p.path, &k, NULL), ERR_OK);
    slurp(p.path, two);
    assert_memory_not_equal(one + 49, two + 49, 24); /* a nonce is never used twice */
    assert_int_equal(keystore_load(p.path, "pass", &got, NULL), ERR_OK);
    assert_memory_equal(&k, &got, sizeof k);
    /* taking the passphrase off */
    assert_int_equal(keyring_set_passphrase(&env, &k, NULL), ERR_OK);
    assert_int_equal(keystore_replace(&env, p.path, &k, NULL), ERR_OK);
    assert_int_equal(keystore_load(p.path, NULL, &got, NULL), ERR_OK);
    teardown(&p);
}

static void never_overwrites(void **state)
{
    struct keyring k, got;
    uint8_t m[32];
    struct err_detail d;
    struct place p;
    WORLD(env);

    (void)state;
    setup(&p);
    keyring_create(&env, &k, m);
    assert_int_equal(keystore_save_new(&env, p.path, &k, NULL), ERR_OK);
    keyring_create(&env, &got, m);
    assert_int_equal(keystore_save_new(&env, p.path, &got, &d), ERR_EXISTS);
    assert_non_null(strstr(d.text, "is there already, and was not touched"));
    assert_int_equal(keystore_load(p.path, NULL, &got, NULL), ERR_OK);
    assert_memory_equal(&k, &got, sizeof k);
    teardown(&p);
}

static void readable_by_others(void **state)
{
    struct keyring k;
    uint8_t m[32];
    struct err_detail d;
    struct place p;
    char expected[300];
    bool needs;
    WORLD(env);

    (void)state;
    setup(&p);
    keyring_create(&env, &k, m);
    assert_int_equal(keystore_save_new(&env, p.path, &k, NULL), ERR_OK);
    assert_int_equal(chmod(p.path, 0640), 0);
    assert_int_equal(keystore_load(p.path, NULL, &k, &d), ERR_REFUSED);
    snprintf(expected, sizeof expected, "%s: others can read it (mode 0640). Run: chmod 600 %s", p.path,
             p.path);
    assert_string_equal(d.text, expected);
    assert_int_equal(keystore_needs_passphrase(p.path, &needs, &d), ERR_REFUSED);
    assert_true(secret_is_zero(&k, sizeof k));
    teardown(&p);
}

static void not_a_file(void **state)
{
    struct keyring k, got;
    uint8_t m[32];
    struct err_detail d;
    struct place p;
    char real[128];
    WORLD(env);

    (void)state;
    setup(&p);
    keyring_create(&env, &k, m);
    assert_int_equal(keystore_load(p.path, NULL, &got, &d), ERR_NOT_FOUND);
    snprintf(real, sizeof real, "%s/real", p.folder);
    assert_int_equal(keystore_save_new(&env, real, &k, NULL), ERR_OK);
    assert_int_equal(symlink(real, p.path), 0);
    assert_int_equal(keystore_load(p.path, NULL, &got, &d), ERR_REFUSED);
    assert_non_null(strstr(d.text, "is a link"));
    assert_int_equal(keystore_replace(&env, p.path, &k, &d), ERR_REFUSED);
    assert_int_equal(keystore_save_new(&env, p.path, &k, &d), ERR_EXISTS);
    unlink(p.path);
    unlink(real);
    assert_int_equal(mkfifo(p.path, 0600), 0);
    assert_int_equal(keystore_load(p.path, NULL, &got, &d), ERR_REFUSED); /* and does not wait */
    assert_int_equal(keystore_replace(&env, p.path, &k, &d), ERR_REFUSED);
    assert_int_equal(keystore_load("/dev/null", NULL, &got, &d), ERR_REFUSED);
    assert_int_equal(keystore_load(p.folder, NULL, &got, &d), ERR_REFUSED);
    teardown(&p);
}

static void damaged(void **state)
{
    struct keyring k, got;
    uint8_t m[32], file[KEYSTORE_FILE_MAX + 1] = {0};
    struct err_detail d;
    struct place p;
    size_t n;
    WORLD(env);

    (void)state;
    setup(&p);
    keyring_create(&env, &k, m);
    assert_int_equal(keyring_set_passphrase(&env, &k, "pass"), ERR_OK);
    assert_int_equal(keystore_save_new(&env, p.path, &k, NULL), ERR_OK);
    n = slurp(p.path, file);
    for (size_t i = 24; i < n; i += 7) {
        file[i] ^= 1;
        spit(p.path, file, n);
        assert_int_equal(keystore_load(p.path, "pass", &got, &d), ERR_PARSE);
        file[i] ^= 1;
    }
    assert_non_null(strstr(d.text, p.path));
    assert_non_null(strstr(d.text, "damaged, and left as it is"));
    for (size_t cut = 0; cut < n; cut += 13) {
        spit(p.path, file, cut);
        assert_int_equal(keystore_load(p.path, "pass", &got, &d), ERR_PARSE);
        assert_true(secret_is_zero(&got, sizeof got));
    }
    spit(p.path, file, KEYSTORE_FILE_MAX + 1);
    assert_int_equal(keystore_load(p.path, "pass", &got, &d), ERR_PARSE);
    file[22] = '2';
    spit(p.path, file, n);
    assert_int_equal(keystore_load(p.path, "pass", &got, &d), ERR_VERSION);
    teardown(&p);
}

/* A file whose check is right and whose Argon2id asks for terabytes. */
static void expensive(void **state)
{
    uint8_t m[32], file[KEYSTORE_FILE_MAX];
    struct keyring k, got;
    struct err_detail d;
    struct hasher h;
    struct place p;
    size_t n;
    WORLD(env);

    (void)state;
    setup(&p);
    keyring_create(&env, &k, m);
    k.lock.is_sealed = true;
    k.lock.ops = 1;
    k.lock.mem_kib = 8;
    assert_int_equal(keystore_save_new(&env, p.path, &k, NULL), ERR_OK);
    assert_int_equal(keystore_load(p.path, "x", &got, &d), ERR_LOCKED);
    n = slurp(p.path, file);
    memset(file + 29, 0xff, 4);
    hash_begin(&h, 16, NULL, 0);
    hash_text(&h, "itodenwa-keyfile-v1");
    hash_bytes(&h, file, n - 16);
    hash_end(&h, file + n - 16);
    spit(p.path, file, n);
    assert_int_equal(keystore_load(p.path, "x", &got, &d), ERR_PARSE);
    teardown(&p);
}

static void linked_device(void **state)
{
    struct keyring k, got;
    struct place p;
    WORLD(env);

    (void)state;
    setup(&p);
    keyring_create_linked(&env, &k);
    assert_int_equal(keyring_offer_device(&env, &k), ERR_OK);
    assert_int_equal(keystore_save_new(&env, p.path, &k, NULL), ERR_OK);
    assert_int_equal(keystore_load(p.path, NULL, &got, NULL), ERR_OK);
    assert_memory_equal(&k, &got, sizeof k);
    assert_false(keyring_is_main(&got));
    teardown(&p);
}

static struct slice list_of(const struct keyring *k, uint8_t bytes[static LIST_MAX_BYTES])
{
    struct wr w;

    wr_init(&w, bytes, LIST_MAX_BYTES);
    device_list_write(&w, &k->list);
    return wr_done(&w);
}

/* What the main device signed when it struck this one off is what its file says from then on. */
static void struck_device(void **state)
{
    struct keyring main, other, phone, got;
    uint8_t m[32], cert[CERT_BYTES], list[LIST_MAX_BYTES], slot;
    struct place p;
    WORLD(env);

    (void)state;
    setup(&p);
    keyring_create(&env, &main, m);
    keyring_create(&env, &other, m);
    keyring_create_linked(&env, &phone);
    assert_int_equal(keyring_add_device(&main, phone.device.pub, phone.publish.pub, &slot, cert), ERR_OK);
    assert_int_equal(keyring_adopt(&env, &phone, slice_of(cert, CERT_BYTES), list_of(&main, list), main.S, 1),
                     ERR_OK);
    assert_false(keyring_is_struck(&phone));
    assert_int_equal(keyring_strike(&phone, list_of(&main, list)), ERR_LATE);
    assert_int_equal(keyring_rotate_device(&env, &main), ERR_OK);
    assert_int_equal(keyring_strike(&phone, list_of(&main, list)), ERR_EXISTS);
    other.list.gen = 99;
    assert_int_equal(device_list_sign(&other.identity, &other.list), ERR_OK);
    assert_int_equal(keyring_strike(&phone, list_of(&other, list)), ERR_AUTH);
    assert_int_equal(keyring_remove_device(&env, &main, slot), ERR_OK);
    assert_int_equal(keyring_strike(&main, list_of(&main, list)), ERR_STATE);
    assert_int_equal(keyring_strike(&phone, list_of(&main, list)), ERR_OK);
    assert_true(keyring_is_struck(&phone));
    assert_int_equal(keystore_save_new(&env, p.path, &phone, NULL), ERR_OK);
    assert_int_equal(keystore_load(p.path, NULL, &got, NULL), ERR_OK);
    assert_memory_equal(&phone, &got, sizeof got);
    assert_true(keyring_is_struck(&got));
    assert_false(keyring_is_struck(&main));
    /* Another device in the place that was ours is not us. */
    keyring_create_linked(&env, &other);
    assert_int_equal(keyring_add_device(&main, other.device.pub, other.publish.pub, &slot, cert), ERR_OK);
    assert_int_equal(slot, phone.slot);
    assert_int_equal(keyring_strike(&phone, list_of(&main, list)), ERR_OK);
    assert_true(keyring_is_struck(&phone));
    assert_int_equal(keystore_replace(&env, p.path, &phone, NULL), ERR_OK);
    assert_int_equal(keystore_load(p.path, NULL, &got, NULL), ERR_OK);
    teardown(&p);
}

static void largest(void **state)
{
    struct keyring k, phone, got;
    uint8_t m[32], cert[CERT_BYTES], slot;
    struct place p;
    WORLD(env);

    (void)state;
    setup(&p);
    keyring_create(&env, &k, m);
    for (int i = 1; i < DEVICES_MAX; i++) {
        keyring_create_linked(&env, &phone);
        assert_int_equal(keyring_add_device(&k, phone.device.pub, phone.publish.pub, &slot, cert), ERR_OK);
    }
    assert_int_equal(keyring_set_passphrase(&env, &k, "pass"), ERR_OK);
    assert_int_equal(keystore_save_new(&env, p.path, &k, NULL), ERR_OK);
    assert_int_equal(keystore_load(p.path, "pass", &got, NULL), ERR_OK);
    assert_memory_equal(&k, &got, sizeof k);
    teardown(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a successor's proof is kept, and a wrong one is damage", successor_round),
        sentence("a plain file gives back every secret, mode 0600", plain_round),
        sentence("a sealed file opens with its passphrase only, and shows no secret", sealed_round),
        sentence("a file is replaced without the passphrase, under a new nonce", replaced),
        sentence("a new identity never takes the place of another", never_overwrites),
        sentence("a file that others can read is refused, with what to do", readable_by_others),
        sentence("links, pipes, devices and folders are refused at once", not_a_file),
        sentence("a damaged or cut file is told from a wrong passphrase", damaged),
        sentence("a file cannot ask for more work than the cap", expensive),
        sentence("eight devices fit the file", largest),
        sentence("a device that was struck off knows it when it starts again", struck_device),
        sentence("a device not yet linked, with keys on offer, has a file too", linked_device),
    };

    return crypto_init() == ERR_OK ? run_sentences("keystore", tests) : 1;
}
