//! A training under way: what one step, one epoch and one checkpoint are.

use super::begin::{begin, blank_network, same_network};
use super::callback::{Callback, Control, EpochEnd, Event, StepEnd, tell};
use super::{Metrics, TrainError, evaluate, write_confusion, write_history};
use crate::backend::cpu::CpuBackend;
use crate::checkpoint::{Checkpoint, CheckpointError, Position};
use crate::config::Config;
use crate::dataset::Batch;
use crate::log::{Log, StepRecord};
use crate::loss::Loss;
use crate::metrics::{Better, EpochMetrics, Tally};
use crate::monitor::{MonitorFile, Row, What, table};
use crate::network::{Network, ParamGradients, Pass, Tap};
use crate::optim::{Moment, Optimiser};
use crate::run::Run;
use crate::source::BatchSource;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

/// What changes while a training runs.
pub(super) struct Session<'a, S> {
    config: &'a Config,
    source: &'a S,
    run: &'a Run,
    loss: Box<dyn Loss>,
    better: Better,
    network: Network<CpuBackend>,
    optimiser: Optimiser,
    log: Log,
    monitor: Option<MonitorFile>,
    /// How far it is.
    pub(super) position: Position,
    /// What was measured after each epoch.
    pub(super) history: Vec<EpochMetrics>,
}

impl<'a, S: BatchSource> Session<'a, S> {
    /// A new training, or the one whose last checkpoint is in `run`. `loss` is the one to use instead of the configured one.
    pub(super) fn open(
        config: &'a Config,
        source: &'a S,
        run: &'a Run,
        resume: bool,
        loss: Option<Box<dyn Loss>>,
    ) -> Result<Self, TrainError> {
        let blank = blank_network(config, source)?;
        let batches = source.train_batches() as u64;
        if batches == 0 {
            return Err(TrainError::NoBatches);
        }
        let (graph, optimiser, position, history) = if resume {
            let last = run.last();
            let checkpoint = Checkpoint::load(&last)?;
            same_network(&blank, &checkpoint.graph, &last)?;
            let Position { batch, batches: found, .. } = checkpoint.position;
            if batch > 0 && found != batches {
                return Err(TrainError::OtherBatches { folder: last, found, expected: batches });
            }
            let other = |error| TrainError::OtherOptimiser { folder: run.last(), error };
            let mut optimiser = Optimiser::new(&checkpoint.graph, &config.optim, &config.schedule)?;
            optimiser.restore(checkpoint.optimiser).map_err(other)?;
            optimiser.restore_average(checkpoint.average.unwrap_or_default()).map_err(other)?;
            (checkpoint.graph, optimiser, Position { batches, ..checkpoint.position }, checkpoint.history)
        } else {
            let graph = begin(blank, config)?;
            let optimiser = Optimiser::new(&graph, &config.optim, &config.schedule)?;
            (graph, optimiser, Position { batches, ..Position::default() }, Vec::new())
        };
        let plots = run.plots();
        fs::create_dir_all(&plots).map_err(|source| CheckpointError::Io { path: plots, source })?;
        let resumed = resume.then_some(position.step);
        let log = Log::open(run.folder(), &config.log, resumed)?;
        let monitor = (config.monitor.monitor > 0).then(|| MonitorFile::open(&run.monitor(), resumed)).transpose()?;
        let network = Network::new(Arc::new(CpuBackend::new(config.threads)?), graph)?;
        let loss = match loss {
            Some(loss) => loss,
            None => config.loss.build(network.classes(), &source.counts())?,
        };
        let better = config.metrics.better()?;
        Ok(Session { config, source, run, loss, better, network, optimiser, log, monitor, position, history })
    }

