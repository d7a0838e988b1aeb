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

// The number would be beyond what 64 bits hold.
#define SPL_OVERFLOW -22

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

// `spl_options.flags`: what a write of this handle has returned from, no power cut takes: each ends with an `spl_sync`, and
// fails with it. The change was made then: `spl_sync_failure` tells.
#define SPL_COMMIT 8

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

// `spl_watch`: deliver, of a value that was only appended to since it was delivered last, what was appended alone.
#define SPL_WATCH_APPENDED 8

// `spl_watch`: only keys that have all labels of a mask, which is the number behind `from`.
#define SPL_WATCH_LABELS 16

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

// `spl_change.kind`, of a feed: bytes were put behind the value.
#define SPL_CHANGE_APPENDED 7

// `spl_change.kind`: the key was deleted to make room for another.
#define SPL_CHANGE_EVICTED 8

// `spl_change.kind`, of a feed: the labels, the deadline or the pin of the key were changed, and its value was not.
#define SPL_CHANGE_ATTRIBUTES 9

// `spl_set_options.flags`: only if the key does not exist.
#define SPL_IF_ABSENT 1

// `spl_set_options.flags`: only if the key exists.
#define SPL_IF_PRESENT 2

// `spl_set_options.flags`: only if the key has the epoch `spl_set_options.epoch`; 0: only if it does not exist.
#define SPL_IF_EPOCH 4

// `spl_set_options.flags`: the key is to be gone after `spl_set_options.ttl_ms`.
#define SPL_SET_TTL 8

// `spl_set_options.flags`: the key keeps the deadline that it has.
#define SPL_KEEP_TTL 16

// `spl_set_options.flags`: the value is of the type `spl_set_options.value_type`; else a key keeps its type.
#define SPL_SET_TYPE 32

// A value's type: nothing was said.
#define SPL_TYPE_VOID 0

// A value's type: a signed 64-bit number, little-endian.
#define SPL_TYPE_BIGINT 1

// A value's type: an unsigned 64-bit number, little-endian.
#define SPL_TYPE_BIGUINT 2

// A value's type: JSON in UTF-8.
#define SPL_TYPE_JSON 3

// A value's type: bytes.
#define SPL_TYPE_BINARY 4

// A value's type: an image.
#define SPL_TYPE_IMAGE 5

// A value's type: sound.
#define SPL_TYPE_AUDIO 6

// A value's type: text in UTF-8.
#define SPL_TYPE_TEXT 7

// `spl_apply`: the sum.
#define SPL_ADD 0

// `spl_apply`: the difference.
#define SPL_SUB 1

// `spl_apply`: the bits that both have.
#define SPL_AND 2

// `spl_apply`: the bits that either has.
#define SPL_OR 3

// `spl_apply`: the bits that one of them has.
#define SPL_XOR 4

// `spl_apply`: the bits that the number has not; the operand is not looked at.
#define SPL_NOT 5

// `spl_apply`, added to `SPL_ADD` or `SPL_SUB`: `SPL_OVERFLOW` where the result would wrap.
#define SPL_CHECKED 16

// `spl_apply`, added to any: the numbers are `int64_t`, and a new key gets that type.
#define SPL_SIGNED 32

// What goes when the store is full: nothing, `SPL_FULL` instead.
#define SPL_EVICT_NONE 0

// What goes when the store is full: the key whose time is up soonest.
#define SPL_EVICT_TTL 1

// What goes when the store is full: a key that was not used for a long time.
#define SPL_EVICT_LRU 2

// A time to live without end.
#define SPL_NO_DEADLINE UINT64_MAX

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

