//! The whole way from a graph to an artifact.

use crate::budget::OverBudget;
use crate::calibrate;
use crate::emit::{self, Emitted};
use crate::error::Error;
use crate::host::{self, Model};
use crate::lower::{lower, problem};
use crate::network::Network;
use crate::passes;
use crate::plan::{self, Plan, PlanOptions, Planned, Ram, Share};
use crate::quantize::quantize;
use crate::quantized::{QuantLayer, Quantized};
use crate::ways;
use staticnet::preprocess::{PixelFormat, Source};
use staticnet::record::TensorInfo;
use staticnet_graph::graph::{Graph, Node, Op};

/// What kind of artifact to make.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Put the weights into a part of their own.
    pub split: bool,
    /// How to plan.
    pub plan: PlanOptions,
    /// Flash that head and weights (head alone where they are split) must fit into.
    pub flash: Option<u64>,
}

impl Options {
    /// Every tensor whole, one step a layer, weights in a part of their own: what looks at whole tensors needs.
    pub fn layer_by_layer() -> Self {
        Options { split: true, plan: PlanOptions { layers: true, ..PlanOptions::default() }, flash: None }
    }
}

/// Compiles a graph as it is: real numbers stay f32, what the model itself quantizes is int8.
///
/// # Errors
/// [`Error::Unsupported`] with everything that the runtime cannot run.
pub fn compile_float(graph: Graph, options: &Options) -> Result<Emitted, Error> {
    emit_network(as_it_is(graph)?, options)
}

/// Lowers a graph without calibration: real numbers stay f32.
///
/// # Errors
/// As [`compile_float`].
pub fn as_it_is(graph: Graph) -> Result<Quantized, Error> {
    quantize(network(graph)?, None).map_err(Error::Unsupported)
}

/// Inputs to calibrate on, one sample each.
#[derive(Clone, Copy, Debug)]
pub enum Samples<'s> {
    /// As the ONNX model takes them: f32, `[C, H, W]` where the input is a picture.
    Arrays(&'s [Vec<f32>]),
    /// Pictures as the device takes them, through the preprocessing that the model carries: f32, rows of pixels of channels.
    Pictures(&'s [Vec<f32>]),
}

impl<'s, T: AsRef<[Vec<f32>]> + ?Sized> From<&'s T> for Samples<'s> {
    fn from(arrays: &'s T) -> Self {
        Samples::Arrays(arrays.as_ref())
    }
}

impl Samples<'_> {
    /// The samples in the bytes of the device's input.
    fn encoded(&self, info: &TensorInfo) -> Result<Vec<Vec<u8>>, Error> {
        let (Samples::Arrays(samples) | Samples::Pictures(samples)) = self;
        if let Some(bad) = samples.iter().find(|s| s.len() as u64 != info.elements()) {
            let reason = format!("a sample has {} elements, the input {}", bad.len(), info.elements());
            return Err(Error::Input { from: "calibration".into(), reason });
        }
        let encode = |sample: &Vec<f32>| match self {
            Samples::Arrays(_) => host::encode(info, sample),
            // A picture lies on the device as the preprocessing makes it, or the model would not have been lowered.
            Samples::Pictures(_) => host::encode_in_place(info, sample),
        };
        Ok(samples.iter().map(encode).collect())
    }
}

/// Compiles a graph to int8.
///
/// # Errors
/// [`Error::Unsupported`], or [`Error::Input`] where a sample does not fit.
pub fn compile<'s>(graph: Graph, samples: impl Into<Samples<'s>>, options: &Options) -> Result<Emitted, Error> {
    emit_network(quantized(graph, samples)?, options)
}

/// Calibrates and quantizes a graph.
///
/// # Errors
/// As [`compile`].
pub fn quantized<'s>(graph: Graph, samples: impl Into<Samples<'s>>) -> Result<Quantized, Error> {
    let network = network(graph)?;
    if network.inputs.len() != 1 {
        let reason = format!("has {} inputs", network.inputs.len());
        let hint = "calibrate a model with one input, or compile with --float";
        return Err(Error::Unsupported(vec![problem(&network.name, "model", "input", reason, hint)]));
    }
    let float = quantize(network.clone(), None).map_err(Error::Unsupported)?;
    let float = Model::from_emitted(emit_network(float, &Options::layer_by_layer())?).map_err(not_accepted)?;
    let artifact = float.artifact();
    let info = artifact.input_slot(0).and_then(|slot| artifact.tensor(slot.tensor as usize));
    let info = info.ok_or(Error::Input { from: network.name.clone(), reason: "the network has no input".into() })?;
    let ranges = calibrate::ranges(&network, &float, &samples.into().encoded(&info)?)?;
    drop(float);
    quantize(network, Some(&ranges)).map_err(Error::Unsupported)
}

/// Whether a graph holds integers of its own: then it needs no calibration.
pub fn is_quantized(graph: &Graph) -> bool {
    let conversion = |node: &Node| {
        let (Op::Quantize(_) | Op::Dequantize(_)) = node.op else { return None };
        Some(node.output)
    };
    graph.nodes.iter().find_map(conversion).is_some()
}

/// Lowers a graph and runs the passes.
///
/// # Errors
/// [`Error::Unsupported`].
pub fn network(graph: Graph) -> Result<Network, Error> {
    let mut network = lower(graph).map_err(Error::Unsupported)?;
    passes::run(&mut network);
    network.drop_unused_layers();
    // Indices of the format are 16 bits wide.
    if network.outputs.is_empty() || network.layers.len().max(network.tensors.len()) >= u16::MAX as usize {
        let reason = format!("has {} layers and {} outputs", network.layers.len(), network.outputs.len());
        let hint = "give the model an output and at most 65,000 layers";
        return Err(Error::Unsupported(vec![problem(&network.name, "model", "graph", reason, hint)]));
    }
    Ok(network)
}

