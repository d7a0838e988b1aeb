//! The words of one slot, and what they mean.
//!
//! A slot has two value buffers. `ctl` holds the sequence of the last published change, whose parity names the buffer that
//! holds the value; a writer fills the other one and then publishes by one store to `ctl`. So a writer that dies at any
//! instruction leaves the old value or the new one, and a reader beside a writer has the time of two whole writes for its
//! copy.

#![forbid(unsafe_code)]

use crate::region::{Buffer, Region, SlotIndex};
use crate::sync::{Ordering, fence};

/// Bits of `ctl` below the sequence.
pub(crate) const SEQUENCE_SHIFT: u32 = 3;
const LIVE: u64 = 1;
const WRITING: u64 = 2;
const WIPED: u64 = 4;

/// `Slot::waiters`, bit 1: somebody has waited long for the lock; others let it go first. Bits but this and the next are
/// those of [`crate::wait`].
pub(crate) const STARVING: u32 = 2;
/// `Slot::waiters`, bit 2: the key was read or written since the clock has passed it ([`crate::evict`]).
pub(crate) const ACCESSED: u32 = 4;

/// The state of a slot: sequence (61 bits), wiped, writing, live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ctl(u64);

impl Ctl {
    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The state after a change. `wiped` says that the buffer of the change before it gets zeroed.
    #[inline]
    pub(crate) fn published(sequence: u64, live: bool, wiped: bool) -> Self {
        Self(sequence << SEQUENCE_SHIFT | u64::from(wiped) << 2 | u64::from(live))
    }

    /// The same state while the buffer that it does not name is being filled.
    #[inline]
    pub(crate) fn being_written(self) -> Self {
        Self(self.0 | WRITING)
    }

    /// The same state once the buffer of the change before it gets zeroed.
    pub(crate) fn wiped(self) -> Self {
        Self(self.0 | WIPED)
    }

    pub(crate) fn settled(self) -> Self {
        Self(self.0 & !WRITING)
    }

    #[inline]
    pub(crate) fn is_live(self) -> bool {
        self.0 & LIVE != 0
    }

    #[inline]
    pub(crate) fn is_being_written(self) -> bool {
        self.0 & WRITING != 0
    }

    /// Whether the buffer of the change before this one was to be zeroed.
    pub(crate) fn is_wiped(self) -> bool {
        self.0 & WIPED != 0
    }

    #[inline]
    pub(crate) fn sequence(self) -> u64 {
        self.0 >> SEQUENCE_SHIFT
    }

    /// What users see: twice the sequence, plus one while a write is in progress.
    pub(crate) fn epoch(self) -> u64 {
        self.sequence() << 1 | u64::from(self.is_being_written())
    }

    /// The buffer that holds the value.
    #[inline]
    pub(crate) fn buffer(self) -> Buffer {
        if self.sequence() & 1 == 0 {
            Buffer::Even
        } else {
            Buffer::Odd
        }
    }

    /// Whether what was read between `self` and `later` is one whole value.
    ///
    /// The buffer of sequence n is touched next by the zeroing after n + 1 was published (then `WIPED` is set) or by the
    /// filling for n + 2 (then `WRITING` is set).
    #[inline]
    pub(crate) fn was_stable_until(self, later: Self) -> bool {
        let changes = later.sequence().wrapping_sub(self.sequence());
        changes == 0 || (changes == 1 && later.0 & (WRITING | WIPED) == 0)
    }
}

/// What belongs to one buffer: length of the value (32 bits), its type (8 bits), flags (8 bits), length of the key (16 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor(u64);

/// Flag: bytes behind the value may hold what was there before.
const DIRTY: u64 = 1 << 40;
/// Flag: the value is there only until its deadline.
const TIMED: u64 = 1 << 41;
/// Flag: the value came by an append, so that the other buffer's value, as long as its descriptor says, is its start.
const APPENDED: u64 = 1 << 42;
/// Flag: the key is never evicted.
const PINNED: u64 = 1 << 43;
/// Flag: there is a checksum of the value.
const CHECKED: u64 = 1 << 44;
const TYPE_SHIFT: u32 = 32;

impl Descriptor {
    #[inline]
    pub(crate) fn new(value_bytes: usize, key_bytes: usize, dirty: bool) -> Self {
        Self(value_bytes as u64 & 0xffff_ffff | if dirty { DIRTY } else { 0 } | (key_bytes as u64) << 48)
    }

    pub(crate) fn is_dirty(self) -> bool {
        self.0 & DIRTY != 0
    }

    #[inline]
    pub(crate) fn is_timed(self) -> bool {
        self.0 & TIMED != 0
    }

    #[must_use]
    pub(crate) fn with_timed(self, timed: bool) -> Self {
        Self(self.0 & !TIMED | if timed { TIMED } else { 0 })
    }

    pub(crate) fn is_appended(self) -> bool {
        self.0 & APPENDED != 0
    }

    #[must_use]
    pub(crate) fn with_appended(self, appended: bool) -> Self {
        Self(self.0 & !APPENDED | if appended { APPENDED } else { 0 })
    }

    #[must_use]
    pub(crate) fn with_dirty(self, dirty: bool) -> Self {
        Self(self.0 & !DIRTY | if dirty { DIRTY } else { 0 })
    }

    pub(crate) fn is_pinned(self) -> bool {
        self.0 & PINNED != 0
    }

    #[must_use]
    pub(crate) fn with_pinned(self, pinned: bool) -> Self {
        Self(self.0 & !PINNED | if pinned { PINNED } else { 0 })
    }

    pub(crate) fn is_checked(self) -> bool {
        self.0 & CHECKED != 0
    }

    #[must_use]
    pub(crate) fn with_checked(self, checked: bool) -> Self {
        Self(self.0 & !CHECKED | if checked { CHECKED } else { 0 })
    }

