//! The network as the planner sees it: sizes, lifetimes, what a step reads and needs.

use crate::quantized::Quantized;
use staticnet::artifact::ALIGN;
use staticnet::op::{ALL_OPS, CutBy, RowsRead, Weights};
use staticnet::record::{self, TensorInfo};
use staticnet::step::Typed;
use std::ops::Range;

/// A network to be planned.
#[derive(Debug)]
pub struct Planned<'n> {
    /// The network; its payloads are not looked at.
    pub network: &'n Quantized,
    /// The records of its tensors.
    pub tensors: Vec<TensorInfo>,
    /// The records of its layers.
    pub layers: Vec<record::Layer>,
    /// Life of each tensor when it is held whole.
    pub(super) life: Vec<Life>,
    /// The layer that is the first to wait for the last row of the input that anybody reads: until then rows go through their memory.
    pub(super) last_row_reader: usize,
}

/// From which layer to which a tensor is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// The layer that first makes a part of it; -1 for a network's input.
    pub from: isize,
    /// The layer that last reads it; the number of layers for a network's output.
    pub to: isize,
}

/// A multiple of 16 bytes.
pub(super) fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGN as u64)
}

impl<'n> Planned<'n> {
    /// A network whose tensors and layers nobody plans yet.
    pub fn new(network: &'n Quantized) -> Self {
        let tensors: Vec<TensorInfo> = network.tensors.iter().map(|tensor| tensor.info).collect();
        let layers = network.layers.iter().map(|layer| layer.record).collect();
        let mut life = vec![Life { from: isize::MAX, to: -1 }; tensors.len()];
        for (i, layer) in network.layers.iter().enumerate() {
            let i = i as isize;
            layer.inputs().for_each(|t| life[t].to = i);
            let output = &mut life[layer.output()];
            (output.from, output.to) = (output.from.min(i), output.to.max(i));
        }
        // Inputs are there before the first layer, whoever reads them.
        network.inputs.iter().for_each(|&t| life[t] = Life { from: -1, to: life[t].to.max(0) });
        network.outputs.iter().for_each(|&t| life[t].to = network.layers.len() as isize);
        let mut planned = Planned { network, tensors, layers, life, last_row_reader: 0 };
        planned.last_row_reader = planned.last_row_reader();
        planned
    }

    pub(super) fn bytes(&self, tensor: usize) -> u64 {
        let t = &self.tensors[tensor];
        aligned(t.elements() * t.dtype.bytes())
    }

    /// The tensor that stands for a layer's input: its output where it has none.
    pub(super) fn x(&self, layer: usize) -> &TensorInfo {
        let layer = &self.network.layers[layer];
        &self.tensors[layer.input(0).unwrap_or_else(|| layer.output())]
    }

    pub(super) fn y(&self, layer: usize) -> &TensorInfo {
        &self.tensors[self.network.layers[layer].output()]
    }

    /// A layer with its tensors, as the runtime asks it what its steps need.
    fn typed(&self, layer: usize) -> Typed {
        let x = *self.x(layer);
        let x2 = self.network.layers[layer].input(1).map_or(x, |t| self.tensors[t]);
        Typed { layer: self.layers[layer], x, x2, y: *self.y(layer) }
    }

    /// Rows and channels of its output that a layer makes: all of them, or a concatenation's part.
    pub(super) fn made(&self, layer: usize) -> (Range<u32>, Range<u32>) {
        let (rows, channels) = self.typed(layer).made();
        (rows.0..rows.1, channels.0..channels.1)
    }

    /// Rows of input `i` that output rows of a layer are made of.
    pub(super) fn reads(&self, layer: usize, i: usize, rows: &Range<u32>) -> Range<u32> {
        let (typed, rows) = (self.typed(layer), (rows.start, rows.end));
        let (first, end) = if i == 0 { typed.input_rows::<ALL_OPS>(rows) } else { typed.input2_rows(rows) };
        first..end
    }

    /// Bytes of weights for some rows and channels of a layer; 0 where it has none.
    pub(super) fn chunk_bytes(&self, layer: usize, rows: &Range<u32>, channels: &Range<u32>) -> u64 {
        self.typed(layer).chunk_bytes::<ALL_OPS>(rows.len() as u64, channels.len() as u64)
    }

