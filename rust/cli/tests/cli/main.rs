//! The command line as people and scripts meet it: transcripts of every command, one-shot, through pipes and in a terminal.

mod common;
mod errors;
mod follow;
mod interactive;
mod oneshot;
mod transfer;
