/*
 * Threads that use the bus as hard as they can: one writer and several readers, several writers of keys of their own and of the
 * same keys, threads whose bus is closed and opened all the while, and a process that forks in the midst of it.
 *
 * Each value tells its key, its writer and its round, and has a length and bytes that follow from them: whoever reads a mixture
 * sees it. Arguments: the name of a store that does not exist, "memory" or "file", and how many rounds each writer writes.
 */

#define _POSIX_C_SOURCE 200809L

#include "splinter.h"
#include "splinter_bus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { KEYS = 8, WRITERS = 3, READERS = 3, SLOTS = 64, VALUE_BYTES = 300, REOPENINGS = 100, FORKS = 10 };

struct head {
    uint32_t key, writer, round, bytes;
};

struct task {
    uint32_t writer, first_key, keys;
    bool deletes;
};

static uint32_t rounds;
static const char *name;
static atomic_bool is_over;
static atomic_uint_fast64_t reads, writes, failures;

static void name_of(uint32_t key, char *text)
{
    sprintf(text, "key/%u", key);
}

static size_t make(struct head head, uint8_t *value)
{
    head.bytes = (uint32_t)sizeof head + (head.round * 37 + head.writer * 11 + head.key) % (VALUE_BYTES - (uint32_t)sizeof head);
    memcpy(value, &head, sizeof head);
    for (uint32_t i = sizeof head; i < head.bytes; i++) value[i] = (uint8_t)(head.round * 7 + head.writer * 31 + i);
    return head.bytes;
}

/* Whether a value is one that somebody made for this key. */
static bool is_whole(uint32_t key, const uint8_t *value, size_t length, struct head *head)
{
    uint8_t wanted[VALUE_BYTES];
    if (length < sizeof *head) return false;
    memcpy(head, value, sizeof *head);
    return head->key == key && make(*head, wanted) == length && memcmp(wanted, value, length) == 0;
}

static void fail(const char *what, uint32_t key)
{
    if (atomic_fetch_add(&failures, 1) < 10) fprintf(stderr, "%s: key %u, errno %d\n", what, key, errno);
}

/* Another writer may have the key for as long as this machine does not let him go on. */
static int set_patiently(const char *key, const void *value, size_t length)
{
    int result;
    while ((result = splinter_set(key, value, length)) == -1 && errno == EAGAIN) continue;
    return result;
}

static void *write_all(void *argument)
{
    const struct task *task = argument;
    uint8_t value[VALUE_BYTES], back[VALUE_BYTES];
    char text[16];
    for (uint32_t round = 1; round <= rounds; round++) {
        uint32_t key = task->first_key + round % task->keys;
        struct head head = {key, task->writer, round, 0};
        size_t length = make(head, value), found = 0;
        name_of(key, text);
        if (set_patiently(text, value, length) != 0) fail("set", key);
        atomic_fetch_add(&writes, 1);
        if (task->deletes) {
            if (round % 5 == 0 && splinter_unset(text) < 0 && errno != ENOENT && errno != EAGAIN) fail("unset", key);
        } else if (splinter_get(text, back, sizeof back, &found) != 0 || found != length || memcmp(back, value, length) != 0) {
            fail("another value than this only writer wrote", key);
        }
    }
    return NULL;
}

/* Reads all keys in turn until it is over. */
static void *read_all(void *argument)
{
    const struct task *task = argument;
    uint32_t last[KEYS] = {0};
    for (uint32_t i = 0; !atomic_load(&is_over); i++) {
        uint32_t key = i % KEYS;
        uint8_t value[VALUE_BYTES];
        char text[16];
        size_t length = 0;
        struct head head;
        name_of(key, text);
        if (splinter_get(text, value, sizeof value, &length) != 0) {
            if (errno != ENOENT) fail("get", key);
            continue;
        }
        atomic_fetch_add(&reads, 1);
        if (!is_whole(key, value, length, &head)) {
            fail("a mixture", key);
        } else if (task->keys == 1 && head.round < last[key]) {
            fail("an older value after a newer one", key);
        } else {
            last[key] = head.round;
        }
    }
    return NULL;
}

