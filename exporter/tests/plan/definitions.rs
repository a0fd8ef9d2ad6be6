//! What each operator reads, writes and needs, by its definition.

use staticnet::op::{Op, PadMode, Rearrange, Window};
use staticnet::record::{DType, Layer, TensorInfo};
use std::ops::Range;

/// Bytes of weights of a step over so many output rows and channels, by FORMAT.md; none where it has no chunk.
pub fn weight_bytes(layer: &Layer, x: &TensorInfo, y: &TensorInfo, rows: usize, channels: usize) -> Option<usize> {
    let (element, int8) = (x.dtype.bytes() as usize, x.dtype == DType::I8);
    let per_channel = if int8 { 8 } else { 4 };
    Some(match &layer.op {
        Op::Conv2d(conv) => channels * (per_channel + taps(&conv.window, conv.groups, x) * element),
        Op::Linear => channels * (per_channel + (x.height * x.width * x.channels) as usize * element),
        Op::PRelu => 4 * channels,
        Op::Constant => rows * y.width as usize * channels * y.dtype.bytes() as usize,
        Op::Resize => 8 * (rows + y.width as usize),
        Op::Convert(convert) if convert.per_channel => 8 * channels,
        Op::Unary(_) if int8 => 256,
        Op::Place(place) if place.table => 256,
        Op::Softmax if int8 => 1024,
        Op::Lrn(lrn) if int8 => {
            let largest = 65_025 * u64::from(u32::from(lrn.size).min(x.channels));
            4 * ((largest >> layer.table_shift) as usize + 2)
        }
        Op::Unary(_) | Op::Place(_) | Op::Softmax | Op::Lrn(_) | Op::Convert(_) | Op::MaxPool(_) => return None,
        Op::Relu | Op::AveragePool(_) | Op::Binary(_) | Op::Rearrange(_) | Op::Pad(_) | Op::ArgMax { .. } => return None,
        Op::LpPool(_) => return None,
    })
}

/// Whether the weights of a step are those of its channels and no others; of its rows.
pub fn weights_follow(op: &Op) -> (bool, bool) {
    match op {
        Op::Conv2d(_) | Op::Linear | Op::PRelu => (true, false),
        Op::Convert(convert) => (convert.per_channel, false),
        Op::Constant => (true, true),
        Op::Resize => (false, true),
        Op::MaxPool(_) | Op::Lrn(_) | Op::Relu | Op::AveragePool(_) | Op::Unary(_) | Op::Binary(_) => (false, false),
        Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) | Op::Softmax | Op::ArgMax { .. } | Op::LpPool(_) => (false, false),
    }
}

/// Number of inputs.
pub fn inputs(op: &Op) -> usize {
    match op {
        Op::Constant => 0,
        Op::Binary(_) => 2,
        Op::Conv2d(_) | Op::Linear | Op::MaxPool(_) | Op::Lrn(_) | Op::Relu | Op::AveragePool(_) | Op::Unary(_) => 1,
        Op::PRelu | Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) | Op::Resize | Op::Softmax => 1,
        Op::ArgMax { .. } | Op::Convert(_) | Op::LpPool(_) => 1,
    }
}

/// Whether an operator may find a window of channels in its input's slot; in its output's.
pub fn windows(op: &Op) -> (bool, bool) {
    match op {
        Op::MaxPool(_) | Op::AveragePool(_) | Op::LpPool(_) | Op::Lrn(_) | Op::Relu | Op::Unary(_) | Op::PRelu => (true, true),
        Op::Conv2d(_) => (false, true),
        Op::Linear | Op::Binary(_) | Op::Constant | Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) => (false, false),
        Op::Resize | Op::Softmax | Op::ArgMax { .. } | Op::Convert(_) => (false, false),
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
        Op::Conv2d(_) | Op::Linear | Op::MaxPool(_) | Op::Lrn(_) | Op::AveragePool(_) | Op::LpPool(_) | Op::Binary(_) => false,
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

/// Input elements under the window of one output.
fn taps(window: &Window, groups: u16, x: &TensorInfo) -> usize {
    window.kernel[0] as usize * window.kernel[1] as usize * (x.channels / groups as u32) as usize
}

/// Four gathered pixels of a convolution; where they have more than 128 taps, 128 of them and the sums so far of 32 channels.
pub fn scratch_bytes(op: &Op, x: &TensorInfo, channels: usize) -> usize {
    let element = x.dtype.bytes() as usize;
    match op {
        Op::Conv2d(conv) => match taps(&conv.window, conv.groups, x) {
            k @ ..=128 => 4 * k * element,
            _ => 4 * 4 * channels.min(32) + 4 * 128 * element,
        },
        Op::Linear | Op::MaxPool(_) | Op::Lrn(_) | Op::Relu | Op::AveragePool(_) | Op::Unary(_) | Op::PRelu => 0,
        Op::Binary(_) | Op::Constant | Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) | Op::Resize | Op::Softmax => 0,
        Op::ArgMax { .. } | Op::Convert(_) | Op::LpPool(_) => 0,
    }
}

