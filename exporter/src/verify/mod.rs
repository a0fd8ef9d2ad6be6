//! Holding an artifact against tract.
//!
//! (a) Each layer on its own: the layer is rebuilt from the artifact's bytes as an ONNX model of one node, fed the very input that
//! the layer had in the runtime, run by tract in f32, and compared with the layer's output: to [`FLOAT_BOUND`] of the largest
//! magnitude for f32 networks, to [`INT8_BOUND`] units after quantizing tract's result for int8 networks. Layers that only move elements
//! are followed element by element instead (`replay.rs`). It must be the model's layer,
//! and every parameter of the layer is within [`PARAMETER_BOUND`] of its rounding from the model's.
//!
//! (b) The whole: the original ONNX model, run by tract in f32, against the artifact: to [`FLOAT_BOUND`] for f32 networks; for
//! int8 networks a floor on the signal-to-noise ratio of the outputs ([`SQNR_FLOOR`]) and on how often the highest score is the
//! same one ([`AGREEMENT_FLOOR`]).

mod parameters;
mod rebuild;
mod replay;
mod tract;

pub use tract::Oracle;

use crate::error::Error;
use crate::host::{Model, decode, encode_input, host_shape};
use crate::network::Network;
use serde::Serialize;
use staticnet::Artifact;
use staticnet::quant::{dequantize, quantize};
use staticnet::record::{DType, HostType, TensorInfo};
use staticnet_graph::graph::{Elem, Graph, Tensor};
use staticnet_graph::onnx::import_bytes;

/// Largest deviation of an f32 tensor, in fractions of its largest magnitude.
pub const FLOAT_BOUND: f64 = 1e-4;
/// Largest deviation of an int8 tensor in units, fed the same inputs.
pub const INT8_BOUND: f64 = 2.0;
/// Largest deviation of a parameter from the model's, in units of its own int8 or int32 grid: rounding, and what reading the grid
/// back from the artifact loses. f32 parameters are the same.
pub const PARAMETER_BOUND: f64 = 0.505;
/// Least signal-to-quantization-noise ratio of the outputs, in dB.
pub const SQNR_FLOOR: f64 = 20.0;
/// Least fraction of samples with the same highest score, where there are at least ten samples.
pub const AGREEMENT_FLOOR: f64 = 0.9;
/// Samples that layers are compared on; the whole network is compared on all.
const LAYER_SAMPLES: usize = 4;

/// One layer's comparison.
#[derive(Clone, Debug, Serialize)]
pub struct LayerCheck {
    /// Name of the ONNX node.
    pub name: String,
    /// Operator as ONNX spells it.
    pub op: &'static str,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Largest difference in fractions of the tensor's largest magnitude.
    pub max_rel: f64,
    /// Largest difference in int8 units (0 for f32 layers).
    pub max_units: f64,
    /// Signal-to-noise ratio in dB; `null` in JSON where there is no noise.
    pub sqnr_db: f64,
    /// Largest deviation of a weight or bias from the model's, in units of its own grid (f32: 0); infinite (`null` in JSON) where it
    /// is another layer than the model's.
    pub parameter_units: f64,
    /// Whether the bounds hold.
    pub ok: bool,
}

/// The outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// Whether all bounds hold.
    pub ok: bool,
    /// Number of samples.
    pub n: usize,
    /// What the whole network is held against.
    pub oracle: &'static str,
    /// Largest difference of the outputs in fractions of the largest magnitude.
    pub max_rel: f64,
    /// Signal-to-noise ratio of the outputs in dB.
    pub sqnr_db: f64,
    /// Fraction of samples whose highest score is the same one.
    pub top1_agreement: f64,
    /// The first layer outside its bound.
    pub first_bad_layer: Option<String>,
    /// The layers.
    pub layers: Vec<LayerCheck>,
}

/// Differences between two runs of numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Difference {
    max_abs: f64,
    largest: f64,
    signal: f64,
    noise: f64,
}

impl Difference {
    fn add(&mut self, want: &[f32], got: &[f32]) {
        for (&want, &got) in want.iter().zip(got) {
            let (want, error) = (want as f64, want as f64 - got as f64);
            // A NaN must count as the worst, and `max` would drop it.
            self.max_abs = if error.is_nan() { f64::INFINITY } else { self.max_abs.max(error.abs()) };
            self.largest = self.largest.max(want.abs());
            self.signal += want * want;
            self.noise += error * error;
        }
    }

    fn relative(&self) -> f64 {
        if self.max_abs == 0.0 { 0.0 } else { self.max_abs / self.largest }
    }

    fn sqnr_db(&self) -> f64 {
        if self.noise == 0.0 {
            // Also where there is no signal.
            return f64::INFINITY;
        }
        10.0 * (self.signal / self.noise).log10()
    }
}

