//! The fuzzer of `splinter_fuzz::operations`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| splinter_fuzz::operations(bytes));
