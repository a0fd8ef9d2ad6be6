//! What the ranks of a training do together. Of a process alone all of it is nothing.

use super::{TrainError, evaluate};
use crate::backend::{Backend, Grads};
use crate::config::Config;
use crate::forward::{Done, done_order};
use crate::loss::Loss;
use crate::metrics::Tally;
use crate::network::Network;
use crate::ranks::{Digest, Part, Ranks, RanksError, Reducer, Rows, Traffic};
use crate::source::BatchSource;
use crate::targets::Targets;
use staticnet_graph::graph::Graph;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The ranks of a training.
pub(super) struct Together<B: Backend> {
    ranks: Ranks,
    sums: Option<Sums<B>>,
}

/// How gradients are summed.
struct Sums<B: Backend> {
    reducer: Arc<Mutex<Reducer>>,
    /// The parameters as the reducer counts them.
    names: Vec<String>,
    done: Done<B>,
}

/// A batch of all ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shared {
    /// What its samples count for in its mean loss.
    weight: f64,
    /// What those of this rank count for.
    own: f64,
    /// Its samples.
    pub(super) samples: usize,
    /// Whether some rank wants to stop before it.
    pub(super) stop: bool,
}

impl Shared {
    /// What the gradients of this rank's mean loss are multiplied by, so that their sum over the ranks is that of the mean over all.
    pub(super) fn scale(&self) -> f32 {
        if self.weight > 0.0 { (self.own / self.weight) as f32 } else { 0.0 }
    }
}

impl<B: Backend> Together<B> {
    pub(super) fn new(ranks: Ranks, backend: &Arc<B>, graph: &Graph, bucket: usize) -> Self {
        let sums = (!ranks.is_alone()).then(|| {
            let names: Vec<String> = done_order(graph).into_iter().map(String::from).collect();
            let parameters = names.iter().map(|name| (name.clone(), graph.params[name].data.len())).collect();
            let reducer = Arc::new(Mutex::new(Reducer::new(&ranks, parameters, bucket)));
            let indices: BTreeMap<String, usize> = names.iter().cloned().zip(0..).collect();
            let (sum, backend) = (Arc::clone(&reducer), Arc::clone(backend));
            let done: Done<B> = Arc::new(move |name, gradient| {
                let numbers = backend.host(backend.read_vector(gradient))?;
                if let Some(index) = indices.get(name) {
                    // What goes wrong here is told when the step is finished.
                    let _ = sum.lock().unwrap_or_else(PoisonError::into_inner).ready(*index, &numbers);
                }
                Ok(())
            });
            Sums { reducer, names, done }
        });
        Together { ranks, sums }
    }

    pub(super) fn part(&self) -> Part {
        self.ranks.part()
    }

    /// Whether this is the rank that writes.
    pub(super) fn is_first(&self) -> bool {
        self.ranks.is_first()
    }

    /// Whether there are others.
    pub(super) fn shares(&self) -> bool {
        self.sums.is_some()
    }

    /// Who is told about complete gradients.
    pub(super) fn done(&self) -> Option<&Done<B>> {
        self.sums.as_ref().map(|sums| &sums.done)
    }

    /// Whether all ranks begin with the same.
    pub(super) fn same_start(&self, what: &str, digest: impl FnOnce() -> Result<Digest, TrainError>) -> Result<(), TrainError> {
        if self.shares() { Ok(self.ranks.same(what, digest()?.value())?) } else { Ok(()) }
    }

    /// Begins a batch of which this rank has `targets`; `stop` is whether it wants to stop before.
    pub(super) fn begin(&self, loss: &dyn Loss, targets: &Targets, stop: bool) -> Result<Shared, TrainError> {
        let samples = targets.len();
        if !self.shares() {
            return Ok(Shared { weight: 1.0, own: 1.0, samples, stop });
        }
        let own = loss.batch_weight(targets);
        let mut sums = [own, samples as f64, f64::from(u8::from(stop)), f64::from(u8::from(samples == 0))];
        self.ranks.sum(&mut sums)?;
        let [weight, all, stop, without] = sums;
        if without > 0.0 {
            return Err(TrainError::FewSamples { samples: all as usize, ranks: self.ranks.size() });
        }
        Ok(Shared { weight, own, samples: all as usize, stop: stop > 0.0 })
    }

    /// The mean loss over a batch, of which this rank's is `loss`.
    pub(super) fn mean(&self, loss: f32, shared: Shared) -> Result<f32, TrainError> {
        if !self.shares() {
            return Ok(loss);
        }
        let mut sum = [if shared.own > 0.0 { f64::from(loss) * shared.own } else { 0.0 }];
        self.ranks.sum(&mut sum)?;
        Ok(if shared.weight > 0.0 { (sum[0] / shared.weight) as f32 } else { 0.0 })
    }

    /// Whether some rank wants to stop.
    pub(super) fn agree(&self, stop: bool) -> Result<bool, TrainError> {
        let mut sum = [f64::from(u8::from(stop))];
        self.ranks.sum(&mut sum)?;
        Ok(sum[0] > 0.0)
    }

    /// Waits for the sums of all gradients, and puts them in their places.
    pub(super) fn collect(&self, network: &Network<B>, gradients: &mut Grads<B>) -> Result<Traffic, TrainError> {
        let Some(Sums { reducer, names, .. }) = &self.sums else { return Ok(Traffic::default()) };
        let mut reducer = reducer.lock().unwrap_or_else(PoisonError::into_inner);
        reducer.finish(|index, sum| Ok(network.set_gradient(&names[index], gradients, sum)?))
    }

    /// Counts all test samples of `source` into `tally`, at every rank the same.
    pub(super) fn evaluate<'t>(
        &self,
        network: &Network<B>,
        source: &impl BatchSource,
        mut tally: Tally<'t>,
        observe: &mut dyn FnMut(usize),
    ) -> Result<Tally<'t>, TrainError> {
        if !self.shares() {
            return evaluate(network, source.test(), tally, observe);
        }
        for batch in source.test_part(self.part()) {
            let batch = batch?;
            let count = batch.targets.len();
            // The last batch may have fewer samples than there are ranks.
            let scores = if count == 0 { Vec::new() } else { network.evaluate(batch.images, count)? };
            for bytes in self.ranks.gather(&Rows { scores, targets: batch.targets }.bytes())? {
                let Some(Rows { scores, targets }) = Rows::read(&bytes) else { return Err(RanksError::Lost.into()) };
                for (scores, target) in scores.chunks_exact(network.classes()).zip(targets.iter()) {
                    tally.add(scores, target)?;
                }
            }
            observe(tally.len());
        }
        Ok(tally)
    }
}

/// What ranks that train together have to agree about: options, pictures and classes, and all numbers.
pub(super) fn digest<'n>(
    config: &Config,
    source: &impl BatchSource,
    numbers: impl Iterator<Item = (&'n str, &'n [f32])>,
) -> Result<Digest, TrainError> {
    // Where a rank runs, and where it finds its pictures, is its own affair.
    let config = Config { data: Default::default(), device: Default::default(), threads: 0, ..config.clone() };
    let mut digest = Digest::default();
    digest.text(&config.to_toml()?);
    digest.long(source.train_batches() as u64);
    digest.long(source.test_len() as u64);
    source.labels().iter().for_each(|label| digest.text(label));
    let preprocess = source.preprocess();
    digest.numbers(&preprocess.mean);
    digest.numbers(&preprocess.std);
    for (name, numbers) in numbers {
        digest.text(name);
        digest.numbers(numbers);
    }
    Ok(digest)
}
