//! im2col and its transpose over a few pictures at once.
//!
//! A small picture gives a matrix product too few columns, so `NB` pictures (a power of two) share one. They are interleaved
//! first, `[C, H, W, NB]`: then every run of pixels that im2col copies is `NB` times longer, which matters where a row of the
//! picture has only 7 pixels.

use super::super::ConvShape;

/// Pictures that share one matrix product: the least power of two that gives it 512 columns, at most 16.
pub(super) fn pictures_per_product(shape: &ConvShape) -> usize {
    let plane = shape.output[1] * shape.output[2];
    512_usize.div_ceil(plane).next_power_of_two().min(16)
}

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

fn interleave_by<const NB: usize>(x: &[f32], pictures: usize, first: usize, out: &mut [f32]) {
    let len = x.len() / pictures;
    let from: [&[f32]; NB] = std::array::from_fn(|i| &x[(first + i) * len..][..len]);
    for (at, out) in out.chunks_exact_mut(pictures).enumerate() {
        for (out, from) in out[first..first + NB].iter_mut().zip(&from) {
            *out = from[at];
        }
    }
}

/// `[NB, len]` to `[len, NB]`, for an `NB` of [`groups`].
pub(super) fn interleave(pictures: usize, x: &[f32], out: &mut [f32]) {
    match pictures {
        1 => out.copy_from_slice(x),
        2 => interleave_by::<2>(x, pictures, 0, out),
        4 => interleave_by::<4>(x, pictures, 0, out),
        8 => interleave_by::<8>(x, pictures, 0, out),
        _ => (0..pictures).step_by(BLOCK).for_each(|first| interleave_by::<BLOCK>(x, pictures, first, out)),
    }
}

/// `[len, NB]` to `NB` runs of `len`, `stride` apart, each element handed to `put`.
pub(super) fn deinterleave(pictures: usize, x: &[f32], stride: usize, out: &mut [f32], put: impl Fn(&mut f32, f32)) {
    for i in 0..pictures {
        for (row, out) in x.chunks_exact(pictures).zip(&mut out[i * stride..]) {
            put(out, row[i]);
        }
    }
}

/// Output columns `[first, end)` whose tap `k` along the horizontal axis lies inside the picture.
fn inside(shape: &ConvShape, k: usize) -> (usize, usize) {
    let [stride, dilation, pad] = [shape.window.stride[1], shape.window.dilation[1], shape.window.pads[1]].map(usize::from);
    let (width, out) = (shape.input[2], shape.output[2]);
    let offset = k * dilation;
    let first = pad.saturating_sub(offset).div_ceil(stride).min(out);
    let end = (width + pad).saturating_sub(offset).div_ceil(stride).min(out);
    (first, end.max(first))
}

/// Calls `visit(row of the column matrix, output row, input row start, first, end)` for every run of taps: output pixels
/// `[first, end)` of the output row read input pixels from `input row start` on, `stride` apart. A row of taps outside the
/// picture has `first == end`.
fn for_each_run(shape: &ConvShape, channels: usize, mut visit: impl FnMut(usize, usize, usize, usize, usize)) {
    let window = &shape.window;
    let [height, width] = [shape.input[1], shape.input[2]];
    let mut row = 0;
    for c in 0..channels {
        for ky in 0..window.kernel[0] as usize {
            for kx in 0..window.kernel[1] as usize {
                let (first, end) = inside(shape, kx);
                for oy in 0..shape.output[1] {
                    let y = oy * window.stride[0] as usize + ky * window.dilation[0] as usize;
                    let y = y.wrapping_sub(window.pads[0] as usize);
                    if y >= height || first == end {
                        visit(row, oy, 0, 0, 0);
                        continue;
                    }
                    let x = first * window.stride[1] as usize + kx * window.dilation[1] as usize - window.pads[1] as usize;
                    visit(row, oy, (c * height + y) * width + x, first, end);
                }
                row += 1;
            }
        }
    }
}

/// The column matrix `[C * KH * KW, OH * OW * NB]` of `channels` interleaved planes `x`.
pub(super) fn im2col(shape: &ConvShape, pictures: usize, channels: usize, x: &[f32], columns: &mut [f32]) {
    let (nb, ow) = (pictures, shape.output[2]);
    let (row_len, stride) = (shape.output[1] * ow * nb, shape.window.stride[1] as usize);
    for_each_run(shape, channels, |row, oy, start, first, end| {
        let out = &mut columns[row * row_len + oy * ow * nb..][..ow * nb];
        out[..first * nb].fill(0.0);
        out[end * nb..].fill(0.0);
        let out = &mut out[first * nb..end * nb];
        let taps = &x[start * nb..];
        if stride == 1 {
            out.copy_from_slice(&taps[..out.len()]);
        } else if nb == 1 {
            for (out, tap) in out.iter_mut().zip(taps.iter().step_by(stride)) {
                *out = *tap;
            }
        } else {
            for (out, tap) in out.chunks_exact_mut(nb).zip(taps.chunks(stride * nb)) {
                out.copy_from_slice(&tap[..nb]);
            }
        }
    });
}

/// Adds a gradient of the column matrix to the interleaved planes it was made from.
pub(super) fn col2im_add(shape: &ConvShape, pictures: usize, channels: usize, columns: &[f32], gx: &mut [f32]) {
    let (nb, ow) = (pictures, shape.output[2]);
    let (row_len, stride) = (shape.output[1] * ow * nb, shape.window.stride[1] as usize);
    for_each_run(shape, channels, |row, oy, start, first, end| {
        let from = &columns[row * row_len + oy * ow * nb..][first * nb..end * nb];
        let taps = &mut gx[start * nb..];
        if stride == 1 {
            for (tap, g) in taps.iter_mut().zip(from) {
                *tap += g;
            }
        } else if nb == 1 {
            for (tap, g) in taps.iter_mut().step_by(stride).zip(from) {
                *tap += g;
            }
        } else {
            for (tap, g) in taps.chunks_mut(stride * nb).zip(from.chunks_exact(nb)) {
                for (tap, g) in tap.iter_mut().zip(g) {
                    *tap += g;
                }
            }
        }
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
            interleave(pictures, &x, &mut mixed);
            assert_eq!(mixed[pictures], 1.0, "the second element of the first picture follows the first of all pictures");
            let mut back = vec![0.0; x.len()];
            deinterleave(pictures, &mixed, 5, &mut back, |out, v| *out = v);
            assert_eq!(back, x);
        }
    }
}
