//! A quantized network as an ONNX model, for onnxruntime and whoever else reads it.
//!
//! [`Form::QOperator`] has operators on codes (QLinearConv, and onnxruntime's own com.microsoft ones) and computes what the runtime
//! computes: the same bytes for convolution, fully connected, ReLU, max-pool, concatenation and whatever only moves elements.
//! [`Form::Qdq`] has real operators between DequantizeLinear and QuantizeLinear. Codes are uint8, the device's int8 shifted by 128;
//! every value is `[1, C, H, W]` but for the network's own inputs and outputs.

mod layers;
mod moves;
mod nodes;
mod sums;

use crate::lower::problem;
use crate::network::Quant;
use crate::quantized::{QuantLayer, QuantTensor, Quantized};
use nodes::Nodes;
use staticnet::record::HostType;
use staticnet_graph::diagnostic::Diagnostic;
use staticnet_graph::graph::Elem;
use staticnet_graph::onnx::proto::ints;

/// How a quantized network is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Operators on codes.
    QOperator,
    /// Real operators between conversions.
    Qdq,
}

/// Writes a quantized network; its payloads must still be there.
///
/// # Errors
/// Layers that have no such form, at once.
pub fn write(network: &Quantized, form: Form) -> Result<Vec<u8>, Vec<Diagnostic>> {
    let values = vec![Value::default(); network.tensors.len()];
    let mut writer = Writer { network, form, proto: Nodes::new(&network.name), values };
    network.inputs.iter().for_each(|&t| writer.input(t));
    let mut problems = vec![];
    for i in 0..network.layers.len() {
        if let Err(reason) = writer.layer(i) {
            let layer = &network.layers[i];
            let hint = "leave --qoperator and --qdq away: the artifact does not need them";
            problems.push(problem(&layer.name, layer.record.op.name(), "", reason, hint));
        }
    }
    network.outputs.iter().for_each(|&t| writer.output(t));
    if !problems.is_empty() {
        return Err(problems);
    }
    let bytes = writer.proto.finish();
    bytes.map_err(|e| vec![problem(&network.name, "model", "", e.to_string(), "the model is too large for one file")])
}

/// What holds a tensor in the file.
#[derive(Clone, Debug, Default)]
struct Value {
    /// `[1, C, H, W]`: codes where the tensor has a grid, real numbers otherwise.
    picture: Option<String>,
    /// The same as `[1, C * H * W]`.
    flat: Option<String>,
    /// Real numbers of a tensor of codes.
    real: Option<String>,
}

struct Writer<'n> {
    network: &'n Quantized,
    form: Form,
    proto: Nodes,
    values: Vec<Value>,
}

/// A code as the files have it.
fn unsigned(code: i8) -> u8 {
    (code as i16 + 128) as u8
}

/// A tensor's shape in the file.
fn picture_shape(t: &QuantTensor) -> Vec<i64> {
    let [height, width, channels] = t.size().map(i64::from);
    vec![1, channels, height, width]
}

