//! Ctrl-C, and a scheduler's polite request to end: the training saves and ends; asked again, the process ends at once.

use super::CliError;
use crate::ranks::{Ranks, on_stop};
use crate::train::{Callback, Control, Event};
use staticnet_graph::console::note;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a shell reports for a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Stops a training where a signal asked for it.
pub(super) struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// From here on signals are listened to, and the process that started this one. Where a rank hears one all ranks stop.
    pub(super) fn listen(ranks: &Ranks) -> Result<Self, CliError> {
        let asked = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&asked);
        let ask = move || {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(INTERRUPTED);
            }
            note("\nsaving after this step; once more to end without");
        };
        on_stop(ranks, ask.clone());
        ctrlc::set_handler(ask).map_err(|error| CliError::failed(format!("Ctrl-C cannot be listened to: {error}")))?;
        Ok(Interrupt { asked })
    }
}

impl Callback for Interrupt {
    fn on(&mut self, event: &Event<'_>) -> Control {
        match event {
            Event::Step(_) | Event::Epoch(_) if self.asked.load(Ordering::SeqCst) => Control::Stop,
            Event::Step(_) | Event::Epoch(_) | Event::Tested { .. } | Event::Note(_) => Control::Continue,
        }
    }
}
