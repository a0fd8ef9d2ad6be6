//! Which gradients travel together.

use std::ops::Range;

/// Bytes of a bucket where nothing else is asked for: large enough that a network's latency does not count, small enough that the first
/// one leaves early.
pub const DEFAULT_BUCKET: usize = 4 << 20;

/// Gradients of one or more parameters, summed over the ranks as one vector.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bucket {
    parameters: Range<usize>,
    len: usize,
}

/// Which gradients travel together: parameters in the order in which the backward pass is done with them, cut into buckets that are
/// full or would overflow. One that is larger than a bucket has one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    buckets: Vec<Bucket>,
    /// Of each parameter: its bucket, and its place in there.
    places: Vec<(usize, Range<usize>)>,
}

impl Buckets {
    /// Buckets of at most `bytes` for parameters of these lengths.
    pub fn new(lengths: impl IntoIterator<Item = usize>, bytes: usize) -> Self {
        let most = (bytes / size_of::<f32>()).max(1);
        let mut buckets: Vec<Bucket> = Vec::new();
        let mut places = Vec::new();
        for (parameter, len) in lengths.into_iter().enumerate() {
            match buckets.last_mut().filter(|bucket| bucket.len + len <= most) {
                Some(bucket) => {
                    bucket.parameters.end = parameter + 1;
                    bucket.len += len;
                }
                None => buckets.push(Bucket { parameters: parameter..parameter + 1, len }),
            }
            let bucket = buckets.len() - 1;
            let end = buckets[bucket].len;
            places.push((bucket, end - len..end));
        }
        Buckets { buckets, places }
    }

    /// Number of buckets.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.places.len()
    }

    /// The parameters of a bucket.
    pub(super) fn of(&self, bucket: usize) -> Range<usize> {
        self.buckets[bucket].parameters.clone()
    }

    /// Numbers in a bucket.
    pub(super) fn numbers(&self, bucket: usize) -> usize {
        self.buckets[bucket].len
    }

    /// The bucket of a parameter, and its place in there.
    pub(super) fn place(&self, parameter: usize) -> (usize, Range<usize>) {
        self.places[parameter].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_full_or_would_overflow() {
        let buckets = Buckets::new([3, 5, 1, 20, 4, 4, 1], 8 * 4);
        assert_eq!((buckets.len(), buckets.parameters()), (5, 7));
        let of: Vec<_> = (0..buckets.len()).map(|b| (buckets.of(b), buckets.numbers(b))).collect();
        assert_eq!(of, [(0..2, 8), (2..3, 1), (3..4, 20), (4..6, 8), (6..7, 1)]);
        assert_eq!(buckets.place(1), (0, 3..8));
        assert_eq!(buckets.place(5), (3, 4..8));
    }

    #[test]
    fn extremes() {
        assert!(Buckets::new([], 100).is_empty());
        assert_eq!(Buckets::new([0, 1, 0, 1], 0).len(), 2);
        assert_eq!(Buckets::new([7, 9], usize::MAX).len(), 1);
    }
}
