//! The one description of a network that every host tool shares.
//!
//! A [`Graph`] is a list of nodes in execution order over single-assignment values. Shapes are those of ONNX: `[N, C, H, W]` or
//! `[N, F]`, with N = 1 (whoever runs it chooses the batch). Parameters carry PyTorch-style names (`features.0.weight`).

use staticnet::op::{AveragePool, BinaryOp, Conv2d, Function, Lrn, MaxPool, PadMode};
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
    /// What its elements are in the model.
    pub elem: Elem,
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

/// Element type of a value in the model. Whatever it is, the reference holds the numbers as f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Elem {
    /// binary32.
    #[default]
    F32,
    /// Quantized, unsigned.
    U8,
    /// Quantized, signed.
    I8,
    /// Indices.
    I64,
}

/// How real numbers are written as integers in an already quantized model: real = scale * (code - zero_point).
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Type of the codes: [`Elem::U8`] or [`Elem::I8`].
    pub elem: Elem,
    /// One for the whole tensor, or one for each index of `axis`.
    pub scale: Vec<f32>,
    /// As many as scales.
    pub zero_point: Vec<i32>,
    /// The axis that scales and zero points run along, where there are several.
    pub axis: Option<usize>,
}

/// The integers of a parameter that the model holds quantized. The parameter itself holds the real numbers that they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    /// As many as the parameter has elements: u8, i8, or i32 for biases.
    pub codes: Vec<i32>,
    /// One for the whole parameter, or one for each index of `axis`.
    pub scale: Vec<f32>,
    /// As many as scales.
    pub zero_point: Vec<i32>,
    /// The axis that scales and zero points run along, where there are several.
    pub axis: Option<usize>,
}

/// How the pixels of an ONNX `Resize` are found. `x` is the output pixel, `s` the scale (output / input).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// `(x + 0.5) / s - 0.5`.
    HalfPixel,
    /// Half pixel around the centre of the unrounded output.
    HalfPixelSymmetric,
    /// Half pixel, 0 where the output is a single pixel.
    PytorchHalfPixel,
    /// `x * (input - 1) / (output - 1)`.
    AlignCorners,
    /// `x / s`.
    Asymmetric,
}

/// How an ONNX `Resize` reads between pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest pixel; of two equally near the left one.
    NearestPreferFloor,
    /// The nearest pixel; of two equally near the right one.
    NearestPreferCeil,
    /// The pixel to the left.
    NearestFloor,
    /// The pixel to the right.
    NearestCeil,
    /// Linear along both axes.
    Linear,
}

/// Scaling of height and width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resize {
    /// Output height and width.
    pub size: [usize; 2],
    /// Output over input as the model says it (it may differ from the ratio of the rounded sizes).
    pub scale: [f32; 2],
    /// Where a pixel lies in the input.
    pub coordinates: Coordinates,
    /// How it is read.
    pub interpolation: Interpolation,
}

