//! Plans that stream every layer through rings of rows in blocks of channels. The planner has no such plans yet; the engine runs
//! them.

use super::Random;
use staticnet::op::{Op, Window};
use staticnet::record::{NONE16, NONE32, Slot, Step, TensorInfo};
use staticnet::scratch_bytes;
use staticnet_exporter::emit::{self, Emitted};
use staticnet_exporter::network::{Layer, Network};
use staticnet_exporter::plan::Plan;
use staticnet_exporter::quantize::{QuantLayer, Quantized};
use std::ops::Range;

/// A schedule under construction: every layer makes its rows only when the one behind it asks for them.
struct Streaming<'n> {
    network: &'n Network,
    /// How each layer's rows and channels are cut.
    rows: Vec<Vec<Range<usize>>>,
    channels: Vec<Vec<Range<usize>>>,
    /// Row blocks that each layer has made.
    made: Vec<usize>,
    /// Rows that must be kept of each tensor.
    rings: Vec<usize>,
    /// Layer and row block, in order.
    order: Vec<(usize, usize)>,
}

impl<'n> Streaming<'n> {
    fn new(network: &'n Network, random: &mut Random) -> Self {
        let outputs = || network.layers.iter().map(|layer| &network.tensors[layer.output]);
        let rows: Vec<_> = outputs().map(|t| random.cuts(t.height as usize)).collect();
        let channels = outputs().map(|t| random.cuts(t.channels as usize)).collect();
        let mut rings = vec![1; network.tensors.len()];
        for &whole in network.inputs.iter().chain(&network.outputs) {
            rings[whole] = network.tensors[whole].height as usize;
        }
        let made = vec![0; network.layers.len()];
        let mut streaming = Streaming { network, rows, channels, made, rings, order: Vec::new() };
        let last = network.layers.len() - 1;
        streaming.make(last, network.tensors[network.layers[last].output].height as usize);
        streaming
    }

    fn rows_made(&self, layer: usize) -> usize {
        if self.made[layer] == 0 { 0 } else { self.rows[layer][self.made[layer] - 1].end }
    }

    /// Lets a layer make its rows up to `end`.
    fn make(&mut self, layer: usize, end: usize) {
        let Layer { op, input, output, .. } = &self.network.layers[layer];
        while self.rows_made(layer) < end {
            let block = self.rows[layer][self.made[layer]].clone();
            let height = self.network.tensors[*input].height as usize;
            let needed = match op {
                Op::Conv2d(conv) => window_rows(&conv.window, &block, height),
                Op::MaxPool(pool) => window_rows(&pool.window, &block, height),
                Op::Linear => 0..height,
                Op::Lrn(_) | Op::Relu => block.clone(),
            };
            if let Some(before) = self.network.layers.iter().position(|l| l.output == *input) {
                self.make(before, needed.end);
                let kept = self.rows_made(before).saturating_sub(needed.start);
                self.rings[*input] = self.rings[*input].max(kept);
            }
            self.rings[*output] = self.rings[*output].max(block.len());
            self.order.push((layer, self.made[layer]));
            self.made[layer] += 1;
        }
    }

