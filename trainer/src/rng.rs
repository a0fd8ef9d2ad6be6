//! Random numbers keyed by (seed, epoch, sample, stream).
//!
//! A generator is a pure function of its key and of how many numbers were drawn from it, so any worker thread, any rank and any
//! resumed run draws the same numbers for the same sample; nothing has to be saved but the seed and the epoch.
//!
//! The construction is splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): the
//! n-th output is `mix(key + n * GAMMA)` with n from 1. The key absorbs the four words one after the other, each followed by a
//! `mix`, so that neighbouring seeds, epochs and samples start far apart.

/// The odd constant of splitmix64: 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The purposes random numbers are drawn for: generators that differ in the stream alone are independent.
pub mod stream {
    /// The order of the samples within an epoch.
    pub const ORDER: u32 = 0;
    /// Crops and flips of one sample.
    pub const AUGMENT: u32 = 1;
    /// A generated picture.
    pub const SYNTH: u32 = 2;
    /// Initial weights; the sample is the parameter's number.
    pub const INIT: u32 = 3;
    /// The order of one class's samples in a balanced epoch; the sample is the class and how often it was gone through.
    pub const CLASS_ORDER: u32 = 16;
    /// The order of the classes in a balanced epoch; the sample is the round.
    pub const CLASS_TURNS: u32 = 17;
    /// Dropout masks; add the number of the layer.
    pub const DROPOUT: u32 = 1 << 16;
}

/// The finaliser of splitmix64 (variant 13 of Stafford's mixers): a bijection of 64-bit words.
const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// A sequence of random numbers that depends on nothing but its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRng {
    state: u64,
}

impl KeyedRng {
    /// The sequence of one sample in one epoch, for one purpose (see [`stream`]).
    pub fn new(seed: u64, epoch: u32, sample: u64, stream: u32) -> Self {
        let words = [seed, epoch as u64, sample, stream as u64];
        Self { state: words.into_iter().fold(0, |key: u64, word| mix(key.wrapping_add(GAMMA) ^ word)) }
    }

    /// All there is to it: the n-th word from here on is that of splitmix64 from this state.
    #[cfg(feature = "cuda")]
    pub(crate) fn state(&self) -> u64 {
        self.state
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// Uniform in `[0, 1)`: a multiple of 2^-24, all of which binary32 holds exactly.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in `[0, n)`, by multiplication (Lemire 2019) without rejection: the bias is below `n / 2^64`. 0 when `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        ((self.next_u64() as u128 * n as u128) >> 64) as u32
    }

    /// Standard normal, by Box and Muller's method computed in binary64; uses up two words.
    pub fn normal(&mut self) -> f32 {
        const UNIT: f64 = 1.0 / (1u64 << 53) as f64;
        // Shifted by one step into (0, 1], where the logarithm is finite.
        let radius = ((self.next_u64() >> 11) + 1) as f64 * UNIT;
        let angle = (self.next_u64() >> 11) as f64 * UNIT;
        ((-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()) as f32
    }
}

/// The numbers 0 to `n - 1` in the random order of this seed and epoch.
pub fn permutation(seed: u64, epoch: u32, n: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    shuffle(&mut order, &mut KeyedRng::new(seed, epoch, 0, stream::ORDER));
    order
}

/// Brings `items` (at most 2^32 - 1) into random order (Fisher and Yates).
pub fn shuffle<T>(items: &mut [T], rng: &mut KeyedRng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.below(last as u32 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published first outputs of splitmix64 seeded with 1234567.
    #[test]
    fn the_sequence_is_splitmix64() {
        let mut rng = KeyedRng { state: 1_234_567 };
        let drawn: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    /// Values of an independent model in Python: a change here changes every training run.
    #[test]
    fn golden_values() {
        let words = |mut rng: KeyedRng| [rng.next_u64(), rng.next_u64(), rng.next_u64()];
        assert_eq!(words(KeyedRng::new(0, 0, 0, 0)), [0x78ae_5a9a_6b5f_d45e, 0xb989_5a2b_6859_2df1, 0x4d93_6ece_81fe_4f66]);
        let rng = KeyedRng::new(42, 3, 1000, 1);
        assert_eq!(words(rng.clone()), [0xd4aa_f25d_23be_099f, 0xdcea_a1f1_1f92_0677, 0x9244_34ab_1c54_2891]);

        let mut drawn = rng.clone();
        let scale = (1u32 << 24) as f32;
        assert_eq!([drawn.uniform(), drawn.uniform()], [13_937_394.0 / scale, 14_477_985.0 / scale]);

        let mut drawn = rng.clone();
        let below: Vec<u32> = (0..12).map(|_| drawn.below(10)).collect();
        assert_eq!(below, [8, 8, 5, 4, 8, 3, 9, 4, 7, 8, 8, 5]);

        let mut drawn = rng;
        let expected = [0.396_842_96, -1.028_171_2, -0.436_888_4, -0.123_799_03];
        assert!(expected.into_iter().all(|value: f32| (drawn.normal() - value).abs() < 1e-6));

        assert_eq!(permutation(7, 0, 10), [7, 1, 4, 0, 5, 3, 9, 8, 6, 2]);
        assert_eq!(permutation(7, 1, 10), [8, 3, 7, 2, 9, 5, 4, 1, 6, 0]);
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let first = |seed, epoch, sample, stream| KeyedRng::new(seed, epoch, sample, stream).next_u64();
        let mut seen = std::collections::HashSet::new();
        for word in 1..100u32 {
            for value in [
                first(word as u64, 0, 0, 0),
                first(0, word, 0, 0),
                first(0, 0, word as u64, 0),
                first(0, 0, 0, word),
                first((word as u64) << 32, 0, 0, 0),
            ] {
                assert!(seen.insert(value));
            }
        }
    }

    #[test]
    fn moments() {
        let mut rng = KeyedRng::new(1, 2, 3, stream::INIT);
        let n = 40_000;
        let uniform: f64 = (0..n).map(|_| rng.uniform() as f64).sum::<f64>() / n as f64;
        assert!((uniform - 0.5).abs() < 0.006, "mean of uniform {uniform}");
        let normal: Vec<f64> = (0..n).map(|_| rng.normal() as f64).collect();
        let mean = normal.iter().sum::<f64>() / n as f64;
        let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "normal: mean {mean}, variance {variance}");
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        for n in [0, 1, 2, 1000] {
            let mut order = permutation(5, 9, n);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..n));
        }
    }
}