/// What a node computes. Parameters are named in [`Node::params`], in the order given here. Axes count from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolution; weight `[O, C / groups, KH, KW]`, bias `[O]`.
    Conv(Conv2d),
    /// Fully connected over the last dimension, `y = W x + b`; weight `[O, I]` as in PyTorch, bias `[O]`. Input `[.., I]`.
    Linear,
    /// `x[b] * B[b]` for each leading index b; parameter `[.., K, N]` of rank at least 3, input `[.., M, K]` of the same leading
    /// dimensions.
    MatMul,
    /// Maximum over a window.
    MaxPool(MaxPool),
    /// Mean over a window.
    AveragePool(AveragePool),
    /// Local response normalisation across channels.
    Lrn(Lrn),
    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias` for each index of dimension 1; parameters scale, bias, mean,
    /// variance.
    BatchNorm {
        /// Keeps the root away from 0.
        epsilon: f32,
    },
    /// `max(x, 0)`.
    Relu,
    /// A function of each element.
    Unary(Function),
    /// `x < 0 ? slope * x : x`; parameter slope, which broadcasts to the input.
    PRelu,
    /// Softmax along an axis.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// Two inputs, broadcast against each other as ONNX does.
    Binary(BinaryOp),
    /// Inputs behind each other along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Element i of dimension d is the input's `start[d] + i * step[d]`, i < `len[d]`.
    Slice {
        /// First index of each dimension.
        start: Vec<usize>,
        /// Distance of each dimension, not 0.
        step: Vec<isize>,
        /// Output size of each dimension.
        len: Vec<usize>,
    },
    /// The same elements in the same (row-major) order with another shape.
    Reshape {
        /// The new shape.
        shape: Vec<usize>,
    },
    /// Dimension d of the output is the input's dimension `perm[d]`.
    Transpose {
        /// The permutation.
        perm: Vec<usize>,
    },
    /// Surrounds the input.
    Pad {
        /// Elements before each dimension.
        before: Vec<usize>,
        /// Elements behind each dimension.
        after: Vec<usize>,
        /// What lies outside.
        mode: PadMode,
        /// The value outside for a constant.
        value: f32,
    },
    /// Mean along axes.
    ReduceMean {
        /// The axes, ascending.
        axes: Vec<usize>,
        /// Whether they stay as dimensions of 1.
        keep: bool,
    },
    /// Index of the largest element along an axis.
    ArgMax {
        /// The axis.
        axis: usize,
        /// Whether it stays as a dimension of 1.
        keep: bool,
        /// Of equals the last instead of the first.
        last: bool,
    },
    /// Scaling of height and width of `[N, C, H, W]`.
    Resize(Resize),
    /// Its parameter. No inputs.
    Constant,
    /// Real numbers to codes.
    Quantize(Grid),
    /// Codes to real numbers.
    Dequantize(Grid),
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
            Op::MatMul => "MatMul",
            Op::MaxPool(_) => "MaxPool",
            Op::AveragePool(_) => "AveragePool",
            Op::Lrn(_) => "LRN",
            Op::BatchNorm { .. } => "BatchNormalization",
            Op::Relu => "Relu",
            Op::Unary(Function::Identity) | Op::Identity => "Identity",
            Op::Unary(function) => function.name(),
            Op::PRelu => "PRelu",
            Op::Softmax { .. } => "Softmax",
            Op::Binary(op) => op.name(),
            Op::Concat { .. } => "Concat",
            Op::Slice { .. } => "Slice",
            Op::Reshape { .. } => "Reshape",
            Op::Transpose { .. } => "Transpose",
            Op::Pad { .. } => "Pad",
            Op::ReduceMean { .. } => "ReduceMean",
            Op::ArgMax { .. } => "ArgMax",
            Op::Resize(_) => "Resize",
            Op::Constant => "Constant",
            Op::Quantize(_) => "QuantizeLinear",
            Op::Dequantize(_) => "DequantizeLinear",
            Op::Dropout { .. } => "Dropout",
            Op::Flatten => "Flatten",
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

    /// Declares a network input.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> ValueId {
        self.input_of(name, shape, Elem::F32)
    }

    /// Declares a network input of an element type.
    pub fn input_of(&mut self, name: &str, shape: &[usize], elem: Elem) -> ValueId {
        let id = self.add_value(name, shape.to_vec(), elem);
        self.inputs.push(id);
        id
    }

    /// Declares a network output.
    pub fn output(&mut self, id: ValueId) {
        self.outputs.push(id);
    }

    fn add_value(&mut self, name: &str, shape: Vec<usize>, elem: Elem) -> ValueId {
        self.values.push(Value { name: name.to_string(), shape, elem });
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
        let elem = crate::op::elem(&op, inputs.first().map(|&i| self.value(i).elem));
        let output = self.add_value(output, shape, elem);
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
        match &node.op {
            Op::Conv(_) => {
                let out: usize = self.shape(node.output)[1..].iter().product();
                let per: usize = self.param(node, 0).map_or(0, |w| w.shape[1..].iter().product());
                out as u64 * per as u64
            }
            Op::Linear => {
                let rows: usize = self.shape(node.output).iter().rev().skip(1).product();
                rows as u64 * self.param(node, 0).map_or(0, |w| w.data.len() as u64)
            }
            Op::MatMul => {
                let out: usize = self.shape(node.output).iter().product();
                let k = self.shape(node.inputs[0]).last().copied().unwrap_or(0);
                out as u64 * k as u64
            }
            Op::MaxPool(_) | Op::AveragePool(_) | Op::Lrn(_) | Op::BatchNorm { .. } | Op::Relu | Op::Unary(_) => 0,
            Op::PRelu | Op::Softmax { .. } | Op::Binary(_) | Op::Concat { .. } | Op::Slice { .. } | Op::Reshape { .. } => 0,
            Op::Transpose { .. } | Op::Pad { .. } | Op::ReduceMean { .. } | Op::ArgMax { .. } | Op::Resize(_) => 0,
            Op::Constant | Op::Quantize(_) | Op::Dequantize(_) | Op::Dropout { .. } | Op::Flatten | Op::Identity => 0,
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
