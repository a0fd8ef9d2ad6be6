//! A walk over what another walk made becomes one walk over the first one's input, and a walk that moves nothing goes.
//!
//! [`lower`](crate::lower) composes moves as long as they are views. A reshape that cuts a run of memory is none, so elements are
//! moved for it; what comes behind may undo that, or need a part of it only.

use crate::network::{Network, Tensor, walked};
use staticnet::op::{Op, Rearrange};

/// Walks over more elements stay as they are: their places are listed one by one.
const MAX_ELEMENTS: usize = 1 << 22;

/// Merges every two walks of which the second alone reads the first, then removes those that move nothing.
pub fn run(network: &mut Network) {
    let mut i = 0;
    while i < network.layers.len() {
        match walk_before(network, i) {
            Some((first, walk)) => {
                network.layers[i].inputs = network.layers[first].inputs.clone();
                network.layers[i].op = Op::Rearrange(walk);
                network.layers.remove(first);
            }
            None => i += 1,
        }
    }
    let mut i = 0;
    while i < network.layers.len() {
        if moves_nothing(network, i).is_some() {
            let layer = network.layers.remove(i);
            let inputs = network.layers.iter_mut().flat_map(|later| &mut later.inputs);
            inputs.filter(|t| **t == layer.output).for_each(|t| *t = layer.inputs[0]);
        } else {
            i += 1;
        }
    }
    network.drop_unused_tensors();
}

/// The walk that makes the input of the walk at `i`, and both in one.
fn walk_before(network: &Network, i: usize) -> Option<(usize, Rearrange)> {
    let Op::Rearrange(second) = network.layers[i].op else { return None };
    let between = network.layers[i].inputs[0];
    let before = network.maker(between).filter(|_| network.only_reader(between) == Some(i))?;
    let Op::Rearrange(first) = network.layers[before].op else { return None };
    let (middle, y) = (&network.tensors[between], &network.tensors[network.layers[i].output]);
    if middle.elements().max(y.elements()) > MAX_ELEMENTS {
        return None;
    }
    let first = walked(&first, middle.height);
    let both: Vec<i64> =
        walked(&second, y.height).into_iter().map(|p| first.get(usize::try_from(p).ok()?).copied()).collect::<Option<_>>()?;
    Some((before, walk_over(&both, y)?))
}

/// The walk at `i`, where what it makes can be read where it came from.
fn moves_nothing(network: &Network, i: usize) -> Option<Rearrange> {
    let layer = &network.layers[i];
    let Op::Rearrange(walk) = layer.op else { return None };
    let (x, y) = (&network.tensors[layer.inputs[0]], &network.tensors[layer.output]);
    let same = x.size() == y.size() && x.kind == y.kind && !network.outputs.contains(&layer.output);
    (same && walk.moves_nothing()).then_some(walk)
}

/// The walk that visits these places, if they are one.
fn walk_over(places: &[i64], y: &Tensor) -> Option<Rearrange> {
    let row_len = places.len() / y.height as usize;
    let (base, row) = (*places.first()?, &places[..row_len]);
    let to_next_row = places.get(row_len).map_or(row_len as i64, |second| second - base);
    let mut walk =
        Rearrange { base: u32::try_from(base).ok()?, row: i32::try_from(to_next_row).ok()?, size: [1; 4], stride: [0; 4] };
    // From the innermost axis outwards: as many places as lie at equal distances, then the first of each such run.
    let (mut left, mut axis): (Vec<i64>, usize) = (row.to_vec(), 4);
    while left.len() > 1 {
        axis = axis.checked_sub(1)?;
        let stride = left[1] - left[0];
        let size = 1 + left.windows(2).take_while(|pair| pair[1] - pair[0] == stride).count();
        if !left.len().is_multiple_of(size) {
            return None;
        }
        walk.size[axis] = u16::try_from(size).ok()?;
        walk.stride[axis] = i32::try_from(stride).ok()?;
        left = left.into_iter().step_by(size).collect();
    }
    (walked(&walk, y.height) == places).then_some(walk)
}
