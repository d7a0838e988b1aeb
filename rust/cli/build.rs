//! Tells the program which commit it is made of.

use std::path::Path;
use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_string())
}

fn main() {
    println!("cargo::rerun-if-env-changed=SPLINTER_BUILD");
    println!("cargo::rerun-if-changed=build.rs");
    // Grows with every commit.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|path| Path::new(path).exists());
    if let Some(path) = log {
        println!("cargo::rerun-if-changed={path}");
    }
    let build = std::env::var("SPLINTER_BUILD")
        .ok()
        .or_else(|| git(&["rev-parse", "--short=12", "HEAD"]))
        // Built of a package, not of the repository.
        .unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=SPLINTER_BUILD={build}");
}
