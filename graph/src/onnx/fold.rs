//! Nodes whose inputs are all known are computed while the model is read: arithmetic of shapes, mostly, and weights that are made
//! instead of stored.

mod arithmetic;
mod moves;
mod run;

pub(super) use run::run;

use super::lowered::Lowered;
use super::node::{Domain, NodeReader};
use super::scope::{Scope, Slot};
use super::tensor::{Constant, plausible, type_name};
use crate::graph::{Elem, Tensor};
use onnx_protobuf::NodeProto;
use onnx_protobuf::tensor_proto::DataType;

/// How a node is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// As nodes of the graph.
    Node,
    /// Computed by [`fold`].
    Fold,
    /// Not at all: what it computes is a constant that nothing reads.
    Skip,
    /// As nodes of the graph that are run at once on the constant that is the first input.
    Run,
}

/// How the node `index` is read.
pub(super) fn plan(scope: &Scope, index: usize, node: &NodeProto) -> Plan {
    let op = node.op_type.as_str();
    if !node.domain_is_onnx() || matches!(op, "Constant" | "QuantizeLinear" | "DequantizeLinear") {
        return Plan::Node;
    }
    if matches!(op, "Shape" | "Size") {
        // The shapes of activations are known as well.
        return Plan::Fold;
    }
    let mut given = node.input.iter().filter(|name| !name.is_empty()).peekable();
    let is_constant = |name: &String| matches!(scope.slot(name, index), Ok(Slot::Initializer(_) | Slot::Constant(..)));
    if given.peek().is_none() || !given.all(is_constant) {
        return Plan::Node;
    }
    if !node.output.iter().any(|name| scope.is_used(name)) {
        return Plan::Skip;
    }
    if moves::OPERATORS.contains(&op) || arithmetic::OPERATORS.contains(&op) || MAKERS.contains(&op) {
        return Plan::Fold;
    }
    let of_floats = match node.input.first().map(|name| scope.slot(name, index)) {
        Some(Ok(Slot::Constant(constant, _))) => matches!(constant, Constant::Float(_) | Constant::Quantized { .. }),
        Some(Ok(Slot::Initializer(proto))) => {
            matches!(protobuf::Enum::from_i32(proto.data_type), Some(DataType::FLOAT | DataType::DOUBLE))
        }
        Some(Ok(Slot::Value(_) | Slot::Spent | Slot::Refused) | Err(_)) | None => false,
    };
    if of_floats { Plan::Run } else { Plan::Node }
}

/// Operators that make a tensor of another kind than their inputs.
const MAKERS: [&str; 3] = ["Cast", "ConstantOfShape", "Range"];

/// Computes the node.
pub(super) fn fold(node: &mut NodeReader) -> Option<Lowered> {
    let constant = match node.op_type() {
        "Shape" => shape(node),
        "Size" => size(node),
        "Cast" => cast(node),
        "ConstantOfShape" => constant_of_shape(node),
        "Range" => range(node),
        op if moves::OPERATORS.contains(&op) => moves::fold(node),
        _ => arithmetic::fold(node),
    };
    constant.map(Lowered::constant)
}

/// What elements cost: there are many weights, but integers are shapes.
#[derive(Clone, Copy)]
enum Cost {
    Weight = 1,
    Integer = 16,
}

impl Cost {
    fn of(constant: &Constant) -> Self {
        match constant {
            Constant::Float(_) | Constant::Quantized { .. } | Constant::Codes { .. } => Cost::Weight,
            Constant::Int { .. } => Cost::Integer,
        }
    }
}

/// Number of elements of a shape that is computed, if it is reasonable.
fn afford(node: &mut NodeReader, shape: &[usize], cost: Cost) -> Option<usize> {
    match plausible(shape) {
        Some(elements) if node.may_fold(elements.saturating_mul(cost as usize)) => Some(elements),
        Some(_) => None,
        None => {
            node.refuse("", format!("{shape:?} is absurdly large"), "the file may be damaged");
            None
        }
    }
}

/// Dimensions as numbers.
fn integers(data: Vec<i64>) -> Constant {
    Constant::Int { shape: vec![data.len()], data }
}

fn shape(node: &mut NodeReader) -> Option<Constant> {
    node.inputs_at_most(1);
    let shape = node.input_shape(0)?;
    let rank = shape.len() as i64;
    let bound = |at: i64| at.saturating_add(if at < 0 { rank } else { 0 }).clamp(0, rank) as usize;
    let (start, end) = (bound(node.int("start").unwrap_or(0)), bound(node.int("end").unwrap_or(rank)));
    Some(integers(shape[start.min(end)..end].iter().map(|&d| d as i64).collect()))
}

fn size(node: &mut NodeReader) -> Option<Constant> {
    node.inputs_at_most(1);
    let elements = node.input_shape(0)?.iter().product::<usize>();
    Some(Constant::Int { shape: vec![], data: vec![elements as i64] })
}

