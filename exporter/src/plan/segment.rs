//! One segment in one mode: its steps, its memory, its cost.

use super::pipeline::{Task, distance, input_ring_rows, pipeline, ring_rows};
use super::problem::{Planned, aligned};
use staticnet::op::ChannelsRead;
use std::collections::BTreeMap;
use std::ops::Range;

/// How a segment's layers are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// One layer: blocks of at most so many channels, in so many bands of rows.
    Blocks {
        /// Channels of a block.
        channels: u32,
        /// Bands of rows.
        bands: u32,
    },
    /// Row by row, all channels.
    Rows,
    /// Blocks of so many output channels, row by row.
    Channels {
        /// Channels of a block.
        channels: u32,
    },
}

/// What a segment costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Bytes of activations while it runs, those that pass it by among them.
    pub activations: u64,
    /// The same with scratch, weights and the memory of row-wise input.
    pub ram: u64,
    /// Bytes of weights read.
    pub reads: u64,
    /// Instructions, roughly.
    pub instructions: u64,
}

/// Two tensors of which one lies partly, or wholly, in the other's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overlay {
    /// The input, which dies in the segment.
    pub x: usize,
    /// The output.
    pub y: usize,
    /// Bytes by which the output begins before the input; 0 in place.
    pub distance: u64,
}

impl Overlay {
    /// Bytes less than side by side.
    fn saved(&self, planned: &Planned) -> u64 {
        let (x, y) = (planned.bytes(self.x), planned.bytes(self.y));
        x + y - (self.distance + x).max(y)
    }
}

/// Weights that stay in RAM for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The layer.
    pub layer: usize,
    /// Bytes of the largest chunk.
    pub bytes: u64,
}

/// A segment, planned but for its offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub tasks: Vec<Task>,
    /// Tensors that nobody outside sees, or the streamed input: rows of each, and the most channels of a window.
    pub rings: BTreeMap<usize, (u32, u32)>,
    /// Channels of each ring in each block.
    pub windows: Vec<BTreeMap<usize, Range<u32>>>,
    pub streamed: bool,
    pub overlay: Option<Overlay>,
    pub scratch: u64,
    pub held: Vec<Held>,
    pub row_memory: u64,
    pub cost: Cost,
}

/// Bytes of a ring.
pub(super) fn ring_bytes(planned: &Planned, tensor: usize, (rows, channels): (u32, u32)) -> u64 {
    let t = &planned.tensors[tensor];
    aligned(rows as u64 * t.width as u64 * channels as u64 * t.dtype.bytes())
}

/// Where the plan's weights lie and whether pictures come row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub storage: bool,
    pub source: bool,
}

/// Output channels of each layer, for each block of channels.
type ChannelBlocks = Vec<Vec<Range<u32>>>;

/// A segment's tasks, or `None` where the mode does not go with its layers.
fn tasks(planned: &Planned, layers: &Range<usize>, mode: Mode) -> Option<(Vec<Task>, ChannelBlocks)> {
    match mode {
        Mode::Blocks { channels, bands } => {
            let layer = layers.start;
            let (rows, all) = planned.made(layer);
            let cut = planned.is_cut_by_channels(layer) && channels < all.len() as u32;
            let blocks = if cut { cuts(&all, channels) } else { vec![all] };
            let bands = if planned.is_cut_by_rows(layer) { 1 } else { bands.min(rows.len() as u32) };
            let bands = cuts(&rows, (rows.len() as u32).div_ceil(bands));
            let task = |rows: &Range<u32>, channels: &Range<u32>| Task {
                layer,
                rows: rows.clone(),
                channels: channels.clone(),
                block: 0,
            };
            let tasks = bands.iter().flat_map(|r| blocks.iter().map(move |c| task(r, c))).collect();
            Some((tasks, vec![]))
        }
        Mode::Rows => {
            let channels: Vec<Range<u32>> = layers.clone().map(|l| planned.made(l).1).collect();
            Some((pipeline(planned, layers.clone(), &channels, 0), vec![]))
        }
        Mode::Channels { channels } => {
            let chain = layers.clone().skip(1).all(|l| {
                let layer = &planned.network.layers[l];
                planned.is_channelwise(l) && layer.input(0) == Some(planned.network.layers[l - 1].output())
            });
            if planned.layers[layers.start].op.facts().channels != ChannelsRead::AllIntoWindow {
                return None;
            }
            let inner = layers.start..layers.end - 1;
            let alone = |l: usize| planned.life[planned.network.layers[l].output()].to == l as isize + 1;
            let all = planned.made(layers.end - 1).1;
            if layers.len() < 2 || !chain || !inner.clone().all(alone) || channels >= all.len() as u32 {
                return None;
            }
            let (mut tasks, mut blocks) = (Vec::new(), Vec::new());
            for (block, last) in cuts(&all, channels).into_iter().enumerate() {
                let mut channels = vec![last];
                for l in (layers.start + 1..layers.end).rev() {
                    let read = planned.channels_read(l, &channels[channels.len() - 1]);
                    channels.push(read);
                }
                channels.reverse();
                tasks.extend(pipeline(planned, layers.clone(), &channels, block));
                blocks.push(channels);
            }
            Some((tasks, blocks))
        }
    }
}

