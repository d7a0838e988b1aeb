/*
 * Uses every function of splinter.h, and, by way of rust/ffi/tests/c/smoke.c, every function of splinter_bus.h.
 *
 * Arguments: the name of a store that does not exist; "memory" or "file", whichever the library takes names for; and the path of
 * a file that does not exist. It is compiled as C and as C++.
 */

#define _POSIX_C_SOURCE 200809L

#include "splinter.h"
#include "splinter.h"
#include "splinter_bus.h"

#include <assert.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* main() of smoke.c, which is linked with it under this name. */
int handles_main(int argc, char **argv);

static_assert(SPLINTER_MAGIC == 0x534C4E54 && SPLINTER_KEY_MAX == 64 && NS_PER_MS == 1000000, "as in 0.9");
static_assert(sizeof(splinter_header_snapshot_t) == 48 && offsetof(splinter_header_snapshot_t, epoch) == 16, "as built");
static_assert(offsetof(splinter_header_snapshot_t, parse_failures) == 32, "as built");
static_assert(sizeof(splinter_slot_snapshot_t) == 96 && offsetof(splinter_slot_snapshot_t, val_off) == 16, "as built");
static_assert(offsetof(splinter_slot_snapshot_t, val_len) == 24, "as built");
static_assert(offsetof(splinter_slot_snapshot_t, key) == 28, "as built");

enum { SLOTS = 16, VALUE_BYTES = 100 };

static const char *name;
static uint32_t kind;

static char key_of_63[64], key_of_64[65];

static void remove_store(void)
{
    CHECK(spl_remove(kind, BYTES(name), NULL) == SPL_OK);
}

static void check_value(const char *key, const char *wanted)
{
    char buffer[VALUE_BYTES];
    size_t length = 0;
    CHECK(splinter_get(key, buffer, sizeof buffer, &length) == 0);
    CHECK(length == strlen(wanted) && memcmp(buffer, wanted, length) == 0);
}

static void set(const char *key, const char *value)
{
    CHECK(splinter_set(key, value, strlen(value)) == 0);
}

/* Every function says that there is no bus, and touches nothing. */
static void check_without_bus(void)
{
    char buffer[8] = "kept";
    char *keys[1] = {buffer};
    size_t size = 7;
    splinter_header_snapshot_t header;
    splinter_slot_snapshot_t slot;

    splinter_close();
    splinter_close();
    FAILS(splinter_set("k", "v", 1), -1, ENOTCONN);
    FAILS(splinter_get("k", buffer, sizeof buffer, &size), -1, ENOTCONN);
    FAILS(splinter_unset("k"), -2, ENOTCONN);
    FAILS(splinter_list(keys, 1, &size), -1, ENOTCONN);
    FAILS(splinter_poll("k", UINT64_MAX), -2, ENOTCONN);
    FAILS(splinter_set_av(1), -2, ENOTCONN);
    FAILS(splinter_get_av(), -2, ENOTCONN);
    FAILS(splinter_get_header_snapshot(&header), -1, ENOTCONN);
    FAILS(splinter_get_slot_snapshot("k", &slot), -1, ENOTCONN);
    CHECK(strcmp(buffer, "kept") == 0 && keys[0] == buffer && size == 7);
}

static void check_opening(void)
{
    FAILS(splinter_open(name), -1, ENOENT);
    FAILS(splinter_create(name, 0, 64), -2, ENOTSUP);
    FAILS(splinter_create(name, 8, 0), -2, ENOTSUP);
    FAILS(splinter_open_or_create(name, 0, 64), -2, ENOTSUP);
    FAILS(splinter_create_or_open(name, 8, 0), -2, ENOTSUP);
    FAILS(splinter_create(name, SIZE_MAX, 64), -1, EINVAL);
    FAILS(splinter_create(name, 8, SIZE_MAX), -1, EINVAL);
    FAILS(splinter_create("", 8, 64), -1, EINVAL);
    FAILS(splinter_create(NULL, 8, 64), -1, EINVAL);
    FAILS(splinter_open(NULL), -1, EINVAL);
    FAILS(splinter_open_or_create(NULL, 8, 64), -1, EINVAL);
    FAILS(splinter_create_or_open(NULL, 8, 64), -1, EINVAL);
    if (kind == SPL_FILE) {
        FAILS(splinter_open("/dev/null"), -1, EPROTO);
        FAILS(splinter_open("/proc/self/exe"), -1, EPROTO);
    } else {
        FAILS(splinter_open("a/b"), -1, EINVAL);
    }

    CHECK(splinter_create(name, SLOTS, VALUE_BYTES) == 0);
    set("k", "first");
    /* What fails leaves the bus as it is. */
    FAILS(splinter_create(name, SLOTS, VALUE_BYTES), -1, EEXIST);
    FAILS(splinter_open(NULL), -1, EINVAL);
    check_value("k", "first");
    /* Of whatever geometry, and in place of the one before. */
    CHECK(splinter_open(name) == 0);
    CHECK(splinter_open_or_create(name, 5, 5) == 0);
    CHECK(splinter_create_or_open(name, 6, 6) == 0);
    check_value("k", "first");
    splinter_close();
    check_without_bus();
    if (kind == SPL_MEMORY) {
        char slashed[256];
        snprintf(slashed, sizeof slashed, "/%s", name);
        FAILS(splinter_create(slashed, SLOTS, VALUE_BYTES), -1, EEXIST);
        CHECK(splinter_open(slashed) == 0);
        check_value("k", "first");
        splinter_close();
    }
    remove_store();
    CHECK(splinter_open_or_create(name, SLOTS, VALUE_BYTES) == 0);
    splinter_close();
    remove_store();
    CHECK(splinter_create_or_open(name, SLOTS, VALUE_BYTES) == 0);
}

