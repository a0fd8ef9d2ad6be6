//! Plans that stream every layer through rings of rows in blocks of channels, cut at random: the engine runs what the planner
//! never makes.

use crate::net::rows_read;
use crate::random::Random;
use staticnet::ALL_OPS;
use staticnet::op::Op;
use staticnet::record::{NONE16, NONE32, Slot, Step, TensorInfo};
use staticnet::step::Typed;
use staticnet_exporter::emit::{self, Emitted};
use staticnet_exporter::payload::Payload;
use staticnet_exporter::plan::{Bound, ChunkPart, Plan};
use staticnet_exporter::quantized::{QuantLayer, Quantized};
use std::collections::HashMap;
use std::ops::Range;

/// Blocks of rows, and of channels.
type Blocks = (Vec<Range<usize>>, Vec<Range<usize>>);

/// Where weights are, and how input 0 comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Weights in a storage, brought to one place in RAM for all layers (true) or to one for each (false); none where they are
    /// mapped.
    pub storage: Option<bool>,
    /// Input 0 is held in a ring of rows, where nobody gets it back.
    pub by_rows: bool,
}

impl Setting {
    /// Any.
    pub fn random(random: &mut Random) -> Self {
        Setting { storage: random.pick(&[None, Some(false), Some(true)]), by_rows: random.one_in(2) }
    }
}

/// A schedule under construction: every layer makes its rows only when one behind it asks for them.
struct Schedule<'n> {
    network: &'n Quantized,
    setting: Setting,
    /// How each layer's rows and channels are cut.
    blocks: Vec<Blocks>,
    /// Row blocks that each layer has made.
    made: Vec<usize>,
    /// Layer and row block, in order.
    order: Vec<(usize, usize)>,
}

/// Rows and channels of its output that a layer makes.
fn part(network: &Quantized, layer: &QuantLayer) -> (Range<usize>, Range<usize>) {
    let size = |t: usize| network.tensors[t].size().map(|n| n as usize);
    match layer.record.op {
        Op::Place(place) => {
            let x = layer.input(0).expect("a part of something");
            let ([top, _, front], [h, _, c]) = (place.offset.map(usize::from), size(x));
            (top..top + h, front..front + c)
        }
        _ => (0..size(layer.output())[0], 0..size(layer.output())[2]),
    }
}

/// Random cuts of a range.
fn cut(random: &mut Random, range: Range<usize>) -> Vec<Range<usize>> {
    random.cuts(range.len()).into_iter().map(|r| r.start + range.start..r.end + range.start).collect()
}

/// Rows of input `i` that `rows` of a layer's output are made of.
fn reads(network: &Quantized, layer: &QuantLayer, i: usize, rows: &Range<usize>) -> Range<usize> {
    let size = network.tensors[layer.input(i).expect("counted")].size();
    rows_read(&layer.record.op, size.map(|n| n as usize), rows)
}

impl<'n> Schedule<'n> {
    fn new(network: &'n Quantized, setting: Setting, random: &mut Random) -> Self {
        let blocks = |layer: &QuantLayer| {
            let (rows, channels) = part(network, layer);
            (cut(random, rows), cut(random, channels))
        };
        let blocks: Vec<Blocks> = network.layers.iter().map(blocks).collect();
        let mut schedule = Schedule { network, setting, made: vec![0; blocks.len()], blocks, order: Vec::new() };
        for layer in (0..network.layers.len()).rev() {
            while schedule.made[layer] < schedule.blocks[layer].0.len() {
                schedule.next(layer);
            }
        }
        schedule
    }

    /// Makes the next block of rows of a layer, and before it what it reads.
    fn next(&mut self, layer: usize) {
        let (record, block) = (&self.network.layers[layer], self.made[layer]);
        let rows = self.blocks[layer].0[block].clone();
        for (i, tensor) in record.inputs().enumerate() {
            let end = reads(self.network, record, i, &rows).end;
            for maker in (0..layer).filter(|&l| self.network.layers[l].output() == tensor) {
                while self.blocks[maker].0.get(self.made[maker]).is_some_and(|rows| rows.start < end) {
                    self.next(maker);
                }
            }
        }
        self.order.push((layer, block));
        self.made[layer] += 1;
    }

