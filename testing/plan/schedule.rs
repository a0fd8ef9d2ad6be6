//! The order of steps in which every layer makes rows only when they are asked for.

use super::{Blocks, Work};
use crate::net::Net;
use staticnet::record::NONE16;
use std::ops::Range;

pub(super) struct Schedule<'n> {
    net: &'n Net,
    layers: Range<usize>,
    /// Blocks of rows and of channels of each layer.
    blocks: Vec<Blocks>,
    /// How many blocks of rows each layer has made.
    made: Vec<usize>,
    /// Layer and block of rows.
    order: Vec<(usize, usize)>,
}

impl<'n> Schedule<'n> {
    /// Of these layers; those before them are done.
    pub fn of(net: &'n Net, layers: Range<usize>, blocks: Vec<Blocks>) -> Self {
        let mut schedule = Schedule { net, layers: layers.clone(), blocks, made: vec![0; net.layers.len()], order: vec![] };
        for layer in layers.rev() {
            while schedule.made[layer] < schedule.blocks[layer].0.len() {
                schedule.next(layer);
            }
        }
        schedule
    }

    /// Makes the next block of rows of a layer, and before it what it reads.
    fn next(&mut self, layer: usize) {
        let (record, block) = (self.net.layers[layer], self.made[layer]);
        let rows = self.blocks[layer].0[block].clone();
        for (i, tensor) in [record.input, record.input2].into_iter().enumerate().filter(|(_, tensor)| *tensor != NONE16) {
            let end = self.net.reads(&record, i, &rows).end;
            for producer in (self.layers.start..layer).filter(|&l| self.net.layers[l].output == tensor) {
                while self.blocks[producer].0.get(self.made[producer]).is_some_and(|rows| rows.start < end) {
                    self.next(producer);
                }
            }
        }
        self.order.push((layer, block));
        self.made[layer] += 1;
    }

    /// The steps.
    pub fn work(&self) -> impl Iterator<Item = Work> + '_ {
        self.order.iter().flat_map(|&(layer, block)| {
            let (rows, channels) = &self.blocks[layer];
            channels.iter().map(move |channels| Work::new(layer, rows[block].clone(), channels.clone()))
        })
    }

    /// Rows of `tensor` that a step reads.
    fn reads(&self, tensor: u16, (layer, block): (usize, usize)) -> Option<Range<usize>> {
        let (record, rows) = (&self.net.layers[layer], &self.blocks[layer].0[block]);
        let inputs = [record.input, record.input2].into_iter().enumerate().filter(|(_, t)| *t == tensor);
        let reads = inputs.map(|(i, _)| self.net.reads(record, i, rows)).filter(|rows| !rows.is_empty());
        reads.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
    }

    /// Rows that must be kept of a tensor: from the first that anybody still reads to the last that is made.
    pub fn ring(&self, tensor: u16) -> usize {
        let height = self.net.shape(tensor)[0];
        let is_input = self.net.inputs.contains(&tensor);
        // A row is made when its last producer makes it; what comes later must not push out what is read later.
        let (mut written, mut most) = (0, 1);
        let first_read_from =
            |at: usize| self.order[at..].iter().filter_map(|&step| self.reads(tensor, step)).map(|r| r.start).min();
        for (at, &(layer, block)) in self.order.iter().enumerate() {
            let rows = match is_input {
                // Rows of the input come when a step waits for them.
                true => self.reads(tensor, (layer, block)),
                false => (self.net.layers[layer].output == tensor).then(|| self.blocks[layer].0[block].clone()),
            };
            if let Some(rows) = rows {
                written = written.max(rows.end);
                // A second producer writes beside the first: both must find their rows.
                let first = first_read_from(at).unwrap_or(rows.start).min(rows.start);
                most = most.max(written - first);
            }
        }
        most.min(height)
    }
}
