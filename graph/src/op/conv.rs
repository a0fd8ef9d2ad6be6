//! Convolution.

use super::window;
use crate::graph::{Op, Tensor};
use crate::onnx::attributes::int;
use crate::onnx::node::{Form, Lowered, NodeReader, Param};
use staticnet::op::Conv2d;

/// Output shape `[1, O, OH, OW]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(attrs: &Conv2d, x: &[usize], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let &[n, c, h, w] = x else {
        return Err(format!("needs an input [1, C, H, W], got {x:?}"));
    };
    let [weight, bias] = params else {
        return Err("needs a weight and a bias".into());
    };
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
    if bias.shape != [o] {
        return Err(format!("bias has shape {:?}, not [{o}]", bias.shape));
    }
    let (oh, ow) = window::output(&attrs.window, h, w)?;
    Ok(vec![n, o, oh, ow])
}

/// Direct convolution, one sum in f64 per output.
pub fn reference(attrs: &Conv2d, x: &Tensor, params: &[&Tensor], out_shape: &[usize]) -> Tensor {
    let (weight, bias) = (params[0], params[1]);
    let [c, h, w] = [x.shape[1], x.shape[2], x.shape[3]];
    let [o, oh, ow] = [out_shape[1], out_shape[2], out_shape[3]];
    let win = &attrs.window;
    let [kh, kw] = win.kernel.map(usize::from);
    let groups = attrs.groups as usize;
    let (cg, og) = (c / groups, o / groups);
    let mut y = Tensor::zeros(out_shape);
    for oc in 0..o {
        for oy in 0..oh {
            for ox in 0..ow {
                let mut sum = bias.data[oc] as f64;
                for ic in 0..cg {
                    let plane = (oc / og * cg + ic) * h * w;
                    for ky in 0..kh {
                        let iy =
                            (oy * win.stride[0] as usize + ky * win.dilation[0] as usize).wrapping_sub(win.pads[0] as usize);
                        if iy >= h {
                            continue;
                        }
                        for kx in 0..kw {
                            let ix = (ox * win.stride[1] as usize + kx * win.dilation[1] as usize)
                                .wrapping_sub(win.pads[1] as usize);
                            if ix < w {
                                sum += x.data[plane + iy * w + ix] as f64
                                    * weight.data[((oc * cg + ic) * kh + ky) * kw + kx] as f64;
                            }
                        }
                    }
                }
                y.data[(oc * oh + oy) * ow + ox] = sum as f32;
            }
        }
    }
    y
}

/// ONNX `Conv`.
pub(crate) fn to_onnx(attrs: &Conv2d) -> Form {
    let mut attributes = window::to_onnx(&attrs.window);
    attributes.push(int("group", attrs.groups.into()));
    Form::new(attributes)
}

/// ONNX `Conv` over images; a missing bias is zero.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(3);
    let x = node.activation(0);
    let weight = node.floats(1, "weight");
    let bias = if node.has_input(2) { node.floats(2, "bias") } else { weight.as_ref().map(|w| node.zero_bias(w)) };
    let groups = node.in_u16("group", 1);
    let kernel = weight.as_ref().and_then(|w| kernel_of(node, w));
    let size = x.and_then(|x| node.image_size(x));
    let window = window::from_onnx(node, kernel, size);
    let attrs = Conv2d { window: window?, groups: groups? };
    Some(Lowered::node(Op::Conv(attrs), x?, vec![weight?, bias?]))
}

/// Height and width of the weight `[O, C / groups, KH, KW]`.
fn kernel_of(node: &mut NodeReader, weight: &Param) -> Option<[u16; 2]> {
    let shape = &weight.tensor.shape;
    let size = |d: usize| u16::try_from(d).ok();
    let kernel = match shape[..] {
        [_, _, h, w] => size(h).zip(size(w)),
        _ => None,
    };
    if kernel.is_none() {
        let reason = format!("a weight of shape {shape:?} is not a 2-D kernel [O, C / groups, KH, KW]");
        node.refuse("weight", reason, "only 2-D convolutions are supported; write a 1-D one as 2-D with height 1");
    }
    kernel.map(|(h, w)| [h, w])
}
