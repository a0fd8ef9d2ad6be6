//! The one description of a network that every host tool shares.
//!
//! A [`Graph`] is a list of nodes in execution order over single-assignment values. Shapes are those of ONNX: `[N, C, H, W]` or
//! `[N, F]`, with N = 1 (whoever runs it chooses the batch). Parameters carry PyTorch-style names (`features.0.weight`).

use staticnet::op::{Conv2d, Lrn, MaxPool};
use staticnet::preprocess::Preprocess;
use std::collections::BTreeMap;
use std::fmt;

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
}

impl Value {
    /// Number of elements for one sample.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A dense f32 array in row-major order; parameters and reference activations.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// `shape.product()` elements.
    pub data: Vec<f32>,
}

impl Tensor {
    /// A tensor of zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        Tensor { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] }
    }
}

/// What a node computes. Parameters are named in [`Node::params`]: weight, then bias, for those that have them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Convolution; weight `[O, C / groups, KH, KW]`, bias `[O]`.
    Conv(Conv2d),
    /// Fully connected `y = W x + b`; weight `[O, I]` as in PyTorch, bias `[O]`. Input `[1, I]`.
    Linear,
    /// Maximum over a window.
    MaxPool(MaxPool),
    /// Local response normalisation across channels.
    Lrn(Lrn),
    /// `max(x, 0)`.
    Relu,
    /// Drops with this probability while training (scaling the rest by `1 / (1 - ratio)`); the identity otherwise.
    Dropout {
        /// Probability of dropping an element.
        ratio: f32,
    },
    /// `[1, C, H, W]` to `[1, C * H * W]`.
    Flatten,
    /// Passes its input on.
    Identity,
}

impl Op {
    /// The operator's name as ONNX spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv(_) => "Conv",
            Op::Linear => "Gemm",
            Op::MaxPool(_) => "MaxPool",
            Op::Lrn(_) => "LRN",
            Op::Relu => "Relu",
            Op::Dropout { .. } => "Dropout",
            Op::Flatten => "Flatten",
            Op::Identity => "Identity",
        }
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

    /// Declares a network input.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> ValueId {
        let id = self.add_value(name, shape.to_vec());
        self.inputs.push(id);
        id
    }

    /// Declares a network output.
    pub fn output(&mut self, id: ValueId) {
        self.outputs.push(id);
    }

    fn add_value(&mut self, name: &str, shape: Vec<usize>) -> ValueId {
        self.values.push(Value { name: name.to_string(), shape });
        ValueId(self.values.len() - 1)
    }

    /// Adds a node whose parameters are in [`Graph::params`] already, inferring its output's shape; the output is named after the
    /// node.
    ///
    /// # Errors
    /// [`ShapeError`] where inputs, parameters and attributes do not fit together.
    pub fn add(&mut self, name: &str, op: Op, inputs: &[ValueId], params: &[String]) -> Result<ValueId, ShapeError> {
        self.add_named(name, op, inputs, params, name)
    }

    /// As [`Graph::add`], with a name for the output value.
    ///
    /// # Errors
    /// [`ShapeError`] where inputs, parameters and attributes do not fit together.
    pub fn add_named(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[ValueId],
        params: &[String],
        output: &str,
    ) -> Result<ValueId, ShapeError> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|&i| self.shape(i)).collect();
        let weights: Vec<&Tensor> = params.iter().filter_map(|p| self.params.get(p)).collect();
        let shape = crate::op::infer(&op, &shapes, &weights).map_err(|reason| ShapeError {
            node: name.to_string(),
            op: op.name(),
            reason,
        })?;
        if weights.len() != params.len() {
            return Err(ShapeError { node: name.to_string(), op: op.name(), reason: "a parameter is missing".into() });
        }
        let output = self.add_value(output, shape);
        self.nodes.push(Node { name: name.to_string(), op, inputs: inputs.to_vec(), params: params.to_vec(), output });
        Ok(output)
    }

    fn zero_params(&mut self, name: &str, weight: &[usize], out: usize) -> Vec<String> {
        let names = vec![format!("{name}.weight"), format!("{name}.bias")];
        self.params.insert(names[0].clone(), Tensor::zeros(weight));
        self.params.insert(names[1].clone(), Tensor::zeros(&[out]));
        names
    }

    /// Adds a convolution with zero parameters `NAME.weight` and `NAME.bias`.
    ///
    /// # Errors
    /// [`ShapeError`] where the attributes do not fit the input.
    pub fn conv(&mut self, name: &str, x: ValueId, out: usize, attrs: Conv2d) -> Result<ValueId, ShapeError> {
        let channels = self.shape(x).get(1).copied().unwrap_or(0);
        let groups = (attrs.groups as usize).max(1);
        let [kh, kw] = attrs.window.kernel;
        let params = self.zero_params(name, &[out, channels / groups, kh as usize, kw as usize], out);
        self.add(name, Op::Conv(attrs), &[x], &params)
    }

    /// Adds a fully connected layer with zero parameters `NAME.weight` and `NAME.bias`.
    ///
    /// # Errors
    /// [`ShapeError`] where the input is not flat.
    pub fn linear(&mut self, name: &str, x: ValueId, out: usize) -> Result<ValueId, ShapeError> {
        let features = self.shape(x).get(1).copied().unwrap_or(0);
        let params = self.zero_params(name, &[out, features], out);
        self.add(name, Op::Linear, &[x], &params)
    }

    /// Multiply-accumulate operations of a node for one sample.
    pub fn macs(&self, node: &Node) -> u64 {
        match node.op {
            Op::Conv(_) => {
                let out: usize = self.shape(node.output)[1..].iter().product();
                let per: usize = self.param(node, 0).map_or(0, |w| w.shape[1..].iter().product());
                out as u64 * per as u64
            }
            Op::Linear => self.param(node, 0).map_or(0, |w| w.data.len() as u64),
            Op::MaxPool(_) | Op::Lrn(_) | Op::Relu | Op::Dropout { .. } | Op::Flatten | Op::Identity => 0,
        }
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
