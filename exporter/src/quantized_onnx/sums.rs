//! Convolution and fully connected.

use super::{Form, Writer};
use crate::payload::Payload;
use staticnet::op::Conv2d;
use staticnet_graph::onnx::proto::{int, window};

/// Rows of a layer's weights with their elements `[a][b]` as `[b][a]`.
fn swapped<T: Copy>(weights: &[T], a: usize, b: usize) -> Vec<T> {
    weights.chunks_exact((a * b).max(1)).flat_map(|row| (0..b).flat_map(move |j| (0..a).map(move |i| row[i * b + j]))).collect()
}

/// Names of weights (scale, zero point behind them in the integer forms) and bias.
struct Operands {
    weights: Vec<String>,
    bias: String,
}

impl Writer<'_> {
    /// A layer's weights in ONNX's order: `dims` is their shape, `a x b` the device's order of a row that becomes `b x a`.
    fn operands(&mut self, i: usize, dims: &[i64], (a, b): (usize, usize)) -> Result<Operands, String> {
        let (layer, inputs) = self.layer_inputs(i);
        let name = |what: &str| format!("layer{i}/{what}");
        if let Payload::Sum { weights, bias } = &layer.payload {
            let weights = self.proto.floats(&name("weight"), dims, &swapped(weights, a, b));
            let bias = self.proto.floats(&name("bias"), &[bias.len() as i64], bias);
            return Ok(Operands { weights: vec![weights], bias });
        }
        let Payload::SumCodes { weights, bias, scale, .. } = &layer.payload else { return Err("it has no weights".into()) };
        let x = self.grid(inputs[0]).ok_or("its input is not quantized")?;
        let row = (weights.len() / bias.len()).max(1);
        // The device's bias has the input's zero point folded in.
        let unfolded = weights.chunks_exact(row).zip(bias).map(|(row, &bias)| {
            let sum = row.iter().map(|&q| q as i32).fold(0, i32::wrapping_add);
            bias.wrapping_add(sum.wrapping_mul(x.zero_point as i32))
        });
        let bias: Vec<i32> = unfolded.collect();
        let channels = [bias.len() as i64];
        let codes = self.proto.signed(&name("weight"), dims, &swapped(weights, a, b));
        let scales = self.proto.floats(&name("weight_scale"), &channels, scale);
        let zeros = self.proto.signed(&name("weight_zero_point"), &channels, &vec![0; bias.len()]);
        let biases = self.proto.words(&name("bias"), &bias);
        if self.form == Form::QOperator {
            return Ok(Operands { weights: vec![codes, scales, zeros], bias: biases });
        }
        let products: Vec<f32> = scale.iter().map(|s| x.scale * s).collect();
        let products = self.proto.floats(&name("bias_scale"), &channels, &products);
        let word_zeros = self.proto.words(&name("bias_zero_point"), &vec![0; bias.len()]);
        let weights = self.proto.node("DequantizeLinear", &[codes, scales, zeros], vec![int("axis", 0)]);
        let bias = self.proto.node("DequantizeLinear", &[biases, products, word_zeros], vec![int("axis", 0)]);
        Ok(Operands { weights: vec![weights], bias })
    }

    /// Whether the layer's codes are computed from codes by one operator.
    pub(super) fn on_codes(&self, i: usize) -> bool {
        let (layer, mut inputs) = self.layer_inputs(i);
        inputs.truncate(1);
        inputs.push(layer.output());
        self.form == Form::QOperator && inputs.into_iter().all(|t| self.grid(t).is_some())
    }

    pub(super) fn conv(&mut self, i: usize, conv: &Conv2d) -> Result<(), String> {
        let (layer, inputs) = self.layer_inputs(i);
        let (x, y) = (inputs[0], layer.output());
        let per_group = (self.tensor(x).info.channels / conv.groups as u32) as usize;
        let [kh, kw] = conv.window.kernel.map(usize::from);
        let dims = [self.tensor(y).info.channels.into(), per_group as i64, kh as i64, kw as i64];
        let Operands { weights, bias } = self.operands(i, &dims, (kh * kw, per_group))?;
        let mut attributes = window(&conv.window);
        attributes.push(int("group", conv.groups.into()));
        if self.on_codes(i) {
            let inputs = [vec![self.picture(x)], self.grid_names(x), weights, self.grid_names(y), vec![bias]].concat();
            let codes = self.proto.node("QLinearConv", &inputs, attributes);
            let clamped = self.clamped_codes(i, codes);
            self.values[y].picture = Some(clamped);
        } else {
            let inputs = [vec![self.real(x)], weights, vec![bias]].concat();
            let real = self.proto.node("Conv", &inputs, attributes);
            let clamped = self.clamped_real(i, real);
            self.set_real(y, clamped);
        }
        Ok(())
    }

    pub(super) fn linear(&mut self, i: usize) -> Result<(), String> {
        let (layer, inputs) = self.layer_inputs(i);
        let (x, y) = (inputs[0], layer.output());
        let t = &self.tensor(x).info;
        let (pixels, channels) = ((t.height * t.width) as usize, t.channels as usize);
        let dims = [self.tensor(y).info.channels.into(), (pixels * channels) as i64];
        let Operands { weights, bias } = self.operands(i, &dims, (pixels, channels))?;
        let flat = self.flat(x);
        if self.on_codes(i) {
            let inputs = [vec![flat], self.grid_names(x), weights, vec![bias], self.grid_names(y)].concat();
            let codes = self.proto.microsoft("QGemm", &inputs, vec![int("transB", 1)]);
            let clamped = self.clamped_codes(i, codes);
            self.values[y].flat = Some(clamped);
            return Ok(());
        }
        let real = if self.grid(x).is_some() { self.dequantized(flat, x) } else { flat };
        let inputs = [vec![real], weights, vec![bias]].concat();
        let real = self.proto.node("Gemm", &inputs, vec![int("transB", 1)]);
        let clamped = self.clamped_real(i, real);
        self.set_real(y, clamped);
        // It is flat as yet.
        self.values[y].flat = self.values[y].picture.take();
        Ok(())
    }
}
