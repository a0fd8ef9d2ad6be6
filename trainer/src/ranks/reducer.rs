//! Gradients summed over all ranks while the backward pass goes on.

use super::{Buckets, Ranks, RanksError};
use std::fmt;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Writes a gradient into the place it is given, waiting for the device where it has to; on another thread than the one that trains.
///
/// # Errors
/// The device's, in words.
pub type Fetch = Box<dyn FnOnce(&mut [f32]) -> Result<(), String> + Send>;

/// A bucket on its way.
pub(super) struct Load {
    pub(super) bucket: usize,
    pub(super) numbers: Vec<f32>,
    /// What is still to be written into `numbers`.
    pub(super) fetches: Vec<(Range<usize>, Fetch)>,
    /// Why `numbers` are not what they should be.
    pub(super) error: Option<RanksError>,
    /// How long the sum took.
    pub(super) busy: Duration,
}

impl Load {
    /// Waits for all that is still to be written. Where that fails the others get NaN: they wait for this bucket in any case.
    pub(super) fn fetch(&mut self) {
        for (place, fetch) in self.fetches.drain(..) {
            if let Err(reason) = fetch(&mut self.numbers[place.clone()]) {
                self.numbers[place].fill(f32::NAN);
                self.error = Some(RanksError::Fetch(reason));
            }
        }
    }
}

/// What the sums of one step took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of gradients that every rank gave to be summed.
    pub bytes: u64,
    /// Time that the sums took; beside the backward pass but for `waited`.
    pub busy: Duration,
    /// Time that the training had to wait for them.
    pub waited: Duration,
}

/// Sums the gradients of each step over all ranks.
///
/// Gradients are handed over as the backward pass is done with them. A bucket leaves as soon as its last gradient is there and all
/// buckets before it have left, so all ranks send them in the same order, whatever the order in which they became ready. Memory is that
/// of all gradients, once; no step asks for more.
pub struct Reducer {
    ranks: Ranks,
    names: Vec<String>,
    buckets: Buckets,
    /// Of each bucket that is not on its way: its numbers so far.
    here: Vec<Option<Load>>,
    /// Whether each parameter was handed over in this step.
    given: Vec<bool>,
    /// Parameters of each bucket that were not.
    missing: Vec<usize>,
    /// Buckets that have left in this step.
    left: usize,
    back: Sender<Load>,
    arrivals: Receiver<Load>,
}

impl fmt::Debug for Reducer {
    /// Without the numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reducer { ranks, buckets, left, .. } = self;
        f.debug_struct("Reducer").field("ranks", ranks).field("buckets", buckets).field("left", left).finish()
    }
}

impl Reducer {
    /// For parameters of these names and lengths, in the order in which the backward pass is done with them, in buckets of at most
    /// `bucket` bytes ([`super::DEFAULT_BUCKET`]). All ranks have to say the same.
    pub fn new(ranks: &Ranks, parameters: Vec<(String, usize)>, bucket: usize) -> Self {
        let buckets = Buckets::new(parameters.iter().map(|(_, len)| *len), bucket);
        let load = |bucket| Load {
            bucket,
            numbers: vec![0.0; buckets.numbers(bucket)],
            fetches: Vec::with_capacity(buckets.of(bucket).len()),
            error: None,
            busy: Duration::ZERO,
        };
        let (back, arrivals) = channel();
        Reducer {
            ranks: ranks.clone(),
            here: (0..buckets.len()).map(|bucket| Some(load(bucket))).collect(),
            given: vec![false; parameters.len()],
            missing: (0..buckets.len()).map(|bucket| buckets.of(bucket).len()).collect(),
            names: parameters.into_iter().map(|(name, _)| name).collect(),
            buckets,
            left: 0,
            back,
            arrivals,
        }
    }

    /// Which gradients travel together.
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Hands over the gradient of parameter `index`, as [`Reducer::new`] counted them.
    ///
    /// # Errors
    /// [`RanksError::Lost`].
    ///
    /// # Panics
    /// Panics where there is no such parameter, it has another length, or it was handed over in this step already.
    pub fn ready(&mut self, index: usize, gradient: &[f32]) -> Result<(), RanksError> {
        let (load, place) = self.open(index);
        load.numbers[place].copy_from_slice(gradient);
        self.close(index)
    }

    /// Hands over a gradient that is not here yet. `fetch` is called once the whole bucket is handed over, on the thread that sums: what
    /// it waits for should be under way by now.
    ///
    /// # Errors
    /// As [`Reducer::ready`].
    ///
    /// # Panics
    /// As [`Reducer::ready`].
    pub fn ready_later(&mut self, index: usize, fetch: Fetch) -> Result<(), RanksError> {
        let (load, place) = self.open(index);
        load.fetches.push((place, fetch));
        self.close(index)
    }

