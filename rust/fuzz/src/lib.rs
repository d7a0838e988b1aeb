//! What nobody should be able to do to Splinter: for a fuzzer, which looks for bytes with which it can be done, and for the test
//! that tries again what the fuzzer has kept.
//!
//! Each target is an ordinary function of bytes that ends, or panics where something is wrong. `targets` gives them to libFuzzer.
//! What it has found is in `cases`, and in `corpus` what led it through the code; `tests/replay.rs` tries both.
//!
//! `input` takes bytes apart; `victim` makes a store and damages it; `calls` uses any operation; `strike` damages a store in the
//! middle of an operation.

#[path = "../../core/tests/common/bytes.rs"]
mod bytes;
mod calls;
mod command_line;
mod input;
mod neighbour;
mod open;
mod operations;
mod strike;
mod victim;
#[path = "../../core/tests/common/world.rs"]
mod world;

pub use command_line::command_line;
pub use neighbour::neighbour;
pub use open::open;
pub use operations::operations;

/// A function that is to be fuzzed.
pub type Target = fn(&[u8]);

/// All of them, by their names.
pub const TARGETS: [(&str, Target); 4] = [
    ("open", open),
    ("neighbour", neighbour),
    ("operations", operations),
    ("command_line", command_line),
];
