//! What a node can be.

use super::tensor::Grid;
use staticnet::op::{AveragePool, BinaryOp, Conv2d, Function, LpPool, Lrn, MaxPool, PadMode};

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

/// What a node computes. Parameters are named in [`Node::params`](super::Node::params), in the order given here. Axes count from 0.
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
    /// Norm of a window.
    LpPool(LpPool),
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
            Op::LpPool(_) => "LpPool",
            Op::Lrn(_) => "LRN",
            Op::BatchNorm { .. } => "BatchNormalization",
            Op::Relu => "Relu",
            Op::Identity => "Identity",
            Op::Unary(function) if *function == Function::Identity => "Identity",
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
