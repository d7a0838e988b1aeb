//! The transcripts of the README, as somebody types them into a shell.

use std::path::Path;

use portable_pty::CommandBuilder;

use crate::common::{Place, Terminal};

/// The transcript below a heading.
fn transcript(heading: &str) -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let (_, section) = readme.split_once(&format!("\n{heading}\n")).expect("the heading");
    let (_, block) = section.split_once("\n```console\n").expect("a transcript");
    block.split_once("```").expect("its end").0.to_string()
}

/// A screen with what is another number each time replaced, so that two can be compared.
fn comparable(screen: &str) -> String {
    let line = |line: &str| match line.split_once(' ') {
        Some((name @ ("hash:" | "val_off:"), number)) if number.trim().bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{name} N")
        }
        _ => line.trim_end().to_string(),
    };
    screen.trim_end().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_transcript_of_the_command_line_is_what_a_shell_shows() {
    let place = Place::new();
    // As typed, but with a store that nobody else has.
    let wanted = transcript("### The command line").replace("demo", &place.store);
    let commands: Vec<&str> = wanted.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(commands.len() >= 8 && commands[1].starts_with("alias "), "{commands:?}");
    let mut command = CommandBuilder::new("bash");
    command.args(["--norc", "--noprofile", "--noediting", "-i"]);
    command.env_clear();
    command.env("HOME", place.path(""));
    command.env("PATH", format!("{}:/usr/bin:/bin", place.path("").display()));
    command.env("PS1", "$ ");
    command.env("TERM", "dumb");
    command.env("HISTFILE", "/dev/null");
    command.cwd(place.path(""));
    let mut terminal = Terminal::start(command, 100);
    terminal.expect_last("$");
    for (at, command) in commands.iter().enumerate() {
        terminal.send(&format!("{command}\n"));
        let prompts = at + 2;
        terminal.until(command, |screen| {
            let count = screen
                .lines()
                .filter(|line| line.trim_end() == "$" || line.starts_with("$ "))
                .count();
            count == prompts
                && screen
                    .trim_end()
                    .lines()
                    .last()
                    .is_some_and(|last| last.trim_end() == "$")
        });
    }
    let shown = terminal.screen();
    assert_eq!(comparable(&shown), comparable(&(wanted + "$ ")));
    terminal.send("exit\n");
    assert_eq!(terminal.end().0, 0);
}
