//! What an operator is, apart from its formula: the terms in which [`Op::facts`](super::Op::facts) says it.

use super::attributes::{Conv2d, Lrn, Pad, Place, Rearrange, Window};
use super::function::{BinaryOp, Function};

/// What is true of an operator with its attributes, whatever its tensors are.
///
/// Validation, engine, planner and reports ask these; none of them names operators to find out. Each fact costs nothing where
/// only another is asked for: [`Op::facts`](super::Op::facts) is inlined.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The operator's name, as ONNX spells it where it has such an operator.
    pub name: &'static str,
    /// What it applies, where one operator stands for many.
    pub applies: Applies<'a>,
    /// How the element types of inputs and output go together.
    pub types: Types,
    /// Which rows of an input the rows of the output are made of, and so which height and width go together.
    pub rows: RowsRead<'a>,
    /// Which channels of the input the channels of the output are made of.
    pub channels: ChannelsRead,
    /// How many channels the output has.
    pub makes: Makes,
    /// What the chunk of a step holds.
    pub weights: Weights<'a>,
    /// Whether the operator may write its output over its (first) input.
    pub in_place: bool,
    /// Whether it chooses or moves elements, so that the output has the grid (scale and zero point) of the input.
    pub keeps_grid: bool,
    /// Whether its results are held to the layer's range: it can take an activation behind it into itself.
    pub clamps: bool,
}

impl<'a> Facts<'a> {
    /// An operator that makes every pixel of the same pixel with all its channels, has no weights, runs beside its
    /// input, and puts results on a grid of their own, unclamped. Others say where they differ.
    #[inline(always)]
    pub(super) const fn pixelwise(name: &'static str) -> Self {
        Facts {
            name,
            applies: Applies::Itself,
            types: Types::Kept,
            rows: RowsRead::Same,
            channels: ChannelsRead::All,
            makes: Makes::SameChannels,
            weights: Weights::None,
            in_place: false,
            keeps_grid: false,
            clamps: false,
        }
    }

    /// The window of an operator that slides one over the input.
    pub const fn window(&self) -> Option<&'a Window> {
        match self.rows {
            RowsRead::Window(window) => Some(window),
            RowsRead::None | RowsRead::Same | RowsRead::Repeated | RowsRead::All => None,
            RowsRead::Walk(_) | RowsRead::Padded(_) | RowsRead::Part(_) => None,
        }
    }

    /// Rows, pixels and channels in front of the part of the output that a layer makes; none where it makes all of it.
    pub const fn part_from(&self) -> Option<[u16; 3]> {
        match self.rows {
            RowsRead::Part(place) => Some(place.offset),
            RowsRead::None | RowsRead::Same | RowsRead::Window(_) | RowsRead::Repeated | RowsRead::All => None,
            RowsRead::Walk(_) | RowsRead::Padded(_) => None,
        }
    }
}

/// What an operator applies to elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Applies<'a> {
    /// What its name says.
    Itself,
    /// A function of one element.
    Function(&'a Function),
    /// An operation on two.
    BinaryOp(BinaryOp),
}

/// How the element types of inputs and output go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Types {
    /// All are i8, or all f32.
    Kept,
    /// Indices (i32) of i8 or f32.
    Indices,
    /// f32 of i8, or i8 of f32.
    Converted,
}

/// Which rows of an input the rows of an output are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowsRead<'a> {
    /// There is no input.
    None,
    /// The same rows; inputs and output have the same pixels.
    Same,
    /// Those under the window.
    Window(&'a Window),
    /// The same rows, or the only one again and again, of either input.
    Repeated,
    /// All of them.
    All,
    /// Those on the walk.
    Walk(&'a Rearrange),
    /// The same rows further up, or those that stand for what lies outside.
    Padded(&'a Pad),
    /// The same rows further up; the layer makes this part of the output alone.
    Part(&'a Place),
}

/// Which channels of the input the channels of an output are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelsRead {
    /// The same channel, and so many neighbours on either side. Input and output may be windows of channels.
    Neighbours {
        /// Channels in front of it.
        before: u32,
        /// Channels behind it.
        behind: u32,
    },
    /// All of them (or a group's); the output may be a window of channels.
    AllIntoWindow,
    /// All of them, and neither input nor output may be a window.
    All,
}

impl ChannelsRead {
    /// Each channel is made of the same one.
    pub const OWN: Self = ChannelsRead::Neighbours { before: 0, behind: 0 };

    /// Whether each channel is made of the same one and its neighbours, so that the input may be a window of channels.
    pub const fn from_window(self) -> bool {
        match self {
            ChannelsRead::Neighbours { .. } => true,
            ChannelsRead::AllIntoWindow | ChannelsRead::All => false,
        }
    }

    /// Whether the output may be a window of channels.
    pub const fn into_window(self) -> bool {
        match self {
            ChannelsRead::Neighbours { .. } | ChannelsRead::AllIntoWindow => true,
            ChannelsRead::All => false,
        }
    }

    /// Channels `[first, end)` of the input's `channels` that output channels `[c0, c1)` are made of.
    pub const fn read(self, (c0, c1): (u32, u32), channels: u32) -> (u32, u32) {
        match self {
            ChannelsRead::Neighbours { before, behind } => {
                let end = c1.saturating_add(behind);
                (c0.saturating_sub(before), if end < channels { end } else { channels })
            }
            ChannelsRead::AllIntoWindow | ChannelsRead::All => (0, channels),
        }
    }
}

/// How many channels an output has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes {
    /// As many as the input.
    SameChannels,
    /// One.
    OneChannel,
    /// Any number, of a single pixel.
    OnePixel,
    /// Any number, or what the attributes say.
    AnyChannels,
}

/// What the chunk of a step holds, in the order of the kernels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weights<'a> {
    /// Nothing.
    None,
    /// A bias for each channel (in int8 then a multiplier for each), then a row of taps for each: what the window shows of a group.
    Filters(&'a Conv2d),
    /// The same with rows as long as the whole input.
    Dense,
    /// int8: factors of sums of squares, an i32 each.
    Factors(&'a Lrn),
    /// int8: a byte for each of the 256 values.
    Table,
    /// int8: a f32 for each difference of two values.
    Exponentials,
    /// A f32 for each channel.
    Slopes,
    /// The elements of the rows and channels.
    Elements,
    /// Taps of each output row of the step, then of each output pixel of a row.
    Taps,
    /// A scale and a zero point for each channel.
    Grids,
}

/// Along which axis a step that makes a part of a layer needs a part of its weights alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutBy {
    /// Output channels: a block of channels needs its own weights.
    Channels,
    /// Output rows: every band of rows needs other weights.
    Rows,
    /// None: every step needs the same weights, if any.
    None,
}

impl Weights<'_> {
    /// Along which axis a layer is cut together with its weights.
    pub const fn cut_by(&self) -> CutBy {
        match self {
            Weights::Filters(_) | Weights::Dense | Weights::Slopes => CutBy::Channels,
            Weights::Elements | Weights::Taps => CutBy::Rows,
            Weights::None | Weights::Factors(_) | Weights::Table | Weights::Exponentials | Weights::Grids => CutBy::None,
        }
    }
}
