//! A network in the device's terms: tensors in NHWC, layers of the runtime, weights in the order of the kernels.

use staticnet::op::{Op, Window};
use staticnet::preprocess::Preprocess;

/// An activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Name of the ONNX value.
    pub name: String,
    /// Rank on the host: 4 (`[1, C, H, W]`) or 2 (`[1, F]`).
    pub rank: u8,
    /// Rows.
    pub height: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Channels of a pixel.
    pub channels: u32,
}

impl Tensor {
    /// Elements of the whole tensor.
    pub fn elements(&self) -> usize {
        self.height as usize * self.width as usize * self.channels as usize
    }
}

/// A layer of the runtime with its f32 parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Name of the ONNX node.
    pub name: String,
    /// Operator and attributes.
    pub op: Op,
    /// Index of the input tensor.
    pub input: usize,
    /// Index of the output tensor.
    pub output: usize,
    /// Whether a ReLU is fused behind it.
    pub relu: bool,
    /// Weights, one row per output channel: `[O][KH][KW][C / groups]`, or `[O][H][W][C]` for fully connected layers.
    pub weights: Vec<f32>,
    /// One bias per output channel.
    pub bias: Vec<f32>,
}

/// A network ready to be quantized and planned. Layers are in execution order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// Name of the architecture.
    pub name: String,
    /// Activations.
    pub tensors: Vec<Tensor>,
    /// Layers.
    pub layers: Vec<Layer>,
    /// Input tensors.
    pub inputs: Vec<usize>,
    /// Output tensors.
    pub outputs: Vec<usize>,
    /// How a picture becomes the first input.
    pub preprocess: Option<Preprocess>,
    /// Class labels.
    pub labels: Vec<String>,
}

impl Network {
    /// Number of layers that read a tensor.
    pub fn readers(&self, tensor: usize) -> usize {
        self.layers.iter().filter(|layer| layer.input == tensor).count()
    }

    /// Multiply-accumulate operations of a layer.
    pub fn macs(&self, layer: &Layer) -> u64 {
        let output = &self.tensors[layer.output];
        match &layer.op {
            Op::Conv2d(_) => output.height as u64 * output.width as u64 * layer.weights.len() as u64,
            Op::Linear => layer.weights.len() as u64,
            Op::MaxPool(_) | Op::Lrn(_) | Op::Relu => 0,
        }
    }
}

/// The window of an operator that has one.
pub fn window(op: &Op) -> Option<&Window> {
    match op {
        Op::Conv2d(conv) => Some(&conv.window),
        Op::MaxPool(pool) => Some(&pool.window),
        Op::Linear | Op::Lrn(_) | Op::Relu => None,
    }
}
