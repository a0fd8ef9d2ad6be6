//! A number that stands for many.

/// FNV-1a over 32-bit words: tells by accident, not by malice, different numbers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Digest(0xCBF2_9CE4_8422_2325)
    }
}

impl Digest {
    /// Takes in a word.
    pub fn word(&mut self, word: u32) {
        // The rotation lets high bits reach low ones, which the multiplication alone does not.
        self.0 = (self.0 ^ u64::from(word)).wrapping_mul(0x0100_0000_01B3).rotate_left(29);
    }

    /// Takes in 64 bits.
    pub fn long(&mut self, word: u64) {
        self.word(word as u32);
        self.word((word >> 32) as u32);
    }

    /// Takes in numbers, bit for bit.
    pub fn numbers(&mut self, numbers: &[f32]) {
        numbers.iter().for_each(|number| self.word(number.to_bits()));
    }

    /// Takes in a text, its length included.
    pub fn text(&mut self, text: &str) {
        self.long(text.len() as u64);
        text.bytes().for_each(|byte| self.word(byte.into()));
    }

    /// The number.
    pub fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_and_the_order_count() {
        let of = |numbers: &[f32]| {
            let mut digest = Digest::default();
            digest.numbers(numbers);
            digest.value()
        };
        let first = of(&[1.0, 2.0, 3.0]);
        assert_eq!(first, of(&[1.0, 2.0, 3.0]));
        for other in [&[1.0, 3.0, 2.0][..], &[1.0, 2.0], &[1.0, 2.0, -3.0], &[1.0, 2.0, f32::from_bits(3.0f32.to_bits() + 1)]] {
            assert_ne!(first, of(other), "{other:?}");
        }
    }
}
