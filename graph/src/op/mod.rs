//! One file an operator (or a few that are alike): output shape, f32 reference, and its form in ONNX.

pub(crate) mod axes;
pub mod batch_norm;
pub mod binary;
pub mod concat;
pub mod constant;
pub mod conv;
pub mod dropout;
pub mod grid;
pub(crate) mod index;
pub mod linear;
pub mod lrn;
pub mod matmul;
mod names;
pub mod pad;
pub(crate) mod param;
pub mod pool;
pub mod prelu;
pub(crate) mod quantized;
pub mod reduce;
pub mod relu;
pub mod reshape;
pub mod resize;
pub(crate) mod resize_onnx;
pub mod slice;
pub mod softmax;
pub(crate) mod steps;
pub mod transpose;
pub mod unary;
pub(crate) mod window;

use crate::graph::{Elem, Interpolation, Op, Tensor};
use crate::onnx::form::Form;
pub use index::MAX_RANK;
pub(crate) use names::from_onnx;
use staticnet::op::{AveragePool, LpPool, MaxPool, PadMode, Window};

/// The shape that `op` makes of inputs of the given shapes and parameters.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(op: &Op, inputs: &[&[usize]], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let one = || given::<1>(inputs).map(|[x]| x);
    let shape = match op {
        Op::Conv(attrs) => conv::infer(attrs, one()?, params)?,
        Op::Linear => linear::infer(one()?, params)?,
        Op::MatMul => matmul::infer(one()?, params)?,
        Op::MaxPool(attrs) => pool::infer(&attrs.window, one()?)?,
        Op::AveragePool(attrs) => pool::infer_average(attrs, one()?)?,
        Op::LpPool(attrs) => pool::infer(&attrs.window, one()?)?,
        Op::Lrn(attrs) => lrn::infer(attrs, one()?)?,
        Op::BatchNorm { .. } => batch_norm::infer(one()?, params)?,
        Op::Relu | Op::Unary(_) | Op::Dropout { .. } | Op::Identity => one()?.to_vec(),
        Op::PRelu => prelu::infer(one()?, params)?,
        Op::Softmax { axis } => softmax::infer(*axis, one()?)?,
        Op::Binary(_) => given(inputs).and_then(|[a, b]| binary::infer(a, b))?,
        Op::Concat { axis } => concat::infer(*axis, inputs)?,
        Op::Slice { start, step, len } => slice::infer(start, step, len, one()?)?,
        Op::Reshape { shape } => reshape::infer_reshape(shape, one()?)?,
        Op::Flatten => reshape::infer_flatten(one()?)?,
        Op::Transpose { perm } => transpose::infer(perm, one()?)?,
        Op::Pad { before, after, mode, .. } => pad::infer(before, after, *mode, one()?)?,
        Op::ReduceMean { axes, keep } => reduce::infer(axes, *keep, one()?)?,
        Op::ArgMax { axis, keep, .. } => reduce::infer(&[*axis], *keep, one()?)?,
        Op::Resize(resize) => resize::infer(resize, one()?)?,
        Op::Constant => constant::infer(inputs, params)?,
        Op::Quantize(grid) | Op::Dequantize(grid) => grid::infer(grid, one()?)?,
    };
    if shape.len() > MAX_RANK {
        return Err(format!("its output {shape:?} has more than {MAX_RANK} dimensions"));
    }
    if shape.contains(&0) {
        return Err(format!("its output {shape:?} is empty"));
    }
    index::elements(&shape)?;
    Ok(shape)
}

/// The inputs, which must be so many.
fn given<'a, const COUNT: usize>(inputs: &[&'a [usize]]) -> Result<[&'a [usize]; COUNT], String> {
    let noun = if COUNT == 1 { "input" } else { "inputs" };
    inputs.try_into().map_err(|_| format!("takes {COUNT} {noun}, given {}", inputs.len()))
}

