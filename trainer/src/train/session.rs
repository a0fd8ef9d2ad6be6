//! A training under way: what one step, one epoch and one checkpoint are.

mod measure;
mod open;

use super::callback::{Callback, Control, EpochEnd, Event, StepEnd, tell};
use super::staging::StagedBatches;
use super::together::{Shared, Together};
use super::{Metrics, TrainError, write_history};
use crate::backend::{Backend, DeviceError, Grads};
use crate::checkpoint::{Checkpoint, Position};
use crate::config::Config;
use crate::forward::Tap;
use crate::log::{Log, StepRecord};
use crate::loss::Loss;
use crate::metrics::{Better, EpochMetrics};
use crate::monitor::{MonitorFile, Row, What, table};
use crate::network::{Going, Network, Pass, Staged};
use crate::optim::{Moment, Optimiser};
use crate::ranks::Traffic;
use crate::run::Run;
use crate::source::BatchSource;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// What changes while a training runs.
pub(super) struct Session<'a, S, B: Backend> {
    config: &'a Config,
    source: &'a S,
    run: &'a Run,
    loss: Box<dyn Loss>,
    better: Better,
    network: Network<B>,
    optimiser: Optimiser<B>,
    together: Together<B>,
    /// The first rank's alone, as everything that is written.
    log: Option<Log>,
    monitor: Option<MonitorFile>,
    /// How far it is.
    pub(super) position: Position,
    /// What was measured after each epoch.
    pub(super) history: Vec<EpochMetrics>,
}

impl<'a, S: BatchSource, B: Backend> Session<'a, S, B> {
    /// Trains to the end of the epoch and measures. Where it has to stop before, everything needed to go on is saved.
    pub(super) fn epoch(
        &mut self,
        until: Option<Instant>,
        metrics: Metrics<'_>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<Control, TrainError> {
        if self.steps(until, callbacks)? == Control::Stop {
            self.save()?;
            return Ok(Control::Stop);
        }
        // What is measured and exported is the average, where one is kept.
        let mut average = self.optimiser.average()?.unwrap_or_default();
        self.network.exchange(&mut average)?;
        let measured = self.measure(metrics, callbacks);
        self.network.exchange(&mut average)?;
        let metrics = measured?;
        let watched = self.watched(&metrics)?;
        let before = self.config.metrics.best_epoch(&self.history)?.and_then(|m| m.get(&self.config.metrics.best_by));
        let best = self.better.beats(watched, before);
        self.optimiser.end_of_epoch(watched, self.better);
        self.history.push(metrics);
        self.position = Position { epoch: self.position.epoch + 1, batch: 0, loss_sum: 0.0, seconds: 0.0, ..self.position };
        // The best one first: a run killed between the two repeats this epoch and writes the same again.
        let metrics = &self.history[self.history.len() - 1];
        if self.together.is_first() {
            let checkpoint = self.checkpoint()?;
            if best {
                checkpoint.save(&self.run.best())?;
            }
            self.keep(&checkpoint)?;
            write_history(self.run, &self.history)?;
        }
        if let Some(log) = &mut self.log {
            log.epoch(metrics)?;
        }
        let control = tell(callbacks, &Event::Epoch(EpochEnd { metrics, best, network: &self.network }));
        let stop = self.together.agree(control == Control::Stop || late(until))?;
        Ok(if stop { Control::Stop } else { Control::Continue })
    }

    /// The steps of the epoch that are not done yet.
    fn steps(&mut self, until: Option<Instant>, callbacks: &mut [&mut dyn Callback]) -> Result<Control, TrainError> {
        let backend = Arc::clone(self.network.backend());
        let batches = self.source.train_part(self.position.epoch, self.position.batch as usize, self.together.part());
        thread::scope(|scope| self.steps_on(StagedBatches::new(backend.as_ref(), batches, scope), until, callbacks))
    }