/// Consecutive ranges of at most `step`.
fn cuts(range: &Range<u32>, step: u32) -> Vec<Range<u32>> {
    range.clone().step_by(step.max(1) as usize).map(|start| start..range.end.min(start + step)).collect()
}

/// Plans a segment. `None` where the mode does not go with its layers.
pub(super) fn segment(planned: &Planned, layers: Range<usize>, mode: Mode, setting: Setting) -> Option<Segment> {
    let (tasks, blocks) = tasks(planned, &layers, mode)?;
    let (first, end) = (layers.start as isize, layers.end as isize);
    let net = &planned.network.layers;
    let input = planned.network.inputs.first().copied().filter(|&t| planned.may_stream(t));
    // The first segment may take the input row by row, where it is its only reader and reads it but once.
    let streamed = input.filter(|&t| layers.start == 0 && planned.life[t].to < end && mode == Mode::Rows);
    let mut rings = BTreeMap::new();
    for l in layers.clone() {
        let tensor = net[l].output();
        let life = planned.life[tensor];
        if life.from >= first && life.to < end {
            rings.entry(tensor).or_insert_with(|| (ring_rows(planned, &tasks, tensor), planned.tensors[tensor].channels));
        }
    }
    let mut windows = Vec::new();
    for channels in &blocks {
        let of_block: BTreeMap<usize, Range<u32>> = layers
            .clone()
            .zip(channels)
            .filter(|(l, _)| rings.contains_key(&net[*l].output()))
            .map(|(l, c)| (net[l].output(), c.clone()))
            .collect();
        windows.push(of_block);
    }
    if !windows.is_empty() {
        for (tensor, (_, channels)) in &mut rings {
            *channels = windows.iter().map(|w| w[tensor].len() as u32).max().unwrap_or(*channels);
        }
        // Rows are counted in one block: in the next they begin anew.
        let first_block: Vec<Task> = tasks.iter().filter(|t| t.block == 0).cloned().collect();
        for (&tensor, (rows, _)) in &mut rings {
            *rows = ring_rows(planned, &first_block, tensor);
        }
    }
    if let Some(t) = streamed {
        rings.insert(t, (input_ring_rows(planned, &tasks, t), planned.tensors[t].channels));
    }
    let whole: Vec<usize> = (0..planned.tensors.len())
        .filter(|&t| {
            let life = planned.life[t];
            life.from < end && life.to >= first && !rings.contains_key(&t)
        })
        .collect();
    let overlay = overlay(planned, &layers, &tasks, &whole, mode);
    let scratch = tasks.iter().map(|task| planned.scratch(task.layer, &task.channels)).max().unwrap_or(0);
    let (held, reads) = weights(planned, &layers, &tasks, setting.storage);
    let row_memory = if layers.start <= planned.last_row_reader { planned.row_memory(setting.source) } else { 0 };
    let mut activations: u64 = whole.iter().map(|&t| planned.bytes(t)).sum();
    activations += rings.iter().map(|(&t, &ring)| ring_bytes(planned, t, ring)).sum::<u64>();
    activations -= overlay.map_or(0, |o| o.saved(planned));
    let instructions = tasks.iter().map(|task| planned.instructions(task.layer, &task.rows, &task.channels)).sum();
    let ram = activations + scratch + held.iter().map(|h| aligned(h.bytes)).sum::<u64>() + row_memory;
    let cost = Cost { activations, ram, reads, instructions };
    Some(Segment { tasks, rings, windows, streamed: streamed.is_some(), overlay, scratch, held, row_memory, cost })
}

