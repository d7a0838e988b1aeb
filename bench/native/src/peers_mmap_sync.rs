//! Cloudflare's mmap-sync: one value that one process writes and others read.

use std::path::Path;
use std::time::Duration;

use mmap_sync::locks::LockDisabled;
use mmap_sync::synchronizer::Synchronizer;
use wyhash::WyHash;

use crate::measure::Step;
use crate::peers::Peer;

/// How long a writer waits for the readers of the older copy. Its default is to look again after a second; this is the
/// shortest sleep there is.
const LOOK_AGAIN_NS: u64 = 1;
const GRACE: Duration = Duration::from_millis(100);

pub struct MmapSync<const N: usize>(Synchronizer<WyHash, LockDisabled, 1024, LOOK_AGAIN_NS>);

impl<const N: usize> MmapSync<N> {
    pub fn open(directory: &Path) -> Self {
        Self(Synchronizer::with_params(directory.join("mmap-sync").as_os_str()))
    }
}

impl<const N: usize> Peer for MmapSync<N>
where
    [u8; N]: rkyv::Archive<Archived = [u8; N]>,
{
    fn get(&mut self, _: &Step, into: &mut [u8]) -> bool {
        // SAFETY: the value is copied at once, within the grace, and every array of bytes is a valid one.
        let found = unsafe { self.0.read::<[u8; N]>(false) };
        into.copy_from_slice(&*found.expect("a value"));
        true
    }

    fn set(&mut self, _: &Step, value: &[u8]) {
        self.0.write_raw::<[u8; N]>(value, GRACE).expect("a write");
    }

    fn unset(&mut self, _: &Step) -> bool {
        unreachable!("there is one value")
    }

    fn list(&mut self) -> usize {
        1
    }
}
