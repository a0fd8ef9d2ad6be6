//! Real numbers as integers: ONNX `QuantizeLinear` and `DequantizeLinear` read, grids checked.

use crate::graph::{Codes, Elem, Grid, Op};
use crate::onnx::lowered::Lowered;
use crate::onnx::node::{Input, NodeReader};
use crate::onnx::tensor::Constant;

const INT8: &str = "quantize the model to int8 or uint8, with one scale for each tensor or channel";
/// ONNX's numbers of the types that `output_dtype` may name.
const FLOAT: i64 = 1;
const UINT8: i64 = 2;
const INT8_TYPE: i64 = 3;

/// The scales and zero points of a node, whatever they are for.
struct Scales {
    /// None where the model leaves the zero point out.
    elem: Option<Elem>,
    scale: Vec<f32>,
    zero_point: Vec<i32>,
    axis: Option<usize>,
}

/// Inputs 1 and 2 for a tensor of the given shape.
fn scales(node: &mut NodeReader, shape: &[usize], integers: bool) -> Option<Scales> {
    let axis = node.int("axis").unwrap_or(1);
    if node.int("block_size").unwrap_or(0) != 0 {
        node.refuse("block_size", "scales of blocks are not supported", INT8);
    }
    let scale = match node.constant(1, "scale")? {
        Constant::Float(tensor) | Constant::Quantized { tensor, .. } => tensor,
        Constant::Codes { .. } | Constant::Int { .. } => {
            node.refuse("scale", "is not of float32", INT8);
            return None;
        }
    };
    let zero = if node.has_input(2) { Some(node.constant(2, "zero_point")?) } else { None };
    let (elem, zero_point) = match zero {
        None => (None, vec![0; scale.data.len()]),
        Some(Constant::Codes { elem, data, .. }) => (Some(elem), data),
        // Biases of int32 have none; some models write the 0 down.
        Some(Constant::Int { data, .. }) if integers && data.iter().all(|&z| z == 0) => (None, vec![0; data.len()]),
        Some(Constant::Int { .. } | Constant::Float(_) | Constant::Quantized { .. }) => {
            node.refuse("zero_point", "is neither int8 nor uint8", INT8);
            return None;
        }
    };
    if let Some(bad) = scale.data.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
        node.refuse("scale", format!("{bad} is not a positive number"), "the file may be damaged; quantize the model again");
        return None;
    }
    if zero_point.len() != scale.data.len() {
        let reason = format!("{} are given for {} scales", zero_point.len(), scale.data.len());
        node.refuse("zero_point", reason, "the file may be damaged; quantize the model again");
        return None;
    }
    let axis = match (&scale.shape[..], &scale.data[..]) {
        (_, [_]) => None,
        (&[many], _) => {
            let rank = shape.len() as i64;
            let from_zero = axis.checked_add(if axis < 0 { rank } else { 0 }).and_then(|a| usize::try_from(a).ok());
            let along = from_zero.filter(|&a| shape.get(a) == Some(&many));
            if along.is_none() {
                node.refuse("scale", format!("{many} scales along axis {axis} do not fit the shape {shape:?}"), INT8);
            }
            Some(along?)
        }
        (other, _) => {
            node.refuse("scale", format!("scales of shape {other:?} are not supported"), INT8);
            return None;
        }
    };
    Some(Scales { elem, scale: scale.data, zero_point, axis })
}

/// Accepts or refuses the type that the output should have.
fn output_type(node: &mut NodeReader, allowed: &[i64]) -> i64 {
    let named = node.int("output_dtype").unwrap_or(0);
    if named != 0 && !allowed.contains(&named) {
        let name = i32::try_from(named).map_or_else(|_| named.to_string(), crate::onnx::tensor::type_name);
        node.refuse("output_dtype", format!("{name} is not supported"), INT8);
    }
    named
}

