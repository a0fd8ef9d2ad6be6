//! Convolution.

use crate::graph::Tensor;
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
    let (oh, ow) = super::pool::window_output(&attrs.window, h, w)?;
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
