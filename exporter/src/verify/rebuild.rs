//! A layer of an artifact as an ONNX model of its own, from nothing but the artifact's bytes.

use super::replay::{self, Moved, replay};
use super::tract::Oracle;
use crate::error::Error;
use crate::host::{decode, host_shape};
use staticnet::Artifact;
use staticnet::kernels::conv::taps;
use staticnet::op::{self, Conv2d};
use staticnet::record::{DType, Layer, NONE16, Step, TensorInfo};
use staticnet::top_k::element;
use staticnet_graph::graph::{Elem, Graph, Op, ShapeError, Tensor};
use std::collections::BTreeMap;

/// A rebuilt layer.
pub(super) struct Rebuilt {
    pub(super) name: String,
    pub(super) layer: Layer,
    pub(super) inputs: Vec<TensorInfo>,
    pub(super) output: TensorInfo,
    /// The layer's chunk; one step makes a layer that is replayed.
    chunk: Vec<u8>,
    model: Model,
}

/// What says what a layer should make.
enum Model {
    /// The layer as an ONNX model, and the shapes of its inputs.
    Onnx { bytes: Vec<u8>, shapes: Vec<Vec<usize>>, flat: bool },
    /// Its elements are followed.
    Replay(Moved),
}

/// Who says what a layer should make.
pub(super) enum LayerOracle {
    Tract(Oracle),
    Replay(Moved),
}

impl LayerOracle {
    /// The output as `[1, C, H, W]`, or the part of it that the layer makes.
    pub(super) fn run(&mut self, layer: &Rebuilt, inputs: &[Vec<f32>]) -> Result<Vec<f32>, Error> {
        match self {
            LayerOracle::Tract(oracle) => Ok(oracle.run(inputs)?.into_iter().next().unwrap_or_default()),
            LayerOracle::Replay(moved) => {
                let layer = replay::Layer { inputs: &layer.inputs, output: &layer.output, chunk: &layer.chunk };
                Ok(replay(moved, &layer, inputs))
            }
        }
    }
}

/// How a layer's operator is held against another implementation.
enum Way {
    /// By tract, as an operator of ONNX.
    Tract(Op, Weights),
    /// Element by element.
    Replay(Moved),
}

/// What an operator's chunks hold for each output channel.
#[derive(Clone, Copy, PartialEq)]
enum Weights {
    None,
    /// `[KH][KW][C / groups]`, and a bias.
    Conv(Conv2d),
    /// One for each input element in memory order, and a bias.
    Features,
    /// A slope.
    Slope,
}

fn way(op: &op::Op) -> Way {
    let plain = |op: Op| Way::Tract(op, Weights::None);
    match op {
        op::Op::Conv2d(conv) => Way::Tract(Op::Conv(*conv), Weights::Conv(*conv)),
        op::Op::Linear => Way::Tract(Op::Linear, Weights::Features),
        op::Op::PRelu => Way::Tract(Op::PRelu, Weights::Slope),
        op::Op::MaxPool(pool) => plain(Op::MaxPool(*pool)),
        // A divisor that ONNX has no attribute for: counted pads beside those that ceil_mode added.
        op::Op::AveragePool(pool) if pool.counted != [0; 4] && pool.counted != pool.window.pads => {
            Way::Replay(Moved::Average(*pool))
        }
        op::Op::AveragePool(pool) => plain(Op::AveragePool(*pool)),
        // tract has no such operator.
        op::Op::LpPool(pool) => Way::Replay(Moved::Lp(*pool)),
        op::Op::Lrn(lrn) => plain(Op::Lrn(*lrn)),
        op::Op::Relu => plain(Op::Relu),
        op::Op::Unary(function) => plain(Op::Unary(*function)),
        op::Op::Binary(binary) => plain(Op::Binary(*binary)),
        op::Op::Softmax => plain(Op::Softmax { axis: 1 }),
        op::Op::Constant => Way::Replay(Moved::Constant),
        op::Op::Rearrange(walk) => Way::Replay(Moved::Rearrange(*walk)),
        op::Op::Pad(pad) => Way::Replay(Moved::Pad(*pad)),
        op::Op::Place(place) => Way::Replay(Moved::Place(*place)),
        op::Op::Resize => Way::Replay(Moved::Resize),
        op::Op::ArgMax { last } => Way::Replay(Moved::ArgMax { last: *last }),
        op::Op::Convert(convert) => Way::Replay(Moved::Convert { per_channel: convert.per_channel }),
    }
}