static void check_values(void)
{
    char value[VALUE_BYTES + 1], buffer[VALUE_BYTES];
    size_t size = 0;

    FAILS(splinter_get("k", buffer, sizeof buffer, &size), -1, ENOENT);
    FAILS(splinter_get("k", NULL, 0, &size), -1, ENOENT);
    memset(value, 'x', sizeof value);
    CHECK(splinter_set("k", value, VALUE_BYTES) == 0);
    CHECK(splinter_get("k", NULL, 0, &size) == 0 && size == VALUE_BYTES);
    CHECK(splinter_get("k", NULL, 0, NULL) == 0);
    CHECK(splinter_get("k", buffer, sizeof buffer, NULL) == 0 && memcmp(buffer, value, VALUE_BYTES) == 0);
    memset(buffer, 'o', sizeof buffer);
    size = 0;
    FAILS(splinter_get("k", buffer, VALUE_BYTES - 1, &size), -1, EMSGSIZE);
    CHECK(size == VALUE_BYTES && buffer[0] == 'o' && buffer[VALUE_BYTES - 1] == 'o');
    FAILS(splinter_get("k", buffer, 0, NULL), -1, EMSGSIZE);
    FAILS(splinter_set("k", value, VALUE_BYTES + 1), -1, EMSGSIZE);
    FAILS(splinter_set("k", value, SIZE_MAX), -1, EMSGSIZE);
    CHECK(splinter_get("k", NULL, 0, &size) == 0 && size == VALUE_BYTES);

    CHECK(splinter_set("empty", NULL, 0) == 0 && splinter_set("empty", value, 0) == 0);
    CHECK(splinter_get("empty", buffer, 0, &size) == 0 && size == 0);
    CHECK(splinter_unset("empty") == 0);
    FAILS(splinter_unset("empty"), -1, ENOENT);
    CHECK(splinter_unset("k") == VALUE_BYTES);
    FAILS(splinter_set("k", NULL, 1), -1, EINVAL);
}

static void check_keys(void)
{
    const char *bad[] = {NULL, "", "\xff", "a\xe6\x97"};
    splinter_slot_snapshot_t slot;
    char buffer[8];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        FAILS(splinter_set(bad[i], "v", 1), -1, EINVAL);
        FAILS(splinter_get(bad[i], buffer, sizeof buffer, NULL), -1, EINVAL);
        FAILS(splinter_unset(bad[i]), -2, EINVAL);
        FAILS(splinter_poll(bad[i], 0), -2, EINVAL);
        FAILS(splinter_get_slot_snapshot(bad[i], &slot), -1, EINVAL);
    }
    FAILS(splinter_set(key_of_64, "v", 1), -1, ENAMETOOLONG);
    FAILS(splinter_get(key_of_64, buffer, sizeof buffer, NULL), -1, ENAMETOOLONG);
    FAILS(splinter_unset(key_of_64), -2, ENAMETOOLONG);
    FAILS(splinter_poll(key_of_64, 0), -2, ENAMETOOLONG);
    FAILS(splinter_get_slot_snapshot(key_of_64, &slot), -1, ENAMETOOLONG);
    set(key_of_63, "long");
    check_value(key_of_63, "long");
    CHECK(splinter_get_slot_snapshot(key_of_63, &slot) == 0 && strcmp(slot.key, key_of_63) == 0);
    CHECK(splinter_unset(key_of_63) == 4);
}

