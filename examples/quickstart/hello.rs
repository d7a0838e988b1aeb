//! Reads the greeting that another process left and leaves one: run it beside the others of this directory.
//!
//! ```console
//! $ cargo add splinter-bus
//! $ cargo run
//! ```

use splinter::Store;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open_or_create("hello.splinter")?;
    let before = store.get_vec("greeting")?.unwrap_or_default();
    println!("rust found \"{}\"", String::from_utf8(before)?);
    store.set("greeting", "hello from Rust")?;
    Ok(())
}