impl Rebuilt {
    /// The layer's oracle.
    pub(super) fn oracle(&self) -> Result<LayerOracle, Error> {
        match &self.model {
            Model::Onnx { bytes, shapes, .. } => {
                Ok(LayerOracle::Tract(Oracle::new(bytes, shapes, &vec![Elem::F32; shapes.len()])?))
            }
            Model::Replay(moved) => Ok(LayerOracle::Replay(*moved)),
        }
    }

    /// What the oracle is fed for the tensors of a run: NCHW, or memory order where the layer flattens or is replayed.
    pub(super) fn oracle_inputs(&self, run: &[Vec<u8>]) -> Vec<Vec<f32>> {
        let in_memory_order = match &self.model {
            Model::Onnx { flat, .. } => *flat,
            Model::Replay(_) => true,
        };
        let read = |(info, index): (&TensorInfo, u16)| {
            let bytes = &run[index as usize];
            match in_memory_order {
                true => (0..info.elements() as usize).filter_map(|i| element(info, bytes, i)).collect(),
                false => decode(&super::as_picture(info), bytes),
            }
        };
        self.inputs.iter().zip([self.layer.input, self.layer.input2]).map(read).collect()
    }

    /// The part of the output `[1, C, H, W]` that the layer makes: all of it, or a concatenation's part.
    pub(super) fn part(&self, output: &[f32]) -> Vec<f32> {
        let Model::Replay(Moved::Place(place)) = &self.model else { return output.to_vec() };
        let (x, y) = (&self.inputs[0], &self.output);
        let [row, pixel, channel] = place.offset.map(usize::from);
        let at = |c: usize, h: usize, w: usize| ((channel + c) * y.height as usize + row + h) * y.width as usize + pixel + w;
        let (channels, height, width) = (x.channels as usize, x.height as usize, x.width as usize);
        let pixels = |c: usize| (0..height).flat_map(move |h| (0..width).map(move |w| (c, h, w)));
        (0..channels).flat_map(pixels).map(|(c, h, w)| output[at(c, h, w)]).collect()
    }
}

/// Rebuilds layer `i`.
///
/// # Errors
/// [`Error::Oracle`] where the graph cannot be put together, which an accepted artifact does not cause.
pub(super) fn layer(artifact: &Artifact, payload: &[u8], i: usize) -> Result<Rebuilt, Error> {
    let missing = || Error::Oracle(format!("layer {i} is incomplete"));
    let layer = artifact.layer(i).ok_or_else(missing)?;
    let inputs: Vec<TensorInfo> =
        [layer.input, layer.input2].into_iter().filter(|&t| t != NONE16).filter_map(|t| artifact.tensor(t as usize)).collect();
    let output = artifact.tensor(layer.output as usize).ok_or_else(missing)?;
    let name = artifact.layer_name(i).unwrap_or("layer").to_string();
    let chunk = chunk_of(artifact, payload, i).unwrap_or_default().to_vec();
    let model = match way(&layer.op) {
        Way::Replay(moved) => Model::Replay(moved),
        Way::Tract(op, weights) => {
            let x = inputs.first().ok_or_else(missing)?;
            let flat = weights == Weights::Features;
            let shape = |info: &TensorInfo| match flat {
                true => vec![1, info.elements() as usize],
                false => host_shape(&super::as_picture(info), 1),
            };
            let shapes: Vec<Vec<usize>> = inputs.iter().map(shape).collect();
            let parameters = parameters(artifact, payload, i, &layer, (x, &output)).ok_or_else(missing)?;
            let failed = |e: &dyn std::fmt::Display| Error::Oracle(e.to_string());
            let graph = graph((op, weights), &layer, (x, &output), &shapes, parameters).map_err(|e| failed(&e))?;
            Model::Onnx { bytes: staticnet_graph::onnx::to_bytes(&graph).map_err(|e| failed(&e))?, shapes, flat }
        }
    };
    Ok(Rebuilt { name, layer, inputs, output, chunk, model })
}