/// Compares an artifact with the model it was compiled from, on a batch as the ONNX model takes it (f32, `[N, C, H, W]`).
///
/// # Errors
/// As [`verify_graph`], and [`Error::Import`].
pub fn verify(onnx: &[u8], model: &Model, batch: &Tensor, progress: &dyn Fn(&str)) -> Result<Verification, Error> {
    verify_graph(import_bytes(onnx)?, onnx, model, std::slice::from_ref(batch), progress)
}

/// Compares an artifact with the graph it was compiled from, on batches of each of its inputs. `onnx` is the model as it was
/// delivered; where tract does not take that (external data, operators of onnxruntime), it is given the imported graph instead, written
/// again in ONNX's own operators.
///
/// # Errors
/// [`Error::Oracle`] where tract cannot run the model, [`Error::Input`] where a batch does not fit, and
/// [`Error::Unsupported`] where the exporter could not have compiled the model.
pub fn verify_graph(
    graph: Graph,
    onnx: &[u8],
    model: &Model,
    inputs: &[Tensor],
    progress: &dyn Fn(&str),
) -> Result<Verification, Error> {
    let artifact = model.artifact();
    let samples = samples(&artifact, inputs)?;
    if samples.is_empty() {
        return Err(Error::Input { from: "verify".into(), reason: "there is no sample".into() });
    }
    let int8 = (0..artifact.tensor_count()).filter_map(|i| artifact.tensor(i)).any(|t| t.dtype.is_i8());
    let network = crate::compile::network(graph.clone())?;
    let layers = check_layers(&network, model, &samples, progress)?;
    progress("the whole network");
    let got = model.run_all(inputs)?;
    let shapes: Vec<Vec<usize>> = (0..artifact.input_count())
        .filter_map(|i| artifact.tensor(artifact.input_slot(i)?.tensor as usize))
        .map(|t| host_shape(&t, 1))
        .collect();
    let types: Vec<Elem> = graph.inputs.iter().map(|&i| graph.value(i).elem).collect();
    let (mut oracle, oracle_name) = match Oracle::new(onnx, &shapes, &types) {
        Ok(oracle) => (oracle, "tract"),
        Err(_) => {
            let again = staticnet_graph::onnx::to_bytes(&graph).map_err(|e| Error::Oracle(e.to_string()))?;
            (Oracle::new(&again, &shapes, &types)?, "tract on the imported graph")
        }
    };
    let mut difference = Difference::default();
    let mut agreed = 0;
    for (s, sample) in samples.iter().enumerate() {
        let want = oracle.run(&sample.real)?;
        let mut agrees = true;
        for (i, want) in want.iter().enumerate().take(got.len()) {
            let share = got[i].data.len() / samples.len();
            if want.len() != share {
                let reason = format!(
                    "output {i} of the model has {} elements, the artifact's {share}: it was compiled from another",
                    want.len()
                );
                return Err(Error::Input { from: "verify".into(), reason });
            }
            let got = &got[i].data[s * share..(s + 1) * share];
            difference.add(want, got);
            agrees &= highest(want) == highest(got);
        }
        agreed += usize::from(agrees);
    }
    let n = samples.len();
    let top1_agreement = agreed as f64 / n as f64;
    let whole = if int8 {
        difference.sqnr_db() >= SQNR_FLOOR && (n < 10 || top1_agreement >= AGREEMENT_FLOOR)
    } else {
        difference.relative() <= FLOAT_BOUND
    };
    let first_bad = layers.iter().find(|layer| !layer.ok).map(|layer| layer.name.clone());
    // Layers beyond the model's are bad already; those that the artifact lacks are here.
    let first_bad_layer = first_bad.or_else(|| network.layers.get(layers.len()).map(|layer| layer.name.clone()));
    Ok(Verification {
        ok: whole && first_bad_layer.is_none(),
        n,
        oracle: oracle_name,
        max_rel: difference.relative(),
        sqnr_db: difference.sqnr_db(),
        top1_agreement,
        first_bad_layer,
        layers,
    })
}

/// One sample of every input.
#[derive(Debug)]
struct Sample {
    /// As the model takes them.
    real: Vec<Vec<f32>>,
    /// As the device does.
    encoded: Vec<Vec<u8>>,
}

fn samples(artifact: &Artifact, inputs: &[Tensor]) -> Result<Vec<Sample>, Error> {
    if inputs.len() != artifact.input_count() {
        let reason = format!("{} inputs are given, the network has {}", inputs.len(), artifact.input_count());
        return Err(Error::Input { from: "verify".into(), reason });
    }
    let encoded = (0..inputs.len()).map(|i| encode_input(artifact, i, &inputs[i])).collect::<Result<Vec<_>, _>>()?;
    let n = encoded.first().map_or(1, Vec::len);
    let sample = |s: usize| Sample {
        real: inputs.iter().map(|x| x.data[s * x.data.len() / n..(s + 1) * x.data.len() / n].to_vec()).collect(),
        encoded: encoded.iter().filter_map(|e| e.get(s).cloned()).collect(),
    };
    Ok((0..n).map(sample).collect())
}

