//! The form in which the figures leave this program: `bench/schema.ts` says what each field means.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub schema: u32,
    pub suite: &'static str,
    pub date: String,
    pub quick: bool,
    pub machine: Machine,
    pub versions: BTreeMap<String, String>,
    pub skipped: Vec<Skipped>,
    pub groups: Vec<Group>,
}

#[derive(Serialize)]
pub struct Machine {
    processor: String,
    processors: usize,
    #[serde(rename = "memoryGiB")]
    memory_gib: f64,
    kernel: String,
}

#[derive(Serialize)]
pub struct Skipped {
    pub what: String,
    pub why: String,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    Operations,
    Sharing,
    Waking,
    Memory,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Less,
    More,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Us,
    Peer,
    Floor,
}

#[derive(Serialize)]
pub struct Group {
    pub id: &'static str,
    pub section: Section,
    pub title: &'static str,
    pub unit: &'static str,
    pub better: Better,
    pub scale: &'static str,
    pub notes: Vec<&'static str>,
    pub results: Vec<Outcome>,
}

#[derive(Serialize)]
pub struct Outcome {
    pub contender: &'static str,
    pub kind: Kind,
    pub case: String,
    pub value: f64,
    pub ratio: Option<f64>,
    pub spread: f64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<&'static str, f64>,
}

/// The contents of a small file of the kernel's, or nothing.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// What follows a name and a colon in such a file.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

impl Machine {
    pub fn here() -> Self {
        let memory = read("/proc/meminfo");
        let kib: f64 = field(&memory, "MemTotal")
            .and_then(|text| text.split(' ').next()?.parse().ok())
            .unwrap_or(0.0);
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").into(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kib / 1024.0 / 1024.0).round(),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        }
    }
}

/// How much memory this process has of its own and of what it shares, in bytes.
pub fn resident_bytes() -> f64 {
    field(&read("/proc/self/status"), "VmRSS")
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
        .map_or(0.0, |kib| kib * 1024.0)
}
