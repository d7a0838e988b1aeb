//! Operations against a model.

use crate::bytes::Random;
use crate::world::World;

/// Does operations to a store, and to a model of it, as these bytes choose.
///
/// # Panics
///
/// If the store does something else than the model.
pub fn operations(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let mut world = World::new(Random::chosen(rest.to_vec()), first & 1 == 0);
    while world.is_chosen() {
        world.step();
    }
}
