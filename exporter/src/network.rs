//! A network in the device's terms: tensors of rows, pixels and channels, layers of the runtime, parameters in the order of the
//! kernels.

use staticnet::op::{Op, Rearrange};
use staticnet::preprocess::Preprocess;
use staticnet::quant;
use staticnet::record::HostType;
use staticnet_graph::op::resize::Tap;

/// An interval of real values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest value.
    pub lo: f32,
    /// Largest value.
    pub hi: f32,
}

impl Range {
    /// That of no value at all.
    pub const EMPTY: Range = Range { lo: f32::INFINITY, hi: f32::NEG_INFINITY };

    /// The range that holds a value as well.
    pub fn with(self, v: f32) -> Range {
        Range { lo: self.lo.min(v), hi: self.hi.max(v) }
    }

    /// The range that holds both.
    pub fn and(self, other: Range) -> Range {
        Range { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }
}

/// Scale and zero point of a tensor: real = scale * (q - zero_point).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quant {
    /// Real value of one unit.
    pub scale: f32,
    /// The int8 value that stands for 0.
    pub zero_point: i8,
}

impl Quant {
    /// The codes of a layer's smallest and largest real output; the ends of int8 where it has none.
    pub fn bounds(self, clamp: [f32; 2]) -> [i8; 2] {
        let code = |real: f32, otherwise: i8| match real.is_finite() {
            true => quant::quantize(real, self.scale, self.zero_point),
            false => otherwise,
        };
        [code(clamp[0], i8::MIN), code(clamp[1], i8::MAX)]
    }
}

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Real numbers: f32, unless calibration gives them a grid.
    Real,
    /// int8 on a grid that the model fixes.
    Codes(Quant),
    /// Indices, i32.
    Index,
}

impl Kind {
    /// The grid that the model fixes.
    pub fn grid(self) -> Option<Quant> {
        match self {
            Kind::Codes(quant) => Some(quant),
            Kind::Real | Kind::Index => None,
        }
    }
}

/// An activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Name of the ONNX value, or of the layer that was put in.
    pub name: String,
    /// Rows.
    pub height: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Channels of a pixel.
    pub channels: u32,
    /// What its elements are.
    pub kind: Kind,
    /// Dimensions on the host, at most four.
    pub dims: Vec<u16>,
    /// Whether the host's second dimension is innermost on the device.
    pub channels_last: bool,
    /// Elements on the host.
    pub host: HostType,
}

impl Tensor {
    /// Elements of the whole tensor.
    pub fn elements(&self) -> usize {
        self.height as usize * self.width as usize * self.channels as usize
    }

    /// Rows, pixels, channels.
    pub fn size(&self) -> [u32; 3] {
        [self.height, self.width, self.channels]
    }
}

/// The integers of a convolution or a fully connected layer that the model holds quantized.
#[derive(Clone, Debug, PartialEq)]
pub struct SumCodes {
    /// Weights minus their zero point, in the order of the real ones.
    pub weights: Vec<i8>,
    /// One scale an output channel.
    pub scale: Vec<f32>,
    /// Biases and the scale that each was written with; empty where the model holds the bias as real numbers.
    pub bias: Vec<(i32, f32)>,
}

/// What a layer has besides its attributes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Parameters {
    /// Nothing.
    #[default]
    None,
    /// Convolution and fully connected.
    Sum {
        /// One row an output channel: `[O][KH][KW][C / groups]`, or the input in memory order for fully connected layers.
        weights: Vec<f32>,
        /// One an output channel.
        bias: Vec<f32>,
        /// The integers, where the model has them.
        codes: Option<SumCodes>,
    },
    /// PRelu: one slope a channel.
    Slopes(Vec<f32>),
    /// Constant: the elements in memory order.
    Elements(Vec<f32>),
    /// Resize: one tap an output row, then one an output pixel of a row.
    Taps(Vec<Tap>),
    /// Convert per channel.
    Grids {
        /// One a channel.
        scale: Vec<f32>,
        /// One a channel, for int8.
        zero_point: Vec<i32>,
    },
}

/// A layer of the runtime with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Name of the ONNX node, or a name after it for a layer that was put in.
    pub name: String,
    /// Operator and attributes.
    pub op: Op,
    /// Input tensors: none, one or two.
    pub inputs: Vec<usize>,
    /// Output tensor. The layers of a concatenation share theirs.
    pub output: usize,
    /// Smallest and largest real output: a fused activation.
    pub clamp: [f32; 2],
    /// Parameters.
    pub parameters: Parameters,
}

/// No clamp.
pub const UNCLAMPED: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

impl Layer {
    /// A layer without clamp.
    pub fn new(name: &str, op: Op, inputs: &[usize], output: usize, parameters: Parameters) -> Self {
        Layer { name: name.to_string(), op, inputs: inputs.to_vec(), output, clamp: UNCLAMPED, parameters }
    }