/// ONNX `DequantizeLinear`.
pub(crate) fn dequantize_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(3);
    output_type(node, &[FLOAT]);
    let shape = node.input_shape(0)?;
    match node.input(0)? {
        Input::Value(x) => {
            let Scales { elem, scale, zero_point, axis } = scales(node, &shape, false)?;
            let found = node.elem(x);
            if !found.is_quantized() || elem.is_some_and(|e| e != found) {
                let wanted = elem.map_or("uint8 or int8".to_string(), |e| format!("{e:?}"));
                node.refuse(
                    "x",
                    format!("its elements are {found:?}, not {wanted}"),
                    "the file may be damaged; quantize it again",
                );
                return None;
            }
            Some(Lowered::node(Op::Dequantize(Grid { elem: found, scale, zero_point, axis }), x, vec![]))
        }
        Input::Constant => {
            let (found, codes) = match node.constant(0, "x")? {
                Constant::Codes { elem, data, .. } => (Some(elem), data),
                Constant::Int { data, .. } => {
                    let narrow: Option<Vec<i32>> = data.iter().map(|&v| i32::try_from(v).ok()).collect();
                    if narrow.is_none() {
                        node.refuse("x", "is not of int32", INT8);
                    }
                    (None, narrow?)
                }
                Constant::Float(_) | Constant::Quantized { .. } => {
                    node.refuse("x", "is of real numbers already", "the file may be damaged; quantize the model again");
                    return None;
                }
            };
            let Scales { elem, scale, zero_point, axis } = scales(node, &shape, found.is_none())?;
            if elem.is_some() && elem != found {
                node.refuse("zero_point", "has another type than x", "the file may be damaged; quantize the model again");
                return None;
            }
            let codes = Codes { codes, scale, zero_point, axis };
            let tensor = codes.dequantize(&shape);
            Some(Lowered::constant(Constant::Quantized { tensor, codes }))
        }
    }
}

/// ONNX `QuantizeLinear`.
pub(crate) fn quantize_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(3);
    let named = output_type(node, &[UINT8, INT8_TYPE]);
    // It and `precision` are about float8 and about blocks, which are refused by their types.
    node.int("saturate");
    if node.int("precision").unwrap_or(0) > FLOAT {
        node.refuse("precision", "only float32 is supported", INT8);
    }
    let shape = node.input_shape(0)?;
    let x = node.input(0)?;
    let Scales { elem, scale, zero_point, axis } = scales(node, &shape, false)?;
    let from_attribute = match named {
        UINT8 => Some(Elem::U8),
        INT8_TYPE => Some(Elem::I8),
        _ => None,
    };
    let elem = elem.or(from_attribute).unwrap_or(Elem::U8);
    if from_attribute.is_some_and(|named| named != elem) {
        node.refuse("output_dtype", "is not the zero point's type", "the file may be damaged; quantize the model again");
    }
    match x {
        Input::Value(x) => {
            if node.elem(x) != Elem::F32 {
                node.refuse("x", format!("its elements are {:?}, not float32", node.elem(x)), "quantize real numbers only");
                return None;
            }
            Some(Lowered::node(Op::Quantize(Grid { elem, scale, zero_point, axis }), x, vec![]))
        }
        Input::Constant => {
            let tensor = node.floats(0, "x")?.tensor;
            let codes = Codes { codes: vec![], scale, zero_point, axis };
            let [lo, hi] = if elem == Elem::U8 { [0.0, 255.0] } else { [-128.0, 127.0] };
            let code = |(i, v): (usize, &f32)| {
                let index = codes.index(&shape, i);
                // Saturates; a NaN becomes 0.
                ((v / codes.scale[index]).round_ties_even() + codes.zero_point[index] as f32).clamp(lo, hi) as i32
            };
            let data = tensor.data.iter().enumerate().map(code).collect();
            Some(Lowered::constant(Constant::Codes { elem, shape, data }))
        }
    }
}