/// Index of the largest element; the first of equals.
fn highest(values: &[f32]) -> usize {
    values.iter().enumerate().fold(0, |best, (i, v)| if *v > values[best] { i } else { best })
}

fn check_layers(
    network: &Network,
    model: &Model,
    samples: &[Sample],
    progress: &dyn Fn(&str),
) -> Result<Vec<LayerCheck>, Error> {
    let artifact = model.artifact();
    let runs: Result<Vec<Vec<Vec<u8>>>, Error> =
        samples.iter().take(LAYER_SAMPLES).map(|sample| activations(model, &sample.encoded)).collect();
    let runs = runs?;
    let mut checks = Vec::new();
    for i in 0..artifact.layer_count() {
        let rebuilt = rebuild::layer(&artifact, model.payload(), i)?;
        progress(&rebuilt.name);
        let mut oracle = rebuilt.oracle()?;
        let y = as_picture(&rebuilt.output);
        let mut difference = Difference::default();
        let mut units = 0f64;
        for run in &runs {
            let inputs = rebuilt.oracle_inputs(run);
            let got = rebuilt.part(&decode(&y, &run[rebuilt.layer.output as usize]));
            let mut want = oracle.run(&rebuilt, &inputs)?;
            if y.dtype.is_i8() {
                // What lies beside the grid is its end: a quantized model's ReLU is often nothing else.
                let [lo, hi] = [i8::MIN, i8::MAX].map(|q| dequantize(q, y.scale, y.zero_point));
                want.iter_mut().for_each(|v| *v = v.clamp(lo, hi));
            }
            difference.add(&want, &got);
            if y.dtype.is_i8() {
                for (&want, &got) in want.iter().zip(&got) {
                    let q = |v: f32| quantize(v, y.scale, y.zero_point) as f64;
                    units = units.max((q(want) - q(got)).abs());
                }
            }
        }
        let same = match y.dtype {
            DType::I8 => units <= INT8_BOUND,
            DType::F32 => difference.relative() <= FLOAT_BOUND,
            DType::I32 => difference.relative() == 0.0,
        };
        let parameter_units = parameters::deviation(network, &artifact, model.payload(), i);
        checks.push(LayerCheck {
            name: rebuilt.name,
            op: rebuilt.layer.op.name(),
            max_abs: difference.max_abs,
            max_rel: difference.relative(),
            max_units: units,
            sqnr_db: difference.sqnr_db(),
            parameter_units,
            ok: same && parameter_units <= PARAMETER_BOUND,
        });
    }
    Ok(checks)
}

/// A tensor as `[1, C, H, W]` of real numbers, whatever the host calls it.
fn as_picture(info: &TensorInfo) -> TensorInfo {
    let dims = [1, info.channels as u16, info.height as u16, info.width as u16];
    TensorInfo { rank: 4, channels_last: true, host: HostType::Real, dims, ..*info }
}

/// Every tensor of a run, whole, by index: assembled from the rows that the steps made.
fn activations(model: &Model, inputs: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Error> {
    let artifact = model.artifact();
    let mut tensors: Vec<Vec<u8>> = (0..artifact.tensor_count())
        .filter_map(|i| artifact.tensor(i))
        .map(|t| vec![0; (t.elements() * t.dtype.bytes()) as usize])
        .collect();
    for (i, input) in inputs.iter().enumerate() {
        if let Some(slot) = artifact.input_slot(i) {
            tensors[slot.tensor as usize].copy_from_slice(input);
        }
    }
    let mut ram = model.ram();
    let mut engine = model.engine(&mut ram)?;
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    engine.run_on_tapped(&inputs, |done, info, made| {
        let Some(layer) = artifact.layer(done.layer) else { return };
        let (element, row) = (info.dtype.bytes() as usize, info.row_bytes() as usize);
        let channels = done.channels.0 as usize * element..done.channels.1 as usize * element;
        let whole = info.channels as usize * element;
        for r in done.rows.0 as usize..done.rows.1 as usize {
            let from = made.row(r);
            for pixel in 0..info.width as usize {
                let to = r * row + pixel * whole;
                tensors[layer.output as usize][to + channels.start..to + channels.end]
                    .copy_from_slice(&from[made.at(pixel, channels.start)..][..channels.len()]);
            }
        }
    })?;
    Ok(tensors)
}
