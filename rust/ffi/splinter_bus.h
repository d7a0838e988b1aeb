/*
 * Splinter: a message bus and key-value store in shared memory, for the processes of one machine.
 *
 * Generated: do not edit. Conventions, which hold for every function unless it says otherwise:
 *
 * - The handle comes first. Everything belongs to it; there is no other state to set up. A process may have any number.
 * - Inputs follow, as a pointer and a length in bytes: nothing is NUL-terminated. They are read during the call only. A
 *   pointer may be NULL where the length is 0.
 * - A key is UTF-8 without NUL, of 1 byte to the store's longest key. A value is any bytes, none included, up to the
 *   store's longest value. Paths are bytes, as the system takes them.
 * - Outputs come last, and are written only on success; a `struct spl_error` is written only on failure. Bytes go to a
 *   buffer only if they fit: the length that is returned says how much room they need. Behind what a
 *   call delivers, a buffer keeps what it held, or has zeros.
 * - The result is an `int32_t`. 0 and above is success: a length, a truth, or `SPL_OK`. `SPL_NO_KEY` is an answer and no
 *   error. Everything below it is an error, and nothing was changed then. `spl_open` returns NULL on failure.
 * - A handle is open, or NULL. A pointer is valid for its length, or for what it points to, or NULL.
 * - NULL is checked: a NULL handle is `SPL_CLOSED`, another pointer that must not be NULL is `SPL_INVALID_ARGUMENT`. A
 *   `struct spl_error *` may always be NULL.
 * - No struct is passed or returned by value. Zero is the default of each option, and the start of a cursor.
 * - No panic leaves the library: it becomes `SPL_INTERNAL`.
 * - Any number of threads may use a handle at once, but for two things: closing it is its last use, and the
 *   `spl_scratch_` functions of a handle are for one thread at a time. After `fork` parent and child may both go on with
 *   it.
 * - Whoever passes memory owns it. The library keeps no pointer to it after the call, but for the scratch memory of a
 *   handle, which stays registered until the handle is closed or other memory is registered. `spl_close` frees what
 *   `spl_open` returned; there is nothing else to free.
 * - Numbers never change their meaning and are never used again. Within a version of `spl_abi` functions are only added.
 * - The first `spl_open` of a process installs a handler for SIGBUS, which passes on what does not concern a store, and one
 *   for `fork`: the library must not be unloaded after it.
 */

#ifndef SPLINTER_BUS_H
#define SPLINTER_BUS_H

#include <stdint.h>

// Done.
#define SPL_OK 0

// There is no such key: a result, not an error.
#define SPL_NO_KEY -1

// What was opened is not a store.
#define SPL_NOT_A_STORE -2

// A store of another format version or geometry than was asked for.
#define SPL_INCOMPATIBLE -3

// A store whose bytes contradict themselves, or whose file was cut while it was open.
#define SPL_CORRUPT -4

// The store to be created exists already.
#define SPL_EXISTS -5

// There is no store of this name.
#define SPL_NO_STORE -6

// The operating system, or the way in which the store was opened, does not allow it.
#define SPL_PERMISSION -7

// Every slot holds a key.
#define SPL_FULL -8

// A key longer than this store's keys can be.
#define SPL_KEY_TOO_LONG -9

// A key that is empty, contains NUL, or is not UTF-8.
#define SPL_KEY_INVALID -10

// A value longer than this store's values can be.
#define SPL_VALUE_TOO_LARGE -11

// Another process was changing the same key for too long.
#define SPL_BUSY -12

// A wait ended without what was waited for.
#define SPL_TIMEOUT -13

// The handle is closed: NULL.
#define SPL_CLOSED -14

// An argument outside its limits.
#define SPL_INVALID_ARGUMENT -15

// The value is not of the type that the operation needs.
#define SPL_WRONG_TYPE -16

// The condition of a conditional write does not hold.
#define SPL_CONDITION_NOT_MET -17

// A reader of the journal was overtaken by it.
#define SPL_FELL_BEHIND -18

// The disk, or the memory for shared memory, is full.
#define SPL_NO_SPACE -19