    /// Waits for all sums and gives each parameter's to `give`. The gradient of a parameter that was not handed over counts as zeros.
    /// The next step may begin then.
    ///
    /// # Errors
    /// Those of `give`, [`RanksError::Fetch`], [`RanksError::Lost`]: the first.
    pub fn finish<E: From<RanksError>>(&mut self, mut give: impl FnMut(usize, &[f32]) -> Result<(), E>) -> Result<Traffic, E> {
        for index in 0..self.given.len() {
            if !self.given[index] {
                let (load, place) = self.open(index);
                load.numbers[place].fill(0.0);
                self.close(index)?;
            }
        }
        let (mut traffic, mut result) = (Traffic::default(), Ok(()));
        for _ in 0..self.buckets.len() {
            let start = Instant::now();
            // This side has a sender of its own, so there is always one; where the other thread panics the process ends.
            let Ok(mut load) = self.arrivals.recv() else { return Err(RanksError::Lost.into()) };
            traffic.waited += start.elapsed();
            traffic.busy += std::mem::take(&mut load.busy);
            if let Some(error) = load.error.take() {
                result = result.and(Err(error.into()));
            }
            for index in self.buckets.of(load.bucket) {
                if result.is_ok() {
                    result = give(index, &load.numbers[self.buckets.place(index).1]);
                }
            }
            if !self.ranks.is_alone() {
                traffic.bytes += (load.numbers.len() * size_of::<f32>()) as u64;
            }
            let bucket = load.bucket;
            self.missing[bucket] = self.buckets.of(bucket).len();
            self.here[bucket] = Some(load);
        }
        self.given.fill(false);
        self.left = 0;
        result.map(|()| traffic)
    }

    /// The bucket of parameter `index`, and its place in there.
    fn open(&mut self, index: usize) -> (&mut Load, Range<usize>) {
        assert!(!self.given[index], "the gradient of {} is handed over once a step", self.names[index]);
        let (bucket, place) = self.buckets.place(index);
        match &mut self.here[bucket] {
            Some(load) => (load, place),
            None => unreachable!("a bucket leaves when its last gradient is there"),
        }
    }

    /// Parameter `index` is in its bucket: sends what may leave now.
    fn close(&mut self, index: usize) -> Result<(), RanksError> {
        self.given[index] = true;
        self.missing[self.buckets.place(index).0] -= 1;
        while self.left < self.buckets.len() && self.missing[self.left] == 0 {
            let Some(load) = self.here[self.left].take() else { unreachable!("it has not left yet") };
            self.left += 1;
            self.send(load)?;
        }
        Ok(())
    }

    fn send(&mut self, mut load: Load) -> Result<(), RanksError> {
        match &self.ranks.link {
            Some(link) => link.reduce(load, self.back.clone()),
            None => {
                load.fetch();
                // The receiver is a field beside it.
                self.back.send(load).map_err(|_| RanksError::Lost)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reducer(lengths: &[usize], bucket: usize) -> Reducer {
        let parameters = lengths.iter().enumerate().map(|(i, len)| (format!("p{i}"), *len)).collect();
        Reducer::new(&Ranks::alone(), parameters, bucket * 4)
    }

    /// What a step hands out.
    fn finish(reducer: &mut Reducer) -> Result<Vec<Vec<f32>>, RanksError> {
        let mut all = vec![Vec::new(); reducer.given.len()];
        reducer.finish(|index, numbers| {
            all[index] = numbers.to_vec();
            Ok::<(), RanksError>(())
        })?;
        Ok(all)
    }

    #[test]
    fn gradients_come_back_in_their_places_whatever_the_order() {
        let mut reducer = reducer(&[2, 1, 5, 1], 3);
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            let gradient = |index: usize| vec![index as f32 + 0.5; [2, 1, 5, 1][index]];
            for index in order {
                if index % 2 == 0 {
                    reducer.ready(index, &gradient(index)).unwrap();
                } else {
                    let gradient = gradient(index);
                    let fetch: Fetch = Box::new(move |place| {
                        place.copy_from_slice(&gradient);
                        Ok(())
                    });
                    reducer.ready_later(index, fetch).unwrap();
                }
            }
            assert_eq!(finish(&mut reducer).unwrap(), (0..4).map(gradient).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_not_handed_over_is_zero() {
        let mut reducer = reducer(&[2, 1], 8);
        reducer.ready(0, &[1.0, 2.0]).unwrap();
        reducer.ready(1, &[3.0]).unwrap();
        finish(&mut reducer).unwrap();
        reducer.ready(1, &[4.0]).unwrap();
        assert_eq!(finish(&mut reducer).unwrap(), [vec![0.0, 0.0], vec![4.0]]);
    }

    #[test]
    fn memory_does_not_grow() {
        let mut reducer = reducer(&[100, 300, 20], 128);
        let places = |reducer: &Reducer| -> Vec<_> {
            reducer.here.iter().flatten().map(|load| (load.numbers.as_ptr(), load.numbers.capacity())).collect()
        };
        let before = places(&reducer);
        for _ in 0..3 {
            finish(&mut reducer).unwrap();
        }
        assert_eq!(places(&reducer), before);
    }

    #[test]
    fn a_failed_fetch_is_told_and_the_next_step_goes_on() {
        let mut reducer = reducer(&[1, 1], 1);
        reducer.ready_later(0, Box::new(|_| Err("no more memory".into()))).unwrap();
        assert_eq!(finish(&mut reducer).unwrap_err(), RanksError::Fetch("no more memory".into()));
        reducer.ready(0, &[1.0]).unwrap();
        assert_eq!(finish(&mut reducer).unwrap(), [[1.0], [0.0]]);
    }

    #[test]
    #[should_panic = "the gradient of p0 is handed over once a step"]
    fn twice_is_a_mistake() {
        let mut reducer = reducer(&[1, 1], 8);
        reducer.ready(0, &[1.0]).unwrap();
        reducer.ready(0, &[1.0]).unwrap();
    }
}
