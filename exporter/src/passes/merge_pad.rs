//! A surrounding of zeros before a convolution or a mean becomes the padding of its window.
//!
//! Not before a maximum, which ignores its own padding.

use crate::network::{Kind, Network};
use staticnet::op::{AveragePool, Conv2d, Op, Pad, PadMode, Window};

/// Merges every such Pad whose output nobody else reads.
pub fn run(network: &mut Network) {
    // Backwards, so that of two Pads the first finds the window that the second went into.
    for i in (0..network.layers.len()).rev() {
        if let Some((reader, op)) = window_behind(network, i) {
            let pad = network.layers.remove(i);
            // What was behind the Pad has moved up by one.
            let layer = &mut network.layers[reader - 1];
            layer.inputs = pad.inputs;
            layer.op = op;
        }
    }
    network.drop_unused_tensors();
}

/// The layer that alone reads the Pad at `i`, and its operator with the padding of both.
fn window_behind(network: &Network, i: usize) -> Option<(usize, Op)> {
    let layer = &network.layers[i];
    let Op::Pad(Pad { before: [top, left, 0], mode: PadMode::Constant, value, value_i8 }) = layer.op else { return None };
    let (x, y) = (&network.tensors[layer.inputs[0]], &network.tensors[layer.output]);
    let is_zero = match x.kind {
        Kind::Real => value == 0.0,
        Kind::Codes(quant) => value_i8 == quant.zero_point,
        Kind::Index => false,
    };
    let reader = network.only_reader(layer.output)?;
    if !is_zero || x.channels != y.channels {
        return None;
    }
    let bottom = y.height.checked_sub(x.height)?.checked_sub(top.into())?;
    let right = y.width.checked_sub(x.width)?.checked_sub(left.into())?;
    let added = [top, left, u16::try_from(bottom).ok()?, u16::try_from(right).ok()?];
    let merged = |window: &Window| {
        let mut pads = window.pads;
        for (pad, added) in pads.iter_mut().zip(added) {
            *pad = pad.checked_add(added)?;
        }
        Some(Window { pads, ..*window })
    };
    let op = &network.layers[reader].op;
    if let Op::Conv2d(conv) = op {
        return Some((reader, Op::Conv2d(Conv2d { window: merged(&conv.window)?, ..*conv })));
    }
    let Op::AveragePool(pool) = op else { return None };
    let window = merged(&pool.window)?;
    let reaches_in = |side: usize| u32::from(window.pads[side]) < window.extent(side % 2);
    // The zeros count in the divisor, so all padding must.
    let counts = pool.counted == pool.window.pads && (0..4).all(reaches_in);
    counts.then_some((reader, Op::AveragePool(AveragePool { window, counted: window.pads })))
}
