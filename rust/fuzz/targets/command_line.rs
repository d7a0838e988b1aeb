//! The fuzzer of `splinter_fuzz::command_line`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| splinter_fuzz::command_line(bytes));
