//! What `inspect` shows of an artifact.

mod drawing;
mod life;
mod segment;
mod svg;

pub use life::{Kind, Life, Memory};
pub use segment::Segment;
pub use svg::svg;

use crate::host::host_shape;
use serde::Serialize;
use staticnet::Artifact;
use staticnet::artifact::{FORMAT_VERSION, Target};
use std::fmt;

/// An artifact in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the format.
    pub format_version: u16,
    /// Kernel set that the weights are packed for.
    pub target: &'static str,
    /// Element type: `i8` or `f32`.
    pub dtype: &'static str,
    /// RAM of a run: activations and scratch.
    pub ram_bytes: usize,
    /// RAM that holds activations, when most of it does.
    pub activation_bytes: usize,
    /// Stack that the plan counts on.
    pub stack_bytes: usize,
    /// Where weights are: `mapped` or `storage`.
    pub weights_in: &'static str,
    /// Whether the first input comes row by row.
    pub streamed: bool,
    /// Pictures that rows are taken from, where they are: `320x240:rgb565`.
    pub source: Option<String>,
    /// Number of steps.
    pub steps: usize,
    /// Bytes of weights, biases, multipliers and tables.
    pub weight_bytes: usize,
    /// Bytes of them that a pass reads; larger than `weight_bytes` where a plan reads some twice. What is mapped counts once.
    pub weight_bytes_read: u64,
    /// Bytes of the head.
    pub head_bytes: usize,
    /// Multiply-accumulate operations of a pass.
    pub macs: u64,
    /// Class labels.
    pub labels: Vec<String>,
    /// The layers.
    pub layers: Vec<LayerReport>,
}

/// A layer in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Name of the ONNX node.
    pub name: String,
    /// Operator as ONNX spells it.
    pub op: &'static str,
    /// Multiply-accumulate operations.
    pub macs: u64,
    /// Bytes of its weights, biases, multipliers and tables.
    pub weight_bytes: u64,
    /// Shape on the host, NCHW.
    pub output_shape: Vec<usize>,
    /// Steps of the plan that make it.
    pub steps: usize,
}

/// Multiply-accumulate operations of a layer of an artifact.
pub fn macs(artifact: &Artifact, layer: usize) -> u64 {
    // Saturating: the layers of a hostile artifact may claim any size.
    artifact.typed_layer(layer).map_or(0, |typed| typed.y.elements().saturating_mul(typed.taps()))
}

/// Describes an artifact.
pub fn report(artifact: &Artifact) -> Report {
    let steps: Vec<_> = (0..artifact.step_count()).filter_map(|i| artifact.step(i)).collect();
    let chunk_len = |chunk: u32| artifact.chunk(chunk).map_or(0, |c| c.len as u64);
    let layer = |i: usize| {
        let layer = artifact.layer(i)?;
        let mine = || steps.iter().filter(|step| step.layer as usize == i);
        let mut chunks: Vec<u32> = mine().map(|step| step.chunk).collect();
        chunks.sort_unstable();
        chunks.dedup();
        Some(LayerReport {
            name: artifact.layer_name(i).unwrap_or("").to_string(),
            op: layer.op.name(),
            macs: macs(artifact, i),
            weight_bytes: chunks.into_iter().map(chunk_len).sum(),
            output_shape: host_shape(&artifact.tensor(layer.output as usize)?, 1),
            steps: mine().count(),
        })
    };
    let layers: Vec<LayerReport> = (0..artifact.layer_count()).filter_map(layer).collect();
    Report {
        format_version: FORMAT_VERSION,
        target: Target::from_code(artifact.target()).map_or("unknown", Target::name),
        dtype: artifact.layer(0).map_or("", |layer| artifact.layer_dtype(&layer).name()),
        ram_bytes: artifact.ram_bytes(),
        activation_bytes: artifact.activation_bytes(),
        stack_bytes: artifact.stack_bytes(),
        weights_in: if artifact.weights_in_storage() { "storage" } else { "mapped" },
        streamed: artifact.is_streamed(),
        source: artifact.source().map(|s| format!("{}x{}:{}", s.width, s.height, s.format.name())),
        steps: steps.len(),
        weight_bytes: artifact.payload_len(),
        weight_bytes_read: steps.iter().filter(|step| step.load).map(|step| chunk_len(step.chunk)).sum(),
        head_bytes: artifact.head().len(),
        macs: layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.macs)),
        labels: (0..artifact.label_count()).filter_map(|i| artifact.label(i)).map(str::to_string).collect(),
        layers,
    }
}

impl fmt::Display for Report {
    /// The table of `inspect`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "format {}, {} kernels for {}", self.format_version, self.dtype, self.target)?;
        writeln!(f, "RAM      {:>12} B  (activations {} B)", self.ram_bytes, self.activation_bytes)?;
        writeln!(f, "weights  {:>12} B  (read per pass {} B)", self.weight_bytes, self.weight_bytes_read)?;
        writeln!(f, "head     {:>12} B", self.head_bytes)?;
        writeln!(f, "MACs     {:>12}", self.macs)?;
        writeln!(f, "\n{:<28} {:<8} {:>20} {:>14} {:>12}", "layer", "op", "output", "MACs", "weights B")?;
        for layer in &self.layers {
            let shape = format!("{:?}", layer.output_shape);
            writeln!(f, "{:<28} {:<8} {shape:>20} {:>14} {:>12}", layer.name, layer.op, layer.macs, layer.weight_bytes)?;
        }
        Ok(())
    }
}
