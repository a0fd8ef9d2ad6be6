//! Layers that move, choose or rename elements, followed one element at a time: what they must make, in plain loops over real
//! numbers.

use staticnet::op::{AveragePool, LpPool, Norm, Pad, PadMode, Place, Rearrange, Window};
use staticnet::record::{DType, TensorInfo};

/// An operator that is followed element by element.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moved {
    /// The chunk's elements.
    Constant,
    Rearrange(Rearrange),
    Pad(Pad),
    Place(Place),
    Resize,
    /// The last of equals, or the first.
    ArgMax {
        last: bool,
    },
    /// Between real numbers and codes.
    Convert {
        per_channel: bool,
    },
    /// A mean whose divisor ONNX has no attribute for.
    Average(AveragePool),
    /// A norm of a window.
    Lp(LpPool),
}

/// A layer whose elements are followed: its tensors, and its chunk.
pub(super) struct Layer<'l> {
    pub(super) inputs: &'l [TensorInfo],
    pub(super) output: &'l TensorInfo,
    pub(super) chunk: &'l [u8],
}

/// Rows, pixels, channels.
fn size(info: &TensorInfo) -> [usize; 3] {
    [info.height as usize, info.width as usize, info.channels as usize]
}

/// The output `[1, C, H, W]` (of a concatenation's part: the part). Inputs are in memory order.
pub(super) fn replay(moved: &Moved, layer: &Layer, inputs: &[Vec<f32>]) -> Vec<f32> {
    let [height, width, channels] = match (moved, layer.inputs.first()) {
        (Moved::Place(_), Some(x)) => size(x),
        _ => size(layer.output),
    };
    let pixels = |c: usize| (0..height).flat_map(move |h| (0..width).map(move |w| [h, w, c]));
    (0..channels).flat_map(pixels).map(|at| element(moved, layer, inputs, at)).collect()
}

fn word(bytes: &[u8], at: usize) -> [u8; 4] {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).unwrap_or_default()
}

/// One element of the output.
fn element(moved: &Moved, layer: &Layer, inputs: &[Vec<f32>], [h, w, c]: [usize; 3]) -> f32 {
    let [_, out_width, out_channels] = size(layer.output);
    let at_output = (h * out_width + w) * out_channels + c;
    let (Some(x), Some(info)) = (inputs.first(), layer.inputs.first()) else {
        return constant(layer, at_output);
    };
    let [height, width, channels] = size(info);
    let x = |h: usize, w: usize, c: usize| x[(h * width + w) * channels + c];
    match moved {
        Moved::Constant => constant(layer, at_output),
        Moved::Rearrange(walk) => {
            let mut rest = w * out_channels + c;
            let mut from = walk.base as i64 + h as i64 * walk.row as i64;
            for (&size, &stride) in walk.size.iter().zip(&walk.stride).rev() {
                from += (rest % size as usize) as i64 * stride as i64;
                rest /= size as usize;
            }
            inputs[0][from as usize]
        }
        Moved::Place(_) | Moved::Convert { per_channel: false } => x(h, w, c),
        Moved::Convert { per_channel: true } => per_channel(layer, channels, c, x(h, w, c)),
        Moved::Pad(pad) => {
            let along = |axis: usize, i: usize, len: usize| outside(pad.mode, i as i64 - pad.before[axis] as i64, len as i64);
            match (along(0, h, height), along(1, w, width), along(2, c, channels)) {
                (Some(h), Some(w), Some(c)) => x(h, w, c),
                _ if layer.output.dtype.is_i8() => (pad.value_i8 as f32 - layer.output.zero_point as f32) * layer.output.scale,
                _ => pad.value,
            }
        }
        Moved::Resize => {
            let tap = |i: usize| {
                let [a, b, c, d] = word(layer.chunk, 8 * i);
                let weight = f32::from_le_bytes(word(layer.chunk, 8 * i + 4)) as f64;
                [(u16::from_le_bytes([a, b]) as usize, 1.0 - weight), (u16::from_le_bytes([c, d]) as usize, weight)]
            };
            let rows = tap(h);
            let pixels = tap(layer.output.height as usize + w);
            let term =
                |(h, wy): (usize, f64), (w, wx): (usize, f64)| if wy * wx == 0.0 { 0.0 } else { wy * wx * x(h, w, c) as f64 };
            rows.iter().map(|&r| pixels.iter().map(|&p| term(r, p)).sum::<f64>()).sum::<f64>() as f32
        }
        Moved::ArgMax { last } => {
            let better = |a: f32, b: f32| if *last { a >= b } else { a > b };
            (0..channels).fold(0, |best, c| if better(x(h, w, c), x(h, w, best)) { c } else { best }) as f32
        }
        Moved::Average(pool) => average(pool, [h, w], [height, width], |h, w| x(h, w, c)),
        Moved::Lp(pool) => norm(pool, [h, w], [height, width], |h, w| x(h, w, c)),
    }
}

