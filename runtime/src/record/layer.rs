//! The record of a layer: its operator's attributes in bytes.

use crate::bytes::{f32_at, put, u16_at, u32_at};
use crate::op::{
    AveragePool, BinaryOp, Conv2d, Convert, Function, LpPool, Lrn, MaxPool, Norm, Op, OpCode, Pad, PadMode, Place, Rearrange,
    Window,
};

/// A layer: an operator between tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// Operator and attributes.
    pub op: Op,
    /// First input tensor, or [`NONE16`](super::NONE16) for a constant.
    pub input: u16,
    /// Second input tensor, or [`NONE16`](super::NONE16).
    pub input2: u16,
    /// Output tensor.
    pub output: u16,
    /// Range of int8 outputs (a fused activation narrows it).
    pub range_i8: [i8; 2],
    /// Range of f32 outputs.
    pub range_f32: [f32; 2],
    /// Log2 of the distance between entries of the int8 LRN's factor table; 0 elsewhere.
    pub table_shift: u8,
    /// Multiplier of an int8 operator that has one for the whole tensor (see [`Op`]); 0 elsewhere.
    pub multiplier: f32,
    /// Multiplier of the second input; 0 elsewhere.
    pub multiplier2: f32,
}

impl Layer {
    /// Bytes of a record.
    pub const SIZE: usize = 64;

    pub(crate) const fn decode(b: &[u8; Self::SIZE]) -> Option<Self> {
        let window = Window {
            kernel: [u16_at(b, 32), u16_at(b, 34)],
            stride: [u16_at(b, 36), u16_at(b, 38)],
            dilation: [u16_at(b, 40), u16_at(b, 42)],
            pads: [u16_at(b, 44), u16_at(b, 46), u16_at(b, 48), u16_at(b, 50)],
        };
        let extra = u16_at(b, 52);
        let Some(code) = OpCode::from_code(b[0]) else { return None };
        let op = match code {
            OpCode::Conv2d => Op::Conv2d(Conv2d { window, groups: extra }),
            OpCode::Linear => Op::Linear,
            OpCode::MaxPool => Op::MaxPool(MaxPool { window }),
            OpCode::Lrn => Op::Lrn(Lrn { size: extra, alpha: f32_at(b, 32), beta: f32_at(b, 36), k: f32_at(b, 40) }),
            OpCode::Relu => Op::Relu,
            OpCode::AveragePool => {
                Op::AveragePool(AveragePool { window, counted: [extra, u16_at(b, 54), u16_at(b, 56), u16_at(b, 58)] })
            }
            OpCode::Unary => match Function::from_code(b[32], [f32_at(b, 36), f32_at(b, 40)]) {
                Some(function) => Op::Unary(function),
                None => return None,
            },
            OpCode::PRelu => Op::PRelu,
            OpCode::Binary => match BinaryOp::from_code(b[32]) {
                Some(op) => Op::Binary(op),
                None => return None,
            },
            OpCode::Constant => Op::Constant,
            OpCode::Rearrange => Op::Rearrange(Rearrange {
                base: u32_at(b, 32),
                row: u32_at(b, 36) as i32,
                size: [u16_at(b, 40), u16_at(b, 42), u16_at(b, 44), u16_at(b, 46)],
                stride: [u32_at(b, 48) as i32, u32_at(b, 52) as i32, u32_at(b, 56) as i32, u32_at(b, 60) as i32],
            }),
            OpCode::Pad => Op::Pad(Pad {
                before: [u16_at(b, 32), u16_at(b, 34), u16_at(b, 36)],
                mode: match b[38] {
                    0 => PadMode::Constant,
                    1 => PadMode::Reflect,
                    2 => PadMode::Edge,
                    3 => PadMode::Wrap,
                    _ => return None,
                },
                value_i8: b[39] as i8,
                value: f32_at(b, 40),
            }),
            OpCode::Place => Op::Place(Place { offset: [u16_at(b, 32), u16_at(b, 34), u16_at(b, 36)], table: b[38] & 1 != 0 }),
            OpCode::Resize => Op::Resize,
            OpCode::Softmax => Op::Softmax,
            OpCode::ArgMax => Op::ArgMax { last: b[32] & 1 != 0 },
            OpCode::Convert => Op::Convert(Convert { per_channel: b[32] & 1 != 0 }),
            OpCode::LpPool => match extra {
                1 => Op::LpPool(LpPool { window, norm: Norm::Sum }),
                2 => Op::LpPool(LpPool { window, norm: Norm::Root }),
                _ => return None,
            },
        };
        Some(Layer {
            op,
            input: u16_at(b, 2),
            input2: u16_at(b, 4),
            output: u16_at(b, 6),
            range_i8: [b[8] as i8, b[9] as i8],
            range_f32: [f32_at(b, 12), f32_at(b, 16)],
            table_shift: b[10],
            multiplier: f32_at(b, 20),
            multiplier2: f32_at(b, 24),
        })
    }

