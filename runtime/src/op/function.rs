//! Functions of one element and operations on two: the operators of which there are many.

/// A function of one element. int8 runs any of them as a table of 256 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `x`: in int8 a change of scale.
    Identity,
    /// `x < 0 ? alpha * x : x`.
    LeakyRelu {
        /// Slope of the negative side.
        alpha: f32,
    },
    /// `min(max(x, lo), hi)`.
    Clip {
        /// Smallest output, maybe minus infinity.
        lo: f32,
        /// Largest output, maybe infinity.
        hi: f32,
    },
    /// `max(0, min(1, alpha * x + beta))`.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// `x * max(0, min(1, x / 6 + 0.5))`.
    HardSwish,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
}

impl Function {
    /// Number of functions.
    pub const COUNT: u32 = 7;

    /// The function's number, which is part of the format.
    pub const fn code(&self) -> u8 {
        match self {
            Function::Identity => 0,
            Function::LeakyRelu { .. } => 1,
            Function::Clip { .. } => 2,
            Function::HardSigmoid { .. } => 3,
            Function::HardSwish => 4,
            Function::Sigmoid => 5,
            Function::Tanh => 6,
        }
    }

    /// The function of a number with its two parameters, of which most functions have none or one.
    pub(crate) const fn from_code(code: u8, [p, q]: [f32; 2]) -> Option<Self> {
        match code {
            0 => Some(Function::Identity),
            1 => Some(Function::LeakyRelu { alpha: p }),
            2 => Some(Function::Clip { lo: p, hi: q }),
            3 => Some(Function::HardSigmoid { alpha: p, beta: q }),
            4 => Some(Function::HardSwish),
            5 => Some(Function::Sigmoid),
            6 => Some(Function::Tanh),
            _ => None,
        }
    }

    /// The parameters in the order of the format; 0 for those that the function does not have.
    pub(crate) const fn parameters(&self) -> [f32; 2] {
        match *self {
            Function::LeakyRelu { alpha } => [alpha, 0.0],
            Function::Clip { lo, hi } => [lo, hi],
            Function::HardSigmoid { alpha, beta } => [alpha, beta],
            Function::Identity | Function::HardSwish | Function::Sigmoid | Function::Tanh => [0.0; 2],
        }
    }

    /// The function's name, as ONNX spells it.
    pub const fn name(&self) -> &'static str {
        match self {
            Function::Identity => "Requantize",
            Function::LeakyRelu { .. } => "LeakyRelu",
            Function::Clip { .. } => "Clip",
            Function::HardSigmoid { .. } => "HardSigmoid",
            Function::HardSwish => "HardSwish",
            Function::Sigmoid => "Sigmoid",
            Function::Tanh => "Tanh",
        }
    }
}

/// An operation on two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BinaryOp {
    /// `a + b`.
    Add = 0,
    /// `a - b`.
    Sub = 1,
    /// `a * b`.
    Mul = 2,
    /// `a / b`.
    Div = 3,
}

impl BinaryOp {
    /// Number of operations.
    pub const COUNT: u32 = 4;

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(BinaryOp::Add),
            1 => Some(BinaryOp::Sub),
            2 => Some(BinaryOp::Mul),
            3 => Some(BinaryOp::Div),
            _ => None,
        }
    }

    /// The operation's name, as ONNX spells it.
    pub const fn name(self) -> &'static str {
        match self {
            BinaryOp::Add => "Add",
            BinaryOp::Sub => "Sub",
            BinaryOp::Mul => "Mul",
            BinaryOp::Div => "Div",
        }
    }
}