fn cast(node: &mut NodeReader) -> Option<Constant> {
    node.inputs_at_most(1);
    // It is about float8.
    node.int("saturate");
    let to = node.int("to").and_then(|to| i32::try_from(to).ok());
    let constant = node.constant(0, "input")?;
    let shape = constant.shape().to_vec();
    afford(node, &shape, Cost::of(&constant))?;
    let float = matches!(constant, Constant::Float(_) | Constant::Quantized { .. });
    let reals: Vec<f64> = match &constant {
        Constant::Float(tensor) | Constant::Quantized { tensor, .. } => tensor.data.iter().map(|&v| v.into()).collect(),
        Constant::Codes { .. } | Constant::Int { .. } => vec![],
    };
    let ints: Vec<i64> = match constant {
        Constant::Int { data, .. } => data,
        Constant::Codes { data, .. } => data.into_iter().map(i64::from).collect(),
        // Towards 0; beyond the type's range ONNX leaves it open.
        Constant::Float(_) | Constant::Quantized { .. } => reals.iter().map(|&v| v as i64).collect(),
    };
    let codes = |elem, wrap: fn(i64) -> i32| Constant::Codes {
        elem,
        shape: shape.clone(),
        data: ints.iter().map(|&v| wrap(v)).collect(),
    };
    match to.and_then(protobuf::Enum::from_i32) {
        Some(DataType::FLOAT | DataType::DOUBLE) => {
            let data = if float { reals.iter().map(|&v| v as f32).collect() } else { ints.iter().map(|&v| v as f32).collect() };
            Some(Constant::Float(Tensor { shape, data }))
        }
        Some(DataType::INT64) => Some(Constant::Int { shape, data: ints }),
        Some(DataType::INT32) => Some(Constant::Int { shape, data: ints.iter().map(|&v| i64::from(v as i32)).collect() }),
        Some(DataType::BOOL) => {
            let truth = if float {
                reals.iter().map(|&v| i64::from(v != 0.0)).collect()
            } else {
                ints.iter().map(|&v| i64::from(v != 0)).collect()
            };
            Some(Constant::Int { shape, data: truth })
        }
        Some(DataType::UINT8) => Some(codes(Elem::U8, |v| i32::from(v as u8))),
        Some(DataType::INT8) => Some(codes(Elem::I8, |v| i32::from(v as i8))),
        _ => {
            let reason = format!("{} is not supported", type_name(to.unwrap_or_default()));
            node.refuse("to", reason, "constants may be cast to float32, int64, int32, int8, uint8 and bool");
            None
        }
    }
}

/// Sizes, none of them negative.
fn sizes(node: &mut NodeReader, role: &str, values: &[i64]) -> Option<Vec<usize>> {
    let sizes: Option<Vec<usize>> = values.iter().map(|&d| usize::try_from(d).ok()).collect();
    if sizes.is_none() {
        node.refuse(role, format!("{values:?} is no shape"), "the file may be damaged");
    }
    sizes
}

fn constant_of_shape(node: &mut NodeReader) -> Option<Constant> {
    node.inputs_at_most(1);
    let value = if node.has_attribute("value") {
        node.tensor("value")?
    } else {
        Constant::Float(Tensor { shape: vec![1], data: vec![0.0] })
    };
    let shape = node.integers(0, "input")?;
    let shape = sizes(node, "input", &shape)?;
    if value.elements() != 1 {
        node.refuse("value", "is not one element", "the file may be damaged");
        return None;
    }
    let elements = afford(node, &shape, Cost::of(&value))?;
    Some(match value {
        Constant::Float(tensor) | Constant::Quantized { tensor, .. } => {
            Constant::Float(Tensor { shape, data: vec![tensor.data[0]; elements] })
        }
        Constant::Codes { elem, data, .. } => Constant::Codes { elem, shape, data: vec![data[0]; elements] },
        Constant::Int { data, .. } => Constant::Int { shape, data: vec![data[0]; elements] },
    })
}

fn range(node: &mut NodeReader) -> Option<Constant> {
    node.inputs_at_most(3);
    let bounds = [node.constant(0, "start")?, node.constant(1, "limit")?, node.constant(2, "delta")?];
    let (mut floats, mut ints) = (vec![], vec![]);
    for bound in &bounds {
        match bound {
            Constant::Float(tensor) | Constant::Quantized { tensor, .. } => floats.extend(tensor.data.first().copied()),
            Constant::Codes { data, .. } => ints.extend(data.first().map(|&v| i64::from(v))),
            Constant::Int { data, .. } => ints.extend(data.first().copied()),
        }
    }
    let steps = |n: f64| (n.ceil().max(0.0) as usize).min(usize::MAX >> 1);
    match (&floats[..], &ints[..]) {
        (&[start, limit, delta], []) if delta != 0.0 => {
            let n = afford(node, &[steps((f64::from(limit) - f64::from(start)) / f64::from(delta))], Cost::Weight)?;
            Some(Constant::Float(Tensor { shape: vec![n], data: (0..n).map(|i| start + i as f32 * delta).collect() }))
        }
        ([], &[start, limit, delta]) if delta != 0 => {
            let distance = i128::from(limit) - i128::from(start);
            let n = (distance.unsigned_abs()).div_ceil(delta.unsigned_abs().into());
            let n = if (distance > 0) == (delta > 0) { usize::try_from(n).unwrap_or(usize::MAX) } else { 0 };
            let n = afford(node, &[n], Cost::Integer)?;
            Some(integers((0..n).map(|i| start.wrapping_add((i as i64).wrapping_mul(delta))).collect()))
        }
        _ => {
            node.refuse("", "start, limit and delta are not three numbers of one kind, delta not 0", "the file may be damaged");
            None
        }
    }
}
