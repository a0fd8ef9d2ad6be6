//! Running an artifact on the host, and the way between the host's tensors (f32, NCHW) and the device's (NHWC, i8 or f32).

pub use crate::aligned::AlignedBytes;
use crate::emit::Emitted;
use crate::error::Error;
use staticnet::record::{DType, HostType, TensorInfo};
use staticnet::{ALL_OPS, Artifact, Engine, Mapped, RunError, quant, top_k};
use staticnet_graph::file::read_into;
use staticnet_graph::graph::{Elem, Tensor};
use std::path::{Path, PathBuf};

/// No artifact is larger: its offsets have 32 bits.
const MAX_BYTES: u64 = u32::MAX as u64;

/// An artifact in memory, head and weights, verified.
#[derive(Clone, Debug)]
pub struct Model {
    bytes: AlignedBytes,
    weights: Option<AlignedBytes>,
}

/// The file that `--split` puts the weights of `artifact` into.
pub fn weights_path(artifact: &Path) -> PathBuf {
    artifact.with_extension("weights")
}

impl Model {
    /// Reads and verifies an artifact. Split weights are looked for beside it ([`weights_path`]).
    ///
    /// # Errors
    /// [`Error::File`], or [`Error::Artifact`] where it is damaged.
    pub fn load(path: &Path) -> Result<Model, Error> {
        let refuse = |error| Error::Artifact { file: path.to_path_buf(), error };
        let bytes = read_into(path, MAX_BYTES, AlignedBytes::zeroed)?;
        let artifact = Artifact::new(bytes.as_ref()).map_err(refuse)?;
        let mut weights = None;
        if artifact.is_split() {
            let file = weights_path(path);
            let split = read_into(&file, MAX_BYTES, AlignedBytes::zeroed)?;
            artifact.verify_weights(split.as_ref()).map_err(|error| Error::Artifact { file, error })?;
            weights = Some(split);
        } else {
            artifact.verify_weights(artifact.payload()).map_err(refuse)?;
        }
        Ok(Model { bytes, weights })
    }

    /// An artifact that was just made, its weights in a part of their own; nothing is copied but the head.
    ///
    /// # Errors
    /// [`staticnet::ArtifactError`] where it is not acceptable.
    pub fn from_emitted(emitted: Emitted) -> Result<Model, staticnet::ArtifactError> {
        let bytes = AlignedBytes::copy_of(&emitted.head);
        Artifact::new(bytes.as_ref())?.verify_weights(emitted.payload.as_ref())?;
        Ok(Model { bytes, weights: Some(emitted.payload) })
    }

