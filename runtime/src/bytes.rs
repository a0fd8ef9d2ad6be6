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
pub const fn checksum(bytes: &[u8]) -> u64 {
    checksum_skipping(bytes, bytes.len(), 0)
}

/// [`checksum`] with the `len` bytes from `hole` read as zeros (a header does not cover its own checksum). Both are
/// multiples of four.
pub(crate) const fn checksum_skipping(bytes: &[u8], hole: usize, len: usize) -> u64 {
    let (mut low, mut high) = (0u32, 0u32);
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
        low = low.wrapping_add(word);
        high = high.wrapping_add(low);
        at += 4;
    }
    low as u64 | (high as u64) << 32
}
