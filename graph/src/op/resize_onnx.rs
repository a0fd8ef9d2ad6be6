//! ONNX `Resize` and `Upsample`.

use super::axes;
use super::steps::{Step, Steps};
use crate::graph::{Coordinates, Elem, Interpolation, Op, Resize};
use crate::onnx::attributes::{sizes as sizes_attribute, text};
use crate::onnx::form::{Extra, Form};
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;

/// The operator set that [`to_onnx`] needs.
pub(crate) fn opset(resize: &Resize, x: &[usize]) -> i64 {
    match (resize.coordinates, sizes_of(resize, x)) {
        (Coordinates::HalfPixelSymmetric, _) => 19,
        (_, Ok(Sizes::Within(_))) => 18,
        (_, Ok(Sizes::Scales | Sizes::Exact) | Err(_)) => 13,
    }
}

/// How sizes and scales are said in ONNX.
enum Sizes {
    /// The sizes are those of the scales, rounded down.
    Scales,
    /// The scales are the ratios of the sizes.
    Exact,
    /// Both follow from the largest picture of the same proportions within this height and width.
    Within([usize; 2]),
}

fn sizes_of(resize: &Resize, x: &[usize]) -> Result<Sizes, String> {
    let &[_, _, h, w] = x else {
        return Err(format!("needs an input [N, C, H, W], got {x:?}"));
    };
    let input = [h, w];
    let all = |f: &dyn Fn(usize) -> bool| (0..2).all(f);
    // Where the product is about whole, others may round it down to one pixel less.
    let exactly = |d: usize| (input[d] as f64 * f64::from(resize.scale[d])).floor() == resize.size[d] as f64;
    if all(&|d| scaled(input[d], resize.scale[d]) == Some(resize.size[d]) && exactly(d)) {
        return Ok(Sizes::Scales);
    }
    if all(&|d| ratio(resize.size[d], input[d]) == resize.scale[d]) {
        return Ok(Sizes::Exact);
    }
    if all(&|d| scaled(input[d], resize.scale[d]) == Some(resize.size[d])) {
        return Ok(Sizes::Scales);
    }
    // The tight axis gives the scale of both; the other gets room.
    let scale = resize.scale[0];
    let tight = (0..2).find(|&d| ratio(resize.size[d], input[d]) == scale && resize.scale == [scale; 2]);
    let follows = |d: usize| rounded(input[d], scale) == Some(resize.size[d]);
    match tight {
        Some(tight) if all(&|d| follows(d)) => {
            let mut within = resize.size;
            within[1 - tight] = resize.size[1 - tight] * 2 + 1;
            Ok(Sizes::Within(within))
        }
        _ => Err(format!("ONNX has no resize from {input:?} to {:?} with scales {:?}", resize.size, resize.scale)),
    }
}

/// The size that a scale makes, in f32 as onnxruntime computes it.
fn scaled(input: usize, scale: f32) -> Option<usize> {
    size((input as f32 * scale).floor())
}

/// The same rounded to the nearest, as for `keep_aspect_ratio_policy`.
fn rounded(input: usize, scale: f32) -> Option<usize> {
    size((input as f32 * scale).round())
}

fn size(size: f32) -> Option<usize> {
    (size >= 1.0 && size <= f32::from(u16::MAX)).then_some(size as usize)
}

fn ratio(output: usize, input: usize) -> f32 {
    output as f32 / input as f32
}

/// Whether [`to_onnx`] says nothing about the size of the batch.
pub(crate) fn keeps_batch(resize: &Resize, x: &[usize]) -> bool {
    matches!(sizes_of(resize, x), Ok(Sizes::Scales | Sizes::Within(_)))
}

/// ONNX `Resize`.
///
/// # Errors
/// Where sizes and scales have no common form in ONNX, in words.
pub(crate) fn to_onnx(resize: &Resize, x: &[usize]) -> Result<Form, String> {
    let coordinates = match resize.coordinates {
        Coordinates::HalfPixel => "half_pixel",
        Coordinates::HalfPixelSymmetric => "half_pixel_symmetric",
        Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
        Coordinates::AlignCorners => "align_corners",
        Coordinates::Asymmetric => "asymmetric",
    };
    let nearest = match resize.interpolation {
        Interpolation::NearestPreferFloor => Some("round_prefer_floor"),
        Interpolation::NearestPreferCeil => Some("round_prefer_ceil"),
        Interpolation::NearestFloor => Some("floor"),
        Interpolation::NearestCeil => Some("ceil"),
        Interpolation::Linear => None,
    };
    let mut attributes = vec![text("coordinate_transformation_mode", coordinates)];
    attributes.push(text("mode", if nearest.is_some() { "nearest" } else { "linear" }));
    attributes.extend(nearest.map(|mode| text("nearest_mode", mode)));
    let sizes = |[h, w]: [usize; 2]| Extra::sizes(&[&x[..2], &[h, w]].concat());
    let form = |attributes| Form::new(attributes).with("roi", Extra::Missing);
    match sizes_of(resize, x)? {
        Sizes::Scales => {
            let data = [[1.0; 2], resize.scale].concat();
            Ok(form(attributes).with("scales", Extra::Floats(crate::graph::Tensor { shape: vec![4], data })))
        }
        Sizes::Exact => Ok(form(attributes).with("scales", Extra::Missing).with("sizes", sizes(resize.size))),
        Sizes::Within([h, w]) => {
            attributes.push(text("keep_aspect_ratio_policy", "not_larger"));
            // Only height and width: the proportions are those of the axes named.
            attributes.push(sizes_attribute("axes", &[2, 3]));
            Ok(form(attributes).with("scales", Extra::Missing).with("sizes", Extra::sizes(&[h, w])))
        }
    }
}

