//! The fuzzer of `splinter_fuzz::open`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| splinter_fuzz::open(bytes));
