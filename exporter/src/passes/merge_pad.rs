//! A surrounding of zeros before a convolution becomes the convolution's own padding.

use crate::network::{Kind, Network};
use staticnet::op::{Op, Pad, PadMode};

/// Merges every such Pad whose output nobody else reads.
pub fn run(network: &mut Network) {
    let mut i = 0;
    while i < network.layers.len() {
        match convolution_behind(network, i) {
            Some((reader, pads)) => {
                let pad = network.layers.remove(i);
                // What was behind the Pad has moved up by one.
                let layer = &mut network.layers[reader - 1];
                layer.inputs.clone_from(&pad.inputs);
                if let Op::Conv2d(conv) = &mut layer.op {
                    conv.window.pads = pads;
                }
            }
            None => i += 1,
        }
    }
    network.drop_unused_tensors();
}

/// The convolution that alone reads the Pad at `i`, and its padding then.
fn convolution_behind(network: &Network, i: usize) -> Option<(usize, [u16; 4])> {
    let layer = &network.layers[i];
    let Op::Pad(Pad { before: [top, left, 0], mode: PadMode::Constant, value, value_i8 }) = layer.op else { return None };
    let (x, y) = (&network.tensors[layer.inputs[0]], &network.tensors[layer.output]);
    let is_zero = match x.kind {
        Kind::Real => value == 0.0,
        Kind::Codes(quant) => value_i8 == quant.zero_point,
        Kind::Index => false,
    };
    let reader = network.only_reader(layer.output)?;
    let Op::Conv2d(conv) = &network.layers[reader].op else { return None };
    if !is_zero || x.channels != y.channels {
        return None;
    }
    let bottom = y.height.checked_sub(x.height)?.checked_sub(top.into())?;
    let right = y.width.checked_sub(x.width)?.checked_sub(left.into())?;
    let more = [top, left, u16::try_from(bottom).ok()?, u16::try_from(right).ok()?];
    let mut pads = conv.window.pads;
    for (pad, more) in pads.iter_mut().zip(more) {
        *pad = pad.checked_add(more)?;
    }
    Some((reader, pads))
}