    /// Rows that one entry of the order reads of a tensor, for each of its inputs that reads any.
    fn reads_of(&self, (layer, block): (usize, usize), tensor: usize) -> impl Iterator<Item = Range<usize>> {
        let (record, rows) = (&self.network.layers[layer], &self.blocks[layer].0[block]);
        let inputs = record.inputs().enumerate().filter(move |(_, t)| *t == tensor);
        inputs.map(move |(i, _)| reads(self.network, record, i, rows)).filter(|rows| !rows.is_empty())
    }

    /// Rows that must be kept of a tensor: from the first that anybody still reads to the last that is made.
    fn ring(&self, tensor: usize) -> usize {
        let (network, height) = (self.network, self.network.tensors[tensor].info.height as usize);
        let streamed = self.setting.by_rows && network.inputs[0] == tensor;
        if network.outputs.contains(&tensor) || (network.inputs.contains(&tensor) && !streamed) {
            return height;
        }
        let first_read_from =
            |at: usize| self.order[at..].iter().flat_map(|&entry| self.reads_of(entry, tensor)).map(|rows| rows.start).min();
        let (mut written, mut most) = (0, 1);
        for (at, &(layer, block)) in self.order.iter().enumerate() {
            if streamed {
                // A row comes when it is waited for.
                let end = self.reads_of((layer, block), tensor).map(|rows| rows.end).max().unwrap_or(0);
                if end > written {
                    written = end;
                    most = most.max(written - first_read_from(at).unwrap_or(0));
                }
            } else if network.layers[layer].output() == tensor {
                let rows = &self.blocks[layer].0[block];
                written = written.max(rows.end);
                // A second part of a concatenation is written beside the first: both must find their rows.
                let first = first_read_from(at).unwrap_or(rows.start).min(rows.start);
                most = most.max(written - first);
            }
        }
        most.min(height)
    }

    /// Steps and places.
    fn plan(&self) -> Plan {
        let layers = &self.network.layers;
        let tensors: Vec<TensorInfo> = self.network.tensors.iter().map(|tensor| tensor.info).collect();
        let (mut end, mut slots) = (0, Vec::new());
        for (i, t) in tensors.iter().enumerate() {
            let rows = self.ring(i) as u32;
            slots.push(Slot { tensor: i as u16, c0: 0, channels: t.channels as u16, offset: end, rows });
            end += (rows as u64 * t.row_bytes()).next_multiple_of(16) as u32;
        }
        let x = |l: &QuantLayer| &tensors[l.input(0).unwrap_or_else(|| l.output())];
        let typed = |layer: usize| {
            let l = &layers[layer];
            Typed { layer: l.record, x: *x(l), x2: *x(l), y: tensors[l.output()] }
        };
        let scratch = |layer: usize| typed(layer).scratch_bytes::<ALL_OPS>(tensors[layers[layer].output()].channels.into());
        let largest = (0..layers.len()).map(scratch).max().unwrap_or(0).next_multiple_of(16) as u32;
        let bytes = |layer: usize, rows: &Range<usize>, channels: &Range<usize>| {
            typed(layer).chunk_bytes::<ALL_OPS>(rows.len() as u64, channels.len() as u64)
        };
        let (activation_bytes, mut ram) = (end, end + largest);
        let mut places: HashMap<usize, (u32, u64)> = HashMap::new();
        if let Some(shared) = self.setting.storage {
            for (layer, record) in layers.iter().enumerate() {
                let (rows, channels) = part(self.network, record);
                let all = bytes(layer, &rows, &channels);
                let (_, len) = places.entry(if shared { 0 } else { layer }).or_default();
                *len = all.max(*len);
            }
            for (place, len) in places.values_mut() {
                *place = ram;
                ram += len.next_multiple_of(16) as u32;
            }
        }
        let (mut steps, mut chunks): (Vec<Step>, Vec<ChunkPart>) = (Vec::new(), Vec::new());
        let (mut known, mut there) = (HashMap::new(), HashMap::new());
        let mut weight_bytes_read = 0;
        for &(layer, block) in &self.order {
            let (rows, input) = (&self.blocks[layer].0[block], |i: usize| layers[layer].input(i).map_or(NONE16, |t| t as u16));
            for channels in &self.blocks[layer].1 {
                let (mut chunk, mut place, mut load) = (NONE32, NONE32, false);
                let needed = bytes(layer, rows, channels);
                if needed > 0 {
                    let range = |r: &Range<usize>| (r.start as u32, r.end as u32);
                    let rows = match layers[layer].record.op {
                        Op::Constant | Op::Resize => rows.clone(),
                        _ => part(self.network, &layers[layer]).0,
                    };
                    let part = ChunkPart { layer, rows: range(&rows), channels: range(channels) };
                    chunk = *known.entry(part).or_insert_with(|| {
                        chunks.push(part);
                        chunks.len() as u32 - 1
                    });
                    let at = if self.setting.storage == Some(true) { 0 } else { layer };
                    place = places.get(&at).map_or(NONE32, |(place, _)| *place);
                    load = there.insert(at, chunk) != Some(chunk);
                    weight_bytes_read += if load { needed } else { 0 };
                }
                steps.push(Step {
                    layer: layer as u16,
                    input: input(0),
                    input2: input(1),
                    output: layers[layer].output() as u16,
                    r0: rows.start as u16,
                    r1: rows.end as u16,
                    c0: channels.start as u16,
                    c1: channels.end as u16,
                    chunk,
                    scratch: activation_bytes,
                    place,
                    load,
                });
            }
        }
        let io = |tensors: &[usize]| tensors.iter().map(|&t| t as u16).collect();
        Plan {
            slots,
            steps,
            chunks,
            inputs: io(&self.network.inputs),
            outputs: io(&self.network.outputs),
            activation_bytes,
            ram_bytes: ram,
            stack_bytes: 0,
            storage: self.setting.storage.is_some(),
            source: None,
            weight_bytes_read,
            bound: Bound { ram: 0, reads: 0 },
            peak: vec![],
        }
    }
}

