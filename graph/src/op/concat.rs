//! Concatenation.

use super::axes::axis;
use super::index;
use super::steps::Steps;
use crate::graph::{Op, Tensor};
use crate::onnx::attributes::size;
use crate::onnx::form::Form;
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;

/// Output shape: the inputs' with their sizes along the axis added up.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(axis: usize, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
    let [first, rest @ ..] = inputs else {
        return Err("has no input".into());
    };
    let mut shape = first.to_vec();
    if axis >= shape.len() {
        return Err(format!("axis {axis} is none of {first:?}"));
    }
    for x in rest {
        let fits = x.len() == shape.len() && (0..x.len()).all(|d| d == axis || x[d] == shape[d]);
        let sum = if fits { shape[axis].checked_add(x[axis]) } else { None };
        shape[axis] = sum.ok_or_else(|| format!("{first:?} and {x:?} do not fit together along axis {axis}"))?;
    }
    Ok(shape)
}

/// The inputs behind each other.
pub fn reference(axis: usize, inputs: &[&Tensor], out_shape: &[usize]) -> Tensor {
    let (outer, ..) = index::around(out_shape, axis);
    let mut data = Vec::with_capacity(out_shape.iter().product());
    for o in 0..outer {
        for x in inputs {
            let block = x.data.len() / outer;
            data.extend_from_slice(&x.data[o * block..(o + 1) * block]);
        }
    }
    Tensor { shape: out_shape.to_vec(), data }
}

/// ONNX `Concat`.
pub(crate) fn to_onnx(axis: usize) -> Form {
    Form::new(vec![size("axis", axis)])
}

/// ONNX `Concat`.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    let mut steps = Steps::default();
    let given = node.int("axis");
    if given.is_none() {
        node.refuse("axis", "is missing", "the file may be damaged; export it again");
    }
    let count = node.inputs().max(1);
    let inputs: Vec<_> = (0..count).map(|index| steps.input(node, index)).collect();
    let inputs = inputs.into_iter().collect::<Option<Vec<_>>>()?;
    if inputs.iter().any(|x| x.elem != inputs[0].elem) {
        let elems: Vec<_> = inputs.iter().map(|x| x.elem).collect();
        node.refuse("", format!("its inputs are of different types, {elems:?}"), "convert all of them to one type");
    }
    let axis = axis(node, "axis", given?, inputs[0].rank())?;
    let y = steps.add(node, Op::Concat { axis }, &inputs.iter().collect::<Vec<_>>(), vec![])?;
    steps.finish(node, y)
}
