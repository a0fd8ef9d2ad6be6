//! What only moves elements: one Gather with constant places, or a Concat.

use super::{Writer, picture_shape, unsigned};
use crate::network::walked;
use crate::payload::Payload;
use crate::quantized::QuantTensor;
use staticnet::op::{Op, Rearrange};
use staticnet_graph::onnx::proto::int;

/// Place in `[C, H, W]` of a place in memory.
fn in_picture(t: &QuantTensor, place: usize) -> i64 {
    let [_, _, channels] = t.size().map(|n| n as usize);
    let pixels = (t.info.height * t.info.width) as usize;
    (place % channels * pixels + place / channels) as i64
}

/// Places in memory in the order of `[C, H, W]`.
fn memory_places(t: &QuantTensor) -> impl Iterator<Item = usize> {
    let [height, width, channels] = t.size().map(|n| n as usize);
    let pixels = height * width;
    (0..channels).flat_map(move |c| (0..pixels).map(move |p| p * channels + c))
}

impl Writer<'_> {
    /// A tensor whose elements are those of `x` at the given places of `[C, H, W]`.
    fn gathered(&mut self, i: usize, x: usize, y: usize, places: &[i64]) {
        let picture = self.picture(x);
        let flat = self.proto.reshape(&picture, &[-1]);
        let places = self.proto.integers(&format!("layer{i}/places"), places);
        let moved = self.proto.node("Gather", &[flat, places], vec![int("axis", 0)]);
        self.values[y].picture = Some(self.proto.reshape(&moved, &picture_shape(self.tensor(y))));
    }

    pub(super) fn rearrange(&mut self, i: usize, walk: &Rearrange) {
        let (layer, inputs) = self.layer_inputs(i);
        let (x, y) = (inputs[0], layer.output());
        let t = self.tensor(y);
        let from = walked(walk, t.info.height);
        let places: Vec<i64> = memory_places(t).map(|place| in_picture(self.tensor(x), from[place] as usize)).collect();
        self.gathered(i, x, y, &places);
    }

    /// A resize that only chooses pixels.
    pub(super) fn resize(&mut self, i: usize) -> Result<(), String> {
        let (layer, inputs) = self.layer_inputs(i);
        let (x, y) = (inputs[0], layer.output());
        let Payload::Taps(taps) = &layer.payload else { return Err("it has no taps".into()) };
        if taps.iter().any(|tap| tap.weight != 0.0) {
            return Err("a resize between pixels has no quantized form".into());
        }
        let (rows, pixels) = taps.split_at(self.tensor(y).info.height as usize);
        let t = &self.tensor(x).info;
        let (width, plane) = (t.width as i64, (t.width * t.height) as i64);
        let mut places = vec![];
        for c in 0..t.channels as i64 {
            for row in rows {
                places.extend(pixels.iter().map(|pixel| c * plane + row.first as i64 * width + pixel.first as i64));
            }
        }
        self.gathered(i, x, y, &places);
        Ok(())
    }

    /// A concatenation, when its last part comes.
    pub(super) fn concat(&mut self, i: usize) -> Result<(), String> {
        let output = self.network.layers[i].output();
        if self.network.layers[i + 1..].iter().any(|later| later.output() == output) {
            return Ok(());
        }
        let layers = &self.network.layers;
        let parts = layers.iter().filter(|l| l.output() == output).filter_map(|l| {
            let Op::Place(place) = l.record.op else { return None };
            Some((place.offset, l.input(0)?))
        });
        let mut parts: Vec<([u16; 3], usize)> = parts.collect();
        parts.sort_unstable();
        let along = (0..3).filter(|&axis| parts.iter().any(|(offset, _)| offset[axis] != 0)).collect::<Vec<_>>();
        let axis = match along[..] {
            [] | [2] => 1,
            [0] => 2,
            [1] => 3,
            _ => return Err("its parts are laid out in two directions".into()),
        };
        let axis = vec![int("axis", axis)];
        let same = parts.iter().all(|&(_, t)| self.grid(t) == self.grid(output));
        let value = if same {
            let inputs: Vec<String> = parts.iter().map(|&(_, t)| self.picture(t)).collect();
            self.proto.node("Concat", &inputs, axis)
        } else if self.on_codes(i) {
            let mut inputs = self.grid_names(output);
            for &(_, t) in &parts {
                inputs.push(self.picture(t));
                inputs.extend(self.grid_names(t));
            }
            self.proto.microsoft("QLinearConcat", &inputs, axis)
        } else {
            let inputs: Vec<String> = parts.iter().map(|&(_, t)| self.real(t)).collect();
            let real = self.proto.node("Concat", &inputs, axis);
            self.set_real(output, real);
            return Ok(());
        };
        self.values[output].picture = Some(value);
        Ok(())
    }

    pub(super) fn constant(&mut self, i: usize) -> Result<(), String> {
        let (layer, _) = self.layer_inputs(i);
        let (t, name) = (self.tensor(layer.output()), format!("layer{i}/constant"));
        let value = if let Payload::ElementCodes(codes) = &layer.payload {
            let ordered: Vec<u8> = memory_places(t).map(|p| unsigned(codes[p])).collect();
            self.proto.bytes(&name, &picture_shape(t), &ordered)
        } else if let Payload::Elements(real) = &layer.payload {
            let ordered: Vec<f32> = memory_places(t).map(|p| real[p]).collect();
            self.proto.floats(&name, &picture_shape(t), &ordered)
        } else {
            return Err("it has no elements".into());
        };
        self.values[layer.output()].picture = Some(value);
        Ok(())
    }
}
