//! Who is attached to a store, and whether they live.
//!
//! A lock word names its owner by a token: the owner's place in the table of handles, and an incarnation that no other
//! handle of this store ever had. For as long as it lives, a handle's open file holds a lock on one byte of the file, far
//! behind the region. The kernel drops it when the last descriptor of that open file is gone, at whatever death, even before
//! the process is reaped, and whatever its pid namespace; that, and never the passing of time, proves a death.
//!
//! Somebody who has no such locks may write too, but only alone: where no native code is permitted, a file can be locked as a
//! whole (`flock`) and nothing else. So every handle that writes shares that lock for as long as it lives, and whoever takes
//! it for himself finds no handle at work, and lets none come.

#![forbid(unsafe_code)]

use std::fs::TryLockError;

use crate::error::{Error, Result};
use crate::layout::HANDLES;
use crate::region::Region;
use crate::store::Store;
use crate::sync::Ordering;
use crate::sys;

/// Bits of a token that hold the place in the table, plus one.
pub(crate) const INDEX_BITS: u32 = 16;
pub(crate) const INCARNATION_MASK: u64 = u64::MAX >> INDEX_BITS;

/// A lock word that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    fn new(index: usize, incarnation: u64) -> Self {
        Self(incarnation << INDEX_BITS | (index as u64 + 1))
    }

    pub(crate) fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)).wrapping_sub(1) as usize
    }

    fn incarnation(self) -> u64 {
        self.0 >> INDEX_BITS
    }
}

/// A place in the table whose owner is dead, and what it said when he was seen to be.
#[derive(Debug)]
pub(crate) struct DeadHandle {
    index: usize,
    incarnation: u64,
}

impl Region {
    /// Takes a free place in the table of handles, or, if `from_the_dead`, one whose owner is dead. `None` if there is none.
    ///
    /// A place taken from the dead leaves their locks behind: they are seen to be of an earlier incarnation, and the caller
    /// looks for them.
    pub(crate) fn try_attach(&self, from_the_dead: bool) -> Result<Option<Token>> {
        let io = |error| Error::from_os("lock a byte of the store", &error);
        let life = self.life()?;
        for index in 0..HANDLES {
            let handle = self.handle(index);
            let is_free = || handle.incarnation.load(Ordering::Acquire) == 0;
            if !(from_the_dead || is_free()) || !sys::try_hold(life, index).map_err(io)? {
                continue;
            }
            // The byte is ours, so nobody else takes the place; but it may have been taken, and its owner have died, since
            // the look above.
            if !(from_the_dead || is_free()) {
                sys::release_hold(life, index);
                continue;
            }
            // Never 0, and never the same twice: there are 2^48 of them.
            let last = self.header().incarnations.fetch_add(1, Ordering::Relaxed);
            let incarnation = (last.wrapping_add(1) & INCARNATION_MASK).max(1);
            handle.pid.store(std::process::id(), Ordering::Relaxed);
            handle.watches.store(0, Ordering::Relaxed);
            handle.start_time.store(sys::process_start_time(), Ordering::Relaxed);
            // Release: whoever sees the place taken sees by whom. The byte is held before, so nobody can see it taken by
            // somebody who seems dead.
            handle.incarnation.store(incarnation, Ordering::Release);
            return Ok(Some(Token::new(index, incarnation)));
        }
        Ok(None)
    }

