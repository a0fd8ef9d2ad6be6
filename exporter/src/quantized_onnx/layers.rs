//! One layer each.

use super::{Writer, unsigned};
use crate::payload::Payload;
use staticnet::op::{AveragePool, BinaryOp, Convert, Function, Lrn, Op, Pad, PadMode};
use staticnet_graph::onnx::proto::{Attribute, float, int, text, window};

impl Writer<'_> {
    pub(super) fn layer(&mut self, i: usize) -> Result<(), String> {
        let (layer, inputs) = self.layer_inputs(i);
        let y = layer.output();
        match &layer.record.op {
            Op::Conv2d(conv) => self.conv(i, conv)?,
            Op::Linear => self.linear(i)?,
            Op::MaxPool(pool) => {
                let x = self.picture(inputs[0]);
                self.values[y].picture = Some(self.proto.node("MaxPool", &[x], window(&pool.window)));
            }
            Op::Relu => self.relu(i),
            Op::AveragePool(pool) => self.average_pool(i, pool)?,
            Op::Binary(op) => self.binary(i, *op),
            Op::Unary(function) => self.unary(i, function),
            Op::Place(_) => self.concat(i)?,
            Op::Constant => self.constant(i)?,
            Op::Rearrange(walk) => self.rearrange(i, walk),
            Op::Pad(pad) => self.pad(i, pad)?,
            Op::Resize => self.resize(i)?,
            Op::LpPool(pool) => {
                if pool.window.dilation != [1, 1] {
                    return Err("dilated norms need a newer operator set".into());
                }
                let mut attributes = window(&pool.window);
                attributes.push(int("p", pool.norm as i64));
                self.on_reals(i, "LpPool", attributes, vec![]);
            }
            Op::Lrn(lrn) => self.on_reals(i, "LRN", lrn_attributes(lrn), vec![]),
            Op::Softmax => self.on_reals(i, "Softmax", vec![int("axis", 1)], vec![]),
            Op::PRelu => {
                let (Payload::Slopes(slopes) | Payload::SlopeCodes { slopes, .. }) = &layer.payload else {
                    return Err("it has no slopes".into());
                };
                let slopes = self.proto.floats(&format!("layer{i}/slope"), &[slopes.len() as i64, 1, 1], slopes);
                self.on_reals(i, "PRelu", vec![], vec![slopes]);
            }
            Op::ArgMax { last } => {
                let x = self.real(inputs[0]);
                let attributes = vec![int("axis", 1), int("select_last_index", (*last).into())];
                self.values[y].picture = Some(self.proto.node("ArgMax", &[x], attributes));
            }
            Op::Convert(Convert { per_channel: false }) => {
                let real = self.real(inputs[0]);
                self.set_real(y, real);
            }
            Op::Convert(Convert { per_channel: true }) => return Err("a grid for each channel has no place here".into()),
        }
        Ok(())
    }

    /// A real operator between conversions.
    fn on_reals(&mut self, i: usize, op: &str, attributes: Vec<Attribute>, more: Vec<String>) {
        let (layer, inputs) = self.layer_inputs(i);
        let mut operands: Vec<String> = inputs.iter().map(|&t| self.real(t)).collect();
        operands.extend(more);
        let real = self.proto.node(op, &operands, attributes);
        let clamped = self.clamped_real(i, real);
        self.set_real(layer.output(), clamped);
    }

    /// Codes within a layer's clamp; what the type does anyway is not written.
    pub(super) fn clamped_codes(&mut self, i: usize, codes: String) -> String {
        let (layer, _) = self.layer_inputs(i);
        let Some(quant) = self.grid(layer.output()) else { return codes };
        match quant.bounds(layer.record.range_f32) {
            [i8::MIN, i8::MAX] => codes,
            bounds => self.clip_codes(i, codes, bounds),
        }
    }

    fn clip_codes(&mut self, i: usize, codes: String, bounds: [i8; 2]) -> String {
        let [lo, hi] = bounds.map(unsigned);
        let lo = self.proto.bytes(&format!("layer{i}/lo"), &[], &[lo]);
        let hi = self.proto.bytes(&format!("layer{i}/hi"), &[], &[hi]);
        self.proto.node("Clip", &[codes, lo, hi], vec![])
    }

    /// Real numbers within a layer's clamp.
    pub(super) fn clamped_real(&mut self, i: usize, real: String) -> String {
        let (layer, _) = self.layer_inputs(i);
        match layer.record.range_f32 {
            [f32::NEG_INFINITY, f32::INFINITY] => real,
            [0.0, f32::INFINITY] => self.proto.node("Relu", &[real], vec![]),
            [lo, hi] => self.clip(i, real, lo, hi),
        }
    }

    fn clip(&mut self, i: usize, real: String, lo: f32, hi: f32) -> String {
        let lo = self.proto.floats(&format!("layer{i}/lo"), &[], &[lo]);
        let hi = self.proto.floats(&format!("layer{i}/hi"), &[], &[hi]);
        self.proto.node("Clip", &[real, lo, hi], vec![])
    }

    fn relu(&mut self, i: usize) {
        let (layer, inputs) = self.layer_inputs(i);
        let x = self.picture(inputs[0]);
        let value = match self.grid(layer.output()) {
            Some(quant) => self.clip_codes(i, x, [quant.zero_point, i8::MAX]),
            None => self.proto.node("Relu", &[x], vec![]),
        };
        self.values[layer.output()].picture = Some(value);
    }

    fn average_pool(&mut self, i: usize, pool: &AveragePool) -> Result<(), String> {
        let (layer, inputs) = self.layer_inputs(i);
        let include = pool.counted == pool.window.pads && pool.counted != [0; 4];
        if !include && pool.counted != [0; 4] {
            return Err("pads that count beside pads that do not have no form in ONNX".into());
        }
        if pool.window.dilation != [1, 1] {
            return Err("dilated means need a newer operator set".into());
        }
        let mut attributes = window(&pool.window);
        attributes.push(int("count_include_pad", include.into()));
        if !self.on_codes(i) {
            self.on_reals(i, "AveragePool", attributes, vec![]);
            return Ok(());
        }
        let inputs = [vec![self.picture(inputs[0])], self.grid_names(inputs[0]), self.grid_names(layer.output())].concat();
        let codes = self.proto.microsoft("QLinearAveragePool", &inputs, attributes);
        let clamped = self.clamped_codes(i, codes);
        self.values[layer.output()].picture = Some(clamped);
        Ok(())
    }

    fn binary(&mut self, i: usize, op: BinaryOp) {
        let (layer, inputs) = self.layer_inputs(i);
        let on_codes = match op {
            BinaryOp::Add => Some("QLinearAdd"),
            BinaryOp::Mul => Some("QLinearMul"),
            BinaryOp::Sub | BinaryOp::Div => None,
        };
        let Some(on_codes) = on_codes.filter(|_| self.on_codes(i)) else {
            self.on_reals(i, op.name(), vec![], vec![]);
            return;
        };
        let mut operands = vec![];
        for t in inputs {
            operands.push(self.picture(t));
            operands.extend(self.grid_names(t));
        }
        operands.extend(self.grid_names(layer.output()));
        let codes = self.proto.microsoft(on_codes, &operands, vec![]);
        let clamped = self.clamped_codes(i, codes);
        self.values[layer.output()].picture = Some(clamped);
    }

    /// The runtime's table where there is one: the same bytes.
    fn unary(&mut self, i: usize, function: &Function) {
        let (layer, inputs) = self.layer_inputs(i);
        if let (Payload::Table(table), true) = (&layer.payload, self.on_codes(i)) {
            let by_code: Vec<u8> = (0..256).map(|code| unsigned(table[(code as u8).wrapping_sub(128) as usize])).collect();
            let table = self.proto.bytes(&format!("layer{i}/table"), &[256], &by_code);
            let x = self.picture(inputs[0]);
            let index = self.proto.node("Cast", &[x], vec![int("to", 6)]);
            self.values[layer.output()].picture = Some(self.proto.node("Gather", &[table, index], vec![int("axis", 0)]));
            return;
        }
        match *function {
            Function::Identity => {
                let real = self.real(inputs[0]);
                self.set_real(layer.output(), real);
            }
            Function::LeakyRelu { alpha } => self.on_reals(i, "LeakyRelu", vec![float("alpha", alpha)], vec![]),
            Function::Clip { lo, hi } => {
                let real = self.real(inputs[0]);
                let clipped = self.clip(i, real, lo, hi);
                self.set_real(layer.output(), clipped);
            }
            Function::HardSigmoid { alpha, beta } => {
                self.on_reals(i, "HardSigmoid", vec![float("alpha", alpha), float("beta", beta)], vec![]);
            }
            // x * HardSigmoid(x) with a slope of a sixth: HardSwish itself came with a later operator set.
            Function::HardSwish => {
                let x = self.real(inputs[0]);
                let attributes = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
                let gate = self.proto.node("HardSigmoid", std::slice::from_ref(&x), attributes);
                let real = self.proto.node("Mul", &[x, gate], vec![]);
                self.set_real(layer.output(), real);
            }
            Function::Sigmoid => self.on_reals(i, "Sigmoid", vec![], vec![]),
            Function::Tanh => self.on_reals(i, "Tanh", vec![], vec![]),
        }
    }

    fn pad(&mut self, i: usize, pad: &Pad) -> Result<(), String> {
        let (layer, inputs) = self.layer_inputs(i);
        let (x, y) = (&self.tensor(inputs[0]).info, &self.tensor(layer.output()).info);
        let mode = match pad.mode {
            PadMode::Constant => "constant",
            PadMode::Reflect => "reflect",
            PadMode::Edge => "edge",
            PadMode::Wrap => return Err("wrapping around needs a newer operator set".into()),
        };
        let before: [i64; 3] = pad.before.map(i64::from);
        let after = [y.height - x.height, y.width - x.width, y.channels - x.channels].map(i64::from);
        let after = [after[0] - before[0], after[1] - before[1], after[2] - before[2]];
        let pads = [0, before[2], before[0], before[1], 0, after[2], after[0], after[1]];
        let pads = self.proto.integers(&format!("layer{i}/pads"), &pads);
        let value = format!("layer{i}/value");
        let value = match self.grid(layer.output()) {
            Some(_) => self.proto.bytes(&value, &[], &[unsigned(pad.value_i8)]),
            None => self.proto.floats(&value, &[], &[pad.value]),
        };
        let x = self.picture(inputs[0]);
        self.values[layer.output()].picture = Some(self.proto.node("Pad", &[x, pads, value], vec![text("mode", mode)]));
        Ok(())
    }
}

fn lrn_attributes(lrn: &Lrn) -> Vec<Attribute> {
    vec![int("size", lrn.size.into()), float("alpha", lrn.alpha), float("beta", lrn.beta), float("bias", lrn.k)]
}
