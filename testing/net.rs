//! Networks put together by hand: tensors, layers and random weights.

use crate::random::Random;
use staticnet::op::{Op, PadMode, Rearrange, Window};
use staticnet::record::{DType, HostType, Layer, NONE16, TensorInfo};
use std::ops::Range;

/// Height, width, channels.
pub type Shape = [usize; 3];

/// Weights of a layer, from which the chunk of any step is cut.
#[derive(Clone, Debug)]
pub enum Weights {
    /// There are none.
    None,
    /// The same for every step.
    Table(Vec<u8>),
    /// Parts, each of so many bytes for each channel.
    Channels(Vec<Vec<Vec<u8>>>),
    /// Each element: `[row][pixel][channel]`.
    Elements(Vec<Vec<Vec<Vec<u8>>>>),
    /// Taps of the rows and of the pixels.
    Taps(Vec<[u8; 8]>, Vec<[u8; 8]>),
}

impl Weights {
    /// The chunk of output rows x channels.
    pub fn chunk(&self, rows: Range<usize>, channels: Range<usize>) -> Option<Vec<u8>> {
        match self {
            Weights::None => None,
            Weights::Table(table) => Some(table.clone()),
            Weights::Channels(parts) => Some(parts.iter().flat_map(|part| part[channels.clone()].concat()).collect()),
            Weights::Elements(elements) => {
                let pixels = elements[rows].iter().flatten();
                Some(pixels.flat_map(|pixel| pixel[channels.clone()].concat()).collect())
            }
            Weights::Taps(vertical, horizontal) => Some([&vertical[rows], horizontal].concat().concat()),
        }
    }
}

/// A network.
#[derive(Clone, Debug)]
pub struct Net {
    /// Tensors, as the artifact describes them.
    pub tensors: Vec<TensorInfo>,
    /// Layers, in the order in which they can run.
    pub layers: Vec<Layer>,
    /// The weights of each layer.
    pub weights: Vec<Weights>,
    /// Tensors that come from outside.
    pub inputs: Vec<u16>,
    /// Tensors that are results.
    pub outputs: Vec<u16>,
    /// Where grids and weights come from.
    pub random: Random,
}

impl Net {
    /// A network of nothing.
    pub fn new(seed: u64) -> Self {
        let random = Random(seed);
        Net { tensors: vec![], layers: vec![], weights: vec![], inputs: vec![], outputs: vec![], random }
    }

    /// A tensor with a random grid.
    pub fn tensor(&mut self, dtype: DType, [height, width, channels]: Shape) -> u16 {
        let quantized = dtype == DType::I8;
        let flat = height * width == 1;
        let dims = if flat { [1, channels, 0, 0] } else { [1, channels, height, width] };
        self.tensors.push(TensorInfo {
            dtype,
            rank: if flat { 2 } else { 4 },
            channels_last: !flat,
            host: if dtype == DType::I32 { HostType::I64 } else { HostType::Real },
            dims: dims.map(|n| n as u16),
            zero_point: if quantized { self.random.bits() as i8 } else { 0 },
            height: height as u32,
            width: width as u32,
            channels: channels as u32,
            scale: if quantized { 0.01 + 0.05 * self.random.real().abs() } else { 1.0 },
        });
        self.tensors.len() as u16 - 1
    }

    /// The description of a tensor.
    pub fn info(&self, tensor: u16) -> TensorInfo {
        self.tensors[tensor as usize]
    }

    /// The shape of a tensor.
    pub fn shape(&self, tensor: u16) -> Shape {
        let t = self.info(tensor);
        [t.height, t.width, t.channels].map(|n| n as usize)
    }

    /// A layer into a tensor of its own, with random weights.
    pub fn layer(&mut self, op: Op, inputs: &[u16], dtype: DType, shape: Shape) -> u16 {
        let output = self.tensor(dtype, shape);
        self.layer_into(op, inputs, output);
        output
    }

