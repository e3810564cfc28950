//! Says on standard error what is being measured.
//!
//! In: a line at a time. Out: on a terminal one line that changes; elsewhere a line for each workload. Nothing is drawn
//! while a run is timed.

use std::cell::RefCell;
use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line.
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    workload: RefCell<String>,
}

impl Progress {
    /// Nothing at all when `quiet`.
    pub fn new(quiet: bool) -> Progress {
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Progress { bar, quiet, workload: RefCell::default() }
    }

    /// `workload: what`.
    pub fn tell(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
            bar.tick();
        } else if !self.quiet {
            let name = what.split(": ").next().unwrap_or(what);
            if self.workload.replace(name.to_owned()) != name {
                eprintln!("bordertap: measuring {name}");
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
