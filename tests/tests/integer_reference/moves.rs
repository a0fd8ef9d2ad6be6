//! Operators that move or choose elements.

use super::Ints;
use staticnet::op::{Pad, PadMode, Rearrange};

/// Element `at` of output row `r`.
pub fn walked(walk: &Rearrange, x: &Ints, r: usize, at: usize) -> i64 {
    let (mut rest, mut from) = (at as i64, walk.base as i64 + r as i64 * walk.row as i64);
    for (&size, &stride) in walk.size.iter().zip(&walk.stride).rev() {
        from += rest % size as i64 * stride as i64;
        rest /= size as i64;
    }
    x.q[from as usize]
}

/// An element of the surrounded input.
pub fn padded(pad: &Pad, x: &Ints, r: usize, p: usize, c: usize) -> i64 {
    let along = |axis: usize, i: usize| -> Option<i64> {
        let (i, n) = (i as i64 - pad.before[axis] as i64, x.size[axis] as i64);
        match pad.mode {
            _ if (0..n).contains(&i) => Some(i),
            PadMode::Constant => None,
            PadMode::Edge => Some(if i < 0 { 0 } else { n - 1 }),
            // No model goes further over an edge than the input is long.
            PadMode::Reflect => Some(if i < 0 { -i } else { 2 * (n - 1) - i }),
            PadMode::Wrap => Some(if i < 0 { i + n } else { i - n }),
        }
    };
    let inside = along(0, r).zip(along(1, p)).zip(along(2, c));
    let code = inside.and_then(|((y, xx), c)| x.code(y, xx, c as usize));
    code.unwrap_or_else(|| x.grid.quantize(pad.value))
}

/// An element of a concatenation, where this part of it lies.
pub fn placed(offset: &[u16; 3], x: &Ints, r: usize, p: usize, c: usize) -> Option<i64> {
    let [r, p, c] =
        [(r, 0), (p, 1), (c, 2)].map(|(i, axis)| i.checked_sub(offset[axis] as usize).filter(|&i| i < x.size[axis]));
    x.code(r? as i64, p? as i64, c?)
}

/// The index of the largest channel of each pixel; of equals the first, or the last.
pub fn highest(x: &Ints, last: bool) -> Vec<i64> {
    let of_pixel = |q: &[i64]| {
        let most = q.iter().max();
        let at = if last { q.iter().rposition(|v| Some(v) == most) } else { q.iter().position(|v| Some(v) == most) };
        at.unwrap_or_default() as i64
    };
    x.q.chunks_exact(x.size[2]).map(of_pixel).collect()
}
