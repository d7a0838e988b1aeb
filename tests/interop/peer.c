/*
 * The C side of the interop tests: does what the driver says with one store, and tells what it sees.
 *
 * The language is described in peers.ts. peer.rs and peer.ts do the same in their runtimes. There are no operations on
 * text here: to C it is bytes.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "splinter_bus.h"

/* The longest that a job without an end goes on, in case that nobody is left to end it. */
enum { PATIENCE_MS = 30000 };

/* The byte that is put behind "log". */
enum { LOGGED = 7 };

static const char DIGITS[] = "0123456789abcdef";

/* Where the result goes before it is known whether there is one. */
static FILE *out;
static struct spl_store *store;
static uint8_t *buffer;
static uint32_t max_value_bytes;
/* Where the store rings, once somebody follows it. */
static int bell = -1;

struct bytes {
    uint8_t *at;
    uint32_t len;
};

static _Noreturn void give_up(const char *why) {
    fprintf(stderr, "c: %s\n", why);
    exit(1);
}

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes + 1);
    if (memory == NULL) give_up("there is no memory");
    return memory;
}

/* A copy of an argument, or NULL if it is not there. */
static char *argument(const char *command, const char *name) {
    char start[64];
    snprintf(start, sizeof start, "\"%s\":\"", name);
    const char *found = strstr(command, start);
    if (found == NULL) return NULL;
    found += strlen(start);
    return strndup(found, strcspn(found, "\""));
}

static bool is(const char *command, const char *name, const char *wanted) {
    char *found = argument(command, name);
    bool result = found != NULL && strcmp(found, wanted) == 0;
    free(found);
    return result;
}

static uint32_t number(const char *command, const char *name) {
    char *found = argument(command, name);
    uint32_t result = found == NULL ? 0 : (uint32_t)strtoul(found, NULL, 10);
    free(found);
    return result;
}

static unsigned value_of(char digit) {
    const char *found = digit == 0 ? NULL : strchr(DIGITS, digit);
    if (found == NULL) give_up("bytes are in hex");
    return (unsigned)(found - DIGITS);
}

static struct bytes bytes_of(const char *command, const char *name) {
    char *digits = argument(command, name);
    struct bytes result = {NULL, digits == NULL ? 0 : (uint32_t)(strlen(digits) / 2)};
    result.at = allocate(result.len);
    for (uint32_t i = 0; i < result.len; i++) {
        result.at[i] = (uint8_t)(value_of(digits[2 * i]) << 4 | value_of(digits[2 * i + 1]));
    }
    free(digits);
    return result;
}

static void print_hex(const uint8_t *bytes, uint32_t len) {
    putc('"', out);
    for (uint32_t i = 0; i < len; i++) {
        putc(DIGITS[bytes[i] >> 4], out);
        putc(DIGITS[bytes[i] & 15], out);
    }
    putc('"', out);
}

