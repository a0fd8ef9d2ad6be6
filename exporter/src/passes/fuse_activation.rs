//! A ReLU or Clip behind a layer that makes sums becomes the bounds of that layer's output.

use crate::network::Network;
use staticnet::op::{Function, Op};

/// Fuses every ReLU and Clip whose input nobody else reads.
pub fn run(network: &mut Network) {
    let mut i = 0;
    while i < network.layers.len() {
        match producer_to_fuse(network, i) {
            Some((producer, [lo, hi])) => {
                let activation = network.layers.remove(i);
                let layer = &mut network.layers[producer];
                layer.clamp = layer.clamp.map(|bound| bound.max(lo).min(hi));
                layer.output = activation.output;
            }
            None => i += 1,
        }
    }
    network.drop_unused_tensors();
}

/// The layer that can take the activation at `i` in, and the activation's bounds.
fn producer_to_fuse(network: &Network, i: usize) -> Option<(usize, [f32; 2])> {
    let activation = &network.layers[i];
    let bounds = bounds(&activation.op)?;
    let x = *activation.inputs.first()?;
    let producer = network.maker(x).filter(|_| network.only_reader(x) == Some(i))?;
    network.layers[producer].op.facts().clamps.then_some((producer, bounds))
}

/// The smallest and largest output of a ReLU or Clip.
fn bounds(op: &Op) -> Option<[f32; 2]> {
    if let Op::Relu = op {
        return Some([0.0, f32::INFINITY]);
    }
    let Op::Unary(Function::Clip { lo, hi }) = *op else { return None };
    Some([lo, hi])
}