    /// An artifact that was just made.
    ///
    /// # Errors
    /// [`staticnet::ArtifactError`] where it is not acceptable.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model, staticnet::ArtifactError> {
        let bytes = AlignedBytes::copy_of(bytes);
        let artifact = Artifact::new(bytes.as_ref())?;
        artifact.verify_weights(artifact.payload())?;
        Ok(Model { bytes, weights: None })
    }

    /// The artifact.
    ///
    /// # Panics
    /// Never: the bytes were accepted when the model was made.
    pub fn artifact(&self) -> Artifact<'_> {
        Artifact::new(self.bytes.as_ref()).expect("accepted before")
    }

    /// The weights, wherever they came from.
    pub fn payload(&self) -> &[u8] {
        match &self.weights {
            Some(weights) => weights.as_ref(),
            None => self.artifact().payload(),
        }
    }

    /// RAM for one [`Model::engine`].
    pub fn ram(&self) -> AlignedBytes {
        AlignedBytes::zeroed(self.artifact().ram_bytes())
    }

    /// An engine with every operator, in memory from [`Model::ram`].
    ///
    /// # Errors
    /// [`Error::Run`] where `ram` is too small.
    pub fn engine<'m>(&'m self, ram: &'m mut AlignedBytes) -> Result<Engine<'m, ALL_OPS, Mapped<'m>>, Error> {
        Ok(Engine::new(self.artifact(), ram.as_mut(), Mapped::at(self.payload()))?)
    }

    /// Runs one input after the other; the result is `[N, ..]` where a sample's first dimension is 1.
    ///
    /// # Errors
    /// [`Error::Input`] where the shape does not fit.
    pub fn run(&self, batch: &Tensor) -> Result<Tensor, Error> {
        let mut outputs = self.run_all(std::slice::from_ref(batch))?;
        Ok(if outputs.is_empty() { Tensor::zeros(&[0]) } else { outputs.swap_remove(0) })
    }

    /// As [`Model::run`], for any number of inputs and outputs, in the order of the model's.
    ///
    /// # Errors
    /// [`Error::Input`] where number or shapes do not fit.
    pub fn run_all(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let artifact = self.artifact();
        if inputs.len() != artifact.input_count() {
            let reason = format!("{} inputs are given, the network has {}", inputs.len(), artifact.input_count());
            return Err(Error::Input { from: "input".into(), reason });
        }
        let encoded = (0..inputs.len()).map(|i| encode_input(&artifact, i, &inputs[i])).collect::<Result<Vec<_>, _>>()?;
        let samples = encoded.first().map_or(1, Vec::len);
        if encoded.iter().any(|e| e.len() != samples) {
            return Err(Error::Input { from: "input".into(), reason: "the inputs are not of as many samples each".into() });
        }
        let outputs = self.run_bytes(&encoded.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        Ok(outputs.iter().enumerate().map(|(i, bytes)| decode_output(&artifact, i, bytes)).collect())
    }

    /// As [`Model::run_all`], of the device's own bytes: for each input as many samples, for each output one result a sample.
    ///
    /// # Errors
    /// [`Error::Run`] where the engine does not take the model, or a sample has another length than its input.
    pub fn run_bytes(&self, inputs: &[&[Vec<u8>]]) -> Result<Vec<Vec<Vec<u8>>>, Error> {
        let samples = inputs.first().map_or(1, |samples| samples.len());
        let mut ram = self.ram();
        let mut engine = self.engine(&mut ram)?;
        let mut outputs = vec![Vec::with_capacity(samples); self.artifact().output_count()];
        for sample in 0..samples {
            engine.run_on(&inputs.iter().map(|input| &input[sample][..]).collect::<Vec<_>>())?;
            for (i, output) in outputs.iter_mut().enumerate() {
                output.push(engine.output_bytes(i).ok_or(RunError::NoSuchTensor)?.to_vec());
            }
        }
        Ok(outputs)
    }
}

/// Shape on the host; `n` samples in the first dimension where one sample has 1 there.
pub fn host_shape(tensor: &TensorInfo, n: usize) -> Vec<usize> {
    let mut shape: Vec<usize> = tensor.dims[..tensor.rank.min(4) as usize].iter().map(|&d| d as usize).collect();
    match shape.first_mut() {
        Some(first) if *first == 1 => *first = n,
        // Several samples of something that has no batch dimension are stacked in front.
        _ if n != 1 => shape.insert(0, n),
        _ => {}
    }
    shape
}

/// The device's place of each of the host's elements.
fn places(tensor: &TensorInfo) -> Vec<usize> {
    let dims: Vec<usize> = host_shape(tensor, 1);
    match dims[..] {
        [n, c, h, w] if tensor.channels_last => {
            let pixels = h * w;
            (0..n).flat_map(|i| (0..c).flat_map(move |c_| (0..pixels).map(move |p| (i * pixels + p) * c + c_))).collect()
        }
        _ => (0..tensor.elements() as usize).collect(),
    }
}

/// The device's bytes of one sample in the host's order.
pub fn encode(tensor: &TensorInfo, sample: &[f32]) -> Vec<u8> {
    let mut ordered = vec![0f32; sample.len()];
    places(tensor).into_iter().zip(sample).for_each(|(at, &v)| ordered[at] = v);
    encode_in_place(tensor, &ordered)
}