    /// Says that this handle writes, to those who would have the file for themselves, for as long as its open file lives.
    /// `false`: somebody seems to have it, perhaps for this moment only.
    ///
    /// A network file system may make a lock of the whole file one of each of its bytes. Handles would be in each other's way
    /// then, so nothing is kept: there the bytes that they hold are in the way of whoever wants all.
    pub(crate) fn try_share(&self) -> Result<bool> {
        let life = self.life()?;
        let is_shared = match life.try_lock_shared() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            // Where there are no such locks, nobody has one.
            Err(TryLockError::Error(_)) => return Ok(true),
        };
        let is_of_bytes = self.is_held_whole();
        if is_shared {
            if is_of_bytes {
                let _ = life.unlock();
            }
            return Ok(true);
        }
        // Only a lock that is made of bytes is refused because of a handle's.
        Ok(!is_of_bytes && sys::is_any_held(self.file(), 0..HANDLES).unwrap_or(false))
    }

    /// Whether somebody holds a byte that is no handle's.
    pub(crate) fn is_held_whole(&self) -> bool {
        // Not by the open file that holds this handle's: one's own hold is not seen.
        sys::is_held(self.file(), HANDLES).unwrap_or(false)
    }

    /// Gives a place back. The owner holds no lock any more.
    pub(crate) fn detach(&self, token: Token) {
        self.handle(token.index()).incarnation.store(0, Ordering::Release);
        if let Ok(life) = self.life() {
            sys::release_hold(life, token.index());
        }
    }

    /// Whether the owner of a lock word is proved to be dead. `me` is alive: another thread of it holds the lock.
    pub(crate) fn is_dead(&self, me: Token, owner: Token) -> bool {
        if owner == me {
            return false;
        }
        if owner.index() >= HANDLES {
            // No handle ever had this place: a word that was not written by the protocol.
            return true;
        }
        // A place is given back only when its owner holds nothing, so a word of an earlier incarnation is of no one alive.
        self.handle(owner.index()).incarnation.load(Ordering::Acquire) != owner.incarnation()
            || (owner.index() != me.index() && !self.is_held(owner.index()))
    }

    /// Places whose owners are dead.
    pub(crate) fn dead_handles(&self, me: Token) -> Vec<DeadHandle> {
        (0..HANDLES)
            .filter(|&index| index != me.index())
            .filter_map(|index| {
                let incarnation = self.handle(index).incarnation.load(Ordering::Acquire);
                (incarnation != 0 && !self.is_held(index)).then_some(DeadHandle { index, incarnation })
            })
            .collect()
    }

    /// Frees the place of a dead owner all of whose locks have been taken over.
    pub(crate) fn bury(&self, dead: &DeadHandle) {
        // The exchange fails if another janitor was faster and the place is somebody else's now.
        let _ = self.handle(dead.index).incarnation.compare_exchange(
            dead.incarnation,
            0,
            Ordering::Release,
            Ordering::Relaxed,
        );
    }

    /// Whether somebody alive has a place, other than this handle itself.
    pub(crate) fn is_held(&self, index: usize) -> bool {
        // Any open file will do for asking. Where the system cannot tell, nobody is declared dead.
        sys::is_held(self.life().unwrap_or(self.file()), index).unwrap_or(true)
    }
}

/// A handle that is attached to a store: see [`Store::attached`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attached {
    /// Its number: [`Store::handle_id`] of its owner.
    pub id: u32,
    /// Number of its process, in that process's namespace.
    pub pid: u32,
    /// How many watches, feeds and polls it has at the moment.
    pub watches: u32,
}

impl Store {
    /// Who has the store open for writing, this handle included. Those who only read leave no trace.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the file was cut while it was open.
    pub fn attached(&self) -> Result<Vec<Attached>> {
        let region = self.region();
        let me = self.writer().map_or(HANDLES, |writer| writer.me.index());
        let attached = (0..HANDLES).filter_map(|index| {
            let handle = region.handle(index);
            let is_taken = handle.incarnation.load(Ordering::Acquire) != 0;
            (is_taken && (index == me || region.is_held(index))).then(|| Attached {
                id: index as u32,
                pid: handle.pid.load(Ordering::Relaxed),
                watches: handle.watches.load(Ordering::Relaxed),
            })
        });
        let attached = attached.collect();
        region.check_intact().map(|()| attached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_place_and_incarnation() {
        let token = Token::new(1023, INCARNATION_MASK);
        assert_eq!((token.index(), token.incarnation()), (1023, INCARNATION_MASK));
        assert!(
            Token::from_bits(1 << INDEX_BITS).index() > HANDLES,
            "index bits of 0 name nobody"
        );
    }
}
