//! Convolution.

use super::steps::{Steps, image, unimage};
use super::{param, window};
use crate::graph::{Op, Tensor};
use crate::onnx::attributes::int;
use crate::onnx::form::Form;
use crate::onnx::lowered::{Lowered, Param};
use crate::onnx::node::NodeReader;
use staticnet::op::Conv2d;

/// Output shape `[1, O, OH, OW]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(attrs: &Conv2d, x: &[usize], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let &[n, c, h, w] = x else {
        return Err(format!("needs an input [1, C, H, W], got {x:?}"));
    };
    let (weight, bias) = param::weight_and_bias(params)?;
    let &[o, cg, kh, kw] = &weight.shape[..] else {
        return Err(format!("weight has shape {:?}, not [O, C / groups, KH, KW]", weight.shape));
    };
    let groups = attrs.groups as usize;
    if groups == 0 || c % groups != 0 || o % groups != 0 || cg != c / groups {
        return Err(format!(
            "{groups} groups do not fit {c} input channels, {o} output channels and weight {:?}",
            weight.shape
        ));
    }
    if [kh, kw] != attrs.window.kernel.map(usize::from) {
        return Err(format!("kernel {:?} differs from weight {:?}", attrs.window.kernel, weight.shape));
    }
    param::bias_fits(bias, o)?;
    let (oh, ow) = window::output(&attrs.window, h, w)?;
    Ok(vec![n, o, oh, ow])
}

/// Direct convolution, one sum in f64 per output.
pub fn reference(attrs: &Conv2d, x: &Tensor, params: &[&Tensor], out_shape: &[usize]) -> Tensor {
    let (weight, bias) = (params[0], params.get(1));
    let [c, h, w] = [x.shape[1], x.shape[2], x.shape[3]];
    let [o, oh, ow] = [out_shape[1], out_shape[2], out_shape[3]];
    let win = &attrs.window;
    let [kh, kw] = win.kernel.map(usize::from);
    let groups = attrs.groups as usize;
    let (cg, og) = (c / groups, o / groups);
    let mut data = Vec::with_capacity(out_shape.iter().product());
    for x in x.data.chunks_exact(c * h * w) {
        for oc in 0..o {
            for oy in 0..oh {
                for ox in 0..ow {
                    let mut sum = bias.map_or(0.0, |bias| f64::from(bias.data[oc]));
                    for ic in 0..cg {
                        let plane = (oc / og * cg + ic) * h * w;
                        for ky in 0..kh {
                            let iy = (oy * win.stride[0] as usize + ky * win.dilation[0] as usize)
                                .wrapping_sub(win.pads[0] as usize);
                            if iy >= h {
                                continue;
                            }
                            for kx in 0..kw {
                                let ix = (ox * win.stride[1] as usize + kx * win.dilation[1] as usize)
                                    .wrapping_sub(win.pads[1] as usize);
                                if ix < w {
                                    sum += x[plane + iy * w + ix] as f64
                                        * weight.data[((oc * cg + ic) * kh + ky) * kw + kx] as f64;
                                }
                            }
                        }
                    }
                    data.push(sum as f32);
                }
            }
        }
    }
    Tensor { shape: out_shape.to_vec(), data }
}

/// ONNX `Conv`.
pub(crate) fn to_onnx(attrs: &Conv2d) -> Form {
    let mut attributes = window::to_onnx(&attrs.window);
    attributes.push(int("group", attrs.groups.into()));
    Form::new(attributes)
}

/// ONNX `Conv` over images, and over signals as images with a height of 1.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(3);
    let mut steps = Steps::default();
    let x = steps.floats(node, 0);
    let weight = node.floats(1, "weight");
    let bias = if node.has_input(2) { Some(node.floats(2, "bias")) } else { None };
    let groups = node.in_u16("group", 1);
    let weight = weight.and_then(|w| as_image(node, w));
    let kernel = weight.as_ref().and_then(|w| kernel_of(node, w));
    let read = window::from_onnx(node, kernel, x.as_ref().map(|x| x.shape.as_slice()));
    let (x, window) = (x?, read?.window);
    let rank = x.rank();
    let x = image(node, &mut steps, x)?;
    let mut params = vec![weight?];
    if let Some(bias) = bias {
        params.push(bias?);
    }
    let y = steps.add(node, Op::Conv(Conv2d { window, groups: groups? }), &[&x], params)?;
    let y = unimage(node, &mut steps, y, rank)?;
    steps.finish(node, y)
}

/// A weight `[O, C / groups, K]` as `[O, C / groups, 1, K]`; others as they are.
fn as_image(node: &mut NodeReader, weight: Param) -> Option<Param> {
    match weight.tensor.shape[..] {
        [_, _, _, _] => Some(weight),
        [o, c, k] => Some(param::reshaped(weight, vec![o, c, 1, k], |axis| axis + usize::from(axis == 2))),
        _ => {
            let reason = format!("of shape {:?} is not a kernel [O, C / groups, KH, KW]", weight.tensor.shape);
            node.refuse("weight", reason, "only 1-D and 2-D convolutions are supported");
            None
        }
    }
}

/// Height and width of the weight `[O, C / groups, KH, KW]`.
fn kernel_of(node: &mut NodeReader, weight: &Param) -> Option<[u16; 2]> {
    let size = |d: usize| weight.tensor.shape.get(d).and_then(|&d| u16::try_from(d).ok());
    let kernel = size(2).zip(size(3)).map(|(h, w)| [h, w]);
    if kernel.is_none() {
        let reason = format!("of shape {:?} has a kernel of more than 65535 pixels", weight.tensor.shape);
        node.refuse("weight", reason, "split the convolution");
    }
    kernel
}
