//! Max-pool.

use crate::graph::Tensor;
use staticnet::op::{MaxPool, Window};

/// Output rows and columns of a window over `h` x `w`.
///
/// # Errors
/// What does not fit, in words.
pub(crate) fn window_output(window: &Window, h: usize, w: usize) -> Result<(usize, usize), String> {
    let size = |axis: usize, len: usize| u32::try_from(len).ok().and_then(|len| window.output_len(axis, len));
    match (size(0, h), size(1, w)) {
        (Some(oh), Some(ow)) => Ok((oh as usize, ow as usize)),
        _ => Err(format!("a window of {:?} does not fit {h}x{w} with pads {:?}", window.kernel, window.pads)),
    }
}

/// Output shape `[1, C, OH, OW]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(attrs: &MaxPool, x: &[usize]) -> Result<Vec<usize>, String> {
    let &[n, c, h, w] = x else {
        return Err(format!("needs an input [1, C, H, W], got {x:?}"));
    };
    let win = &attrs.window;
    if win.pads[0].max(win.pads[2]) as u32 >= win.extent(0).max(1)
        || win.pads[1].max(win.pads[3]) as u32 >= win.extent(1).max(1)
    {
        return Err(format!("pads {:?} leave windows without an input pixel (kernel {:?})", win.pads, win.kernel));
    }
    let (oh, ow) = window_output(win, h, w)?;
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
