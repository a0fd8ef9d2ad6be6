//! Max-pool of one channel plane.
//!
//! The loops run over taps, and for each tap over a whole row of outputs: comparing and keeping is then the same operation on
//! every element of a row, without branches that depend on the data.

use super::super::PoolShape;

/// The outputs that a tap row is held against: the largest value so far and where it stood.
struct Best<'a> {
    value: &'a mut [f32],
    index: &'a mut [u32],
}

impl Best<'_> {
    /// Output `i` looks at `taps[i * stride]`, which stands at `start + i * stride` in its plane.
    fn compare(&mut self, taps: &[f32], start: usize, stride: usize) {
        match stride {
            1 => self.compare_by::<1>(taps, start),
            2 => self.compare_by::<2>(taps, start),
            3 => self.compare_by::<3>(taps, start),
            _ => self.keep(taps.iter().step_by(stride).copied(), start, stride),
        }
    }

    fn compare_by<const STRIDE: usize>(&mut self, taps: &[f32], start: usize) {
        let Some(last) = self.value.len().checked_sub(1) else { return };
        let (whole, rest) = taps.split_at(last * STRIDE);
        let firsts = whole.as_chunks::<STRIDE>().0.iter().map(|chunk| chunk[0]);
        self.keep(firsts, start, STRIDE);
        let mut end = Best { value: &mut self.value[last..], index: &mut self.index[last..] };
        end.keep(rest.iter().copied(), start + last * STRIDE, STRIDE);
    }

    fn keep(&mut self, taps: impl Iterator<Item = f32>, start: usize, stride: usize) {
        for (i, ((best, index), v)) in self.value.iter_mut().zip(self.index.iter_mut()).zip(taps).enumerate() {
            // Not `v > best`: a NaN must not hide behind a pool.
            let wins = !(v <= *best);
            *index = if wins { (start + i * stride) as u32 } else { *index };
            *best = if wins { v } else { *best };
        }
    }
}

pub(super) fn forward(shape: &PoolShape, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    let [height, width] = shape.input;
    let window = &shape.window;
    let [stride_y, stride_x] = window.stride.map(usize::from);
    let [dilation_y, dilation_x] = window.dilation.map(usize::from);
    let (pad_y, pad_x) = (window.pads[0] as usize, window.pads[1] as usize);
    y.fill(f32::NEG_INFINITY);
    let rows = y.chunks_exact_mut(shape.output[1]).zip(argmax.chunks_exact_mut(shape.output[1]));
    for (oy, (value, index)) in rows.enumerate() {
        for ky in 0..window.kernel[0] as usize {
            let iy = (oy * stride_y + ky * dilation_y).wrapping_sub(pad_y);
            if iy >= height {
                continue;
            }
            for kx in 0..window.kernel[1] as usize {
                // Outputs whose tap lies inside the row.
                let offset = kx * dilation_x;
                let first = pad_x.saturating_sub(offset).div_ceil(stride_x).min(shape.output[1]);
                let end = (width + pad_x).saturating_sub(offset).div_ceil(stride_x).clamp(first, shape.output[1]);
                if first == end {
                    continue;
                }
                let start = iy * width + first * stride_x + offset - pad_x;
                let mut best = Best { value: &mut value[first..end], index: &mut index[first..end] };
                best.compare(&x[start..start + (end - first - 1) * stride_x + 1], start, stride_x);
            }
        }
    }
}

pub(super) fn backward(argmax: &[u32], gy: &[f32], gx: &mut [f32]) {
    for (&index, gy) in argmax.iter().zip(gy) {
        gx[index as usize] += gy;
    }
}
