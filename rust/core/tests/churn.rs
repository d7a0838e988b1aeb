//! Keys that come and go for a long time.
//!
//! Two million by default; `SPLINTER_TEST_CHURN` sets another number.

#[path = "common/tries.rs"]
mod tries;

use std::collections::HashSet;

use splinter::{Error, OpenOptions};
use tries::{number, tried};

#[test]
fn short_lived_keys_leave_no_duplicate_no_old_value_and_no_early_full() {
    let churn: u64 = number("SPLINTER_TEST_CHURN").unwrap_or(2_000_000);
    // 95% of 1,024.
    const LIVE: u64 = 972;
    const SLOTS: u32 = 1024;
    let store = OpenOptions::new().slots(SLOTS).max_value_bytes(64).anonymous().unwrap();
    let mut buffer = [0; 64];
    for i in 0..churn {
        store.set(format!("key{i}"), i.to_le_bytes()).unwrap();
        if let Some(oldest) = i.checked_sub(LIVE) {
            let oldest = format!("key{oldest}");
            assert_eq!(store.unset(&oldest), Ok(Some(8)));
            assert_eq!(store.get(&oldest, &mut buffer), Ok(None), "a deleted value came back");
        }
        let some = i.saturating_sub(i % LIVE.min(i + 1));
        assert_eq!(store.get(format!("key{some}"), &mut buffer), Ok(Some(8)));
        assert_eq!(buffer[..8], some.to_le_bytes());
        if i % 100_000 == 0 {
            let keys: Vec<String> = store.keys().map(Result::unwrap).collect();
            assert_eq!(
                keys.iter().collect::<HashSet<_>>().len(),
                keys.len(),
                "a key twice in one list"
            );
            assert_eq!(keys.len() as u64, (i + 1).min(LIVE));
        }
    }
    for i in 0..u64::from(SLOTS) - LIVE.min(churn) {
        store.set(format!("filler{i}"), "").unwrap();
    }
    assert_eq!(store.set("one too many", ""), Err(Error::Full { slots: SLOTS }));
    tried(churn, "short-lived keys");
}