    /// Trains to the end of the epoch and measures. Where it has to stop before, everything needed to go on is saved.
    pub(super) fn epoch(
        &mut self,
        until: Option<Instant>,
        metrics: Metrics<'_>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<Control, TrainError> {
        if self.steps(until, callbacks)? == Control::Stop {
            self.save(&self.checkpoint())?;
            return Ok(Control::Stop);
        }
        // What is measured and exported is the average, where one is kept.
        let mut average = owned(self.optimiser.average());
        self.network.exchange(&mut average);
        let measured = self.measure(metrics, callbacks);
        self.network.exchange(&mut average);
        let metrics = measured?;
        let watched = self.watched(&metrics)?;
        let before = self.config.metrics.best_epoch(&self.history)?.and_then(|m| m.get(&self.config.metrics.best_by));
        let best = self.better.beats(watched, before);
        self.optimiser.end_of_epoch(watched, self.better);
        self.history.push(metrics);
        self.position = Position { epoch: self.position.epoch + 1, batch: 0, loss_sum: 0.0, seconds: 0.0, ..self.position };
        // The best one first: a run killed between the two repeats this epoch and writes the same again.
        let checkpoint = self.checkpoint();
        if best {
            checkpoint.save(&self.run.best())?;
        }
        self.save(&checkpoint)?;
        write_history(self.run, &self.history)?;
        let metrics = &self.history[self.history.len() - 1];
        self.log.epoch(metrics)?;
        let control = tell(callbacks, &Event::Epoch(EpochEnd { metrics, best, network: &self.network }));
        Ok(if late(until) { Control::Stop } else { control })
    }

    /// The value that decides what is best.
    fn watched(&self, metrics: &EpochMetrics) -> Result<f64, TrainError> {
        let name = &self.config.metrics.best_by;
        metrics.get(name).ok_or_else(|| TrainError::NotMeasured(name.clone()))
    }

    /// The steps of the epoch that are not done yet.
    fn steps(&mut self, until: Option<Instant>, callbacks: &mut [&mut dyn Callback]) -> Result<Control, TrainError> {
        let Session { config, source, .. } = *self;
        let (batches, accumulate) = (self.position.batches, u64::from(config.accumulate));
        let (start, before, epoch) = (Instant::now(), self.position.seconds, self.position.epoch);
        let (mut samples, mut gradients, mut loss_sum, mut count) = (0, None, 0.0, 0);
        for batch in source.train(epoch, self.position.batch as usize) {
            let batch = batch?;
            samples += batch.targets.len();
            let pass = self.pass(batch, gradients.take(), callbacks)?;
            self.position.batch += 1;
            self.position.loss_sum += f64::from(pass.loss);
            (loss_sum, count) = (loss_sum + pass.loss, count + 1);
            if u64::from(count) < accumulate && self.position.batch < batches {
                gradients = Some(pass.gradients);
                continue;
            }
            let (lr, grad_norm) = self.update(pass.gradients, count, callbacks)?;
            self.position.seconds = before + start.elapsed().as_secs_f64();
            let (loss, images_per_s) = (loss_sum / count as f32, samples as f64 / start.elapsed().as_secs_f64());
            (loss_sum, count) = (0.0, 0);
            let more = BTreeMap::from([("grad_norm".to_string(), f64::from(grad_norm))]);
            let step = self.position.step;
            self.log.step(&StepRecord { epoch: epoch + 1, step, loss: loss.into(), lr, images_per_s, more })?;
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
            if control == Control::Stop || late(until) {
                return Ok(Control::Stop);
            }
            if config.save_every > 0 && step.is_multiple_of(config.save_every) && self.position.batch < batches {
                self.save(&self.checkpoint())?;
            }
        }
        Ok(Control::Continue)
    }

    /// The place of the step that comes next, over so many batches.
    fn moment(&self, batches: u32) -> Moment {
        let steps_per_epoch = self.position.batches.div_ceil(u64::from(self.config.accumulate));
        Moment { step: self.position.step, steps_per_epoch, epochs: self.config.epochs, batches }
    }

    /// Whether the step that comes next is one to look at closely.
    fn looks(&self) -> bool {
        self.config.monitor.is_due(self.position.step + 1)
    }