impl Segment {
    /// Bytes that it would need more with output and input side by side; nothing in place.
    pub(super) fn saved(&self, planned: &Planned) -> u64 {
        self.overlay.filter(|o| o.distance > 0).map_or(0, |o| o.saved(planned))
    }

    /// Puts output and input side by side where that stays within `ram`: what lies at a fixed distance is harder to place.
    pub(super) fn relax(&mut self, planned: &Planned, ram: u64) {
        let saved = self.saved(planned);
        if saved > 0 && self.cost.ram + saved <= ram {
            self.overlay = None;
            self.cost.ram += saved;
            self.cost.activations += saved;
        }
    }
}

/// The closest that the segment's output may come to an input that dies in it.
fn overlay(planned: &Planned, layers: &Range<usize>, tasks: &[Task], whole: &[usize], mode: Mode) -> Option<Overlay> {
    let net = &planned.network.layers;
    let (first, end) = (layers.start as isize, layers.end as isize);
    if matches!(mode, Mode::Channels { .. }) {
        return None;
    }
    // The one tensor that the segment makes for others, whole from here on.
    let mut made: Vec<usize> = whole.iter().copied().filter(|&t| planned.life[t].from >= first).collect();
    let (Some(y), true) = (made.pop(), made.is_empty()) else { return None };
    let makers = net.iter().filter(|layer| layer.output() == y).count();
    let dies = |t: usize| planned.life[t].from < first && planned.life[t].to < end && whole.contains(&t);
    let candidates = layers.clone().flat_map(|l| net[l].inputs()).filter(|&t| dies(t));
    let closest = |x: usize| {
        let layer = &net[layers.start];
        let in_place = layers.len() == 1 && layer.record.op.runs_in_place() && layer.inputs().eq([x]) && makers == 1;
        let same = planned.tensors[x].elements() * planned.tensors[x].dtype.bytes()
            == planned.tensors[y].elements() * planned.tensors[y].dtype.bytes();
        if in_place && same {
            return Some(Overlay { x, y, distance: 0 });
        }
        distance(planned, tasks, x, y).map(|distance| Overlay { x, y, distance })
    };
    candidates.filter_map(closest).max_by_key(|o| o.saved(planned)).filter(|o| o.saved(planned) > 0)
}

/// Weights in RAM, and bytes of weights read. What is mapped is read where it lies, once.
fn weights(planned: &Planned, layers: &Range<usize>, tasks: &[Task], storage: bool) -> (Vec<Held>, u64) {
    let (mut held, mut reads) = (Vec::new(), 0);
    for layer in layers.clone() {
        let mut chunks: Vec<(Range<u32>, u64)> = Vec::new();
        for task in tasks.iter().filter(|task| task.layer == layer) {
            let channels = if planned.is_cut_by_channels(layer) { task.channels.clone() } else { planned.made(layer).1 };
            let bytes = planned.chunk_bytes(layer, &task.rows, &task.channels);
            // In bands the blocks come again and again; elsewhere a block's tasks follow each other and share what is there.
            if bytes > 0 && chunks.last().is_none_or(|(last, _)| *last != channels) {
                chunks.push((channels, bytes));
            }
        }
        let Some(largest) = chunks.iter().map(|(_, bytes)| *bytes).max() else { continue };
        held.push(Held { layer, bytes: largest });
        reads += chunks.iter().map(|(_, bytes)| bytes).sum::<u64>();
    }
    if !storage {
        held.clear();
    }
    (held, reads)
}