    /// A layer that makes (a part of) a tensor.
    pub fn layer_into(&mut self, op: Op, inputs: &[u16], output: u16) {
        let input = |i: usize| inputs.get(i).copied().unwrap_or(NONE16);
        let layer = Layer {
            op,
            input: input(0),
            input2: input(1),
            output,
            range_i8: [-120, 125],
            range_f32: [-4.0, 9.0],
            table_shift: if matches!(op, Op::Lrn(_)) { 12 } else { 0 },
            multiplier: if matches!(op, Op::Lrn(_)) { 1.5 / (1 << 22) as f32 } else { 0.6 },
            multiplier2: if matches!(op, Op::Binary(_)) { 0.3 } else { 0.0 },
        };
        let x = self.info(if inputs.is_empty() { output } else { inputs[0] });
        let weights = self.weights_of(&layer, x, self.info(output));
        self.layers.push(layer);
        self.weights.push(weights);
    }

    fn weights_of(&mut self, layer: &Layer, x: TensorInfo, y: TensorInfo) -> Weights {
        let random = &mut self.random;
        let int8 = x.dtype == DType::I8;
        let (channels, width) = (y.channels as usize, y.width as usize);
        let mut bytes = |n: usize| (0..n).map(|_| random.bits() as u8).collect::<Vec<u8>>();
        let table = |bytes: Vec<u8>| Weights::Table(bytes);
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        match &layer.op {
            Op::Conv2d(_) | Op::Linear => {
                let taps = match &layer.op {
                    Op::Conv2d(conv) => staticnet::kernels::conv::taps(conv, x.channels) as usize,
                    _ => x.elements() as usize,
                };
                let row = |random: &mut Random| match int8 {
                    true => (0..taps).map(|_| random.bits() as u8).collect(),
                    false => floats(&random.reals(taps)),
                };
                let bias = |random: &mut Random| match int8 {
                    true => (random.within(0, 9000) as i32 - 4500).to_le_bytes().to_vec(),
                    false => floats(&[random.real()]),
                };
                let multiplier = |random: &mut Random| floats(&[2e-4 + 1e-3 * random.real().abs()]);
                let mut part = |make: &dyn Fn(&mut Random) -> Vec<u8>| (0..channels).map(|_| make(random)).collect();
                Weights::Channels(match int8 {
                    true => vec![part(&bias), part(&multiplier), part(&row)],
                    false => vec![part(&bias), part(&row)],
                })
            }
            Op::Lrn(lrn) if int8 => {
                let entries = staticnet::kernels::lrn::table_len(lrn.size, x.channels, layer.table_shift as u32) as i32;
                table((0..entries).flat_map(|i| ((1 << 22) - i * ((1 << 21) / entries)).to_le_bytes()).collect())
            }
            Op::Unary(_) if int8 => table(bytes(256)),
            Op::Place(place) if place.table => table(bytes(256)),
            Op::Softmax if int8 => table((0..256).flat_map(|i| ((i as f32 - 255.0) * x.scale).exp().to_le_bytes()).collect()),
            Op::PRelu => Weights::Channels(vec![(0..channels).map(|_| floats(&[random.real()])).collect()]),
            Op::Convert(convert) if convert.per_channel => {
                let scales = (0..channels).map(|_| floats(&[0.01 + random.real().abs()])).collect();
                let zeros = (0..channels).map(|_| (random.bits() as i8 as i32).to_le_bytes().to_vec()).collect();
                Weights::Channels(vec![scales, zeros])
            }
            Op::Constant => {
                let mut element = || if int8 { vec![random.bits() as u8] } else { floats(&[random.real()]) };
                let mut pixel = || (0..channels).map(|_| element()).collect::<Vec<_>>();
                let mut row = || (0..width).map(|_| pixel()).collect::<Vec<_>>();
                Weights::Elements((0..y.height).map(|_| row()).collect())
            }
            Op::Resize => {
                let mut pair = |len: u32| {
                    let [first, second] = [0; 2].map(|_: u16| (random.bits() % len as u64) as u16);
                    let ([a, b], [c, d]) = (first.to_le_bytes(), second.to_le_bytes());
                    let [w0, w1, w2, w3] = random.real().abs().to_le_bytes();
                    [a, b, c, d, w0, w1, w2, w3]
                };
                Weights::Taps((0..y.height).map(|_| pair(x.height)).collect(), (0..width).map(|_| pair(x.width)).collect())
            }
            Op::Lrn(_) | Op::Unary(_) | Op::Place(_) | Op::Softmax | Op::Convert(_) | Op::MaxPool(_) | Op::Relu => {
                Weights::None
            }
            Op::AveragePool(_) | Op::Binary(_) | Op::Rearrange(_) | Op::Pad(_) | Op::ArgMax { .. } => Weights::None,
            Op::LpPool(_) => Weights::None,
        }
    }

