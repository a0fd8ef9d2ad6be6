//! Surrounds the input with a value, its edge, its mirror image or itself.

use crate::op::{Pad, PadMode};
use crate::view::{Block, Rows, RowsMut};

/// The place in an axis of `len` that output place `i` shows, with `before` places in front; `None` where the value goes.
pub(crate) const fn place(mode: PadMode, i: u32, before: u32, len: u32) -> Option<u32> {
    let (i, last) = (i as i64 - before as i64, len as i64 - 1);
    if i >= 0 && i <= last {
        return Some(i as u32);
    }
    match mode {
        PadMode::Constant => None,
        PadMode::Edge => Some(if i < 0 { 0 } else { last as u32 }),
        PadMode::Wrap => Some(i.rem_euclid(len as i64) as u32),
        // There and back again; an axis of one place is its own mirror.
        PadMode::Reflect if last == 0 => Some(0),
        PadMode::Reflect => {
            let i = i.rem_euclid(2 * last);
            Some(if i <= last { i } else { 2 * last - i } as u32)
        }
    }
}

/// Input rows `[first, end)` that output rows `[r0, r1)` read.
pub(crate) const fn input_rows(attrs: &Pad, height: u32, r0: u32, r1: u32) -> (u32, u32) {
    let before = attrs.before[0] as u32;
    match attrs.mode {
        PadMode::Reflect | PadMode::Wrap => (0, height),
        PadMode::Edge => {
            let (first, last) = (r0.saturating_sub(before), (r1 - 1).saturating_sub(before));
            let first = if first < height { first } else { height - 1 };
            (first, if last < height { last + 1 } else { height })
        }
        PadMode::Constant => {
            let (first, end) = (r0.saturating_sub(before), r1.saturating_sub(before));
            (if first < height { first } else { height }, if end < height { end } else { height })
        }
    }
}

/// Rows x channels; `value` is what lies outside in [`PadMode::Constant`].
pub fn pad<E: Copy>(attrs: &Pad, x: &Rows<E>, y: &mut RowsMut<E>, block: Block, value: E) {
    let at = |i: usize, axis: usize, len: usize| {
        place(attrs.mode, i as u32, attrs.before[axis] as u32, len as u32).map(|i| i as usize)
    };
    let (width, channels, front) = (y.width, y.channels, attrs.before[2] as usize);
    // The block's channels that are the input's: one copy.
    let copied = block.c0.max(front)..block.c1.min(front + x.channels);
    for r in block.r0..block.r1 {
        let row = at(r, 0, x.height).map(|r| x.row(r));
        for ox in 0..width {
            let out = &mut y.row(r)[ox * channels..(ox + 1) * channels];
            let (Some(row), Some(ix)) = (row, at(ox, 1, x.width)) else {
                out[block.c0..block.c1].fill(value);
                continue;
            };
            let pixel = &row[ix * x.channels..(ix + 1) * x.channels];
            for c in (block.c0..block.c1).filter(|c| !copied.contains(c)) {
                out[c] = at(c, 2, x.channels).map_or(value, |c| pixel[c]);
            }
            if !copied.is_empty() {
                out[copied.clone()].copy_from_slice(&pixel[copied.start - front..copied.end - front]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_numpy_has_them() {
        let line = |mode, len| core::array::from_fn::<_, 9, _>(|i| place(mode, i as u32, 3, len).map_or(-1, i64::from));
        assert_eq!(line(PadMode::Constant, 3), [-1, -1, -1, 0, 1, 2, -1, -1, -1]);
        assert_eq!(line(PadMode::Edge, 3), [0, 0, 0, 0, 1, 2, 2, 2, 2]);
        assert_eq!(line(PadMode::Reflect, 4), [3, 2, 1, 0, 1, 2, 3, 2, 1]);
        assert_eq!(line(PadMode::Reflect, 2), [1, 0, 1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(line(PadMode::Reflect, 1), [0; 9]);
        assert_eq!(line(PadMode::Wrap, 2), [1, 0, 1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(line(PadMode::Wrap, 4), [1, 2, 3, 0, 1, 2, 3, 0, 1]);
    }

    #[test]
    fn all_three_axes() {
        let attrs = Pad { before: [1, 0, 1], mode: PadMode::Constant, value: 0.0, value_i8: 0 };
        let x = Rows::new(&[1, 2], 1, 1, 1, 2);
        let mut y = [0; 16];
        let block = Block { r0: 0, r1: 2, c0: 0, c1: 4 };
        pad(&attrs, &x, &mut RowsMut::new(&mut y, 2, 2, 4), block, 7);
        assert_eq!(y, [7, 7, 7, 7, 7, 7, 7, 7, 7, 1, 2, 7, 7, 7, 7, 7]);
        pad(&Pad { mode: PadMode::Edge, ..attrs }, &x, &mut RowsMut::new(&mut y, 2, 2, 4), block, 7);
        assert_eq!(y, [1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2]);
        let mut y = [0; 16];
        let block = Block { r0: 1, r1: 2, c0: 3, c1: 4 };
        pad(&Pad { mode: PadMode::Wrap, ..attrs }, &x, &mut RowsMut::new(&mut y, 2, 2, 4), block, 7);
        assert_eq!(y, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    }

    #[test]
    fn rows_needed() {
        let attrs = |mode| Pad { before: [2, 0, 0], mode, value: 0.0, value_i8: 0 };
        let rows = |mode, r0, r1| input_rows(&attrs(mode), 3, r0, r1);
        assert_eq!(rows(PadMode::Constant, 0, 2), (0, 0));
        assert_eq!(rows(PadMode::Constant, 1, 4), (0, 2));
        assert_eq!(rows(PadMode::Constant, 5, 7), (3, 3));
        assert_eq!(rows(PadMode::Edge, 0, 2), (0, 1));
        assert_eq!(rows(PadMode::Edge, 3, 4), (1, 2));
        assert_eq!(rows(PadMode::Edge, 5, 7), (2, 3));
        assert_eq!(rows(PadMode::Wrap, 3, 4), (0, 3));
    }
}
