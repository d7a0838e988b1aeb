//! The fuzzer of `splinter_fuzz::neighbour`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| splinter_fuzz::neighbour(bytes));
