//! Random operations, all that there are, do what they do to a store of plain maps.
//!
//! A failure prints the seed and the steps that led to it. `SPLINTER_TEST_ROUNDS` sets how many seeds are tried,
//! `SPLINTER_TEST_SECONDS` for how long, and `SPLINTER_TEST_SEED` the first of them.

#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/tries.rs"]
mod tries;
#[path = "common/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use bytes::Random;
use tries::{tried, tries};
use world::World;

const STEPS: u64 = 250;

#[test]
fn random_operations_do_what_a_model_does() {
    let mut operations = 0;
    for seed in tries(200) {
        let mut world = World::new(Random::new(seed), seed.is_multiple_of(2));
        let result = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..STEPS {
                world.step();
            }
        }));
        if let Err(panic) = result {
            for (number, step) in world.log().iter().enumerate() {
                eprintln!("{number}: {step}");
            }
            eprintln!("SPLINTER_TEST_SEED={seed} SPLINTER_TEST_ROUNDS=1");
            resume_unwind(panic);
        }
        operations += STEPS;
    }
    tried(operations, "random operations");
}