    /// Number of the value's type: see [`crate::ValueType`].
    pub(crate) fn value_type(self) -> u8 {
        (self.0 >> TYPE_SHIFT) as u8
    }

    #[must_use]
    pub(crate) fn with_type(self, number: u8) -> Self {
        Self(self.0 & !(0xff << TYPE_SHIFT) | u64::from(number) << TYPE_SHIFT)
    }

    #[must_use]
    pub(crate) fn with_key_bytes(self, key_bytes: usize) -> Self {
        Self(self.0 & ((1 << 48) - 1) | (key_bytes as u64) << 48)
    }

    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// As it stands there: to be compared with the longest value before use.
    #[inline]
    pub(crate) fn value_bytes(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    #[inline]
    pub(crate) fn key_bytes(self) -> usize {
        (self.0 >> 48) as usize
    }
}

impl Region {
    /// The state of a slot, before anything else of it is read.
    ///
    /// Acquire pairs with the release store of [`crate::write`]'s publishing: value, lengths and key of that state are seen.
    #[inline]
    pub(crate) fn ctl(&self, slot: SlotIndex) -> Ctl {
        Ctl::from_bits(self.slot(slot).ctl.load(Ordering::Acquire))
    }

    /// The state of a slot, after everything else of it was read.
    ///
    /// The fence keeps the reads before it from moving behind the load. It pairs with the release fences after which a
    /// writer touches a buffer: a reader that saw any byte of such a touch sees the state that announced it.
    #[inline]
    pub(crate) fn ctl_after_reading(&self, slot: SlotIndex) -> Ctl {
        fence(Ordering::Acquire);
        Ctl::from_bits(self.slot(slot).ctl.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn descriptor(&self, slot: SlotIndex, buffer: Buffer) -> Descriptor {
        // Relaxed: ordered by the loads of `ctl` around it.
        let bits = self.slot(slot).descriptors[buffer as usize].load(Ordering::Relaxed);
        Descriptor::from_bits(bits)
    }

    /// Whether a slot in this state holds a key. Meaningful only if the slot did not change meanwhile.
    #[inline]
    pub(crate) fn holds(&self, slot: SlotIndex, ctl: Ctl, key: &[u8]) -> bool {
        ctl.is_live() && self.descriptor(slot, ctl.buffer()).key_bytes() == key.len() && self.key_equals(slot, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_whole_only_while_its_buffer_is_untouched() {
        let read = Ctl::published(7, true, true);
        assert!(read.was_stable_until(read));
        assert!(read.was_stable_until(read.being_written()));
        assert!(read.was_stable_until(Ctl::published(8, true, false)));
        assert!(read.was_stable_until(Ctl::published(8, false, false)));
        assert!(!read.was_stable_until(Ctl::published(8, true, true)));
        assert!(!read.was_stable_until(Ctl::published(8, true, false).being_written()));
        assert!(!read.was_stable_until(Ctl::published(9, true, false)));
        assert!(!read.was_stable_until(Ctl::published(6, true, false)));
    }

    #[test]
    fn a_state_keeps_each_of_its_parts_apart() {
        for (live, wiped) in [(false, false), (false, true), (true, false), (true, true)] {
            let told = |ctl: Ctl| (ctl.sequence(), ctl.is_live(), ctl.is_wiped(), ctl.is_being_written());
            let ctl = Ctl::published(7, live, wiped);
            assert_eq!((told(ctl), ctl.epoch()), ((7, live, wiped, false), 14));
            let writing = ctl.being_written();
            assert_eq!((told(writing), writing.epoch()), ((7, live, wiped, true), 15));
            assert_eq!(
                (writing.being_written(), writing.settled(), ctl.settled()),
                (writing, ctl, ctl)
            );
            assert_eq!(told(ctl.wiped()), (7, live, true, false));
            assert_eq!(ctl.wiped().wiped(), ctl.wiped());
        }
    }

    #[test]
    fn a_descriptor_keeps_each_of_its_parts_apart() {
        for dirty in [false, true] {
            let d = Descriptor::new(1 << 30, 1024, dirty);
            assert_eq!((d.value_bytes(), d.key_bytes(), d.is_dirty()), (1 << 30, 1024, dirty));
        }
        type Flag = (fn(Descriptor) -> bool, fn(Descriptor, bool) -> Descriptor);
        let flags: [Flag; 5] = [
            (Descriptor::is_dirty, Descriptor::with_dirty),
            (Descriptor::is_timed, Descriptor::with_timed),
            (Descriptor::is_appended, Descriptor::with_appended),
            (Descriptor::is_pinned, Descriptor::with_pinned),
            (Descriptor::is_checked, Descriptor::with_checked),
        ];
        let told = |d: Descriptor| {
            (
                d.value_bytes(),
                d.key_bytes(),
                d.value_type(),
                flags.map(|(is, _)| is(d)),
            )
        };
        for all in [false, true] {
            let mut d = Descriptor::new(1 << 30, 1024, all).with_type(0xa5);
            for (_, with) in flags {
                d = with(d, all);
            }
            assert_eq!(told(d), (1 << 30, 1024, 0xa5, [all; 5]));
            for (i, (_, with)) in flags.into_iter().enumerate() {
                let mut others = [all; 5];
                others[i] = !all;
                assert_eq!(told(with(d, !all)), (1 << 30, 1024, 0xa5, others));
                assert_eq!(with(with(d, !all), all), d);
                assert_eq!(with(d, all), d);
            }
            assert_eq!(told(d.with_type(0x5a)), (1 << 30, 1024, 0x5a, [all; 5]));
            assert_eq!(told(d.with_key_bytes(3)), (1 << 30, 3, 0xa5, [all; 5]));
        }
    }
}
