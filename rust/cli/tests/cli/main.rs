//! The command line as people and scripts meet it: transcripts of every command, one-shot, through pipes and in a terminal.

mod attributes;
mod common;
mod durability;
mod errors;
mod follow;
mod hangup;
mod interactive;
mod measure;
mod oneshot;
mod original;
mod transfer;
mod values;
