//! Words of 64 bits among numbers of binary32, exactly: a checkpoint's tensors hold nothing else.

/// Numbers that a word takes.
pub const WORDS: usize = 3;
/// Bits in each of them: binary32 holds every whole number of so many.
const BITS: u32 = 22;

/// The word in [`WORDS`] whole numbers, the lowest bits first.
pub fn split(word: u64) -> [f32; WORDS] {
    [0, BITS, 2 * BITS].map(|shift| ((word >> shift) & ((1 << BITS) - 1)) as f32)
}

/// The word of what [`split`] made; none where the numbers are others.
pub fn join(parts: &[f32]) -> Option<u64> {
    let [low, middle, high] = *parts else { return None };
    let word = |part: f32, most: u32| {
        let whole = part as u64;
        (whole as f32 == part && whole < 1 << most).then_some(whole)
    };
    Some(word(low, BITS)? | word(middle, BITS)? << BITS | word(high, 64 - 2 * BITS)? << (2 * BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_comes_back() {
        for shift in 0..64 {
            for word in [1 << shift, !(1 << shift), u64::MAX >> shift] {
                assert_eq!(join(&split(word)), Some(word));
            }
        }
        assert_eq!(split(1 << 22 | 5), [5.0, 1.0, 0.0]);
    }

    #[test]
    fn other_numbers_are_no_word() {
        for parts in [&[0.0, 0.0][..], &[0.5, 0.0, 0.0], &[-1.0, 0.0, 0.0], &[f32::NAN, 0.0, 0.0], &[0.0, 0.0, 1_048_576.0]] {
            assert_eq!(join(parts), None, "{parts:?}");
        }
    }
}
