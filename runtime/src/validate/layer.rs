//! What a layer's operator asks of its tensors and attributes.

use super::{ArtifactError, Kind};
use crate::kernels::rearrange;
use crate::op::{Facts, Makes, Rearrange, RowsRead, Types, Weights, Window};
use crate::record::{DType, TensorInfo};
use crate::step::Typed;

pub(super) const fn layer(t: &Typed, at: usize) -> Result<(), ArtifactError> {
    let (x, y) = (&t.x, &t.y);
    let facts = t.layer.op.facts();
    ensure!(types_fit(facts.types, x.dtype, t.x2.dtype, y.dtype), Type, at);
    ensure!(t.layer.op.attributes_fit([x.channels, y.channels], x.dtype), Attribute, at);
    if let Weights::Factors(_) = facts.weights {
        ensure!(t.layer.table_shift <= 24, Attribute, at);
    }
    ensure!(rows_fit(&facts, t) && channels_fit(facts.makes, x, y), Shape, at);
    Ok(())
}

const fn types_fit(types: Types, x: DType, x2: DType, y: DType) -> bool {
    match types {
        Types::Kept => x.is(x2) && x.is(y) && !x.is_i32(),
        Types::Indices => !x.is_i32() && y.is_i32(),
        Types::Converted => (x.is_i8() && y.is_f32()) || (x.is_f32() && y.is_i8()),
    }
}

const fn rows_fit(facts: &Facts, t: &Typed) -> bool {
    let (x, y) = (&t.x, &t.y);
    match facts.rows {
        RowsRead::None | RowsRead::All => true,
        RowsRead::Same => x.height == y.height && x.width == y.width,
        RowsRead::Window(window) => window_fits(window, x, y),
        RowsRead::Repeated => repeats(x, y) && repeats(&t.x2, y),
        RowsRead::Walk(walk) => walk_fits(walk, x, y),
        RowsRead::Padded(pad) => part_fits(&pad.before, x, y),
        RowsRead::Part(place) => part_fits(&place.offset, x, y),
    }
}

const fn channels_fit(makes: Makes, x: &TensorInfo, y: &TensorInfo) -> bool {
    match makes {
        Makes::SameChannels => x.channels == y.channels,
        Makes::OneChannel => y.channels == 1,
        Makes::OnePixel => y.height == 1 && y.width == 1,
        Makes::AnyChannels => true,
    }
}

const fn window_fits(window: &Window, x: &TensorInfo, y: &TensorInfo) -> bool {
    match (window.output_len(0, x.height), window.output_len(1, x.width)) {
        (Some(h), Some(w)) => h == y.height && w == y.width,
        _ => false,
    }
}

/// Each dimension of `x` is that of `y`, or 1.
const fn repeats(x: &TensorInfo, y: &TensorInfo) -> bool {
    let (height, width) = (x.height == y.height || x.height == 1, x.width == y.width || x.width == 1);
    height && width && (x.channels == y.channels || x.channels == 1)
}

/// `x` lies in `y` behind so many rows, pixels and channels.
const fn part_fits(before: &[u16; 3], x: &TensorInfo, y: &TensorInfo) -> bool {
    let (rows, pixels) = (before[0] as u32 + x.height <= y.height, before[1] as u32 + x.width <= y.width);
    rows && pixels && before[2] as u32 + x.channels <= y.channels
}

/// Every row of the output is cut as a whole, and every element of every row comes from inside the input.
const fn walk_fits(attrs: &Rearrange, x: &TensorInfo, y: &TensorInfo) -> bool {
    let size = &attrs.size;
    let product = size[0] as u64 * size[1] as u64 * size[2] as u64 * size[3] as u64;
    // Equal to a row's length, so no size is 0.
    if product != y.width as u64 * y.channels as u64 {
        return false;
    }
    let (low, high) = rearrange::span(attrs);
    let last_row = (y.height as i64 - 1) * attrs.row as i64;
    let (low, high) = if last_row < 0 { (low + last_row, high) } else { (low, high + last_row) };
    low >= 0 && (high as u64) < x.elements()
}