static void print_bool(int32_t is_true) {
    fputs(is_true ? "true" : "false", out);
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int32_t close_store(void) {
    int32_t result = spl_close(store);
    store = NULL;
    if (bell >= 0) close(bell);
    bell = -1;
    return result;
}

static int32_t open_store(const char *command) {
    static const char *const ways[] = {"open", "create", "open_or_create", "create_or_open", "anonymous"};
    uint32_t how = 0;
    while (!is(command, "how", ways[how])) {
        if (++how == sizeof ways / sizeof *ways) give_up("there is no such way to open a store");
    }
    bool anonymous = how > SPL_CREATE_OR_OPEN;
    struct spl_options options = {
        .size = sizeof options,
        .kind = anonymous ? SPL_ANONYMOUS : is(command, "memory", "true") ? SPL_MEMORY : SPL_FILE,
        .slots = number(command, "slots"),
        .max_key_bytes = number(command, "max_key_bytes"),
        .max_value_bytes = number(command, "max_value_bytes"),
        .journal_entries = number(command, "journal_entries"),
        .flags = is(command, "read_only", "true") ? SPL_READ_ONLY : 0,
    };
    close_store();
    char *name = argument(command, "name");
    uint32_t name_len = name == NULL ? 0 : (uint32_t)strlen(name);
    struct spl_error error;
    store = spl_open(anonymous ? SPL_OPEN : how, (const uint8_t *)name, name_len, &options, &error);
    free(name);
    if (store == NULL) return error.code;

    struct spl_header_snapshot header;
    int32_t result = spl_header_snapshot(store, &header);
    if (result < 0) return result;
    max_value_bytes = header.max_value_bytes;
    free(buffer);
    buffer = allocate(max_value_bytes);
    char path[4096];
    result = spl_path(store, (uint8_t *)path, sizeof path);
    if (result < 0) return result;
    fprintf(out, "\"%.*s\"", (int)result, path);
    return SPL_OK;
}

static int32_t remove_store(const char *command) {
    char *name = argument(command, "name");
    uint32_t kind = is(command, "memory", "true") ? SPL_MEMORY : SPL_FILE;
    int32_t result = spl_remove(kind, (const uint8_t *)name, (uint32_t)strlen(name), NULL);
    free(name);
    if (result >= 0) fputs("null", out);
    return result;
}

/* Reads a value of which only the length is known at first, and in one step. */
static int32_t get(struct bytes key) {
    int32_t len = spl_get(store, key.at, key.len, NULL, 0);
    if (len < 0) return len;
    if (spl_get(store, key.at, key.len, buffer, max_value_bytes) != len) give_up("the length changed");
    print_hex(buffer, (uint32_t)len);
    return SPL_OK;
}

/* Prints the keys with a prefix, or epochs and lengths too. */
static int32_t scan(struct bytes prefix, bool with_more) {
    struct spl_cursor cursor = {0};
    uint8_t page[2048];
    const char *separator = "";
    int32_t filled;
    putc('[', out);
    while ((filled = spl_scan(store, &cursor, prefix.at, prefix.len, page, sizeof page)) > 0) {
        for (int32_t at = 0; at < filled;) {
            struct spl_entry entry;
            memcpy(&entry, page + at, sizeof entry);
            fputs(separator, out);
            separator = ",";
            if (with_more) putc('[', out);
            print_hex(page + at + sizeof entry, entry.key_len);
            if (with_more) fprintf(out, ",\"%" PRIu64 "\",%" PRIu32 "]", entry.epoch, entry.value_len);
            at += (int32_t)((sizeof entry + entry.key_len + 7) / 8 * 8);
        }
    }
    putc(']', out);
    return filled;
}

static int32_t slot(struct bytes key) {
    struct spl_slot_snapshot slot;
    int32_t result = spl_slot_snapshot(store, key.at, key.len, &slot);
    if (result < 0) return result;
    fprintf(out,
            "{\"hash\":\"%" PRIu64 "\",\"epoch\":\"%" PRIu64 "\",\"val_off\":\"%" PRIu64 "\",\"val_len\":%" PRIu32 "}",
            slot.hash, slot.epoch, slot.val_off, slot.val_len);
    return SPL_OK;
}

static int32_t header(void) {
    struct spl_header_snapshot header;
    int32_t result = spl_header_snapshot(store, &header);
    if (result < 0) return result;
    fprintf(out, "{\"magic\":%" PRIu32 ",\"version\":%" PRIu32 ",\"slots\":%" PRIu32 ",\"max_val_sz\":%" PRIu32
           ",\"epoch\":\"%" PRIu64 "\",\"auto_vacuum\":%" PRIu32 ",\"parse_failures\":\"%" PRIu64
           "\",\"last_failure_epoch\":\"%" PRIu64 "\"}",
           header.magic, header.version, header.slots, header.max_value_bytes, header.epoch, header.auto_vacuum,
           header.parse_failures, header.last_failure_epoch);
    return SPL_OK;
}

static const struct bytes stay = {(uint8_t *)"stay", 4};
static const struct bytes come = {(uint8_t *)"come", 4};

/* Adds to a number, and puts a byte behind a value that begins anew when it is full. */
static int32_t count_and_log(void) {
    static const struct bytes count = {(uint8_t *)"count", 5};
    static const struct bytes log = {(uint8_t *)"log", 3};
    static const uint8_t logged = LOGGED;
    uint64_t sum;
    int32_t result = spl_apply(store, count.at, count.len, SPL_ADD, 1, &sum);
    if (result < 0) return result;
    result = spl_append(store, log.at, log.len, &logged, 1);
    return result == SPL_VALUE_TOO_LARGE ? spl_set(store, log.at, log.len, &logged, 0) : result;
}

/* Changes two keys as fast as it can, and more, until it is killed: "stay" always has a value, "come" comes and goes. */
static int32_t hammer(int32_t (*more)(void)) {
    uint8_t *values[16];
    uint32_t lengths[16];
    for (uint32_t i = 0; i < 16; i++) {
        lengths[i] = 1 + i * 6007 % max_value_bytes;
        values[i] = allocate(lengths[i]);
        memset(values[i], (int)(lengths[i] & 0xff), lengths[i]);
    }
    int32_t result = SPL_OK;
    uint64_t end = now_ms() + PATIENCE_MS;
    for (uint32_t i = 0; result >= 0 && now_ms() < end; i = (i + 1) % 16) {
        result = spl_set(store, stay.at, stay.len, values[i], lengths[i]);
        if (result >= 0) result = spl_set(store, come.at, come.len, values[i], lengths[i]);
        if (result >= 0) result = spl_unset(store, come.at, come.len);
        /* Another was faster. */
        if (result == SPL_NO_KEY) result = SPL_OK;
        if (result >= 0 && more) result = more();
    }
    return result;
}

static bool is_whole(int32_t len) {
    for (int32_t i = 0; i < len; i++) {
        if (buffer[i] != (len & 0xff)) return false;
    }
    return len >= 0;
}

/* Reads what another hammers, until "stay" was seen in so many states. */
static int32_t inspect(uint32_t wanted) {
    uint32_t bad = 0, changes = 0;
    uint64_t last = 0;
    uint64_t end = now_ms() + PATIENCE_MS;
    while (changes < wanted && now_ms() < end) {
        bad += !is_whole(spl_get(store, stay.at, stay.len, buffer, max_value_bytes));
        int32_t len = spl_get(store, come.at, come.len, buffer, max_value_bytes);
        bad += len != SPL_NO_KEY && !is_whole(len);
        uint64_t epoch;
        int32_t result = spl_epoch(store, stay.at, stay.len, &epoch);
        if (result < 0) return result;
        changes += epoch != last;
        last = epoch;
    }
    fprintf(out, "{\"bad\":%" PRIu32 ",\"changes\":%" PRIu32 "}", bad, changes);
    return SPL_OK;
}

/* What a follower knows of a key. */
struct known {
    char key[64];
    /* After the last change of it. */
    uint64_t last;
    /* 0: it does not exist, as far as is known. */
    uint64_t present;
    /* Before the churning, if it is only overwritten then. */
    uint64_t birth;
};

enum { KNOWN_MAX = 1024 };

/* What a follower has seen, and what was wrong with it. */
struct follower {
    uint64_t from, next, received, lost, vanished, loss, end;
    bool churned;
    uint32_t faults;
    char fault[256];
    uint32_t known_count;
    struct known known[KNOWN_MAX];
};

static void expect(struct follower *f, bool holds, const char *what, const struct spl_change *change, const char *key) {
    if (holds || f->faults++ > 0) return;
    snprintf(f->fault, sizeof f->fault, "%s at %" PRIu64 ": kind %" PRIu32 " seq %" PRIu64 " epoch %" PRIu64 " %.60s", what,
             f->next, change->kind, change->seq, change->epoch, key);
}

static struct known *known(struct follower *f, const char *key) {
    for (uint32_t i = 0; i < f->known_count; i++) {
        if (strcmp(f->known[i].key, key) == 0) return &f->known[i];
    }
    if (f->known_count == KNOWN_MAX) give_up("there are too many keys");
    struct known *fresh = &f->known[f->known_count++];
    memset(fresh, 0, sizeof *fresh);
    snprintf(fresh->key, sizeof fresh->key, "%s", key);
    return fresh;
}

/* What churning does at a place: see peer.rs, which does it. Returns the kind of the change. */
static uint32_t churned(uint64_t place, char *key, size_t room) {
    uint64_t round = place / 8, phase = place % 8;
    if (phase < 6) {
        snprintf(key, room, "key/%" PRIu64, (round * 6 + phase) % 61);
    } else {
        snprintf(key, room, "come/%" PRIu64, round % 5);
    }
    return phase < 7 ? SPL_CHANGE_SET : SPL_CHANGE_UNSET;
}

static void take(struct follower *f, const struct spl_change *change, const char *key) {
    if (change->kind == SPL_CHANGE_CURRENT) {
        expect(f, change->seq == f->loss, "nothing was lost", change, key);
        known(f, key)->present = change->epoch;
        return;
    }
    expect(f, change->seq == f->next, "out of order", change, key);
    uint64_t place = f->next - f->from;
    if (change->kind == SPL_CHANGE_LOST) {
        f->loss = change->seq;
        for (uint32_t i = 0; i < f->known_count; i++) f->known[i].present = 0;
        f->lost += change->epoch;
        f->next += change->epoch;
        return;
    }
    f->received++;
    f->next++;
    if (change->kind == SPL_CHANGE_VANISHED) {
        f->vanished++;
        expect(f, !f->churned || place % 8 >= 6, "a key that stays has vanished", change, key);
        return;
    }
    struct known *it = known(f, key);
    expect(f, change->epoch > it->last && change->epoch % 2 == 0, "the epoch does not rise", change, key);
    it->last = change->epoch;
    if (change->epoch > it->present) it->present = change->kind == SPL_CHANGE_SET ? change->epoch : 0;
    if (!f->churned || strcmp(key, "end") == 0) return;
    char planned[64];
    bool is_planned = churned(place, planned, sizeof planned) == change->kind && strcmp(planned, key) == 0;
    expect(f, is_planned, "nobody did this", change, key);
    if (place % 8 >= 6) return;
    uint64_t birth = change->epoch - (place / 8 * 6 + place % 8) / 61 * 2;
    if (it->birth == 0) it->birth = birth;
    expect(f, it->birth == birth, "nobody gave this epoch", change, key);
}

/* Whether it has come to the end, and knows of each key that exists, as it must after a loss. */
static bool is_done(const struct follower *f) {
    if (f->next < f->end) return false;
    if (f->loss == UINT64_MAX) return true;
    uint32_t missing = 0;
    for (uint32_t i = 0; i < f->known_count; i++) missing -= f->known[i].present != 0;
    struct spl_cursor cursor = {0};
    uint8_t page[2048];
    int32_t filled;
    while ((filled = spl_scan(store, &cursor, NULL, 0, page, sizeof page)) > 0) {
        for (int32_t at = 0; at < filled; missing++) {
            struct spl_entry entry;
            memcpy(&entry, page + at, sizeof entry);
            at += (int32_t)((sizeof entry + entry.key_len + 7) / 8 * 8);
        }
    }
    return missing == 0;
}

/* Takes what there is, until "end" says where to stop. */
static int32_t take_all(struct follower *f, uint32_t id) {
    uint8_t page[16384];
    int32_t filled = 0;
    while (!is_done(f) && (filled = spl_next(store, id, page, sizeof page)) > 0) {
        for (int32_t at = 0; at < filled;) {
            struct spl_change change;
            char key[64] = "";
            memcpy(&change, page + at, sizeof change);
            at += (int32_t)sizeof change;
            if (change.key_len >= sizeof key) give_up("the key is too long");
            memcpy(key, page + at, change.key_len);
            at += (int32_t)((change.key_len + 7) / 8 * 8);
            if (is_done(f)) continue;
            take(f, &change, key);
            if ((change.kind != SPL_CHANGE_SET && change.kind != SPL_CHANGE_CURRENT) || strcmp(key, "end") != 0) continue;
            char end[32] = "";
            if (spl_get(store, (const uint8_t *)"end", 3, (uint8_t *)end, sizeof end - 1) < 0) give_up("there is no end");
            f->end = strtoull(end, NULL, 10);
        }
    }
    return filled;
}

/* Follows all changes from a place on, until "end" says where to stop. */
static int32_t follow(const char *command) {
    char *from = argument(command, "from");
    struct follower *f = allocate(sizeof *f);
    memset(f, 0, sizeof *f);
    f->from = f->next = strtoull(from, NULL, 10);
    f->loss = f->end = UINT64_MAX;
    f->churned = is(command, "churned", "true");
    free(from);
    if (bell < 0) bell = spl_selector(store, NULL);
    int32_t id = bell < 0 ? bell : spl_changes(store, SPL_WATCH_FROM, &f->from, NULL);
    int32_t result = id;
    while (result >= 0 && (result = take_all(f, (uint32_t)id)) >= 0 && !is_done(f)) {
        struct pollfd fd = {.fd = bell, .events = POLLIN};
        uint8_t rings[64];
        uint32_t ids[8];
        if (poll(&fd, 1, PATIENCE_MS) != 1 || read(bell, rings, sizeof rings) < 1) give_up("nothing comes any more");
        result = spl_ready(store, ids, 8);
    }
    if (id >= 0) spl_unwatch(store, (uint32_t)id);
    if (result >= 0) {
        fprintf(out, "{\"received\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"vanished\":%" PRIu64 ",\"present\":[", f->received,
                f->lost, f->vanished);
        const char *separator = "";
        for (uint32_t i = 0; i < f->known_count; i++) {
            if (f->known[i].present == 0) continue;
            fprintf(out, "%s[\"%s\",%" PRIu64 "]", separator, f->known[i].key, f->known[i].present);
            separator = ",";
        }
        fprintf(out, "],\"faults\":[%s%s%s]}", f->faults > 0 ? "\"" : "", f->fault, f->faults > 0 ? "\"" : "");
    }
    free(f);
    return result;
}

/* Prints the result. Returns SPL_NO_KEY if there is none, and errors. */
static int32_t use_store(const char *command, struct bytes key, struct bytes value) {
    int32_t result;
    if (is(command, "op", "get")) return get(key);
    if (is(command, "op", "keys")) return scan(key, false);
    if (is(command, "op", "list")) return scan(key, true);
    if (is(command, "op", "slot")) return slot(key);
    if (is(command, "op", "header")) return header();
    if (is(command, "op", "inspect")) return inspect(number(command, "changes"));
    if (is(command, "op", "follow")) return follow(command);
    bool is_unset = is(command, "op", "unset");
    if (is_unset || is(command, "op", "try_unset")) {
        result = (is_unset ? spl_unset : spl_try_unset)(store, key.at, key.len);
        if (result >= 0) fprintf(out, "%" PRId32, result);
        return result;
    }
    if (is(command, "op", "epoch")) {
        uint64_t epoch;
        result = spl_epoch(store, key.at, key.len, &epoch);
        if (result >= 0) fprintf(out, "\"%" PRIu64 "\"", epoch);
        return result;
    }
    if (is(command, "op", "has")) {
        result = spl_contains(store, key.at, key.len);
        if (result >= SPL_NO_KEY) print_bool(result == 1);
        return result >= SPL_NO_KEY ? SPL_OK : result;
    }
    if (is(command, "op", "poll")) {
        result = spl_poll(store, key.at, key.len, PATIENCE_MS);
        if (result >= 0) print_bool(result);
        return result;
    }
    if (is(command, "op", "auto_vacuum")) {
        result = spl_auto_vacuum(store);
        if (result >= 0) print_bool(result);
        return result;
    }
    if (is(command, "op", "set")) {
        result = spl_set(store, key.at, key.len, value.at, value.len);
    } else if (is(command, "op", "try_set")) {
        result = spl_try_set(store, key.at, key.len, value.at, value.len);
    } else if (is(command, "op", "set_auto_vacuum")) {
        result = spl_set_auto_vacuum(store, is(command, "on", "true"));
    } else if (is(command, "op", "hammer")) {
        result = hammer(NULL);
    } else if (is(command, "op", "hammer_more")) {
        result = hammer(count_and_log);
    } else {
        give_up("there is no such operation");
    }
    if (result >= 0) fputs("null", out);
    return result;
}

static int32_t run(const char *command) {
    if (is(command, "op", "open")) return open_store(command);
    if (is(command, "op", "remove")) return remove_store(command);
    if (is(command, "op", "close")) {
        close_store();
        fputs("null", out);
        return SPL_OK;
    }
    struct bytes key = bytes_of(command, "key");
    struct bytes value = bytes_of(command, "value");
    int32_t result = use_store(command, key, value);
    free(key.at);
    free(value.at);
    return result;
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        char *text = NULL;
        size_t length = 0;
        out = open_memstream(&text, &length);
        if (out == NULL) give_up("there is no memory");
        int32_t result = run(line);
        fclose(out);
        if (result >= 0) {
            printf("{\"result\":%s}\n", text);
        } else if (result == SPL_NO_KEY) {
            puts("{\"result\":null}");
        } else {
            printf("{\"error\":%" PRId32 "}\n", -result);
        }
        fflush(stdout);
        free(text);
    }
    return 0;
}
