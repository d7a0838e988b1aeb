/*
 * Splinter: a message bus and key-value store in shared memory, for the processes of one machine.
 *
 * The classic interface: one current bus a process, and functions as libsplinter 0.9 had them. It comes in two
 * libraries, which differ in what a name is:
 *
 *   libsplinter     a name of shared memory, of up to 255 bytes, with or without the "/" of shm_open  pkg-config splinter
 *   libsplinter_p   the path of a file, which survives                                                pkg-config splinter_p
 *
 * Both have the functions of splinter_bus.h too, for programs with several stores, longer keys, watches, and other
 * options. A store is the same to both interfaces, and to Rust, Deno, Bun and the command line.
 *
 * What holds for every function:
 *
 * - Strings are NUL-terminated. A key is UTF-8 of 1 to 63 bytes: longer ones are refused and never cut. A value is any
 *   bytes, none included, up to the store's longest value.
 * - 0 and above is success. On failure the result is negative, errno says why, and nothing was changed. On success
 *   errno means nothing.
 * - NULL is checked: a pointer that must not be NULL gives EINVAL. Without a bus there is ENOTCONN.
 * - What a change has returned from is seen by every process from then on. A value is read as one write left it, whole,
 *   and readers do not wait for writers. Writers of one key take turns. A process that is killed leaves of each key the
 *   old value or the new one, and nothing that others would have to wait for.
 * - Any number of threads may call any functions at once, splinter_close included: it waits for the calls that are
 *   short, and ends those to splinter_poll. After fork parent and child both have the bus, and one closes it without
 *   the other. No function may be called in a signal handler.
 * - No panic of the library leaves it: it becomes EIO.
 *
 * Whatever the function, errno may also be one of these; the result is -1 then, of splinter_poll -2.
 *
 *   EAGAIN     others have kept the key busy for 1 s: try again
 *   EACCES     the system does not allow it
 *   EPROTO     what was opened is no store, or one of another version
 *   EUCLEAN    the store is damaged, or its file was cut while it was open
 *   EIO        a fault of the library; or another number, as the system gave it
 *
 * The first call that opens a store installs a handler for SIGBUS, which passes on what does not concern a store, and
 * handlers for fork. The shared library is therefore never unloaded.
 */

#ifndef SPLINTER_H
#define SPLINTER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a header snapshot begins with: "SLNT". */
#define SPLINTER_MAGIC 0x534C4E54

/* The version of the format, which a header snapshot tells; not that of the library. */
#define SPLINTER_VER 1

/* Bytes of the longest key, with the NUL at its end. */
#define SPLINTER_KEY_MAX 64

/* Nanoseconds of a millisecond. */
#define NS_PER_MS 1000000ULL

/* What the store is. */
typedef struct splinter_header_snapshot {
    /* SPLINTER_MAGIC. */
    uint32_t magic;
    /* Version of the format. */
    uint32_t version;
    /* Most keys at once. */
    uint32_t slots;
    /* Longest value in bytes. */
    uint32_t max_val_sz;
    /* Changes ever made to the store. */
    uint64_t epoch;
    /* 1 if replaced and deleted bytes are zeroed, else 0. */
    uint32_t auto_vacuum;
    /* Invalid numbers that were met in the store, by any process. */
    uint64_t parse_failures;
    /* The store's epoch when the last of them was met. */
    uint64_t last_failure_epoch;
} splinter_header_snapshot_t;

/* Where and how a key is stored. */
typedef struct splinter_slot_snapshot {
    /* Hash of the key, of the store's own kind. */
    uint64_t hash;
    /* Grows by 2 with each change of the key, and is odd while one is in progress. It never goes back. */
    uint64_t epoch;
    /* Bytes from the start of the store to the value. In 0.9 it had 32 bits; stores of today may be longer. */
    uint64_t val_off;
    /* Length of the value in bytes. */
    uint32_t val_len;
    /* The key, NUL-terminated. */
    char key[SPLINTER_KEY_MAX];
} splinter_slot_snapshot_t;

/*
 * Creates a store of at most `slots` keys, 1 to 67,108,864, with values of up to `max_value_sz` bytes, 1 to 1 GiB, and
 * makes it the current bus; a bus that was current before is closed. Only its owner may open it (mode 0600).
 *
 * 0; -1 and EEXIST, ENOSPC (the disk or the memory is full), EINVAL; -2 and ENOTSUP if `slots` or `max_value_sz` is 0.
 * The current bus stays what it was then.
 */