/// The weights of some rows and channels of a layer, whose output has `width` pixels in a row and `all` channels.
fn payload(payload: &Payload, (rows, channels): (&Range<usize>, &Range<usize>), [height, width, all]: [usize; 3]) -> Vec<u8> {
    let elements = || {
        let pixels = rows.clone().flat_map(|r| (0..width).map(move |x| r * width + x));
        pixels.flat_map(|pixel| channels.clone().map(move |c| pixel * all + c))
    };
    let weights_of = |len: usize, outputs: usize| channels.start * (len / outputs)..channels.end * (len / outputs);
    let c = channels.clone();
    let part = match payload {
        Payload::SumCodes { weights, bias, multiplier, scale } => Payload::SumCodes {
            weights: weights[weights_of(weights.len(), bias.len())].to_vec(),
            bias: bias[c.clone()].to_vec(),
            multiplier: multiplier[c.clone()].to_vec(),
            scale: scale[c].to_vec(),
        },
        Payload::Sum { weights, bias } => {
            Payload::Sum { weights: weights[weights_of(weights.len(), bias.len())].to_vec(), bias: bias[c].to_vec() }
        }
        Payload::SlopeCodes { negative, slopes } => {
            Payload::SlopeCodes { negative: negative[c.clone()].to_vec(), slopes: slopes[c].to_vec() }
        }
        Payload::Slopes(slopes) => Payload::Slopes(slopes[c].to_vec()),
        Payload::ElementCodes(values) => Payload::ElementCodes(elements().map(|i| values[i]).collect()),
        Payload::Elements(values) => Payload::Elements(elements().map(|i| values[i]).collect()),
        Payload::Taps(taps) => Payload::Taps([&taps[rows.clone()], &taps[height..]].concat()),
        Payload::Grids { scale, zero_point } => {
            Payload::Grids { scale: scale[c.clone()].to_vec(), zero_point: zero_point[c].to_vec() }
        }
        Payload::None | Payload::Factors(_) | Payload::Table(_) | Payload::Exponentials(_) => payload.clone(),
    };
    part.to_bytes()
}

/// A network, int8 or f32, planned so, cut at random.
pub fn streamed(network: &Quantized, setting: Setting, random: &mut Random) -> Emitted {
    let plan = Schedule::new(network, setting, random).plan();
    let (bytes, chunks) = emit::payload(&mut network.clone(), &plan.chunks);
    for (part, chunk) in plan.chunks.iter().zip(&chunks) {
        let range = |(first, end): (u32, u32)| first as usize..end as usize;
        let (rows, channels, layer) = (range(part.rows), range(part.channels), &network.layers[part.layer]);
        let size = network.tensors[layer.output()].size().map(|n| n as usize);
        let want = payload(&layer.payload, (&rows, &channels), size);
        assert_eq!(bytes.as_ref()[chunk.offset as usize..][..chunk.len as usize], want, "{part:?} of {}", layer.name);
    }
    emit::emit(network, &plan, (bytes, &chunks), false).expect("the plan is acceptable")
}
