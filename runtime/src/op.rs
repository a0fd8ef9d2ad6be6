//! Operators: their codes and their attributes, shared by every crate of the workspace.
//!
//! Attributes are plain, fixed-size and `Copy`. The graph of the host tools, the exporter and the engine all use these very
//! structs, so that a stride or a pad has one meaning. Spatial pairs are `[height, width]`.

/// The window of a convolution or a pooling: what one output pixel looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Kernel size `[height, width]`, at least 1.
    pub kernel: [u16; 2],
    /// Stride `[vertical, horizontal]`, at least 1.
    pub stride: [u16; 2],
    /// Dilation `[vertical, horizontal]`, at least 1.
    pub dilation: [u16; 2],
    /// Padding `[top, left, bottom, right]`, in the order of ONNX.
    pub pads: [u16; 4],
}

impl Window {
    /// A square window without dilation, padded alike on all four sides.
    pub const fn square(kernel: u16, stride: u16, pad: u16) -> Self {
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads: [pad; 4] }
    }

    /// Rows (`axis` 0) or columns (`axis` 1) that the dilated kernel spans.
    pub const fn extent(&self, axis: usize) -> u32 {
        (self.kernel[axis] as u32 - 1) * self.dilation[axis] as u32 + 1
    }

    /// Output size along `axis` for `input` rows or columns: `floor((input + pads - extent) / stride) + 1`, or `None` where
    /// the kernel is larger than the padded input or an attribute is zero.
    pub const fn output_len(&self, axis: usize, input: u32) -> Option<u32> {
        if self.kernel[axis] == 0 || self.stride[axis] == 0 || self.dilation[axis] == 0 {
            return None;
        }
        let padded = match input.checked_add(self.pads[axis] as u32 + self.pads[axis + 2] as u32) {
            Some(n) => n,
            None => return None,
        };
        match padded.checked_sub(self.extent(axis)) {
            Some(free) => Some(free / self.stride[axis] as u32 + 1),
            None => None,
        }
    }

    /// Input rows `[first, end)` that output rows `[r0, r1)` read, clipped to the `input_rows` that exist.
    pub const fn input_rows(&self, r0: u32, r1: u32, input_rows: u32) -> (u32, u32) {
        let first = (r0 as u64 * self.stride[0] as u64).saturating_sub(self.pads[0] as u64);
        let last = (r1 as u64 - 1) * self.stride[0] as u64 + self.extent(0) as u64;
        let end = last.saturating_sub(self.pads[0] as u64);
        let rows = input_rows as u64;
        let first = if first > rows { rows } else { first };
        let end = if end > rows { rows } else { end };
        (first as u32, if end < first { first as u32 } else { end as u32 })
    }
}

/// Two-dimensional convolution (ONNX `Conv`). Weights are `[out_channels, in_channels / groups, kernel_h, kernel_w]` on the
/// host; FORMAT.md gives their order on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// What one output pixel looks at.
    pub window: Window,
    /// Number of groups; divides both channel counts. Equal to the channel count for a depthwise convolution.
    pub groups: u16,
}

/// Maximum over a window (ONNX `MaxPool`); padded taps never win.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// What one output pixel looks at. A `ceil_mode` is resolved into `pads` by whoever builds the attribute.
    pub window: Window,
}

/// Local response normalisation across channels (ONNX `LRN`, `torch.nn.LocalResponseNorm`):
/// `y[c] = x[c] * (k + alpha / size * sum(x[j]^2))^-beta`, `j` from `c - (size - 1) / 2` to `c + size / 2`, clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lrn {
    /// Channels in the window, at least 1. Use odd sizes: ONNX and PyTorch centre even ones differently.
    pub size: u16,
    /// Scale of the mean square.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Bias.
    pub k: f32,
}

/// Mean over a window (ONNX `AveragePool`, `GlobalAveragePool`).
///
/// The divisor of an output is the number of taps that lie inside the picture extended by `counted`: zeros for ONNX's
/// `count_include_pad = 0`, the model's own pads for `count_include_pad = 1` (what `ceil_mode` adds to `window.pads` never counts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// What one output pixel looks at. A `ceil_mode` is resolved into `pads` by whoever builds the attribute.
    pub window: Window,
    /// Padding that counts in the divisor, `[top, left, bottom, right]`, at most `window.pads`.
    pub counted: [u16; 4],
}

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
}

/// Moves elements: any strided walk over the input. Transposes, slices, channel shuffles and broadcasts are all this.
///
/// A row of the output (width x channels, in memory order) is cut into `size[0] x .. x size[3]` (their product is the row's length);
/// its element `(i0, i1, i2, i3)` in row `r` is the input's element `base + r * row + i0 * stride[0] + .. + i3 * stride[3]`, counted
/// in memory order. Scale and zero point pass through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rearrange {
    /// Input element of the first output element.
    pub base: u32,
    /// Input elements from one output row to the next.
    pub row: i32,
    /// How a row of the output is cut, outermost first; 1 where unused.
    pub size: [u16; 4],
    /// Input elements between neighbours along each of them.
    pub stride: [i32; 4],
}

