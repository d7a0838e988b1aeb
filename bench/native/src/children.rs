//! Processes of this program's that wait for commands, one a line, and answer each by a line.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Worker {
    process: Child,
    /// `None` once it was told to end.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    pub fn start(role: &str, peer: &str, directory: &Path, numbers: &[usize]) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["child", role, peer])
            .arg(directory)
            .args(numbers.iter().map(usize::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        let mut worker = Self {
            process,
            commands,
            answers,
        };
        // It has opened whatever it works with.
        assert!(worker.answer().is_empty());
        worker
    }

    pub fn tell(&mut self, command: &str) {
        let commands = self.commands.as_mut().expect("until it is dropped");
        writeln!(commands, "{command}").expect("it lives");
    }

    pub fn answer(&mut self) -> Vec<f64> {
        let mut line = String::new();
        let bytes = self.answers.read_line(&mut line).expect("it lives");
        assert!(bytes > 0, "a child has ended: it says why above");
        line.split_whitespace()
            .map(|word| word.parse().expect("a number"))
            .collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its commands is its end; whatever it holds is given back properly.
        drop(self.commands.take());
        let _ = self.process.wait();
    }
}

/// The child's side: answers commands until there are no more.
pub fn serve(mut obey: impl FnMut(&str) -> Vec<f64>) {
    let mut out = std::io::stdout();
    writeln!(out).expect("somebody listens");
    for line in std::io::stdin().lines() {
        let numbers = obey(&line.expect("text"));
        let words: Vec<String> = numbers.iter().map(f64::to_string).collect();
        writeln!(out, "{}", words.join(" ")).expect("somebody listens");
    }
}
