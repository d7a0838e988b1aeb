//! `splinterctl` and its other names.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    splinter_cli::main()
}