/// What lies outside the input of a [`Pad`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PadMode {
    /// One value.
    Constant = 0,
    /// The input mirrored at its edge, the edge itself not repeated.
    Reflect = 1,
    /// The nearest element of the input.
    Edge = 2,
    /// The input again.
    Wrap = 3,
}

/// Surrounds the input; what comes behind it follows from the output's shape (ONNX `Pad`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pad {
    /// Rows, pixels and channels before the input.
    pub before: [u16; 3],
    /// What lies outside.
    pub mode: PadMode,
    /// The value outside for [`PadMode::Constant`], f32.
    pub value: f32,
    /// The same on the tensor's int8 grid.
    pub value_i8: i8,
}

/// Copies the input into a part of the output; the inputs of a concatenation are one layer each, with one output tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Row, pixel and channel of the output that the input's first element goes to.
    pub offset: [u16; 3],
    /// int8: whether the elements go through a table of 256 bytes, because the grids differ.
    pub table: bool,
}

/// Converts between i8 and f32 (ONNX `QuantizeLinear`, `DequantizeLinear`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convert {
    /// Whether every channel has its own scale and zero point, in the chunk; otherwise those of the i8 tensor count.
    pub per_channel: bool,
}

/// Operators that the runtime has, by number. The number is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OpCode {
    /// [`Conv2d`].
    Conv2d = 0,
    /// Fully connected.
    Linear = 1,
    /// [`MaxPool`].
    MaxPool = 2,
    /// [`Lrn`].
    Lrn = 3,
    /// `max(x, 0)` on its own.
    Relu = 4,
    /// [`AveragePool`].
    AveragePool = 5,
    /// [`Function`] of each element.
    Unary = 6,
    /// Leaky ReLU with a slope for each channel.
    PRelu = 7,
    /// [`BinaryOp`] of two tensors.
    Binary = 8,
    /// A tensor that is part of the model.
    Constant = 9,
    /// [`Rearrange`].
    Rearrange = 10,
    /// [`Pad`].
    Pad = 11,
    /// [`Place`].
    Place = 12,
    /// Nearest or bilinear scaling.
    Resize = 13,
    /// Softmax over the channels of each pixel.
    Softmax = 14,
    /// Index of the largest channel of each pixel.
    ArgMax = 15,
    /// [`Convert`].
    Convert = 16,
}

impl OpCode {
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(OpCode::Conv2d),
            1 => Some(OpCode::Linear),
            2 => Some(OpCode::MaxPool),
            3 => Some(OpCode::Lrn),
            4 => Some(OpCode::Relu),
            5 => Some(OpCode::AveragePool),
            6 => Some(OpCode::Unary),
            7 => Some(OpCode::PRelu),
            8 => Some(OpCode::Binary),
            9 => Some(OpCode::Constant),
            10 => Some(OpCode::Rearrange),
            11 => Some(OpCode::Pad),
            12 => Some(OpCode::Place),
            13 => Some(OpCode::Resize),
            14 => Some(OpCode::Softmax),
            15 => Some(OpCode::ArgMax),
            16 => Some(OpCode::Convert),
            _ => None,
        }
    }

    /// The bit of this operator on input elements of type `dtype` (I8 or F32; for [`OpCode::Constant`], which has no input, the
    /// output's) in the operator mask: a firmware for int8 carries no f32 kernel.
    pub const fn bit(self, dtype: crate::record::DType) -> u64 {
        1 << (2 * self as u32 + dtype as u32)
    }
}