/// The weights of the first step of layer `i`.
pub(super) fn chunk_of<'p>(artifact: &Artifact, payload: &'p [u8], i: usize) -> Option<&'p [u8]> {
    let step = (0..artifact.step_count()).filter_map(|s| artifact.step(s)).find(|s| s.layer as usize == i)?;
    let chunk = artifact.chunk(step.chunk)?;
    payload.get(chunk.offset as usize..(chunk.offset + chunk.len) as usize)
}

/// A layer's parameters as real numbers.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// Rows as the device has them.
    pub(super) weights: Vec<f32>,
    pub(super) biases: Vec<f32>,
    /// One an output channel.
    pub(super) units: Vec<Unit>,
}

/// What one integer step of a channel's parameters is worth; 0 in f32.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unit {
    pub(super) weight: f64,
    pub(super) bias: f64,
}

/// The parameters of layer `index`; none for a layer without. Steps over blocks of channels are put together.
pub(super) fn parameters(
    artifact: &Artifact,
    payload: &[u8],
    index: usize,
    layer: &Layer,
    (x, y): (&TensorInfo, &TensorInfo),
) -> Option<Parameters> {
    let (row, slopes) = match way(&layer.op) {
        Way::Tract(_, Weights::Conv(conv)) => (taps(&conv, x.channels) as usize, false),
        Way::Tract(_, Weights::Features) => (x.elements() as usize, false),
        Way::Tract(_, Weights::Slope) => (1, true),
        Way::Tract(_, Weights::None) | Way::Replay(_) => return Some(Parameters::default()),
    };
    let channels = y.channels as usize;
    let (weights, biases) = (vec![0.0; channels * row], vec![0.0; channels]);
    let mut all = Parameters { weights, biases, units: vec![Unit::default(); channels] };
    // Each chunk once, however many steps read it.
    let steps = (0..artifact.step_count()).filter_map(|s| artifact.step(s)).filter(|s| s.layer as usize == index);
    let chunks: BTreeMap<u32, Step> = steps.map(|step| (step.chunk, step)).collect();
    let mut seen = vec![false; channels];
    for step in chunks.values() {
        let chunk = artifact.chunk(step.chunk)?;
        let bytes = payload.get(chunk.offset as usize..(chunk.offset + chunk.len) as usize)?;
        let (c0, n) = (step.c0 as usize, (step.c1 - step.c0) as usize);
        let word = |at: usize| bytes.get(at..at + 4).map(|b| [b[0], b[1], b[2], b[3]]);
        if slopes {
            for c in 0..n {
                let slope = f32::from_le_bytes(word(4 * c)?);
                // int8: slope x input scale / output scale.
                let real = if x.dtype.is_i8() { slope * y.scale / x.scale } else { slope };
                all.weights[c0 + c] = real;
            }
            continue;
        }
        for c in 0..n {
            // A channel that two blocks have must be the same in both.
            let range = (c0 + c) * row..(c0 + c + 1) * row;
            let before = seen[c0 + c].then(|| (all.weights[range.clone()].to_vec(), all.biases[c0 + c]));
            let into = &mut all.weights[range.clone()];
            match x.dtype {
                DType::I32 => return None,
                DType::F32 => {
                    all.biases[c0 + c] = f32::from_le_bytes(word(4 * c)?);
                    for (k, w) in into.iter_mut().enumerate() {
                        *w = f32::from_le_bytes(word(4 * (n + c * row + k))?);
                    }
                }
                DType::I8 => {
                    let bias = i32::from_le_bytes(word(4 * c)?) as i64;
                    let multiplier = f32::from_le_bytes(word(4 * (n + c))?) as f64;
                    let q = bytes.get(8 * n + c * row..8 * n + (c + 1) * row)?;
                    let sum: i64 = q.iter().map(|&q| q as i8 as i64).sum();
                    // multiplier = s_x * s_w / s_y, and the bias has the input's zero point folded in.
                    let product = multiplier * y.scale as f64;
                    let unit = Unit { weight: product / x.scale as f64, bias: product };
                    all.biases[c0 + c] = ((bias + x.zero_point as i64 * sum) as f64 * unit.bias) as f32;
                    for (w, &q) in into.iter_mut().zip(q) {
                        *w = (q as i8 as f64 * unit.weight) as f32;
                    }
                    all.units[c0 + c] = unit;
                }
            }
            if before.is_some_and(|(weights, bias)| weights != all.weights[range] || bias != all.biases[c0 + c]) {
                return None;
            }
            seen[c0 + c] = true;
        }
    }
    Some(all)
}

