//! Reproducible random numbers for tests. A seed means the same in every crate.

use staticnet::op::Window;

/// Reproducible random numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[lo, hi]`.
    pub fn within(&mut self, lo: usize, hi: usize) -> usize {
        lo + (self.bits() % (hi - lo + 1) as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.bits().is_multiple_of(n)
    }

    /// One of the values.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.within(0, values.len() - 1)]
    }

    /// Uniform in `[-1, 1)`.
    pub fn real(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Uniform values in `[-1, 1)`.
    pub fn reals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.real()).collect()
    }

    /// Cuts `0..n` into consecutive ranges of random lengths.
    pub fn cuts(&mut self, n: usize) -> Vec<std::ops::Range<usize>> {
        let longest = self.within(1, n);
        let (mut ranges, mut at) = (Vec::new(), 0);
        while at < n {
            let end = n.min(at + self.within(1, longest));
            ranges.push(at..end);
            at = end;
        }
        ranges
    }
}

/// Prints the case while a test panics, so that it can be run again alone.
pub struct Case(pub &'static str, pub u64);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} failed for seed {}", self.0, self.1);
        }
    }
}

/// A random window; it need not fit.
pub fn window(random: &mut Random) -> Window {
    let mut pair = |odds: u64, hi: usize| [0; 2].map(|_| if random.one_in(odds) { random.within(1, hi) as u16 } else { 1 });
    let (kernel, stride, dilation) = (pair(1, 4), pair(2, 3), pair(4, 3));
    let pads = [0, 1, 0, 1].map(|axis: usize| {
        let most = ((kernel[axis] - 1) * dilation[axis]) as usize;
        if random.one_in(2) { random.within(0, most) as u16 } else { 0 }
    });
    Window { kernel, stride, dilation, pads }
}
