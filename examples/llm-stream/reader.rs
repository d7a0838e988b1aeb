//! Follows the answer that `writer.ts` writes, in Rust:
//!
//! ```console
//! $ cargo add splinter-bus serde_json
//! $ cargo run -- llm.splinter
//! ```

use std::error::Error;
use std::io::{Write, stdout};
use std::time::Duration;

use serde_json::Value;
use splinter::{EventKind, OpenOptions, Pattern, WatchOptions};

const LOOK: Duration = Duration::from_millis(250);

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: reader STORE")?;
    let store = OpenOptions::new()
        .max_value_bytes(65_536)
        .open_or_create(path)?;
    // What is there already comes first, so that it does not matter when a reader joins.
    let mut watcher = store.watch_with(
        Pattern::keys(["answer", "answer/state"]),
        &WatchOptions::new().appended(true).initial(true),
    )?;
    let mut output = stdout().lock();
    let mut length = 0;
    let mut total = None;
    // An event brings the newest state of its key, so the end may be told before the last bytes come.
    while total != Some(length) {
        let Some(event) = watcher.next_timeout(LOOK)? else {
            // Somebody has to notice that a writer is silent: here it is the reader.
            store.sweep()?;
            continue;
        };
        match (&*event.key, &event.value) {
            ("answer", Some(bytes)) => {
                if event.offset < length {
                    output.write_all(b"\n--- the answer begins anew ---\n")?;
                }
                output.write_all(bytes)?;
                output.flush()?;
                length = event.offset + bytes.len();
            }
            ("answer/state", Some(bytes)) => {
                let state: Value = serde_json::from_slice(bytes)?;
                total = state["length"].as_u64().map(usize::try_from).transpose()?;
            }
            _ if event.kind == EventKind::Expired => return Err("the writer has died".into()),
            _ => {}
        }
    }
    Ok(())
}
