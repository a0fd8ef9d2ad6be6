//! Which taps of a window exist.

use crate::op::Window;
use core::ops::Range;

/// Taps along `axis` of output `out` that lie in the `len` positions of the input, or within `before` and `after` of them.
pub(super) fn inside(window: &Window, axis: usize, out: usize, len: usize, [before, after]: [usize; 2]) -> Range<usize> {
    let (dilation, pad) = (window.dilation[axis] as usize, window.pads[axis] as usize);
    let start = out * window.stride[axis] as usize;
    // Taps before the picture are skipped by arithmetic, those after it by the end: a huge kernel costs nothing.
    let first = pad.saturating_sub(start + before).div_ceil(dilation);
    let end = (len + after + pad).saturating_sub(start).div_ceil(dilation).min(window.kernel[axis] as usize);
    first..end.max(first)
}

/// Input positions along `axis` that output `out` looks at and that exist.
pub(super) fn taps(window: &Window, axis: usize, out: usize, len: usize) -> impl Iterator<Item = usize> {
    let (dilation, pad) = (window.dilation[axis] as usize, window.pads[axis] as usize);
    let start = out * window.stride[axis] as usize;
    inside(window, axis, out, len, [0, 0]).map(move |k| start + k * dilation - pad)
}