/// What an operator does with the elements of its inputs.
enum Elements {
    /// Computes real numbers from real numbers.
    Computed,
    /// Passes them on or chooses among them, whatever they stand for: codes as well, and indices where it says so.
    Moved { indices: bool },
    /// Compares real numbers or codes, and says where one is.
    Found,
    /// Real numbers to codes of this type.
    Quantized(Elem),
    /// Codes to real numbers.
    Dequantized,
}

fn elements(op: &Op) -> Elements {
    match op {
        Op::Conv(_) | Op::Linear | Op::MatMul | Op::AveragePool(_) | Op::Lrn(_) | Op::BatchNorm { .. } => Elements::Computed,
        Op::Relu | Op::Unary(_) | Op::PRelu | Op::Softmax { .. } | Op::Binary(_) => Elements::Computed,
        Op::LpPool(_) | Op::ReduceMean { .. } | Op::Constant => Elements::Computed,
        Op::Concat { .. } | Op::Slice { .. } | Op::Reshape { .. } | Op::Transpose { .. } => Elements::Moved { indices: true },
        Op::Flatten | Op::Identity => Elements::Moved { indices: true },
        // What lies outside of a padded value is a code then as well.
        Op::MaxPool(_) | Op::Pad { .. } | Op::Dropout { .. } => Elements::Moved { indices: false },
        Op::Resize(resize) if resize.interpolation == Interpolation::Linear => Elements::Computed,
        Op::Resize(_) => Elements::Moved { indices: false },
        Op::ArgMax { .. } => Elements::Found,
        Op::Quantize(grid) => Elements::Quantized(grid.elem),
        Op::Dequantize(_) => Elements::Dequantized,
    }
}

/// Element type of the output of `op`, given that of its first input.
pub fn elem(op: &Op, x: Option<Elem>) -> Elem {
    match elements(op) {
        Elements::Computed | Elements::Dequantized => Elem::F32,
        Elements::Moved { .. } => x.unwrap_or_default(),
        Elements::Found => Elem::I64,
        Elements::Quantized(elem) => elem,
    }
}

/// Whether `op` takes inputs of these elements.
pub(crate) fn takes(op: &Op, elem: Elem) -> bool {
    match (elem, elements(op)) {
        (Elem::F32, Elements::Computed | Elements::Moved { .. } | Elements::Found | Elements::Quantized(_)) => true,
        (Elem::F32, Elements::Dequantized) => false,
        (Elem::U8 | Elem::I8, Elements::Moved { .. } | Elements::Found | Elements::Dequantized) => true,
        (Elem::U8 | Elem::I8, Elements::Computed | Elements::Quantized(_)) => false,
        (Elem::I64, Elements::Moved { indices }) => indices,
        (Elem::I64, Elements::Computed | Elements::Found | Elements::Quantized(_) | Elements::Dequantized) => false,
    }
}

/// How an operator sees the batch, which is the first dimension of its inputs and its output.
pub(crate) enum Batch {
    /// It treats each sample on its own.
    Each,
    /// The same, if its first parameter is the same for all of them.
    EachByParameter,
    /// The same, constants among its inputs being repeated for each sample.
    Repeated,
    /// It mixes samples, or there is no batch.
    Mixed,
}

/// How `op` sees the batch of an input of the shape `x`.
pub(crate) fn batch(op: &Op, x: &[usize]) -> Batch {
    let each = |condition: bool| if condition { Batch::Each } else { Batch::Mixed };
    match op {
        Op::Conv(_) | Op::MaxPool(_) | Op::AveragePool(_) | Op::Lrn(_) | Op::BatchNorm { .. } | Op::Flatten => Batch::Each,
        Op::LpPool(_) | Op::Relu | Op::Unary(_) | Op::Dropout { .. } | Op::Identity => Batch::Each,
        Op::Linear => each(x.len() > 1),
        Op::MatMul | Op::PRelu => Batch::EachByParameter,
        Op::Softmax { axis } | Op::Concat { axis } | Op::ArgMax { axis, .. } => each(*axis > 0),
        Op::Binary(_) => Batch::Repeated,
        Op::Slice { start, step, len } => each(!x.is_empty() && slice::is_whole(start, step, len, x, 0)),
        Op::Reshape { shape } => each(reshape::keeps_batch(shape, x)),
        Op::Transpose { perm } => each(perm.first() == Some(&0)),
        Op::Pad { before, after, .. } => each(before.first() == Some(&0) && after.first() == Some(&0)),
        Op::ReduceMean { axes, .. } => each(!axes.contains(&0)),
        Op::Resize(resize) => each(resize_onnx::keeps_batch(resize, x)),
        Op::Quantize(grid) | Op::Dequantize(grid) => each(grid.axis != Some(0)),
        Op::Constant => Batch::Mixed,
    }
}

