/*
 * Joins a store that other runtimes hold open, by both interfaces: libraries.test.ts says what the others do.
 *
 * Arguments: the store's name, and "memory" or "file".
 */

#include "splinter.h"
#include "splinter_bus.h"

#include "check.h"

static int holds(const char *key, const char *wanted)
{
    char buffer[64];
    size_t length;
    CHECK(splinter_get(key, buffer, sizeof buffer, &length) == 0);
    return length == strlen(wanted) && memcmp(buffer, wanted, length) == 0;
}

int main(int argc, char **argv)
{
    char *keys[8];
    size_t count;
    splinter_header_snapshot_t header;
    splinter_slot_snapshot_t slot;
    struct spl_options options;
    struct spl_store *store;
    uint64_t epoch;

    CHECK(argc == 3);
    CHECK(splinter_create(argv[1], 4, 4) == -1 && errno == EEXIST);
    CHECK(splinter_open(argv[1]) == 0);
    CHECK(splinter_open_or_create(argv[1], 4, 4) == 0);
    CHECK(splinter_create_or_open(argv[1], 4, 4) == 0);
    CHECK(splinter_get_header_snapshot(&header) == 0 && header.slots == 32 && header.max_val_sz == 64);
    CHECK(holds("from/deno", "hello from Deno") && holds("from/bun", "hello from Bun"));
    CHECK(splinter_list(keys, 8, &count) == 0 && count == 3);
    CHECK(splinter_set("from/c", "hello from C", 12) == 0);
    /* A change between looking and waiting is seen in the next turn. */
    while (!holds("go", "1")) CHECK(splinter_poll("go", 100) == 0 || errno == ETIMEDOUT);
    CHECK(splinter_unset("from/bun") == 14);
    CHECK(splinter_get_av() == 1 && splinter_set_av(0) == 0 && splinter_get_av() == 0);

    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.kind = strcmp(argv[2], "memory") == 0 ? SPL_MEMORY : SPL_FILE;
    CHECK((store = spl_open(SPL_OPEN, BYTES(argv[1]), &options, NULL)) != NULL);
    CHECK(spl_epoch(store, BYTES("go"), &epoch) == SPL_OK);
    CHECK(splinter_get_slot_snapshot("go", &slot) == 0 && slot.epoch == epoch);
    CHECK(spl_set(store, BYTES("from/handle"), BYTES("hello")) == SPL_OK && holds("from/handle", "hello"));
    CHECK(spl_close(store) == SPL_OK);
    splinter_close();
    return 0;
}