fn constant(layer: &Layer, at: usize) -> f32 {
    match layer.output.dtype {
        DType::F32 => f32::from_le_bytes(word(layer.chunk, 4 * at)),
        DType::I8 => {
            layer.chunk.get(at).map_or(f32::NAN, |&q| (q as i8 as f32 - layer.output.zero_point as f32) * layer.output.scale)
        }
        DType::I32 => f32::NAN,
    }
}

/// Between real numbers and codes with a grid for each channel. The codes themselves are the tensor's real numbers then: its own
/// grid is 1 and 0.
fn per_channel(layer: &Layer, channels: usize, c: usize, v: f32) -> f32 {
    let scale = f32::from_le_bytes(word(layer.chunk, 4 * c));
    let zero_point = i32::from_le_bytes(word(layer.chunk, 4 * (channels + c))) as f32;
    match layer.output.dtype {
        DType::I8 => ((v / scale).round_ties_even() + zero_point).clamp(-128.0, 127.0),
        DType::F32 | DType::I32 => (v - zero_point) * scale,
    }
}

/// The input's index for one before, inside or behind it.
fn outside(mode: PadMode, i: i64, len: i64) -> Option<usize> {
    let inside = match mode {
        PadMode::Constant => i,
        PadMode::Edge => i.clamp(0, len - 1),
        PadMode::Wrap => i.rem_euclid(len),
        PadMode::Reflect if len == 1 => 0,
        PadMode::Reflect => {
            let place = i.rem_euclid(2 * (len - 1));
            if place < len { place } else { 2 * (len - 1) - place }
        }
    };
    (0..len).contains(&inside).then_some(inside as usize)
}

/// Where the taps of the output at `at` lie, inside the input or not.
fn taps(window: &Window, at: [usize; 2]) -> impl Iterator<Item = [i64; 2]> {
    let [kernel, stride, dilation] = [window.kernel, window.stride, window.dilation].map(|pair| pair.map(i64::from));
    let first = [0, 1].map(|axis| at[axis] as i64 * stride[axis] - i64::from(window.pads[axis]));
    (0..kernel[0]).flat_map(move |y| (0..kernel[1]).map(move |x| [first[0] + y * dilation[0], first[1] + x * dilation[1]]))
}

/// Whether a tap lies in an input of `len` rows and pixels that is extended by `more`: top, left, bottom, right.
fn inside([h, w]: [i64; 2], len: [usize; 2], more: [u16; 4]) -> bool {
    let [top, left, bottom, right] = more.map(i64::from);
    (-top..len[0] as i64 + bottom).contains(&h) && (-left..len[1] as i64 + right).contains(&w)
}

/// The elements under a window that lie in the input.
fn under(window: &Window, at: [usize; 2], len: [usize; 2], x: impl Fn(usize, usize) -> f32) -> impl Iterator<Item = f64> {
    taps(window, at).filter(move |&tap| inside(tap, len, [0; 4])).map(move |[h, w]| f64::from(x(h as usize, w as usize)))
}

fn average(pool: &AveragePool, at: [usize; 2], len: [usize; 2], x: impl Fn(usize, usize) -> f32) -> f32 {
    let count = taps(&pool.window, at).filter(|&tap| inside(tap, len, pool.counted)).count();
    (under(&pool.window, at, len, x).sum::<f64>() / count.max(1) as f64) as f32
}

fn norm(pool: &LpPool, at: [usize; 2], len: [usize; 2], x: impl Fn(usize, usize) -> f32) -> f32 {
    let elements = under(&pool.window, at, len, x);
    match pool.norm {
        Norm::Sum => elements.map(f64::abs).sum::<f64>() as f32,
        Norm::Root => elements.map(|v| v * v).sum::<f64>().sqrt() as f32,
    }
}