// The operating system failed in another way: see `os_errno`.
#define SPL_IO -20

// A fault of this library.
#define SPL_INTERNAL -21

// `spl_open`: the store must exist.
#define SPL_OPEN 0

// `spl_open`: the store must not exist.
#define SPL_CREATE 1

// `spl_open`: open it, or create it if it does not exist.
#define SPL_OPEN_OR_CREATE 2

// `spl_open`: create it, or open it if it exists.
#define SPL_CREATE_OR_OPEN 3

// `spl_options.kind`: a file, by its path.
#define SPL_FILE 0

// `spl_options.kind`: shared memory, by its name.
#define SPL_MEMORY 1

// `spl_options.kind`: new memory without a name; `how` and `name` are not looked at.
#define SPL_ANONYMOUS 2

// `spl_options.flags`: map without the right to write.
#define SPL_READ_ONLY 1

// `spl_options.flags`: a store that is created does not zero replaced and deleted bytes.
#define SPL_THROUGHPUT 2

// `spl_options.flags`: `spl_poll` sleeps at once.
#define SPL_NO_SPIN 4

// `spl_watch`: one key.
#define SPL_PATTERN_KEY 0

// `spl_watch`: several keys, with a NUL between them.
#define SPL_PATTERN_KEYS 1

// `spl_watch`: the keys that begin so; all keys if it is empty.
#define SPL_PATTERN_PREFIX 2

// `spl_watch`: the keys that match: `*` is any run of characters, `?` one character, `\` makes the next one literal.
#define SPL_PATTERN_GLOB 3

// `spl_watch`: deliver values.
#define SPL_WATCH_VALUES 1

// `spl_watch`: deliver first what exists.
#define SPL_WATCH_INITIAL 2

// `spl_watch`, `spl_changes`: begin at `from`, which is not looked at otherwise.
#define SPL_WATCH_FROM 4

// `spl_change.kind`: the key was inserted or overwritten.
#define SPL_CHANGE_SET 1

// `spl_change.kind`: the key was deleted.
#define SPL_CHANGE_UNSET 2

// `spl_change.kind`: the key was deleted because its time was up.
#define SPL_CHANGE_EXPIRED 3

// `spl_change.kind`, of a feed: a change of a key that came and went before the feed was read; its name is not known.
#define SPL_CHANGE_VANISHED 4

// `spl_change.kind`, of a feed: the journal has gone on too far, and changes are lost. The current state follows.
#define SPL_CHANGE_LOST 5

// `spl_change.kind`, of a feed: a key as it is, after changes were lost.
#define SPL_CHANGE_CURRENT 6

// `spl_change.value_len`: there is no value.
#define SPL_NO_VALUE UINT32_MAX

// A timeout that never ends, in milliseconds.
#define SPL_FOREVER UINT32_MAX

// Where results stand in registered scratch memory, in bytes from its start; they take at most 64.
#define SPL_SCRATCH_RESULT 0

// Where the key stands in registered scratch memory.
#define SPL_SCRATCH_KEY 64

// Where the value stands in registered scratch memory, up to its end.
#define SPL_SCRATCH_VALUE 1152

// A handle on a store. Any number of threads may use it at once, except that closing it must be the last use, and
// that its scratch memory is one thread's.
struct spl_store;

// How a store is opened. Zero is the default of every number.
struct spl_options {
    // `sizeof(struct spl_options)`.
    uint32_t size;
    // `SPL_FILE`, `SPL_MEMORY` or `SPL_ANONYMOUS`.
    uint32_t kind;
    // Most keys at once (1024).
    uint32_t slots;
    // Longest key in bytes (64).
    uint32_t max_key_bytes;
    // Longest value in bytes (4096).
    uint32_t max_value_bytes;
    // Changes that the journal remembers (four a slot).
    uint32_t journal_entries;
    // Permission bits of a store that is created (0600).
    uint32_t mode;
    // `SPL_READ_ONLY`, `SPL_THROUGHPUT`, `SPL_NO_SPIN`.
    uint32_t flags;
    // How long a write waits for another writer of the same key, in milliseconds (1000).
    uint32_t lock_timeout_ms;
    // How long `spl_poll` looks before it sleeps, in microseconds (5).
    uint32_t spin_us;
    // Waits look again after so many milliseconds without having been woken (100): for file systems where a wake does not
    // reach every process.
    uint32_t poll_interval_ms;
};

