//! Copying to and from bytes that other processes change at the same time.
//!
//! A reader of a seqlock copies first and learns afterwards whether the copy is whole, so the copy itself races by
//! definition. To the compiler a racing plain access is undefined behaviour; a copy that it cannot see into is not. On
//! x86-64 that is a vector move in inline assembly, and for long copies the C library's routine behind an opaque pointer;
//! elsewhere, and where a checker looks on that is blind to assembly, it is relaxed atomic words. (Hans Boehm, "Can seqlocks
//! get along with programming language memory models?", 2012, has the argument and the place of the fences, which the
//! callers own.)

/// Copies longer than this are worth a call.
#[cfg(all(target_arch = "x86_64", not(any(fuzzing, loom, miri, shuttle))))]
const INLINE_BYTES: usize = 256;

/// Copies `bytes` bytes out of shared memory.
///
/// # Safety
///
/// `from` is valid for reads of `bytes` bytes within a mapping, whoever writes there; `to` is valid for writes of as many
/// and belongs to the caller.
#[inline]
pub(crate) unsafe fn read(to: *mut u8, from: *const u8, bytes: usize) {
    // SAFETY: as the caller promises.
    unsafe { imp::read(to, from, bytes) }
}

/// Copies `bytes` bytes into shared memory.
///
/// # Safety
///
/// `from` is valid for reads of `bytes` bytes; `to` is valid for writes of as many within a mapping, whoever reads there.
#[inline]
pub(crate) unsafe fn write(to: *mut u8, from: *const u8, bytes: usize) {
    // SAFETY: as the caller promises.
    unsafe { imp::write(to, from, bytes) }
}

/// Zeroes `bytes` bytes of shared memory.
///
/// # Safety
///
/// `at` is valid for writes of `bytes` bytes within a mapping, whoever reads there.
#[inline]
pub(crate) unsafe fn zero(at: *mut u8, bytes: usize) {
    // SAFETY: as the caller promises.
    unsafe { imp::zero(at, bytes) }
}

#[cfg(all(target_arch = "x86_64", not(any(fuzzing, loom, miri, shuttle))))]
mod imp {
    use std::arch::asm;
    use std::ffi::c_void;
    use std::hint::black_box;

    use super::INLINE_BYTES;

    pub(super) use self::{copy as read, copy as write};

    #[inline]
    pub(super) unsafe fn copy(to: *mut u8, from: *const u8, bytes: usize) {
        if bytes > INLINE_BYTES {
            type Memcpy = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *mut c_void;
            let memcpy: Memcpy = black_box(libc::memcpy);
            // SAFETY: both ranges are valid by the caller's promise and belong to different objects.
            unsafe { memcpy(to.cast(), from.cast(), bytes) };
        } else if bytes >= 64 {
            let mut at = 0;
            while at + 64 < bytes {
                // SAFETY: at + 64 < bytes.
                unsafe { copy64(to.add(at), from.add(at)) };
                at += 64;
            }
            // SAFETY: the last 64 bytes; they may overlap what was copied before.
            unsafe { copy64(to.add(bytes - 64), from.add(bytes - 64)) };
        } else if bytes >= 16 {
            let mut at = 0;
            while at + 16 < bytes {
                // SAFETY: at + 16 < bytes.
                unsafe { copy16(to.add(at), from.add(at)) };
                at += 16;
            }
            // SAFETY: as above, with 16.
            unsafe { copy16(to.add(bytes - 16), from.add(bytes - 16)) };
        } else if bytes >= 8 {
            // SAFETY: the first and the last eight of 8 to 15 bytes.
            unsafe {
                copy8(to, from);
                copy8(to.add(bytes - 8), from.add(bytes - 8));
            }
        } else {
            for at in 0..bytes {
                // SAFETY: at < bytes.
                unsafe { copy1(to.add(at), from.add(at)) };
            }
        }
    }

