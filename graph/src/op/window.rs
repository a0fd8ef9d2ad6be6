//! Windows: what convolution and pooling share.

use crate::onnx::attributes::ints;
use crate::onnx::node::NodeReader;
use onnx_protobuf::AttributeProto;
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

/// The attributes of a window; dilations only where there are any, since the oldest operator sets do not know them.
pub(crate) fn to_onnx(window: &Window) -> Vec<AttributeProto> {
    let mut attributes =
        vec![ints("kernel_shape", &window.kernel), ints("strides", &window.stride), ints("pads", &window.pads)];
    if window.dilation != [1, 1] {
        attributes.push(ints("dilations", &window.dilation));
    }
    attributes
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

/// Reads a window: `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad` and `ceil_mode`, the last two resolved into pads with
/// the size `[H, W]` of the input. `kernel` is the weight's, where there is one. `None` where something was refused or the input's
/// size is not known.
pub(crate) fn from_onnx(node: &mut NodeReader, kernel: Option<[u16; 2]>, input: Option<[usize; 2]>) -> Option<Window> {
    let given = node.has_attribute("kernel_shape").then(|| node.pair("kernel_shape")).flatten();
    if let (Some(given), Some(kernel)) = (given, kernel)
        && given != kernel
    {
        let reason = format!("{given:?} differs from the weight's {kernel:?}");
        node.refuse("kernel_shape", reason, "the file may be damaged; export it again");
    }
    let stride = node.pair("strides");
    let dilation = node.pair("dilations");
    let auto_pad = auto_pad(node);
    let pads = pads(node, auto_pad);
    let ceil_mode = node.flag("ceil_mode");
    if ceil_mode && auto_pad.is_some_and(|a| a != AutoPad::NotSet) {
        let reason = "together with auto_pad it means different things to different runtimes";
        node.refuse("ceil_mode", reason, "export the model with explicit pads");
    }
    let mut window = Window { kernel: kernel.or(given)?, stride: stride?, dilation: dilation?, pads: pads? };
    let (auto_pad, input) = (auto_pad?, input?);
    for (axis, len) in input.into_iter().enumerate() {
        let resolved = match auto_pad {
            AutoPad::SameUpper => same(&window, axis, len as u64),
            AutoPad::SameLower => same(&window, axis, len as u64).map(|[less, more]| [more, less]),
            AutoPad::NotSet if ceil_mode => ceil(&window, axis, len as u64),
            AutoPad::NotSet | AutoPad::Valid => continue,
        };
        let Some([before, after]) = resolved else {
            node.refuse("pads", format!("no pads below 65536 fit {input:?} pixels"), "run the model through onnx.checker");
            return None;
        };
        (window.pads[axis], window.pads[axis + 2]) = (before, after);
    }
    Some(window)
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
fn pads(node: &mut NodeReader, auto_pad: Option<AutoPad>) -> Option<[u16; 4]> {
    let given = node.ints("pads").unwrap_or(&[0; 4]);
    let pads: Vec<u16> = given.iter().filter_map(|&p| u16::try_from(p).ok()).collect();
    let pads = <[u16; 4]>::try_from(pads).ok().filter(|_| given.len() == 4);
    if pads.is_none() {
        let hint = "only 2-D windows with pads of 0 to 65535 are supported; crop the input instead of negative pads";
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
