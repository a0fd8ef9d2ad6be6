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
/// Less than an instruction a byte on a Cortex-M where the bytes begin at a multiple of four.
pub fn checksum(bytes: &[u8]) -> u64 {
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
    joined(add_words(lanes.sums(), rest, rest.len(), 0))
}

/// Every fourth word has sums of its own, which a vector unit makes at once.
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
        let mut words = [0u32; 200];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = (i * i * 7 + i * 13 + 0x85) as u8;
        }
        for start in 0..5 {
            for len in (0..200).chain([255, 256, 257, 700, 795]) {
                let bytes = &bytes[start..start + len];
                assert_eq!(checksum(bytes), const_checksum(bytes), "{len} bytes from {start}");
            }
        }
        // 1, then 2 with the last word filled with zeros.
        assert_eq!(checksum(&[1, 0, 0, 0, 2]), 3 | 4 << 32);
        assert_eq!(checksum_skipping(&[1, 0, 0, 0, 9, 9, 9, 9, 2, 0, 0, 0], 4, 4), 3 | 5 << 32);
    }
}
