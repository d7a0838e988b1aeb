//! A mapped region, as references to its parts.
//!
//! Opening proceeds by types: a [`File`] is only bytes; [`Region::map`] reads its header with ordinary reads, checks every
//! number there, and only then maps it. From then on the geometry is this process's own copy, so nothing that another
//! process writes into the region can move an access out of the mapping: slot numbers come in only as [`SlotIndex`]es,
//! and lengths are checked where they are read.

use std::fs::File;
use std::mem::size_of;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::copy;
use crate::error::{Error, Result};
use crate::evict::Eviction;
use crate::guard::{self, Watch};
use crate::layout::{
    Attributes, Chunk, EXPECTANTS, Geometry, HANDLES, Handle, Header, Identity, LABELS, LabelName, Layout, PAGE_BYTES,
    STRIPES, Slot, Stripe,
};
use crate::simd;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::sys;

/// A slot number below the region's number of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotIndex(u32);

impl SlotIndex {
    pub(crate) fn get(self) -> u32 {
        self.0
    }

    fn at(self) -> usize {
        self.0 as usize
    }
}

/// Which of a slot's two value buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Buffer {
    Even,
    Odd,
}

impl Buffer {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }
}

/// A validated mapping of a store.
pub(crate) struct Region {
    base: *mut u8,
    layout: Layout,
    geometry: Geometry,
    store_id: [u8; 16],
    hash_seed: u64,
    writable: bool,
    watch: &'static Watch,
    file: File,
    /// The same file, opened once more, for the locks that prove life; a mapping, or somebody who is handed `file`, would
    /// keep them beyond this process's death. None if nothing is written.
    life: Option<File>,
}

