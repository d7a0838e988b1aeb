//! What several test files need.

/// The kernel's number of the calling thread.
pub(crate) fn thread_id() -> i32 {
    // SAFETY: a query without arguments.
    unsafe { libc::gettid() }
}

/// Waits until a thread of this process sleeps in the kernel.
pub(crate) fn wait_until_asleep(thread: i32) {
    let path = format!("/proc/self/task/{thread}/stat");
    loop {
        let stat = std::fs::read_to_string(&path).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        if rest.starts_with('S') {
            return;
        }
        std::thread::yield_now();
    }
}
