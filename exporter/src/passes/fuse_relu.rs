//! A ReLU behind a convolution or a fully connected layer becomes the lower bound of that layer's output.

use crate::network::Network;
use staticnet::op::Op;

/// Fuses every ReLU whose input nobody else reads.
pub fn run(network: &mut Network) {
    let mut i = 0;
    while i < network.layers.len() {
        match producer_to_fuse(network, i) {
            Some(producer) => {
                let relu = network.layers.remove(i);
                network.layers[producer].relu = true;
                network.layers[producer].output = relu.output;
            }
            None => i += 1,
        }
    }
    drop_unused_tensors(network);
}

/// The layer that can take the ReLU at `i` in.
fn producer_to_fuse(network: &Network, i: usize) -> Option<usize> {
    let relu = &network.layers[i];
    if relu.op != Op::Relu || network.readers(relu.input) != 1 || network.outputs.contains(&relu.input) {
        return None;
    }
    let producer = network.layers.iter().position(|layer| layer.output == relu.input)?;
    match network.layers[producer].op {
        Op::Conv2d(_) | Op::Linear => Some(producer),
        Op::MaxPool(_) | Op::Lrn(_) | Op::Relu => None,
    }
}

/// Removes tensors that no layer and no output names any more, and renumbers the rest.
fn drop_unused_tensors(network: &mut Network) {
    let mut used = vec![false; network.tensors.len()];
    let ends = network.inputs.iter().chain(&network.outputs);
    for &i in ends.chain(network.layers.iter().flat_map(|layer| [&layer.input, &layer.output])) {
        used[i] = true;
    }
    let new: Vec<usize> = used.iter().scan(0, |next, &used| Some(std::mem::replace(next, *next + used as usize))).collect();
    let mut keep = used.iter();
    network.tensors.retain(|_| keep.next().is_some_and(|&used| used));
    for layer in &mut network.layers {
        (layer.input, layer.output) = (new[layer.input], new[layer.output]);
    }
    network.inputs.iter_mut().chain(&mut network.outputs).for_each(|i| *i = new[*i]);
}