    /// The record's bytes.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut b = [0; Self::SIZE];
        b[0] = self.op.code() as u8;
        put(&mut b, 2, &self.input.to_le_bytes());
        put(&mut b, 4, &self.input2.to_le_bytes());
        put(&mut b, 6, &self.output.to_le_bytes());
        b[8] = self.range_i8[0] as u8;
        b[9] = self.range_i8[1] as u8;
        b[10] = self.table_shift;
        put(&mut b, 12, &self.range_f32[0].to_le_bytes());
        put(&mut b, 16, &self.range_f32[1].to_le_bytes());
        put(&mut b, 20, &self.multiplier.to_le_bytes());
        put(&mut b, 24, &self.multiplier2.to_le_bytes());
        let put_window = |b: &mut [u8], w: &Window| {
            let fields = [w.kernel, w.stride, w.dilation].into_iter().flatten().chain(w.pads);
            for (i, field) in fields.enumerate() {
                put(b, 32 + 2 * i, &field.to_le_bytes());
            }
        };
        match &self.op {
            Op::Conv2d(conv) => {
                put_window(&mut b, &conv.window);
                put(&mut b, 52, &conv.groups.to_le_bytes());
            }
            Op::MaxPool(pool) => put_window(&mut b, &pool.window),
            Op::Lrn(lrn) => {
                put(&mut b, 32, &lrn.alpha.to_le_bytes());
                put(&mut b, 36, &lrn.beta.to_le_bytes());
                put(&mut b, 40, &lrn.k.to_le_bytes());
                put(&mut b, 52, &lrn.size.to_le_bytes());
            }
            Op::AveragePool(pool) => {
                put_window(&mut b, &pool.window);
                for (i, pad) in pool.counted.into_iter().enumerate() {
                    put(&mut b, 52 + 2 * i, &pad.to_le_bytes());
                }
            }
            Op::Unary(function) => {
                let [p, q] = function.parameters();
                b[32] = function.code();
                put(&mut b, 36, &p.to_le_bytes());
                put(&mut b, 40, &q.to_le_bytes());
            }
            Op::Binary(op) => b[32] = *op as u8,
            Op::Rearrange(r) => {
                put(&mut b, 32, &r.base.to_le_bytes());
                put(&mut b, 36, &r.row.to_le_bytes());
                for (i, (size, stride)) in r.size.into_iter().zip(r.stride).enumerate() {
                    put(&mut b, 40 + 2 * i, &size.to_le_bytes());
                    put(&mut b, 48 + 4 * i, &stride.to_le_bytes());
                }
            }
            Op::Pad(pad) => {
                for (i, before) in pad.before.into_iter().enumerate() {
                    put(&mut b, 32 + 2 * i, &before.to_le_bytes());
                }
                (b[38], b[39]) = (pad.mode as u8, pad.value_i8 as u8);
                put(&mut b, 40, &pad.value.to_le_bytes());
            }
            Op::Place(place) => {
                for (i, offset) in place.offset.into_iter().enumerate() {
                    put(&mut b, 32 + 2 * i, &offset.to_le_bytes());
                }
                b[38] = place.table as u8;
            }
            Op::ArgMax { last } => b[32] = *last as u8,
            Op::Convert(convert) => b[32] = convert.per_channel as u8,
            Op::LpPool(pool) => {
                put_window(&mut b, &pool.window);
                b[52] = pool.norm as u8;
            }
            Op::Linear | Op::Relu | Op::PRelu | Op::Constant | Op::Resize | Op::Softmax => {}
        }
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NONE16;

    fn every_op() -> impl Iterator<Item = Op> {
        let window = Window { kernel: [1, 2], stride: [3, 4], dilation: [5, 6], pads: [7, 8, 9, 10] };
        let rearrange = Rearrange { base: 70_000, row: -3, size: [1, 2, 3, 4], stride: [-1, i32::MAX, i32::MIN, 4] };
        let functions = [
            Function::Identity,
            Function::LeakyRelu { alpha: 0.01 },
            Function::Clip { lo: f32::NEG_INFINITY, hi: 6.0 },
            Function::HardSigmoid { alpha: 0.2, beta: 0.5 },
            Function::HardSwish,
            Function::Sigmoid,
            Function::Tanh,
        ];
        let modes = [PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap];
        let pads = modes.map(|mode| Op::Pad(Pad { before: [1, 2, 300], mode, value: -0.5, value_i8: -3 }));
        let binaries = (0..=u8::MAX).filter_map(BinaryOp::from_code).map(Op::Binary);
        let flags = [false, true].into_iter().flat_map(|flag| {
            let place = Op::Place(Place { offset: [4, 500, 6], table: flag });
            [place, Op::ArgMax { last: flag }, Op::Convert(Convert { per_channel: flag })]
        });
        let others = [
            Op::Conv2d(Conv2d { window, groups: 11 }),
            Op::Linear,
            Op::MaxPool(MaxPool { window }),
            Op::Lrn(Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 }),
            Op::Relu,
            Op::AveragePool(AveragePool { window, counted: [3, 2, 1, 900] }),
            Op::LpPool(LpPool { window, norm: Norm::Sum }),
            Op::LpPool(LpPool { window, norm: Norm::Root }),
            Op::PRelu,
            Op::Constant,
            Op::Rearrange(rearrange),
            Op::Resize,
            Op::Softmax,
        ];
        others.into_iter().chain(functions.map(Op::Unary)).chain(pads).chain(binaries).chain(flags)
    }

    #[test]
    fn every_operator_survives_encoding() {
        for op in every_op() {
            let layer = Layer {
                op,
                input: 1,
                input2: NONE16,
                output: 2,
                range_i8: [-128, 127],
                range_f32: [0.0, f32::INFINITY],
                table_shift: 9,
                multiplier: 0.25,
                multiplier2: -0.5,
            };
            assert_eq!(Layer::decode(&layer.encode()), Some(layer));
        }
    }
}
