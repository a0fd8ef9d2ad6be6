//! Progress on stderr: a bar on a terminal, plain lines otherwise.

use crate::lr_find::Point;
use crate::train::{Callback, Control, EpochEnd, Event, StepEnd};
use indicatif::{ProgressBar, ProgressStyle};
use staticnet_graph::console::note;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Without a terminal, at most one line per this time within an epoch.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Shows [`Event`]s.
pub(super) struct Progress {
    epochs: u32,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Progress {
    pub(super) fn new(epochs: u32) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar
        });
        Progress { epochs, bar, last_line: Instant::now() }
    }

    fn line(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => note(text),
        }
        self.last_line = Instant::now();
    }

    /// Shows how far it is.
    fn show(&mut self, prefix: String, position: u64, length: u64, message: String) {
        match &self.bar {
            Some(bar) => {
                if bar.prefix() != prefix {
                    bar.reset();
                }
                bar.set_prefix(prefix);
                bar.set_length(length);
                bar.set_position(position);
                bar.set_message(message);
            }
            None if self.last_line.elapsed() >= LINE_EVERY => self.line(&format!("{prefix}: {position}/{length} {message}")),
            None => {}
        }
    }

    pub(super) fn observe(&mut self, event: &Event<'_>) {
        match *event {
            Event::Step(StepEnd { epoch, step, steps, loss, lr, images_per_s, .. }) => {
                let prefix = format!("epoch {}/{}", epoch + 1, self.epochs);
                self.show(prefix, step, steps, format!("loss {loss:.3}, lr {lr:.2e}, {images_per_s:.0} images/s"));
            }
            Event::Tested { done, of } => self.tested(done, of),
            Event::Note(text) => self.line(text),
            Event::Epoch(EpochEnd { metrics: m, .. }) => {
                let text = format!(
                    "epoch {}/{}: loss {:.4}, test loss {:.4}, top-1 {:.2} %, top-5 {:.2} %, {:.0} images/s, {:.0} s",
                    m.epoch,
                    self.epochs,
                    m.train_loss,
                    m.test_loss,
                    m.top1 * 100.0,
                    m.top5 * 100.0,
                    m.images_per_s,
                    m.seconds
                );
                self.line(&text);
            }
        }
    }

    /// Test pictures measured so far.
    pub(super) fn tested(&mut self, done: usize, of: usize) {
        self.show("test".into(), done as u64, of as u64, String::from("images"));
    }

    /// Pictures read so far, to see whether they can be.
    pub(super) fn checking(&mut self, done: usize, of: usize) {
        self.show("checking".into(), done as u64, of as u64, String::from("pictures"));
    }

    /// Steps of a check of a device.
    pub(super) fn checking_device(&mut self, what: &str, done: u32, of: u64) {
        self.show(what.into(), u64::from(done), of, String::from("steps"));
    }

    /// A step of the range test.
    pub(super) fn rate(&mut self, step: u64, steps: u64, point: &Point) {
        self.show("rates".into(), step, steps, format!("lr {:.2e}, loss {:.3}", point.lr, point.smoothed));
    }

    /// Pictures drawn so far.
    pub(super) fn drawing(&mut self, done: usize, of: usize) {
        self.show("drawing".into(), done as u64, of as u64, String::from("pictures"));
    }

    /// A stage without steps of its own.
    #[cfg(feature = "demo")]
    pub(super) fn say(&mut self, what: &str) {
        self.line(what);
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Callback for Progress {
    fn on(&mut self, event: &Event<'_>) -> Control {
        self.observe(event);
        Control::Continue
    }
}
