//! The one description of a network that every host tool shares.
//!
//! A [`Graph`] is a list of nodes in execution order over single-assignment values. Shapes are those of ONNX: `[N, C, H, W]` or
//! `[N, F]`, with N = 1 (whoever runs it chooses the batch). Parameters carry PyTorch-style names (`features.0.weight`). Nodes are
//! added with [`Graph::add`] and its like, which infer shapes.

mod op;
mod tensor;

pub use op::{Coordinates, Interpolation, Op, Resize};
use staticnet::preprocess::Preprocess;
use std::collections::BTreeMap;
use std::fmt;
pub use tensor::{Codes, Elem, Grid, Tensor};

/// Index of a value (an activation) in [`Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// An activation: its name and shape (`[1, C, H, W]` or `[1, F]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Unique name, kept in ONNX.
    pub name: String,
    /// Dimensions, batch first.
    pub shape: Vec<usize>,
    /// What its elements are in the model.
    pub elem: Elem,
}

impl Value {
    /// Number of elements for one sample.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique name: the PyTorch module path for nodes with parameters (`features.0`).
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Activations it reads.
    pub inputs: Vec<ValueId>,
    /// Names of its parameters in [`Graph::params`]: weight and bias for Conv and Linear, else empty.
    pub params: Vec<String>,
    /// The activation it makes.
    pub output: ValueId,
}

/// A network: nodes in execution order, parameters, and what belongs to the model as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Name of the architecture.
    pub name: String,
    /// All activations.
    pub values: Vec<Value>,
    /// Nodes, each after those whose outputs it reads.
    pub nodes: Vec<Node>,
    /// Network inputs.
    pub inputs: Vec<ValueId>,
    /// Network outputs.
    pub outputs: Vec<ValueId>,
    /// Parameters by name.
    pub params: BTreeMap<String, Tensor>,
    /// The integers of those parameters that the model holds quantized, by the same names.
    pub codes: BTreeMap<String, Codes>,
    /// How a picture becomes the (first) input, where known.
    pub preprocess: Option<Preprocess>,
    /// Class labels, one per output element, where known.
    pub labels: Vec<String>,
}

/// Why a node cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError {
    /// The node.
    pub node: String,
    /// The operator, as ONNX spells it.
    pub op: &'static str,
    /// What does not fit.
    pub reason: String,
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.node, self.op, self.reason)
    }
}

impl std::error::Error for ShapeError {}

impl Graph {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        Graph { name: name.to_string(), ..Graph::default() }
    }

    /// The value behind an id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Shape of a value, `[1, C, H, W]` or `[1, F]`.
    pub fn shape(&self, id: ValueId) -> &[usize] {
        &self.values[id.0].shape
    }

    /// A parameter of a node: 0 is the weight, 1 the bias.
    pub fn param(&self, node: &Node, index: usize) -> Option<&Tensor> {
        node.params.get(index).and_then(|name| self.params.get(name))
    }

    /// The node that makes a value, if any.
    pub fn producer(&self, id: ValueId) -> Option<&Node> {
        self.nodes.iter().find(|n| n.output == id)
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.params.values().map(|t| t.data.len()).sum()
    }
}

impl fmt::Display for Graph {
    /// One line a node: name, operator, inputs, output and its shape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &i in &self.inputs {
            writeln!(f, "input {} {:?}", self.value(i).name, self.shape(i))?;
        }
        for node in &self.nodes {
            let inputs: Vec<&str> = node.inputs.iter().map(|&i| self.value(i).name.as_str()).collect();
            let output = self.value(node.output);
            write!(f, "{} = {:?}({})", output.name, node.op, inputs.join(", "))?;
            writeln!(f, " {:?}", output.shape)?;
        }
        for &o in &self.outputs {
            writeln!(f, "output {}", self.value(o).name)?;
        }
        Ok(())
    }
}