/// An operator of the runtime with its attributes. Rows are those of the output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Convolution, bias, optional clamp.
    Conv2d(Conv2d),
    /// Fully connected over the whole input flattened in NHWC order, bias, optional clamp.
    Linear,
    /// Maximum over a window.
    MaxPool(MaxPool),
    /// Local response normalisation.
    Lrn(Lrn),
    /// `max(x, 0)`.
    Relu,
    /// Mean over a window.
    ///
    /// int8: the i32 sum of `q - zero_point` over the taps inside the picture, times `multiplier` (input scale / output scale) /
    /// divisor in f32, requantized and clamped. f32: sum / divisor, clamped.
    AveragePool(AveragePool),
    /// A function of each element; may run in place. int8: the chunk is a table of 256 bytes, indexed by the byte read as u8.
    Unary(Function),
    /// `x < 0 ? slope[c] * x : x`; may run in place. The chunk has one f32 a channel of the step: the slope, or in int8 its
    /// multiplier (slope x input scale / output scale); the positive side's is the layer's `multiplier`.
    PRelu,
    /// `a op b`, clamped. A dimension of 1 in either input is repeated along the output's.
    ///
    /// int8: Add and Sub `requantize(f32(a - za) * multiplier +- f32(b - zb) * multiplier2)` with the multipliers input scale /
    /// output scale and one rounding; Mul `requantize((a - za) * (b - zb), multiplier)`.
    Binary(BinaryOp),
    /// The chunk's elements: rows x channels of the step in memory order. Has no input.
    Constant,
    /// A strided walk over the input. Where `row` is whole input rows and the walk inside an output row stays inside one input
    /// row, output row r needs only that input row; otherwise the input must be held whole.
    Rearrange(Rearrange),
    /// Surrounds the input. [`PadMode::Reflect`] and [`PadMode::Wrap`] need the input whole.
    Pad(Pad),
    /// A part of the output.
    Place(Place),
    /// Scales height and width; needs the input whole. The chunk holds 8 bytes for each output row of the step, then 8 for each
    /// output pixel of a row: first tap (u16), second tap (u16), weight of the second (f32). An element is
    /// `(1 - wy) * ((1 - wx) * x00 + wx * x01) + wy * ((1 - wx) * x10 + wx * x11)` in f32 over raw values (int8: rounded half to
    /// even and clamped; scale and zero point pass through); a weight of exactly 0 does not read the second tap. Taps beyond the
    /// input are clamped to it.
    Resize,
    /// Over the channels of each pixel. int8: the chunk has 256 f32, `exp((i - 255) * input scale)`; the output is
    /// `quantize(t[q - max + 255] / sum(t))`.
    Softmax,
    /// Index of the largest channel of each pixel as i32; of equals the first, or the last where `last`.
    ArgMax {
        /// Which of equals.
        last: bool,
    },
    /// i8 to f32 or f32 to i8. Where per channel, the chunk has a f32 scale for each channel of the step, then an i32 zero point
    /// for each.
    Convert(Convert),
}

impl Op {
    /// The operator's number.
    pub const fn code(&self) -> OpCode {
        match self {
            Op::Conv2d(_) => OpCode::Conv2d,
            Op::Linear => OpCode::Linear,
            Op::MaxPool(_) => OpCode::MaxPool,
            Op::Lrn(_) => OpCode::Lrn,
            Op::Relu => OpCode::Relu,
            Op::AveragePool(_) => OpCode::AveragePool,
            Op::Unary(_) => OpCode::Unary,
            Op::PRelu => OpCode::PRelu,
            Op::Binary(_) => OpCode::Binary,
            Op::Constant => OpCode::Constant,
            Op::Rearrange(_) => OpCode::Rearrange,
            Op::Pad(_) => OpCode::Pad,
            Op::Place(_) => OpCode::Place,
            Op::Resize => OpCode::Resize,
            Op::Softmax => OpCode::Softmax,
            Op::ArgMax { .. } => OpCode::ArgMax,
            Op::Convert(_) => OpCode::Convert,
        }
    }

    /// The operator's name, as ONNX spells it where it has such an operator.
    pub const fn name(&self) -> &'static str {
        match self {
            Op::Conv2d(_) => "Conv",
            Op::Linear => "Gemm",
            Op::MaxPool(_) => "MaxPool",
            Op::Lrn(_) => "LRN",
            Op::Relu => "Relu",
            Op::AveragePool(_) => "AveragePool",
            Op::Unary(function) => function.name(),
            Op::PRelu => "PRelu",
            Op::Binary(op) => op.name(),
            Op::Constant => "Constant",
            Op::Rearrange(_) => "Rearrange",
            Op::Pad(_) => "Pad",
            Op::Place(_) => "Concat",
            Op::Resize => "Resize",
            Op::Softmax => "Softmax",
            Op::ArgMax { .. } => "ArgMax",
            Op::Convert(_) => "Convert",
        }
    }

    /// Whether the operator may write its output over its (first) input. A [`Rearrange`] may where it moves nothing.
    pub const fn runs_in_place(&self) -> bool {
        match self {
            Op::Relu | Op::Unary(_) | Op::PRelu => true,
            Op::Rearrange(r) => r.moves_nothing(),
            Op::Conv2d(_) | Op::Linear | Op::MaxPool(_) | Op::Lrn(_) | Op::AveragePool(_) | Op::Binary(_) => false,
            Op::Constant | Op::Pad(_) | Op::Place(_) | Op::Resize | Op::Softmax | Op::ArgMax { .. } | Op::Convert(_) => false,
        }
    }
}

impl Function {
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

impl BinaryOp {
    /// The operation's name, as ONNX spells it.
    pub const fn name(self) -> &'static str {
        match self {
            BinaryOp::Add => "Add",
            BinaryOp::Sub => "Sub",
            BinaryOp::Mul => "Mul",
        }
    }
}

impl Rearrange {
    /// Whether every element keeps its place in memory (the shape may still change).
    pub const fn moves_nothing(&self) -> bool {
        let (mut axis, mut inner) = (4, 1i64);
        while axis > 0 {
            axis -= 1;
            if self.size[axis] != 1 {
                if self.stride[axis] as i64 != inner {
                    return false;
                }
                inner *= self.size[axis] as i64;
            }
        }
        self.base == 0 && self.row as i64 == inner
    }
}
