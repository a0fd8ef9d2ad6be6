//! A training under way: what one step, one epoch and one checkpoint are.

use super::begin::{begin, blank_network, same_network};
use super::callback::{Callback, Control, EpochEnd, Event, StepEnd, tell};
use super::{TrainError, evaluate, write_history};
use crate::backend::cpu::CpuBackend;
use crate::checkpoint::{Checkpoint, CheckpointError, Position};
use crate::config::Config;
use crate::metrics::EpochMetrics;
use crate::network::Network;
use crate::optim::Sgd;
use crate::run::Run;
use crate::source::BatchSource;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

/// What changes while a training runs.
pub(super) struct Session<'a, S> {
    config: &'a Config,
    source: &'a S,
    run: &'a Run,
    network: Network<CpuBackend>,
    optimiser: Sgd,
    /// How far it is.
    pub(super) position: Position,
    /// What was measured after each epoch.
    pub(super) history: Vec<EpochMetrics>,
}

impl<'a, S: BatchSource> Session<'a, S> {
    /// A new training, or the one whose last checkpoint is in `run`.
    pub(super) fn open(config: &'a Config, source: &'a S, run: &'a Run, resume: bool) -> Result<Self, TrainError> {
        let blank = blank_network(config, source)?;
        let batches = source.train_batches() as u64;
        let mut optimiser = Sgd::new(config.momentum as f32, config.weight_decay as f32);
        let (graph, position, history) = if resume {
            let last = run.last();
            let checkpoint = Checkpoint::load(&last)?;
            same_network(&blank, &checkpoint.graph, &last)?;
            let Position { batch, batches: found, .. } = checkpoint.position;
            if batch > 0 && found != batches {
                return Err(TrainError::OtherBatches { folder: last, found, expected: batches });
            }
            optimiser.set_velocities(checkpoint.optimiser);
            (checkpoint.graph, Position { batches, ..checkpoint.position }, checkpoint.history)
        } else {
            (begin(blank, config)?, Position { batches, ..Position::default() }, Vec::new())
        };
        for folder in [run.folder().to_path_buf(), run.curve().parent().unwrap_or(run.folder()).to_path_buf()] {
            fs::create_dir_all(&folder).map_err(|source| CheckpointError::Io { path: folder, source })?;
        }
        let network = Network::new(Arc::new(CpuBackend::new(config.threads)?), graph)?;
        Ok(Session { config, source, run, network, optimiser, position, history })
    }

    /// Trains to the end of the epoch and measures. Where it has to stop before, everything needed to go on is saved.
    pub(super) fn epoch(&mut self, until: Option<Instant>, callbacks: &mut [&mut dyn Callback]) -> Result<Control, TrainError> {
        if self.steps(until, callbacks)? == Control::Stop {
            self.save()?;
            return Ok(Control::Stop);
        }
        let metrics = self.measure(callbacks)?;
        let best = self.history.iter().all(|m| metrics.top1 > m.top1);
        self.history.push(metrics);
        self.position = Position { epoch: self.position.epoch + 1, batch: 0, loss_sum: 0.0, seconds: 0.0, ..self.position };
        // The best one first: a run killed between the two repeats this epoch and writes the same again.
        if best {
            self.checkpoint().save(&self.run.best())?;
        }
        self.save()?;
        write_history(self.run, &self.history)?;
        let metrics = &self.history[self.history.len() - 1];
        let control = tell(callbacks, &Event::Epoch(EpochEnd { metrics, best, network: &self.network }));
        Ok(if late(until) { Control::Stop } else { control })
    }

    /// The steps of the epoch that are not done yet.
    fn steps(&mut self, until: Option<Instant>, callbacks: &mut [&mut dyn Callback]) -> Result<Control, TrainError> {
        let Session { config, source, .. } = *self;
        let (batches, accumulate) = (self.position.batches, u64::from(config.accumulate));
        let steps = batches.div_ceil(accumulate);
        let schedule = config.schedule(steps);
        let (start, before, epoch) = (Instant::now(), self.position.seconds, self.position.epoch);
        let (mut samples, mut gradients, mut loss_sum, mut count) = (0, None, 0.0, 0);
        for batch in source.train(epoch, self.position.batch as usize) {
            let batch = batch?;
            samples += batch.targets.len();
            let (loss, summed) = self.network.backward(batch, config.seed, epoch, gradients.take())?;
            if !loss.is_finite() {
                let what = self.network.broken().map_or("the loss is".into(), |what| format!("the loss and {what} are"));
                return Err(TrainError::Diverged { what, epoch, step: self.position.step });
            }
            self.position.batch += 1;
            self.position.loss_sum += f64::from(loss);
            (loss_sum, count) = (loss_sum + loss, count + 1);
            if count < accumulate && self.position.batch < batches {
                gradients = Some(summed);
                continue;
            }
            let lr = schedule.at(self.position.step);
            self.network.update(&mut self.optimiser, summed, lr as f32)?;
            self.position.step += 1;
            self.position.seconds = before + start.elapsed().as_secs_f64();
            let control = tell(
                callbacks,
                &Event::Step(StepEnd {
                    epoch,
                    step: self.position.batch.div_ceil(accumulate),
                    steps,
                    total: self.position.step,
                    loss: loss_sum / count as f32,
                    lr,
                    grad_norm: None,
                    images_per_s: samples as f64 / start.elapsed().as_secs_f64(),
                    network: &self.network,
                }),
            );
            (loss_sum, count) = (0.0, 0);
            if control == Control::Stop || late(until) {
                return Ok(Control::Stop);
            }
            if config.save_every > 0 && self.position.step.is_multiple_of(config.save_every) && self.position.batch < batches {
                self.save()?;
            }
        }
        Ok(Control::Continue)
    }

    /// Loss and accuracy on the test samples.
    fn measure(&mut self, callbacks: &mut [&mut dyn Callback]) -> Result<EpochMetrics, TrainError> {
        let (start, of) = (Instant::now(), self.source.test_len());
        let test = evaluate(&self.network, self.source.test(), &mut |done| {
            tell(callbacks, &Event::Tested { done, of });
        })?;
        let Position { epoch, batches, step, loss_sum, seconds, .. } = self.position;
        if !test.loss.is_finite() {
            return Err(TrainError::Diverged { what: "the loss on the test samples is".into(), epoch, step });
        }
        let steps = batches.div_ceil(u64::from(self.config.accumulate));
        let samples = batches as f64 * self.config.batch_size as f64;
        Ok(EpochMetrics {
            epoch: epoch + 1,
            step,
            train_loss: loss_sum / batches.max(1) as f64,
            lr: self.config.schedule(steps).at(step.saturating_sub(1)),
            test_loss: test.loss,
            top1: test.top1,
            top5: test.top5,
            images_per_s: samples / seconds.max(f64::MIN_POSITIVE),
            seconds: seconds + start.elapsed().as_secs_f64(),
        })
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            graph: self.network.to_graph(),
            average: None,
            optimiser: self.optimiser.velocities().clone(),
            position: self.position,
            history: self.history.clone(),
        }
    }

    /// Writes the last checkpoint, and keeps it where some are kept.
    fn save(&self) -> Result<(), TrainError> {
        self.checkpoint().save(&self.run.last())?;
        if self.config.keep > 0 {
            self.run.keep(self.position.step, self.config.keep as usize)?;
        }
        Ok(())
    }
}

fn late(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}
