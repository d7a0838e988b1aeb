/*
 * Joins a store that other runtimes hold open: libraries.test.ts says what they do. Its argument is the store's name.
 */

#include "splinter.h"

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

    CHECK(argc == 2);
    CHECK(splinter_create(argv[1], 4, 4) == -1 && errno == EEXIST);
    CHECK(splinter_open(argv[1]) == 0);
    CHECK(splinter_get_header_snapshot(&header) == 0 && header.slots == 32 && header.max_val_sz == 64);
    CHECK(holds("from/deno", "hello from Deno") && holds("from/bun", "hello from Bun"));
    CHECK(splinter_list(keys, 8, &count) == 0 && count == 3);
    CHECK(splinter_set("from/c", "hello from C", 12) == 0);
    /* A change between looking and waiting is seen in the next turn. */
    while (!holds("go", "1")) CHECK(splinter_poll("go", 100) == 0 || errno == ETIMEDOUT);
    CHECK(splinter_unset("from/bun") == 14);
    CHECK(splinter_set_av(0) == 0);
    splinter_close();
    return 0;
}
