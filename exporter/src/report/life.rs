//! What lies where in RAM from which step to which, read off an artifact's own slots and steps.

use super::segment::{Segment, chunk_len, layer_name, segments};
use staticnet::record::{NONE16, NONE32, Slot, Step, TensorInfo};
use staticnet::{ALL_OPS, Artifact};
use std::collections::BTreeMap;

/// What something in RAM is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Rows and channels of a tensor.
    Activations,
    /// Weights out of a storage.
    Weights,
    /// What a kernel needs besides.
    Scratch,
    /// Memory of an input that comes row by row.
    RowMemory,
}

impl Kind {
    /// All kinds, in the order of legends.
    pub const ALL: [Kind; 4] = [Kind::Activations, Kind::Weights, Kind::Scratch, Kind::RowMemory];

    /// What legends call it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Activations => "activations",
            Kind::Weights => "weights",
            Kind::Scratch => "scratch",
            Kind::RowMemory => "row memory",
        }
    }
}

/// Bytes of RAM that serve one thing from one step to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// What it is for.
    pub kind: Kind,
    /// Index of the tensor that lies there, or that the weights are for.
    pub tensor: Option<usize>,
    /// The layer that makes the tensor, or whose weights they are; `input` for a network's input.
    pub name: String,
    /// How much of it: a ring, a window, blocks.
    pub detail: String,
    /// First step.
    pub first: usize,
    /// Last step.
    pub last: usize,
    /// First byte in RAM.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Life {
    /// One past the last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.bytes
    }

    /// From which step to which.
    pub fn steps(&self) -> String {
        step_range(self.first, self.last)
    }

    /// Whether it is there during a step.
    pub fn is_at(&self, step: usize) -> bool {
        (self.first..=self.last).contains(&step)
    }

    /// Adds a step.
    fn extend(&mut self, step: usize) {
        (self.first, self.last) = (self.first.min(step), self.last.max(step));
    }
}

/// The RAM of a run over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Everything in RAM, in the order in which it comes.
    pub lives: Vec<Life>,
    /// The steps, those of layers that run together in one.
    pub segments: Vec<Segment>,
    /// Number of steps.
    pub steps: usize,
    /// Bytes of RAM, without the stack.
    pub ram: u64,
    /// The artifact's own figure of RAM that holds activations.
    pub activations: u64,
    /// Stack that the plan counts on, as it was stated.
    pub stack: u64,
    /// Bytes of all chunks of weights.
    pub weights: u64,
    /// Bytes of weights that a pass reads.
    pub weights_read: u64,
    /// Whether the first input comes row by row.
    pub streamed: bool,
}

impl Memory {
    /// The memory of an artifact.
    pub fn of(artifact: &Artifact) -> Self {
        let steps: Vec<Step> = (0..artifact.step_count()).filter_map(|i| artifact.step(i)).collect();
        let segments = segments(artifact, &steps);
        let mut lives = tensors(artifact, &steps);
        lives.extend(weights(artifact, &steps));
        lives.extend(scratch(artifact, &steps, &segments));
        lives.extend(row_memory(artifact, &steps));
        lives.sort_by_key(|life| (life.first, life.kind, life.tensor, life.offset));
        Memory {
            lives,
            segments,
            steps: steps.len(),
            ram: artifact.ram_bytes() as u64,
            activations: artifact.activation_bytes() as u64,
            stack: artifact.stack_bytes() as u64,
            weights: (0..artifact.chunk_count()).map(|i| chunk_len(artifact, i as u32)).sum(),
            weights_read: steps.iter().filter(|step| step.load).map(|step| chunk_len(artifact, step.chunk)).sum(),
            streamed: artifact.is_streamed(),
        }
    }

    /// Bytes in use during a step; what two lives share counts once.
    pub fn used(&self, step: usize) -> u64 {
        let mut spans: Vec<(u64, u64)> = self.lives.iter().filter(|l| l.is_at(step)).map(|l| (l.offset, l.end())).collect();
        spans.sort_unstable();
        let (mut used, mut done) = (0, 0);
        for (from, to) in spans {
            used += to.saturating_sub(from.max(done));
            done = done.max(to);
        }
        used
    }

    /// The first of the steps from `first` to `last` at which most bytes are in use, and how many they are.
    pub fn peak(&self, first: usize, last: usize) -> (usize, u64) {
        // Use only grows where something begins.
        let begins = self.lives.iter().map(|life| life.first).filter(|step| (first..=last).contains(step));
        let mut steps: Vec<usize> = std::iter::once(first).chain(begins).collect();
        steps.sort_unstable();
        steps.dedup();
        let mut peak = (first, 0);
        for step in steps {
            let used = self.used(step);
            if used > peak.1 {
                peak = (step, used);
            }
        }
        peak
    }
}

/// Steps as text.
pub(super) fn step_range(first: usize, last: usize) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// A tensor's name: that of the layer that makes it.
fn tensor_name(artifact: &Artifact, tensor: usize) -> String {
    let inputs = artifact.input_count();
    let is = |slot: Option<Slot>| slot.is_some_and(|slot| slot.tensor as usize == tensor);
    if let Some(i) = (0..inputs).find(|&i| is(artifact.input_slot(i))) {
        return if inputs == 1 { "input".into() } else { format!("input {i}") };
    }
    let makes = |&i: &usize| artifact.layer(i).is_some_and(|layer| layer.output as usize == tensor);
    let maker = (0..artifact.layer_count()).find(makes);
    maker.map_or_else(|| format!("tensor {tensor}"), |layer| layer_name(artifact, layer))
}

/// A slot's bytes: those of its rows.
fn slot_bytes(slot: Slot, tensor: &TensorInfo) -> u64 {
    let (first, end) = slot.span(tensor, (0, slot.rows));
    end - first
}

