//! What a training tells while it runs.

use crate::metrics::EpochMetrics;
use crate::network::Learned;

/// Something to tell while training.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A step of the optimiser is done.
    Step(StepEnd<'a>),
    /// Test samples were measured.
    Tested {
        /// So many.
        done: usize,
        /// Of so many.
        of: usize,
    },
    /// An epoch is done and measured; its checkpoint is written.
    Epoch(EpochEnd<'a>),
    /// Something worth a line of the log.
    Note(&'a str),
}

/// A step of the optimiser.
#[derive(Clone, Copy, Debug)]
pub struct StepEnd<'a> {
    /// Whole epochs done before this one.
    pub epoch: u32,
    /// Steps of this epoch done.
    pub step: u64,
    /// Steps of an epoch.
    pub steps: u64,
    /// Steps done in all.
    pub total: u64,
    /// Mean loss of the step's batches.
    pub loss: f32,
    /// Learning rate of the step.
    pub lr: f64,
    /// Norm of the mean gradient over all parameters, before it was clipped.
    pub grad_norm: f32,
    /// Training samples per second since the epoch, or the process, began.
    pub images_per_s: f64,
    /// The network after the step.
    pub network: &'a dyn Learned,
}

/// An epoch.
#[derive(Clone, Copy, Debug)]
pub struct EpochEnd<'a> {
    /// What was measured.
    pub metrics: &'a EpochMetrics,
    /// Whether it is the best so far.
    pub best: bool,
    /// The network after the last step; where averages are kept, those were measured.
    pub network: &'a dyn Learned,
}

/// Whether a training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// It does.
    Continue,
    /// It saves all that is needed to go on, and ends.
    Stop,
}

/// Is told what happens, and may end the training. A closure over `&Event` is one.
pub trait Callback {
    /// Hears of one event.
    fn on(&mut self, event: &Event<'_>) -> Control;
}

impl<F: FnMut(&Event<'_>) -> Control> Callback for F {
    fn on(&mut self, event: &Event<'_>) -> Control {
        self(event)
    }
}

/// Tells everybody; stops where one of them wants it.
pub(super) fn tell(callbacks: &mut [&mut dyn Callback], event: &Event<'_>) -> Control {
    let mut control = Control::Continue;
    for callback in callbacks {
        if callback.on(event) == Control::Stop {
            control = Control::Stop;
        }
    }
    control
}