/// What one element of an output costs.
pub(crate) enum Work {
    /// Multiplications with parameters, each with an addition.
    Products(usize),
    /// Anything else, about as much as so many additions.
    Steps(usize),
}

/// What one element of the output of `op` costs, for an input of the shape `x`.
pub(crate) fn work(op: &Op, x: &[usize], params: &[&Tensor]) -> Work {
    let area = |window: &Window| window.kernel.map(usize::from).iter().product();
    match op {
        Op::Conv(_) => Work::Products(params.first().map_or(0, |weight| weight.shape.iter().skip(1).product())),
        Op::Linear | Op::MatMul => Work::Products(x.last().copied().unwrap_or(1)),
        Op::MaxPool(MaxPool { window }) | Op::AveragePool(AveragePool { window, .. }) | Op::LpPool(LpPool { window, .. }) => {
            Work::Steps(area(window))
        }
        Op::Lrn(lrn) => Work::Steps(lrn.size.into()),
        Op::Softmax { .. } | Op::Resize(_) => Work::Steps(4),
        Op::BatchNorm { .. } | Op::Relu | Op::Unary(_) | Op::PRelu | Op::Binary(_) | Op::Concat { .. } => Work::Steps(1),
        Op::Slice { .. } | Op::Reshape { .. } | Op::Flatten | Op::Transpose { .. } | Op::Pad { .. } => Work::Steps(1),
        Op::ReduceMean { .. } | Op::ArgMax { .. } | Op::Constant | Op::Dropout { .. } | Op::Identity => Work::Steps(1),
        Op::Quantize(_) | Op::Dequantize(_) => Work::Steps(1),
    }
}

/// Runs `op` in f32: the plain loops that everything else is held against. Shapes are those that [`infer`] has taken and made.
pub fn reference(op: &Op, inputs: &[&Tensor], params: &[&Tensor], out_shape: &[usize]) -> Tensor {
    let same = |x: &Tensor| Tensor { shape: out_shape.to_vec(), data: x.data.clone() };
    match op {
        Op::Conv(attrs) => conv::reference(attrs, inputs[0], params, out_shape),
        Op::Linear => linear::reference(inputs[0], params, out_shape),
        Op::MatMul => matmul::reference(inputs[0], params, out_shape),
        Op::MaxPool(attrs) => pool::max_reference(attrs, inputs[0], out_shape),
        Op::AveragePool(attrs) => pool::average_reference(attrs, inputs[0], out_shape),
        Op::LpPool(attrs) => pool::lp_reference(attrs, inputs[0], out_shape),
        Op::Lrn(attrs) => lrn::reference(attrs, inputs[0]),
        Op::BatchNorm { epsilon } => batch_norm::reference(*epsilon, inputs[0], params),
        Op::Relu => relu::reference(inputs[0]),
        Op::Unary(function) => unary::reference(*function, inputs[0]),
        Op::PRelu => prelu::reference(inputs[0], params),
        Op::Softmax { axis } => softmax::reference(*axis, inputs[0]),
        Op::Binary(op) => binary::reference(*op, inputs[0], inputs[1], out_shape),
        Op::Concat { axis } => concat::reference(*axis, inputs, out_shape),
        Op::Slice { start, step, .. } => slice::reference(start, step, inputs[0], out_shape),
        Op::Transpose { perm } => transpose::reference(perm, inputs[0]),
        Op::Pad { before, mode, value, .. } => pad::reference(before, *mode, *value, inputs[0], out_shape),
        Op::ReduceMean { axes, .. } => reduce::mean_reference(axes, inputs[0], out_shape),
        Op::ArgMax { axis, last, .. } => reduce::arg_max_reference(*axis, *last, inputs[0], out_shape),
        Op::Resize(resize) => resize::reference(resize, inputs[0], out_shape),
        Op::Constant => same(params[0]),
        Op::Quantize(grid) => grid::quantize_reference(grid, inputs[0]),
        Op::Dequantize(grid) => grid::dequantize_reference(grid, inputs[0]),
        Op::Reshape { .. } | Op::Dropout { .. } | Op::Flatten | Op::Identity => same(inputs[0]),
    }
}

