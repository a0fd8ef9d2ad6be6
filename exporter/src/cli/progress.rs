//! A bar on a terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use staticnet_graph::console::note;
use std::io::IsTerminal;

/// Progress of something countable.
pub(super) struct Progress {
    bar: ProgressBar,
    total: usize,
    what: &'static str,
    plain: bool,
}

impl Progress {
    /// `quiet` shows nothing.
    pub(super) fn new(what: &'static str, total: usize, quiet: bool) -> Progress {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain || quiet { ProgressBar::hidden() } else { ProgressBar::new(total as u64) };
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:32} {pos}/{len} {per_sec} ETA {eta}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        Progress { bar, total, what, plain: plain && !quiet }
    }

    /// `done` of the total are done.
    pub(super) fn set(&self, done: usize) {
        self.bar.set_position(done as u64);
        let step = self.total.div_ceil(10).max(1);
        if self.plain && (done.is_multiple_of(step) || done == self.total) {
            note(format!("{} {done}/{}", self.what, self.total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
