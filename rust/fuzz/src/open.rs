//! Opening and using what claims to be a store.

use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::bytes::{memory_file, sign};
use crate::calls::call;
use crate::input::Input;
use crate::victim::{BOOT_ID_AT, Patch, Victim, checkpoint_of, directory_on_disk, impatient, seal};

const CALLS_MAX: usize = 64;
const PATCHES_MAX: usize = 16;
/// A region as long as the first page says, if it is no longer than this.
const REGION_BYTES_MAX: u64 = 1 << 20;

/// Opens a file of these bytes, or a store that they damage, or one that they damage together with its checkpoint and that
/// has to be recovered; and uses it.
///
/// # Panics
///
/// If it does anything that no store of its geometry can do.
pub fn open(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let shape = input.byte();
    match shape & 3 {
        0 => open_file_of_bytes(&mut input, shape),
        1 => open_damaged(&mut input, shape),
        _ => recover(&mut input, shape),
    }
}

fn patches<'a>(input: &mut Input<'a>, mut choose: impl FnMut(&mut Input<'a>) -> Patch<'a>) -> Vec<Patch<'a>> {
    (0..input.below(PATCHES_MAX)).map(|_| choose(input)).collect()
}

fn open_file_of_bytes(input: &mut Input<'_>, shape: u8) {
    let mut region = Vec::new();
    if shape & 4 != 0 {
        // Magic, version and fingerprint are right.
        region.extend(&Victim::get().region[..16]);
    }
    region.extend(input.rest());
    if shape & 8 != 0 {
        region.resize(region.len().max(128), 0);
        sign(&mut region);
    }
    let said = region
        .get(32..40)
        .map_or(0, |said| u64::from_le_bytes(said.try_into().unwrap()));
    let file_bytes = if shape & 16 != 0 && said <= REGION_BYTES_MAX {
        said
    } else {
        region.len() as u64
    };
    let (file, path) = memory_file();
    file.write_all_at(&region, 0).unwrap();
    file.set_len(file_bytes).unwrap();
    use_store_at(&path, &mut Input::new(&region));
}

fn damaged(input: &mut Input<'_>, shape: u8) -> Vec<u8> {
    let mut region = Victim::get().region.clone();
    if shape & 4 != 0 {
        patches(input, Patch::of_identity)
            .iter()
            .for_each(|patch| patch.apply(&mut region));
        sign(&mut region);
    }
    patches(input, Patch::of_region)
        .iter()
        .for_each(|patch| patch.apply(&mut region));
    region
}

fn open_damaged(input: &mut Input<'_>, shape: u8) {
    let region = damaged(input, shape);
    let (file, path) = memory_file();
    file.write_all_at(&region, 0).unwrap();
    use_store_at(&path, input);
}

fn recover(input: &mut Input<'_>, shape: u8) {
    let mut region = damaged(input, shape);
    region[BOOT_ID_AT..BOOT_ID_AT + 16].fill(0x5a);
    let mut checkpoint = Victim::get().checkpoint.clone();
    let bytes = checkpoint.len();
    patches(input, |input| Patch::of_checkpoint(input, bytes))
        .iter()
        .for_each(|patch| patch.apply(&mut checkpoint));
    if shape & 8 != 0 {
        seal(&mut checkpoint);
    }
    if shape & 16 != 0 {
        checkpoint.truncate(input.below(bytes));
    }
    let directory = directory_on_disk();
    let path = directory.path().join("s");
    std::fs::write(&path, region).unwrap();
    std::fs::write(checkpoint_of(&path), checkpoint).unwrap();
    if let Ok(store) = impatient().open(&path) {
        let _ = store.sync().map_err(|error| assert!(!error.to_string().is_empty()));
    }
    use_store_at(&path, input);
}

fn use_store_at(path: &Path, input: &mut Input<'_>) {
    match impatient().open(path) {
        Ok(store) => {
            for _ in 0..CALLS_MAX {
                call(&store, input);
                if input.is_over() {
                    break;
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(store) = impatient().read_only(true).open(path) {
        let _ = store.check();
        let _ = store.get_vec("key1");
        store.list().for_each(drop);
    }
}
