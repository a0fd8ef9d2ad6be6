//! The learning rate range test: a few steps at growing rates.

use super::TrainError;
use super::begin::{begin, blank_network};
use crate::backend::Backend;
use crate::backend::open::{OnBackend, on_device};
use crate::config::Config;
use crate::lr_find::{Point, Smoothing, rate};
use crate::network::{Going, Network, Staged};
use crate::optim::{Moment, Optimiser};
use crate::schedule::{ScheduleKind, ScheduleOptions};
use crate::source::BatchSource;
use std::sync::Arc;

/// How far a range test goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The first rate.
    pub first: f64,
    /// The last rate, larger than the first.
    pub last: f64,
    /// Steps from one to the other, at least 2.
    pub steps: u64,
}

/// Share of the smoothed loss that each step keeps.
const SMOOTHING: f64 = 0.9;
/// Above so many times the lowest smoothed loss the rest of the test tells nothing.
const EXPLODED: f64 = 4.0;

/// Takes the steps of a training that `config` describes at the rates of `range`, from its first parameters on, until the loss
/// explodes. `observe` hears of each. Nothing is written.
///
/// # Errors
/// [`TrainError`] as a training would end with; a loss that explodes is none.
pub fn range_test<S: BatchSource>(
    config: &Config,
    source: &S,
    range: Range,
    observe: &mut dyn FnMut(u64, &Point),
) -> Result<Vec<Point>, TrainError> {
    on_device(&config.target(), RangeTest { config, source, range, observe })?
}

/// A range test on some device.
struct RangeTest<'a, S> {
    config: &'a Config,
    source: &'a S,
    range: Range,
    observe: &'a mut dyn FnMut(u64, &Point),
}

impl<S: BatchSource> OnBackend for RangeTest<'_, S> {
    type Output = Result<Vec<Point>, TrainError>;

    fn run<B: Backend>(self, backend: Arc<B>) -> Self::Output {
        steps(self, backend)
    }
}

fn steps<B: Backend>(test: RangeTest<'_, impl BatchSource>, backend: Arc<B>) -> Result<Vec<Point>, TrainError> {
    let RangeTest { config, source, range, observe } = test;
    let graph = begin(blank_network(config, source)?, config)?;
    // A step counts as an epoch, after each of which the rate is multiplied: rules with a factor keep it.
    let growth = (range.last / range.first).powf(1.0 / (range.steps.max(2) - 1) as f64);
    let schedule =
        ScheduleOptions { lr: range.first, schedule: ScheduleKind::Exponential, gamma: growth, ..ScheduleOptions::default() };
    let mut optimiser = Optimiser::new(&backend, &graph, &config.optim, &schedule)?;
    let mut network = Network::new(Arc::clone(&backend), graph)?;
    let loss = config.loss.build(network.classes(), &source.counts())?;
    let (mut points, mut smoothing, mut lowest) = (Vec::new(), Smoothing::new(SMOOTHING), f64::INFINITY);
    let epochs = (0..).flat_map(|epoch| source.train(epoch, 0).map(move |batch| (epoch, batch)));
    for (step, (epoch, batch)) in (0..range.steps).zip(epochs) {
        let staged = Staged::new(backend.as_ref(), batch?)?;
        let going = Going { seed: config.seed, epoch, scale: optimiser.loss_scale() };
        let mut pass = network.backward(staged, loss.as_ref(), going, None, None)?;
        let value = f64::from(pass.loss);
        let smoothed = smoothing.next(value);
        if !smoothed.is_finite() || smoothed > EXPLODED * lowest {
            break;
        }
        lowest = lowest.min(smoothed);
        let point = Point { lr: rate(range.first, range.last, step, range.steps), loss: value, smoothed };
        observe(step + 1, &point);
        points.push(point);
        let at = Moment { step, steps_per_epoch: 1, epochs: u32::try_from(range.steps).unwrap_or(u32::MAX), batches: 1 };
        if network.update(&mut optimiser, &mut pass.gradients, at)?.broken.is_some() {
            break;
        }
    }
    Ok(points)
}
