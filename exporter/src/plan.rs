//! Steps and places in RAM.
//!
//! Layer by layer: one step a layer, every tensor held whole from the first step that makes a part of it to the last one that reads
//! it. A layer that may run in place ([`Op::runs_in_place`](staticnet::op::Op::runs_in_place)) does where nobody reads its input
//! later. Places are found first-fit, largest first.

use crate::network::{Layer, Network};
use staticnet::artifact::ALIGN;
use staticnet::op::Op;
use staticnet::record::{NONE16, NONE32, Slot, Step, TensorInfo};
use staticnet::scratch_bytes;

/// A plan: where everything lies and what runs when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Places of tensors.
    pub slots: Vec<Slot>,
    /// Steps. Their `chunk` counts the layers with weights, in order.
    pub steps: Vec<Step>,
    /// Slots of the network's inputs.
    pub inputs: Vec<u16>,
    /// Slots of the network's outputs.
    pub outputs: Vec<u16>,
    /// RAM that holds activations.
    pub activation_bytes: u32,
    /// RAM in all: activations and scratch.
    pub ram_bytes: u32,
}

/// A stretch of RAM needed during some steps.
#[derive(Clone, Copy, Debug)]
struct Need {
    bytes: u64,
    /// First and last step during which it must not be touched by others.
    from: usize,
    to: usize,
    offset: u64,
}

/// Plans a network whose tensors have the given descriptions; `has_chunk[i]` says whether layer `i` reads weights.
///
/// # Errors
/// The number of bytes needed, where it exceeds what 32-bit offsets reach.
pub fn layer_by_layer(network: &Network, tensors: &[TensorInfo], has_chunk: &[bool]) -> Result<Plan, u64> {
    let home = homes(network);
    let mut needs: Vec<Need> =
        tensors.iter().map(|t| Need { bytes: t.elements() * t.dtype.bytes(), from: usize::MAX, to: 0, offset: 0 }).collect();
    let mut keep = |tensor: usize, step: usize| {
        let need = &mut needs[home[tensor]];
        (need.from, need.to) = (need.from.min(step), need.to.max(step));
    };
    for (i, layer) in network.layers.iter().enumerate() {
        layer.inputs.iter().chain([&layer.output]).for_each(|&t| keep(t, i));
    }
    // Inputs are there before the first step, outputs stay after the last one.
    network.inputs.iter().for_each(|&t| keep(t, 0));
    network.outputs.iter().for_each(|&t| keep(t, network.layers.len()));
    // A tensor that lives in another's place, or that no step touches, needs no room of its own.
    for (tensor, need) in needs.iter_mut().enumerate() {
        if home[tensor] != tensor || need.from == usize::MAX {
            need.bytes = 0;
        }
    }
    let activations = needs.len();
    for (i, layer) in network.layers.iter().enumerate() {
        let bytes = layer.inputs.first().map_or(0, |&x| scratch_bytes(&layer.op, &tensors[x]));
        needs.push(Need { bytes, from: i, to: i, offset: 0 });
    }
    place(&mut needs);
    let end = |needs: &[Need]| needs.iter().map(|n| n.offset + aligned(n.bytes)).max().unwrap_or(0);
    let (activation_bytes, ram_bytes) = (end(&needs[..activations]), end(&needs));
    if ram_bytes > u32::MAX as u64 {
        return Err(ram_bytes);
    }
    let slots = tensors
        .iter()
        .enumerate()
        .map(|(i, t)| Slot { tensor: i as u16, offset: needs[home[i]].offset as u32, rows: t.height })
        .collect();
    let mut chunks = 0..;
    let steps = network.layers.iter().enumerate().map(|(i, layer)| {
        let slot = |i: usize| layer.inputs.get(i).map_or(NONE16, |&t| t as u16);
        let ([r0, c0], [r1, c1]) = made(layer, network);
        Step {
            layer: i as u16,
            input: slot(0),
            input2: slot(1),
            output: layer.output as u16,
            r0,
            r1,
            c0,
            c1,
            chunk: if has_chunk[i] { chunks.next().unwrap_or(NONE32) } else { NONE32 },
            scratch: needs[activations + i].offset as u32,
        }
    });
    Ok(Plan {
        slots,
        steps: steps.collect(),
        inputs: network.inputs.iter().map(|&t| t as u16).collect(),
        outputs: network.outputs.iter().map(|&t| t as u16).collect(),
        activation_bytes: activation_bytes as u32,
        ram_bytes: ram_bytes as u32,
    })
}

/// First and last row and channel of its output that a layer makes: all of them, or a concatenation's part.
fn made(layer: &Layer, network: &Network) -> ([u16; 2], [u16; 2]) {
    let y = &network.tensors[layer.output];
    match layer.op {
        Op::Place(place) => {
            let x = &network.tensors[layer.inputs[0]];
            let [row, _, channel] = place.offset;
            ([row, channel], [row + x.height as u16, channel + x.channels as u16])
        }
        _ => ([0, 0], [y.height as u16, y.channels as u16]),
    }
}

/// The tensor in whose place each tensor lives: its own, or the input of the in-place layer that makes it.
fn homes(network: &Network) -> Vec<usize> {
    let mut home: Vec<usize> = (0..network.tensors.len()).collect();
    for (i, layer) in network.layers.iter().enumerate() {
        let Some(&x) = layer.inputs.first().filter(|_| layer.op.runs_in_place()) else { continue };
        let shares_home = |t: usize, home: &[usize]| home[t] == home[x];
        let read_later = network.layers[i + 1..].iter().flat_map(|later| &later.inputs).any(|&t| shares_home(t, &home));
        let kept = network.outputs.iter().any(|&t| shares_home(t, &home));
        if !read_later && !kept {
            home[layer.output] = home[x];
        }
    }
    home
}

fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGN as u64)
}

/// Gives every need the lowest offset that is free while it lives; the largest choose first.
fn place(needs: &mut [Need]) {
    let mut order: Vec<usize> = (0..needs.len()).filter(|&i| needs[i].bytes > 0).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(needs[i].bytes));
    for (n, &i) in order.iter().enumerate() {
        let mine = needs[i];
        let lives_with = |other: &Need| other.from <= mine.to && mine.from <= other.to;
        let mut taken: Vec<(u64, u64)> = order[..n]
            .iter()
            .map(|&j| needs[j])
            .filter(lives_with)
            .map(|other| (other.offset, other.offset + aligned(other.bytes)))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (first, end) in taken {
            if first >= offset + aligned(mine.bytes) {
                break;
            }
            offset = offset.max(end);
        }
        needs[i].offset = offset;
    }
}