    /// One batch forward and backward.
    fn pass(
        &mut self,
        batch: Batch,
        before: Option<ParamGradients>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<Pass, TrainError> {
        let (epoch, step, seed) = (self.position.epoch, self.position.step, self.config.seed);
        let mut rows = Vec::new();
        let mut tap = |layer: &str, output: &[f32]| rows.push(Row::of(step + 1, layer, What::Output, output));
        let tap: Option<Tap<'_>> = if self.looks() { Some(&mut tap) } else { None };
        let pass = self.network.backward(batch, self.loss.as_ref(), (seed, epoch), before, tap)?;
        self.show(&rows, callbacks)?;
        if pass.loss.is_finite() {
            return Ok(pass);
        }
        let what = pass.broken.unwrap_or_else(|| "the loss is".into());
        Err(TrainError::Diverged { what, epoch, step: step + 1 })
    }

    /// One step of the optimiser: its learning rate, and the norm of the gradients.
    fn update(
        &mut self,
        mut gradients: ParamGradients,
        batches: u32,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<(f64, f32), TrainError> {
        let Position { epoch, step, .. } = self.position;
        let looks = self.looks();
        let mut rows = Vec::new();
        if looks {
            for (name, _) in self.network.parameters() {
                if let Some(gradient) = self.network.gradient(name, &mut gradients)? {
                    rows.push(Row::of(step + 1, name, What::Gradient, gradient));
                }
            }
        }
        let at = self.moment(batches);
        let stepped = self.network.update(&mut self.optimiser, &mut gradients, at)?;
        if looks {
            rows.extend(self.network.parameters().map(|(name, numbers)| Row::of(step + 1, name, What::Weight, numbers)));
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

    /// Loss and metrics on the test samples.
    fn measure(&mut self, metrics: Metrics<'_>, callbacks: &mut [&mut dyn Callback]) -> Result<EpochMetrics, TrainError> {
        let (start, of) = (Instant::now(), self.source.test_len());
        let mut asked = self.config.metrics.build(self.source.labels())?;
        asked.extend(metrics.iter().map(|metric| metric()));
        let tally = Tally::new(self.loss.as_ref(), asked).with_confusion(self.source.labels());
        let tally = evaluate(&self.network, self.source.test(), tally, &mut |done| {
            tell(callbacks, &Event::Tested { done, of });
        })?;
        if let Some(confusion) = tally.confusion() {
            write_confusion(self.run, confusion)?;
        }
        let test = tally.evaluation();
        let Position { epoch, batches, step, loss_sum, seconds, .. } = self.position;
        if !test.loss.is_finite() {
            return Err(TrainError::Diverged { what: "the loss on the test samples is".into(), epoch, step });
        }
        let last = Moment { step: step.saturating_sub(1), ..self.moment(1) };
        Ok(EpochMetrics {
            epoch: epoch + 1,
            step,
            train_loss: loss_sum / batches.max(1) as f64,
            lr: self.optimiser.groups().next().map_or(0.0, |group| group.lr(last)),
            test_loss: test.loss,
            top1: test.top1,
            top5: test.top5,
            images_per_s: batches as f64 * self.config.batch_size as f64 / seconds.max(f64::MIN_POSITIVE),
            seconds: seconds + start.elapsed().as_secs_f64(),
            more: test.metrics,
        })
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            graph: self.network.to_graph(),
            average: self.config.optim.ema.map(|_| owned(self.optimiser.average())),
            optimiser: self.optimiser.state(),
            position: self.position,
            history: self.history.clone(),
        }
    }

    /// Writes the last checkpoint, and keeps it where some are kept.
    fn save(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
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

fn owned(average: Option<BTreeMap<&str, &[f32]>>) -> BTreeMap<String, Vec<f32>> {
    average.into_iter().flatten().map(|(name, numbers)| (name.to_string(), numbers.to_vec())).collect()
}

fn late(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}
