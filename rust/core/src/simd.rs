//! What the processor can do and the language cannot say.

/// One bit for each of sixteen bytes that equals `byte`; bit 0 is the lowest byte of the first word.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn equal_bytes(words: [u64; 2], byte: u8) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    // SAFETY: SSE2 is part of x86-64.
    unsafe {
        let bytes = _mm_set_epi64x(words[1] as i64, words[0] as i64);
        _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte as i8))) as u32
    }
}

/// The same in ordinary words.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn equal_bytes(words: [u64; 2], byte: u8) -> u32 {
    let bytes = words.into_iter().flat_map(u64::to_le_bytes);
    bytes
        .enumerate()
        .fold(0, |mask, (i, found)| mask | u32::from(found == byte) << i)
}

/// Asks for a cache line before it is needed. Any address will do.
#[inline]
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which is ignored where it cannot be followed.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
