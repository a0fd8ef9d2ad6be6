//! Pooling: the maximum, the mean or a norm over a window, or over the whole picture.

use super::steps::{Steps, image, unimage};
use super::window;
use crate::graph::{Op, Tensor};
use crate::onnx::attributes::{flag, int};
use crate::onnx::form::Form;
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;
use staticnet::op::{AveragePool, LpPool, MaxPool, Norm, Window};

/// Output shape `[1, C, OH, OW]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(win: &Window, x: &[usize]) -> Result<Vec<usize>, String> {
    let &[n, c, h, w] = x else {
        return Err(format!("needs an input [1, C, H, W], got {x:?}"));
    };
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

/// As [`infer`], for a mean.
///
/// # Errors
/// What does not fit, in words.
pub fn infer_average(attrs: &AveragePool, x: &[usize]) -> Result<Vec<usize>, String> {
    if attrs.counted.iter().zip(attrs.window.pads).any(|(&counted, pad)| counted > pad) {
        return Err(format!("counted pads {:?} exceed the pads {:?}", attrs.counted, attrs.window.pads));
    }
    infer(&attrs.window, x)
}

/// Where the taps of an output lie along an axis; the first pixel is 0.
fn taps(win: &Window, axis: usize, out: usize) -> impl Iterator<Item = i64> + Clone {
    let first = out as i64 * i64::from(win.stride[axis]) - i64::from(win.pads[axis]);
    let distance = i64::from(win.dilation[axis]);
    (0..i64::from(win.kernel[axis])).map(move |k| first + k * distance)
}

/// `reduce` over the pixels under each window, given with the output's row and column.
fn reduce(win: &Window, x: &Tensor, out_shape: &[usize], mut reduce: impl FnMut([usize; 2], &[f32]) -> f32) -> Tensor {
    let [h, w] = [x.shape[2], x.shape[3]];
    let [oh, ow] = [out_shape[2], out_shape[3]];
    let inside = |axis: usize, out: usize, len: usize| taps(win, axis, out).filter(move |&i| (0..len as i64).contains(&i));
    let mut pixels = vec![];
    let mut data = vec![];
    for plane in x.data.chunks_exact(h * w) {
        for oy in 0..oh {
            for ox in 0..ow {
                pixels.clear();
                for iy in inside(0, oy, h) {
                    pixels.extend(inside(1, ox, w).map(|ix| plane[iy as usize * w + ix as usize]));
                }
                data.push(reduce([oy, ox], &pixels));
            }
        }
    }
    Tensor { shape: out_shape.to_vec(), data }
}

/// The largest tap inside the input.
pub fn max_reference(attrs: &MaxPool, x: &Tensor, out_shape: &[usize]) -> Tensor {
    reduce(&attrs.window, x, out_shape, |_, pixels| pixels.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

/// The sum of the taps inside the input over the number of those inside what counts.
pub fn average_reference(attrs: &AveragePool, x: &Tensor, out_shape: &[usize]) -> Tensor {
    let counted = |axis: usize, out: usize| {
        let (before, after) = (i64::from(attrs.counted[axis]), i64::from(attrs.counted[axis + 2]));
        let range = -before..x.shape[axis + 2] as i64 + after;
        taps(&attrs.window, axis, out).filter(|i| range.contains(i)).count()
    };
    reduce(&attrs.window, x, out_shape, |[oy, ox], pixels| {
        let sum: f64 = pixels.iter().map(|&v| f64::from(v)).sum();
        (sum / (counted(0, oy) * counted(1, ox)) as f64) as f32
    })
}

/// The sum of magnitudes of the taps inside the input, or the root of the sum of their squares.
pub fn lp_reference(attrs: &LpPool, x: &Tensor, out_shape: &[usize]) -> Tensor {
    let sum = |pixels: &[f32], of: fn(f64) -> f64| pixels.iter().map(|&v| of(v.into())).sum::<f64>();
    reduce(&attrs.window, x, out_shape, |_, pixels| match attrs.norm {
        Norm::Sum => sum(pixels, f64::abs) as f32,
        Norm::Root => sum(pixels, |v| v * v).sqrt() as f32,
    })
}

/// ONNX `MaxPool`.
pub(crate) fn max_to_onnx(attrs: &MaxPool) -> Form {
    Form::new(window::to_onnx(&attrs.window))
}

/// ONNX `AveragePool`.
///
/// # Errors
/// Where ONNX cannot say which pads count, in words.
pub(crate) fn average_to_onnx(attrs: &AveragePool, x: &[usize]) -> Result<Form, String> {
    let AveragePool { mut window, counted } = *attrs;
    let mut attributes = vec![];
    if counted == window.pads {
        attributes.push(flag("count_include_pad", counted != [0; 4]));
    } else if counted != [0; 4] {
        // Some pads count and others do not: those that rounding up adds at the end.
        window.pads = counted;
        if !(x.len() == 4 && window::rounded_up(&window, [x[2], x[3]]) == Some(attrs.window.pads)) {
            return Err(format!("ONNX has no average over pads {:?} of which {counted:?} count", attrs.window.pads));
        }
        attributes.extend([flag("count_include_pad", true), flag("ceil_mode", true)]);
    }
    attributes.extend(window::to_onnx(&window));
    Ok(Form::new(attributes))
}

/// ONNX `LpPool`.
pub(crate) fn lp_to_onnx(attrs: &LpPool) -> Form {
    let mut attributes = window::to_onnx(&attrs.window);
    attributes.push(int("p", attrs.norm as i64));
    Form::new(attributes)
}

/// ONNX `MaxPool` over images and signals, without its second output.
pub(crate) fn max_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    // The order of the indices; there are none.
    node.int("storage_order");
    let mut steps = Steps::default();
    let x = steps.input(node, 0);
    pool(node, steps, x, |read| Op::MaxPool(MaxPool { window: read.window }))
}

/// ONNX `AveragePool` over images and signals.
pub(crate) fn average_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    let include = node.flag("count_include_pad");
    let mut steps = Steps::default();
    let x = steps.floats(node, 0);
    pool(node, steps, x, |read| {
        let counted = if include { read.pads } else { [0; 4] };
        Op::AveragePool(AveragePool { window: read.window, counted })
    })
}

