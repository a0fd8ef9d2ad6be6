//! What each operator makes of its inputs.

use super::moves;
use super::{Grid, Ints};
use staticnet::op::{AveragePool, BinaryOp, Conv2d, Function, LpPool, Lrn, MaxPool, Norm, Op, Window};
use staticnet_exporter::network::{Layer, Parameters};

/// The output's codes in memory order; none where the layer does not write.
pub fn output(layer: &Layer, inputs: &[Ints], size: [usize; 3], y: Grid) -> Vec<Option<i64>> {
    let Some(x) = inputs.first() else { return constant(layer, y) };
    let [height, width, channels] = size;
    let [lo, hi] = clamp(layer, y);
    let mut all = Vec::with_capacity(height * width * channels);
    let sums = sums(layer, x.grid);
    for r in 0..height {
        for p in 0..width {
            for c in 0..channels {
                let sum = sums.get(c);
                let (row, pixel) = (r as i64, p as i64);
                let place = (r * width + p) * channels + c;
                let same = || x.at(row, pixel, c).unwrap_or_default();
                let code = match &layer.op {
                    Op::Conv2d(conv) => sum.map(|sum| sum.requantized(convolved(conv, x, sum, [r, p, c], channels), y)),
                    Op::Linear => sum.map(|sum| {
                        let products = sum.weights.iter().zip(&x.q).map(|(w, q)| w * (q - x.grid.zero));
                        sum.requantized(products.sum(), y)
                    }),
                    Op::MaxPool(pool) => largest(pool, x, r, p, c),
                    Op::Relu => x.code(row, pixel, c).map(|q| q.max(x.grid.zero)),
                    Op::AveragePool(pool) => Some(y.nearest(mean(pool, x, r, p, c) * x.grid.scale as f64)),
                    Op::LpPool(pool) => Some(y.nearest(norm(pool, x, r, p, c) * x.grid.scale as f64)),
                    Op::Lrn(lrn) => Some(y.nearest(normalised(lrn, x, row, pixel, c))),
                    Op::Unary(function) => Some(y.nearest(value(function, same() as f64 * x.grid.scale as f64))),
                    Op::PRelu => Some(y.nearest(sloped(layer, same() as f64 * x.grid.scale as f64, c))),
                    Op::Binary(op) => Some(y.nearest(combined(*op, x, &inputs[1], row, pixel, c))),
                    Op::Softmax => Some(y.nearest(softmax(x, row, pixel, c))),
                    Op::Constant => None,
                    Op::Resize => Some(interpolated(layer, x, height, [r, p, c])),
                    Op::Rearrange(walk) => Some(moves::walked(walk, x, r, p * channels + c)),
                    Op::Pad(pad) => Some(moves::padded(pad, x, r, p, c)),
                    Op::Place(place) => moves::placed(&place.offset, x, r, p, c).map(|q| y.quantize(x.grid.real(q))),
                    // Between grids: only an f32 side has anything to convert.
                    Op::Convert(_) => x.q.get(place).copied(),
                    Op::ArgMax { .. } => None,
                };
                let moved = match &layer.op {
                    Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) | Op::MaxPool(_) | Op::Resize => true,
                    Op::Conv2d(_) | Op::Linear | Op::Relu | Op::AveragePool(_) | Op::Lrn(_) | Op::Unary(_) => false,
                    Op::LpPool(_) => false,
                    Op::PRelu | Op::Binary(_) | Op::Softmax | Op::Constant | Op::Convert(_) | Op::ArgMax { .. } => false,
                };
                assert!(!moved || matches!(layer.op, Op::Place(_)) || y == x.grid, "{} changes its grid", layer.name);
                all.push(code.map(|q| q.clamp(lo, hi)));
            }
        }
    }
    all
}

/// Smallest and largest code of a fused activation.
fn clamp(layer: &Layer, y: Grid) -> [i64; 2] {
    let [lo, hi] = layer.clamp;
    [if lo.is_finite() { y.quantize(lo) } else { -128 }, if hi.is_finite() { y.quantize(hi) } else { 127 }]
}

