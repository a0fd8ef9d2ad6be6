//! Little-endian fields and the checksum, as `const fn` so that a firmware's build can read its artifact.

/// The 16-bit field at `at`. Callers have checked that it is inside.
pub(crate) const fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The 32-bit field at `at`. Callers have checked that it is inside.
pub(crate) const fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The 64-bit field at `at`. Callers have checked that it is inside.
pub(crate) const fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u32_at(bytes, at) as u64 | (u32_at(bytes, at + 4) as u64) << 32
}

/// The binary32 field at `at`. Callers have checked that it is inside.
pub(crate) const fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_bits(u32_at(bytes, at))
}

/// Writes `field` at `at`.
pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// Fletcher's checksum over little-endian 32-bit words: the sum of the words in the low half, the sum of the running sums in
/// the high half, both modulo 2^32. A last word of fewer than four bytes is filled with zeros. A change within one word
/// always shows in the low half; two exchanged words show in the high half.
///
/// Where the bytes begin at a multiple of four it takes less than an instruction a byte on a Cortex-M, and a quarter of one with vectors.
pub fn checksum(bytes: &[u8]) -> u64 {
    let (sums, rest) = if cfg!(staticnet_vectors) { of_blocks(bytes) } else { (START, bytes) };
    joined(add_lanes(sums, rest))
}

/// The sums of as many blocks of 64 words as there are, and what is behind them; nothing where the bytes are not aligned. In a block
/// each word is multiplied with how often it is counted, so that the compiler makes vectors of a whole block. Without them the
/// multiplications make it slower than [`add_lanes`].
fn of_blocks(bytes: &[u8]) -> (Sums, &[u8]) {
    let (blocks, rest) = bytes.as_chunks::<256>();
    let Ok(blocks) = bytemuck::try_cast_slice::<[u8; 256], [u32; 64]>(blocks) else { return (START, bytes) };
    let sums = blocks.iter().fold(START, |sums, block| {
        let (mut low, mut high) = START;
        for (i, word) in (0u32..).zip(block) {
            let word = u32::from_le(*word);
            low = low.wrapping_add(word);
            high = high.wrapping_add(word.wrapping_mul(64 - i));
        }
        appended(sums, 64, (low, high))
    });
    (sums, rest)
}

/// `sums` with the words of `bytes` behind them.
fn add_lanes(sums: Sums, bytes: &[u8]) -> Sums {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut lanes = Lanes::default();
    match bytemuck::try_cast_slice::<[u8; 32], [[u32; 4]; 2]>(blocks) {
        Ok(blocks) => {
            for [first, second] in blocks {
                lanes.add(first);
                lanes.add(second);
            }
        }
        // Not aligned.
        Err(_) => {
            for block in blocks {
                let [first, second] = bytemuck::pod_read_unaligned::<[[u32; 4]; 2]>(block);
                lanes.add(&first);
                lanes.add(&second);
            }
        }
    }
    let words = (blocks.len() * 8) as u32;
    add_words(appended(sums, words, lanes.sums()), rest, rest.len(), 0)
}

/// Every fourth word has sums of its own, which do not wait for each other.
#[derive(Default)]
struct Lanes {
    low: [u32; 4],
    high: [u32; 4],
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, words: &[u32; 4]) {
        for ((low, high), word) in self.low.iter_mut().zip(&mut self.high).zip(words) {
            *low = low.wrapping_add(u32::from_le(*word));
            *high = high.wrapping_add(*low);
        }
    }

    /// The sums over all words. Of n words in each lane, word j of lane i is counted `4 (n - j) - i` times in all, and `n - j` times in
    /// its lane.
    fn sums(&self) -> Sums {
        let (mut low, mut high) = START;
        for (i, (l, h)) in (0u32..).zip(self.low.iter().zip(&self.high)) {
            low = low.wrapping_add(*l);
            high = high.wrapping_add(h.wrapping_mul(4)).wrapping_sub(l.wrapping_mul(i));
        }
        (low, high)
    }
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

/// Sum of the words, and sum of the running sums.
type Sums = (u32, u32);

const START: Sums = (0, 0);

const fn joined((low, high): Sums) -> u64 {
    low as u64 | (high as u64) << 32
}

/// The sums of what `sums` are of and, behind it, so many words with `more` as theirs.
fn appended((low, high): Sums, words: u32, more: Sums) -> Sums {
    (low.wrapping_add(more.0), high.wrapping_add(low.wrapping_mul(words)).wrapping_add(more.1))
}

const fn add((low, high): Sums, word: u32) -> Sums {
    let low = low.wrapping_add(word);
    (low, high.wrapping_add(low))
}

/// The words of `bytes`, with the `len` bytes from `hole` read as zeros.
const fn add_words(mut sums: Sums, bytes: &[u8], hole: usize, len: usize) -> Sums {
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
        sums = add(sums, word);
        at += 4;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

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
                // What another target does.
                assert_eq!(joined(add_lanes(START, bytes)), want, "{len} bytes from {start} in lanes");
                let (sums, rest) = of_blocks(bytes);
                assert!(start % 4 != 0 || rest.len() < 256, "{len} bytes from {start}");
                assert_eq!(joined(add_lanes(sums, rest)), want, "{len} bytes from {start} in blocks");
            }
        }
        // 1, then 2 with the last word filled with zeros.
        assert_eq!(checksum(&[1, 0, 0, 0, 2]), 3 | 4 << 32);
        assert_eq!(checksum_skipping(&[1, 0, 0, 0, 9, 9, 9, 9, 2, 0, 0, 0], 4, 4), 3 | 5 << 32);
    }
}
