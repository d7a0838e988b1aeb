//! Somebody who writes into a store what he likes while others use it.

use std::os::unix::fs::FileExt;

use crate::bytes::memory_file;
use crate::calls::call;
use crate::input::Input;
use crate::strike::Neighbour;
use crate::victim::{Patch, Victim, impatient};

const STEPS_MAX: usize = 100;

/// Uses a store, and damages it between the calls and in the middle of them, as these bytes choose.
///
/// # Panics
///
/// If a call has a result that it can have in no store of its geometry.
pub fn neighbour(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (file, path) = memory_file();
    file.write_all_at(&Victim::get().region, 0).unwrap();
    let store = impatient().open(&path).unwrap();
    let reader = impatient().read_only(true).open(&path).unwrap();
    let neighbour = Neighbour::of(&store, &file);
    for _ in 0..STEPS_MAX {
        match input.below(8) {
            0 | 1 => Patch::of_region(&mut input).write(&file),
            2 | 3 => call(&store, &mut input),
            4 => call(&reader, &mut input),
            _ => {
                let accesses = u32::from(input.byte());
                let patch = Patch::of_region(&mut input);
                neighbour.strike(&patch, accesses, || call(&store, &mut input));
            }
        }
        if input.is_over() {
            break;
        }
    }
}
