//! Models that are quantized already: where a layer stands between conversions from and to codes, it works on the codes.
//!
//! The rule is onnxruntime's: an operator whose inputs all come from DequantizeLinear and whose output only goes to QuantizeLinear
//! is one integer operator. Operators that only choose or move elements keep their input's grid and need no conversion behind them.
//! What is left over stays in f32, with the conversions as layers.

use crate::network::{Kind, Layer, Network, Parameters, Quant, Tensor};
use staticnet::op::{Convert, Function, Op, Pad, PadMode, Types};
use staticnet::quant;

/// Puts integer layers wherever the model's grids allow it.
pub fn run(network: &mut Network) {
    if !network.tensors.iter().any(|t| t.kind.grid().is_some()) {
        return;
    }
    inputs(network);
    let mut i = 0;
    while i < network.layers.len() {
        adopt(network, i);
        i += 1;
    }
    requantize(network);
    outputs(network);
    network.drop_unused_layers();
}

/// What a conversion of a whole tensor reads and makes.
fn conversion(layer: &Layer) -> Option<(usize, usize)> {
    let Op::Convert(Convert { per_channel: false }) = layer.op else { return None };
    Some((layer.inputs[0], layer.output))
}

fn grid(network: &Network, tensor: usize) -> Option<Quant> {
    network.tensors[tensor].kind.grid()
}

/// The codes that a tensor of real numbers was converted from.
fn source(network: &Network, tensor: usize) -> Option<usize> {
    let (x, _) = conversion(&network.layers[network.maker(tensor)?])?;
    grid(network, x).map(|_| x)
}

/// Everybody who reads `old` reads `new`.
fn replace(network: &mut Network, old: usize, new: usize) {
    let inputs = network.layers.iter_mut().flat_map(|layer| &mut layer.inputs);
    inputs.filter(|t| **t == old).for_each(|t| *t = new);
}

/// A network input that is only quantized is quantized by whoever sets it.
fn inputs(network: &mut Network) {
    for input in network.inputs.clone() {
        let made: Vec<usize> = network.readers(input).filter_map(|i| conversion(&network.layers[i])).map(|(_, y)| y).collect();
        let all = made.len() == network.readers(input).count() && !network.outputs.contains(&input);
        let Some(kind) = made.first().map(|&y| network.tensors[y].kind) else { continue };
        let one = made.iter().all(|&y| network.tensors[y].kind == kind && !network.outputs.contains(&y));
        if all && one && network.tensors[input].kind == Kind::Real {
            network.tensors[input].kind = kind;
            network.layers.retain(|layer| !made.contains(&layer.output));
            made.into_iter().for_each(|y| replace(network, y, input));
        }
    }
}

/// A network output that is only dequantized is dequantized by whoever reads it.
fn outputs(network: &mut Network) {
    for i in 0..network.outputs.len() {
        let y = network.outputs[i];
        let Some(x) = source(network, y) else { continue };
        if network.outputs.contains(&x) || network.inputs.contains(&x) {
            continue;
        }
        let shown = network.tensors[y].clone();
        let codes = &mut network.tensors[x];
        (codes.name, codes.dims, codes.channels_last, codes.host) = (shown.name, shown.dims, shown.channels_last, shown.host);
        network.outputs[i] = x;
    }
}

/// Whether a layer that keeps the grid `codes` makes no number beside it.
fn stays_on_grid(layer: &Layer, codes: Option<Quant>) -> bool {
    let is_code = |v: f32| {
        let rounded = |q: Quant| quant::dequantize(quant::quantize(v, q.scale, q.zero_point), q.scale, q.zero_point);
        codes.is_some_and(|q| rounded(q) == v)
    };
    if let Op::Pad(Pad { mode: PadMode::Constant, value, .. }) = layer.op {
        return is_code(value);
    }
    // Taps without a second weight only choose.
    if let Parameters::Taps(taps) = &layer.parameters {
        return taps.iter().all(|tap| tap.weight == 0.0);
    }
    layer.op.facts().keeps_grid
}

/// Lets layer `i` work on codes where it can.
fn adopt(network: &mut Network, i: usize) {
    let layer = &network.layers[i];
    let facts = layer.op.facts();
    if layer.op.inputs() == 0 || facts.types == Types::Converted {
        return;
    }
    // The layers of a concatenation go together.
    let together: Vec<usize> = match facts.part_from() {
        Some(_) => (0..network.layers.len()).filter(|&j| network.layers[j].output == layer.output).collect(),
        None => vec![i],
    };
    let codes_of = |j: usize| network.layers[j].inputs.iter().map(|&t| source(network, t)).collect::<Option<Vec<_>>>();
    let Some(codes) = together.iter().map(|&j| codes_of(j)).collect::<Option<Vec<_>>>() else { return };
    // Weights of real numbers beside quantized activations: the model means f32.
    if matches!(layer.parameters, Parameters::Sum { codes: None, .. }) {
        return;
    }
    let output = layer.output;
    if facts.types == Types::Indices {
        network.layers[i].inputs.clone_from(&codes[0]);
        return;
    }
    let quantizer = network.only_reader(output).filter(|&r| conversion(&network.layers[r]).is_some());
    let target = match quantizer.map(|r| network.layers[r].output) {
        Some(y) if !facts.keeps_grid || grid(network, y) == grid(network, codes[0][0]) => {
            // The conversion goes; a layer that makes nothing is left to `drop_unused_layers`.
            if let Some(r) = quantizer {
                network.layers[r].output = spare(network, y);
            }
            y
        }
        // Behind it the model goes on in real numbers: the codes must be exactly those.
        _ if stays_on_grid(layer, grid(network, codes[0][0])) => kept(network, i, codes[0][0]),
        _ => return,
    };
    let to = grid(network, target);
    for (&j, codes) in together.iter().zip(codes) {
        // `kept` puts a conversion behind layer i, and only a single layer keeps its grid: indices up to i stand.
        let from = grid(network, codes[0]);
        let layer = &mut network.layers[j];
        layer.inputs = codes;
        layer.output = target;
        layer.settle(from, to);
    }
}

/// A tensor that nobody reads, for a layer that is to go.
fn spare(network: &mut Network, like: usize) -> usize {
    let tensor = network.tensors[like].clone();
    network.tensors.push(tensor);
    network.tensors.len() - 1
}

/// A tensor for layer `i`'s output on the grid of `codes`, and a conversion to what its readers read.
fn kept(network: &mut Network, i: usize, codes: usize) -> usize {
    let output = network.layers[i].output;
    let shown = &network.tensors[output];
    let tensor = Tensor { name: format!("{}/codes", shown.name), kind: network.tensors[codes].kind, ..shown.clone() };
    let name = format!("{}/dequantized", network.layers[i].name);
    network.tensors.push(tensor);
    let made = network.tensors.len() - 1;
    let back = Op::Convert(Convert { per_channel: false });
    network.layers.insert(i + 1, Layer::new(&name, back, &[made], output, Parameters::None));
    made
}

/// From codes to real numbers and to other codes: one table, or nothing where the grids are the same.
fn requantize(network: &mut Network) {
    for i in 0..network.layers.len() {
        let Some((x, y)) = conversion(&network.layers[i]) else { continue };
        let (Some(from), Some(to)) = (source(network, x), grid(network, y)) else { continue };
        if grid(network, from) == Some(to) && !network.outputs.contains(&y) {
            network.layers[i].output = spare(network, y);
            replace(network, y, from);
        } else {
            network.layers[i].op = Op::Unary(Function::Identity);
            network.layers[i].inputs = vec![from];
        }
    }
}
