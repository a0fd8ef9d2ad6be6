//! Networks by name with weights that depend on the name alone: for what needs a network, whichever it is.

use staticnet::preprocess::Preprocess;
use staticnet_exporter::Error;
use staticnet_exporter::compile;
use staticnet_exporter::quantized::Quantized;
use staticnet_graph::graph::Graph;
use staticnet_graph::models::{Architecture, by_name};

/// Numbers in [-1, 1), the same in every run (a linear congruential generator, constants of Knuth's MMIX).
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// Numbers that depend on the seed.
    pub fn new(seed: u64) -> Self {
        Noise(seed)
    }

    /// The next one.
    pub fn real(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / (1 << 23) as f32 - 1.0
    }
}

/// A network by name with weights and preprocessing; `None` where there is no such name.
pub fn graph(name: &str, classes: usize) -> Option<Graph> {
    let architecture: &Architecture = by_name(name)?;
    let channels = if name == "lenet" { 1 } else { 3 };
    let mut graph = (architecture.build)(channels, classes).ok()?;
    let mut noise = Noise::new(name.bytes().map(u64::from).sum());
    for tensor in graph.params.values_mut() {
        // Keeps the size of activations through ReLU.
        let fan_in: usize = tensor.shape[1..].iter().product();
        let size = (6.0 / fan_in.max(1) as f32).sqrt();
        tensor.data.iter_mut().for_each(|v| *v = size * noise.real());
    }
    let (width, height, fit) = (architecture.size, architecture.size, architecture.fit);
    graph.preprocess = Some(Preprocess { width, height, channels: channels as u8, fit, mean: [0.5; 3], std: [0.25; 3] });
    Some(graph)
}

/// It, quantized on two samples of noise.
///
/// # Errors
/// As [`compile::quantized`].
pub fn quantized(graph: &Graph) -> Result<Quantized, Error> {
    let mut noise = Noise::new(2);
    let elements: usize = graph.inputs.first().map_or(0, |&input| graph.shape(input).iter().product());
    let samples: Vec<Vec<f32>> = (0..2).map(|_| (0..elements).map(|_| 2.0 * noise.real()).collect()).collect();
    compile::quantized(graph.clone(), &samples)
}