// Why a rarely called function failed, in words.
struct spl_error {
    // The function's result.
    int32_t code;
    // The operating system's error number if `code` is `SPL_IO`, else 0.
    int32_t os_errno;
    // One sentence in UTF-8, NUL-terminated.
    char message[512];
};

// Where and how a key is stored.
struct spl_slot_snapshot {
    // Hash of the key.
    uint64_t hash;
    // Epoch of the value.
    uint64_t epoch;
    // Bytes from the start of the region to the value.
    uint64_t val_off;
    // Length of the value in bytes.
    uint32_t val_len;
    // Number of the slot.
    uint32_t slot;
};

// What a store is, and what has happened to it.
struct spl_header_snapshot {
    // Changes ever made to the store.
    uint64_t epoch;
    // Invalid numbers that were met in the region.
    uint64_t parse_failures;
    // The store's epoch when the last of them was met.
    uint64_t last_failure_epoch;
    // Length of the region in bytes.
    uint64_t region_bytes;
    // Changes that the journal remembers.
    uint64_t journal_entries;
    // Drawn at random when the store was created.
    uint8_t store_id[16];
    // First four bytes of every store.
    uint32_t magic;
    // Version of the format.
    uint32_t version;
    // Most keys at once.
    uint32_t slots;
    // Longest key in bytes.
    uint32_t max_key_bytes;
    // Longest value in bytes.
    uint32_t max_value_bytes;
    // 1 if replaced and deleted bytes are zeroed.
    uint32_t auto_vacuum;
};

// A place in a scan; all zero at the start.
struct spl_cursor {
    // Of this library only.
    uint64_t births;
    // Of this library only.
    uint64_t next;
};