/* `shared` writers have the same keys, others each its own. Rounds of a key rise only if it has one writer. */
static void run(const char *what, uint32_t writers, bool shared)
{
    pthread_t threads[WRITERS + READERS];
    struct task tasks[WRITERS], reading = {0, 0, shared ? KEYS : 1, false};
    uint32_t each = shared ? KEYS : KEYS / writers;

    atomic_store(&is_over, false);
    atomic_store(&reads, 0);
    atomic_store(&writes, 0);
    CHECK(splinter_create(name, SLOTS, VALUE_BYTES) == 0);
    for (uint32_t i = 0; i < READERS; i++) CHECK(pthread_create(&threads[WRITERS + i], NULL, read_all, &reading) == 0);
    for (uint32_t i = 0; i < writers; i++) {
        tasks[i] = (struct task){i, shared ? 0 : i * each, each, shared};
        CHECK(pthread_create(&threads[i], NULL, write_all, &tasks[i]) == 0);
    }
    for (uint32_t i = 0; i < writers; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    atomic_store(&is_over, true);
    for (uint32_t i = 0; i < READERS; i++) CHECK(pthread_join(threads[WRITERS + i], NULL) == 0);
    printf("%s: %llu writes, %llu reads\n", what, (unsigned long long)atomic_load(&writes),
           (unsigned long long)atomic_load(&reads));
    splinter_close();
}

/* What may happen to a bus that is closed and opened all the while. */
static void take(int result, uint32_t key)
{
    bool is_expected = errno == ENOTCONN || errno == ENOENT || errno == ETIMEDOUT || errno == EAGAIN;
    if (result < 0 && !is_expected) fail("a bus that comes and goes", key);
}

static void *use_everything(void *argument)
{
    const struct task *task = argument;
    struct head head = {task->first_key, task->writer, 0, 0};
    splinter_header_snapshot_t header;
    splinter_slot_snapshot_t slot;
    uint8_t value[VALUE_BYTES];
    char text[16], *keys[SLOTS];
    size_t length;

    name_of(head.key, text);
    for (; !atomic_load(&is_over); head.round++) {
        take(splinter_set(text, value, make(head, value)), head.key);
        take(splinter_get(text, value, sizeof value, &length), head.key);
        take(splinter_get_slot_snapshot(text, &slot), head.key);
        take(splinter_get_header_snapshot(&header), head.key);
        take(splinter_list(keys, SLOTS, &length), head.key);
        take(splinter_poll(text, 0), head.key);
        take(splinter_get_av(), head.key);
        take(splinter_set_av(1), head.key);
    }
    return NULL;
}

/* Closes and opens the bus, and then forks, while all others use it. */
static void disturb(void)
{
    pthread_t threads[READERS];
    struct task tasks[READERS];

    atomic_store(&is_over, false);
    CHECK(splinter_open(name) == 0);
    for (uint32_t i = 0; i < READERS; i++) {
        tasks[i] = (struct task){i, i, 1, false};
        CHECK(pthread_create(&threads[i], NULL, use_everything, &tasks[i]) == 0);
    }
    for (int i = 0; i < REOPENINGS; i++) {
        if (i % 2 == 0) splinter_close();
        CHECK(splinter_open(name) == 0);
    }
    for (int i = 0; i < FORKS; i++) {
        int status = -1;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            char *keys[SLOTS];
            size_t count;
            CHECK(set_patiently("child", "v", 1) == 0 && splinter_get("child", NULL, 0, NULL) == 0);
            CHECK(splinter_list(keys, SLOTS, &count) == 0 && count > 0);
            splinter_close();
            CHECK(splinter_open(name) == 0 && splinter_unset("child") == 1);
            splinter_close();
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    atomic_store(&is_over, true);
    for (uint32_t i = 0; i < READERS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    splinter_close();
    printf("closings and forks: %d, %d\n", REOPENINGS, FORKS);
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    name = argv[1];
    uint32_t kind = strcmp(argv[2], "memory") == 0 ? SPL_MEMORY : SPL_FILE;
    rounds = (uint32_t)strtoul(argv[3], NULL, 10);
    CHECK(rounds > 0);

    run("one writer", 1, false);
    CHECK(spl_remove(kind, BYTES(name), NULL) == SPL_OK);
    run("writers of their own keys", 2, false);
    CHECK(spl_remove(kind, BYTES(name), NULL) == SPL_OK);
    run("writers of the same keys", WRITERS, true);
    disturb();
    CHECK(spl_remove(kind, BYTES(name), NULL) == SPL_OK);
    printf("%llu failures\n", (unsigned long long)atomic_load(&failures));
    return atomic_load(&failures) != 0;
}
