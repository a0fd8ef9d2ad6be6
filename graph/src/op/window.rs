//! Windows: what convolution and pooling share.

pub(crate) use crate::onnx::attributes::window as to_onnx;
use crate::onnx::node::NodeReader;
use staticnet::op::Window;

/// Output rows and columns of a window over `h` x `w`.
///
/// # Errors
/// What does not fit, in words.
pub(crate) fn output(window: &Window, h: usize, w: usize) -> Result<(usize, usize), String> {
    let size = |axis: usize, len: usize| u32::try_from(len).ok().and_then(|len| window.output_len(axis, len));
    match (size(0, h), size(1, w)) {
        (Some(oh), Some(ow)) => Ok((oh as usize, ow as usize)),
        _ => Err(format!("a window of {:?} does not fit {h}x{w} with pads {:?}", window.kernel, window.pads)),
    }
}

/// How the pads are given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AutoPad {
    /// By the attribute `pads`.
    NotSet,
    /// None.
    Valid,
    /// So that the output has `ceil(input / stride)` pixels, the odd one at the end.
    SameUpper,
    /// The same with the odd one at the start.
    SameLower,
}

/// A window as a file gives it.
pub(crate) struct Read {
    /// The window, everything resolved.
    pub(crate) window: Window,
    /// The pads without what `ceil_mode` adds to them.
    pub(crate) pads: [u16; 4],
}

/// Reads a window: `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad` and `ceil_mode`, the last two resolved into pads with
/// the shape of the input, `[N, C, H, W]` or `[N, C, L]`; the latter gets a height of 1. `kernel` is the weight's, where there is
/// one. `None` where something was refused or the input's shape is not known.
pub(crate) fn from_onnx(node: &mut NodeReader, kernel: Option<[u16; 2]>, input: Option<&[usize]>) -> Option<Read> {
    let dims = input.map(|shape| shape.len().saturating_sub(2));
    let given = node.has_attribute("kernel_shape").then(|| pair(node, "kernel_shape", dims)).flatten();
    if let (Some(given), Some(kernel)) = (given, kernel)
        && given != kernel
    {
        let reason = format!("{given:?} differs from the weight's {kernel:?}");
        node.refuse("kernel_shape", reason, "the file may be damaged; export it again");
    }
    let stride = pair(node, "strides", dims);
    let dilation = pair(node, "dilations", dims);
    let auto_pad = auto_pad(node);
    let pads = pads(node, auto_pad, dims);
    let ceil_mode = node.flag("ceil_mode");
    let mut window = Window { kernel: kernel.or(given)?, stride: stride?, dilation: dilation?, pads: pads? };
    let mut pads = window.pads;
    let (auto_pad, size) = (auto_pad?, size_of(input?)?);
    for (axis, len) in size.into_iter().enumerate() {
        let resolved = match auto_pad {
            AutoPad::SameUpper => same(&window, axis, len as u64),
            AutoPad::SameLower => same(&window, axis, len as u64).map(|[less, more]| [more, less]),
            AutoPad::NotSet | AutoPad::Valid if ceil_mode => ceil(&window, axis, len as u64),
            AutoPad::NotSet | AutoPad::Valid => continue,
        };
        let Some([before, after]) = resolved else {
            node.refuse("pads", format!("no pads below 65536 fit {size:?} pixels"), "run the model through onnx.checker");
            return None;
        };
        (window.pads[axis], window.pads[axis + 2]) = (before, after);
        if matches!(auto_pad, AutoPad::SameUpper | AutoPad::SameLower) {
            (pads[axis], pads[axis + 2]) = (before, after);
        }
    }
    Some(Read { window, pads })
}

/// Height and width; other shapes are refused by whoever reads them as a picture.
fn size_of(shape: &[usize]) -> Option<[usize; 2]> {
    match *shape {
        [_, _, h, w] => Some([h, w]),
        [_, _, l] => Some([1, l]),
        _ => None,
    }
}

const TWO_D: &str = "only 1-D and 2-D windows are supported";

/// Two integers from 1 to 65535, `[height, width]`, or one, whose height is 1; ones where they are missing.
fn pair(node: &mut NodeReader, name: &'static str, dims: Option<usize>) -> Option<[u16; 2]> {
    let Some(values) = node.ints(name) else {
        return Some([1, 1]);
    };
    let size = |v: i64| u16::try_from(v).ok().filter(|&v| v > 0);
    let pair = match *values {
        [h, w] if dims.is_none_or(|d| d == 2) => size(h).zip(size(w)).map(|(h, w)| [h, w]),
        [l] if dims.is_none_or(|d| d == 1) => size(l).map(|l| [1, l]),
        _ => None,
    };
    if pair.is_none() {
        let reason = format!("{values:?} is not [height, width] of 1 to 65535 each");
        node.refuse(name, reason, TWO_D);
    }
    pair
}

