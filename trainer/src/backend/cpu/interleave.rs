//! Pictures interleaved, `[C, H, W, NB]`, so that one instruction works on the same pixel of several of them.

use super::super::raw::simd::{Simd, Transposition};

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

/// `[NB, len]` to `[len, NB]`.
pub(super) fn interleave(simd: Simd, pictures: usize, x: &[f32], out: &mut [f32]) {
    let len = x.len() / pictures;
    simd.transpose(Transposition {
        from: x,
        from_stride: len,
        rows: pictures,
        columns: len,
        to: out,
        to_stride: pictures,
        add: false,
    });
}

/// `[len, NB]` to `NB` runs of `len`, `stride` apart, or added to what is there.
pub(super) fn deinterleave(simd: Simd, pictures: usize, x: &[f32], (out, stride): (&mut [f32], usize), add: bool) {
    let len = x.len() / pictures;
    simd.transpose(Transposition {
        from: x,
        from_stride: pictures,
        rows: len,
        columns: pictures,
        to: out,
        to_stride: stride,
        add,
    });
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
            interleave(Simd::detect(), pictures, &x, &mut mixed);
            assert_eq!(mixed[pictures], 1.0, "the second element of the first picture follows the first of all pictures");
            let mut back = vec![0.0; x.len()];
            deinterleave(Simd::detect(), pictures, &mixed, (&mut back, 5), false);
            assert_eq!(back, x);
        }
    }
}
