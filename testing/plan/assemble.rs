//! From a network and a plan to the bytes of an artifact.

use super::Plan;
use crate::net::{Net, Weights};
use crate::surgery::{Parts, Section, checksum};
use staticnet::ALL_OPS;
use staticnet::preprocess::row_memory_bytes;
use staticnet::record::{Chunk, DType, NONE16, NONE32, Slot, Step};
use staticnet::step::Typed;
use std::collections::HashMap;
use std::ops::Range;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Strings as the format has them.
fn strings(texts: &[&str]) -> Vec<u8> {
    let each = texts.iter().flat_map(|text| [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat());
    [&(texts.len() as u16).to_le_bytes()[..], &each.collect::<Vec<u8>>()].concat()
}

/// The slots, each made once.
struct Slots<'n> {
    net: &'n Net,
    plan: &'n Plan,
    offsets: Vec<u32>,
    slots: Vec<Slot>,
}

impl Slots<'_> {
    fn get(&mut self, tensor: u16, window: &Option<Range<usize>>) -> u16 {
        // None, or one that some test knows not to exist.
        if tensor as usize >= self.offsets.len() {
            return tensor;
        }
        let channels = window.clone().unwrap_or(0..self.net.shape(tensor)[2]);
        let (c0, offset) = (channels.start as u16, self.offsets[tensor as usize]);
        let slot = Slot { tensor, c0, channels: channels.len() as u16, offset, rows: self.plan.rings[tensor as usize] as u32 };
        let at = self.slots.iter().position(|s| *s == slot).unwrap_or_else(|| {
            self.slots.push(slot);
            self.slots.len() - 1
        });
        at as u16
    }
}

/// Bytes of the largest window of a tensor that the plan keeps.
fn bytes_of(net: &Net, plan: &Plan, tensor: u16) -> usize {
    let makers = plan.work.iter().filter(|w| net.layers[w.layer].output == tensor);
    let all = net.shape(tensor)[2];
    let channels = makers.map(|w| w.to.as_ref().map_or(all, |window| window.len())).max().unwrap_or(all);
    plan.rings[tensor as usize] * net.info(tensor).row_bytes() as usize / all * channels
}

/// Where each tensor lies, and the end: every one has a place of its own, but for those in place and those over their input.
fn offsets(net: &Net, plan: &Plan) -> (Vec<u32>, u32) {
    let (mut end, mut offsets) = (0, vec![None; net.tensors.len()]);
    for tensor in 0..net.tensors.len() as u16 {
        let bytes = bytes_of(net, plan, tensor).next_multiple_of(16);
        let in_place = net.layers.iter().find(|l| l.output == tensor && l.op.runs_in_place()).filter(|_| plan.in_place);
        let over = plan.over.iter().find(|&&l| net.layers[l].input == tensor);
        if let Some(layer) = in_place {
            offsets[tensor as usize] = offsets[layer.input as usize];
        } else if let Some(&layer) = over {
            let (lead, output) = (plan.lead(net, layer), net.layers[layer].output);
            offsets[output as usize] = Some(end);
            offsets[tensor as usize] = Some(end + lead as u32);
            end += (lead + bytes).max(bytes_of(net, plan, output).next_multiple_of(16)) as u32;
        }
        if offsets[tensor as usize].is_none() {
            offsets[tensor as usize] = Some(end);
            end += bytes as u32;
        }
    }
    (offsets.into_iter().map(|offset| offset.unwrap_or(0)).collect(), end)
}

