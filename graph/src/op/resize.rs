//! Scaling of height and width. The reading of ONNX's attributes is in `resize_onnx.rs`.

use super::index::{self, Table};
use crate::graph::{Coordinates, Interpolation, Resize, Tensor};

/// What one output row or column reads: `(1 - weight) * first + weight * second`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// A row or column of the input.
    pub first: u16,
    /// Its neighbour, or the same where that has no weight.
    pub second: u16,
    /// Weight of the second; 0 where only the first is read.
    pub weight: f32,
}

/// Output shape `[N, C, OH, OW]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(resize: &Resize, x: &[usize]) -> Result<Vec<usize>, String> {
    let &[n, c, h, w] = x else {
        return Err(format!("needs an input [N, C, H, W], got {x:?}"));
    };
    let [oh, ow] = resize.size;
    let most = usize::from(u16::MAX);
    if [h, w, oh, ow].iter().any(|size| !(1..=most).contains(size)) {
        return Err(format!("from {h}x{w} to {oh}x{ow}: heights and widths are from 1 to {most}"));
    }
    if !resize.scale.iter().all(|&scale| scale.is_finite() && scale > 0.0) {
        return Err(format!("scales {:?} are not positive numbers", resize.scale));
    }
    Ok(vec![n, c, oh, ow])
}

impl Resize {
    /// What each output row (`axis` 0) or column (`axis` 1) reads of `input` ones, which [`infer`] has taken. Coordinates are
    /// computed in f32, as onnxruntime does.
    pub fn taps(&self, axis: usize, input: usize) -> Vec<Tap> {
        (0..self.size[axis]).map(|out| self.tap(self.coordinate(axis, out, input), input)).collect()
    }

    /// Where an output pixel lies in the input.
    fn coordinate(&self, axis: usize, out: usize, input: usize) -> f32 {
        let (x, scale) = (out as f32, self.scale[axis]);
        let (output, len) = (self.size[axis] as f32, input as f32);
        if scale == 1.0 {
            return x;
        }
        match self.coordinates {
            Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = output / (scale * len);
                len / 2.0 * (1.0 - adjustment) + (x + 0.5) / scale - 0.5
            }
            Coordinates::PytorchHalfPixel if output > 1.0 => (x + 0.5) / scale - 0.5,
            // The specification's output length is the unrounded one; where the model gives sizes it is the size itself.
            Coordinates::AlignCorners if output > 1.0 => {
                let exact = scale * len;
                let output = if exact.round() == output && (exact - output).abs() < 1e-3 { output } else { exact };
                x * (len - 1.0) / (output - 1.0)
            }
            Coordinates::PytorchHalfPixel | Coordinates::AlignCorners => 0.0,
            Coordinates::Asymmetric => x / scale,
        }
    }

    fn tap(&self, x: f32, input: usize) -> Tap {
        let last = (input - 1) as f32;
        let nearest = match self.interpolation {
            // Halves are exact in f32 wherever they matter.
            Interpolation::NearestPreferFloor => (x - 0.5).ceil(),
            Interpolation::NearestPreferCeil => (x + 0.5).floor(),
            Interpolation::NearestFloor => x.floor(),
            Interpolation::NearestCeil => x.ceil(),
            Interpolation::Linear => {
                let x = x.clamp(0.0, last);
                let first = x.floor();
                let weight = x - first;
                let second = if weight == 0.0 { first } else { first + 1.0 };
                return Tap { first: first as u16, second: second.min(last) as u16, weight };
            }
        };
        let pixel = nearest.clamp(0.0, last) as u16;
        Tap { first: pixel, second: pixel, weight: 0.0 }
    }
}

/// Linear along both axes, in f64; the nearest pixel is the case of weights 0.
pub fn reference(resize: &Resize, x: &Tensor, out_shape: &[usize]) -> Tensor {
    let [h, w] = [x.shape[2], x.shape[3]];
    let (rows, columns) = (resize.taps(0, h), resize.taps(1, w));
    let strides = index::strides(&x.shape);
    let corner = |row: fn(&Tap) -> u16, column: fn(&Tap) -> u16| {
        let table = |taps: &[Tap], which: fn(&Tap) -> u16, stride: usize| -> Table {
            taps.iter().map(|tap| Some(usize::from(which(tap)) * stride)).collect()
        };
        let whole = |d: usize| -> Table { (0..x.shape[d]).map(|i| Some(i * strides[d])).collect() };
        let tables = [whole(0), whole(1), table(&rows, row, strides[2]), table(&columns, column, strides[3])];
        index::gather(&x.data, &tables, 0.0)
    };
    let corners = [
        corner(|t| t.first, |t| t.first),
        corner(|t| t.first, |t| t.second),
        corner(|t| t.second, |t| t.first),
        corner(|t| t.second, |t| t.second),
    ];
    let [oh, ow] = resize.size;
    let element = |i: usize| {
        let (wy, wx) = (f64::from(rows[i / ow % oh].weight), f64::from(columns[i % ow].weight));
        let mix = |a: &[f32], b: &[f32], weight: f64| {
            if weight == 0.0 { f64::from(a[i]) } else { (1.0 - weight) * f64::from(a[i]) + weight * f64::from(b[i]) }
        };
        let upper = mix(&corners[0], &corners[1], wx);
        if wy == 0.0 {
            return upper as f32;
        }
        ((1.0 - wy) * upper + wy * mix(&corners[2], &corners[3], wx)) as f32
    };
    Tensor { shape: out_shape.to_vec(), data: (0..corners[0].len()).map(element).collect() }
}