    /// Fills in what follows from the grids of the first input and of the output.
    pub fn settle(&mut self, x: Option<Quant>, y: Option<Quant>) {
        if let Op::Pad(pad) = &mut self.op {
            // A value outside is on the grid like everything else.
            pad.value_i8 = x.map_or(0, |q| quant::quantize(pad.value, q.scale, q.zero_point));
        }
        if let Op::Place(place) = &mut self.op {
            place.table = x != y;
        }
    }
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
    /// Indices of the layers that read a tensor.
    pub fn readers(&self, tensor: usize) -> impl Iterator<Item = usize> + '_ {
        self.layers.iter().enumerate().filter(move |(_, layer)| layer.inputs.contains(&tensor)).map(|(i, _)| i)
    }

    /// The layer that alone makes a tensor.
    pub fn maker(&self, tensor: usize) -> Option<usize> {
        let mut makers = self.layers.iter().enumerate().filter(|(_, layer)| layer.output == tensor).map(|(i, _)| i);
        makers.next().filter(|_| makers.next().is_none())
    }

    /// The only layer that reads a tensor which nobody outside sees.
    pub fn only_reader(&self, tensor: usize) -> Option<usize> {
        let mut readers = self.readers(tensor);
        let first = readers.next()?;
        (readers.next().is_none() && !self.outputs.contains(&tensor)).then_some(first)
    }

    /// Removes tensors that no layer, input or output names any more, and renumbers the rest.
    pub fn drop_unused_tensors(&mut self) {
        let mut used = vec![false; self.tensors.len()];
        let ends = self.inputs.iter().chain(&self.outputs);
        for &i in ends.chain(self.layers.iter().flat_map(|layer| layer.inputs.iter().chain([&layer.output]))) {
            used[i] = true;
        }
        let new: Vec<usize> = used.iter().scan(0, |next, &used| Some(std::mem::replace(next, *next + used as usize))).collect();
        let mut keep = used.iter();
        self.tensors.retain(|_| keep.next().is_some_and(|&used| used));
        for layer in &mut self.layers {
            layer.inputs.iter_mut().chain([&mut layer.output]).for_each(|i| *i = new[*i]);
        }
        self.inputs.iter_mut().chain(&mut self.outputs).for_each(|i| *i = new[*i]);
    }

    /// Removes layers whose output nobody reads, and then their tensors.
    pub fn drop_unused_layers(&mut self) {
        let mut wanted: Vec<bool> = (0..self.tensors.len()).map(|t| self.outputs.contains(&t)).collect();
        // Backwards: whatever a kept layer reads is wanted before the layer that makes it is judged.
        let mut keep = vec![false; self.layers.len()];
        for (i, layer) in self.layers.iter().enumerate().rev() {
            keep[i] = wanted[layer.output];
            if keep[i] {
                layer.inputs.iter().for_each(|&t| wanted[t] = true);
            }
        }
        let mut kept = keep.into_iter();
        self.layers.retain(|_| kept.next().unwrap_or(true));
        self.drop_unused_tensors();
    }
}

impl std::fmt::Display for Network {
    /// One line a layer: output = operator(inputs), size, clamp.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |t: &usize| self.tensors[*t].name.as_str();
        for t in &self.inputs {
            writeln!(f, "input {} {:?}", name(t), self.tensors[*t].size())?;
        }
        for layer in &self.layers {
            let inputs: Vec<&str> = layer.inputs.iter().map(name).collect();
            let output = &self.tensors[layer.output];
            write!(f, "{} = {:?}({}) {:?}", output.name, layer.op, inputs.join(", "), output.size())?;
            if layer.clamp != UNCLAMPED {
                write!(f, " clamp {:?}", layer.clamp)?;
            }
            if let Kind::Codes(q) = output.kind {
                write!(f, " codes {} {}", q.scale, q.zero_point)?;
            }
            writeln!(f)?;
        }
        self.outputs.iter().try_for_each(|t| writeln!(f, "output {}", name(t)))
    }
}

/// The walk over a tensor of rows, pixels and channels that leaves every element where it is.
pub const fn unmoved([_, width, channels]: [u32; 3]) -> Rearrange {
    Rearrange {
        base: 0,
        row: (width * channels) as i32,
        size: [1, 1, width as u16, channels as u16],
        stride: [0, 0, channels as i32, 1],
    }
}

/// The input element that a walk reads for each element of an output of `height` rows, in memory order.
pub fn walked(walk: &Rearrange, height: u32) -> Vec<i64> {
    let mut places: Vec<i64> = (0..i64::from(height)).map(|r| i64::from(walk.base) + r * i64::from(walk.row)).collect();
    for (&size, &stride) in walk.size.iter().zip(&walk.stride) {
        places = places.iter().flat_map(|&p| (0..i64::from(size)).map(move |n| p + n * i64::from(stride))).collect();
    }
    places
}
