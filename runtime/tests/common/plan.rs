//! Plans for networks put together by hand, and the artifacts they make.

use super::Random;
use super::net::Net;
use super::surgery::{Parts, Section, fletcher};
use staticnet::record::{Chunk, NONE16, NONE32, Slot, Step};
use staticnet::scratch_bytes;
use std::ops::Range;

/// A step before it has its chunk.
#[derive(Clone, Debug)]
pub struct Work {
    pub layer: usize,
    pub rows: Range<usize>,
    pub channels: Range<usize>,
}

/// When what is made, and how much is kept of each tensor.
#[derive(Clone, Debug)]
pub struct Plan {
    pub work: Vec<Work>,
    /// Rows of each tensor's ring.
    pub rings: Vec<usize>,
    /// Whether operators that may run in place do.
    pub in_place: bool,
}

/// The rows and channels of a layer's output that the layer makes.
fn part(net: &Net, layer: usize) -> (Range<usize>, Range<usize>) {
    let record = &net.layers[layer];
    let [h, _, c] = net.shape(record.output);
    match &record.op {
        staticnet::op::Op::Place(place) => {
            let ([top, _, front], [h, _, c]) = (place.offset.map(usize::from), net.shape(record.input));
            (top..top + h, front..front + c)
        }
        _ => (0..h, 0..c),
    }
}

fn shifted(ranges: Vec<Range<usize>>, by: usize) -> Vec<Range<usize>> {
    ranges.into_iter().map(|r| r.start + by..r.end + by).collect()
}

/// Layer by layer, one step each, in place where possible.
pub fn whole(net: &Net) -> Plan {
    let work = (0..net.layers.len()).map(|layer| {
        let (rows, channels) = part(net, layer);
        Work { layer, rows, channels }
    });
    let rings = net.tensors.iter().map(|t| t.height as usize).collect();
    Plan { work: work.collect(), rings, in_place: true }
}

/// Layer by layer in random blocks.
pub fn cut(net: &Net, random: &mut Random) -> Plan {
    let mut work = vec![];
    for layer in 0..net.layers.len() {
        let (rows, channels) = part(net, layer);
        for rows in shifted(random.cuts(rows.len()), rows.start) {
            for channels in shifted(random.cuts(channels.len()), channels.start) {
                work.push(Work { layer, rows: rows.clone(), channels });
            }
        }
    }
    Plan { work, in_place: false, ..whole(net) }
}

/// Every layer makes its rows in random blocks, and only when the one behind it asks for them; of each tensor as few rows are kept as
/// that needs.
pub fn streamed(net: &Net, random: &mut Random) -> Plan {
    let blocks = |layer: usize| {
        let (rows, channels) = part(net, layer);
        (shifted(random.cuts(rows.len()), rows.start), shifted(random.cuts(channels.len()), channels.start))
    };
    let blocks: Vec<_> = (0..net.layers.len()).map(blocks).collect();
    let mut schedule = Schedule { net, blocks, made: vec![0; net.layers.len()], order: vec![] };
    for layer in (0..net.layers.len()).rev() {
        while schedule.made[layer] < schedule.blocks[layer].0.len() {
            schedule.next(layer);
        }
    }
    let rings = (0..net.tensors.len() as u16).map(|tensor| schedule.ring(tensor)).collect();
    let all_channels = |&(layer, block): &(usize, usize)| {
        let (rows, channels) = &schedule.blocks[layer];
        let rows = rows[block].clone();
        channels.iter().map(move |channels| Work { layer, rows: rows.clone(), channels: channels.clone() })
    };
    Plan { work: schedule.order.iter().flat_map(all_channels).collect(), rings, in_place: false }
}

/// Blocks of rows, and of channels.
type Blocks = (Vec<Range<usize>>, Vec<Range<usize>>);

struct Schedule<'n> {
    net: &'n Net,
    /// Blocks of rows and of channels of each layer.
    blocks: Vec<Blocks>,
    /// How many blocks of rows each layer has made.
    made: Vec<usize>,
    /// Layer and block of rows.
    order: Vec<(usize, usize)>,
}

