//! The checksum of sections and weights, at run time and while compiling.

use crate::bytes::u32_at;
use crate::kernels::arch::{self, add_word};

/// The checksum: a sum of little-endian 32-bit words for each of four lanes, modulo 2^32. Word `i` belongs to lane `i % 4`, whose sum
/// begins at 1, and is `0x9E37_79B1` times what it was plus the word. A last word of fewer than four bytes is filled with zeros. The low
/// half of the checksum joins the lanes' sums in the same way, the high half is their exclusive or, lane `i`'s turned left by `8 i` bits.
///
/// The factor being odd, a change within one word always shows, and two exchanged words nearly always. Where the bytes begin at a multiple
/// of four a Cortex-M takes a third of an instruction a byte, and an eighth with vectors.
pub fn checksum(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let mut lanes = START;
    match bytemuck::try_cast_slice::<[u8; 16], [u32; 4]>(blocks) {
        Ok(words) => arch::add_words(words, &mut lanes),
        // Not aligned.
        Err(_) => blocks.iter().for_each(|block| arch::add_words(&[bytemuck::pod_read_unaligned(block)], &mut lanes)),
    }
    joined(add_words(lanes, rest, rest.len(), 0))
}

/// [`checksum`] while compiling.
pub(crate) const fn const_checksum(bytes: &[u8]) -> u64 {
    checksum_skipping(bytes, bytes.len(), 0)
}

/// [`checksum`] with the `len` bytes from `hole` read as zeros (a header does not cover its own checksum). Both are
/// multiples of four.
pub(crate) const fn checksum_skipping(bytes: &[u8], hole: usize, len: usize) -> u64 {
    joined(add_words(START, bytes, hole, len))
}

/// The lanes' sums of nothing.
const START: [u32; 4] = [1; 4];

const fn joined([a, b, c, d]: [u32; 4]) -> u64 {
    let low = add_word(add_word(add_word(a, b), c), d);
    let high = a ^ b.rotate_left(8) ^ c.rotate_left(16) ^ d.rotate_left(24);
    low as u64 | (high as u64) << 32
}

/// The sums with the words of `bytes`, of which the first belongs to lane 0, and the `len` bytes from `hole` are read as zeros.
const fn add_words(mut lanes: [u32; 4], bytes: &[u8], hole: usize, len: usize) -> [u32; 4] {
    let mut at = 0;
    while at < bytes.len() {
        let word = if at >= hole && at < hole + len {
            0
        } else if bytes.len() - at >= 4 {
            u32_at(bytes, at)
        } else {
            let mut word = 0;
            let mut i = at;
            while i < bytes.len() {
                word |= (bytes[i] as u32) << (8 * (i - at));
                i += 1;
            }
            word
        };
        let lane = at / 4 % 4;
        lanes[lane] = add_word(lanes[lane], word);
        at += 4;
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::arch::FACTOR;

    #[test]
    fn the_checksum_while_compiling_is_that_at_run_time() {
        let mut words = [0u32; 300];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = (i * i * 7 + i * 13 + 0x85) as u8;
        }
        for start in 0..5 {
            for len in (0..200).chain([255, 256, 257, 511, 512, 700, 795, 1100, 1195]) {
                let bytes = &bytes[start..start + len];
                let want = const_checksum(bytes);
                assert_eq!(checksum(bytes), want, "{len} bytes from {start}");
            }
        }
        // Words 1 and 2, the last one filled with zeros: sums f + 1, f + 2, 1 and 1.
        let f = FACTOR;
        let joined = |[a, b]: [u32; 2]| {
            (a.wrapping_mul(f).wrapping_add(b).wrapping_mul(f).wrapping_add(1).wrapping_mul(f) + 1) as u64
                | ((a ^ b.rotate_left(8) ^ 1 << 16 ^ 1 << 24) as u64) << 32
        };
        assert_eq!(checksum(&[1, 0, 0, 0, 2]), joined([f + 1, f + 2]));
        assert_eq!(checksum_skipping(&[1, 0, 0, 0, 9, 9, 9, 9], 4, 4), joined([f + 1, f]));
    }

    #[test]
    fn changes_within_a_word_and_exchanges_show() {
        let mut bytes = [0u8; 96];
        bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 37 + i / 8 * 11) as u8);
        let right = checksum(&bytes);
        for bit in 0..8 * bytes.len() {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            // As a whole, and in its low half alone.
            assert_ne!(checksum(&other) as u32, right as u32, "bit {bit}");
        }
        for first in 0..24 {
            for second in first + 1..24 {
                let mut other = bytes;
                (0..4).for_each(|i| other.swap(4 * first + i, 4 * second + i));
                assert_ne!(checksum(&other), right, "words {first} and {second}");
            }
        }
    }
}
