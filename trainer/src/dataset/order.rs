//! In which order an epoch takes the samples.

use crate::rng::{KeyedRng, permutation, shuffle, stream};

/// In which order an epoch takes the samples, and how often each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each once, as they are listed.
    Listed,
    /// Each once, in a random order of the epoch's own.
    Shuffled,
    /// As many as there are, every class equally often; see [`balanced`].
    Balanced,
}

/// One place of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pick {
    /// Which sample.
    pub sample: u32,
    /// How often the epoch has gone through this sample's class before.
    pub repeat: u32,
}

impl Pick {
    /// The sample's key among random numbers: its repetitions in an epoch are varied differently.
    pub fn key(self) -> u64 {
        u64::from(self.repeat) << 32 | u64::from(self.sample)
    }
}

impl Order {
    /// The samples of an epoch; `classes` has every sample's class.
    pub fn picks(self, classes: impl ExactSizeIterator<Item = u32>, seed: u64, epoch: u32) -> Vec<Pick> {
        let samples = classes.len() as u32;
        let once = |sample| Pick { sample, repeat: 0 };
        match self {
            Order::Listed => (0..samples).map(once).collect(),
            Order::Shuffled => permutation(seed, epoch, samples).into_iter().map(once).collect(),
            Order::Balanced => balanced(classes, seed, epoch),
        }
    }
}

/// One class in a balanced epoch: its samples in a random order, then in another one, without end.
struct Deck {
    class: u32,
    samples: Vec<u32>,
    next: usize,
    repeat: u32,
}

impl Deck {
    fn draw(&mut self, seed: u64, epoch: u32) -> Pick {
        if self.next == self.samples.len() {
            self.next = 0;
            self.repeat += 1;
        }
        if self.next == 0 {
            let key = u64::from(self.class) << 32 | u64::from(self.repeat);
            shuffle(&mut self.samples, &mut KeyedRng::new(seed, epoch, key, stream::CLASS_ORDER));
        }
        self.next += 1;
        Pick { sample: self.samples[self.next - 1], repeat: self.repeat }
    }
}

/// An epoch of as many places as there are samples, in which every class that has samples comes equally often.
///
/// The classes take turns: each round shows one sample of each, in a random order of classes. So in any beginning of the epoch two
/// classes differ by at most one place, and two samples of a class by at most one showing. What a class shows is drawn anew
/// every epoch.
pub fn balanced(classes: impl Iterator<Item = u32>, seed: u64, epoch: u32) -> Vec<Pick> {
    let mut decks: Vec<Deck> = Vec::new();
    let mut places = 0;
    for (sample, class) in classes.enumerate() {
        let at = decks.binary_search_by_key(&class, |deck| deck.class).unwrap_or_else(|at| {
            decks.insert(at, Deck { class, samples: Vec::new(), next: 0, repeat: 0 });
            at
        });
        decks[at].samples.push(sample as u32);
        places += 1;
    }
    let mut picks = Vec::with_capacity(places);
    let mut round = 0;
    while picks.len() < places {
        let mut turns: Vec<usize> = (0..decks.len()).collect();
        shuffle(&mut turns, &mut KeyedRng::new(seed, epoch, round, stream::CLASS_TURNS));
        turns.truncate(places - picks.len());
        picks.extend(turns.into_iter().map(|deck| decks[deck].draw(seed, epoch)));
        round += 1;
    }
    picks
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// 40 samples of class 0, 7 of class 2, 3 of class 5, mixed.
    fn classes() -> Vec<u32> {
        (0..50).map(|i| if i % 7 == 3 { 2 } else { if i % 16 == 1 { 5 } else { 0 } }).collect()
    }

    fn counts(values: impl Iterator<Item = u32>, of: usize) -> Vec<usize> {
        let mut counts = vec![0; of];
        values.for_each(|value| counts[value as usize] += 1);
        counts
    }

    #[test]
    fn every_class_comes_equally_often_in_any_beginning() {
        let classes = classes();
        assert_eq!(counts(classes.iter().copied(), 6), [40, 0, 7, 0, 0, 3], "the input of this test");
        let picks = balanced(classes.iter().copied(), 3, 0);
        assert_eq!(picks.len(), 50);
        for end in 0..=50 {
            let shown = counts(picks[..end].iter().map(|pick| classes[pick.sample as usize]), 6);
            let present = [shown[0], shown[2], shown[5]];
            assert!(present.iter().max().unwrap() - present.iter().min().unwrap() <= 1, "{present:?} of {end}");
        }
        let shown = counts(picks.iter().map(|pick| pick.sample), 50);
        for class in [0, 2, 5] {
            let of_class = |&(i, _): &(usize, &usize)| classes[i] == class;
            let times: Vec<usize> = shown.iter().enumerate().filter(of_class).map(|(_, times)| *times).collect();
            assert!(times.iter().max().unwrap() - times.iter().min().unwrap() <= 1, "class {class}: {times:?}");
        }
        let places: HashSet<Pick> = picks.iter().copied().collect();
        assert_eq!(places.len(), 50, "no two places have the same key");
    }

    #[test]
    fn epochs_and_seeds_differ_and_repeat_themselves() {
        let of = |seed, epoch| balanced(classes().into_iter(), seed, epoch);
        assert_eq!(of(3, 1), of(3, 1));
        assert_ne!(of(3, 1), of(3, 0));
        assert_ne!(of(3, 1), of(4, 1));
        // 17 or 16 of 40 an epoch: after some all have been seen, each about equally often.
        let mut seen = vec![0; 50];
        for epoch in 0..300 {
            of(3, epoch).iter().for_each(|pick| seen[pick.sample as usize] += 1);
        }
        let large: Vec<i32> = classes().iter().zip(&seen).filter(|(class, _)| **class == 0).map(|(_, seen)| *seen).collect();
        // Binomial around 300 / 3 * 50 / 40 = 125 with a deviation below 9.
        assert!(large.iter().all(|seen| (80..170).contains(seen)), "{large:?}");
        let first: HashSet<u32> = (0..60).map(|epoch| classes()[of(3, epoch)[0].sample as usize]).collect();
        assert_eq!(first.len(), 3, "any class may come first");
    }

    #[test]
    fn classes_of_one_size_are_a_shuffle_of_all() {
        let mut samples: Vec<u32> = balanced((0..30).map(|i| i % 3), 1, 2).iter().map(|pick| pick.sample).collect();
        assert_ne!(samples, (0..30).collect::<Vec<_>>());
        samples.sort_unstable();
        assert!(samples.into_iter().eq(0..30));
        assert!(balanced(std::iter::empty(), 1, 2).is_empty());
    }
}