/// Pads that make `ceil(len / stride)` outputs, the smaller one first.
fn same(window: &Window, axis: usize, len: u64) -> Option<[u16; 2]> {
    let stride = u64::from(window.stride[axis]);
    let covered = (len.div_ceil(stride).checked_sub(1)?).checked_mul(stride)?.checked_add(window.extent(axis).into())?;
    let total = covered.saturating_sub(len);
    Some([u16::try_from(total / 2).ok()?, u16::try_from(total - total / 2).ok()?])
}

/// Pads with which rounding down gives what rounding up gives without them. As in PyTorch, a window that would start behind the
/// input and the padding before it does not count.
fn ceil(window: &Window, axis: usize, len: u64) -> Option<[u16; 2]> {
    let (before, after) = (window.pads[axis], window.pads[axis + 2]);
    let (stride, extent) = (u64::from(window.stride[axis]), u64::from(window.extent(axis)));
    let start = len.checked_add(before.into())?;
    let Some(free) = start.checked_add(after.into())?.checked_sub(extent) else {
        // Not even one window fits; whoever infers the shape says so.
        return Some([before, after]);
    };
    let mut last = free.div_ceil(stride) * stride;
    if last >= start {
        last = last.checked_sub(stride)?;
    }
    let needed = (last + extent).saturating_sub(start);
    Some([before, after.max(u16::try_from(needed).ok()?)])
}

/// The pads that `ceil_mode` makes of those of the window, over `[H, W]` pixels.
pub(crate) fn rounded_up(window: &Window, size: [usize; 2]) -> Option<[u16; 4]> {
    let mut pads = window.pads;
    for (axis, len) in size.into_iter().enumerate() {
        [pads[axis], pads[axis + 2]] = ceil(window, axis, len as u64)?;
    }
    Some(pads)
}

fn auto_pad(node: &mut NodeReader) -> Option<AutoPad> {
    match node.text("auto_pad").unwrap_or("NOTSET") {
        "NOTSET" | "" => Some(AutoPad::NotSet),
        "VALID" => Some(AutoPad::Valid),
        "SAME_UPPER" => Some(AutoPad::SameUpper),
        "SAME_LOWER" => Some(AutoPad::SameLower),
        other => {
            let reason = format!("{other} is unknown");
            node.refuse("auto_pad", reason, "use NOTSET, VALID, SAME_UPPER or SAME_LOWER");
            None
        }
    }
}

/// The attribute `pads`, `[top, left, bottom, right]`; zeros where it is missing.
fn pads(node: &mut NodeReader, auto_pad: Option<AutoPad>, dims: Option<usize>) -> Option<[u16; 4]> {
    let Some(given) = node.ints("pads") else {
        return Some([0; 4]);
    };
    let pads: Option<Vec<u16>> = given.iter().take(4).map(|&p| u16::try_from(p).ok()).collect();
    let pads = match (pads.as_deref(), given.len()) {
        (Some(&[top, left, bottom, right]), 4) if dims.is_none_or(|d| d == 2) => Some([top, left, bottom, right]),
        (Some(&[before, after]), 2) if dims.is_none_or(|d| d == 1) => Some([0, before, 0, after]),
        _ => None,
    };
    if pads.is_none() {
        let hint = "only 1-D and 2-D windows with pads of 0 to 65535 are supported; crop the input instead of negative pads";
        node.refuse("pads", format!("{given:?} is not [top, left, bottom, right]"), hint);
    }
    if pads.is_some_and(|p| p != [0; 4]) && auto_pad.is_some_and(|a| a != AutoPad::NotSet) {
        node.refuse("pads", "contradicts auto_pad", "export the model with one of the two");
    }
    pads
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output sizes as torch.nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=True) gives them.
    #[test]
    fn ceil_mode_counts_windows_as_pytorch_does() {
        for (len, kernel, stride, pad, dilation, expected) in [
            (32, 3, 2, 0, 1, 16),
            (55, 3, 2, 0, 1, 27),
            (56, 3, 2, 0, 1, 28),
            (5, 2, 2, 1, 1, 3),
            (6, 2, 2, 1, 1, 4),
            (4, 1, 3, 0, 1, 2),
            (10, 3, 3, 1, 2, 4),
            (7, 2, 5, 0, 1, 2),
        ] {
            let mut w = Window::square(kernel, stride, pad);
            w.dilation = [dilation; 2];
            let [before, after] = ceil(&w, 0, len).unwrap();
            (w.pads[0], w.pads[2]) = (before, after);
            assert_eq!(w.output_len(0, len as u32), Some(expected), "{len} {kernel} {stride} {pad} {dilation}");
            assert!(u32::from(after) < w.extent(0));
        }
    }

    #[test]
    fn same_padding_divides_the_size_by_the_stride() {
        for (len, kernel, stride, expected) in [(7, 3, 2, [1, 1]), (8, 3, 2, [0, 1]), (5, 2, 1, [0, 1]), (3, 1, 4, [0, 0])] {
            let w = Window::square(kernel, stride, 0);
            assert_eq!(same(&w, 1, len), Some(expected), "{len} {kernel} {stride}");
        }
    }
}