    #[inline]
    pub(super) unsafe fn zero(at: *mut u8, bytes: usize) {
        if bytes > INLINE_BYTES {
            type Memset = unsafe extern "C" fn(*mut c_void, i32, usize) -> *mut c_void;
            let memset: Memset = black_box(libc::memset);
            // SAFETY: the range is valid by the caller's promise.
            unsafe { memset(at.cast(), 0, bytes) };
            return;
        }
        let zeros = [0_u8; 16];
        let mut done = 0;
        while done + 16 <= bytes {
            // SAFETY: done + 16 <= bytes.
            unsafe { copy16(at.add(done), zeros.as_ptr()) };
            done += 16;
        }
        // SAFETY: fewer than 16 bytes are left.
        unsafe { copy(at.add(done), zeros.as_ptr(), bytes - done) };
    }

    #[inline(always)]
    unsafe fn copy64(to: *mut u8, from: *const u8) {
        // SAFETY: as for `copy16`, with 64 bytes.
        unsafe {
            asm!(
                "movdqu {a}, [{from}]",
                "movdqu {b}, [{from} + 16]",
                "movdqu {c}, [{from} + 32]",
                "movdqu {d}, [{from} + 48]",
                "movdqu [{to}], {a}",
                "movdqu [{to} + 16], {b}",
                "movdqu [{to} + 32], {c}",
                "movdqu [{to} + 48], {d}",
                a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
                from = in(reg) from, to = in(reg) to,
                options(nostack, preserves_flags)
            );
        }
    }

    #[inline(always)]
    unsafe fn copy16(to: *mut u8, from: *const u8) {
        // SAFETY: 16 bytes are valid at both places by the caller's promise; the moves need no alignment. Without
        // `nomem` the compiler takes it for an access to any memory and neither moves nor repeats it.
        unsafe {
            asm!(
                "movdqu {x}, [{from}]",
                "movdqu [{to}], {x}",
                x = out(xmm_reg) _, from = in(reg) from, to = in(reg) to,
                options(nostack, preserves_flags)
            );
        }
    }

    #[inline(always)]
    unsafe fn copy8(to: *mut u8, from: *const u8) {
        // SAFETY: as for `copy16`, with eight bytes.
        unsafe {
            asm!(
                "mov {x}, [{from}]",
                "mov [{to}], {x}",
                x = out(reg) _, from = in(reg) from, to = in(reg) to,
                options(nostack, preserves_flags)
            );
        }
    }

    #[inline(always)]
    unsafe fn copy1(to: *mut u8, from: *const u8) {
        // SAFETY: as for `copy16`, with one byte.
        unsafe {
            asm!(
                "mov {x}, byte ptr [{from}]",
                "mov byte ptr [{to}], {x}",
                x = out(reg_byte) _, from = in(reg) from, to = in(reg) to,
                options(nostack, preserves_flags)
            );
        }
    }
}

#[cfg(all(any(fuzzing, miri, not(target_arch = "x86_64")), not(any(loom, shuttle))))]
mod imp {
    use crate::sync::{AtomicU8, AtomicU64, Ordering};

    pub(super) use self::{copy as read, copy as write};

    /// Whether both ranges can be walked in aligned words, and how many bytes of them.
    fn words(to: *const u8, from: *const u8, bytes: usize) -> usize {
        if to.cast::<u64>().is_aligned() && from.cast::<u64>().is_aligned() {
            bytes & !7
        } else {
            0
        }
    }

    // Private memory is accessed through relaxed atomics too: it costs nothing there and keeps one routine for both ways.
    #[inline]
    pub(super) unsafe fn copy(to: *mut u8, from: *const u8, bytes: usize) {
        let words = words(to, from, bytes);
        for at in (0..words).step_by(8) {
            // SAFETY: at + 8 <= bytes, and both are aligned.
            unsafe {
                let word = AtomicU64::from_ptr(from.add(at).cast_mut().cast()).load(Ordering::Relaxed);
                AtomicU64::from_ptr(to.add(at).cast()).store(word, Ordering::Relaxed);
            }
        }
        for at in words..bytes {
            // SAFETY: at < bytes.
            unsafe {
                let byte = AtomicU8::from_ptr(from.add(at).cast_mut()).load(Ordering::Relaxed);
                AtomicU8::from_ptr(to.add(at)).store(byte, Ordering::Relaxed);
            }
        }
    }