/// Plans and writes a network.
///
/// # Errors
/// As [`plan_network`]; [`Error::Unsupported`] where it is too large for the format.
pub fn emit_network(network: Quantized, options: &Options) -> Result<Emitted, Error> {
    let plan = plan_network(&network, options)?;
    emit_plan(network, &plan, options)
}

/// Plans a network.
///
/// # Errors
/// [`Error::Unsupported`] where it is too large for the format, [`Error::OverBudget`] where it needs more RAM than the options allow.
pub fn plan_network(network: &Quantized, options: &Options) -> Result<Plan, Error> {
    let too_large = |what: &str, bytes: u64| {
        let hint = "the format addresses 4 GiB of weights and of RAM, and 65,000 steps";
        Error::Unsupported(vec![problem(&network.name, "model", what, format!("needs {bytes}"), hint)])
    };
    let mut wanted = options.plan;
    // Pictures come through the preprocessing only; they have the input's own size where nobody says otherwise.
    wanted.source = network.preprocess.as_ref().map(|p| {
        let format = if p.channels == 1 { PixelFormat::Grey } else { PixelFormat::Rgb888 };
        wanted.source.unwrap_or(Source { width: p.width, height: p.height, format })
    });
    let planned = Planned::new(network);
    let plan = plan::plan(&planned, &wanted).map_err(|over| match wanted.ram {
        Ram::Limit(limit) => Error::OverBudget(ways::over_ram(&planned, &wanted, limit, over)),
        Ram::Least | Ram::Min => too_large("ram", over.needed),
    })?;
    let most = plan.steps.len().max(plan.slots.len()).max(plan.chunks.len());
    if most >= u16::MAX as usize {
        return Err(too_large("steps", most as u64));
    }
    Ok(plan)
}

/// Writes a network as planned.
///
/// # Errors
/// [`Error::Unsupported`] where it is too large for the format, [`Error::OverBudget`] where it is for the flash.
pub fn emit_plan(mut network: Quantized, plan: &Plan, options: &Options) -> Result<Emitted, Error> {
    let share = |layer: &QuantLayer| Share { name: format!("weights of {}", layer.name), bytes: layer.payload.len() as u64 };
    let mut largest: Vec<Share> = network.layers.iter().map(share).collect();
    let weights: u64 = largest.iter().map(|share| share.bytes + 16).sum();
    // A plan repeats some weights where blocks of channels look at their neighbours.
    if weights + weights / 64 > u32::MAX as u64 {
        let hint = "the format addresses 4 GiB of weights";
        let reason = format!("needs {weights} bytes");
        return Err(Error::Unsupported(vec![problem(&network.name, "model", "weights", reason, hint)]));
    }
    let (payload, chunks) = emit::payload(&mut network, &plan.chunks);
    let emitted = emit::emit(&network, plan, (payload, &chunks), options.split).map_err(not_accepted)?;
    let (head, weights) = (emitted.head.len() as u64, emitted.payload.as_ref().len() as u64);
    let behind = if options.split { 0 } else { weights };
    if let Some(limit) = options.flash.filter(|&limit| head + behind > limit) {
        largest.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        largest.push(Share { name: "head".into(), bytes: head });
        return Err(Error::OverBudget(OverBudget::flash(limit, head, behind, largest)));
    }
    Ok(emitted)
}

fn not_accepted(error: staticnet::ArtifactError) -> Error {
    Error::Artifact { file: "the new artifact".into(), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use staticnet::op::{Conv2d, Window};
    use staticnet::preprocess::{Fit, Picture, Preprocess};

    /// A convolution of pictures of 5 x 4 pixels.
    fn graph(preprocess: Preprocess) -> Graph {
        let mut graph = Graph::new("picture");
        let x = graph.input("x", &[1, 3, 4, 5]);
        let y = graph.conv("conv", x, 4, Conv2d { window: Window::square(3, 1, 1), groups: 1 }).unwrap();
        graph.output(y);
        for tensor in graph.params.values_mut() {
            tensor.data.iter_mut().enumerate().for_each(|(i, v)| *v = (i * 29 % 17) as f32 / 8.0 - 1.0);
        }
        graph.preprocess = Some(preprocess);
        graph
    }

    #[test]
    fn pictures_calibrate_as_their_arrays_do() {
        let (mean, std) = ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]);
        let preprocess = Preprocess { width: 5, height: 4, channels: 3, fit: Fit::Stretch, mean, std };
        let bytes: Vec<u8> = (0..60).map(|i| (i * 37 % 256) as u8).collect();
        let picture = Picture { pixels: &bytes, width: 5, height: 4, channels: 3 };
        let mut pixels = vec![0.0; preprocess.len()];
        preprocess.to_f32(picture, &mut pixels).unwrap();
        let (pixels, array) = ([pixels], [staticnet_data::chw(&preprocess, picture).unwrap()]);
        let compiled = |samples: Samples| compile(graph(preprocess), samples, &Options::default()).unwrap().joined();
        assert_eq!(compiled(Samples::Pictures(&pixels)), compiled(Samples::Arrays(&array)));
        // The order matters to what the convolution makes of them.
        assert_ne!(compiled(Samples::Pictures(&array)), compiled(Samples::Arrays(&array)));
    }
}
