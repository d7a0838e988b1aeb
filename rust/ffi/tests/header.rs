//! The C header: made of the source, valid for C and C++, and the same list of functions and codes everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::{TempDir, tempdir};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the header must be.
fn generated() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(root().join("src/lib.rs"))
        .generate()
        .unwrap();
    let mut header = Vec::new();
    bindings.write(&mut header);
    let header = String::from_utf8(header).unwrap();
    // What Rust wants to be told about safety at every function stands once at the top for C.
    let mut lines = Vec::new();
    let mut skipping = false;
    for line in header.lines() {
        if line == "// # Safety" {
            skipping = true;
            // The empty line before it.
            lines.pop();
        }
        skipping &= line.starts_with("//");
        if !skipping {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

/// The header as it stands in the repository, without its comments.
fn declarations() -> String {
    let mut rest = &*read("splinter_bus.h");
    let mut code = String::new();
    while let Some(at) = rest.find("/*") {
        code.push_str(&rest[..at]);
        rest = rest[at..].split_once("*/").unwrap().1;
    }
    code.push_str(rest);
    code.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Names that begin as ours do, and stand before `end`.
fn names_before(text: &str, end: char) -> BTreeSet<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(end)
        .filter_map(|(at, _)| text[..at].rsplit(|c| !is_of_name(c)).next())
        .filter(|name| name.starts_with("spl_"))
        .map(String::from)
        .collect()
}

fn functions() -> BTreeSet<String> {
    let functions = names_before(&declarations(), '(');
    assert!(functions.len() > 20, "the header is read");
    functions
}

/// The constants whose values are numbers.
fn constants() -> BTreeMap<String, i64> {
    declarations()
        .lines()
        .filter_map(|line| line.strip_prefix("#define SPL_")?.split_once(' '))
        .filter_map(|(name, number)| Some((name.to_string(), number.parse().ok()?)))
        .collect()
}

#[test]
fn the_header_is_made_of_the_source() {
    let path = root().join("splinter_bus.h");
    let header = generated();
    if std::fs::read_to_string(&path).unwrap_or_default() != header {
        std::fs::write(&path, header).unwrap();
        panic!(
            "{} was not what the source makes of it: regenerated, commit it",
            path.display()
        );
    }
}

/// Runs a program that must succeed.
fn run(program: impl AsRef<OsStr>, arguments: &[&OsStr]) -> Output {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}\n{}{}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

const WARNINGS: [&str; 4] = ["-pedantic", "-Wall", "-Wextra", "-Werror"];

#[test]
fn the_header_is_valid_c_and_cpp() {
    let directory = tempdir().unwrap();
    // Twice, which the guard must bear, and first, so that it needs nothing before it.
    let source = "#include \"splinter_bus.h\"\n#include \"splinter_bus.h\"\n\
        int main(void) { struct spl_slot_snapshot s = {0, 0, 0, 0, 0, 0, 0, 0, 0};\n\
        return spl_slot_snapshot(0, 0, 0, &s) == SPL_CLOSED; }\n";
    let check = |compiler: &str, file: &str, standard: &str| {
        let path = directory.path().join(file);
        std::fs::write(&path, source).unwrap();
        let mut arguments: Vec<&OsStr> = WARNINGS.iter().map(OsStr::new).collect();
        arguments.extend([
            OsStr::new(standard),
            "-fsyntax-only".as_ref(),
            "-I".as_ref(),
            root().as_ref(),
        ]);
        arguments.push(path.as_ref());
        run(compiler, &arguments);
    };
    for standard in ["-std=c99", "-std=c11"] {
        check("cc", "header.c", standard);
    }
    if Command::new("c++").arg("--version").output().is_ok() {
        for standard in ["-std=c++11", "-std=c++17"] {
            check("c++", "header.cpp", standard);
        }
    } else {
        eprintln!("could not run: there is no C++ compiler");
    }
}

/// The library as `cargo build` makes it in this test's profile, and not one that an earlier build has left.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        // target/PROFILE/deps/header-HASH
        let test = std::env::current_exe().unwrap();
        let directory = test.ancestors().nth(2).unwrap();
        let profile = match directory.file_name().unwrap() {
            debug if debug == "debug" => "test".as_ref(),
            name => name,
        };
        run(
            env!("CARGO"),
            &[
                "build".as_ref(),
                "--quiet".as_ref(),
                "--locked".as_ref(),
                "--offline".as_ref(),
                "--manifest-path".as_ref(),
                root().join("Cargo.toml").as_ref(),
                "--profile".as_ref(),
                profile,
                "--target-dir".as_ref(),
                directory.parent().unwrap().as_ref(),
            ],
        );
        directory.join("libsplinter_bus.so")
    })
}

#[test]
fn the_library_exports_what_the_header_declares() {
    let output = run("nm", &["-D".as_ref(), "--defined-only".as_ref(), library().as_ref()]);
    let exported: BTreeSet<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(2).map(String::from))
        .collect();
    assert_eq!(exported, functions());
}

#[test]
fn the_clients_call_what_the_header_declares() {
    let functions = functions();
    let mut tables = Vec::new();
    for path in ["../../ts/deno/symbols.ts", "../../ts/bun/symbols.ts"] {
        let called = names_before(&read(path), ':');
        assert!(called.len() > 10, "{path} is read");
        assert_eq!(called.difference(&functions).collect::<Vec<_>>(), [""; 0], "{path}");
        tables.push(called);
    }
    assert_eq!(tables[0], tables[1], "one table is that of the other");
}

#[test]
fn the_clients_have_the_codes_of_the_header() {
    let path = "../../ts/errors.ts";
    let text = read(path);
    let (_, table) = text.split_once("ERROR_NUMBERS = {").expect(path);
    let table = table.split_once('}').unwrap().0;
    let mut theirs: BTreeMap<String, i64> = table
        .split(',')
        .filter_map(|entry| entry.split_once(':'))
        .map(|(name, number)| (name.trim().to_string(), -number.trim().parse::<i64>().unwrap()))
        .collect();
    // A client's own: that it has no library to ask, or was told to do without.
    for name in ["LIBRARY_NOT_FOUND", "UNSUPPORTED"] {
        assert_eq!(theirs.remove(name), Some(0));
    }
    let mut ours = constants();
    ours.retain(|_, &mut number| number < 0);
    assert_eq!(ours.remove("NO_KEY"), Some(-1), "a result, not an error");
    assert_eq!(theirs, ours);
    let numbers: BTreeSet<_> = ours.values().collect();
    assert_eq!(numbers.len(), ours.len(), "no number means two things");
}

#[test]
fn a_c_program_can_use_every_function() {
    let source = root().join("tests/c/smoke.c");
    let unused: Vec<_> = functions()
        .difference(&names_before(&read(&source), '('))
        .cloned()
        .collect();
    assert_eq!(unused, [""; 0], "the program leaves something out");
    // On a disk, for only there is anything to be synced.
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = directory.path().join("smoke");
    let libraries = library().parent().unwrap();
    let search = format!("-Wl,-rpath,{}", libraries.display());
    let mut arguments: Vec<&OsStr> = WARNINGS.iter().map(OsStr::new).collect();
    arguments.extend(["-std=c99", "-o"].map(OsStr::new));
    arguments.extend([
        program.as_os_str(),
        source.as_ref(),
        "-I".as_ref(),
        root().as_ref(),
        "-L".as_ref(),
    ]);
    arguments.extend([libraries.as_os_str(), "-lsplinter_bus".as_ref(), search.as_ref()]);
    run("cc", &arguments);
    run(&program, &[directory.path().join("store").as_ref()]);
}
