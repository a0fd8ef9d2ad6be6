//! A scale and shift of each channel behind a convolution or a fully connected layer becomes part of its weights and bias.
//!
//! That is BatchNormalization, and products and sums with constants: [`lower`](crate::lower) makes all of them depthwise 1x1
//! convolutions.

use crate::network::{Layer, Network, Parameters, UNCLAMPED};
use staticnet::op::{Op, Window};

/// Folds every scale and shift whose input nobody else reads.
pub fn run(network: &mut Network) {
    let mut i = 0;
    while i < network.layers.len() {
        match producer_to_fold(network, i) {
            Some(producer) => {
                let affine = network.layers.remove(i);
                fold(&mut network.layers[producer], affine);
            }
            None => i += 1,
        }
    }
    network.drop_unused_tensors();
}

/// The layer that can take the scale and shift at `i` in.
fn producer_to_fold(network: &Network, i: usize) -> Option<usize> {
    let layer = &network.layers[i];
    let Op::Conv2d(conv) = &layer.op else { return None };
    let x = *layer.inputs.first()?;
    let (channels, y) = (network.tensors[x].channels, &network.tensors[layer.output]);
    if conv.window != Window::square(1, 1, 0) || conv.groups as u32 != channels || y.channels != channels {
        return None;
    }
    let producer = network.maker(x).filter(|_| network.only_reader(x) == Some(i))?;
    let before = &network.layers[producer];
    let (Op::Conv2d(_) | Op::Linear) = before.op else { return None };
    // Integers of a quantized model are not rewritten.
    let real = |layer: &Layer| matches!(&layer.parameters, Parameters::Sum { codes: None, .. });
    (before.clamp == UNCLAMPED && real(before) && real(layer)).then_some(producer)
}

fn fold(layer: &mut Layer, affine: Layer) {
    if let (Parameters::Sum { weights, bias, .. }, Parameters::Sum { weights: scale, bias: shift, .. }) =
        (&mut layer.parameters, &affine.parameters)
    {
        let row = weights.len() / bias.len().max(1);
        for (c, row) in weights.chunks_exact_mut(row.max(1)).enumerate() {
            row.iter_mut().for_each(|w| *w *= scale[c]);
            bias[c] = bias[c] * scale[c] + shift[c];
        }
    }
    layer.output = affine.output;
    layer.clamp = affine.clamp;
}