/// The device's bytes of one sample in the device's order.
pub fn encode_in_place(tensor: &TensorInfo, sample: &[f32]) -> Vec<u8> {
    let code = |v: f32| match tensor.host {
        HostType::Real => quant::quantize(v, tensor.scale, tensor.zero_point) as u8,
        HostType::U8 => (v.clamp(0.0, 255.0) as i32 - 128) as i8 as u8,
        HostType::I8 | HostType::I64 => v.clamp(-128.0, 127.0) as i8 as u8,
    };
    match tensor.dtype {
        DType::I8 => sample.iter().copied().map(code).collect(),
        DType::F32 => sample.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::I32 => sample.iter().flat_map(|&v| (v as i32).to_le_bytes()).collect(),
    }
}

/// One sample in the host's order from the device's bytes.
pub fn decode(tensor: &TensorInfo, bytes: &[u8]) -> Vec<f32> {
    let element = |at: usize| match tensor.host {
        HostType::Real | HostType::I64 => top_k::element(tensor, bytes, at).unwrap_or(f32::NAN),
        HostType::I8 => bytes.get(at).map_or(f32::NAN, |&b| (b as i8).into()),
        HostType::U8 => bytes.get(at).map_or(f32::NAN, |&b| (b as i8 as i16 + 128).into()),
    };
    places(tensor).into_iter().map(element).collect()
}

/// The device's bytes of each sample of input `i`: one, or as many as the batch has where a sample's first dimension is 1.
///
/// # Errors
/// [`Error::Input`] where the batch has another shape than the input.
pub fn encode_input(artifact: &Artifact, i: usize, batch: &Tensor) -> Result<Vec<Vec<u8>>, Error> {
    let slot = artifact.input_slot(i).and_then(|slot| artifact.tensor(slot.tensor as usize));
    let Some(info) = slot else { return Ok(Vec::new()) };
    let one = host_shape(&info, 1);
    let n = batch.data.len() / (info.elements() as usize).max(1);
    if batch.shape != one && batch.shape != host_shape(&info, n) {
        let any = if one.first() == Some(&1) { " with any N in place of the first 1" } else { "" };
        let reason = format!("has shape {:?}; the network takes {one:?}{any}", batch.shape);
        return Err(Error::Input { from: "input".into(), reason });
    }
    Ok(batch.data.chunks_exact(info.elements() as usize).map(|sample| encode(&info, sample)).collect())
}

/// As [`encode_input`], of input 0.
///
/// # Errors
/// [`Error::Input`] where the batch has another shape than the input.
pub fn encode_inputs(artifact: &Artifact, batch: &Tensor) -> Result<Vec<Vec<u8>>, Error> {
    encode_input(artifact, 0, batch)
}

/// The host's tensor `[N, ..]` of the device's bytes of output `i` for each sample.
pub fn decode_output(artifact: &Artifact, i: usize, outputs: &[Vec<u8>]) -> Tensor {
    let slot = artifact.output_slot(i).and_then(|slot| artifact.tensor(slot.tensor as usize));
    let Some(info) = slot else { return Tensor::zeros(&[0]) };
    let data = outputs.iter().flat_map(|bytes| decode(&info, bytes)).collect();
    Tensor { shape: host_shape(&info, outputs.len()), data }
}

/// What the elements of output `i` are in the model.
pub fn output_type(artifact: &Artifact, i: usize) -> Elem {
    let slot = artifact.output_slot(i).and_then(|slot| artifact.tensor(slot.tensor as usize));
    match slot.map_or(HostType::Real, |info| info.host) {
        HostType::Real => Elem::F32,
        HostType::I8 => Elem::I8,
        HostType::U8 => Elem::U8,
        HostType::I64 => Elem::I64,
    }
}

/// As [`decode_output`], of output 0.
pub fn decode_outputs(artifact: &Artifact, outputs: &[Vec<u8>]) -> Tensor {
    decode_output(artifact, 0, outputs)
}