    /// Whether the weights of a layer are so many a channel, so that a block of channels needs a part of them alone.
    pub(super) fn is_cut_by_channels(&self, layer: usize) -> bool {
        self.layers[layer].op.facts().weights.cut_by() == CutBy::Channels
    }

    /// Whether its weights depend on the rows, so that one step must make all of them.
    pub(super) fn is_cut_by_rows(&self, layer: usize) -> bool {
        self.layers[layer].op.facts().weights.cut_by() == CutBy::Rows
    }

    pub(super) fn scratch(&self, layer: usize, channels: &Range<u32>) -> u64 {
        aligned(self.typed(layer).scratch_bytes::<ALL_OPS>(channels.len() as u64))
    }

    /// Instructions of a step, roughly, as the portable kernels take them on a Cortex-M7: only their proportions matter.
    pub(super) fn instructions(&self, layer: usize, rows: &Range<u32>, channels: &Range<u32>) -> u64 {
        let (x, y) = (self.x(layer), self.y(layer));
        let pixels = rows.len() as u64 * y.width as u64;
        let outputs = pixels * channels.len() as u64;
        let facts = self.layers[layer].op.facts();
        let work = match (facts.weights, facts.rows) {
            (Weights::Filters(conv), _) => {
                let taps = self.typed(layer).taps();
                // Every 32 channels the taps of a pixel are gathered again.
                let group = (y.channels / conv.groups.max(1) as u32).max(1);
                let groups = (channels.end.div_ceil(group) - channels.start / group) as u64;
                let gathers = groups * (channels.len() as u64).div_ceil(groups).div_ceil(32);
                // Each line of the window is found, then copied.
                let gather = 3 * taps + 60 * conv.window.kernel[0] as u64;
                outputs * (4 * taps + 40) + pixels * gathers * gather
            }
            (Weights::Dense, _) => outputs * (4 * x.elements() + 12),
            (Weights::Factors(lrn), _) => outputs * (30 + 4 * lrn.size as u64),
            (_, RowsRead::Window(window)) => outputs * 3 * window.kernel[0] as u64 * window.kernel[1] as u64,
            // One element out of one or two that lie where they are looked for.
            (_, RowsRead::Same) if facts.in_place => outputs * 6,
            (_, RowsRead::None | RowsRead::Repeated | RowsRead::Walk(_)) => outputs * 6,
            (_, RowsRead::Same | RowsRead::All | RowsRead::Padded(_) | RowsRead::Part(_)) => outputs * 10,
        };
        // Finding a step's records and making its views.
        work + 1700
    }

    /// Whether a layer makes each channel of the same channel (or neighbouring ones) of its one input, and may see windows of them.
    pub(super) fn is_channelwise(&self, layer: usize) -> bool {
        self.layers[layer].op.facts().channels.from_window()
    }

    /// Input channels that output channels of a layer are made of.
    pub(super) fn channels_read(&self, layer: usize, channels: &Range<u32>) -> Range<u32> {
        let read = self.layers[layer].op.facts().channels;
        let (first, end) = read.read((channels.start, channels.end), self.x(layer).channels);
        first..end
    }

    /// Whether an input's rows may come one by one: input 0, which nobody gets back.
    pub(super) fn may_stream(&self, tensor: usize) -> bool {
        self.network.inputs.first() == Some(&tensor)
            && self.network.inputs.iter().filter(|&&t| t == tensor).count() == 1
            && !self.network.outputs.contains(&tensor)
            && self.network.layers.iter().any(|layer| layer.inputs().any(|t| t == tensor))
    }

    fn last_row_reader(&self) -> usize {
        let Some(input) = self.network.inputs.first() else { return 0 };
        let end = |l: usize| {
            let inputs = self.network.layers[l].inputs().enumerate().filter(|(_, t)| t == input);
            inputs.map(|(i, _)| self.reads(l, i, &self.made(l).0).end).max()
        };
        let readers = (0..self.network.layers.len()).filter_map(|l| Some((end(l)?, std::cmp::Reverse(l))));
        readers.max().map_or(0, |(_, std::cmp::Reverse(l))| l)
    }

    /// Bytes of the memory that the row-wise input needs.
    pub(super) fn row_memory(&self, has_source: bool) -> u64 {
        let Some(input) = self.network.inputs.first().map(|&t| &self.tensors[t]).filter(|_| has_source) else { return 0 };
        aligned(staticnet::preprocess::row_memory_bytes(input.width, input.channels, input.dtype.is_i8()) as u64)
    }
}
