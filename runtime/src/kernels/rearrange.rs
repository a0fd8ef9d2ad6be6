//! A strided walk over the input: transposes, slices, channel shuffles, broadcasts. Only copies.

use crate::op::Rearrange;
use crate::view::{Block, Rows, RowsMut};

/// Lowest and highest input element that output row 0 reads, as far as `i64` goes: [`crate::Artifact::new`] checks them.
pub(crate) const fn span(attrs: &Rearrange) -> (i64, i64) {
    let (mut low, mut high, mut axis) = (attrs.base as i64, attrs.base as i64, 0);
    while axis < 4 {
        let reach = (attrs.size[axis] as i64 - 1) * attrs.stride[axis] as i64;
        if reach < 0 {
            low += reach;
        } else {
            high += reach;
        }
        axis += 1;
    }
    (low, high)
}

/// Input rows `[first, end)` that output rows `[r0, r1)` read, of `height` rows of `len` elements: those they touch where each of
/// them stays inside one, otherwise all.
pub(crate) const fn input_rows(attrs: &Rearrange, height: u32, len: u64, r0: u32, r1: u32) -> (u32, u32) {
    let (len, (low, high)) = (len as i64, span(attrs));
    if attrs.row as i64 % len != 0 || low / len != high / len {
        return (0, height);
    }
    let (step, line) = (attrs.row as i64 / len, low / len);
    let (a, b) = (line + r0 as i64 * step, line + (r1 as i64 - 1) * step);
    if a <= b { (a as u32, b as u32 + 1) } else { (b as u32, a as u32 + 1) }
}

/// Rows x channels.
pub fn rearrange<E: Copy>(attrs: &Rearrange, x: &Rows<E>, y: &mut RowsMut<E>, block: Block) {
    let (channels, len) = (y.channels, x.width * x.channels);
    let (low, _) = span(attrs);
    let [n0, n1, n2, n3] = attrs.size.map(usize::from);
    // Modulo 2^32 or more: the sums below are places in the input, whatever comes on the way.
    let [s0, s1, s2, s3] = attrs.stride.map(|s| s as isize as usize);
    for r in block.r0..block.r1 {
        let ahead = r as i64 * attrs.row as i64;
        // From a ring the walk reads a single row.
        let (source, before) = if x.is_whole() {
            (x.all(), 0)
        } else {
            let line = ((low + ahead) / len as i64) as usize;
            (x.row(line), line * len)
        };
        let base = (attrs.base as usize).wrapping_add(ahead as usize).wrapping_sub(before);
        let out = y.row(r);
        let mut place = 0;
        for i in 0..n0 * n1 * n2 {
            let (i0, i1, i2) = (i / (n1 * n2), i / n2 % n1, i % n2);
            let outer = i0.wrapping_mul(s0).wrapping_add(i1.wrapping_mul(s1)).wrapping_add(i2.wrapping_mul(s2));
            let from = base.wrapping_add(outer);
            let run = &mut out[place..place + n3];
            if block.c1 - block.c0 < channels {
                for (i3, y) in run.iter_mut().enumerate() {
                    if (block.c0..block.c1).contains(&((place + i3) % channels)) {
                        *y = source[from.wrapping_add(i3.wrapping_mul(s3))];
                    }
                }
            } else if s3 == 1 {
                run.copy_from_slice(&source[from..from + n3]);
            } else {
                for (i3, y) in run.iter_mut().enumerate() {
                    *y = source[from.wrapping_add(i3.wrapping_mul(s3))];
                }
            }
            place += n3;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<const N: usize>(attrs: Rearrange, x: &Rows<u8>, [h, w, c]: [usize; 3], channels: [usize; 2]) -> [u8; N] {
        let mut y = [99; N];
        let block = Block { r0: 0, r1: h, c0: channels[0], c1: channels[1] };
        rearrange(&attrs, x, &mut RowsMut::new(&mut y, h, w, c), block);
        y
    }

    #[test]
    fn a_transpose_a_shuffle_and_a_mirror() {
        // 2 x 3 pixels of 2 channels.
        let x = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        let x = Rows::new(&x, 2, 2, 3, 2);
        // Height and width swapped.
        let swap = Rearrange { base: 0, row: 2, size: [1, 1, 2, 2], stride: [0, 0, 6, 1] };
        assert_eq!(run::<12>(swap, &x, [3, 2, 2], [0, 2]), [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]);
        // Channels exchanged.
        let shuffle = Rearrange { base: 1, row: 6, size: [1, 1, 3, 2], stride: [0, 0, 2, -1] };
        assert_eq!(run::<12>(shuffle, &x, [2, 3, 2], [0, 2]), [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]);
        assert_eq!(run::<12>(shuffle, &x, [2, 3, 2], [1, 2]), [99, 0, 99, 2, 99, 4, 99, 6, 99, 8, 99, 10]);
        // Everything backwards.
        let mirror = Rearrange { base: 11, row: -6, size: [6, 1, 1, 1], stride: [-1, 0, 0, 0] };
        assert_eq!(run::<12>(mirror, &x, [2, 3, 2], [0, 2]), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        // One pixel for all.
        let repeat = Rearrange { base: 8, row: 0, size: [1, 1, 2, 2], stride: [0, 0, 0, 1] };
        assert_eq!(run::<8>(repeat, &x, [2, 2, 2], [0, 2]), [8, 9, 8, 9, 8, 9, 8, 9]);
    }

    #[test]
    fn rows_needed() {
        let shuffle = Rearrange { base: 1, row: 6, size: [1, 1, 3, 2], stride: [0, 0, 2, -1] };
        assert_eq!(input_rows(&shuffle, 9, 6, 2, 5), (2, 5));
        let up = Rearrange { base: 48, row: -6, size: [1, 1, 3, 2], stride: [0, 0, 2, 1] };
        assert_eq!(input_rows(&up, 9, 6, 2, 5), (4, 7));
        let swap = Rearrange { base: 0, row: 2, size: [1, 1, 9, 2], stride: [0, 0, 6, 1] };
        assert_eq!(input_rows(&swap, 9, 6, 0, 1), (0, 9));
        assert_eq!(span(&Rearrange { base: 7, row: 0, size: [3, 2, 1, 4], stride: [-2, 5, 9, 1] }), (3, 15));
    }
}