    /// Rows of input `i` of a layer that output rows `rows` read.
    pub fn reads(&self, layer: &Layer, i: usize, rows: &Range<usize>) -> Range<usize> {
        rows_read(&layer.op, self.shape(if i == 0 { layer.input } else { layer.input2 }), rows)
    }
}

/// Rows of an input of so many rows, pixels and channels that output rows `rows` of an operator are made of, by its definition.
pub fn rows_read(op: &Op, [h, w, c]: [usize; 3], rows: &Range<usize>) -> Range<usize> {
    let inside = |row: i64| row.clamp(0, h as i64) as usize;
    match op {
        Op::Conv2d(conv) => window_rows(&conv.window, rows, h),
        Op::MaxPool(pool) => window_rows(&pool.window, rows, h),
        Op::AveragePool(pool) => window_rows(&pool.window, rows, h),
        Op::LpPool(pool) => window_rows(&pool.window, rows, h),
        Op::Linear | Op::Resize => 0..h,
        Op::Rearrange(walk) => walked_rows(walk, rows, h, w * c),
        Op::Pad(pad) => {
            let shifted = |r: usize| r as i64 - pad.before[0] as i64;
            let (first, last) = (shifted(rows.start), shifted(rows.end - 1));
            match pad.mode {
                PadMode::Constant => inside(first)..inside(last + 1),
                PadMode::Edge => inside(first).min(h - 1)..inside(last.max(0) + 1),
                PadMode::Reflect | PadMode::Wrap => 0..h,
            }
        }
        Op::Place(place) => rows.start - place.offset[0] as usize..rows.end - place.offset[0] as usize,
        Op::Binary(_) if h == 1 => 0..1,
        Op::Binary(_) | Op::Lrn(_) | Op::Relu | Op::Unary(_) | Op::PRelu => rows.clone(),
        Op::Softmax | Op::ArgMax { .. } | Op::Convert(_) => rows.clone(),
        Op::Constant => 0..0,
    }
}

/// Rows between the first and the last tap of the output rows `block`, those that exist.
fn window_rows(window: &Window, block: &Range<usize>, height: usize) -> Range<usize> {
    let tap =
        |r: usize, k: u16| r as i64 * window.stride[0] as i64 + k as i64 * window.dilation[0] as i64 - window.pads[0] as i64;
    let inside = |row: i64| row.clamp(0, height as i64) as usize;
    inside(tap(block.start, 0))..inside(tap(block.end - 1, window.kernel[0] - 1) + 1)
}

/// One input row (of `len` elements) for each output row where the walk never leaves it; all of them otherwise.
fn walked_rows(walk: &Rearrange, rows: &Range<usize>, height: usize, len: usize) -> Range<usize> {
    let reach = |i: usize| (walk.size[i] as i64 - 1) * walk.stride[i] as i64;
    let low = walk.base as i64 + (0..4).map(|i| reach(i).min(0)).sum::<i64>();
    let high = walk.base as i64 + (0..4).map(|i| reach(i).max(0)).sum::<i64>();
    let len = len as i64;
    if walk.row as i64 % len != 0 || low / len != high / len {
        return 0..height;
    }
    let row = |r: usize| ((low + r as i64 * walk.row as i64) / len) as usize;
    let (a, b) = (row(rows.start), row(rows.end - 1));
    a.min(b)..a.max(b) + 1
}
