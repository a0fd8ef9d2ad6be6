//! What a layer has in flash: weights, biases, multipliers and tables, as the kernels read them (see [`staticnet::op::Op`] and
//! FORMAT.md).

use crate::network::Parameters;
use staticnet_graph::op::resize::Tap;
use std::ops::Range;

/// The numbers of a layer. A payload knows how long it is, and writes any part of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Payload {
    /// Nothing.
    #[default]
    None,
    /// Convolution and fully connected in f32.
    Sum {
        /// Rows as in [`Parameters::Sum`].
        weights: Vec<f32>,
        /// One an output channel.
        bias: Vec<f32>,
    },
    /// Convolution and fully connected in int8.
    SumCodes {
        /// Rows as in [`Parameters::Sum`], symmetric per output channel, in [-127, 127] unless the model holds them itself.
        weights: Vec<i8>,
        /// Bias at input scale x weight scale, with `- zero_point_x * sum(weights)` folded in.
        bias: Vec<i32>,
        /// Input scale x weight scale / output scale.
        multiplier: Vec<f32>,
        /// Weight scales; not written.
        scale: Vec<f32>,
    },
    /// PRelu in f32: one slope a channel.
    Slopes(Vec<f32>),
    /// PRelu in int8.
    SlopeCodes {
        /// One multiplier a channel for the negative side.
        negative: Vec<f32>,
        /// The real slopes; not written.
        slopes: Vec<f32>,
    },
    /// A constant's elements in f32.
    Elements(Vec<f32>),
    /// A constant's elements in int8.
    ElementCodes(Vec<i8>),
    /// Resize: one tap an output row, then one an output pixel of a row.
    Taps(Vec<Tap>),
    /// Convert per channel.
    Grids {
        /// One a channel.
        scale: Vec<f32>,
        /// One a channel.
        zero_point: Vec<i32>,
    },
    /// LRN in int8: factors at multiples of 2 to the power of the layer's `table_shift`.
    Factors(Vec<i32>),
    /// A function in int8, or a change of grid: the output of each input byte.
    Table(Vec<i8>),
    /// Exponentials of int8 differences: `exp((i - 255) * scale)`.
    Exponentials(Vec<f32>),
}

/// Parameters as they are: f32, or what has one form only.
impl From<Parameters> for Payload {
    fn from(parameters: Parameters) -> Self {
        match parameters {
            Parameters::None => Payload::None,
            Parameters::Sum { weights, bias, codes: _ } => Payload::Sum { weights, bias },
            Parameters::Slopes(slopes) => Payload::Slopes(slopes),
            Parameters::Elements(elements) => Payload::Elements(elements),
            Parameters::Taps(taps) => Payload::Taps(taps),
            Parameters::Grids { scale, zero_point } => Payload::Grids { scale, zero_point },
        }
    }
}

/// Which of a layer's numbers: those of some output rows and channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    rows: Range<usize>,
    channels: Range<usize>,
    /// Height, width and channels of the output.
    size: [usize; 3],
}

impl Part {
    /// Some rows and channels of an output of `size` (height, width, channels).
    pub fn new(rows: Range<usize>, channels: Range<usize>, size: [usize; 3]) -> Self {
        Part { rows, channels, size }
    }

    /// Everything, of a layer whose output need not be known.
    pub fn all() -> Self {
        Part { rows: 0..usize::MAX, channels: 0..usize::MAX, size: [usize::MAX, 0, usize::MAX] }
    }

    /// The entries of something that has one entry a channel, out of `n`.
    fn of_channels(&self, n: usize) -> Range<usize> {
        self.channels.start.min(n)..self.channels.end.min(n)
    }

    /// The elements of something that has one row of equally many an output channel, `channels` rows out of `len` elements.
    fn of_rows_of(&self, len: usize, channels: usize) -> Range<usize> {
        let (row, of) = (len / channels.max(1), self.of_channels(channels));
        of.start * row..of.end * row
    }

    /// The elements of a constant tensor, `len` in all.
    fn elements(&self, len: usize) -> Box<dyn ExactSizeIterator<Item = usize>> {
        let [height, width, channels] = self.size;
        if self.rows.len() >= height && self.channels.len() >= channels {
            return Box::new(0..len);
        }
        let (rows, n, first, c0) = (self.rows.clone(), self.channels.len(), self.rows.start, self.channels.start);
        let places = 0..rows.len() * width * n;
        Box::new(places.map(move |i| (first * width + i / n) * channels + c0 + i % n))
    }