    /// Steps and places, and the chunks of weights that the steps name.
    fn plan(&self, tensors: &[TensorInfo], payload: impl Fn(usize, Range<usize>) -> Vec<u8>) -> (Plan, Vec<Vec<u8>>) {
        let mut end = 0;
        let mut place = |bytes: u64| {
            let offset = end;
            end += (bytes as u32).next_multiple_of(16);
            offset
        };
        let slot =
            |(i, t): (usize, &TensorInfo)| Slot { tensor: i as u16, offset: 0, rows: (self.rings[i] as u32).min(t.height) };
        let mut slots: Vec<Slot> = tensors.iter().enumerate().map(slot).collect();
        for (slot, tensor) in slots.iter_mut().zip(tensors) {
            slot.offset = place(slot.rows as u64 * tensor.row_bytes());
        }
        let activation_bytes = slots
            .last()
            .map_or(0, |s| s.offset + (s.rows * tensors[s.tensor as usize].row_bytes() as u32).next_multiple_of(16));
        let layers = &self.network.layers;
        let largest = layers.iter().map(|l| scratch_bytes(&l.op, &tensors[l.input])).max().unwrap_or(0);
        let scratch = place(largest);
        let (mut chunks, mut chunk_of) = (Vec::new(), Vec::new());
        for (i, blocks) in self.channels.iter().enumerate() {
            let mut of_layer = Vec::new();
            for channels in blocks {
                let bytes = payload(i, channels.clone());
                of_layer.push(if bytes.is_empty() { NONE32 } else { chunks.len() as u32 });
                chunks.extend((!bytes.is_empty()).then_some(bytes));
            }
            chunk_of.push(of_layer);
        }
        let mut steps = Vec::new();
        for &(layer, block) in &self.order {
            let (Layer { input, output, .. }, rows) = (&layers[layer], &self.rows[layer][block]);
            for (channels, &chunk) in self.channels[layer].iter().zip(&chunk_of[layer]) {
                steps.push(Step {
                    layer: layer as u16,
                    input: *input as u16,
                    input2: NONE16,
                    output: *output as u16,
                    r0: rows.start as u16,
                    r1: rows.end as u16,
                    c0: channels.start as u16,
                    c1: channels.end as u16,
                    chunk,
                    scratch,
                });
            }
        }
        let io = |tensors: &[usize]| tensors.iter().map(|&t| t as u16).collect();
        let (inputs, outputs) = (io(&self.network.inputs), io(&self.network.outputs));
        (Plan { slots, steps, inputs, outputs, activation_bytes, ram_bytes: end }, chunks)
    }
}

/// Rows between the first and the last tap of the output rows `block`, those that exist.
fn window_rows(window: &Window, block: &Range<usize>, height: usize) -> Range<usize> {
    let tap =
        |r: usize, k: u16| r as i64 * window.stride[0] as i64 + k as i64 * window.dilation[0] as i64 - window.pads[0] as i64;
    let inside = |row: i64| row.clamp(0, height as i64) as usize;
    inside(tap(block.start, 0))..inside(tap(block.end - 1, window.kernel[0] - 1) + 1)
}

/// The weights of some channels of a layer.
fn payload(layer: &Layer, quantized: Option<&QuantLayer>, channels: Range<usize>) -> Vec<u8> {
    let row = layer.weights.len() / layer.bias.len().max(1);
    let rows = channels.start * row..channels.end * row;
    match quantized {
        Some(QuantLayer::Weights { weights, bias, multiplier }) => {
            let (bias, multiplier) = (bias[channels.clone()].to_vec(), multiplier[channels].to_vec());
            emit::layer_payload(layer, Some(&QuantLayer::Weights { weights: weights[rows].to_vec(), bias, multiplier }))
        }
        Some(QuantLayer::Factors { .. } | QuantLayer::None) => emit::layer_payload(layer, quantized),
        None if layer.bias.is_empty() => Vec::new(),
        None => {
            let (weights, bias) = (layer.weights[rows].to_vec(), layer.bias[channels].to_vec());
            emit::layer_payload(&Layer { weights, bias, ..layer.clone() }, None)
        }
    }
}

/// A network, int8 or f32, planned so, cut at random. It must be a chain.
pub fn streamed(network: &Network, quantized: Option<&Quantized>, random: &mut Random) -> Emitted {
    let tensors = emit::tensor_infos(network, quantized);
    let streaming = Streaming::new(network, random);
    let of_layer = |i: usize, channels| payload(&network.layers[i], quantized.map(|q| &q.layers[i]), channels);
    let (plan, chunks) = streaming.plan(&tensors, of_layer);
    emit::emit(network, quantized, &tensors, &plan, &chunks, false)
}
