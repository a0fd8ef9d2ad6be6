//! Which samples of a batch are a rank's.

use std::ops::Range;

/// A rank among those that share batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Number of the rank, from 0.
    pub rank: usize,
    /// Number of ranks.
    pub ranks: usize,
}

impl Part {
    /// The only rank: batches are not shared.
    pub const WHOLE: Part = Part { rank: 0, ranks: 1 };

    /// Which of so many samples are its own: contiguous, and of all ranks' parts no two differ by more than one sample in length.
    ///
    /// # Panics
    /// Panics where the rank is not below the number of ranks.
    pub fn of(self, samples: usize) -> Range<usize> {
        let Part { rank, ranks } = self;
        assert!(rank < ranks, "a rank is below the number of ranks");
        // In u128 nothing overflows; the results are at most `samples`.
        let bound = |rank: usize| (rank as u128 * samples as u128 / ranks as u128) as usize;
        bound(rank)..bound(rank + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_even_and_cover_everything() {
        for (samples, ranks) in [(16, 4), (17, 4), (3, 4), (0, 2), (usize::MAX, 3), (64, 1)] {
            let parts: Vec<_> = (0..ranks).map(|rank| Part { rank, ranks }.of(samples)).collect();
            assert_eq!((parts[0].start, parts[ranks - 1].end), (0, samples));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            let (least, most) = (parts.iter().map(|p| p.len()).min(), parts.iter().map(|p| p.len()).max());
            assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{parts:?}");
        }
    }
}