/// A graph of one operator with its parameters, and of its clamp.
fn graph(
    (op, weights): (Op, Weights),
    layer: &Layer,
    (x, y): (&TensorInfo, &TensorInfo),
    shapes: &[Vec<usize>],
    Parameters { weights: rows, biases: bias, .. }: Parameters,
) -> Result<Graph, ShapeError> {
    let mut graph = Graph::new("layer");
    let inputs: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| graph.input(&format!("x{i}"), shape)).collect();
    let channels = y.channels as usize;
    let bias = (vec![channels], bias);
    let tensors = match weights {
        Weights::None => vec![],
        Weights::Conv(conv) => {
            let (per_group, [kh, kw]) = ((x.channels / conv.groups as u32) as usize, conv.window.kernel.map(usize::from));
            // [O][KH][KW][C / groups] back to [O, C / groups, KH, KW].
            let plane = kh * kw;
            let channel = |row: &[f32]| -> Vec<f32> {
                (0..per_group).flat_map(|c| (0..plane).map(move |p| p * per_group + c)).map(|at| row[at]).collect()
            };
            let data = rows.chunks_exact(per_group * plane).flat_map(channel).collect();
            vec![(vec![channels, per_group, kh, kw], data), bias]
        }
        Weights::Features => vec![(vec![channels, rows.len() / channels], rows), bias],
        Weights::Slope => vec![(vec![channels, 1, 1], rows)],
    };
    let params: Vec<String> = (0..tensors.len()).map(|i| format!("layer.{i}")).collect();
    for (name, (shape, data)) in params.iter().zip(tensors) {
        graph.params.insert(name.clone(), Tensor { shape, data });
    }
    let mut output = graph.add("layer", op, &inputs, &params)?;
    let real = |q: i8| (q as f32 - y.zero_point as f32) * y.scale;
    let [lo, hi] = match y.dtype {
        DType::F32 | DType::I32 => layer.range_f32,
        DType::I8 => {
            let [lo, hi] = layer.range_i8;
            [if lo == i8::MIN { f32::NEG_INFINITY } else { real(lo) }, if hi == i8::MAX { f32::INFINITY } else { real(hi) }]
        }
    };
    if lo == 0.0 && hi == f32::INFINITY {
        output = graph.add("relu", Op::Relu, &[output], &[])?;
    } else if lo.is_finite() || hi.is_finite() {
        output = graph.add("clip", Op::Unary(op::Function::Clip { lo, hi }), &[output], &[])?;
    }
    graph.output(output);
    Ok(graph)
}
