//! What several test files need.

/// Waits until a thread, of this process or another, sleeps in the kernel.
pub(crate) fn wait_until_asleep(thread: i32) {
    let path = format!("/proc/{thread}/stat");
    loop {
        let stat = std::fs::read_to_string(&path).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        if rest.starts_with('S') {
            return;
        }
        std::thread::yield_now();
    }
}
