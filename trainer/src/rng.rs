//! Random numbers without a state: a [`Key`] names a stream, an index picks a number in it.
//!
//! Whoever needs the dropout mask of sample 17 in epoch 3 derives the same key, so any worker, any number of threads and a
//! resumed run draw the same numbers. Keys and numbers come from the finaliser of SplitMix64 (Steele, Lea, Flood: Fast
//! Splittable Pseudorandom Number Generators, 2014).

use std::f64::consts::TAU;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Names one stream of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// The root of all streams of a run.
    pub const fn new(seed: u64) -> Self {
        Key(seed)
    }

    /// A stream of its own for every `part`: an epoch, a sample, a layer.
    #[must_use]
    pub fn with(self, part: u64) -> Self {
        Key(mix(self.0.wrapping_add(GOLDEN)) ^ mix(part.wrapping_mul(GOLDEN).wrapping_add(1)))
    }

    /// A stream named by a text, such as a parameter (FNV-1a).
    #[must_use]
    pub fn with_name(self, name: &str) -> Self {
        self.with(name.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ b as u64).wrapping_mul(0x0000_0100_0000_01B3)))
    }

    /// Number `index` of the stream.
    pub fn at(self, index: u64) -> u64 {
        mix(self.0.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// Uniform in `[0, 1)`, 24 bits.
    pub fn uniform(self, index: u64) -> f32 {
        (self.at(index) >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Standard normal (Box-Muller, computed in f64).
    pub fn normal(self, index: u64) -> f32 {
        let unit = |i| ((self.at(i) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let (u, v) = (unit(2 * index), unit(2 * index + 1));
        ((-2.0 * u.ln()).sqrt() * (TAU * v).cos()) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_seed_zero_is_splitmix64() {
        // First outputs of the published generator for state 0.
        let key = Key::new(0);
        assert_eq!([key.at(0), key.at(1)], [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]);
    }

    #[test]
    fn keys_are_streams_of_their_own() {
        let root = Key::new(7);
        let keys = [root.with(0), root.with(1), root.with(0).with(1), root.with(1).with(0), root.with_name("a"), Key::new(8).with(0)];
        for (i, a) in keys.iter().enumerate() {
            for b in &keys[i + 1..] {
                let equal = (0..64).filter(|&n| a.at(n) == b.at(n)).count();
                assert_eq!(equal, 0);
                let close = (0..4096).filter(|&n| (a.uniform(n) < 0.5) == (b.uniform(n) < 0.5)).count();
                assert!((1850..2246).contains(&close), "{close} of 4096 coins agree");
            }
        }
    }

    #[test]
    fn moments() {
        let key = Key::new(3).with_name("moments");
        let n = 20_000;
        let mean = |f: &dyn Fn(u64) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
        assert!((mean(&|i| key.uniform(i) as f64) - 0.5).abs() < 0.01);
        assert!(mean(&|i| key.normal(i) as f64).abs() < 0.03);
        assert!((mean(&|i| (key.normal(i) as f64).powi(2)) - 1.0).abs() < 0.05);
        assert!((mean(&|i| (key.normal(i) as f64).powi(4)) - 3.0).abs() < 0.3);
    }
}