/// The first operator set that has `op` as [`to_onnx`] writes it for an input of the shape `x`; 13 for most.
pub(crate) fn opset(op: &Op, x: &[usize]) -> i64 {
    match op {
        Op::Unary(function) => unary::opset(*function),
        Op::AveragePool(attrs) if attrs.window.dilation != [1, 1] => 19,
        Op::LpPool(attrs) if attrs.window.dilation != [1, 1] => 18,
        Op::Pad { mode: PadMode::Wrap, .. } => 19,
        Op::Resize(resize) => resize_onnx::opset(resize, x),
        Op::Conv(_) | Op::Linear | Op::MatMul | Op::MaxPool(_) | Op::AveragePool(_) | Op::Lrn(_) | Op::BatchNorm { .. } => 13,
        Op::LpPool(_) | Op::Relu | Op::PRelu | Op::Softmax { .. } | Op::Binary(_) | Op::Concat { .. } | Op::Slice { .. } => 13,
        Op::Reshape { .. } | Op::Transpose { .. } | Op::Pad { .. } | Op::ReduceMean { .. } | Op::ArgMax { .. } => 13,
        Op::Constant | Op::Quantize(_) | Op::Dequantize(_) | Op::Dropout { .. } | Op::Flatten | Op::Identity => 13,
    }
}

/// The form of `op` for an operator set and an input of the shape `x`.
///
/// # Errors
/// Where ONNX has no such operator, in words.
pub(crate) fn to_onnx(op: &Op, x: &[usize], opset: i64) -> Result<Form, String> {
    Ok(match op {
        Op::Conv(attrs) => conv::to_onnx(attrs),
        Op::Linear => linear::to_onnx(x),
        Op::MatMul => matmul::to_onnx(),
        Op::MaxPool(attrs) => pool::max_to_onnx(attrs),
        Op::AveragePool(attrs) => pool::average_to_onnx(attrs, x)?,
        Op::LpPool(attrs) => pool::lp_to_onnx(attrs),
        Op::Lrn(attrs) => lrn::to_onnx(attrs),
        Op::BatchNorm { epsilon } => batch_norm::to_onnx(*epsilon),
        Op::Relu => relu::to_onnx(),
        Op::Unary(function) => unary::to_onnx(*function),
        Op::PRelu => prelu::to_onnx(),
        Op::Softmax { axis } => softmax::to_onnx(*axis),
        Op::Binary(_) => binary::to_onnx(),
        Op::Concat { axis } => concat::to_onnx(*axis),
        Op::Slice { start, step, len } => slice::to_onnx(start, step, len, x),
        Op::Reshape { shape } => reshape::reshape_to_onnx(shape, x),
        Op::Transpose { perm } => transpose::to_onnx(perm),
        Op::Pad { before, after, mode, value } => pad::to_onnx(before, after, *mode, *value),
        Op::ReduceMean { axes, keep } => reduce::mean_to_onnx(axes, *keep, opset),
        Op::ArgMax { axis, keep, last } => reduce::arg_max_to_onnx(*axis, *keep, *last),
        Op::Resize(resize) => resize_onnx::to_onnx(resize, x)?,
        Op::Quantize(grid) | Op::Dequantize(grid) => grid::to_onnx(grid),
        Op::Dropout { ratio } => dropout::to_onnx(*ratio),
        Op::Flatten => reshape::flatten_to_onnx(),
        Op::Constant | Op::Identity => reshape::identity_to_onnx(),
    })
}
