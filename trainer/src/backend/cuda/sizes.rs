//! Parameters of kernels: the records that the kernels' files define, in the same order.

use crate::backend::raw::cuda::parameters;
use crate::backend::{LrnShape, PoolShape};
use staticnet::op::Window;

/// A number as the kernels take it.
///
/// # Panics
/// Panics where it has more than 31 bits: a batch has fewer pixels.
pub(super) fn narrow(n: usize) -> i32 {
    i32::try_from(n).expect("a batch too large for a GPU: take a smaller one")
}

/// `Divider` of common.cuh.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Divider {
    divisor: u32,
    multiplier: u32,
    shift: u32,
}

impl Divider {
    /// For dividends below 2^31. With `shift` the bits of the divisor, rounded up, the multiplier is `2^32 (2^shift - divisor)
    /// / divisor + 1`, rounded down.
    pub(super) fn new(divisor: usize) -> Self {
        let divisor = narrow(divisor.max(1)).unsigned_abs();
        let shift = divisor.next_power_of_two().trailing_zeros();
        let multiplier = ((1_u64 << 32) * ((1_u64 << shift) - u64::from(divisor)) / u64::from(divisor) + 1) as u32;
        Divider { divisor, multiplier, shift }
    }
}

/// `Pixels` of pixels.cuh.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Pixels {
    pub from_picture: i64,
    pub from_group: i64,
    pub to_picture: i64,
    pub to_group: i64,
    pub plane: Divider,
    pub row: Divider,
    pub count: i32,
    pub rows: i32,
    pub packed_rows: i32,
    pub packed_depth: i32,
    pub depth: i32,
    pub height: i32,
    pub width: i32,
    pub stride_y: i32,
    pub stride_x: i32,
    pub to_plane: i32,
    pub to_width: i32,
    pub to_y: i32,
    pub to_x: i32,
    pub to_stride_y: i32,
    pub to_stride_x: i32,
    pub relu: i32,
}

/// `Weights` of weights.cuh.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Weights {
    pub picture: i64,
    pub group: i64,
    pub gradient_picture: i64,
    pub part: i64,
    pub plane: Divider,
    pub row: Divider,
    pub count: i32,
    pub share: i32,
    pub rows: i32,
    pub taps: i32,
    pub height: i32,
    pub width: i32,
    pub stride_y: i32,
    pub stride_x: i32,
}

/// `Pool` of pool.cuh.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Pool {
    to_plane: Divider,
    to_row: Divider,
    from_plane: Divider,
    from_row: Divider,
    kernel: [i32; 2],
    stride: [i32; 2],
    dilation: [i32; 2],
    top: i32,
    left: i32,
    size: [i32; 2],
    to_size: [i32; 2],
}

impl Pool {
    pub(super) fn new(shape: &PoolShape) -> Self {
        let Window { kernel, stride, dilation, pads } = shape.window;
        let ([height, width], [to_height, to_width]) = (shape.input, shape.output);
        // Elements are counted in 31 bits.
        let _ = narrow(shape.planes * (height * width).max(to_height * to_width));
        Pool {
            to_plane: Divider::new(to_height * to_width),
            to_row: Divider::new(to_width),
            from_plane: Divider::new(height * width),
            from_row: Divider::new(width),
            kernel: kernel.map(i32::from),
            stride: stride.map(i32::from),
            dilation: dilation.map(i32::from),
            top: i32::from(pads[0]),
            left: i32::from(pads[1]),
            size: shape.input.map(narrow),
            to_size: shape.output.map(narrow),
        }
    }
}

/// `Lrn` of lrn.cuh.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Lrn {
    plane: Divider,
    channels: Divider,
    size: i32,
    scale: f32,
    beta: f32,
    k: f32,
    factor: f32,
}

impl Lrn {
    pub(super) fn new(shape: &LrnShape) -> Self {
        let _ = narrow(shape.batch * shape.channels * shape.plane);
        let scale = shape.attrs.alpha / f32::from(shape.attrs.size);
        Lrn {
            plane: Divider::new(shape.plane),
            channels: Divider::new(shape.channels),
            size: i32::from(shape.attrs.size),
            scale,
            beta: shape.attrs.beta,
            k: shape.attrs.k,
            factor: 2.0 * shape.attrs.alpha / f32::from(shape.attrs.size) * shape.attrs.beta,
        }
    }
}

/// `Common` of update.cuh.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Common {
    pub scale: f32,
    pub limit: f32,
    pub l2: f32,
    pub keep: f32,
    pub average_old: f32,
    pub average_new: f32,
}

parameters!(Divider, Pixels, Weights, Pool, Lrn, Common);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients() {
        let quotient = |d: Divider, n: u32| (((u64::from(n) * u64::from(d.multiplier)) >> 32) as u32 + n) >> d.shift;
        let most = (1_u32 << 31) - 1;
        for divisor in (1..400).chain([1000, 3025, 4095, 4096, 4097, 50176, 65535, 1_000_003, 1 << 30, (1 << 30) + 1, most]) {
            let divider = Divider::new(divisor as usize);
            let near = (0..=most / divisor).step_by((most / divisor / 50 + 1) as usize).map(|q| q * divisor);
            for n in near.flat_map(|n| [n.saturating_sub(1), n, n + 1]).chain([most - 1, most]).filter(|n| *n <= most) {
                assert_eq!(quotient(divider, n), n / divisor, "{n} / {divisor}");
            }
        }
    }
}