    fn steps_on(
        &mut self,
        staged: StagedBatches<'_, B>,
        until: Option<Instant>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<Control, TrainError> {
        let config = self.config;
        let (batches, accumulate) = (self.position.batches, u64::from(config.accumulate));
        let (start, before, epoch) = (Instant::now(), self.position.seconds, self.position.epoch);
        let (mut samples, mut gradients, mut loss_sum, mut count, mut stop) = (0, None, 0.0, 0, false);
        for batch in staged {
            let batch = batch?;
            let shared = self.together.begin(self.loss.as_ref(), &batch.targets, stop)?;
            if shared.stop {
                return Ok(Control::Stop);
            }
            samples += shared.samples;
            let complete = u64::from(count) + 1 >= accumulate || self.position.batch + 1 >= batches;
            let (pass, traffic) = self.pass(batch, (shared, complete), gradients.take(), callbacks)?;
            self.position.batch += 1;
            self.position.loss_sum += f64::from(pass.loss);
            (loss_sum, count) = (loss_sum + pass.loss, count + 1);
            if !complete {
                gradients = Some(pass.gradients);
                continue;
            }
            let (lr, grad_norm) = self.update(pass.gradients, count, callbacks)?;
            self.position.seconds = before + start.elapsed().as_secs_f64();
            let (loss, images_per_s) = (loss_sum / count as f32, samples as f64 / start.elapsed().as_secs_f64());
            (loss_sum, count) = (0.0, 0);
            let step = self.position.step;
            if let Some(log) = &mut self.log {
                let more = told(grad_norm, self.together.shares().then_some(traffic));
                log.step(&StepRecord { epoch: epoch + 1, step, loss: loss.into(), lr, images_per_s, more })?;
            }
            let control = tell(
                callbacks,
                &Event::Step(StepEnd {
                    epoch,
                    step: self.position.batch.div_ceil(accumulate),
                    steps: batches.div_ceil(accumulate),
                    total: step,
                    loss,
                    lr,
                    grad_norm,
                    images_per_s,
                    network: &self.network,
                }),
            );
            // Other ranks hear of it with the next batch, where there is one.
            stop = control == Control::Stop || late(until);
            if (!self.together.shares() || self.position.batch >= batches) && self.together.agree(stop)? {
                return Ok(Control::Stop);
            }
            if config.save_every > 0 && step.is_multiple_of(config.save_every) && self.position.batch < batches {
                self.save()?;
            }
        }
        Ok(Control::Continue)
    }

    /// The place of the step that comes next, over so many batches.
    fn moment(&self, batches: u32) -> Moment {
        let steps_per_epoch = self.position.batches.div_ceil(u64::from(self.config.accumulate));
        Moment { step: self.position.step, steps_per_epoch, epochs: self.config.epochs, batches }
    }

    /// Whether the step that comes next is one to look at closely: at the first rank, whose outputs are those of its samples.
    fn looks(&self) -> bool {
        self.together.is_first() && self.config.monitor.is_due(self.position.step + 1)
    }

    /// One batch forward and backward. The gradients of a `complete` step are those of all ranks.
    fn pass(
        &mut self,
        batch: Staged<B>,
        (shared, complete): (Shared, bool),
        before: Option<Grads<B>>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<(Pass<B>, Traffic), TrainError> {
        let (epoch, step, seed) = (self.position.epoch, self.position.step, self.config.seed);
        let mut rows = Vec::new();
        let mut tap = |layer: &str, output: &[f32]| rows.push(Row::of(step + 1, layer, What::Output, output));
        let tap: Option<Tap<'_>> = if self.looks() { Some(&mut tap) } else { None };
        let going = Going { seed, epoch, scale: self.optimiser.loss_scale() * shared.scale() };
        let done = self.together.done().filter(|_| complete);
        let mut pass = self.network.backward_telling(batch, self.loss.as_ref(), going, before, (tap, done))?;
        self.show(&rows, callbacks)?;
        let traffic = match complete {
            true => self.together.collect(&self.network, &mut pass.gradients)?,
            false => Traffic::default(),
        };
        let loss = self.together.mean(pass.loss, shared)?;
        if loss.is_finite() {
            return Ok((Pass { loss, ..pass }, traffic));
        }
        let what = pass.broken.unwrap_or_else(|| "the loss is".into());
        Err(TrainError::Diverged { what, epoch, step: step + 1 })
    }

    /// One step of the optimiser: its learning rate, and the norm of the gradients.
    fn update(
        &mut self,
        mut gradients: Grads<B>,
        batches: u32,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<(f64, f32), TrainError> {
        let Position { epoch, step, .. } = self.position;
        let looks = self.looks();
        let mut rows = Vec::new();
        if looks {
            for name in self.network.graph().nodes.iter().flat_map(|node| &node.params) {
                if let Some(gradient) = self.network.gradient(name, &mut gradients)? {
                    rows.push(Row::of(step + 1, name, What::Gradient, &gradient));
                }
            }
        }
        let at = self.moment(batches);
        let stepped = self.network.update(&mut self.optimiser, &mut gradients, at)?;
        if looks {
            let parameters = self.network.parameters()?;
            rows.extend(parameters.iter().map(|(name, numbers)| Row::of(step + 1, name, What::Weight, numbers)));
        }
        self.show(&rows, callbacks)?;
        if let Some(name) = stepped.broken {
            return Err(TrainError::Diverged { what: format!("the gradient of {name} is"), epoch, step: step + 1 });
        }
        self.position.step += 1;
        Ok((stepped.lr, stepped.grad_norm))
    }

    /// Writes down what was seen, and tells it.
    fn show(&mut self, rows: &[Row], callbacks: &mut [&mut dyn Callback]) -> Result<(), TrainError> {
        if let (Some(monitor), false) = (&mut self.monitor, rows.is_empty()) {
            monitor.add(rows)?;
            tell(callbacks, &Event::Note(&table(rows)));
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<Checkpoint, DeviceError> {
        Ok(Checkpoint {
            graph: self.network.to_graph()?,
            average: self.optimiser.average()?,
            optimiser: self.optimiser.state()?,
            position: self.position,
            history: self.history.clone(),
        })
    }

    /// Writes the last checkpoint: at the first rank.
    fn save(&self) -> Result<(), TrainError> {
        if self.together.is_first() { self.keep(&self.checkpoint()?) } else { Ok(()) }
    }

    /// Writes the last checkpoint, and keeps it where some are kept.
    fn keep(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        checkpoint.save(&self.run.last())?;
        if self.config.keep > 0 {
            self.run.keep(self.position.step, self.config.keep as usize)?;
        }
        Ok(())
    }

    /// Which rule holds for which parameter, as a table.
    pub(super) fn rules(&self) -> String {
        self.optimiser.table(self.moment(1))
    }
}

/// What else a step's line of the log has.
fn told(grad_norm: f32, traffic: Option<Traffic>) -> BTreeMap<String, f64> {
    let mut more = BTreeMap::from([("grad_norm".to_string(), f64::from(grad_norm))]);
    if let Some(Traffic { busy, waited, .. }) = traffic {
        more.insert("sum_s".into(), busy.as_secs_f64());
        more.insert("wait_s".into(), waited.as_secs_f64());
    }
    more
}

fn late(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}
