//! Running an artifact on the host, and the way between the host's tensors (f32, NCHW) and the device's (NHWC, i8 or f32).

use crate::error::Error;
use staticnet::record::{DType, TensorInfo};
use staticnet::{ALL_OPS, Artifact, Engine, Mapped, quant, top_k};
use staticnet_graph::file::read_at_most;
use staticnet_graph::graph::Tensor;
use std::path::{Path, PathBuf};

/// Bytes that begin at a multiple of 16, as artifacts and RAM must.
#[derive(Clone, Debug, Default)]
pub struct AlignedBytes {
    words: Vec<u128>,
    len: usize,
}

impl AlignedBytes {
    /// Zeros.
    pub fn zeroed(len: usize) -> Self {
        AlignedBytes { words: vec![0; len.div_ceil(16)], len }
    }

    /// A copy.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut aligned = AlignedBytes::zeroed(bytes.len());
        aligned.as_mut().copy_from_slice(bytes);
        aligned
    }
}

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}

impl AsMut<[u8]> for AlignedBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }
}

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
        let bytes = AlignedBytes::copy_of(&read_at_most(path, u32::MAX as u64)?);
        let artifact = Artifact::new(bytes.as_ref()).map_err(refuse)?;
        let mut weights = None;
        if artifact.is_split() {
            let file = weights_path(path);
            let split = AlignedBytes::copy_of(&read_at_most(&file, u32::MAX as u64)?);
            artifact.verify_weights(split.as_ref()).map_err(|error| Error::Artifact { file, error })?;
            weights = Some(split);
        } else {
            artifact.verify_weights(artifact.payload()).map_err(refuse)?;
        }
        Ok(Model { bytes, weights })
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

    /// Runs a batch `[N, C, H, W]` (or `[N, F]`) one sample after the other; the result is `[N, ..]` likewise.
    ///
    /// # Errors
    /// [`Error::Input`] where the shape does not fit.
    pub fn run(&self, batch: &Tensor) -> Result<Tensor, Error> {
        let mut ram = self.ram();
        let mut engine = self.engine(&mut ram)?;
        let mut outputs = Vec::new();
        for input in encode_inputs(&self.artifact(), batch)? {
            if let Some(bytes) = engine.input_bytes_mut(0) {
                bytes.copy_from_slice(&input);
            }
            engine.reset();
            engine.run()?;
            outputs.push(engine.output_bytes(0).unwrap_or(&[]).to_vec());
        }
        Ok(decode_outputs(&self.artifact(), &outputs))
    }
}

/// Shape on the host, batch first: `[n, C, H, W]` or `[n, F]`.
pub fn host_shape(tensor: &TensorInfo, n: usize) -> Vec<usize> {
    match tensor.rank {
        2 => vec![n, tensor.channels as usize],
        _ => vec![n, tensor.channels as usize, tensor.height as usize, tensor.width as usize],
    }
}

/// The device's bytes of one sample in NCHW order.
pub fn encode(tensor: &TensorInfo, nchw: &[f32]) -> Vec<u8> {
    let nhwc = nchw_to_nhwc(tensor, nchw);
    match tensor.dtype {
        DType::I8 => nhwc.iter().map(|&v| quant::quantize(v, tensor.scale, tensor.zero_point) as u8).collect(),
        DType::F32 => nhwc.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// One sample in NCHW order from the device's bytes.
pub fn decode(tensor: &TensorInfo, bytes: &[u8]) -> Vec<f32> {
    let (plane, channels) = ((tensor.height * tensor.width) as usize, tensor.channels as usize);
    let at = |c: usize, p: usize| top_k::element(tensor, bytes, p * channels + c).unwrap_or(f32::NAN);
    (0..channels).flat_map(|c| (0..plane).map(move |p| at(c, p))).collect()
}

/// Reorders one sample.
pub fn nchw_to_nhwc(tensor: &TensorInfo, nchw: &[f32]) -> Vec<f32> {
    let plane = (tensor.height * tensor.width) as usize;
    (0..plane).flat_map(|p| nchw.iter().skip(p).step_by(plane).copied()).collect()
}

/// The device's bytes of each sample of a batch for input 0.
///
/// # Errors
/// [`Error::Input`] where the batch has another shape than the input.
pub fn encode_inputs(artifact: &Artifact, batch: &Tensor) -> Result<Vec<Vec<u8>>, Error> {
    let slot = artifact.input_slot(0).and_then(|slot| artifact.tensor(slot.tensor as usize));
    let Some(info) = slot else { return Ok(Vec::new()) };
    let n = batch.shape.first().copied().unwrap_or(0);
    let want = host_shape(&info, n);
    if batch.shape != want {
        let reason = format!("has shape {:?}; the network takes {:?} with any N", batch.shape, host_shape(&info, 1));
        return Err(Error::Input { from: "input".into(), reason });
    }
    Ok(batch.data.chunks_exact(info.elements() as usize).map(|sample| encode(&info, sample)).collect())
}

/// The host's tensor `[N, ..]` of the device's bytes of output 0 for each sample.
pub fn decode_outputs(artifact: &Artifact, outputs: &[Vec<u8>]) -> Tensor {
    let slot = artifact.output_slot(0).and_then(|slot| artifact.tensor(slot.tensor as usize));
    let Some(info) = slot else { return Tensor::zeros(&[0]) };
    let data = outputs.iter().flat_map(|bytes| decode(&info, bytes)).collect();
    Tensor { shape: host_shape(&info, outputs.len()), data }
}
