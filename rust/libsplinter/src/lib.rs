//! The C libraries `libsplinter` and `libsplinter_p`, which differ in what a name is: of shared memory, or of a file.
//!
//! Both have two interfaces to the same stores: [`classic`], one current bus a process, with the header `splinter.h`; and
//! [`handles`], any number of stores, with the header `splinter_bus.h`.

pub mod classic;
mod current;

// Its source and not its crate: a library that is also a Rust library is not optimised as a whole, and Deno and Bun call
// that one.
#[path = "../../ffi/src/lib.rs"]
pub mod handles;