/// The attribute `p`: 1 or 2 (unless given).
fn norm(node: &mut NodeReader) -> Norm {
    match node.int("p") {
        Some(1) => Norm::Sum,
        None | Some(2) => Norm::Root,
        Some(p) => {
            node.refuse("p", format!("is {p}"), "only the norms 1 and 2 are supported");
            Norm::Root
        }
    }
}

/// ONNX `LpPool` over images and signals.
pub(crate) fn lp_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    let norm = norm(node);
    let mut steps = Steps::default();
    let x = steps.floats(node, 0);
    pool(node, steps, x, |read| Op::LpPool(LpPool { window: read.window, norm }))
}

/// ONNX `GlobalLpPool` over any number of spatial dimensions.
pub(crate) fn global_lp_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    let norm = norm(node);
    global(node, |window| Op::LpPool(LpPool { window, norm }))
}

fn pool(
    node: &mut NodeReader,
    mut steps: Steps,
    x: Option<super::steps::Step>,
    op: impl FnOnce(&window::Read) -> Op,
) -> Option<Lowered> {
    node.inputs_at_most(1);
    let missing = !node.has_attribute("kernel_shape");
    if missing {
        node.refuse("kernel_shape", "is missing", "the file may be damaged; export it again");
    }
    let read = window::from_onnx(node, missing.then_some([1, 1]), x.as_ref().map(|x| x.shape.as_slice()));
    let x = x?;
    let rank = x.rank();
    let x = image(node, &mut steps, x)?;
    let y = steps.add(node, op(&read?), &[&x], vec![])?;
    let y = unimage(node, &mut steps, y, rank)?;
    steps.finish(node, y)
}

/// ONNX `GlobalMaxPool` over any number of spatial dimensions.
pub(crate) fn global_max_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    global(node, |window| Op::MaxPool(MaxPool { window }))
}

/// ONNX `GlobalAveragePool` over any number of spatial dimensions.
pub(crate) fn global_average_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    global(node, |window| Op::AveragePool(AveragePool { window, counted: [0; 4] }))
}

/// A window as large as the picture.
fn global(node: &mut NodeReader, op: impl FnOnce(Window) -> Op) -> Option<Lowered> {
    node.inputs_at_most(1);
    let mut steps = Steps::default();
    let x = steps.floats(node, 0)?;
    let [n, c, spatial @ ..] = &x.shape[..] else {
        node.refuse("", format!("needs an input [N, C, ..], got {:?}", x.shape), "only images and signals are supported here");
        return None;
    };
    let plane = match *spatial {
        [] => [1, 1],
        [l] => [1, l],
        // The product is part of a shape that exists.
        [h, ref rest @ ..] => [h, rest.iter().product()],
    };
    let [Ok(kh), Ok(kw)] = plane.map(u16::try_from) else {
        node.refuse("", format!("its input is {:?}", x.shape), "at most 65535 rows and columns are supported; pool in steps");
        return None;
    };
    let pooled: Vec<usize> = [*n, *c].into_iter().chain(spatial.iter().map(|_| 1)).collect();
    let flat = vec![*n, *c, plane[0], plane[1]];
    let x = steps.reshape(node, x, flat)?;
    let window = Window { kernel: [kh, kw], stride: [1, 1], dilation: [1, 1], pads: [0; 4] };
    let y = steps.add(node, op(window), &[&x], vec![])?;
    let y = steps.reshape(node, y, pooled)?;
    steps.finish(node, y)
}