fn constant(layer: &Layer, y: Grid) -> Vec<Option<i64>> {
    match &layer.parameters {
        Parameters::Elements(values) => values.iter().map(|&v| Some(y.quantize(v))).collect(),
        other => panic!("a constant with {other:?}"),
    }
}

/// An output channel's integers.
struct Sum {
    weights: Vec<i64>,
    bias: i64,
    /// What a product is worth.
    unit: f32,
}

impl Sum {
    fn requantized(&self, products: i64, y: Grid) -> i64 {
        let sum = products + self.bias;
        assert!(i32::try_from(sum).is_ok(), "the sum {sum} leaves i32: wrapping is not what is tested here");
        ((sum as f32 * (self.unit / y.scale)).round_ties_even() as i64).saturating_add(y.zero).clamp(-128, 127)
    }
}

/// Symmetric per output channel: the largest weight becomes 127, unless the bias would then leave 2^30.
fn sums(layer: &Layer, x: Grid) -> Vec<Sum> {
    let Parameters::Sum { weights, bias, .. } = &layer.parameters else { return vec![] };
    let channel = |(weights, &bias): (&[f32], &f32)| {
        let for_weights = weights.iter().map(|w| w.abs()).fold(0f32, f32::max) / 127.0;
        let for_bias = bias.abs() / x.scale / (1u32 << 30) as f32;
        let scale = for_weights.max(for_bias).max(f32::MIN_POSITIVE);
        let unit = x.scale * scale;
        Sum {
            weights: weights.iter().map(|w| ((w / scale).round_ties_even() as i64).clamp(-127, 127)).collect(),
            bias: (bias as f64 / unit as f64).round_ties_even() as i64,
            unit,
        }
    };
    weights.chunks_exact(weights.len() / bias.len()).zip(bias).map(channel).collect()
}

/// Where tap `k` of output `o` lies along an axis.
fn tap(window: &Window, axis: usize, o: usize, k: usize) -> i64 {
    (o * window.stride[axis] as usize + k * window.dilation[axis] as usize) as i64 - window.pads[axis] as i64
}

/// All taps of an output pixel.
fn taps(window: &Window, r: usize, p: usize) -> Vec<(i64, i64)> {
    let rows = (0..window.kernel[0] as usize).map(|k| tap(window, 0, r, k));
    rows.flat_map(|y| (0..window.kernel[1] as usize).map(move |k| (y, tap(window, 1, p, k)))).collect()
}

fn convolved(conv: &Conv2d, x: &Ints, sum: &Sum, [r, p, c]: [usize; 3], outputs: usize) -> i64 {
    let groups = conv.groups as usize;
    let (per_in, group) = (x.size[2] / groups, c / (outputs / groups));
    let mut products = 0;
    for (t, (y, xx)) in taps(&conv.window, r, p).into_iter().enumerate() {
        for i in 0..per_in {
            products += sum.weights[t * per_in + i] * x.at(y, xx, group * per_in + i).unwrap_or(0);
        }
    }
    products
}

fn largest(pool: &MaxPool, x: &Ints, r: usize, p: usize, c: usize) -> Option<i64> {
    taps(&pool.window, r, p).into_iter().filter_map(|(y, xx)| x.code(y, xx, c)).max()
}

/// In units of the input.
fn mean(pool: &AveragePool, x: &Ints, r: usize, p: usize, c: usize) -> f64 {
    let [top, left, bottom, right] = pool.counted.map(i64::from);
    let (h, w) = (x.size[0] as i64, x.size[1] as i64);
    let all = taps(&pool.window, r, p);
    let counts = |&&(y, xx): &&(i64, i64)| y >= -top && y < h + bottom && xx >= -left && xx < w + right;
    let sum: i64 = all.iter().filter_map(|&(y, xx)| x.at(y, xx, c)).sum();
    sum as f64 / all.iter().filter(counts).count() as f64
}

