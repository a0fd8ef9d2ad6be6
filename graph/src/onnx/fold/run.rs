//! Nodes of the graph run on constants.

use crate::graph::{Elem, Tensor, ValueId};
use crate::onnx::lowered::{Operand, Planned};
use crate::onnx::tensor::Constant;
use crate::op::{self, Work, work};

/// Multiplications or comparisons that one node may cost: weights are made in far less.
const MAX_WORK: usize = 1 << 30;

/// Runs a chain whose only value is `x`. `may_fold` counts the elements made and says whether they are too many.
///
/// # Errors
/// A sentence where shapes do not fit or the work is unreasonable.
pub(crate) fn run(
    nodes: &[Planned],
    outputs: &[Operand],
    x: (ValueId, &Tensor),
    may_fold: impl Fn(usize) -> bool,
) -> Result<Vec<Constant>, String> {
    let mut made: Vec<(Tensor, Elem)> = vec![];
    for planned in nodes {
        let inputs: Vec<&Tensor> = planned.inputs.iter().map(|operand| tensor(operand, x, &made)).collect::<Result<_, _>>()?;
        let params: Vec<&Tensor> = planned.params.iter().map(|p| &p.tensor).collect();
        let shapes: Vec<&[usize]> = inputs.iter().map(|t| &t.shape[..]).collect();
        let shape = op::infer(&planned.op, &shapes, &params)?;
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n > 0 && n <= MAX_WORK);
        let elements = elements.ok_or_else(|| format!("a constant of shape {shape:?} is unreasonable"))?;
        let read = inputs.iter().map(|t| t.data.len()).sum::<usize>();
        let (Work::Products(each) | Work::Steps(each)) = work(&planned.op, shapes.first().copied().unwrap_or(&[]), &params);
        if elements.saturating_mul(each).saturating_add(read) > MAX_WORK {
            return Err("computing this constant takes absurdly long".into());
        }
        if !may_fold(elements) {
            return Err(format!("computes {elements} constant elements, which makes too many in all"));
        }
        let result = op::reference(&planned.op, &inputs, &params, &shape);
        made.push((result, op::elem(&planned.op, Some(Elem::F32))));
    }
    let constant = |operand: &Operand| {
        let elem = match operand {
            Operand::Value(_) => Elem::F32,
            Operand::Made(i) => made.get(*i).map_or(Elem::F32, |(_, elem)| *elem),
        };
        let Tensor { shape, data } = tensor(operand, x, &made)?.clone();
        Ok(match elem {
            Elem::F32 => Constant::Float(Tensor { shape, data }),
            Elem::I64 => Constant::Int { shape, data: data.into_iter().map(|v| v as i64).collect() },
            Elem::U8 | Elem::I8 => Constant::Codes { elem, shape, data: data.into_iter().map(|v| v as i32).collect() },
        })
    };
    outputs.iter().map(constant).collect()
}

fn tensor<'a>(operand: &Operand, x: (ValueId, &'a Tensor), made: &'a [(Tensor, Elem)]) -> Result<&'a Tensor, String> {
    let found = match operand {
        Operand::Value(id) => Some(x.1).filter(|_| *id == x.0),
        Operand::Made(i) => made.get(*i).map(|(tensor, _)| tensor),
    };
    found.ok_or_else(|| "reads something that is no constant".to_string())
}
