//! What an epoch ends with.

use super::Session;
use crate::backend::Backend;
use crate::checkpoint::Position;
use crate::metrics::{EpochMetrics, Tally};
use crate::optim::Moment;
use crate::source::BatchSource;
use crate::train::callback::{Callback, Event, tell};
use crate::train::{Metrics, TrainError, write_confusion};
use std::time::Instant;

impl<S: BatchSource, B: Backend> Session<'_, S, B> {
    /// The value that decides what is best.
    pub(super) fn watched(&self, metrics: &EpochMetrics) -> Result<f64, TrainError> {
        let name = &self.config.metrics.best_by;
        metrics.get(name).ok_or_else(|| TrainError::NotMeasured(name.clone()))
    }

    /// Loss and metrics on the test samples.
    pub(super) fn measure(
        &mut self,
        metrics: Metrics<'_>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<EpochMetrics, TrainError> {
        let (start, of) = (Instant::now(), self.source.test_len());
        let mut asked = self.config.metrics.build(self.source.labels())?;
        asked.extend(metrics.iter().map(|metric| metric()));
        let tally = Tally::new(self.loss.as_ref(), asked).with_confusion(self.source.labels());
        let tally = self.together.evaluate(&self.network, self.source, tally, &mut |done| {
            tell(callbacks, &Event::Tested { done, of });
        })?;
        if let Some(confusion) = tally.confusion().filter(|_| self.together.is_first()) {
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
}