/// In units of the input.
fn norm(pool: &LpPool, x: &Ints, r: usize, p: usize, c: usize) -> f64 {
    let all = taps(&pool.window, r, p);
    let distances = all.iter().filter_map(|&(y, xx)| x.at(y, xx, c));
    match pool.norm {
        Norm::Sum => distances.map(i64::abs).sum::<i64>() as f64,
        Norm::Root => (distances.map(|d| d * d).sum::<i64>() as f64).sqrt(),
    }
}

fn normalised(lrn: &Lrn, x: &Ints, r: i64, p: i64, c: usize) -> f64 {
    let real = |c: usize| x.at(r, p, c).unwrap_or_default() as f64 * x.grid.scale as f64;
    let reach = lrn.size as usize / 2;
    let squares: f64 = (0..x.size[2]).filter(|j| j.abs_diff(c) <= reach).map(|j| real(j) * real(j)).sum();
    real(c) / (lrn.k as f64 + lrn.alpha as f64 / lrn.size as f64 * squares).powf(lrn.beta as f64)
}

fn value(function: &Function, x: f64) -> f64 {
    match *function {
        Function::Identity => x,
        Function::LeakyRelu { alpha } => x.max(0.0) + alpha as f64 * x.min(0.0),
        Function::Clip { lo, hi } => x.clamp(lo as f64, hi as f64),
        Function::HardSigmoid { alpha, beta } => (alpha as f64 * x + beta as f64).clamp(0.0, 1.0),
        Function::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Function::Sigmoid => 0.5 + 0.5 * (0.5 * x).tanh(),
        Function::Tanh => 1.0 - 2.0 / ((2.0 * x).exp() + 1.0),
    }
}

fn sloped(layer: &Layer, x: f64, c: usize) -> f64 {
    match &layer.parameters {
        Parameters::Slopes(slopes) => x.max(0.0) + slopes[c] as f64 * x.min(0.0),
        other => panic!("a PRelu with {other:?}"),
    }
}

/// Dimensions of 1 are repeated.
fn combined(op: BinaryOp, a: &Ints, b: &Ints, r: i64, p: i64, c: usize) -> f64 {
    let real = |t: &Ints| {
        let [h, w, channels] = t.size;
        let q = t.at(if h == 1 { 0 } else { r }, if w == 1 { 0 } else { p }, if channels == 1 { 0 } else { c });
        q.unwrap_or_default() as f64 * t.grid.scale as f64
    };
    match op {
        BinaryOp::Add => real(a) + real(b),
        BinaryOp::Sub => real(a) - real(b),
        BinaryOp::Mul => real(a) * real(b),
        BinaryOp::Div => real(a) / real(b),
    }
}

fn softmax(x: &Ints, r: i64, p: i64, c: usize) -> f64 {
    let exp = |c: usize| (x.at(r, p, c).unwrap_or_default() as f64 * x.grid.scale as f64).exp();
    // As a quotient of sums, each term divided by the one asked for: nothing overflows that matters.
    1.0 / (0..x.size[2]).map(|j| exp(j) / exp(c)).sum::<f64>()
}

/// One tap for each of the output's `height` rows, then one for each pixel.
fn interpolated(layer: &Layer, x: &Ints, height: usize, [r, p, c]: [usize; 3]) -> i64 {
    let Parameters::Taps(taps) = &layer.parameters else { panic!("a resize without taps") };
    let (row, pixel) = (taps[r], taps[height + p]);
    let code = |y: u16, xx: u16| x.code(y as i64, xx as i64, c).unwrap_or_default() as f64;
    let line = |y: u16| code(y, pixel.first) * (1.0 - pixel.weight as f64) + code(y, pixel.second) * pixel.weight as f64;
    (line(row.first) * (1.0 - row.weight as f64) + line(row.second) * row.weight as f64).round_ties_even() as i64
}