    #[inline]
    pub(super) unsafe fn zero(at: *mut u8, bytes: usize) {
        let words = words(at, at, bytes);
        for i in (0..words).step_by(8) {
            // SAFETY: i + 8 <= bytes, and the address is aligned.
            unsafe { AtomicU64::from_ptr(at.add(i).cast()).store(0, Ordering::Relaxed) };
        }
        for i in words..bytes {
            // SAFETY: i < bytes.
            unsafe { AtomicU8::from_ptr(at.add(i)).store(0, Ordering::Relaxed) };
        }
    }
}

/// Every touched word of shared memory by one access of a stand-in, which a model checker sees; private memory as it is.
#[cfg(any(loom, shuttle))]
mod imp {
    use std::ops::Range;

    use crate::sync::{AtomicU64, Ordering};

    const WORD_BYTES: usize = size_of::<u64>();

    /// Goes through the words that a range touches: `visit` gets each, the part of it that lies in the range, and how many
    /// bytes of the range lie before it.
    ///
    /// # Safety
    ///
    /// The range lies in memory that consists of aligned words, and is valid for what `visit` does.
    unsafe fn for_each_word(start: *const u8, bytes: usize, mut visit: impl FnMut(&AtomicU64, Range<usize>, usize)) {
        let mut done = 0;
        while done < bytes {
            let begin = start.addr().wrapping_add(done) % WORD_BYTES;
            let end = WORD_BYTES.min(begin + bytes - done);
            // SAFETY: the address is aligned, and the word holds a byte of the range.
            let word = unsafe { &*start.wrapping_add(done).wrapping_sub(begin).cast::<AtomicU64>() };
            visit(word, begin..end, done);
            done += end - begin;
        }
    }

    pub(super) unsafe fn read(to: *mut u8, from: *const u8, bytes: usize) {
        // SAFETY: as the caller promises; regions and buffers of theirs consist of words.
        unsafe {
            for_each_word(from, bytes, |word, part, done| {
                let word = word.load(Ordering::Relaxed).to_ne_bytes();
                to.add(done).copy_from(word[part.clone()].as_ptr(), part.len());
            });
        }
    }

    pub(super) unsafe fn write(to: *mut u8, from: *const u8, bytes: usize) {
        // SAFETY: as the caller promises; regions and buffers of theirs consist of words.
        unsafe {
            for_each_word(to, bytes, |word, part, done| {
                // Nobody else writes here, so what is around the part stays as it is.
                let before = if part.len() < WORD_BYTES {
                    word.load(Ordering::Relaxed)
                } else {
                    0
                };
                let mut bytes = before.to_ne_bytes();
                bytes[part.clone()].as_mut_ptr().copy_from(from.add(done), part.len());
                word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
            });
        }
    }

    pub(super) unsafe fn zero(at: *mut u8, bytes: usize) {
        let zeros = vec![0; bytes];
        // SAFETY: as the caller promises.
        unsafe { write(at, zeros.as_ptr(), bytes) };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_length_is_copied_and_zeroed_exactly() {
        let source: Vec<u8> = (0..700).map(|i| (i % 251 + 1) as u8).collect();
        for bytes in 0..600 {
            for offset in [0, 8, 3] {
                let mut target = vec![0xee_u8; 700];
                // SAFETY: 600 + 8 bytes lie within both vectors.
                unsafe { super::read(target.as_mut_ptr().add(offset), source.as_ptr(), bytes) };
                assert_eq!(target[offset..offset + bytes], source[..bytes]);
                assert!(
                    target[..offset]
                        .iter()
                        .chain(&target[offset + bytes..])
                        .all(|&b| b == 0xee)
                );
                // SAFETY: as above.
                unsafe { super::zero(target.as_mut_ptr().add(offset), bytes) };
                assert!(target[offset..offset + bytes].iter().all(|&b| b == 0));
                assert!(
                    target[..offset]
                        .iter()
                        .chain(&target[offset + bytes..])
                        .all(|&b| b == 0xee)
                );
            }
        }
    }
}
