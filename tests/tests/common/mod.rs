//! What several tests need: random numbers, random networks, and a look at every tensor of a run.
#![allow(dead_code)] // Each test binary uses a part of it.

pub mod every_op;
pub mod networks;
#[path = "../../../runtime/tests/common/random.rs"]
pub mod random;
pub mod streaming;

pub use random::{Case, Random};
use staticnet::record::TensorInfo;
use staticnet::{Artifact, StepDone};
use staticnet_exporter::compile::{self, Options};
use staticnet_exporter::emit::Emitted;
use staticnet_exporter::host::Model;
use staticnet_exporter::network::Network;
use staticnet_exporter::quantize::{self, Quantized};
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

/// Runs one sample (host order) and returns every tensor's bytes, put together from the rows and channels that the steps made.
pub fn run_and_watch(model: &Model, sample: &[f32]) -> Vec<Vec<u8>> {
    let artifact = model.artifact();
    let info = input_info(&artifact);
    let mut tensors: Vec<Vec<u8>> = (0..artifact.tensor_count())
        .map(|i| artifact.tensor(i).expect("inside the table"))
        .map(|t| vec![0; (t.height * t.width * t.channels) as usize * t.dtype.bytes() as usize])
        .collect();
    let mut ram = model.ram();
    let mut engine = model.engine(&mut ram).expect("the memory fits");
    engine.set_input_f32(0, &to_device(&info, sample)).expect("the sample fits");
    let input = artifact.input_slot(0).expect("an artifact has an input").tensor as usize;
    tensors[input] = engine.input_bytes_mut(0).expect("an artifact has an input").to_vec();
    let take = |done: StepDone, info: &TensorInfo, ring: &[u8]| {
        let step = artifact.step(done.step).expect("a step that ran");
        let tensor = artifact.layer(done.layer).expect("a layer that ran").output as usize;
        let element = info.dtype.bytes() as usize;
        let (pixel, width) = (info.channels as usize * element, info.width as usize);
        let rows = ring.len() / (width * pixel);
        let channels = step.c0 as usize * element..step.c1 as usize * element;
        for r in step.r0 as usize..step.r1 as usize {
            for x in 0..width {
                let (from, to) = (((r % rows) * width + x) * pixel, (r * width + x) * pixel);
                tensors[tensor][to + channels.start..to + channels.end]
                    .copy_from_slice(&ring[from + channels.start..from + channels.end]);
            }
        }
    };
    engine.run_tapped(take).expect("an accepted artifact runs");
    for i in 0..artifact.output_count() {
        let tensor = artifact.output_slot(i).expect("inside the table").tensor as usize;
        let left = engine.output_bytes(i).expect("inside the table");
        assert_eq!(left, tensors[tensor], "output {i} is not what its layer made");
    }
    tensors
}

/// An activation's bytes as f32.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// A graph lowered, in f32 as far as it is not quantized itself.
pub fn float(graph: &Graph) -> (Network, Quantized) {
    let mut network = compile::network(graph.clone()).expect("supported");
    let float = quantize::quantize(&mut network, None).expect("nothing is calibrated");
    (network, float)
}

/// A graph lowered in f32, and with the grids of its activations on some samples.
pub fn lowered(graph: &Graph, samples: &[Vec<f32>]) -> [(Network, Quantized); 2] {
    [float(graph), compile::quantized(graph.clone(), samples).expect("int8 can express it")]
}

/// Plans and writes a network layer by layer.
pub fn emitted((network, quantized): &(Network, Quantized)) -> Emitted {
    compile::emit_network(network.clone(), quantized.clone(), &Options::default()).expect("small")
}

/// The artifact in memory.
pub fn model(emitted: &Emitted) -> Model {
    Model::from_bytes(&emitted.joined()).expect("just made")
}

/// A graph compiled to f32 and to int8.
pub fn compiled(graph: &Graph, samples: &[Vec<f32>]) -> [Model; 2] {
    lowered(graph, samples).map(|pair| model(&emitted(&pair)))
}
