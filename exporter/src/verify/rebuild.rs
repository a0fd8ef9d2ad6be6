//! A layer of an artifact as an ONNX model of its own, from nothing but the artifact's bytes.

use crate::error::Error;
use crate::host::{decode, host_shape};
use staticnet::Artifact;
use staticnet::kernels::conv::taps;
use staticnet::op;
use staticnet::record::{DType, Layer, TensorInfo};
use staticnet::top_k::element;
use staticnet_graph::graph::{Graph, Op, ShapeError, Tensor};

/// A rebuilt layer.
pub(super) struct Rebuilt {
    pub(super) name: String,
    pub(super) layer: Layer,
    pub(super) input: TensorInfo,
    pub(super) output: TensorInfo,
    pub(super) input_shape: Vec<usize>,
    pub(super) onnx: Vec<u8>,
}

impl Rebuilt {
    /// What the oracle is fed for the layer's input bytes: NCHW, or memory order where the layer flattens.
    pub(super) fn oracle_input(&self, info: &TensorInfo, bytes: &[u8]) -> Vec<f32> {
        match self.layer.op {
            op::Op::Linear => (0..info.elements() as usize).filter_map(|i| element(info, bytes, i)).collect(),
            op::Op::Conv2d(_) | op::Op::MaxPool(_) | op::Op::Lrn(_) | op::Op::Relu => decode(info, bytes),
        }
    }
}

/// Rebuilds layer `i`.
///
/// # Errors
/// [`Error::Oracle`] where the graph cannot be put together, which an accepted artifact does not cause.
pub(super) fn layer(artifact: &Artifact, payload: &[u8], i: usize) -> Result<Rebuilt, Error> {
    let missing = || Error::Oracle(format!("layer {i} is incomplete"));
    let layer = artifact.layer(i).ok_or_else(missing)?;
    let input = artifact.tensor(layer.input as usize).ok_or_else(missing)?;
    let output = artifact.tensor(layer.output as usize).ok_or_else(missing)?;
    let name = artifact.layer_name(i).unwrap_or("layer").to_string();
    let input_shape = match layer.op {
        op::Op::Linear => vec![1, input.elements() as usize],
        op::Op::Conv2d(_) | op::Op::MaxPool(_) | op::Op::Lrn(_) | op::Op::Relu => {
            host_shape(&TensorInfo { rank: 4, ..input }, 1)
        }
    };
    let parameters = parameters(artifact, payload, i, &layer, (&input, &output)).ok_or_else(missing)?;
    let graph = graph(&layer, (&input, &output), &input_shape, parameters).map_err(|e| Error::Oracle(e.to_string()))?;
    let onnx = staticnet_graph::onnx::to_bytes(&graph).map_err(|e| Error::Oracle(e.to_string()))?;
    Ok(Rebuilt { name, layer, input, output, input_shape, onnx })
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
    let row = match &layer.op {
        op::Op::Conv2d(conv) => taps(conv, x.channels) as usize,
        op::Op::Linear => x.elements() as usize,
        op::Op::MaxPool(_) | op::Op::Lrn(_) | op::Op::Relu => return Some(Parameters::default()),
    };
    let channels = y.channels as usize;
    let (weights, biases) = (vec![0.0; channels * row], vec![0.0; channels]);
    let mut all = Parameters { weights, biases, units: vec![Unit::default(); channels] };
    let steps = (0..artifact.step_count()).filter_map(|s| artifact.step(s)).filter(|s| s.layer as usize == index);
    for step in steps {
        let chunk = artifact.chunk(step.chunk)?;
        let bytes = payload.get(chunk.offset as usize..(chunk.offset + chunk.len) as usize)?;
        let (c0, n) = (step.c0 as usize, (step.c1 - step.c0) as usize);
        let word = |at: usize| bytes.get(at..at + 4).map(|b| [b[0], b[1], b[2], b[3]]);
        for c in 0..n {
            let into = &mut all.weights[(c0 + c) * row..(c0 + c + 1) * row];
            match x.dtype {
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
        }
    }
    Some(all)
}

fn graph(
    layer: &Layer,
    (x, y): (&TensorInfo, &TensorInfo),
    input_shape: &[usize],
    Parameters { weights: rows, biases: bias, .. }: Parameters,
) -> Result<Graph, ShapeError> {
    let mut graph = Graph::new("layer");
    let input = graph.input("x", input_shape);
    let params = vec!["layer.weight".to_string(), "layer.bias".to_string()];
    let channels = y.channels as usize;
    let mut insert = |shape: Vec<usize>, data: Vec<f32>| {
        graph.params.insert(params[0].clone(), Tensor { shape, data });
        graph.params.insert(params[1].clone(), Tensor { shape: vec![channels], data: bias.clone() });
    };
    let (op, params) = match &layer.op {
        op::Op::Conv2d(conv) => {
            let (per_group, [kh, kw]) = ((x.channels / conv.groups as u32) as usize, conv.window.kernel.map(usize::from));
            // [O][KH][KW][C / groups] back to [O, C / groups, KH, KW].
            let plane = kh * kw;
            let channel = |row: &[f32]| -> Vec<f32> {
                (0..per_group).flat_map(|c| (0..plane).map(move |p| p * per_group + c)).map(|at| row[at]).collect()
            };
            let data = rows.chunks_exact(per_group * plane).flat_map(channel).collect();
            insert(vec![channels, per_group, kh, kw], data);
            (Op::Conv(*conv), params)
        }
        op::Op::Linear => {
            insert(vec![channels, rows.len() / channels], rows);
            (Op::Linear, params)
        }
        op::Op::MaxPool(pool) => (Op::MaxPool(*pool), Vec::new()),
        op::Op::Lrn(lrn) => (Op::Lrn(*lrn), Vec::new()),
        op::Op::Relu => (Op::Relu, Vec::new()),
    };
    let mut output = graph.add("layer", op, &[input], &params)?;
    let clipped = match y.dtype {
        DType::F32 => layer.range_f32[0] == 0.0,
        DType::I8 => layer.range_i8[0] == y.zero_point,
    };
    let has_sum = matches!(layer.op, op::Op::Conv2d(_) | op::Op::Linear);
    if clipped && has_sum {
        output = graph.add("relu", Op::Relu, &[output], &[])?;
    }
    graph.output(output);
    Ok(graph)
}
