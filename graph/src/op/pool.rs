//! Max-pool.

use super::window;
use crate::graph::{Op, Tensor};
use crate::onnx::node::{Form, Lowered, NodeReader};
use staticnet::op::MaxPool;

/// Output shape `[1, C, OH, OW]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(attrs: &MaxPool, x: &[usize]) -> Result<Vec<usize>, String> {
    let &[n, c, h, w] = x else {
        return Err(format!("needs an input [1, C, H, W], got {x:?}"));
    };
    let win = &attrs.window;
    let (oh, ow) = window::output(win, h, w)?;
    for (axis, len) in [(0, h), (1, w)] {
        let overhang = win.pads[axis].max(win.pads[axis + 2]) as u32 >= win.extent(axis);
        // Taps further apart than the input is long can straddle it.
        let straddles = win.kernel[axis] > 1 && win.dilation[axis] as usize > len;
        if overhang || straddles {
            return Err(format!("pads {:?} leave windows without an input pixel (kernel {:?})", win.pads, win.kernel));
        }
    }
    Ok(vec![n, c, oh, ow])
}

/// The largest tap inside the input.
pub fn reference(attrs: &MaxPool, x: &Tensor, out_shape: &[usize]) -> Tensor {
    let [c, h, w] = [x.shape[1], x.shape[2], x.shape[3]];
    let [oh, ow] = [out_shape[2], out_shape[3]];
    let win = &attrs.window;
    let taps = |axis: usize, out: usize, len: usize| {
        (0..win.kernel[axis] as usize)
            .map(move |k| {
                (out * win.stride[axis] as usize + k * win.dilation[axis] as usize).wrapping_sub(win.pads[axis] as usize)
            })
            .filter(move |&i| i < len)
    };
    let mut y = Tensor::zeros(out_shape);
    for ch in 0..c {
        for oy in 0..oh {
            for ox in 0..ow {
                let at = |iy: usize| taps(1, ox, w).map(move |ix| (ch * h + iy) * w + ix);
                let best = taps(0, oy, h).flat_map(at).map(|i| x.data[i]).fold(f32::NEG_INFINITY, f32::max);
                y.data[(ch * oh + oy) * ow + ox] = best;
            }
        }
    }
    y
}

/// ONNX `MaxPool`.
pub(crate) fn to_onnx(attrs: &MaxPool) -> Form {
    Form::new(window::to_onnx(&attrs.window))
}

/// ONNX `MaxPool` over images, without its second output.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    let x = node.activation(0);
    // The order of the indices; there are none.
    node.int("storage_order");
    if !node.has_attribute("kernel_shape") {
        node.refuse("kernel_shape", "is missing", "the file may be damaged; export it again");
        return None;
    }
    let size = x.and_then(|x| node.image_size(x));
    let window = window::from_onnx(node, None, size)?;
    Some(Lowered::node(Op::MaxPool(MaxPool { window }), x?, vec![]))
}