/// Sizes and scales of every dimension.
struct Target {
    size: Vec<usize>,
    scale: Vec<f32>,
}

/// ONNX `Resize` of the last two dimensions.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(4);
    let mut steps = Steps::default();
    let x = steps.input(node, 0);
    let opset = node.opset();
    let coordinates = if opset < 11 { Some(Coordinates::Asymmetric) } else { coordinates(node) };
    let mode = node.text("mode").unwrap_or("nearest");
    let nearest_mode = node.text("nearest_mode").unwrap_or("round_prefer_floor");
    let antialias = node.flag("antialias");
    let policy = node.text("keep_aspect_ratio_policy").unwrap_or("stretch");
    // They matter to what is refused only.
    node.float("cubic_coeff_a");
    node.float("extrapolation_value");
    if node.flag("exclude_outside") {
        node.refuse("exclude_outside", "is on", "only exclude_outside=0 is supported");
    }
    let named = node.ints("axes");
    // Before opset 11 the scales come first; from then on the region of interest does, which only tf_crop_and_resize reads.
    let scales = if opset < 11 { 1 } else { 2 };
    let by_size = opset >= 11 && node.has_input(3);
    let given_sizes = if by_size { Some(node.integers(3, "sizes")) } else { None };
    let given_scales = if by_size { None } else { Some(node.floats(scales, "scales")) };
    let x = x?;
    let named = match named {
        Some(named) => axes::axes(node, "axes", named, x.rank())?,
        None => (0..x.rank()).collect(),
    };
    let target = match (given_sizes, given_scales) {
        (Some(sizes), _) => by_sizes(node, &x, &named, &sizes?, policy)?,
        (None, scales) => by_scales(node, &x, &named, &scales??.tensor.data)?,
    };
    let interpolation = interpolation(node, mode, nearest_mode, &target, opset)?;
    if antialias && interpolation == Interpolation::Linear && target.scale.iter().any(|&scale| scale < 1.0) {
        node.refuse("antialias", "is on while the picture gets smaller", "export the model with antialias=False");
        return None;
    }
    finish(node, steps, x, target, coordinates?, interpolation)
}

/// ONNX `Upsample`, which became `Resize`: scales as an attribute (before opset 9) or an input.
pub(crate) fn upsample_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(2);
    let mut steps = Steps::default();
    let x = steps.input(node, 0);
    let mode = node.text("mode").unwrap_or("nearest");
    let scales = if node.opset() < 9 {
        node.floats_attribute("scales").map(<[f32]>::to_vec)
    } else {
        node.floats(1, "scales").map(|scales| scales.tensor.data)
    };
    let x = x?;
    let named: Vec<usize> = (0..x.rank()).collect();
    let target = by_scales(node, &x, &named, &scales?)?;
    let interpolation = interpolation(node, mode, "round_prefer_floor", &target, 10)?;
    finish(node, steps, x, target, Coordinates::Asymmetric, interpolation)
}

fn coordinates(node: &mut NodeReader) -> Option<Coordinates> {
    match node.text("coordinate_transformation_mode").unwrap_or("half_pixel") {
        "half_pixel" => Some(Coordinates::HalfPixel),
        "half_pixel_symmetric" => Some(Coordinates::HalfPixelSymmetric),
        "pytorch_half_pixel" => Some(Coordinates::PytorchHalfPixel),
        "align_corners" => Some(Coordinates::AlignCorners),
        "asymmetric" => Some(Coordinates::Asymmetric),
        other => {
            let hint = "use half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners or asymmetric";
            node.refuse("coordinate_transformation_mode", format!("{other} is not supported"), hint);
            None
        }
    }
}

