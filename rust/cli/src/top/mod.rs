//! `top`: the keys of a store while they change, on the whole screen.
//!
//! The [`model`] is what is known of the store: it follows the feed of changes, so that looking costs what changes, not what
//! exists. The [`view`] is what of it is shown, and obeys the keys; it draws on the [`screen`]. Where there is none, one table
//! is [`mod@print`]ed.

mod model;
mod print;
mod screen;
mod view;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use splinter::Store;

use crate::failure::Failure;
use crate::signals::{Interrupts, Terminations, nobody_reads};
use model::Model;
use screen::Screen;
use view::View;

/// How long to wait for a key at once: signals are looked for in between.
const TICK: Duration = Duration::from_millis(100);

/// Shows the keys of a store while they change, as `top` shows processes.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopArgs {
    /// What to sort by
    #[arg(long, value_name = "COLUMN", default_value = "writes")]
    pub(crate) sort: Sort,
    /// Turn the order round
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Only keys that contain this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) filter: String,
    /// How often the figures are refreshed, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub(crate) interval_ms: u64,
    /// Print one table after one interval and end, as is done where the output is no terminal
    #[arg(long)]
    pub(crate) once: bool,
}

/// What lines are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Sort {
    /// Name, ascending
    Key,
    /// Epoch, the highest first
    Epoch,
    /// Length of the value, the longest first
    Size,
    /// Writes per second, most first
    #[default]
    Writes,
}

/// Shows a store until it is told to end, or prints it once to `out`. Only keys that begin with `prefix` are shown.
pub(crate) fn run(args: &TopArgs, store: &Store, prefix: &str, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let interrupts = Interrupts::catch()?;
    let mut model = Model::new(store)?;
    let mut view = View::new(args, prefix);
    let interval = Duration::from_millis(args.interval_ms);
    if args.once || json || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        model.follow(interval, &interrupts)?;
        model.refresh()?;
        view.arrange(&model);
        return if json {
            print::json(&model, &view, out)
        } else {
            print::table(&mut model, &view, out)
        };
    }
    // Obeyed once the terminal is given back.
    let terminations = Terminations::catch()?;
    let mut screen = Screen::enter()?;
    interact(&mut screen, &mut model, &mut view, interval, || {
        interrupts.came() || terminations.came()
    })
}

fn interact(
    screen: &mut Screen,
    model: &mut Model<'_>,
    view: &mut View<'_>,
    interval: Duration,
    ended: impl Fn() -> bool,
) -> Result<(), Failure> {
    view.arrange(model);
    loop {
        if !view.paused {
            let is_behind = model.take()?;
            if model.since.elapsed() >= interval && model.refresh()? {
                view.arrange(model);
            }
            if is_behind && !event::poll(Duration::ZERO)? && !ended() && model.since.elapsed() < interval {
                continue;
            }
        }
        // One that has gone may be read from at once, and never has a key.
        if nobody_reads() {
            return Err(Failure::NobodyReads);
        }
        screen.draw(|frame| view.draw(model, frame))?;
        let left = if view.paused {
            TICK
        } else {
            interval.saturating_sub(model.since.elapsed()).min(TICK)
        };
        if event::poll(left)? {
            while event::poll(Duration::ZERO)? {
                if let Event::Key(key) = event::read()?
                    && key.kind != KeyEventKind::Release
                    && view.press(key, model)
                {
                    return Ok(());
                }
            }
        }
        if ended() {
            return Ok(());
        }
    }
}

fn per_second(rate: f64) -> String {
    if rate == 0.0 {
        "0".into()
    } else if rate < 100.0 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.0}")
    }
}