// What stands before the key and the value in a record of `spl_next`.
struct spl_change {
    // Place in the journal; of `SPL_CHANGE_LOST` and `SPL_CHANGE_CURRENT` that of the first change that was lost.
    uint64_t seq;
    // Epoch of the key; of `SPL_CHANGE_LOST` how many changes were lost; of `SPL_CHANGE_VANISHED` 0.
    uint64_t epoch;
    // One of the `SPL_CHANGE_` numbers.
    uint32_t kind;
    // Length of the key in bytes.
    uint32_t key_len;
    // Length of the value in bytes, or `SPL_NO_VALUE`.
    uint32_t value_len;
    // 0.
    uint32_t reserved;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of this interface: 1. Within a version functions are only added.
uint32_t spl_abi(void);

// Opens or creates a store. `how` is one of `SPL_OPEN` to `SPL_CREATE_OR_OPEN`; `name` is a path or a name, not
// NUL-terminated; `options` may be NULL. Returns NULL on failure, which `error` explains unless it is NULL.
struct spl_store *spl_open(uint32_t how,
                           const uint8_t *name,
                           uint32_t name_len,
                           const struct spl_options *options,
                           struct spl_error *error);

// Closes a handle: no function may be using it, and none may use it afterwards. `SPL_CLOSED` for NULL. Ends the thread
// that `spl_selector` started.
int32_t spl_close(struct spl_store *store);

// Takes a store's name away. `kind` is `SPL_FILE` or `SPL_MEMORY`.
int32_t spl_remove(uint32_t kind, const uint8_t *name, uint32_t name_len, struct spl_error *error);

// Copies the path by which other processes open the store, if it fits; returns its length.
int32_t spl_path(const struct spl_store *store, uint8_t *buf, uint32_t cap);

// Stores a value under a key.
int32_t spl_set(const struct spl_store *store,
                const uint8_t *key,
                uint32_t key_len,
                const uint8_t *value,
                uint32_t value_len);

// `spl_set` that never waits: `SPL_BUSY` at once while another writer changes the same key.
int32_t spl_try_set(const struct spl_store *store,
                    const uint8_t *key,
                    uint32_t key_len,
                    const uint8_t *value,
                    uint32_t value_len);

// Copies a value to `buf` if it fits; returns its length, or `SPL_NO_KEY`.
int32_t spl_get(const struct spl_store *store,
                const uint8_t *key,
                uint32_t key_len,
                uint8_t *buf,
                uint32_t cap);

// Deletes a key; returns the length of the value that was there, or `SPL_NO_KEY`.
int32_t spl_unset(const struct spl_store *store, const uint8_t *key, uint32_t key_len);

// `spl_unset` that never waits: `SPL_BUSY` at once while another writer changes the same key.
int32_t spl_try_unset(const struct spl_store *store, const uint8_t *key, uint32_t key_len);

// 1 if there is such a key, 0 if not.
int32_t spl_contains(const struct spl_store *store, const uint8_t *key, uint32_t key_len);

// The epoch of a key.
int32_t spl_epoch(const struct spl_store *store,
                  const uint8_t *key,
                  uint32_t key_len,
                  uint64_t *epoch);

// Where and how a key is stored.
int32_t spl_slot_snapshot(const struct spl_store *store,
                          const uint8_t *key,
                          uint32_t key_len,
                          struct spl_slot_snapshot *snapshot);

// What the store is, and what has happened to it.
int32_t spl_header_snapshot(const struct spl_store *store, struct spl_header_snapshot *snapshot);

// Waits until a key changes, for at most `timeout_ms` milliseconds: 1 if it did, 0 if not.
int32_t spl_poll(const struct spl_store *store,
                 const uint8_t *key,
                 uint32_t key_len,
                 uint32_t timeout_ms);

// `spl_poll` for a change after an epoch that `spl_epoch` told (0: the key was absent).
int32_t spl_poll_since(const struct spl_store *store,
                       const uint8_t *key,
                       uint32_t key_len,
                       uint32_t timeout_ms,
                       const uint64_t *epoch);

// A number below 1,024 that no other handle on the store has as long as this one is open, in any process.
// `SPL_PERMISSION` for a handle that is only read.
int32_t spl_handle_id(const struct spl_store *store);

// 1 if the store zeroes replaced and deleted bytes, 0 if not.
int32_t spl_auto_vacuum(const struct spl_store *store);

// Sets whether the store zeroes replaced and deleted bytes: 1 or 0.
int32_t spl_set_auto_vacuum(const struct spl_store *store, uint32_t on);

// Writes what was changed to the file and waits for the disk.
int32_t spl_sync(const struct spl_store *store, struct spl_error *error);

// Copies the live store to a new file.
int32_t spl_backup(const struct spl_store *store,
                   const uint8_t *to,
                   uint32_t to_len,
                   struct spl_error *error);

// Fills `buf` with the next keys that begin with a prefix, as records of `uint64_t epoch`, `uint32_t value_len`,
// `uint32_t key_len`, the key, and padding to a multiple of 8. Returns the bytes filled; 0 is the end.
//
// A key that exists from the first call to the last is reported exactly once. Room for 2,048 bytes always suffices for
// one record.
int32_t spl_scan(const struct spl_store *store,
                 struct spl_cursor *cursor,
                 const uint8_t *prefix,
                 uint32_t prefix_len,
                 uint8_t *buf,
                 uint32_t cap);

// Registers memory for the `spl_scratch_` functions, which take the key from there: a caller that pays for each pointer
// passes one once. `scratch` stays valid until the handle is closed or other memory is registered; `len` is at least
// `SPL_SCRATCH_VALUE`.
int32_t spl_scratch(const struct spl_store *store,
                    uint8_t *scratch,
                    uint32_t len);

// `spl_get` to scratch memory: the value is copied only if it fits there.
int32_t spl_scratch_get(const struct spl_store *store, uint32_t key_len);

// `spl_get` to `buf`.
int32_t spl_scratch_get_into(const struct spl_store *store,
                             uint32_t key_len,
                             uint8_t *buf,
                             uint32_t cap);

// `spl_set` of a value in scratch memory.
int32_t spl_scratch_set(const struct spl_store *store, uint32_t key_len, uint32_t value_len);

// `spl_set` of a value elsewhere.
int32_t spl_scratch_set_from(const struct spl_store *store,
                             uint32_t key_len,
                             const uint8_t *value,
                             uint32_t value_len);

// `spl_try_set` of a value in scratch memory.
int32_t spl_scratch_try_set(const struct spl_store *store, uint32_t key_len, uint32_t value_len);

// `spl_try_set` of a value elsewhere.
int32_t spl_scratch_try_set_from(const struct spl_store *store,
                                 uint32_t key_len,
                                 const uint8_t *value,
                                 uint32_t value_len);

// `spl_unset`.
int32_t spl_scratch_unset(const struct spl_store *store, uint32_t key_len);

// `spl_try_unset`.
int32_t spl_scratch_try_unset(const struct spl_store *store, uint32_t key_len);

// `spl_contains`.
int32_t spl_scratch_contains(const struct spl_store *store, uint32_t key_len);

// `spl_epoch`: a `uint64_t` at `SPL_SCRATCH_RESULT`.
int32_t spl_scratch_epoch(const struct spl_store *store, uint32_t key_len);

// `spl_slot_snapshot`: an `spl_slot_snapshot` at `SPL_SCRATCH_RESULT`.
int32_t spl_scratch_slot_snapshot(const struct spl_store *store, uint32_t key_len);

// `spl_poll`.
int32_t spl_scratch_poll(const struct spl_store *store, uint32_t key_len, uint32_t timeout_ms);

// Starts the thread that follows the store for all watches of this handle, and returns a descriptor, the caller's to close: a
// non-blocking stream on which a byte arrives when watches have become ready. Once a handle: `SPL_INVALID_ARGUMENT` if it was
// called before.
//
// While nothing is watched the thread does not follow the store. It ends when the handle is closed, and soon after the
// descriptor was. A forked child cannot use the watches of its parent's handle.
int32_t spl_selector(const struct spl_store *store,
                     struct spl_error *error);

// Watches keys, which need not exist yet: for each that has changed, `spl_next` delivers its newest state. `kind` is one of the
// `SPL_PATTERN_` numbers, `flags` are `SPL_WATCH_` bits. Returns the watch's number, which is never used again. It needs
// `spl_selector`.
//
// Changes that come faster than they are taken are folded into one, and the epochs tell; the last state of a key is always
// delivered. What is changed after this call has returned is never missed, except that a key which comes and goes between two
// looks may pass unnoticed.
int32_t spl_watch(const struct spl_store *store,
                  uint32_t kind,
                  const uint8_t *pattern,
                  uint32_t pattern_len,
                  uint32_t flags,
                  const uint64_t *from,
                  struct spl_error *error);

// Follows every change of every key, from now on, or from a place in the journal on: `flags` is 0 or `SPL_WATCH_FROM`. Returns
// a number as `spl_watch` does. What the journal does not hold any more is one `SPL_CHANGE_LOST`, and the current state after
// it.
int32_t spl_changes(const struct spl_store *store,
                    uint32_t flags,
                    const uint64_t *from,
                    struct spl_error *error);

// Ends a watch or a feed. Without effect if there is none of that number.
int32_t spl_unwatch(const struct spl_store *store, uint32_t id);

// Tells the numbers of watches and feeds that have got something to deliver, each once until `spl_next` has found it empty.
// Returns how many; if that is `cap`, more may be left.
int32_t spl_ready(const struct spl_store *store,
                  uint32_t *ids,
                  uint32_t cap);

// Takes what a watch or a feed has to deliver: records of a `spl_change`, the key, zeros up to a multiple of 8, the value, and
// zeros up to a multiple of 8. A watch gives one record a call, a feed as many as fit. Returns the bytes filled. 0: there is
// nothing now, and it will be announced when there is. More than `cap`: nothing was taken, so much room is needed.
int32_t spl_next(const struct spl_store *store,
                 uint32_t id,
                 uint8_t *buf,
                 uint32_t cap);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SPLINTER_BUS_H */
