//! The whole way from a graph to an artifact.

use crate::calibrate;
use crate::emit::{self, Emitted};
use crate::error::Error;
use crate::host::Model;
use crate::lower::lower;
use crate::network::Network;
use crate::quantize::{QuantLayer, Quantized, quantize};
use crate::{passes, plan};
use staticnet::record::TensorInfo;
use staticnet_graph::graph::Graph;

/// What kind of artifact to make.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Put the weights into a part of their own.
    pub split: bool,
}

/// Compiles a graph to f32.
///
/// # Errors
/// [`Error::Unsupported`] with everything that the runtime cannot run.
pub fn compile_float(graph: &Graph, options: &Options) -> Result<Emitted, Error> {
    emit_network(&network(graph)?, None, options)
}

/// Compiles a graph to int8. `samples` are inputs as the ONNX model takes them: f32, NCHW, one sample each.
///
/// # Errors
/// [`Error::Unsupported`], or [`Error::Input`] where a sample does not fit.
pub fn compile(graph: &Graph, samples: &[Vec<f32>], options: &Options) -> Result<Emitted, Error> {
    let network = network(graph)?;
    let float = emit_network(&network, None, &Options::default())?;
    let float = Model::from_bytes(&float.joined()).map_err(not_accepted)?;
    let artifact = float.artifact();
    let info = artifact.input_slot(0).and_then(|slot| artifact.tensor(slot.tensor as usize));
    let info = info.ok_or(Error::Input { from: graph.name.clone(), reason: "the network has no input".into() })?;
    if let Some(bad) = samples.iter().find(|s| s.len() as u64 != info.elements()) {
        let reason = format!("a sample has {} elements, the input {}", bad.len(), info.elements());
        return Err(Error::Input { from: "calibration".into(), reason });
    }
    let encoded: Vec<Vec<u8>> = samples.iter().map(|s| crate::host::encode(&info, s)).collect();
    let ranges = calibrate::ranges(&network, &float, &encoded)?;
    let quantized = quantize(&network, &ranges).map_err(Error::Unsupported)?;
    emit_network(&network, Some(&quantized), options)
}

/// Lowers a graph and runs the passes.
///
/// # Errors
/// [`Error::Unsupported`].
pub fn network(graph: &Graph) -> Result<Network, Error> {
    let mut network = lower(graph).map_err(Error::Unsupported)?;
    passes::run(&mut network);
    if network.layers.is_empty() || network.outputs.is_empty() || network.inputs.len() != 1 {
        let reason = format!("{} inputs, {} layers", network.inputs.len(), network.layers.len());
        let hint = "give the model exactly one input and at least one layer";
        return Err(Error::Unsupported(vec![crate::lower::problem(&network.name, "model", "graph", reason, hint)]));
    }
    Ok(network)
}

/// Plans and writes a network: quantized, or f32.
///
/// # Errors
/// [`Error::Unsupported`] where it is too large for the format.
pub fn emit_network(network: &Network, quantized: Option<&Quantized>, options: &Options) -> Result<Emitted, Error> {
    let tensors: Vec<TensorInfo> = emit::tensor_infos(network, quantized);
    let payload =
        |i: usize| emit::layer_payload(&network.layers[i], quantized.map(|q: &Quantized| -> &QuantLayer { &q.layers[i] }));
    let payloads: Vec<Vec<u8>> = (0..network.layers.len()).map(payload).collect();
    let has_chunk: Vec<bool> = payloads.iter().map(|p| !p.is_empty()).collect();
    let too_large = |what: &str, bytes: u64| {
        let hint = "the format addresses 4 GiB of weights and of RAM";
        Error::Unsupported(vec![crate::lower::problem(&network.name, "model", what, format!("needs {bytes} bytes"), hint)])
    };
    let weights: u64 = payloads.iter().map(|p| p.len() as u64 + 16).sum();
    if weights > u32::MAX as u64 {
        return Err(too_large("weights", weights));
    }
    let plan = plan::layer_by_layer(network, &tensors, &has_chunk).map_err(|bytes| too_large("ram", bytes))?;
    let emitted = emit::emit(network, quantized, &tensors, &plan, &payloads, options.split);
    // What the exporter writes, the runtime must accept.
    let head = crate::host::AlignedBytes::copy_of(&emitted.joined());
    staticnet::Artifact::new(head.as_ref()).map_err(not_accepted)?;
    Ok(emitted)
}

fn not_accepted(error: staticnet::ArtifactError) -> Error {
    Error::Artifact { file: "the new artifact".into(), error }
}
