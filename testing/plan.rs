//! Plans for networks put together by hand, and the artifacts they make.

mod assemble;
mod schedule;

use crate::net::Net;
use crate::random::Random;
pub use assemble::assemble;
use schedule::Schedule;
use staticnet::op::Op;
use staticnet::record::NONE16;
use std::ops::Range;

/// A step before it has its slots and its chunk.
#[derive(Clone, Debug)]
pub struct Work {
    /// The layer.
    pub layer: usize,
    /// Rows of its output that the step makes.
    pub rows: Range<usize>,
    /// Channels of its output that the step makes.
    pub channels: Range<usize>,
    /// The window of channels that its input's slot has; none: all.
    pub from: Option<Range<usize>>,
    /// Likewise of its output's slot.
    pub to: Option<Range<usize>>,
}

impl Work {
    /// A step on slots of all channels.
    pub fn new(layer: usize, rows: Range<usize>, channels: Range<usize>) -> Self {
        Work { layer, rows, channels, from: None, to: None }
    }
}

/// When what is made, and how much is kept of each tensor.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Steps, in order.
    pub work: Vec<Work>,
    /// Rows of each tensor's ring.
    pub rings: Vec<usize>,
    /// Whether operators that may run in place do.
    pub in_place: bool,
    /// Layers whose output lies over rows of their input that are no longer read.
    pub over: Vec<usize>,
    /// Places for weights; none: they are mapped.
    pub places: usize,
    /// Width, height and pixel format of the pictures that come row by row.
    pub source: Option<(u16, u16, u8)>,
}

/// The rows and channels of a layer's output that the layer makes.
fn part(net: &Net, layer: usize) -> (Range<usize>, Range<usize>) {
    let record = &net.layers[layer];
    let [h, _, c] = net.shape(record.output);
    match &record.op {
        Op::Place(place) => {
            let ([top, _, front], [h, _, c]) = (place.offset.map(usize::from), net.shape(record.input));
            (top..top + h, front..front + c)
        }
        _ => (0..h, 0..c),
    }
}

fn shifted(ranges: Vec<Range<usize>>, by: usize) -> Vec<Range<usize>> {
    ranges.into_iter().map(|r| r.start + by..r.end + by).collect()
}

/// Blocks of rows, and of channels.
type Blocks = (Vec<Range<usize>>, Vec<Range<usize>>);

fn blocks(net: &Net, layer: usize, random: &mut Random) -> Blocks {
    let (rows, channels) = part(net, layer);
    (shifted(random.cuts(rows.len()), rows.start), shifted(random.cuts(channels.len()), channels.start))
}

/// Layer by layer, one step each, in place where possible, weights mapped.
pub fn whole(net: &Net) -> Plan {
    let work = (0..net.layers.len()).map(|layer| {
        let (rows, channels) = part(net, layer);
        Work::new(layer, rows, channels)
    });
    let rings = net.tensors.iter().map(|t| t.height as usize).collect();
    Plan { work: work.collect(), rings, in_place: true, over: vec![], places: 0, source: None }
}

/// Layer by layer in random blocks.
pub fn cut(net: &Net, random: &mut Random) -> Plan {
    let mut plan = Plan { work: vec![], in_place: false, ..whole(net) };
    (0..net.layers.len()).for_each(|layer| plan.cut(net, layer, random));
    plan
}

/// Every layer makes its rows in random blocks, and only when the one behind it asks for them; of each tensor, the first input
/// included, as few rows are kept as that needs.
pub fn streamed(net: &Net, random: &mut Random) -> Plan {
    let mut plan = Plan { work: vec![], in_place: false, ..whole(net) };
    plan.stream(net, 0..net.layers.len(), random);
    plan
}

/// Some layers streamed, some in blocks of channels with windows of them in between, some cut anyhow; outputs over the rows of
/// inputs that are not read any more; weights mapped or read into a few places.
pub fn mixed(net: &Net, random: &mut Random) -> Plan {
    let mut plan = Plan { work: vec![], in_place: false, ..whole(net) };
    let mut layer = 0;
    while layer < net.layers.len() {
        let end = random.within(layer + 1, net.layers.len());
        let chain = (layer + 1..end).find(|&l| !continues(net, l)).unwrap_or(end);
        if chain > layer + 1 && !random.one_in(4) {
            plan.block(net, layer..chain, random);
            layer = chain;
        } else if random.one_in(2) {
            plan.stream(net, layer..end, random);
            layer = end;
        } else {
            plan.cut(net, layer, random);
            layer += 1;
        }
    }
    for layer in 0..net.layers.len() {
        if plan.may_lie_over(net, layer) {
            plan.over.push(layer);
        }
    }
    plan.places = random.within(0, 3);
    plan
}

/// Layers that read a tensor.
fn readers(net: &Net, tensor: u16) -> impl Iterator<Item = usize> + '_ {
    let reads = move |&l: &usize| net.layers[l].input == tensor || net.layers[l].input2 == tensor;
    (0..net.layers.len()).filter(reads)
}

/// Whether a layer can go on with a window of the channels of what the layer before it makes for it alone.
fn continues(net: &Net, layer: usize) -> bool {
    let (before, record) = (&net.layers[layer - 1], &net.layers[layer]);
    let window_in = matches!(
        record.op,
        Op::MaxPool(_) | Op::AveragePool(_) | Op::LpPool(_) | Op::Lrn(_) | Op::Relu | Op::Unary(_) | Op::PRelu
    );
    let window_out = window_in_or_conv(&before.op);
    let alone = readers(net, before.output).eq([layer]) && !net.outputs.contains(&before.output);
    window_in && window_out && record.input == before.output && alone
}