    /// The taps of the rows, then those of the pixels.
    fn taps(&self, len: usize) -> impl ExactSizeIterator<Item = usize> {
        let height = self.size[0].min(len);
        let rows = self.rows.start.min(height)..self.rows.end.min(height);
        let (count, first) = (rows.len(), rows.start);
        let pixels = if self.size[0] > len { 0 } else { len - height };
        (0..count + pixels).map(move |i| if i < count { first + i } else { height + i - count })
    }
}

/// Where a payload is written to, from front to back.
struct Target<'p> {
    rest: &'p mut [u8],
}

impl Target<'_> {
    fn write<const N: usize>(&mut self, elements: impl ExactSizeIterator<Item = [u8; N]>) {
        let (front, rest) = std::mem::take(&mut self.rest).split_at_mut(N * elements.len());
        front.as_chunks_mut::<N>().0.iter_mut().zip(elements).for_each(|(to, from)| *to = from);
        self.rest = rest;
    }

    fn floats(&mut self, values: &[f32]) {
        self.write(values.iter().map(|v| v.to_le_bytes()));
    }

    fn words(&mut self, values: &[i32]) {
        self.write(values.iter().map(|v| v.to_le_bytes()));
    }

    fn bytes(&mut self, values: &[i8]) {
        self.write(values.iter().map(|v| v.to_le_bytes()));
    }
}

impl Payload {
    /// Bytes of all of it.
    pub fn len(&self) -> usize {
        self.part_len(&Part::all())
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.write(&Part::all(), &mut bytes);
        bytes
    }

    /// Bytes of a part.
    pub fn part_len(&self, part: &Part) -> usize {
        match self {
            Payload::None => 0,
            Payload::Sum { weights, bias } => {
                4 * (part.of_rows_of(weights.len(), bias.len()).len() + part.of_channels(bias.len()).len())
            }
            Payload::SumCodes { weights, bias, .. } => {
                part.of_rows_of(weights.len(), bias.len()).len() + 8 * part.of_channels(bias.len()).len()
            }
            Payload::Slopes(values) | Payload::SlopeCodes { negative: values, .. } => 4 * part.of_channels(values.len()).len(),
            Payload::Elements(values) => 4 * part.elements(values.len()).len(),
            Payload::ElementCodes(values) => part.elements(values.len()).len(),
            Payload::Taps(taps) => 8 * part.taps(taps.len()).len(),
            Payload::Grids { scale, .. } => 8 * part.of_channels(scale.len()).len(),
            Payload::Factors(table) => 4 * table.len(),
            Payload::Table(table) => table.len(),
            Payload::Exponentials(table) => 4 * table.len(),
        }
    }

    /// Writes a part into memory of [`Payload::part_len`] bytes: the largest layers are most of a network and need not lie there
    /// twice.
    pub fn write(&self, part: &Part, bytes: &mut [u8]) {
        let mut out = Target { rest: bytes };
        match self {
            Payload::None => {}
            Payload::Sum { weights, bias } => {
                out.floats(&bias[part.of_channels(bias.len())]);
                out.floats(&weights[part.of_rows_of(weights.len(), bias.len())]);
            }
            Payload::SumCodes { weights, bias, multiplier, scale: _ } => {
                let channels = part.of_channels(bias.len());
                out.words(&bias[channels.clone()]);
                out.floats(&multiplier[channels]);
                out.bytes(&weights[part.of_rows_of(weights.len(), bias.len())]);
            }
            Payload::Slopes(values) | Payload::SlopeCodes { negative: values, .. } => {
                out.floats(&values[part.of_channels(values.len())]);
            }
            Payload::Elements(values) => out.write(part.elements(values.len()).map(|i| values[i].to_le_bytes())),
            Payload::ElementCodes(values) => out.write(part.elements(values.len()).map(|i| values[i].to_le_bytes())),
            Payload::Taps(taps) => out.write(part.taps(taps.len()).map(|i| bytes_of(&taps[i]))),
            Payload::Grids { scale, zero_point } => {
                let channels = part.of_channels(scale.len());
                out.floats(&scale[channels.clone()]);
                out.words(&zero_point[channels]);
            }
            Payload::Factors(table) => out.words(table),
            Payload::Table(table) => out.bytes(table),
            Payload::Exponentials(table) => out.floats(table),
        }
    }
}

fn bytes_of(tap: &Tap) -> [u8; 8] {
    let ([a, b], [c, d], [e, f, g, h]) = (tap.first.to_le_bytes(), tap.second.to_le_bytes(), tap.weight.to_le_bytes());
    [a, b, c, d, e, f, g, h]
}
