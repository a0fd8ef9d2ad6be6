//! Pictures interleaved, `[C, H, W, NB]`, so that one instruction works on the same pixel of several of them.

use super::super::raw::simd::Loop;

/// Cuts `count` pictures into groups of `most` and, for the rest, smaller powers of two: `(first, pictures)`.
pub(super) fn groups(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = count - first;
        if left == 0 {
            return None;
        }
        let pictures = if left >= most { most } else { 1 << left.ilog2() };
        first += pictures;
        Some((first - pictures, pictures))
    })
}

/// Pictures that are interleaved at once: more would read from too many places.
const BLOCK: usize = 16;

#[inline(always)]
fn interleave_by<const NB: usize>(x: &[f32], pictures: usize, first: usize, out: &mut [f32]) {
    let len = x.len() / pictures;
    let from: [&[f32]; NB] = std::array::from_fn(|i| &x[(first + i) * len..][..len]);
    for (at, out) in out.chunks_exact_mut(pictures).enumerate() {
        for (out, from) in out[first..first + NB].iter_mut().zip(&from) {
            *out = from[at];
        }
    }
}

vectorised!(Interleave((usize, &'a [f32], &'a mut [f32])) = interleave);

/// `[NB, len]` to `[len, NB]`, for an `NB` of [`groups`].
#[inline(always)]
fn interleave((pictures, x, out): (usize, &[f32], &mut [f32])) {
    match pictures {
        1 => out.copy_from_slice(x),
        2 => interleave_by::<2>(x, pictures, 0, out),
        4 => interleave_by::<4>(x, pictures, 0, out),
        8 => interleave_by::<8>(x, pictures, 0, out),
        _ => {
            for first in (0..pictures).step_by(BLOCK) {
                interleave_by::<BLOCK>(x, pictures, first, out);
            }
        }
    }
}

/// `[len, NB]` to `NB` runs of `len`, `stride` apart, added to what is there where `ADD`.
pub(super) struct Deinterleave<'a, const ADD: bool> {
    pub(super) pictures: usize,
    pub(super) x: &'a [f32],
    pub(super) stride: usize,
    pub(super) out: &'a mut [f32],
}

impl<const ADD: bool> Loop for Deinterleave<'_, ADD> {
    #[inline(always)]
    fn run(self) {
        // In pieces that stay in the first cache while every picture passes over them.
        const PIECE: usize = 64;
        let pictures = self.pictures;
        for (piece, x) in self.x.chunks(PIECE * pictures).enumerate() {
            for i in 0..pictures {
                let out = &mut self.out[i * self.stride + piece * PIECE..][..x.len() / pictures];
                for (row, out) in x.chunks_exact(pictures).zip(out) {
                    *out = if ADD { *out + row[i] } else { row[i] };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_every_picture_once() {
        assert_eq!(groups(23, 8).collect::<Vec<_>>(), [(0, 8), (8, 8), (16, 4), (20, 2), (22, 1)]);
        assert_eq!(groups(0, 8).count(), 0);
    }

    #[test]
    fn interleaving_is_undone() {
        for pictures in [1, 2, 4, 8, 16, 32, 64] {
            let x: Vec<f32> = (0..pictures * 5).map(|i| i as f32).collect();
            let mut mixed = vec![0.0; x.len()];
            Interleave((pictures, &x, &mut mixed)).run();
            assert_eq!(mixed[pictures], 1.0, "the second element of the first picture follows the first of all pictures");
            let mut back = vec![0.0; x.len()];
            Deinterleave::<false> { pictures, x: &mixed, stride: 5, out: &mut back }.run();
            assert_eq!(back, x);
        }
    }
}
