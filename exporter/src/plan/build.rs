//! Segments with offsets become a plan.

use super::problem::Planned;
use super::segment::Segment;
use super::terms::{Bound, ChunkPart, Plan, PlanOptions};
use super::things::{Thing, offsets, peak, things};
use staticnet::record::{NONE16, NONE32, Slot, Step};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Slots, each listed once.
#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    index: HashMap<(u16, u16, u16, u32, u32), u16>,
}

impl Slots {
    fn index_of(&mut self, slot: Slot) -> u16 {
        let key = (slot.tensor, slot.c0, slot.channels, slot.offset, slot.rows);
        *self.index.entry(key).or_insert_with(|| {
            self.slots.push(slot);
            self.slots.len() as u16 - 1
        })
    }
}

/// Chunks, each listed once, in the order in which they are first read.
#[derive(Default)]
struct Chunks {
    parts: Vec<ChunkPart>,
    index: HashMap<ChunkPart, u32>,
}

impl Chunks {
    /// Its index, and whether it is new.
    fn index_of(&mut self, part: ChunkPart) -> (u32, bool) {
        let new = self.parts.len() as u32;
        let index = *self.index.entry(part).or_insert(new);
        if index == new {
            self.parts.push(part);
        }
        (index, index == new)
    }
}

/// The plan of these segments.
pub(super) fn build(planned: &Planned, options: &PlanOptions, segments: &[(Range<usize>, Segment)], bound: Bound) -> Plan {
    let groups = things(planned, segments);
    let goal = segments.iter().map(|(_, s)| s.cost.ram).max().unwrap_or(0);
    let (places, ram_bytes) = offsets(&groups, goal);
    let at = |thing: Thing| places.get(&thing).map_or(0, |&(at, _)| at as u32);
    let (mut slots, mut chunks) = (Slots::default(), Chunks::default());
    let mut steps = Vec::new();
    let mut weight_bytes_read = 0;
    let whole = |t: usize| {
        let info = &planned.tensors[t];
        Slot { tensor: t as u16, c0: 0, channels: info.channels as u16, offset: at(Thing::Whole(t)), rows: info.height }
    };
    for (time, (_, segment)) in segments.iter().enumerate() {
        let slot_of = |t: usize, block: usize| {
            let Some(&(rows, channels)) = segment.rings.get(&t) else { return whole(t) };
            let window = segment.windows.get(block).and_then(|w| w.get(&t)).cloned().unwrap_or(0..channels);
            let (c0, channels) = (window.start as u16, window.len() as u16);
            Slot { tensor: t as u16, c0, channels, offset: at(Thing::Ring(time, t)), rows }
        };
        // The chunk that lies in each layer's place.
        let mut there: BTreeMap<usize, u32> = BTreeMap::new();
        for task in &segment.tasks {
            let layer = &planned.network.layers[task.layer];
            let input = |i: usize, slots: &mut Slots| match layer.input(i) {
                Some(t) => slots.index_of(slot_of(t, task.block)),
                None => NONE16,
            };
            let (x, x2) = (input(0, &mut slots), input(1, &mut slots));
            let output = slots.index_of(slot_of(layer.output(), task.block));
            let bytes = planned.chunk_bytes(task.layer, &task.rows, &task.channels);
            let (mut chunk, mut load, mut place) = (NONE32, false, NONE32);
            if bytes > 0 {
                let (all_rows, all_channels) = planned.made(task.layer);
                let rows = if planned.is_cut_by_rows(task.layer) { &task.rows } else { &all_rows };
                let channels = if planned.is_cut_by_channels(task.layer) { &task.channels } else { &all_channels };
                let part =
                    ChunkPart { layer: task.layer, rows: (rows.start, rows.end), channels: (channels.start, channels.end) };
                let (index, new) = chunks.index_of(part);
                chunk = index;
                // What is mapped is not brought anywhere: it counts once.
                load = if options.storage { there.insert(task.layer, index) != Some(index) } else { new };
                if options.storage {
                    place = at(Thing::Weights(time, task.layer));
                }
                weight_bytes_read += if load { bytes } else { 0 };
            }
            steps.push(Step {
                layer: task.layer as u16,
                input: x,
                input2: x2,
                output,
                r0: task.rows.start as u16,
                r1: task.rows.end as u16,
                c0: task.channels.start as u16,
                c1: task.channels.end as u16,
                chunk,
                scratch: at(Thing::Scratch(time)),
                place,
                load,
            });
        }
    }
    // A streamed input's ring is the first segment's.
    let input_slot = |t: usize| match segments.first().and_then(|(_, s)| s.rings.get(&t)) {
        Some(&(rows, channels)) => {
            Slot { tensor: t as u16, c0: 0, channels: channels as u16, offset: at(Thing::Ring(0, t)), rows }
        }
        None => whole(t),
    };
    let inputs = planned.network.inputs.iter().map(|&t| slots.index_of(input_slot(t))).collect();
    let outputs = planned.network.outputs.iter().map(|&t| slots.index_of(whole(t))).collect();
    let activations = segments.iter().map(|(_, s)| s.cost.activations).max();
    let no_steps = planned.network.inputs.iter().map(|&t| planned.bytes(t)).sum();
    Plan {
        slots: slots.slots,
        steps,
        chunks: chunks.parts,
        inputs,
        outputs,
        activation_bytes: activations.unwrap_or(no_steps).min(u32::MAX as u64) as u32,
        ram_bytes: ram_bytes.min(u32::MAX as u64) as u32,
        stack_bytes: options.stack.min(u32::MAX as u64) as u32,
        storage: options.storage,
        source: options.source.map(|source| (source, at(Thing::RowMemory))),
        weight_bytes_read,
        bound,
        peak: peak(planned, &groups, segments),
    }
}