impl<'n> Writer<'n> {
    fn tensor(&self, t: usize) -> &'n QuantTensor {
        &self.network.tensors[t]
    }

    fn grid(&self, t: usize) -> Option<Quant> {
        self.tensor(t).grid()
    }

    /// Names of a tensor's scale and zero point.
    fn grid_names(&mut self, t: usize) -> Vec<String> {
        let quant = self.grid(t).unwrap_or(Quant { scale: 1.0, zero_point: -128 });
        let scale = self.proto.floats(&format!("{t}/scale"), &[], &[quant.scale]);
        let zero_point = self.proto.bytes(&format!("{t}/zero_point"), &[], &[unsigned(quant.zero_point)]);
        vec![scale, zero_point]
    }

    /// A tensor as `[1, C, H, W]`.
    fn picture(&mut self, t: usize) -> String {
        if let Some(name) = &self.values[t].picture {
            return name.clone();
        }
        // Only fully connected layers make flat tensors.
        let flat = self.values[t].flat.clone().unwrap_or_default();
        let picture = self.proto.reshape(&flat, &picture_shape(self.tensor(t)));
        self.values[t].picture = Some(picture.clone());
        picture
    }

    /// A tensor as `[1, F]`.
    fn flat(&mut self, t: usize) -> String {
        if let Some(name) = &self.values[t].flat {
            return name.clone();
        }
        let picture = self.picture(t);
        let flat = self.proto.reshape(&picture, &[1, self.tensor(t).elements() as i64]);
        self.values[t].flat = Some(flat.clone());
        flat
    }

    /// A tensor as real numbers `[1, C, H, W]`.
    fn real(&mut self, t: usize) -> String {
        let picture = self.picture(t);
        if self.grid(t).is_none() {
            return picture;
        }
        if let Some(name) = &self.values[t].real {
            return name.clone();
        }
        let real = self.dequantized(picture, t);
        self.values[t].real = Some(real.clone());
        real
    }

    /// Codes on a tensor's grid as real numbers.
    fn dequantized(&mut self, codes: String, t: usize) -> String {
        let inputs = [vec![codes], self.grid_names(t)].concat();
        self.proto.node("DequantizeLinear", &inputs, vec![])
    }

    /// Makes a tensor of real numbers: quantized where it has a grid.
    fn set_real(&mut self, t: usize, real: String) {
        let picture = if self.grid(t).is_some() {
            let inputs = [vec![real], self.grid_names(t)].concat();
            self.proto.node("QuantizeLinear", &inputs, vec![])
        } else {
            real
        };
        self.values[t].picture = Some(picture);
    }

    fn layer_inputs(&self, i: usize) -> (&'n QuantLayer, Vec<usize>) {
        let layer = &self.network.layers[i];
        (layer, layer.inputs().collect())
    }

    fn input(&mut self, t: usize) {
        let tensor = self.tensor(t);
        let info = &tensor.info;
        let name = self.proto.input(&tensor.name, element_type(info.host), tensor.dims());
        let in_device_order = match (info.channels_last && tensor.dims().first() == Some(&1), info.height * info.width) {
            (true, _) => name,
            (false, 1) => self.proto.reshape(&name, &picture_shape(tensor)),
            (false, _) => {
                let [h, w, c] = tensor.size().map(i64::from);
                let rows = self.proto.reshape(&name, &[1, h, w, c]);
                self.proto.node("Transpose", &[rows], vec![ints("perm", &[0i64, 3, 1, 2])])
            }
        };
        match info.host {
            HostType::Real => self.set_real(t, in_device_order),
            HostType::U8 | HostType::I64 => self.values[t].picture = Some(in_device_order),
            HostType::I8 => self.values[t].picture = Some(self.proto.shifted(&in_device_order, Elem::U8)),
        }
    }

    fn output(&mut self, t: usize) {
        let tensor = self.tensor(t);
        let flat = self.values[t].flat.clone().filter(|_| self.grid(t).is_some() && tensor.dims().len() == 2);
        let value = match (tensor.info.host, flat) {
            (HostType::Real, Some(flat)) => self.dequantized(flat, t),
            (HostType::Real, None) => self.real(t),
            (HostType::U8 | HostType::I64, _) => self.picture(t),
            (HostType::I8, _) => {
                let picture = self.picture(t);
                self.proto.shifted(&picture, Elem::I8)
            }
        };
        let dims: Vec<i64> = tensor.dims().iter().map(|&d| d.into()).collect();
        let ordered = match (tensor.info.channels_last, tensor.info.height * tensor.info.width) {
            (true, _) | (false, 1) => value,
            (false, _) => self.proto.node("Transpose", &[value], vec![ints("perm", &[0i64, 2, 3, 1])]),
        };
        self.proto.output(&ordered, &tensor.name, element_type(tensor.info.host), &dims);
    }
}

fn element_type(host: HostType) -> Elem {
    match host {
        HostType::Real => Elem::F32,
        HostType::U8 => Elem::U8,
        HostType::I8 => Elem::I8,
        HostType::I64 => Elem::I64,
    }
}