/// What a slot holds of its tensor.
fn slot_detail(slot: Slot, tensor: &TensorInfo) -> String {
    let rows = match slot.has_all_rows(tensor) {
        true => "whole".to_string(),
        false => format!("{} of {} rows", slot.rows, tensor.height),
    };
    match slot.has_all_channels(tensor) {
        true => rows,
        false => format!("{rows}, {} of {} channels", slot.channels, tensor.channels),
    }
}

/// Tensors, one life for each place that one has: windows of channels that follow each other there are the same.
fn tensors(artifact: &Artifact, steps: &[Step]) -> Vec<Life> {
    let mut lives: BTreeMap<(u16, u32), Life> = BTreeMap::new();
    let mut touch = |index: u16, step: usize| {
        let Some(slot) = artifact.slot(index as usize) else { return };
        let Some(tensor) = artifact.tensor(slot.tensor as usize) else { return };
        let bytes = slot_bytes(slot, &tensor);
        let life = lives.entry((slot.tensor, slot.offset)).or_insert_with(|| Life {
            kind: Kind::Activations,
            tensor: Some(slot.tensor as usize),
            name: tensor_name(artifact, slot.tensor as usize),
            detail: String::new(),
            first: step,
            last: step,
            offset: slot.offset as u64,
            bytes: 0,
        });
        life.extend(step);
        if bytes > life.bytes {
            (life.bytes, life.detail) = (bytes, slot_detail(slot, &tensor));
        }
    };
    let slots = |of: &dyn Fn(usize) -> Option<Slot>, count: usize| -> Vec<u16> {
        let is = |i: &usize| (0..count).any(|k| of(k).is_some_and(|slot| artifact.slot(*i) == Some(slot)));
        (0..artifact.slot_count()).filter(is).map(|i| i as u16).collect()
    };
    // Inputs are there before the first step, outputs until somebody has read them.
    slots(&|i| artifact.input_slot(i), artifact.input_count()).into_iter().for_each(|slot| touch(slot, 0));
    for (i, step) in steps.iter().enumerate() {
        let read_or_written = [step.input, step.input2, step.output];
        read_or_written.into_iter().filter(|&slot| slot != NONE16).for_each(|slot| touch(slot, i));
    }
    let end = steps.len().saturating_sub(1);
    slots(&|i| artifact.output_slot(i), artifact.output_count()).into_iter().for_each(|slot| touch(slot, end));
    lives.into_values().collect()
}

/// Places of weights, one life for each layer that has one there.
fn weights(artifact: &Artifact, steps: &[Step]) -> Vec<Life> {
    let mut lives: BTreeMap<(u16, u32), (Life, Vec<u32>)> = BTreeMap::new();
    for (i, step) in steps.iter().enumerate().filter(|(_, step)| step.place != NONE32) {
        let layer = step.layer as usize;
        let (life, chunks) = lives.entry((step.layer, step.place)).or_insert_with(|| {
            let life = Life {
                kind: Kind::Weights,
                tensor: artifact.layer(layer).map(|layer| layer.output as usize),
                name: format!("weights of {}", layer_name(artifact, layer)),
                detail: String::new(),
                first: i,
                last: i,
                offset: step.place as u64,
                bytes: 0,
            };
            (life, vec![])
        });
        life.extend(i);
        life.bytes = life.bytes.max(chunk_len(artifact, step.chunk));
        chunks.push(step.chunk);
    }
    let finish = |(mut life, mut chunks): (Life, Vec<u32>)| {
        chunks.sort_unstable();
        chunks.dedup();
        life.detail = match chunks.len() {
            1 => "all".into(),
            n => format!("{n} blocks, one at a time"),
        };
        life
    };
    lives.into_values().map(finish).collect()
}

/// Scratch: all of a segment's in one place is one life.
fn scratch(artifact: &Artifact, steps: &[Step], segments: &[Segment]) -> Vec<Life> {
    let mut lives: BTreeMap<(usize, u32), Life> = BTreeMap::new();
    for (number, segment) in segments.iter().enumerate() {
        for (i, step) in (segment.first..).zip(&steps[segment.first..=segment.last]) {
            let typed = artifact.typed_layer(step.layer as usize);
            let bytes = typed.map_or(0, |typed| typed.scratch_bytes::<ALL_OPS>(step.c1 as u64 - step.c0 as u64));
            if bytes == 0 {
                continue;
            }
            let life = lives.entry((number, step.scratch)).or_insert_with(|| Life {
                kind: Kind::Scratch,
                tensor: None,
                name: "scratch".into(),
                detail: format!("of {}", segment.layers_within(40)),
                first: i,
                last: i,
                offset: step.scratch as u64,
                bytes: 0,
            });
            life.extend(i);
            life.bytes = life.bytes.max(bytes);
        }
    }
    lives.into_values().collect()
}

/// The memory that makes rows of input 0, until the last of these is read.
fn row_memory(artifact: &Artifact, steps: &[Step]) -> Option<Life> {
    let (source, offset) = (artifact.source()?, artifact.row_memory()?);
    let input = artifact.input_slot(0)?.tensor;
    let tensor = artifact.tensor(input as usize)?;
    let reads =
        |step: &Step| [step.input, step.input2].iter().any(|&s| artifact.slot(s as usize).is_some_and(|s| s.tensor == input));
    Some(Life {
        kind: Kind::RowMemory,
        tensor: None,
        name: "row memory".into(),
        detail: format!("for pictures of {}x{}, {}", source.width, source.height, source.format.name()),
        first: 0,
        last: steps.iter().rposition(reads).unwrap_or(0),
        offset: offset as u64,
        bytes: staticnet::preprocess::row_memory_bytes(tensor.width, tensor.channels, tensor.dtype.is_i8()),
    })
}