// A key of a store. Any number of threads may use it at once. It keeps the store open, for itself, until it is closed.
struct spl_key;

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
    // `SPL_READ_ONLY`, `SPL_THROUGHPUT`, `SPL_NO_SPIN`, `SPL_COMMIT`.
    uint32_t flags;
    // How long a write waits for another writer of the same key, in milliseconds (1000).
    uint32_t lock_timeout_ms;
    // How long `spl_poll` looks before it sleeps, in microseconds (5).
    uint32_t spin_us;
    // Waits look again after so many milliseconds without having been woken (100): for file systems where a wake does not
    // reach every process.
    uint32_t poll_interval_ms;
    // What goes when a store that is created is full: one of the `SPL_EVICT_` numbers.
    uint32_t eviction;
    // A thread syncs the store each time so many milliseconds have passed, and once more when the handle is closed (never). Not
    // with `SPL_COMMIT` or `SPL_READ_ONLY`. A forked child has no such thread; its parent's syncs what it writes.
    uint32_t sync_interval_ms;
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
    // Labels, one bit each.
    uint64_t labels;
    // How long the key has yet to live in milliseconds, or `SPL_NO_DEADLINE`.
    uint64_t ttl_ms;
    // One of the `SPL_TYPE_` numbers.
    uint32_t value_type;
    // 1 if the key is never evicted.
    uint32_t pinned;
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
    // What goes when the store is full: one of the `SPL_EVICT_` numbers.
    uint32_t eviction;
    // 0.
    uint32_t reserved;
};

// What was done to a store that was opened after a restart of the machine.
struct spl_recovery {
    // Keys that were found whole in the store itself.
    uint32_t kept;
    // Keys that were taken from the checkpoint.
    uint32_t restored;
    // Keys that were written after the last sync, and were not whole, and are in no checkpoint: they are gone.
    uint32_t lost;
    // 0.
    uint32_t reserved;
};

// A place in a scan; all zero at the start.
struct spl_cursor {
    // Of this library only.
    uint64_t births;
    // Of this library only.
    uint64_t next;
    // Labels that a key must have to be told, one bit each: the caller's to set.
    uint64_t labels;
};

// What a write depends on, and what belongs to the value. All zero: nothing, and the key loses the deadline that it had.
struct spl_set_options {
    // `sizeof(struct spl_set_options)`.
    uint32_t size;
    // `SPL_IF_`, `SPL_SET_` and `SPL_KEEP_` bits.
    uint32_t flags;
    // For `SPL_IF_EPOCH`.
    uint64_t epoch;
    // For `SPL_SET_TTL`: milliseconds, at least 1.
    uint64_t ttl_ms;
    // For `SPL_SET_TYPE`: one of the `SPL_TYPE_` numbers.
    uint32_t value_type;
    // 0.
    uint32_t reserved;
};

// What belongs to a version of a value.
struct spl_version {
    // Its epoch.
    uint64_t epoch;
    // One of the `SPL_TYPE_` numbers.
    uint32_t value_type;
    // Length of the value in bytes.
    uint32_t value_len;
};

// A value where it lies.
struct spl_view {
    // The bytes, which others may be changing. They lie there until the handle is closed.
    const uint8_t *value;
    // How many.
    uint64_t value_len;
    // Of this library only.
    uint64_t state;
    // Of this library only.
    uint64_t slot;
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
    // Where in the whole value these bytes begin: 0, but for `SPL_WATCH_APPENDED`.
    uint32_t offset;
};