fn window_in_or_conv(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv2d(_) | Op::MaxPool(_) | Op::AveragePool(_) | Op::LpPool(_) | Op::Lrn(_) | Op::Relu | Op::Unary(_) | Op::PRelu
    )
}

impl Plan {
    fn cut(&mut self, net: &Net, layer: usize, random: &mut Random) {
        let (rows, channels) = blocks(net, layer, random);
        for rows in rows {
            self.work.extend(channels.iter().map(|channels| Work::new(layer, rows.clone(), channels.clone())));
        }
    }

    fn stream(&mut self, net: &Net, layers: Range<usize>, random: &mut Random) {
        let made = (0..net.layers.len()).map(|layer| blocks(net, layer, random)).collect();
        let schedule = Schedule::of(net, layers.clone(), made);
        for tensor in 0..net.tensors.len() as u16 {
            let inside = readers(net, tensor).all(|l| layers.contains(&l));
            let made = net.layers[layers.clone()].iter().any(|l| l.output == tensor);
            if inside && (made || net.inputs.first() == Some(&tensor)) && !net.outputs.contains(&tensor) {
                self.rings[tensor as usize] = schedule.ring(tensor);
            }
        }
        self.work.extend(schedule.work());
    }

    /// Block after block of the last layer's channels through all of the layers.
    fn block(&mut self, net: &Net, layers: Range<usize>, random: &mut Random) {
        let last = layers.end - 1;
        let (_, channels) = blocks(net, last, random);
        let between: Vec<u16> = net.layers[layers.start..last].iter().map(|l| l.output).collect();
        between.iter().for_each(|&tensor| self.rings[tensor as usize] = 1);
        for channels in channels {
            // The channels that each layer makes, from the last one up.
            let mut makes = vec![channels; layers.len()];
            for i in (0..layers.len() - 1).rev() {
                let (below, all) = (makes[i + 1].clone(), net.shape(net.layers[layers.start + i].output)[2]);
                makes[i] = match net.layers[layers.start + i + 1].op {
                    Op::Lrn(lrn) => {
                        let (before, after) = ((lrn.size as usize - 1) / 2, lrn.size as usize / 2);
                        below.start.saturating_sub(before)..all.min(below.end + after)
                    }
                    _ => below,
                };
            }
            let made = |layer: usize, random: &mut Random| {
                let rows = blocks(net, layer, random).0;
                let all = layer.checked_sub(layers.start).and_then(|i| makes.get(i)).cloned().unwrap_or(0..0);
                // The channels of a window in one or two steps.
                let middle = random.within(all.start, all.end);
                let parts = [all.start..middle, middle..all.end].into_iter().filter(|part| !part.is_empty());
                (rows, parts.collect())
            };
            let made = (0..net.layers.len()).map(|layer| made(layer, random)).collect();
            let schedule = Schedule::of(net, layers.clone(), made);
            for &tensor in &between {
                let ring = &mut self.rings[tensor as usize];
                *ring = schedule.ring(tensor).max(*ring);
            }
            self.work.extend(schedule.work().map(|mut work| {
                let i = work.layer - layers.start;
                work.from = (i > 0).then(|| makes[i - 1].clone());
                work.to = (work.layer < last).then(|| makes[i].clone());
                work
            }));
        }
    }

    /// Whether nobody needs the input's rows when the layer's steps are done with them.
    fn may_lie_over(&self, net: &Net, layer: usize) -> bool {
        let record = &net.layers[layer];
        let (x, y) = (record.input, record.output);
        let whole = |tensor: u16| self.rings[tensor as usize] == net.shape(tensor)[0];
        let part_of_another = |&l: &usize| [net.layers[l].input, net.layers[l].output].iter().any(|t| [x, y].contains(t));
        let io = |tensor: u16| net.inputs.contains(&tensor) || net.outputs.contains(&tensor);
        let makers = net.layers.iter().filter(|l| l.output == y).count();
        x != NONE16
            && record.input2 == NONE16
            && whole(x)
            && whole(y)
            && readers(net, x).eq([layer])
            && makers == 1
            && !io(x)
            && !self.over.iter().any(part_of_another)
            && self.work.iter().filter(|w| [x, y].contains(&net.layers[w.layer].output)).all(|w| w.to.is_none())
            && self.work.iter().filter(|w| w.layer == layer).all(|w| w.from.is_none())
            // Steps behind each other, whose rows only grow.
            && self.work.iter().filter(|w| w.layer == layer).is_sorted_by_key(|w| w.rows.start)
    }

    /// How far behind the output of `layer` its input must lie, so that no step's output reaches rows that are still to be read.
    pub fn lead(&self, net: &Net, layer: usize) -> usize {
        let record = &net.layers[layer];
        let bytes = |tensor: u16| net.info(tensor).row_bytes() as usize;
        let steps: Vec<&Work> = self.work.iter().filter(|w| w.layer == layer).collect();
        let first_read = |from: usize| {
            let reads = steps[from..].iter().map(|w| net.reads(record, 0, &w.rows)).filter(|r| !r.is_empty());
            reads.map(|r| r.start).min()
        };
        let lead = |(i, step): (usize, &&Work)| {
            let end = step.rows.end * bytes(record.output);
            first_read(i).map_or(0, |row| end.saturating_sub(row * bytes(record.input)))
        };
        steps.iter().enumerate().map(lead).max().unwrap_or(0).next_multiple_of(16)
    }
}