/// The artifact: tensors, behind them scratch, row memory, and places of weights; with preprocessing, labels and names.
pub fn assemble(net: &Net, plan: &Plan) -> Vec<u8> {
    let (offsets, end) = offsets(net, plan);
    let mut slots = Slots { net, plan, offsets, slots: vec![] };
    let io: Vec<u16> = net.inputs.iter().chain(&net.outputs).map(|&tensor| slots.get(tensor, &None)).collect();
    let scratch = plan.work.iter().filter(|w| net.layers[w.layer].input != NONE16).map(|w| {
        let layer = &net.layers[w.layer];
        let (x, y) = (net.info(layer.input), net.info(layer.output));
        Typed { layer: *layer, x, x2: x, y }.scratch_bytes::<ALL_OPS>(w.channels.len() as u64) as u32
    });
    let row_memory = end + scratch.max().unwrap_or(0).next_multiple_of(16);
    // A network of constants has no input, and nothing to preprocess.
    let first = net.inputs.first().copied();
    let [h, w, c] = first.map_or([1, 1, 1], |input| net.shape(input));
    let rows = match (plan.source, first) {
        (Some(_), Some(input)) => row_memory_bytes(w as u32, c as u32, net.info(input).dtype == DType::I8) as u32,
        _ => 0,
    };
    let first_place = row_memory + rows.next_multiple_of(16);

    let (mut steps, mut chunks, mut payload, mut ops) = (vec![], vec![], Vec::<u8>::new(), 0u64);
    let mut known = HashMap::new();
    for work in &plan.work {
        let layer = &net.layers[work.layer];
        let weights = &net.weights[work.layer];
        let rows = matches!(weights, Weights::Elements(_) | Weights::Taps(..)).then(|| work.rows.clone());
        let chunk = weights.chunk(work.rows.clone(), work.channels.clone()).map(|bytes| {
            *known.entry((work.layer, work.channels.clone(), rows)).or_insert_with(|| {
                payload.resize(payload.len().next_multiple_of(16), 0);
                chunks.push(Chunk { offset: payload.len() as u32, len: bytes.len() as u32, checksum: checksum(&bytes) });
                payload.extend(bytes);
                chunks.len() as u32 - 1
            })
        });
        steps.push(Step {
            layer: work.layer as u16,
            input: slots.get(layer.input, &work.from),
            input2: slots.get(layer.input2, &None),
            output: slots.get(layer.output, &work.to),
            r0: work.rows.start as u16,
            r1: work.rows.end as u16,
            c0: work.channels.start as u16,
            c1: work.channels.end as u16,
            chunk: chunk.unwrap_or(NONE32),
            scratch: end,
            place: NONE32,
            load: false,
        });
    }
    // Each place has room for any chunk; one that still holds the right one is not loaded again.
    let largest = chunks.iter().map(|c| c.len).max().unwrap_or(0).next_multiple_of(16);
    let (mut holds, mut turn) = (vec![NONE32; plan.places.max(1)], 0);
    for step in steps.iter_mut().filter(|step| step.chunk != NONE32) {
        let held = holds.iter().position(|&chunk| chunk == step.chunk);
        step.load = held.is_none();
        let at = held.unwrap_or_else(|| {
            turn = (turn + 1) % holds.len();
            turn
        });
        holds[at] = step.chunk;
        if plan.places > 0 {
            step.place = first_place + at as u32 * largest;
        }
    }
    let ram = first_place + plan.places as u32 * largest;
    for layer in &net.layers {
        let dtype = net.info(if layer.input == NONE16 { layer.output } else { layer.input }).dtype;
        ops |= layer.op.code().head_bit(dtype);
    }
    let counts = [net.inputs.len() as u16, net.outputs.len() as u16];
    let io = counts.iter().chain(&io).flat_map(|n| n.to_le_bytes()).collect();
    let names: Vec<&str> = net.layers.iter().map(|layer| layer.op.name()).collect();
    let mut sections = vec![
        (1, net.tensors.iter().flat_map(|r| r.encode()).collect()),
        (2, net.layers.iter().flat_map(|r| r.encode()).collect()),
        (3, slots.slots.iter().flat_map(|r| r.encode()).collect()),
        (4, steps.iter().flat_map(|r| r.encode()).collect()),
        (5, chunks.iter().flat_map(|r| r.encode()).collect()),
        (6, io),
        (8, strings(&["a", "cat", "grün", "", "dog"])),
        (9, strings(&names)),
    ];
    if first.is_some() && (c == 3 || c == 1) {
        let mut preprocess = vec![w as u8, 0, h as u8, 0, c as u8, 0, 0, 0];
        preprocess.extend([0.5f32, 0.5, 0.5, 0.25, 0.3, 0.2].iter().flat_map(|v| v.to_le_bytes()));
        sections.insert(6, (7, preprocess));
    }
    if let Some((width, height, format)) = plan.source {
        let ([w0, w1], [h0, h1], [m0, m1, m2, m3]) = (width.to_le_bytes(), height.to_le_bytes(), row_memory.to_le_bytes());
        sections.push((11, vec![w0, w1, h0, h1, format, 0, 0, 0, m0, m1, m2, m3, 0, 0, 0, 0]));
    }
    let section = |(id, bytes): (u16, Vec<u8>)| Section { id, version: 1, required: id < 7, bytes };
    let mut header = vec![0; 64];
    put(&mut header, 0, b"SNET");
    put(&mut header, 4, &4u16.to_le_bytes());
    put(&mut header, 6, &(if plan.places > 0 { 2u16 } else { 0 }).to_le_bytes());
    put(&mut header, 12, &(payload.len() as u32).to_le_bytes());
    put(&mut header, 24, &ram.to_le_bytes());
    put(&mut header, 28, &end.to_le_bytes());
    put(&mut header, 32, &ops.to_le_bytes());
    put(&mut header, 48, &checksum(&payload).to_le_bytes());
    put(&mut header, 56, &2048u32.to_le_bytes());
    Parts { header, sections: sections.into_iter().map(section).collect(), payload }.assemble()
}
