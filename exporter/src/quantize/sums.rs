//! Weights and biases of convolutions and fully connected layers.

use crate::network::{Quant, SumCodes};
use crate::payload::Payload;
use staticnet::quant::round_half_even;

/// Weights of real numbers: symmetric per output channel.
pub(super) fn quantized(weights: &[f32], bias: &[f32], x: Quant, y: Quant) -> Payload {
    let row = weights.len() / bias.len();
    let mut all = Sums::new(weights.len(), bias.len());
    for (channel, &bias) in weights.chunks_exact(row).zip(bias) {
        let largest = channel.iter().fold(0f32, |m, w| m.max(w.abs()));
        // The bias must fit i32 as well: a channel of tiny weights takes a coarser scale.
        let for_bias = bias.abs() / x.scale / (1 << 30) as f32;
        let scale = (largest / 127.0).max(for_bias).max(f32::MIN_POSITIVE);
        let q = channel.iter().map(|w| round_half_even(w / scale).clamp(-127, 127) as i8);
        let q_bias = (bias as f64 / (x.scale * scale) as f64).round_ties_even() as i32;
        all.channel(q, q_bias, scale, x, y);
    }
    all.done()
}

/// The model's own integers. A bias that the model wrote on the grid of the sums is taken as it is; any other is rounded to it.
pub(super) fn from_codes(codes: &SumCodes, bias: &[f32], x: Quant, y: Quant) -> Payload {
    let row = codes.weights.len() / bias.len();
    let mut all = Sums::new(codes.weights.len(), bias.len());
    for (c, channel) in codes.weights.chunks_exact(row).enumerate() {
        let product = x.scale * codes.scale[c];
        let q_bias = match codes.bias.get(c) {
            Some(&(q, scale)) if (scale - product).abs() <= 1e-5 * product => q,
            _ => (bias[c] as f64 / product as f64).round_ties_even() as i32,
        };
        all.channel(channel.iter().copied(), q_bias, codes.scale[c], x, y);
    }
    all.done()
}

#[derive(Debug)]
struct Sums {
    weights: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<f32>,
    scale: Vec<f32>,
}

impl Sums {
    fn new(weights: usize, channels: usize) -> Self {
        let (bias, multiplier) = (Vec::with_capacity(channels), Vec::with_capacity(channels));
        Sums { weights: Vec::with_capacity(weights), bias, multiplier, scale: Vec::with_capacity(channels) }
    }

    fn channel(&mut self, weights: impl Iterator<Item = i8>, bias: i32, scale: f32, x: Quant, y: Quant) {
        let first = self.weights.len();
        self.weights.extend(weights);
        let sum = self.weights[first..].iter().map(|&q| q as i32).fold(0, i32::wrapping_add);
        self.bias.push(bias.wrapping_sub(sum.wrapping_mul(x.zero_point as i32)));
        self.multiplier.push(x.scale * scale / y.scale);
        self.scale.push(scale);
    }

    fn done(self) -> Payload {
        Payload::SumCodes { weights: self.weights, bias: self.bias, multiplier: self.multiplier, scale: self.scale }
    }
}
