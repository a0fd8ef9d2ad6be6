//! Random networks as graphs, what the exporter makes of them, and a look at every tensor of a run.

pub mod every_op;
pub mod networks;
pub mod plans;
pub mod storage;
pub mod streaming;

use staticnet::record::{DType, TensorInfo};
use staticnet::{ALL_OPS, Artifact, Engine, RunError, WeightSource, quant};
use staticnet_exporter::compile::{self, Options};
use staticnet_exporter::emit::Emitted;
use staticnet_exporter::host::Model;
use staticnet_exporter::quantized::Quantized;
use staticnet_graph::graph::Graph;

/// Where each element of the host's order lies in the device's: `[N, C, H, W]` goes to `[N, H, W, C]`, everything else stays.
fn places(info: &TensorInfo) -> Vec<usize> {
    if !info.channels_last {
        return (0..info.elements() as usize).collect();
    }
    let [n, c, h, w] = info.dims.map(usize::from);
    let mut places = Vec::with_capacity(n * c * h * w);
    for sample in 0..n {
        for ch in 0..c {
            for y in 0..h {
                for x in 0..w {
                    places.push(((sample * h + y) * w + x) * c + ch);
                }
            }
        }
    }
    places
}

/// One sample in the device's order, from the host's.
pub fn to_device<T: Copy + Default>(info: &TensorInfo, host: &[T]) -> Vec<T> {
    let mut device = vec![T::default(); host.len()];
    places(info).into_iter().zip(host).for_each(|(at, &v)| device[at] = v);
    device
}

/// One sample in the host's order, from the device's.
pub fn to_host<T: Copy>(info: &TensorInfo, device: &[T]) -> Vec<T> {
    places(info).into_iter().map(|at| device[at]).collect()
}

/// The description of input 0.
pub fn input_info(artifact: &Artifact) -> TensorInfo {
    let slot = artifact.input_slot(0).expect("an artifact has an input");
    artifact.tensor(slot.tensor as usize).expect("slots name tensors")
}

/// One sample (host order) as the device takes it.
pub fn device_bytes(info: &TensorInfo, sample: &[f32]) -> Vec<u8> {
    let ordered = to_device(info, sample);
    match info.dtype {
        DType::I8 => ordered.iter().map(|&v| quant::quantize(v, info.scale, info.zero_point) as u8).collect(),
        DType::F32 => ordered.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::I32 => panic!("no network reads indices"),
    }
}

/// Runs one sample (host order) and returns every tensor's bytes.
pub fn run_and_watch(model: &Model, sample: &[f32]) -> Vec<Vec<u8>> {
    let input = device_bytes(&input_info(&model.artifact()), sample);
    let mut ram = model.ram();
    let mut engine = model.engine(&mut ram).expect("the memory fits");
    watch(&mut engine, &[&input]).expect("an accepted artifact runs")
}

/// Runs a pass on inputs as the device takes them, and returns every tensor's bytes, put together from the rows and channels that
/// the steps made.
pub fn watch<S: WeightSource>(engine: &mut Engine<ALL_OPS, S>, inputs: &[&[u8]]) -> Result<Vec<Vec<u8>>, RunError<S::Error>> {
    let artifact = *engine.artifact();
    let mut tensors: Vec<Vec<u8>> = (0..artifact.tensor_count())
        .map(|i| artifact.tensor(i).expect("inside the table"))
        .map(|t| vec![0; (t.elements() * t.dtype.bytes()) as usize])
        .collect();
    for (i, input) in inputs.iter().enumerate() {
        tensors[artifact.input_slot(i).expect("as many as the network has").tensor as usize] = input.to_vec();
    }
    engine.run_on_tapped(inputs, |done, info, made| {
        let tensor = &mut tensors[artifact.layer(done.layer).expect("a layer that ran").output as usize];
        // The view counts bytes.
        let (element, width) = (info.dtype.bytes() as usize, info.width as usize);
        let (first, len) = (done.channels.0 as usize * element, (done.channels.1 - done.channels.0) as usize * element);
        for r in done.rows.0 as usize..done.rows.1 as usize {
            for x in 0..width {
                let (from, to) = (made.at(x, first), (r * width + x) * made.channels + first);
                tensor[to..to + len].copy_from_slice(&made.row(r)[from..from + len]);
            }
        }
    })?;
    for i in 0..artifact.output_count() {
        let tensor = artifact.output_slot(i).expect("inside the table").tensor as usize;
        let left = engine.output_bytes(i).expect("inside the table");
        assert_eq!(left, tensors[tensor], "output {i} is not what its layer made");
    }
    Ok(tensors)
}

/// An activation's bytes as f32.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// A graph lowered, in f32 as far as it is not quantized itself.
pub fn float(graph: &Graph) -> Quantized {
    compile::as_it_is(graph.clone()).expect("supported")
}

/// A graph lowered in f32, and with the grids of its activations on some samples.
pub fn lowered(graph: &Graph, samples: &[Vec<f32>]) -> [Quantized; 2] {
    [float(graph), compile::quantized(graph.clone(), samples).expect("int8 can express it")]
}

/// Plans and writes a network layer by layer.
pub fn emitted(network: &Quantized) -> Emitted {
    let options = Options { split: false, ..Options::layer_by_layer() };
    compile::emit_network(network.clone(), &options).expect("small")
}

/// The artifact in memory.
pub fn model(emitted: &Emitted) -> Model {
    Model::from_bytes(&emitted.joined()).expect("just made")
}

/// A graph compiled to f32 and to int8.
pub fn compiled(graph: &Graph, samples: &[Vec<f32>]) -> [Model; 2] {
    lowered(graph, samples).map(|network| model(&emitted(&network)))
}