int splinter_create(const char *name_or_path, size_t slots, size_t max_value_sz);

/*
 * Opens a store and makes it the current bus; a bus that was current before is closed. The store may be of any
 * geometry, also one with longer keys, made by others: this interface has nothing to do with those keys, and
 * splinter_list says that they are there.
 *
 * 0; -1 and ENOENT, EINVAL, EAGAIN (1,024 handles are open). The current bus stays what it was then.
 */
int splinter_open(const char *name_or_path);

/* splinter_open, or splinter_create if there is no such store. Processes that race all have the same store then. */
int splinter_open_or_create(const char *name_or_path, size_t slots, size_t max_value_sz);

/* splinter_create, or splinter_open if there is such a store. Differs only in what is tried first. */
int splinter_create_or_open(const char *name_or_path, size_t slots, size_t max_value_sz);

/*
 * Closes the current bus, if there is one; the store stays, for others and for another time. What splinter_list gave
 * becomes invalid. Calls to splinter_poll on the bus end within 100 ms, with ENOTCONN.
 */
void splinter_close(void);

/*
 * Stores `len` bytes under a key, whether it exists or not. `val` may be NULL if `len` is 0.
 *
 * 0; -1 and ENOSPC (every slot holds a key, or the disk is full), EMSGSIZE (the value is too long), ENAMETOOLONG (the
 * key is too long), EINVAL (the key is empty or not UTF-8, or NULL), ENOTCONN.
 */
int splinter_set(const char *key, const void *val, size_t len);

/*
 * Deletes a key. Returns the length of the value that was there, which may be 0.
 *
 * -1 and ENOENT (there is no such key); -2 and EINVAL, ENAMETOOLONG, ENOTCONN.
 */
int splinter_unset(const char *key);

/*
 * Copies a value to `buf`, and its length to `out_sz` unless that is NULL. If `buf` is NULL, only the length is told.
 *
 * 0; -1 and EMSGSIZE (the value is longer than `buf_sz`: nothing is copied, but its length is told), ENOENT (there is
 * no such key), ENAMETOOLONG, EINVAL, ENOTCONN.
 */
int splinter_get(const char *key, void *buf, size_t buf_sz, size_t *out_sz);

/*
 * Tells the keys, at most `max_keys`, in no order, and how many were told; if `out_keys` is NULL, only how many there
 * are. A key that exists all the while is told once.
 *
 * The strings are the library's own and stay as they are until the bus is closed, whatever becomes of the keys: a
 * process that lists ever new keys for months should close and open the bus now and then, or use spl_scan.
 *
 * 0; -1 and EINVAL, ENOTCONN; -1 and ENAMETOOLONG if the store has keys of more than 63 bytes: all others are told
 * then.
 */
int splinter_list(char **out_keys, size_t max_keys, size_t *out_count);

/*
 * Sleeps until a key is changed or deleted, for at most `timeout_ms` milliseconds.
 *
 * 0 if it was, by any process; -1 and ENOENT if there is no such key; -2 and ETIMEDOUT, EINVAL, ENAMETOOLONG, or
 * ENOTCONN (also if the bus is closed meanwhile).
 */
int splinter_poll(const char *key, uint64_t timeout_ms);

/*
 * Sets whether the store zeroes bytes that are replaced or deleted, before the call that does it returns: not 0 (the
 * default of a new store), or 0. It holds for all processes, from the next write on.
 *
 * 0; -2 and ENOTCONN.
 */
int splinter_set_av(unsigned int mode);

/* Whether the store zeroes them: 1 or 0; -2 and ENOTCONN. */
int splinter_get_av(void);

/* Tells what the store is. 0; -1 and EINVAL, ENOTCONN. */
int splinter_get_header_snapshot(splinter_header_snapshot_t *snapshot);

/* Tells where and how a key is stored. 0; -1 and ENOENT, ENAMETOOLONG, EINVAL, ENOTCONN. */
int splinter_get_slot_snapshot(const char *key, splinter_slot_snapshot_t *snapshot);

#ifdef __cplusplus
}
#endif

#endif /* SPLINTER_H */
