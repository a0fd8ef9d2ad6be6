//! Operators: their codes, their attributes, and what is true of each, said once and asked by every crate of the workspace.
//!
//! Attributes are plain, fixed-size and `Copy`. The graph of the host tools, the exporter and the engine all use these very
//! structs, so that a stride or a pad has one meaning. Spatial pairs are `[height, width]`.
//!
//! A new operator is a code and a variant here, with its [facts](Op::facts); the compiler then names every place that has to know it.

use crate::dtype::DType;

mod attributes;
mod facts;
mod function;
mod mask;

pub use attributes::{AveragePool, Conv2d, Convert, LpPool, Lrn, MaxPool, Norm, Pad, PadMode, Place, Rearrange, Window};
pub use facts::{Applies, ChannelsRead, CutBy, Facts, Makes, RowsRead, Types, Weights};
pub use function::{BinaryOp, Function};
pub use mask::ALL_OPS;

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
    /// [`LpPool`].
    LpPool = 17,
}

impl OpCode {
    /// Number of operators.
    pub const COUNT: u32 = 18;

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
            17 => Some(OpCode::LpPool),
            _ => None,
        }
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
    /// Norm of a window.
    ///
    /// int8: the i32 sum of magnitudes, or the root of the sum of squares, of `q - zero_point`, times `multiplier` (input scale /
    /// output scale), rounded once and clamped.
    LpPool(LpPool),
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
            Op::LpPool(_) => OpCode::LpPool,
        }
    }

    /// The operator's name, as ONNX spells it where it has such an operator.
    pub const fn name(&self) -> &'static str {
        self.facts().name
    }

    /// Number of inputs. Not one of the [facts](Op::facts): asked for with every step, it is folded into reading the layer's record.
    pub const fn inputs(&self) -> usize {
        match self {
            Op::Constant => 0,
            Op::Conv2d(_) | Op::Linear | Op::MaxPool(_) | Op::Lrn(_) | Op::Relu | Op::AveragePool(_) | Op::Unary(_) => 1,
            Op::PRelu | Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) | Op::Resize | Op::Softmax => 1,
            Op::ArgMax { .. } | Op::Convert(_) | Op::LpPool(_) => 1,
            Op::Binary(_) => 2,
        }
    }

    /// Whether the operator may write its output over its (first) input. A [`Rearrange`] may where it moves nothing.
    pub const fn runs_in_place(&self) -> bool {
        self.facts().in_place
    }

    /// Whether the attributes are such as the kernels take, between tensors of so many channels `[input, output]` with inputs of type
    /// `dtype`. Windows and walks are judged with the shapes that follow from them.
    pub(crate) const fn attributes_fit(&self, [x, y]: [u32; 2], dtype: DType) -> bool {
        match self {
            Op::Conv2d(conv) => {
                let groups = conv.groups as u32;
                groups >= 1 && x % groups == 0 && y % groups == 0
            }
            Op::Lrn(lrn) => lrn.size >= 1,
            Op::AveragePool(pool) => {
                let (counted, pads) = (&pool.counted, &pool.window.pads);
                counted[0] <= pads[0] && counted[1] <= pads[1] && counted[2] <= pads[2] && counted[3] <= pads[3]
            }
            Op::Place(place) => !place.table || dtype.is_i8(),
            Op::Linear | Op::MaxPool(_) | Op::Relu | Op::Unary(_) | Op::PRelu | Op::Binary(_) | Op::Constant => true,
            Op::Rearrange(_) | Op::Pad(_) | Op::Resize | Op::Softmax | Op::ArgMax { .. } | Op::Convert(_) => true,
            Op::LpPool(_) => true,
        }
    }

    /// What is true of the operator, whatever its tensors are.
    // Of the facts that a caller does not look at nothing is left.
    #[inline(always)]
    pub const fn facts(&self) -> Facts<'_> {
        match self {
            Op::Conv2d(conv) => Facts {
                rows: RowsRead::Window(&conv.window),
                channels: ChannelsRead::AllIntoWindow,
                makes: Makes::AnyChannels,
                weights: Weights::Filters(conv),
                clamps: true,
                ..Facts::pixelwise("Conv")
            },
            Op::Linear => Facts {
                rows: RowsRead::All,
                makes: Makes::OnePixel,
                weights: Weights::Dense,
                clamps: true,
                ..Facts::pixelwise("Gemm")
            },
            Op::MaxPool(pool) => Facts {
                rows: RowsRead::Window(&pool.window),
                channels: ChannelsRead::OWN,
                keeps_grid: true,
                ..Facts::pixelwise("MaxPool")
            },
            Op::Lrn(lrn) => Facts {
                channels: ChannelsRead::Neighbours {
                    before: lrn.size.saturating_sub(1) as u32 / 2,
                    behind: lrn.size as u32 / 2,
                },
                weights: Weights::Factors(lrn),
                ..Facts::pixelwise("LRN")
            },
            Op::Relu => Facts { channels: ChannelsRead::OWN, in_place: true, keeps_grid: true, ..Facts::pixelwise("Relu") },
            Op::AveragePool(pool) => Facts {
                rows: RowsRead::Window(&pool.window),
                channels: ChannelsRead::OWN,
                clamps: true,
                ..Facts::pixelwise("AveragePool")
            },
            Op::LpPool(pool) => Facts {
                rows: RowsRead::Window(&pool.window),
                channels: ChannelsRead::OWN,
                clamps: true,
                ..Facts::pixelwise("LpPool")
            },
            Op::Unary(function) => Facts {
                applies: Applies::Function(function),
                channels: ChannelsRead::OWN,
                weights: Weights::Table,
                in_place: true,
                ..Facts::pixelwise(function.name())
            },
            Op::PRelu => {
                Facts { channels: ChannelsRead::OWN, weights: Weights::Slopes, in_place: true, ..Facts::pixelwise("PRelu") }
            }
            Op::Binary(op) => Facts {
                applies: Applies::BinaryOp(*op),
                rows: RowsRead::Repeated,
                makes: Makes::AnyChannels,
                clamps: true,
                ..Facts::pixelwise(op.name())
            },
            Op::Constant => Facts {
                rows: RowsRead::None,
                makes: Makes::AnyChannels,
                weights: Weights::Elements,
                ..Facts::pixelwise("Constant")
            },
            Op::Rearrange(walk) => Facts {
                rows: RowsRead::Walk(walk),
                makes: Makes::AnyChannels,
                in_place: walk.moves_nothing(),
                keeps_grid: true,
                ..Facts::pixelwise("Rearrange")
            },
            Op::Pad(pad) => {
                Facts { rows: RowsRead::Padded(pad), makes: Makes::AnyChannels, keeps_grid: true, ..Facts::pixelwise("Pad") }
            }
            Op::Place(place) => Facts {
                rows: RowsRead::Part(place),
                makes: Makes::AnyChannels,
                weights: if place.table { Weights::Table } else { Weights::None },
                ..Facts::pixelwise("Concat")
            },
            Op::Resize => Facts { rows: RowsRead::All, weights: Weights::Taps, keeps_grid: true, ..Facts::pixelwise("Resize") },
            Op::Softmax => Facts { weights: Weights::Exponentials, ..Facts::pixelwise("Softmax") },
            Op::ArgMax { .. } => Facts { types: Types::Indices, makes: Makes::OneChannel, ..Facts::pixelwise("ArgMax") },
            Op::Convert(convert) => Facts {
                types: Types::Converted,
                weights: if convert.per_channel { Weights::Grids } else { Weights::None },
                ..Facts::pixelwise("Convert")
            },
        }
    }
}
