//! Layers in step: each makes its next rows only when somebody behind it asks for them.

use super::problem::Planned;
use std::ops::Range;

/// Rows x channels of a layer, as one step makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// The layer.
    pub layer: usize,
    /// Output rows.
    pub rows: Range<u32>,
    /// Output channels.
    pub channels: Range<u32>,
    /// Which of the segment's channel blocks it belongs to; windows follow from it.
    pub block: usize,
}

struct Pipeline<'p, 'n> {
    planned: &'p Planned<'n>,
    layers: Range<usize>,
    /// Output channels of each layer.
    channels: &'p [Range<u32>],
    block: usize,
    /// First row that each layer has not made yet.
    next: Vec<u32>,
    /// Layers whose inputs are all held whole: they may make several rows at once.
    from_whole: Vec<bool>,
    tasks: Vec<Task>,
}

/// The tasks that make all rows of the segment's layers, those of `channels` (one range a layer). What is seen outside the segment
/// is made evenly, so that branches keep step.
pub(super) fn pipeline(planned: &Planned, layers: Range<usize>, channels: &[Range<u32>], block: usize) -> Vec<Task> {
    let next = layers.clone().map(|l| planned.made(l).0.start).collect();
    let net = &planned.network.layers;
    let made_here = |t: usize| layers.clone().any(|l| net[l].output() == t);
    let comes_in_rows = |t: usize| layers.start == 0 && planned.may_stream(t);
    let is_whole = |t: usize| !made_here(t) && !comes_in_rows(t);
    let from_whole = layers.clone().map(|l| net[l].inputs().all(is_whole)).collect();
    let mut pipeline = Pipeline { planned, layers: layers.clone(), channels, block, next, from_whole, tasks: Vec::new() };
    let sinks: Vec<usize> =
        layers.clone().filter(|&l| planned.life[planned.network.layers[l].output()].to >= layers.end as isize).collect();
    // What nobody reads at all still has to be made.
    let unread = layers.clone().filter(|&l| !sinks.contains(&l)).rev();
    let all: Vec<usize> = sinks.iter().copied().chain(unread).collect();
    let (sinks, rest) = all.split_at(sinks.len());
    let progress = |pipeline: &Pipeline, l: usize| {
        let (rows, _) = planned.made(l);
        let done = pipeline.next[l - layers.start] - rows.start;
        (done < rows.len() as u32).then(|| done as u64 * 65_536 / rows.len() as u64)
    };
    while let Some((_, &sink)) = sinks.iter().filter_map(|l| Some((progress(&pipeline, *l)?, l))).min() {
        pipeline.make(sink, 0);
    }
    for &layer in rest {
        while progress(&pipeline, layer).is_some() {
            pipeline.make(layer, 0);
        }
    }
    pipeline.tasks
}

impl Pipeline<'_, '_> {
    /// Makes the next row of a layer, and before it what it is made of; rows up to `wanted` at once where that takes no longer rings.
    fn make(&mut self, layer: usize, wanted: u32) {
        let index = layer - self.layers.start;
        let (made, _) = self.planned.made(layer);
        let start = self.next[index];
        let end = if self.from_whole[index] { wanted.clamp(start + 1, made.end) } else { start + 1 };
        let rows = start..if self.planned.is_cut_by_rows(layer) { made.end } else { end };
        for (i, tensor) in self.planned.network.layers[layer].inputs().enumerate() {
            let end = self.planned.reads(layer, i, &rows).end;
            for maker in self.layers.start..layer {
                if self.planned.network.layers[maker].output() != tensor {
                    continue;
                }
                let made = self.planned.made(maker).0.end;
                while self.next[maker - self.layers.start] < end.min(made) {
                    self.make(maker, end);
                }
            }
        }
        self.next[index] = rows.end;
        self.tasks.push(Task { layer, rows, channels: self.channels[index].clone(), block: self.block });
    }
}

/// Rows that a ring must hold of a tensor that these tasks make and read.
pub(super) fn ring_rows(planned: &Planned, tasks: &[Task], tensor: usize) -> u32 {
    let layers = &planned.network.layers;
    let reads = |task: &Task| {
        let inputs = layers[task.layer].inputs().enumerate().filter(|(_, t)| *t == tensor);
        inputs
            .map(|(i, _)| planned.reads(task.layer, i, &task.rows))
            .filter(|rows| !rows.is_empty())
            .map(|rows| rows.start)
            .min()
    };
    let writes = |task: &Task| (layers[task.layer].output() == tensor).then(|| task.rows.clone());
    // Backwards: the first row that the tasks from here on touch. A later part of a concatenation is written beside the first.
    let mut first_touched = vec![u32::MAX; tasks.len() + 1];
    for (at, task) in tasks.iter().enumerate().rev() {
        let touched = reads(task).into_iter().chain(writes(task).map(|rows| rows.start)).min();
        first_touched[at] = first_touched[at + 1].min(touched.unwrap_or(u32::MAX));
    }
    let (mut written, mut most) = (0, 1);
    for (at, task) in tasks.iter().enumerate() {
        if let Some(rows) = writes(task) {
            written = written.max(rows.end);
            most = most.max(written - first_touched[at].min(written));
        }
    }
    most.min(planned.tensors[tensor].height)
}

/// Rows that a ring must hold of the network's input, which comes row by row: row `r` when no task is left that has its rows
/// without it.
pub(super) fn input_ring_rows(planned: &Planned, tasks: &[Task], tensor: usize) -> u32 {
    let layers = &planned.network.layers;
    let reads = |task: &Task| {
        let inputs = layers[task.layer].inputs().enumerate().filter(|(_, t)| *t == tensor);
        let rows = inputs.map(|(i, _)| planned.reads(task.layer, i, &task.rows)).filter(|rows| !rows.is_empty());
        rows.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
    };
    let mut first_read = u32::MAX;
    let firsts: Vec<(u32, u32)> = tasks
        .iter()
        .rev()
        .map(|task| {
            let rows = reads(task);
            first_read = first_read.min(rows.as_ref().map_or(u32::MAX, |rows| rows.start));
            (rows.map_or(0, |rows| rows.end), first_read)
        })
        .collect();
    let (mut there, mut most) = (0, 1);
    for &(end, first) in firsts.iter().rev() {
        // Row `there` comes in while this task and those behind it still wait.
        while there < end {
            there += 1;
            most = most.max(there - first.min(there));
        }
    }
    most.min(planned.tensors[tensor].height)
}

/// How far before its input the output must begin, so that no task writes over input rows that are still to be read: it may lie on
/// rows that are dead. `None` where that is no closer than side by side.
pub(super) fn distance(planned: &Planned, tasks: &[Task], x: usize, y: usize) -> Option<u64> {
    let layers = &planned.network.layers;
    let (x_row, y_row) = (planned.tensors[x].row_bytes(), planned.tensors[y].row_bytes());
    let mut first_read = planned.tensors[x].height;
    let mut distance = 0;
    for task in tasks.iter().rev() {
        let layer = &layers[task.layer];
        for (i, _) in layer.inputs().enumerate().filter(|(_, t)| *t == x) {
            let rows = planned.reads(task.layer, i, &task.rows);
            if !rows.is_empty() {
                first_read = first_read.min(rows.start);
            }
        }
        if layer.output() == y {
            distance = distance.max((task.rows.end as u64 * y_row).saturating_sub(first_read as u64 * x_row));
        }
    }
    let distance = super::problem::aligned(distance);
    (distance < planned.bytes(y)).then_some(distance)
}
