//! What one node of an ONNX file becomes: nodes of the graph, or constants.

use super::tensor::Constant;
use crate::graph::{Codes, Op, Tensor, ValueId};

/// A parameter and the name it should have.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) tensor: Tensor,
    /// Its integers, where the model holds it quantized.
    pub(crate) codes: Option<Codes>,
}

impl Param {
    /// A parameter of f32.
    pub(crate) fn new(name: String, tensor: Tensor) -> Self {
        Param { name, tensor, codes: None }
    }
}

/// What a planned node reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A value of the graph.
    Value(ValueId),
    /// The output of another node of the same chain, by its place in it.
    Made(usize),
}

/// A node of the graph to be made.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<Operand>,
    pub(crate) params: Vec<Param>,
}

/// The nodes of the graph that one ONNX node becomes, in order.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    nodes: Vec<Planned>,
}

impl Chain {
    /// Adds a node and returns its output.
    pub(crate) fn add(&mut self, op: Op, inputs: &[Operand], params: Vec<Param>) -> Operand {
        self.nodes.push(Planned { op, inputs: inputs.to_vec(), params });
        Operand::Made(self.nodes.len() - 1)
    }

    /// The chain with one output.
    pub(crate) fn finish(self, output: Operand) -> Lowered {
        self.finish_all(vec![output])
    }

    /// The chain with one output for each of the ONNX node's.
    pub(crate) fn finish_all(self, outputs: Vec<Operand>) -> Lowered {
        Lowered::Nodes { nodes: self.nodes, outputs, absorbs: None }
    }
}

/// What an ONNX node becomes.
#[derive(Debug)]
pub(crate) enum Lowered {
    /// Nodes of the graph.
    Nodes {
        /// In order.
        nodes: Vec<Planned>,
        /// What stands for each of the ONNX node's outputs; fewer where the rest is not supported.
        outputs: Vec<Operand>,
        /// Another ONNX node that they do the work of, whose output they make.
        absorbs: Option<usize>,
    },
    /// Constants, one for each output.
    Constants(Vec<Constant>),
}

impl Lowered {
    /// One node of one input.
    pub(crate) fn node(op: Op, x: ValueId, params: Vec<Param>) -> Self {
        let mut chain = Chain::default();
        let output = chain.add(op, &[Operand::Value(x)], params);
        chain.finish(output)
    }

    /// One constant.
    pub(crate) fn constant(constant: Constant) -> Self {
        Lowered::Constants(vec![constant])
    }

    /// The same, doing the work of the ONNX node `other` too.
    pub(crate) fn absorbing(self, other: Option<usize>) -> Self {
        match self {
            Lowered::Nodes { nodes, outputs, .. } => Lowered::Nodes { nodes, outputs, absorbs: other },
            Lowered::Constants(constants) => Lowered::Constants(constants),
        }
    }
}