fn interpolation(node: &mut NodeReader, mode: &str, nearest: &str, target: &Target, opset: i64) -> Option<Interpolation> {
    match (mode, nearest) {
        ("linear" | "bilinear", _) => Some(Interpolation::Linear),
        // Before opset 11 there is no attribute; onnxruntime rounds down, and up where the picture gets smaller.
        ("nearest", _) if opset < 11 => {
            let (smaller, larger) =
                (target.scale.iter().any(|&scale| scale < 1.0), target.scale.iter().any(|&scale| scale > 1.0));
            if smaller && larger {
                node.refuse("scales", "make one axis smaller and another larger", "convert the model to opset 11 or later");
                return None;
            }
            Some(if smaller { Interpolation::NearestCeil } else { Interpolation::NearestFloor })
        }
        ("nearest", "round_prefer_floor") => Some(Interpolation::NearestPreferFloor),
        ("nearest", "round_prefer_ceil") => Some(Interpolation::NearestPreferCeil),
        ("nearest", "floor") => Some(Interpolation::NearestFloor),
        ("nearest", "ceil") => Some(Interpolation::NearestCeil),
        ("nearest", other) => {
            let hint = "use round_prefer_floor, round_prefer_ceil, floor or ceil";
            node.refuse("nearest_mode", format!("{other} is unknown"), hint);
            None
        }
        (other, _) => {
            node.refuse("mode", format!("{other} is not supported"), "use nearest or linear");
            None
        }
    }
}

fn by_scales(node: &mut NodeReader, x: &Step, named: &[usize], scales: &[f32]) -> Option<Target> {
    let mut target = Target { size: x.shape.clone(), scale: vec![1.0; x.rank()] };
    let fits = scales.len() == named.len() && scales.iter().all(|&scale| scale.is_finite() && scale > 0.0);
    let sizes: Option<Vec<usize>> = named.iter().zip(scales).map(|(&d, &scale)| scaled_any(x.shape[d], scale)).collect();
    let Some(sizes) = sizes.filter(|_| fits) else {
        node.refuse("scales", format!("{scales:?} do not fit {:?}", x.shape), "give one scale for each dimension");
        return None;
    };
    for (i, &d) in named.iter().enumerate() {
        (target.size[d], target.scale[d]) = (sizes[i], scales[i]);
    }
    Some(target)
}

/// As [`scaled`], of a dimension that may be longer than a picture where it is not scaled.
fn scaled_any(input: usize, scale: f32) -> Option<usize> {
    if scale == 1.0 { Some(input) } else { scaled(input, scale) }
}

fn by_sizes(node: &mut NodeReader, x: &Step, named: &[usize], sizes: &[i64], policy: &str) -> Option<Target> {
    let mut target = Target { size: x.shape.clone(), scale: vec![1.0; x.rank()] };
    let given: Option<Vec<usize>> = sizes.iter().map(|&s| usize::try_from(s).ok().filter(|&s| s > 0)).collect();
    let Some(given) = given.filter(|sizes| sizes.len() == named.len()) else {
        node.refuse("sizes", format!("{sizes:?} do not fit {:?}", x.shape), "give one size for each dimension");
        return None;
    };
    let ratios = named.iter().zip(&given).map(|(&d, &size)| ratio(size, x.shape[d]));
    let common = match policy {
        "stretch" => None,
        "not_larger" => ratios.reduce(f32::min),
        "not_smaller" => ratios.reduce(f32::max),
        other => {
            node.refuse("keep_aspect_ratio_policy", format!("{other} is unknown"), "use stretch, not_larger or not_smaller");
            return None;
        }
    };
    for (&d, &size) in named.iter().zip(&given) {
        let size = match common {
            Some(scale) if scale != 1.0 => rounded(x.shape[d], scale),
            Some(_) => Some(x.shape[d]),
            None => Some(size),
        };
        let Some(size) = size else {
            node.refuse("sizes", format!("{sizes:?} leave nothing of {:?}", x.shape), "give larger sizes");
            return None;
        };
        target.size[d] = size;
        target.scale[d] = common.unwrap_or_else(|| ratio(size, x.shape[d]));
    }
    Some(target)
}

/// The last two dimensions resized, those before them as `[N, C]`.
fn finish(
    node: &mut NodeReader,
    mut steps: Steps,
    x: Step,
    target: Target,
    coordinates: Coordinates,
    interpolation: Interpolation,
) -> Option<Lowered> {
    let before = x.rank().saturating_sub(2);
    let others = target.size[..before] != x.shape[..before] || target.scale[..before].iter().any(|&scale| scale != 1.0);
    if others || !(1..=4).contains(&x.rank()) {
        let reason = format!("from {:?} to {:?} is not supported", x.shape, target.size);
        node.refuse("", reason, "only height and width of [N, C, H, W] can be resized");
        return None;
    }
    if x.elem != Elem::F32 && interpolation == Interpolation::Linear {
        node.refuse("mode", "linear on quantized values is not supported", "resize before QuantizeLinear");
        return None;
    }
    let ones = 4 - x.rank();
    let image = |shape: &[usize]| [&vec![1; ones][..], shape].concat();
    let (size, scale) = (image(&target.size), [vec![1.0; ones], target.scale].concat());
    let resize = Resize { size: [size[2], size[3]], scale: [scale[2], scale[3]], coordinates, interpolation };
    let shape = image(&x.shape);
    let x = steps.reshape(node, x, shape)?;
    let y = steps.add(node, Op::Resize(resize), &[&x], vec![])?;
    let y = steps.reshape(node, y, target.size)?;
    steps.finish(node, y)
}