// SAFETY: the mapping is shared memory that is accessed only through atomics and `copy`, from any thread alike.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Lays out a new store in an empty file that nobody else can open yet.
    pub(crate) fn format(file: &File, geometry: Geometry, flags: u32, eviction: Eviction) -> Result<()> {
        let io = |error| Error::from_os("create the store", &error);
        let layout = Layout::new(&geometry);
        match file.set_len(layout.bytes as u64) {
            Err(error) if error.raw_os_error() == Some(libc::EFBIG) => return Err(Error::NoSpace),
            result => result.map_err(io)?,
        }
        // All but the values, so that no later touch of them can find the disk full.
        match sys::reserve(file, 0, layout.values as u64) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                // A file system that cannot reserve: what is written is allocated. The values too, all of them now.
                fill_with_zeros(file, layout.bytes as u64).map_err(io)?;
                let chunks = (geometry.slots() as usize).div_ceil(layout.chunk_slots);
                let words = vec![0xff; chunks.div_ceil(64) * 8];
                file.write_all_at(&words, layout.reserved as u64).map_err(io)?;
            }
            result => result.map_err(io)?,
        }
        let identity = Identity {
            geometry,
            store_id: sys::random_id().map_err(io)?,
            created_ns: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |age| age.as_nanos() as u64),
        };
        let mut free = vec![0xff; layout.free_words * 8];
        let slots_in_last_word = geometry.slots() % 64;
        if slots_in_last_word != 0 {
            let last = free.len() - 8;
            free[last..].copy_from_slice(&((1_u64 << slots_in_last_word) - 1).to_le_bytes());
        }
        let mut settings = [0; 24];
        settings[..4].copy_from_slice(&flags.to_le_bytes());
        settings[4..8].copy_from_slice(&(eviction as u32).to_le_bytes());
        for (to, word) in settings[8..].chunks_exact_mut(8).zip(sys::boot_id()) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        file.write_all_at(&free, layout.free as u64)
            .and_then(|()| file.write_all_at(&settings, std::mem::offset_of!(Header, flags) as u64))
            .and_then(|()| file.write_all_at(&identity.encode(), 0))
            .map_err(io)
    }

    /// Checks that a file is a store, and maps it.
    pub(crate) fn map(file: File, writable: bool) -> Result<Self> {
        let io = |error| Error::from_os("open the store", &error);
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(Error::NotAStore {
                reason: "it is not a regular file",
            });
        }
        let mut start = [0; PAGE_BYTES];
        let read_bytes = read_start(&file, &mut start).map_err(io)?;
        let identity = Identity::decode(&start[..read_bytes], metadata.len())?;
        let layout = Layout::new(&identity.geometry);
        let life = writable.then(|| sys::reopen(&file)).transpose().map_err(io)?;
        let base = sys::map(&file, layout.bytes, writable).map_err(io)?;
        let fd = life.as_ref().map_or(-1, File::as_raw_fd);
        let [a, b, c, d, e, f, g, h, ..] = identity.store_id;
        Ok(Self {
            base,
            layout,
            geometry: identity.geometry,
            store_id: identity.store_id,
            hash_seed: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            writable,
            watch: Watch::begin(base, layout.bytes, fd),
            file,
            life,
        })
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    pub(crate) fn bytes(&self) -> usize {
        self.layout.bytes
    }

    pub(crate) fn store_id(&self) -> [u8; 16] {
        self.store_id
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The open file whose locks prove life.
    pub(crate) fn life(&self) -> Result<&File> {
        self.life.as_ref().ok_or(Error::Internal {
            reason: "a read-only handle holds no locks",
        })
    }

    pub(crate) fn writable(&self) -> bool {
        self.writable
    }

    /// What happened to the mapping: a state of [`guard`].
    #[inline]
    pub(crate) fn watch(&self) -> &'static Watch {
        self.watch
    }

    /// Fails if pages of the region have been found missing.
    ///
    /// To be asked after reading and before believing: a page that was missing reads as zeros.
    #[inline]
    pub(crate) fn check_intact(&self) -> Result<()> {
        if self.watch.state.load(Ordering::Acquire) == guard::DAMAGED {
            return Err(Error::Corrupt {
                reason: "the file was cut while it was open, or its disk is full",
            });
        }
        Ok(())
    }

    /// Where a key belongs. Seeded with the store's id, so that nobody can prepare keys that collide everywhere.
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.hash_seed)
    }

    /// A record of the region. All records consist of atomics.
    #[inline]
    fn record<T>(&self, offset: usize) -> &T {
        debug_assert!(offset + size_of::<T>() <= self.layout.bytes);
        // SAFETY: private, and every caller passes an offset of `layout` plus a checked index times the stride, which the
        // layout keeps within the mapping and aligned. `T` is made of atomics only, for which any bytes are valid and
        // concurrent change is no data race.
        unsafe { &*self.base.add(offset).cast::<T>() }
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        self.record(0)
    }

    /// The name of a label.
    pub(crate) fn label_name(&self, label: u32) -> &LabelName {
        assert!(label < LABELS);
        self.record(PAGE_BYTES + label as usize * size_of::<LabelName>())
    }

    /// Where those sleep who wait for an absent key of this hash.
    pub(crate) fn expectants(&self, hash: u64) -> &AtomicU32 {
        &self.header().expectants[hash as usize % EXPECTANTS]
    }

    pub(crate) fn handle(&self, index: usize) -> &Handle {
        assert!(index < HANDLES);
        self.record(self.layout.handles + index * size_of::<Handle>())
    }

    /// The stripe that guards a chunk of the index.
    pub(crate) fn stripe(&self, index: usize) -> &Stripe {
        self.record(self.layout.stripes + (index % STRIPES) * size_of::<Stripe>())
    }

    pub(crate) fn chunks(&self) -> usize {
        self.layout.chunks
    }

    #[inline]
    pub(crate) fn chunk(&self, index: usize) -> &Chunk {
        assert!(index < self.layout.chunks);
        self.record(self.layout.index + index * size_of::<Chunk>())
    }

    /// A slot number that was read from the region, if it is one.
    #[inline]
    pub(crate) fn slot_index(&self, number: u32) -> Option<SlotIndex> {
        (number < self.geometry.slots()).then_some(SlotIndex(number))
    }

    pub(crate) fn slot_indices(&self) -> impl Iterator<Item = SlotIndex> {
        (0..self.geometry.slots()).map(SlotIndex)
    }

    #[inline]
    fn slot_offset(&self, slot: SlotIndex) -> usize {
        self.layout.slots + slot.at() * self.layout.slot_stride
    }

    #[inline]
    pub(crate) fn slot(&self, slot: SlotIndex) -> &Slot {
        self.record(self.slot_offset(slot))
    }

    pub(crate) fn attributes(&self, slot: SlotIndex) -> &Attributes {
        self.record(self.layout.attributes + slot.at() * size_of::<Attributes>())
    }

    /// The journal's entry at a position; positions go round.
    #[inline]
    pub(crate) fn journal_entry(&self, position: u64) -> &AtomicU64 {
        let index = position as usize & (self.geometry.journal_entries() as usize - 1);
        self.record(self.layout.journal + index * size_of::<u64>())
    }

    pub(crate) fn free_words(&self) -> usize {
        self.layout.free_words
    }

    /// 64 bits of the free map.
    pub(crate) fn free_word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.layout.free_words);
        self.record(self.layout.free + index * size_of::<u64>())
    }

    fn key_offset(&self, slot: SlotIndex) -> usize {
        self.slot_offset(slot) + size_of::<Slot>()
    }

    /// Bytes of a slot that can hold its key and the zeros behind it.
    pub(crate) fn key_room(&self) -> usize {
        self.layout.slot_stride - size_of::<Slot>()
    }

    #[inline]
    pub(crate) fn key_word(&self, slot: SlotIndex, index: usize) -> &AtomicU64 {
        self.record(self.key_offset(slot) + index * 8)
    }

    /// Whether a slot's key begins with these bytes. Meaningful only if the slot did not change meanwhile.
    ///
    /// The loads are relaxed: the caller's acquire load of `ctl` precedes them, its fence follows them.
    #[inline]
    pub(crate) fn key_equals(&self, slot: SlotIndex, key: &[u8]) -> bool {
        if key.len() >= self.key_room() {
            return false;
        }
        let (words, rest) = key.as_chunks::<8>();
        for (i, word) in words.iter().enumerate() {
            if self.key_word(slot, i).load(Ordering::Relaxed) != u64::from_le_bytes(*word) {
                return false;
            }
        }
        rest.is_empty() || self.key_word(slot, words.len()).load(Ordering::Relaxed) == last_word(key)
    }

    /// Copies a slot's key. Meaningful only if the slot did not change meanwhile.
    pub(crate) fn read_key(&self, slot: SlotIndex, bytes: usize, key: &mut Vec<u8>) {
        let bytes = bytes.min(self.key_room());
        key.clear();
        let mut word_index = 0;
        while key.len() < bytes {
            let word = self.key_word(slot, word_index).load(Ordering::Relaxed).to_le_bytes();
            let wanted = (bytes - key.len()).min(8);
            key.extend_from_slice(&word[..wanted]);
            word_index += 1;
        }
    }

    /// Stores a key with its NUL. The caller holds the slot's lock, and the slot is not live.
    pub(crate) fn write_key(&self, slot: SlotIndex, key: &[u8]) {
        assert!(key.len() < self.key_room());
        let (words, _) = key.as_chunks::<8>();
        for (i, word) in words.iter().enumerate() {
            self.key_word(slot, i)
                .store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
        self.key_word(slot, words.len())
            .store(last_word(key), Ordering::Relaxed);
    }

    /// Zeroes a key, if there is one. The caller holds the slot's lock, and the slot is not live.
    pub(crate) fn zero_key(&self, slot: SlotIndex) {
        if self.has_key(slot) {
            self.zero_whole_key(slot);
        }
    }

    /// Zeroes a slot's room for its key, whatever is there.
    pub(crate) fn zero_whole_key(&self, slot: SlotIndex) {
        for i in 0..self.key_room() / 8 {
            self.key_word(slot, i).store(0, Ordering::Relaxed);
        }
    }

    /// Whether a slot holds a key, be it that of a deleted one.
    pub(crate) fn has_key(&self, slot: SlotIndex) -> bool {
        // No key begins with zeros.
        self.key_word(slot, 0).load(Ordering::Relaxed) != 0
    }

    /// Bytes from the start of the region to a value buffer.
    #[inline]
    pub(crate) fn value_offset(&self, slot: SlotIndex, buffer: Buffer) -> usize {
        self.layout.values + (slot.at() * 2 + buffer as usize) * self.layout.value_stride
    }

    /// Offset of the first byte of a value buffer, from `from` on, that is not zero. Its space must be reserved: looking at a
    /// hole would fill it.
    pub(crate) fn first_nonzero(&self, slot: SlotIndex, buffer: Buffer, from: usize) -> Option<usize> {
        let start = self.value_offset(slot, buffer);
        (from / 8 * 8..self.layout.value_stride).step_by(8).find_map(|at| {
            let word: &AtomicU64 = self.record(start + at);
            let bytes = word.load(Ordering::Relaxed).to_le_bytes();
            (at..)
                .zip(bytes)
                .find_map(|(at, byte)| (at >= from && byte != 0).then_some(at))
        })
    }

    /// Bytes of a value buffer.
    pub(crate) fn value_room(&self) -> usize {
        self.layout.value_stride
    }

    /// Has the start of either value buffer fetched while the slot itself is still on its way from memory.
    #[inline]
    pub(crate) fn prefetch_values(&self, slot: SlotIndex) {
        let even = self.base.wrapping_add(self.value_offset(slot, Buffer::Even));
        simd::prefetch(even);
        simd::prefetch(even.wrapping_add(self.layout.value_stride));
    }

    /// A value where it lies. Other processes may write there, which is why it consists of atomics.
    pub(crate) fn value(&self, slot: SlotIndex, buffer: Buffer, bytes: usize) -> &[AtomicU8] {
        assert!(bytes <= self.layout.value_stride);
        // SAFETY: the buffer has `value_stride` bytes within the mapping, which lives as long as the region. Atomics may be
        // looked at while others write, and any byte is one.
        unsafe { std::slice::from_raw_parts(self.base.add(self.value_offset(slot, buffer)).cast(), bytes) }
    }

    /// Has the index chunk fetched where a hash's keys begin.
    #[inline]
    pub(crate) fn prefetch_chunk(&self, hash: u64) {
        simd::prefetch(std::ptr::from_ref(self.chunk(self.home(hash))).cast());
    }

    /// Has a slot fetched, and its value buffers.
    #[inline]
    pub(crate) fn prefetch_slot(&self, slot: SlotIndex) {
        simd::prefetch(self.base.wrapping_add(self.slot_offset(slot)));
        self.prefetch_values(slot);
    }

    /// Copies a value from byte `at` on. Meaningful only if the slot did not change meanwhile.
    #[inline]
    pub(crate) fn read_value(&self, slot: SlotIndex, buffer: Buffer, at: usize, to: &mut [u8]) {
        let stride = self.layout.value_stride;
        assert!(at <= stride && to.len() <= stride - at);
        // SAFETY: the buffer has `value_stride` bytes within the mapping, and `to` as many as are copied.
        unsafe {
            copy::read(
                to.as_mut_ptr(),
                self.base.add(self.value_offset(slot, buffer) + at),
                to.len(),
            );
        }
    }

    /// Appends a range of a value's bytes to a vector that has room for them.
    pub(crate) fn append_value(&self, slot: SlotIndex, buffer: Buffer, range: Range<usize>, to: &mut Vec<u8>) {
        let room = to.spare_capacity_mut();
        let bytes = range.len();
        assert!(bytes <= room.len() && range.end <= self.layout.value_stride);
        // SAFETY: the buffer has `value_stride` bytes within the mapping, the vector room for `bytes`; after the copy they
        // are initialised.
        unsafe {
            copy::read(
                room.as_mut_ptr().cast(),
                self.base.add(self.value_offset(slot, buffer) + range.start),
                bytes,
            );
            to.set_len(to.len() + bytes);
        }
    }

    /// Stores a value in the buffer that no reader is sent to. The caller holds the slot's lock.
    #[inline]
    pub(crate) fn write_value(&self, slot: SlotIndex, buffer: Buffer, at: usize, value: &[u8]) {
        let stride = self.layout.value_stride;
        assert!(at <= stride && value.len() <= stride - at && self.writable);
        // SAFETY: the buffer has `value_stride` bytes within the writable mapping.
        unsafe {
            copy::write(
                self.base.add(self.value_offset(slot, buffer) + at),
                value.as_ptr(),
                value.len(),
            );
        }
    }

    /// Copies a range of bytes from one of a slot's value buffers to the other, which no reader is sent to. The caller holds the
    /// slot's lock.
    pub(crate) fn copy_value(&self, slot: SlotIndex, from: Buffer, to: Buffer, range: Range<usize>) {
        assert!(range.end <= self.layout.value_stride && from != to && self.writable);
        if range.start < range.end {
            // SAFETY: both buffers have `value_stride` bytes within the writable mapping, and do not overlap.
            unsafe {
                copy::write(
                    self.base.add(self.value_offset(slot, to) + range.start),
                    self.base.add(self.value_offset(slot, from) + range.start),
                    range.len(),
                );
            }
        }
    }

    /// The number that a value is. The caller holds the slot's lock.
    pub(crate) fn read_integer(&self, slot: SlotIndex, buffer: Buffer) -> Result<u64> {
        let mut bytes = [0; 8];
        if self.descriptor(slot, buffer).value_bytes() != bytes.len() {
            return Err(Error::WrongType);
        }
        self.read_value(slot, buffer, 0, &mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Zeroes bytes `from..to` of a value buffer. The caller holds the slot's lock.
    #[inline]
    pub(crate) fn zero_value(&self, slot: SlotIndex, buffer: Buffer, from: usize, to: usize) {
        assert!(to <= self.layout.value_stride && self.writable);
        if from < to {
            // SAFETY: the range lies in a buffer of `value_stride` bytes within the writable mapping.
            unsafe { copy::zero(self.base.add(self.value_offset(slot, buffer) + from), to - from) };
        }
    }

    /// Whether there is space behind a slot's value buffers.
    pub(crate) fn is_reserved(&self, slot: SlotIndex) -> bool {
        let (word, bit) = self.reserved_bit(slot);
        word.load(Ordering::Relaxed) & bit != 0
    }

    /// Puts disk or memory behind a slot's value buffers, and remembers it for all slots that share the chunk.
    pub(crate) fn reserve(&self, slot: SlotIndex) -> Result<()> {
        let (word, bit) = self.reserved_bit(slot);
        // Relaxed: the bit only saves a system call that can be repeated without harm.
        if word.load(Ordering::Relaxed) & bit != 0 {
            return Ok(());
        }
        let chunk_bytes = self.layout.chunk_slots * 2 * self.layout.value_stride;
        let from = self.layout.values + slot.at() / self.layout.chunk_slots * chunk_bytes;
        let to = (from + chunk_bytes).min(self.layout.bytes);
        sys::reserve(&self.file, from as u64, (to - from) as u64)
            .map_err(|error| Error::from_os("reserve space for values", &error))?;
        word.fetch_or(bit, Ordering::Relaxed);
        Ok(())
    }

    /// The same, though it is noted already: after a power cut the note may be there and the space not.
    pub(crate) fn reserve_anew(&self, slot: SlotIndex) -> Result<()> {
        let (word, bit) = self.reserved_bit(slot);
        word.fetch_and(!bit, Ordering::Relaxed);
        match self.reserve(slot) {
            Err(Error::Io { errno, .. }) if errno == libc::EOPNOTSUPP => {
                // A file system that cannot reserve: all was written at the creation, and synced before the first checkpoint.
                word.fetch_or(bit, Ordering::Relaxed);
                Ok(())
            }
            result => result,
        }
    }

    fn reserved_bit(&self, slot: SlotIndex) -> (&AtomicU64, u64) {
        let chunk = slot.at() / self.layout.chunk_slots;
        (self.record(self.layout.reserved + chunk / 64 * 8), 1 << (chunk % 64))
    }

    /// [`Self::check_intact`] with a look at the file's length: what nobody has touched since it was cut is missing too.
    pub(crate) fn check_length(&self) -> Result<()> {
        let metadata = self.file.metadata();
        let metadata = metadata.map_err(|error| Error::from_os("look at the store", &error))?;
        if metadata.len() < self.layout.bytes as u64 {
            self.watch.state.store(guard::DAMAGED, Ordering::SeqCst);
        }
        self.check_intact()
    }

    /// Waits until everything that was written is on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        let io = |error| Error::from_os("sync the store", &error);
        // Pages beyond a file's end are nobody's: the kernel would sync them without a word.
        self.check_length()?;
        // SAFETY: the mapping lives as long as `self`.
        unsafe { sys::sync_mapping(self.base, self.layout.bytes) }.map_err(io)
    }

    /// Counts a number in the region that cannot be right.
    pub(crate) fn count_parse_failure(&self) {
        if self.writable {
            let header = self.header();
            header.parse_failures.fetch_add(1, Ordering::Relaxed);
            let end = header.journal_tail.load(Ordering::Relaxed);
            header.last_failure_epoch.store(end, Ordering::Relaxed);
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.watch.end();
        // SAFETY: no reference into the mapping outlives `self`.
        unsafe { sys::unmap(self.base, self.layout.bytes) };
    }
}

/// The bytes of a key behind its last whole word, zero-padded.
#[inline]
fn last_word(key: &[u8]) -> u64 {
    let rest = key.len() % 8;
    if rest == 0 {
        return 0;
    }
    // Reading the last eight bytes at once and shifting the known ones out is faster than a loop.
    if let Some(last) = key.last_chunk::<8>() {
        return u64::from_le_bytes(*last) >> (8 * (8 - rest));
    }
    key.iter().rev().fold(0, |word, &byte| (word << 8) | u64::from(byte))
}

fn read_start(file: &File, start: &mut [u8]) -> std::io::Result<usize> {
    let mut done = 0;
    while done < start.len() {
        match file.read_at(&mut start[done..], done as u64) {
            Ok(0) => break,
            Ok(bytes) => done += bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn fill_with_zeros(file: &File, bytes: u64) -> std::io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut done = 0;
    while done < bytes {
        let step = (bytes - done).min(zeros.len() as u64);
        file.write_all_at(&zeros[..step as usize], done)?;
        done += step;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_key_is_its_rest_zero_padded() {
        assert_eq!(last_word(b""), 0);
        assert_eq!(last_word(b"a"), u64::from(b'a'));
        assert_eq!(last_word(b"1234567"), u64::from_le_bytes(*b"1234567\0"));
        assert_eq!(last_word(b"12345678"), 0);
        assert_eq!(last_word(b"12345678abc"), u64::from_le_bytes(*b"abc\0\0\0\0\0"));
    }
}