impl Schedule<'_> {
    /// Makes the next block of rows of a layer, and before it what it reads.
    fn next(&mut self, layer: usize) {
        let (record, block) = (self.net.layers[layer], self.made[layer]);
        let rows = self.blocks[layer].0[block].clone();
        for (i, tensor) in [record.input, record.input2].into_iter().enumerate().filter(|(_, tensor)| *tensor != NONE16) {
            let end = self.net.reads(&record, i, &rows).end;
            for producer in (0..layer).filter(|&l| self.net.layers[l].output == tensor) {
                while self.blocks[producer].0.get(self.made[producer]).is_some_and(|rows| rows.start < end) {
                    self.next(producer);
                }
            }
        }
        self.order.push((layer, block));
        self.made[layer] += 1;
    }

    /// Rows that must be kept of a tensor: from the first that anybody still reads to the last that is made.
    fn ring(&self, tensor: u16) -> usize {
        let height = self.net.shape(tensor)[0];
        if self.net.inputs.contains(&tensor) || self.net.outputs.contains(&tensor) {
            return height;
        }
        // A row is made when its last producer makes it; what comes later must not push out what is read later.
        let (mut written, mut most) = (0, 1);
        let first_read_from = |at: usize| {
            let reads = self.order[at..].iter().flat_map(|&(layer, block)| {
                let (record, rows) = (&self.net.layers[layer], &self.blocks[layer].0[block]);
                let inputs = [record.input, record.input2].into_iter().enumerate().filter(|(_, t)| *t == tensor);
                inputs.map(|(i, _)| self.net.reads(record, i, rows)).filter(|r| !r.is_empty()).collect::<Vec<_>>()
            });
            reads.map(|rows| rows.start).min()
        };
        for (at, &(layer, block)) in self.order.iter().enumerate() {
            if self.net.layers[layer].output == tensor {
                let rows = &self.blocks[layer].0[block];
                written = written.max(rows.end);
                // A second producer writes beside the first: both must find their rows.
                let first = first_read_from(at).unwrap_or(rows.start).min(rows.start);
                most = most.max(written - first);
            }
        }
        most.min(height)
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Strings as the format has them.
fn strings(texts: &[&str]) -> Vec<u8> {
    let each = texts.iter().flat_map(|text| [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat());
    [&(texts.len() as u16).to_le_bytes()[..], &each.collect::<Vec<u8>>()].concat()
}

/// The artifact: every tensor has a place of its own, scratch lies behind them; with preprocessing, labels and names.
pub fn assemble(net: &Net, plan: &Plan) -> Vec<u8> {
    let (mut end, mut slots) = (0u32, Vec::<Slot>::new());
    for (i, t) in net.tensors.iter().enumerate() {
        let (tensor, rows) = (i as u16, plan.rings[i] as u32);
        let above = net.layers.iter().find(|l| l.output == tensor && l.op.runs_in_place()).filter(|_| plan.in_place);
        let offset = above.map_or(end, |layer| slots[layer.input as usize].offset);
        slots.push(Slot { tensor, c0: 0, channels: t.channels as u16, offset, rows });
        end = end.max(offset + (rows as u64 * t.row_bytes()).next_multiple_of(16) as u32);
    }
    let with_input = net.layers.iter().filter(|l| l.input != NONE16);
    let scratch = with_input.map(|l| scratch_bytes(&l.op, &net.info(l.input), net.info(l.output).channels as u64));
    let ram = end + scratch.max().unwrap_or(0).next_multiple_of(16) as u32;

    let (mut steps, mut chunks, mut payload, mut ops) = (vec![], vec![], Vec::<u8>::new(), 0u64);
    for work in &plan.work {
        let layer = &net.layers[work.layer];
        let chunk = net.weights[work.layer].chunk(work.rows.clone(), work.channels.clone()).map(|bytes| {
            payload.resize(payload.len().next_multiple_of(16), 0);
            chunks.push(Chunk { offset: payload.len() as u32, len: bytes.len() as u32, checksum: fletcher(&bytes) });
            payload.extend(bytes);
            chunks.len() as u32 - 1
        });
        steps.push(Step {
            layer: work.layer as u16,
            // Slots have the numbers of their tensors.
            input: layer.input,
            input2: layer.input2,
            output: layer.output,
            r0: work.rows.start as u16,
            r1: work.rows.end as u16,
            c0: work.channels.start as u16,
            c1: work.channels.end as u16,
            chunk: chunk.unwrap_or(NONE32),
            scratch: end,
            place: NONE32,
            load: chunk.is_some(),
        });
    }
    for layer in &net.layers {
        let dtype = net.info(if layer.input == NONE16 { layer.output } else { layer.input }).dtype;
        ops |= layer.op.code().bit(dtype);
    }
    let counts = [net.inputs.len() as u16, net.outputs.len() as u16];
    let io = counts.iter().chain(&net.inputs).chain(&net.outputs).flat_map(|n| n.to_le_bytes()).collect();
    let names: Vec<&str> = net.layers.iter().map(|layer| layer.op.name()).collect();
    let mut sections = vec![
        (1, net.tensors.iter().flat_map(|r| r.encode()).collect()),
        (2, net.layers.iter().flat_map(|r| r.encode()).collect()),
        (3, slots.iter().flat_map(|r| r.encode()).collect()),
        (4, steps.iter().flat_map(|r| r.encode()).collect()),
        (5, chunks.iter().flat_map(|r| r.encode()).collect()),
        (6, io),
        (8, strings(&["a", "cat", "grün", "", "dog"])),
        (9, strings(&names)),
    ];
    let [h, w, c] = net.shape(net.inputs[0]);
    if c == 3 {
        let mut preprocess = vec![w as u8, 0, h as u8, 0, 3, 0, 0, 0];
        preprocess.extend([0.5f32, 0.5, 0.5, 0.25, 0.3, 0.2].iter().flat_map(|v| v.to_le_bytes()));
        sections.insert(6, (7, preprocess));
    }
    let section = |(id, bytes): (u16, Vec<u8>)| Section { id, version: 1, required: id < 7, bytes };
    let mut header = vec![0; 64];
    put(&mut header, 0, b"SNET");
    put(&mut header, 4, &3u16.to_le_bytes());
    put(&mut header, 12, &(payload.len() as u32).to_le_bytes());
    put(&mut header, 24, &ram.to_le_bytes());
    put(&mut header, 28, &end.to_le_bytes());
    put(&mut header, 32, &ops.to_le_bytes());
    put(&mut header, 48, &fletcher(&payload).to_le_bytes());
    Parts { header, sections: sections.into_iter().map(section).collect(), payload }.assemble()
}
