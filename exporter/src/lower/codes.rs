//! Weights that the model holds as integers.
//!
//! Minus its zero point a weight has nine bits where that is not in the middle of its type. Such a weight is the sum of two of eight:
//! the layer then reads every input channel twice, once for each half, and its sums are the same integers.

use super::{Lowering, Refused, refused};
use crate::network::{Parameters, SumCodes};
use staticnet::op::{Op, Rearrange};
use staticnet_graph::graph::Codes;

/// The integers of a layer, each weight minus its zero point, before they are known to fit eight bits.
pub(super) struct Integers {
    /// In the device's order.
    weights: Vec<i16>,
    scale: Vec<f32>,
    bias: Vec<(i32, f32)>,
}

impl Integers {
    /// The integers of a weight `[O, ..]`; `reorder` puts them into the device's order.
    pub(super) fn new(
        codes: &Codes,
        bias: Option<&Codes>,
        outputs: usize,
        reorder: impl Fn(Vec<i16>) -> Vec<i16>,
    ) -> Result<Integers, Refused> {
        let per_channel = |values: usize| values == outputs && codes.axis == Some(0);
        if codes.scale.len() != 1 && !per_channel(codes.scale.len()) {
            let reason =
                format!("has {} scales along dimension {:?}, its outputs are {outputs}", codes.scale.len(), codes.axis);
            return refused("W", reason, "quantize weights per tensor or per output channel");
        }
        let of = |c: usize| if codes.scale.len() == 1 { 0 } else { c };
        let row = (codes.codes.len() / outputs.max(1)).max(1);
        let weight = |(i, &code): (usize, &i32)| (code - codes.zero_point[of(i / row)]).clamp(-255, 255) as i16;
        let bias = match bias {
            Some(b) => b.codes.iter().enumerate().map(|(c, &q)| (q, b.scale[if b.scale.len() == 1 { 0 } else { c }])).collect(),
            None => vec![],
        };
        let weights = reorder(codes.codes.iter().enumerate().map(weight).collect());
        Ok(Integers { weights, scale: (0..outputs).map(|c| codes.scale[of(c)]).collect(), bias })
    }

    /// Whether a weight needs more than eight bits.
    fn wide(&self) -> bool {
        self.weights.iter().any(|&w| i8::try_from(w).is_err())
    }
}

impl Lowering {
    /// The parameters of a layer of sums and its input: as they are, or with every one of its `per_group` input channels twice.
    /// `weights` are the real ones, in the device's order.
    pub(super) fn sum_parameters(
        &mut self,
        input: usize,
        (weights, bias): (Vec<f32>, Vec<f32>),
        integers: Option<Integers>,
        per_group: usize,
        name: &str,
    ) -> Result<(usize, Parameters), Refused> {
        let Some(integers) = integers else { return Ok((input, Parameters::Sum { weights, bias, codes: None })) };
        let Integers { weights: wide, scale, bias: bias_codes } = &integers;
        if !integers.wide() {
            let codes =
                SumCodes { weights: wide.iter().map(|&w| w as i8).collect(), scale: scale.clone(), bias: bias_codes.clone() };
            return Ok((input, Parameters::Sum { weights, bias, codes: Some(codes) }));
        }
        // Halves of at most 255 / 2, rounded towards each other.
        let halves = |run: &[i16]| -> Vec<i8> {
            let first = run.iter().map(|&w| (w / 2) as i8);
            first.chain(run.iter().map(|&w| (w - w / 2) as i8)).collect()
        };
        let split: Vec<i8> = wide.chunks_exact(per_group).flat_map(halves).collect();
        let row = (split.len() / scale.len().max(1)).max(1);
        let weights = split.iter().enumerate().map(|(i, &w)| w as f32 * scale[i / row]).collect();
        let codes = SumCodes { weights: split, scale: scale.clone(), bias: bias_codes.clone() };
        Ok((self.doubled(input, per_group, name)?, Parameters::Sum { weights, bias, codes: Some(codes) }))
    }

    /// A tensor with the channels of each group twice behind each other.
    fn doubled(&mut self, x: usize, per_group: usize, name: &str) -> Result<usize, Refused> {
        let [height, width, channels] = self.network.tensors[x].size().map(|n| n as usize);
        let walk = Rearrange {
            base: 0,
            row: (width * channels) as i32,
            size: [width as u16, (channels / per_group) as u16, 2, per_group as u16],
            stride: [channels as i32, per_group as i32, 0, 1],
        };
        let name = format!("{name}/doubled");
        let y = self.tensor(&name, [height, width, 2 * channels], self.kind(x))?;
        self.layer(&name, Op::Rearrange(walk), &[x], y, Parameters::None);
        Ok(y)
    }
}
