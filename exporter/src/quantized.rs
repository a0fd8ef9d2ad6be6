//! A network as the artifact describes it: f32 or int8, tensor by tensor.

use crate::network::Quant;
use crate::payload::Payload;
use staticnet::preprocess::Preprocess;
use staticnet::record::{self, DType, NONE16, TensorInfo};
use std::fmt;

/// An activation with its record.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantTensor {
    /// Name of the ONNX value, or of the layer that was put in.
    pub name: String,
    /// What the artifact says of it.
    pub info: TensorInfo,
}

impl QuantTensor {
    /// The grid of an int8 tensor; none for f32 and indices.
    pub fn grid(&self) -> Option<Quant> {
        let TensorInfo { scale, zero_point, .. } = self.info;
        match self.info.dtype {
            DType::I8 => Some(Quant { scale, zero_point }),
            DType::F32 | DType::I32 => None,
        }
    }

    /// Rows, pixels, channels.
    pub fn size(&self) -> [u32; 3] {
        [self.info.height, self.info.width, self.info.channels]
    }

    /// Elements of the whole tensor.
    pub fn elements(&self) -> usize {
        self.info.elements() as usize
    }

    /// Dimensions on the host.
    pub fn dims(&self) -> &[u16] {
        &self.info.dims[..usize::from(self.info.rank).min(4)]
    }
}

/// A layer with its record and its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantLayer {
    /// Name of the ONNX node, or a name after it for a layer that was put in.
    pub name: String,
    /// What the artifact says of it: operator, tensors, range of the outputs, multipliers of a whole tensor.
    pub record: record::Layer,
    /// Weights and tables.
    pub payload: Payload,
}

impl QuantLayer {
    /// Input tensors: none, one or two.
    pub fn inputs(&self) -> impl DoubleEndedIterator<Item = usize> + Clone + use<> {
        [self.record.input, self.record.input2].into_iter().filter(|&t| t != NONE16).map(usize::from)
    }

    /// Input tensor `i`, where there is one.
    pub fn input(&self, i: usize) -> Option<usize> {
        self.inputs().nth(i)
    }

    /// Output tensor. The layers of a concatenation share theirs.
    pub fn output(&self) -> usize {
        self.record.output.into()
    }
}

/// A network ready to be planned and written. Layers are in execution order.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// Name of the architecture.
    pub name: String,
    /// Activations.
    pub tensors: Vec<QuantTensor>,
    /// Layers.
    pub layers: Vec<QuantLayer>,
    /// Input tensors.
    pub inputs: Vec<usize>,
    /// Output tensors.
    pub outputs: Vec<usize>,
    /// How a picture becomes the first input.
    pub preprocess: Option<Preprocess>,
    /// Class labels.
    pub labels: Vec<String>,
}

impl Quantized {
    /// Bytes of all payloads, each once.
    pub fn weight_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.payload.len() as u64).sum()
    }
}

impl fmt::Display for Quantized {
    /// One line a layer: output = operator(inputs), size, element type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |t: usize| self.tensors[t].name.as_str();
        for layer in &self.layers {
            let (inputs, output) = (layer.inputs().map(name).collect::<Vec<_>>(), &self.tensors[layer.output()]);
            let (inputs, dtype) = (inputs.join(", "), output.info.dtype.name());
            writeln!(f, "{} = {:?}({inputs}) {:?} {dtype}", output.name, layer.record.op, output.size())?;
        }
        Ok(())
    }
}
