//! Arithmetic on constants.

use super::moves::Walk;
use super::{Cost, afford};
use crate::graph::Tensor;
use crate::onnx::node::NodeReader;
use crate::onnx::tensor::Constant;
use crate::op::index::broadcast_shape;

/// What [`fold`] computes.
pub(super) const OPERATORS: [&str; 25] = [
    "Abs",
    "Add",
    "And",
    "Ceil",
    "Div",
    "Equal",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "Sqrt",
    "Sub",
];

const DAMAGED: &str = "the file may be damaged; export it again";

/// Elements of either kind.
enum Numbers {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

impl Numbers {
    fn cost(&self) -> Cost {
        match self {
            Numbers::Floats(_) => Cost::Weight,
            Numbers::Ints(_) => Cost::Integer,
        }
    }

    /// The elements in the places that broadcasting gives them.
    fn broadcast(self, from: &[usize], to: &[usize]) -> Self {
        if from == to {
            return self;
        }
        let walk = Walk::broadcast(from, to);
        match self {
            Numbers::Floats(data) => Numbers::Floats(walk.places().map(|place| data[place]).collect()),
            Numbers::Ints(data) => Numbers::Ints(walk.places().map(|place| data[place]).collect()),
        }
    }

    fn constant(self, shape: Vec<usize>) -> Constant {
        match self {
            Numbers::Floats(data) => Constant::Float(Tensor { shape, data }),
            Numbers::Ints(data) => Constant::Int { shape, data },
        }
    }
}

fn numbers(node: &mut NodeReader, index: usize) -> Option<(Vec<usize>, Numbers)> {
    let constant = node.constant(index, "input")?;
    let shape = constant.shape().to_vec();
    let numbers = match constant {
        Constant::Float(tensor) | Constant::Quantized { tensor, .. } => Numbers::Floats(tensor.data),
        Constant::Codes { data, .. } => Numbers::Ints(data.into_iter().map(i64::from).collect()),
        Constant::Int { data, .. } => Numbers::Ints(data),
    };
    Some((shape, numbers))
}

/// Computes the node, all of whose inputs are constants.
pub(super) fn fold(node: &mut NodeReader) -> Option<Constant> {
    match node.op_type() {
        op @ ("Abs" | "Ceil" | "Floor" | "Neg" | "Not" | "Sqrt") => of_one(node, op),
        op @ ("ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceSum") => reduce(node, op),
        op => of_many(node, op),
    }
}

fn of_one(node: &mut NodeReader, op: &str) -> Option<Constant> {
    node.inputs_at_most(1);
    let (shape, x) = numbers(node, 0)?;
    afford(node, &shape, x.cost())?;
    let float: Option<fn(f32) -> f32> = match op {
        "Abs" => Some(f32::abs),
        "Ceil" => Some(f32::ceil),
        "Floor" => Some(f32::floor),
        "Neg" => Some(|v| -v),
        "Sqrt" => Some(f32::sqrt),
        _ => None,
    };
    let int: Option<fn(i64) -> i64> = match op {
        "Abs" => Some(i64::wrapping_abs),
        "Neg" => Some(i64::wrapping_neg),
        "Not" => Some(|v| i64::from(v == 0)),
        _ => None,
    };
    let result = match x {
        Numbers::Floats(data) => float.map(|f| Numbers::Floats(data.into_iter().map(f).collect())),
        Numbers::Ints(data) => int.map(|f| Numbers::Ints(data.into_iter().map(f).collect())),
    };
    if result.is_none() {
        node.refuse("", "is not defined for the type of its input", DAMAGED);
    }
    result.map(|r| r.constant(shape))
}

fn of_many(node: &mut NodeReader, op: &str) -> Option<Constant> {
    let c_like = op == "Mod" && node.flag("fmod");
    if !matches!(op, "Max" | "Min") {
        node.inputs_at_most(2);
    }
    let (mut shape, mut sum) = numbers(node, 0)?;
    for index in 1..node.inputs().max(if matches!(op, "Max" | "Min") { 1 } else { 2 }) {
        let (other, b) = numbers(node, index)?;
        let target = match broadcast_shape(&shape, &other) {
            Ok(target) => target,
            Err(reason) => {
                node.refuse("", reason, DAMAGED);
                return None;
            }
        };
        afford(node, &target, sum.cost())?;
        let (a, b) = (sum.broadcast(&shape, &target), b.broadcast(&other, &target));
        let Some(result) = combine(op, c_like, a, b) else {
            node.refuse("", "the inputs are of different types, or a divisor is 0", DAMAGED);
            return None;
        };
        (shape, sum) = (target, result);
    }
    Some(sum.constant(shape))
}

fn combine(op: &str, c_like: bool, a: Numbers, b: Numbers) -> Option<Numbers> {
    let truth = |data: Vec<bool>| Numbers::Ints(data.into_iter().map(i64::from).collect());
    match (a, b) {
        (Numbers::Floats(a), Numbers::Floats(b)) => {
            let pairs = a.into_iter().zip(b);
            let compare = |f: fn(&f32, &f32) -> bool| Some(truth(pairs.clone().map(|(a, b)| f(&a, &b)).collect()));
            let f: fn(f32, f32) -> f32 = match op {
                "Add" => |a, b| a + b,
                "Sub" => |a, b| a - b,
                "Mul" => |a, b| a * b,
                "Div" => |a, b| a / b,
                "Max" => |a, b| if a > b || a.is_nan() { a } else { b },
                "Min" => |a, b| if a < b || a.is_nan() { a } else { b },
                "Pow" => f32::powf,
                "Mod" if c_like => |a, b| a % b,
                "Equal" => return compare(f32::eq),
                "Greater" => return compare(f32::gt),
                "Less" => return compare(f32::lt),
                "GreaterOrEqual" => return compare(f32::ge),
                "LessOrEqual" => return compare(f32::le),
                _ => return None,
            };
            Some(Numbers::Floats(pairs.map(|(a, b)| f(a, b)).collect()))
        }
        (Numbers::Ints(a), Numbers::Ints(b)) => {
            let f: fn(i64, i64) -> Option<i64> = match op {
                "Add" => |a, b| Some(a.wrapping_add(b)),
                "Sub" => |a, b| Some(a.wrapping_sub(b)),
                "Mul" => |a, b| Some(a.wrapping_mul(b)),
                // Towards 0.
                "Div" => |a, b| (b != 0).then(|| a.wrapping_div(b)),
                "Mod" if c_like => |a, b| (b != 0).then(|| a.wrapping_rem(b)),
                // The sign of the divisor.
                "Mod" => |a, b| (b != 0).then(|| a.wrapping_rem(b).wrapping_add(b).wrapping_rem(b)),
                "Max" => |a, b| Some(a.max(b)),
                "Min" => |a, b| Some(a.min(b)),
                "Pow" => |a, b| u32::try_from(b).ok().map(|b| a.wrapping_pow(b)),
                "Equal" => |a, b| Some((a == b).into()),
                "Greater" => |a, b| Some((a > b).into()),
                "Less" => |a, b| Some((a < b).into()),
                "GreaterOrEqual" => |a, b| Some((a >= b).into()),
                "LessOrEqual" => |a, b| Some((a <= b).into()),
                "And" => |a, b| Some((a != 0 && b != 0).into()),
                "Or" => |a, b| Some((a != 0 || b != 0).into()),
                _ => return None,
            };
            a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect::<Option<_>>().map(Numbers::Ints)
        }
        (Numbers::Floats(_), Numbers::Ints(_)) | (Numbers::Ints(_), Numbers::Floats(_)) => None,
    }
}

fn reduce(node: &mut NodeReader, op: &str) -> Option<Constant> {
    node.inputs_at_most(2);
    let keep = node.int("keepdims").unwrap_or(1) != 0;
    let nothing_is_nothing = node.flag("noop_with_empty_axes");
    let axes = if node.has_input(1) { Some(node.integers(1, "axes")?) } else { node.ints("axes").map(<[i64]>::to_vec) };
    let (shape, x) = numbers(node, 0)?;
    let rank = shape.len() as i64;
    let axes = match axes.filter(|axes| !axes.is_empty()) {
        Some(axes) => axes.iter().map(|&a| if a < 0 { a.saturating_add(rank) } else { a }).collect(),
        None if nothing_is_nothing => vec![],
        None => (0..rank).collect::<Vec<i64>>(),
    };
    if let Some(axis) = axes.iter().find(|a| !(0..rank).contains(*a)) {
        node.refuse("axes", format!("{axis} is no axis of {rank} dimensions"), DAMAGED);
        return None;
    }
    let reduced = |d: usize| axes.contains(&(d as i64));
    let kept: Vec<usize> = (0..shape.len()).map(|d| if reduced(d) { 1 } else { shape[d] }).collect();
    if shape.contains(&0) {
        node.refuse("", "its input is empty", DAMAGED);
        return None;
    }
    let elements = afford(node, &kept, x.cost())?;
    // The place of the result that each element of the input belongs to.
    let walk = Walk::broadcast(&kept, &shape);
    let result = match x {
        Numbers::Floats(data) => {
            let (start, f): (f32, fn(f32, f32) -> f32) = match op {
                "ReduceMax" => (f32::NEG_INFINITY, f32::max),
                "ReduceMin" => (f32::INFINITY, f32::min),
                "ReduceProd" => (1.0, |a, b| a * b),
                _ => (0.0, |a, b| a + b),
            };
            let mut result = vec![start; elements];
            walk.places().zip(data).for_each(|(place, v)| result[place] = f(result[place], v));
            Numbers::Floats(result)
        }
        Numbers::Ints(data) => {
            let (start, f): (i64, fn(i64, i64) -> i64) = match op {
                "ReduceMax" => (i64::MIN, i64::max),
                "ReduceMin" => (i64::MAX, i64::min),
                "ReduceProd" => (1, i64::wrapping_mul),
                _ => (0, i64::wrapping_add),
            };
            let mut result = vec![start; elements];
            walk.places().zip(data).for_each(|(place, v)| result[place] = f(result[place], v));
            Numbers::Ints(result)
        }
    };
    let squeezed = (0..shape.len()).filter(|&d| keep || !reduced(d)).map(|d| kept[d]).collect();
    Some(result.constant(squeezed))
}