// What stands before the key in a record of `spl_scan`.
struct spl_entry {
    // Epoch of the key.
    uint64_t epoch;
    // Labels, one bit each.
    uint64_t labels;
    // Length of the value in bytes.
    uint32_t value_len;
    // Length of the key in bytes.
    uint32_t key_len;
    // One of the `SPL_TYPE_` numbers.
    uint32_t value_type;
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
// that `spl_selector` started, and the one that syncs, which does so once more: where that has failed, now or before, the
// result is its error, and the handle is closed all the same.
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

// Puts everything on the disk that was written before the call, by whomever, and waits for it: no power cut takes it then.
// Without effect on shared memory. After an `SPL_IO` or `SPL_NO_SPACE` every later sync of the handle fails with it.
int32_t spl_sync(const struct spl_store *store,
                 struct spl_error *error);

// `SPL_OK`, or the failure with which every sync of this handle fails from now on, if one has failed: `spl_sync`, that of a
// write with `SPL_COMMIT`, or one of those at intervals.
int32_t spl_sync_failure(const struct spl_store *store,
                         struct spl_error *error);

// Tells what was done when this handle opened the store after a restart of the machine: 1; or 0 if there was nothing to do.
int32_t spl_recovery(const struct spl_store *store,
                     struct spl_recovery *recovery);

// Copies the live store to a new file.
int32_t spl_backup(const struct spl_store *store,
                   const uint8_t *to,
                   uint32_t to_len,
                   struct spl_error *error);

// Fills `buf` with the next keys that begin with a prefix and have the cursor's labels, as records of an `spl_entry`, the
// key, and padding to a multiple of 8. Returns the bytes filled; 0 is the end.
//
// A key that exists from the first call to the last is reported exactly once. Room for 2,048 bytes always suffices for
// one record.
int32_t spl_scan(const struct spl_store *store,
                 struct spl_cursor *cursor,
                 const uint8_t *prefix,
                 uint32_t prefix_len,
                 uint8_t *buf,
                 uint32_t cap);

// Fills `buf` with the values of many keys, in their order. `keys` are records of `uint32_t key_len` and the key; the values are records of
// `uint32_t value_len`, or `SPL_NO_VALUE` for a key that does not exist, and the value. Neither is padded. Returns the bytes
// filled; `done` gets how many keys were dealt with, which are less than all if `buf` had no room for more.
//
// Each value is one whole value; together they may be of different moments.
int32_t spl_get_many(const struct spl_store *store,
                     const uint8_t *keys,
                     uint32_t keys_len,
                     uint8_t *buf,
                     uint32_t cap,
                     uint32_t *done);

// Stores many values, each as `spl_set` does, in their order. `entries` are records of `uint32_t key_len`, `uint32_t value_len`, the key and
// the value, without padding. `done` gets how many were stored, on an error too: those before the one that failed.
//
// Each is stored whole; all together are not one step.
int32_t spl_set_many(const struct spl_store *store,
                     const uint8_t *entries,
                     uint32_t entries_len,
                     uint32_t *done);

// Prepares a key for being used again and again; it need not exist yet. Returns NULL on failure, which `error` explains unless it is
// NULL.
struct spl_key *spl_key(const struct spl_store *store,
                        const uint8_t *key,
                        uint32_t key_len,
                        struct spl_error *error);

// Closes a key: no function may be using it, and none may use it afterwards.
int32_t spl_key_close(struct spl_key *key);

// `spl_get`.
int32_t spl_key_get(const struct spl_key *key, uint8_t *buf, uint32_t cap);

// `spl_set`.
int32_t spl_key_set(const struct spl_key *key, const uint8_t *value, uint32_t value_len);

// `spl_append`.
int32_t spl_key_append(const struct spl_key *key, const uint8_t *value, uint32_t value_len);

// `spl_unset`.
int32_t spl_key_unset(const struct spl_key *key);

// `spl_contains`.
int32_t spl_key_exists(const struct spl_key *key);

// `spl_epoch`.
int32_t spl_key_epoch(const struct spl_key *key, uint64_t *epoch);

// 1 if the key was written, deleted or inserted since this was asked last, or since the key was prepared; 0 if not.
int32_t spl_key_changed(const struct spl_key *key);

// `spl_key_get` to the store's scratch memory, where `spl_scratch_get` has the value.
int32_t spl_key_scratch_get(const struct spl_key *key);

// `spl_key_set` of a value in the store's scratch memory.
int32_t spl_key_scratch_set(const struct spl_key *key, uint32_t value_len);

// `spl_key_scratch_set` of a value of one of the `SPL_TYPE_` types.
int32_t spl_key_scratch_set_typed(const struct spl_key *key,
                                  uint32_t value_len,
                                  uint32_t value_type);

// `spl_key_epoch`: a `uint64_t` at `SPL_SCRATCH_RESULT` of the store's scratch memory.
int32_t spl_key_scratch_epoch(const struct spl_key *key);

// `spl_set` on a condition, with a time to live or a type. `epoch` gets the key's new epoch.
//
// `SPL_CONDITION_NOT_MET` if the condition does not hold: nothing was changed then, and `epoch` gets the epoch that was found,
// 0 if there was no such key.
int32_t spl_set_with(const struct spl_store *store,
                     const uint8_t *key,
                     uint32_t key_len,
                     const uint8_t *value,
                     uint32_t value_len,
                     const struct spl_set_options *options,
                     uint64_t *epoch);

// Deletes a key if it has the epoch that `epoch` holds, which gets the epoch of the deletion. `SPL_CONDITION_NOT_MET` if it has not:
// `epoch` gets the epoch that was found then, 0 if there was no such key.
int32_t spl_unset_if_epoch(const struct spl_store *store,
                           const uint8_t *key,
                           uint32_t key_len,
                           uint64_t *epoch);

// `spl_get` with what belongs to the same version of the value.
int32_t spl_get_entry(const struct spl_store *store,
                      const uint8_t *key,
                      uint32_t key_len,
                      uint8_t *buf,
                      uint32_t cap,
                      struct spl_version *version);

// Puts bytes behind the value of a key, or makes them the value of a new one; returns the length of the whole.
int32_t spl_append(const struct spl_store *store,
                   const uint8_t *key,
                   uint32_t key_len,
                   const uint8_t *value,
                   uint32_t value_len);

// Changes the number that a key holds in 8 little-endian bytes, as one step: `operation` is `SPL_ADD` to `SPL_NOT`, with `SPL_CHECKED`
// or `SPL_SIGNED` added if wanted. A key that does not exist is 0 before. `result` gets the new number.
//
// `SPL_WRONG_TYPE` if the value is not of 8 bytes.
int32_t spl_apply(const struct spl_store *store,
                  const uint8_t *key,
                  uint32_t key_len,
                  uint32_t operation,
                  uint64_t operand,
                  uint64_t *result);

// Gives a key so many milliseconds to live, at least 1: 1, or `SPL_NO_KEY`. Its value and epoch stay as they are. The deadline is a
// time of the machine's clock (`CLOCK_REALTIME`).
int32_t spl_expire(const struct spl_store *store,
                   const uint8_t *key,
                   uint32_t key_len,
                   uint64_t ttl_ms);

// Takes a key's deadline away: 1 if it had one, 0 if not.
int32_t spl_persist(const struct spl_store *store, const uint8_t *key, uint32_t key_len);

// How many milliseconds a key has yet to live, or `SPL_NO_DEADLINE`.
int32_t spl_ttl(const struct spl_store *store,
                const uint8_t *key,
                uint32_t key_len,
                uint64_t *ttl_ms);

// Sets whether a key is pinned, which is never evicted: `on` is 1 or 0. 1, or `SPL_NO_KEY`.
int32_t spl_pin(const struct spl_store *store, const uint8_t *key, uint32_t key_len, uint32_t on);

// The labels of a key, one bit each.
int32_t spl_labels(const struct spl_store *store,
                   const uint8_t *key,
                   uint32_t key_len,
                   uint64_t *labels);

// Takes labels from a key, then gives it others, as one step; `labels` gets all that it has then. `labels` may be NULL.
int32_t spl_label(const struct spl_store *store,
                  const uint8_t *key,
                  uint32_t key_len,
                  uint64_t add,
                  uint64_t remove,
                  uint64_t *labels);

// Shows a value where it lies, without a copy. What is seen is to be believed only if `spl_view_is_whole` says so afterwards;
// else it is to be tried again, or to be copied by `spl_get` after a few times.
int32_t spl_view(const struct spl_store *store,
                 const uint8_t *key,
                 uint32_t key_len,
                 struct spl_view *view);

// 1 if all that was seen by a view up to now was one whole value, 0 if not.
int32_t spl_view_is_whole(const struct spl_store *store, const struct spl_view *view);

// Names a label, by its number from 0 to 63; an empty name takes the old one away. A name has at most 56 bytes.
int32_t spl_name_label(const struct spl_store *store,
                       uint32_t label,
                       const uint8_t *name,
                       uint32_t name_len);

// Copies the names of labels, if they fit, as records of `uint32_t label`, `uint32_t name_len`, the name, and padding to a multiple
// of 8. Returns how many bytes they are: at most 4,096.
int32_t spl_label_names(const struct spl_store *store,
                        uint8_t *buf,
                        uint32_t cap);

// Deletes the keys whose time is up, so that those who watch are told and the bytes are zeroed; returns how many there were.
int32_t spl_sweep(const struct spl_store *store);

// Zeroes what was left behind while the store did not zero replaced and deleted bytes; returns in how many slots there was
// something.
int32_t spl_purge(const struct spl_store *store);

// What goes when the store is full: one of the `SPL_EVICT_` numbers.
int32_t spl_eviction(const struct spl_store *store);

// Sets what goes when the store is full, for all processes.
int32_t spl_set_eviction(const struct spl_store *store, uint32_t policy);

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

// `spl_set` of a value in scratch memory, which is of one of the `SPL_TYPE_` types.
int32_t spl_scratch_set_typed(const struct spl_store *store,
                              uint32_t key_len,
                              uint32_t value_len,
                              uint32_t value_type);

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

// `spl_set_with` of a value in scratch memory, with an `spl_set_options` at `SPL_SCRATCH_RESULT`, where the epoch is put.
int32_t spl_scratch_set_with(const struct spl_store *store,
                             uint32_t key_len,
                             uint32_t value_len);

// `spl_scratch_set_with` of a value elsewhere. `value` is valid for `value_len` bytes, none of them in scratch memory.
int32_t spl_scratch_set_with_from(const struct spl_store *store,
                                  uint32_t key_len,
                                  const uint8_t *value,
                                  uint32_t value_len);

// `spl_unset_if_epoch`, with the epoch at `SPL_SCRATCH_RESULT`.
int32_t spl_scratch_unset_if_epoch(const struct spl_store *store, uint32_t key_len);

// `spl_get_entry` to scratch memory: an `spl_version` at `SPL_SCRATCH_RESULT`. The value is copied only if it fits.
int32_t spl_scratch_get_entry(const struct spl_store *store,
                              uint32_t key_len);

// `spl_append` of bytes in scratch memory.
int32_t spl_scratch_append(const struct spl_store *store, uint32_t key_len, uint32_t value_len);

// `spl_append` of bytes elsewhere. `value` is valid for `value_len` bytes, none of them in scratch memory.
int32_t spl_scratch_append_from(const struct spl_store *store,
                                uint32_t key_len,
                                const uint8_t *value,
                                uint32_t value_len);

// `spl_apply`: the operand at `SPL_SCRATCH_RESULT`, where the result is put.
int32_t spl_scratch_apply(const struct spl_store *store, uint32_t key_len, uint32_t operation);

// `spl_expire`.
int32_t spl_scratch_expire(const struct spl_store *store, uint32_t key_len, uint64_t ttl_ms);

// `spl_persist`.
int32_t spl_scratch_persist(const struct spl_store *store, uint32_t key_len);

// `spl_ttl`: a `uint64_t` at `SPL_SCRATCH_RESULT`.
int32_t spl_scratch_ttl(const struct spl_store *store, uint32_t key_len);

// `spl_pin`.
int32_t spl_scratch_pin(const struct spl_store *store, uint32_t key_len, uint32_t on);

// `spl_labels`: a `uint64_t` at `SPL_SCRATCH_RESULT`.
int32_t spl_scratch_labels(const struct spl_store *store, uint32_t key_len);

// `spl_label`: two `uint64_t` at `SPL_SCRATCH_RESULT`, the labels to add and those to remove; where the first stands, all that the key has
// then are put.
int32_t spl_scratch_label(const struct spl_store *store,
                          uint32_t key_len);

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
// `spl_selector`. With `SPL_WATCH_LABELS` the labels stand behind `from`, as a second number.
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