/// The input rows that output row `r` is made of.
pub fn rows_read(op: &Op, x: &TensorInfo, r: usize) -> Vec<usize> {
    let height = x.height as usize;
    let tapped = |window: &Window| {
        let row =
            |k: u16| (r * window.stride[0] as usize + (k * window.dilation[0]) as usize).checked_sub(window.pads[0] as usize);
        (0..window.kernel[0]).filter_map(row).filter(|&i| i < height).collect()
    };
    match op {
        Op::Conv2d(conv) => tapped(&conv.window),
        Op::MaxPool(pool) => tapped(&pool.window),
        Op::AveragePool(pool) => tapped(&pool.window),
        Op::LpPool(pool) => tapped(&pool.window),
        Op::Linear | Op::Resize => (0..height).collect(),
        Op::Lrn(_) | Op::Relu | Op::Unary(_) | Op::PRelu | Op::Convert(_) | Op::Softmax | Op::ArgMax { .. } => vec![r],
        Op::Binary(_) => vec![if height == 1 { 0 } else { r }],
        Op::Constant => vec![],
        Op::Rearrange(walk) => {
            let mut rows: Vec<usize> = walked(walk, r).map(|at| at as usize / (x.width * x.channels) as usize).collect();
            rows.sort_unstable();
            rows.dedup();
            rows
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
            row.map(|row| row as usize).into_iter().collect()
        }
        Op::Place(place) => vec![r - place.offset[0] as usize],
    }
}

/// The input rows that a step over `rows` is given, by FORMAT.md: those that it waits for, and that must be in a ring at once.
pub fn rows_given(op: &Op, x: &TensorInfo, rows: &Range<usize>) -> Range<usize> {
    let height = x.height as usize;
    let under = |window: &Window| {
        let top = |r: usize| (r * window.stride[0] as usize) as i64 - window.pads[0] as i64;
        let extent = (window.kernel[0] as i64 - 1) * window.dilation[0] as i64 + 1;
        let [first, end] = [top(rows.start), top(rows.end - 1) + extent].map(|i| i.clamp(0, height as i64) as usize);
        first..end.max(first)
    };
    let shown = || {
        let shown = || rows.clone().flat_map(|r| rows_read(op, x, r));
        shown().min().unwrap_or(0)..shown().max().map_or(0, |last| last + 1)
    };
    match op {
        Op::Conv2d(conv) => under(&conv.window),
        Op::MaxPool(pool) => under(&pool.window),
        Op::AveragePool(pool) => under(&pool.window),
        Op::LpPool(pool) => under(&pool.window),
        Op::Linear | Op::Resize => 0..height,
        Op::Rearrange(walk) => {
            let moves_by_rows = walk.row as i64 % (x.width * x.channels) as i64 == 0;
            if moves_by_rows && rows_read(op, x, 0).len() == 1 { shown() } else { 0..height }
        }
        Op::Pad(pad) => match pad.mode {
            PadMode::Constant | PadMode::Edge => shown(),
            PadMode::Wrap | PadMode::Reflect => 0..height,
        },
        Op::Lrn(_) | Op::Relu | Op::Unary(_) | Op::PRelu | Op::Convert(_) | Op::Softmax | Op::ArgMax { .. } => shown(),
        Op::Binary(_) | Op::Constant | Op::Place(_) => shown(),
    }
}

/// The input channels that output channels are made of.
pub fn channels_read(op: &Op, x: &TensorInfo, y: &TensorInfo, channels: &Range<usize>) -> Range<usize> {
    let all = 0..x.channels as usize;
    match op {
        Op::Conv2d(conv) => {
            let (per_in, per_out) = (all.len() / conv.groups as usize, y.channels as usize / conv.groups as usize);
            let groups = channels.start / per_out..(channels.end - 1) / per_out + 1;
            groups.start * per_in..groups.end * per_in
        }
        Op::Lrn(lrn) => {
            let (before, behind) = ((lrn.size as usize - 1) / 2, lrn.size as usize / 2);
            channels.start.saturating_sub(before)..(channels.end + behind).min(all.end)
        }
        Op::MaxPool(_)
        | Op::AveragePool(_)
        | Op::LpPool(_)
        | Op::Relu
        | Op::Unary(_)
        | Op::PRelu
        | Op::Convert(_)
        | Op::Resize => channels.clone(),
        Op::Binary(_) if x.channels > 1 => channels.clone(),
        Op::Place(place) => channels.start - place.offset[2] as usize..channels.end - place.offset[2] as usize,
        Op::Linear | Op::Softmax | Op::ArgMax { .. } | Op::Binary(_) | Op::Constant | Op::Rearrange(_) | Op::Pad(_) => all,
    }
}