static void check_snapshots(void)
{
    splinter_header_snapshot_t before, after;
    splinter_slot_snapshot_t slot;
    uint64_t epoch;

    CHECK(splinter_get_header_snapshot(&before) == 0);
    CHECK(before.magic == SPLINTER_MAGIC && before.version == SPLINTER_VER);
    CHECK(before.slots == SLOTS && before.max_val_sz == VALUE_BYTES);
    CHECK(before.auto_vacuum == 1 && before.parse_failures == 0 && before.last_failure_epoch == 0);
    set("snap", "hello");
    CHECK(splinter_get_slot_snapshot("snap", &slot) == 0);
    CHECK(strcmp(slot.key, "snap") == 0 && slot.val_len == 5 && slot.val_off > 0 && slot.hash != 0);
    CHECK(slot.epoch > 0 && slot.epoch % 2 == 0);
    for (size_t i = 4; i < SPLINTER_KEY_MAX; i++) CHECK(slot.key[i] == 0);
    epoch = slot.epoch;
    set("snap", "again");
    CHECK(splinter_get_slot_snapshot("snap", &slot) == 0 && slot.epoch == epoch + 2);
    CHECK(splinter_get_header_snapshot(&after) == 0 && after.epoch == before.epoch + 2);
    CHECK(splinter_unset("snap") == 5);
    FAILS(splinter_get_slot_snapshot("snap", &slot), -1, ENOENT);
    FAILS(splinter_get_slot_snapshot("snap", NULL), -1, ENOENT);
    set("snap", "");
    FAILS(splinter_get_slot_snapshot("snap", NULL), -1, EINVAL);
    FAILS(splinter_get_header_snapshot(NULL), -1, EINVAL);
    CHECK(splinter_unset("snap") == 0);

    CHECK(splinter_get_av() == 1 && splinter_set_av(0) == 0 && splinter_get_av() == 0);
    CHECK(splinter_get_header_snapshot(&after) == 0 && after.auto_vacuum == 0);
    CHECK(splinter_set_av(7) == 0 && splinter_get_av() == 1);
}

/* Fills the store, and lists what is in it. */
static void check_list(void)
{
    char key[8], *keys[SLOTS + 2], *again[SLOTS];
    size_t count = 0;
    unsigned seen = 0;

    CHECK(splinter_list(keys, SLOTS, &count) == 0 && count == 0);
    for (int i = 0; i < SLOTS; i++) {
        snprintf(key, sizeof key, "key%d", i);
        set(key, key);
    }
    FAILS(splinter_set("one more", "v", 1), -1, ENOSPC);
    set("key0", "overwriting is possible");
    CHECK(splinter_list(keys, SLOTS + 2, &count) == 0 && count == SLOTS);
    for (size_t i = 0; i < count; i++) {
        CHECK(strncmp(keys[i], "key", 3) == 0);
        seen |= 1u << atoi(keys[i] + 3);
    }
    CHECK(seen == (1u << SLOTS) - 1);
    CHECK(splinter_list(again, 3, &count) == 0 && count == 3);
    CHECK(splinter_list(NULL, 0, &count) == 0 && count == SLOTS);
    CHECK(splinter_list(again, 0, &count) == 0 && count == 0);
    FAILS(splinter_list(keys, SLOTS, NULL), -1, EINVAL);
    /* A key is kept once, and for longer than it lives. */
    CHECK(splinter_list(again, SLOTS, &count) == 0 && count == SLOTS);
    for (size_t i = 0; i < count; i++) {
        CHECK(again[i] == keys[i]);
        CHECK(splinter_unset(keys[i]) >= 0);
    }
    CHECK(strncmp(keys[0], "key", 3) == 0);
    CHECK(splinter_list(keys, SLOTS, &count) == 0 && count == 0);
}

/* A store that others have made for longer keys. */
static void check_longer_keys(const char *path)
{
    struct spl_options options;
    char longer[201], *keys[4];
    size_t count = 9;
    struct spl_store *store;

    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.kind = kind;
    options.max_key_bytes = 200;
    memset(longer, 'k', 200);
    longer[200] = 0;
    if (kind == SPL_MEMORY) path = "splinter-test-longer";
    char own[4096];
    snprintf(own, sizeof own, "%.4000s-%ld", path, (long)getpid());
    CHECK((store = spl_open(SPL_CREATE, BYTES(own), &options, NULL)) != NULL);
    CHECK(spl_set(store, BYTES(longer), BYTES("v")) == SPL_OK);
    CHECK(splinter_open(own) == 0);
    set(key_of_63, "long");
    FAILS(splinter_set(key_of_64, "v", 1), -1, ENAMETOOLONG);
    FAILS(splinter_get(longer, NULL, 0, NULL), -1, ENAMETOOLONG);
    FAILS(splinter_list(keys, 4, &count), -1, ENAMETOOLONG);
    CHECK(count == 1 && strcmp(keys[0], key_of_63) == 0);
    CHECK(spl_unset(store, BYTES(longer)) == 1);
    CHECK(splinter_list(keys, 4, &count) == 0 && count == 1);
    CHECK(spl_close(store) == SPL_OK);
    CHECK(spl_remove(kind, BYTES(own), NULL) == SPL_OK);
    /* It has no name any more, and lives on for those who have it. */
    check_value(key_of_63, "long");
    set("k", "still here");
    FAILS(splinter_open(own), -1, ENOENT);
    check_value("k", "still here");
    splinter_close();
}

