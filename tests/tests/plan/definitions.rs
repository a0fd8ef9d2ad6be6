//! What each operator reads, writes and needs, by its definition.

use staticnet::op::{Op, PadMode, Rearrange, Window};
use staticnet::record::{DType, Layer, TensorInfo};
use std::ops::Range;

/// Weights of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Weights {
    /// None at all.
    None,
    /// LRN's factors, as many as the exporter saw fit.
    Table,
    /// So many bytes.
    Bytes(usize),
}

/// By FORMAT.md.
pub fn weight_bytes(layer: &Layer, x: &TensorInfo, y: &TensorInfo, rows: usize, channels: usize) -> Weights {
    let (element, int8) = (x.dtype.bytes() as usize, x.dtype == DType::I8);
    let per_channel = if int8 { 8 } else { 4 };
    Weights::Bytes(match &layer.op {
        Op::Conv2d(conv) => {
            channels * (per_channel + taps(&conv.window) * (x.channels / conv.groups as u32) as usize * element)
        }
        Op::Linear => channels * (per_channel + (x.height * x.width * x.channels) as usize * element),
        Op::PRelu => 4 * channels,
        Op::Constant => rows * y.width as usize * channels * y.dtype.bytes() as usize,
        Op::Resize => 8 * (rows + y.width as usize),
        Op::Convert(convert) if convert.per_channel => 8 * channels,
        Op::Unary(_) if int8 => 256,
        Op::Place(place) if place.table => 256,
        Op::Softmax if int8 => 1024,
        Op::Lrn(_) if int8 => return Weights::Table,
        Op::Unary(_) | Op::Place(_) | Op::Softmax | Op::Lrn(_) | Op::Convert(_) | Op::MaxPool(_) => return Weights::None,
        Op::Relu | Op::AveragePool(_) | Op::Binary(_) | Op::Rearrange(_) | Op::Pad(_) => return Weights::None,
        Op::ArgMax { .. } => return Weights::None,
    })
}

/// Number of inputs.
pub fn inputs(op: &Op) -> usize {
    match op {
        Op::Constant => 0,
        Op::Binary(_) => 2,
        Op::Conv2d(_) | Op::Linear | Op::MaxPool(_) | Op::Lrn(_) | Op::Relu | Op::AveragePool(_) | Op::Unary(_) => 1,
        Op::PRelu | Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) | Op::Resize | Op::Softmax => 1,
        Op::ArgMax { .. } | Op::Convert(_) => 1,
    }
}

/// Whether each element of the output is made of the input's element in the same place of memory alone, of the same size.
pub fn element_by_element(op: &Op) -> bool {
    match op {
        Op::Relu | Op::Unary(_) | Op::PRelu => true,
        Op::Rearrange(walk) => (0..2).all(|r| {
            let row: i64 = walk.size.map(i64::from).iter().product();
            walked(walk, r).enumerate().all(|(i, from)| from == r as i64 * row + i as i64)
        }),
        Op::Conv2d(_) | Op::Linear | Op::MaxPool(_) | Op::Lrn(_) | Op::AveragePool(_) | Op::Binary(_) => false,
        Op::Constant | Op::Pad(_) | Op::Place(_) | Op::Resize | Op::Softmax | Op::ArgMax { .. } | Op::Convert(_) => false,
    }
}

/// The input elements that make output row `r`, in order.
fn walked(walk: &Rearrange, r: usize) -> impl Iterator<Item = i64> + '_ {
    let n = walk.size.map(usize::from);
    (0..n.iter().product()).map(move |i: usize| {
        let place = [i / (n[1] * n[2] * n[3]), i / (n[2] * n[3]) % n[1], i / n[3] % n[2], i % n[3]];
        let steps = place.iter().zip(walk.stride).map(|(&at, stride)| at as i64 * stride as i64);
        walk.base as i64 + r as i64 * walk.row as i64 + steps.sum::<i64>()
    })
}

fn taps(window: &Window) -> usize {
    window.kernel[0] as usize * window.kernel[1] as usize
}

/// Four gathered pixels of a convolution.
pub fn scratch_bytes(op: &Op, x: &TensorInfo) -> usize {
    match op {
        Op::Conv2d(conv) => 4 * taps(&conv.window) * (x.channels / conv.groups as u32) as usize * x.dtype.bytes() as usize,
        Op::Linear | Op::MaxPool(_) | Op::Lrn(_) | Op::Relu | Op::AveragePool(_) | Op::Unary(_) | Op::PRelu => 0,
        Op::Binary(_) | Op::Constant | Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) | Op::Resize | Op::Softmax => 0,
        Op::ArgMax { .. } | Op::Convert(_) => 0,
    }
}

/// Input rows and channels that channels `channels` of output row `r` are made of.
pub fn needs(op: &Op, x: &TensorInfo, y: &TensorInfo, r: usize, channels: &Range<usize>) -> Vec<(usize, Range<usize>)> {
    let (all, height) = (0..x.channels as usize, x.height as usize);
    let tapped = |window: &Window, channels: Range<usize>| {
        let row =
            |k: u16| (r * window.stride[0] as usize + (k * window.dilation[0]) as usize).checked_sub(window.pads[0] as usize);
        (0..window.kernel[0]).filter_map(row).filter(|&i| i < height).map(|i| (i, channels.clone())).collect()
    };
    match op {
        Op::Conv2d(conv) => {
            let (per_in, per_out) = (all.len() / conv.groups as usize, y.channels as usize / conv.groups as usize);
            let groups = channels.start / per_out..(channels.end - 1) / per_out + 1;
            tapped(&conv.window, groups.start * per_in..groups.end * per_in)
        }
        Op::MaxPool(pool) => tapped(&pool.window, channels.clone()),
        Op::AveragePool(pool) => tapped(&pool.window, channels.clone()),
        Op::Linear => (0..height).map(|i| (i, all.clone())).collect(),
        Op::Lrn(lrn) => {
            let reach = lrn.size as usize / 2;
            vec![(r, channels.start.saturating_sub(reach)..(channels.end + reach).min(all.end))]
        }
        Op::Relu | Op::Unary(_) | Op::PRelu | Op::Convert(_) => vec![(r, channels.clone())],
        Op::Softmax | Op::ArgMax { .. } => vec![(r, all)],
        Op::Binary(_) => {
            let repeated = if x.channels == 1 { all } else { channels.clone() };
            vec![(if height == 1 { 0 } else { r }, repeated)]
        }
        Op::Constant => vec![],
        Op::Rearrange(walk) => {
            let mut rows: Vec<i64> = walked(walk, r).map(|at| at / (x.width * x.channels) as i64).collect();
            rows.sort_unstable();
            rows.dedup();
            rows.into_iter().map(|row| (row as usize, all.clone())).collect()
        }
        Op::Pad(pad) => {
            let (inside, last) = (r as i64 - pad.before[0] as i64, height as i64 - 1);
            let row = match pad.mode {
                PadMode::Constant => Some(inside).filter(|i| (0..=last).contains(i)),
                PadMode::Edge => Some(inside.clamp(0, last)),
                PadMode::Wrap => Some(inside.rem_euclid(last + 1)),
                // No more than once over the edge.
                PadMode::Reflect => Some(last - (last - inside.abs()).abs()),
            };
            row.map(|row| (row as usize, all)).into_iter().collect()
        }
        Op::Place(place) => {
            let front = place.offset[2] as usize;
            vec![(r - place.offset[0] as usize, channels.start - front..channels.end - front)]
        }
        Op::Resize => (0..height).map(|i| (i, channels.clone())).collect(),
    }
}
