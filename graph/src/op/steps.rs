//! The chain of graph nodes that one ONNX node becomes, with the shape of every value on the way.

use super::index;
use crate::graph::{Elem, Op};
use crate::onnx::lowered::{Chain, Lowered, Operand, Param};
use crate::onnx::node::{Input, NodeReader};

/// A value of the chain.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) operand: Operand,
    pub(crate) shape: Vec<usize>,
    pub(crate) elem: Elem,
}

impl Step {
    /// Number of dimensions.
    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }
}

/// Builds a chain.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    chain: Chain,
}

const CHECK: &str = "check the model with onnx.checker (full_check=True)";

impl Steps {
    /// Input `index` of the ONNX node, whatever its elements are; a constant becomes a node of the chain.
    pub(crate) fn input(&mut self, node: &mut NodeReader, index: usize) -> Option<Step> {
        match node.input(index)? {
            Input::Value(id) => Some(Step { operand: Operand::Value(id), shape: node.shape(id).to_vec(), elem: node.elem(id) }),
            Input::Constant => {
                let param = node.floats(index, "input")?;
                self.constant(node, param)
            }
        }
    }

    /// Input `index`, which must be of real numbers.
    pub(crate) fn floats(&mut self, node: &mut NodeReader, index: usize) -> Option<Step> {
        let x = self.input(node, index)?;
        let hint = match x.elem {
            Elem::F32 => return Some(x),
            Elem::U8 | Elem::I8 => "put a DequantizeLinear before it",
            Elem::I64 => "make the indices an output of the network",
        };
        node.refuse("", format!("does not take elements of the type {:?} (input {index})", x.elem), hint);
        None
    }

    /// A parameter as a value.
    pub(crate) fn constant(&mut self, node: &mut NodeReader, param: Param) -> Option<Step> {
        self.add(node, Op::Constant, &[], vec![param])
    }

    /// Adds a node; refuses what does not fit.
    pub(crate) fn add(&mut self, node: &mut NodeReader, op: Op, inputs: &[&Step], params: Vec<Param>) -> Option<Step> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|x| x.shape.as_slice()).collect();
        let tensors: Vec<_> = params.iter().map(|p| &p.tensor).collect();
        let shape = match super::infer(&op, &shapes, &tensors) {
            Ok(shape) => shape,
            Err(reason) => {
                node.refuse("", reason, CHECK);
                return None;
            }
        };
        let elem = super::elem(&op, inputs.first().map(|x| x.elem));
        let operands: Vec<Operand> = inputs.iter().map(|x| x.operand).collect();
        Some(Step { operand: self.chain.add(op, &operands, params), shape, elem })
    }

    /// The value in another shape of as many elements.
    pub(crate) fn reshape(&mut self, node: &mut NodeReader, x: Step, shape: Vec<usize>) -> Option<Step> {
        if x.shape == shape {
            return Some(x);
        }
        self.add(node, Op::Reshape { shape }, &[&x], vec![])
    }

    /// The value with dimensions in another order.
    pub(crate) fn transpose(&mut self, node: &mut NodeReader, x: &Step, perm: Vec<usize>) -> Option<Step> {
        self.add(node, Op::Transpose { perm }, &[x], vec![])
    }

    /// The chain, ending in its output.
    pub(crate) fn finish(self, node: &mut NodeReader, output: Step) -> Option<Lowered> {
        self.finish_all(node, vec![output])
    }

    /// The chain, ending in one output for each of the ONNX node's. An output must be made by the chain, so that it can be named.
    pub(crate) fn finish_all(mut self, node: &mut NodeReader, outputs: Vec<Step>) -> Option<Lowered> {
        let mut operands = vec![];
        for output in outputs {
            let made = match output.operand {
                Operand::Made(_) if !operands.contains(&output.operand) => output,
                Operand::Made(_) | Operand::Value(_) => self.add(node, Op::Identity, &[&output], vec![])?,
            };
            operands.push(made.operand);
        }
        Some(self.chain.finish_all(operands))
    }
}

/// The chain of one node that reads inputs of real numbers and has no parameters.
pub(crate) fn single(node: &mut NodeReader, op: Option<Op>) -> Option<Lowered> {
    let mut steps = Steps::default();
    let x = steps.floats(node, 0);
    let y = steps.add(node, op?, &[&x?], vec![])?;
    steps.finish(node, y)
}

/// The value as `[N, C, H, W]`, where it is that or `[N, C, L]`, which gets a height of 1.
pub(crate) fn image(node: &mut NodeReader, steps: &mut Steps, x: Step) -> Option<Step> {
    match x.shape[..] {
        [_, _, _, _] => Some(x),
        [n, c, l] => steps.reshape(node, x, vec![n, c, 1, l]),
        _ => {
            let reason = format!("needs an input [N, C, H, W] or [N, C, L], got {:?}", x.shape);
            node.refuse("", reason, "only images and signals are supported here");
            None
        }
    }
}

/// What [`image`] made higher, lower again: `rank` is that of the value before.
pub(crate) fn unimage(node: &mut NodeReader, steps: &mut Steps, y: Step, rank: usize) -> Option<Step> {
    match y.shape[..] {
        [n, c, 1, l] if rank == 3 => steps.reshape(node, y, vec![n, c, l]),
        _ => Some(y),
    }
}

/// Refuses a shape with more elements than any constant has that a network is made of.
pub(crate) fn expandable(node: &mut NodeReader, name: &str, shape: &[usize]) -> Option<()> {
    const MOST: usize = 1 << 24;
    if index::elements(shape).is_ok_and(|n| n <= MOST) {
        return Some(());
    }
    node.refuse(name, format!("repeated to {shape:?} it is absurdly large"), CHECK);
    None
}
