//! The whole way from a graph to an artifact.

use crate::calibrate;
use crate::emit::{self, Emitted};
use crate::error::Error;
use crate::host::Model;
use crate::lower::{lower, problem};
use crate::network::Network;
use crate::passes;
use crate::plan::{self, OverBudget, Plan, PlanOptions, Planned, Ram, Share};
use crate::quantize::{Quantized, quantize};
use staticnet::preprocess::{PixelFormat, Source};
use staticnet::record::TensorInfo;
use staticnet_graph::graph::Graph;

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
    let (network, quantized) = as_it_is(graph)?;
    emit_network(network, quantized, options)
}

/// Lowers a graph without calibration: real numbers stay f32.
///
/// # Errors
/// As [`compile_float`].
pub fn as_it_is(graph: Graph) -> Result<(Network, Quantized), Error> {
    let mut network = network(graph)?;
    let quantized = quantize(&mut network, None).map_err(Error::Unsupported)?;
    Ok((network, quantized))
}

/// Compiles a graph to int8. `samples` are inputs as the ONNX model takes them: f32, NCHW, one sample each.
///
/// # Errors
/// [`Error::Unsupported`], or [`Error::Input`] where a sample does not fit.
pub fn compile(graph: Graph, samples: &[Vec<f32>], options: &Options) -> Result<Emitted, Error> {
    let (network, quantized) = quantized(graph, samples)?;
    emit_network(network, quantized, options)
}

/// Calibrates and quantizes a graph.
///
/// # Errors
/// As [`compile`].
pub fn quantized(graph: Graph, samples: &[Vec<f32>]) -> Result<(Network, Quantized), Error> {
    let mut network = network(graph)?;
    if network.inputs.len() != 1 {
        let reason = format!("has {} inputs", network.inputs.len());
        let hint = "calibrate a model with one input, or compile with --float";
        return Err(Error::Unsupported(vec![problem(&network.name, "model", "input", reason, hint)]));
    }
    let mut float = network.clone();
    let quantized = quantize(&mut float, None).map_err(Error::Unsupported)?;
    let float = Model::from_emitted(emit_network(float, quantized, &Options::layer_by_layer())?).map_err(not_accepted)?;
    let artifact = float.artifact();
    let info = artifact.input_slot(0).and_then(|slot| artifact.tensor(slot.tensor as usize));
    let info = info.ok_or(Error::Input { from: network.name.clone(), reason: "the network has no input".into() })?;
    if let Some(bad) = samples.iter().find(|s| s.len() as u64 != info.elements()) {
        let reason = format!("a sample has {} elements, the input {}", bad.len(), info.elements());
        return Err(Error::Input { from: "calibration".into(), reason });
    }
    let encoded: Vec<Vec<u8>> = samples.iter().map(|s| crate::host::encode(&info, s)).collect();
    let ranges = calibrate::ranges(&network, &float, &encoded)?;
    drop(float);
    let quantized = quantize(&mut network, Some(&ranges)).map_err(Error::Unsupported)?;
    Ok((network, quantized))
}

/// Whether a graph holds integers of its own: then it needs no calibration.
pub fn is_quantized(graph: &Graph) -> bool {
    use staticnet_graph::graph::Op;
    graph.nodes.iter().any(|node| matches!(node.op, Op::Quantize(_) | Op::Dequantize(_)))
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
pub fn emit_network(network: Network, quantized: Quantized, options: &Options) -> Result<Emitted, Error> {
    let plan = plan_network(&network, &quantized, options)?;
    emit_plan(network, quantized, &plan, options)
}

/// Plans a network.
///
/// # Errors
/// [`Error::Unsupported`] where it is too large for the format, [`Error::OverBudget`] where it needs more RAM than the options allow.
pub fn plan_network(network: &Network, quantized: &Quantized, options: &Options) -> Result<Plan, Error> {
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
    let plan = plan::plan(&Planned::new(network, quantized), &wanted).map_err(|over| match wanted.ram {
        Ram::Limit(_) => Error::OverBudget(over),
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
pub fn emit_plan(mut network: Network, mut quantized: Quantized, plan: &Plan, options: &Options) -> Result<Emitted, Error> {
    let weights: u64 = network.layers.iter().zip(&quantized.layers).map(|(l, q)| emit::payload_len(l, q) as u64 + 16).sum();
    // A plan repeats some weights where blocks of channels look at their neighbours.
    if weights + weights / 64 > u32::MAX as u64 {
        let hint = "the format addresses 4 GiB of weights";
        let reason = format!("needs {weights} bytes");
        return Err(Error::Unsupported(vec![problem(&network.name, "model", "weights", reason, hint)]));
    }
    let tensors: Vec<TensorInfo> = emit::tensor_infos(&network, &quantized);
    let mut largest: Vec<Share> = network
        .layers
        .iter()
        .zip(&quantized.layers)
        .map(|(l, q)| Share { name: format!("weights of {}", l.name), bytes: emit::payload_len(l, q) as u64 })
        .collect();
    let (payload, chunks) = emit::payload(&mut network, &mut quantized, &plan.chunks);
    let emitted = emit::emit(&network, &quantized, &tensors, plan, (payload, &chunks), options.split).map_err(not_accepted)?;
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