/* A file that is cut while it is open costs the store, and not the process. */
static void check_cut_file(void)
{
    splinter_header_snapshot_t header;

    CHECK(splinter_create(name, SLOTS, VALUE_BYTES) == 0);
    set("k", "v");
    CHECK(truncate(name, 0) == 0);
    FAILS(splinter_get("k", NULL, 0, NULL), -1, EUCLEAN);
    FAILS(splinter_set("k", "v", 1), -1, EUCLEAN);
    FAILS(splinter_unset("k"), -1, EUCLEAN);
    FAILS(splinter_poll("k", 0), -2, EUCLEAN);
    FAILS(splinter_get_header_snapshot(&header), -1, EUCLEAN);
    FAILS(splinter_get_av(), -1, EUCLEAN);
    FAILS(splinter_open(name), -1, EPROTO);
    splinter_close();
    CHECK(unlink(name) == 0);
}

static void *poll_for_ever(void *result)
{
    errno = 0;
    *(int *)result = splinter_poll("waited for", UINT64_MAX);
    if (errno != ENOTCONN) *(int *)result = 1;
    return NULL;
}

/* Sets and deletes until somebody has noticed. */
static void *come_and_go(void *noticed)
{
    size_t size;
    while (splinter_get((const char *)noticed, NULL, 0, &size) != 0) {
        set("changed", "v");
        CHECK(splinter_unset("changed") == 1);
    }
    return NULL;
}

static void check_poll(void)
{
    pthread_t thread;
    int result = 0;

    FAILS(splinter_poll("changed", 10), -1, ENOENT);
    set("changed", "v");
    FAILS(splinter_poll("changed", 0), -2, ETIMEDOUT);
    FAILS(splinter_poll("changed", 1), -2, ETIMEDOUT);
    FAILS(splinter_poll("changed", 120), -2, ETIMEDOUT);
    CHECK(pthread_create(&thread, NULL, come_and_go, (void *)"noticed") == 0);
    while ((result = splinter_poll("changed", UINT64_MAX)) != 0) CHECK(result == -1 && errno == ENOENT);
    set("noticed", "");
    CHECK(pthread_join(thread, NULL) == 0);

    /* Who waits does not hinder who closes. */
    set("waited for", "");
    CHECK(pthread_create(&thread, NULL, poll_for_ever, &result) == 0);
    splinter_close();
    CHECK(pthread_join(thread, NULL) == 0 && result == -2);
    CHECK(splinter_open(name) == 0);
    CHECK(splinter_unset("waited for") == 0 && splinter_unset("noticed") == 0);
}

/* Whether this process has the store in its memory. */
static int is_mapped(void)
{
    char line[5000];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) found |= strstr(line, name) != NULL;
    CHECK(fclose(maps) == 0);
    return found;
}

/* Parent and child both go on, and one closes the bus without the other, although a thread waits in one of them. */
static void check_fork(void)
{
    pthread_t thread;
    int status = -1, result = 0;

    set("who", "parent");
    set("waited for", "");
    CHECK(pthread_create(&thread, NULL, poll_for_ever, &result) == 0);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            check_value("who", i == 0 ? "parent" : "child");
            set("who", "child");
            CHECK(is_mapped());
            splinter_close();
            CHECK(!is_mapped());
            FAILS(splinter_get("who", NULL, 0, NULL), -1, ENOTCONN);
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    check_value("who", "child");
    splinter_close();
    CHECK(pthread_join(thread, NULL) == 0 && result == -2);
    CHECK(!is_mapped());
    CHECK(splinter_open(name) == 0);
    CHECK(splinter_unset("waited for") == 0 && splinter_unset("who") == 5);
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    name = argv[1];
    kind = strcmp(argv[2], "memory") == 0 ? SPL_MEMORY : SPL_FILE;
    memset(key_of_63, 'k', 63);
    memset(key_of_64, 'k', 64);
    check_without_bus();
    check_opening();
    check_values();
    check_keys();
    check_snapshots();
    check_list();
    check_poll();
    check_fork();
    splinter_close();
    remove_store();
    check_longer_keys(argv[3]);
    if (kind == SPL_FILE) check_cut_file();
    char *handles[] = {argv[0], argv[3], NULL};
    CHECK(handles_main(2, handles) == 0);
    CHECK(spl_remove(SPL_FILE, BYTES(argv[3]), NULL) == SPL_OK);
    return 0;
}
