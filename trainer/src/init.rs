//! How a network's parameters begin.

use crate::rng::{KeyedRng, stream};
use serde::{Deserialize, Serialize};
use staticnet_graph::graph::{Graph, Op};

/// Distribution of the initial weights. Biases begin at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Normal with standard deviation `sqrt(2 / fan_in)`: keeps the variance through ReLU layers (He et al., "Delving Deep into
    /// Rectifiers", 2015).
    #[default]
    Kaiming,
    /// Normal with standard deviation 0.01, as in the AlexNet paper.
    Gaussian,
}

/// Standard deviation of [`Init::Gaussian`].
const GAUSSIAN_STD: f32 = 0.01;

/// Fills the parameters of `graph`. Every layer draws from a sequence of its own, so a net's first layers begin alike whatever
/// follows them.
pub fn initialise(graph: &mut Graph, init: Init, seed: u64) {
    for (layer, node) in graph.nodes.iter().enumerate() {
        match &node.op {
            Op::Conv(_) | Op::Linear => {
                if let Some(weight) = graph.params.get_mut(&node.params[0]) {
                    let fan_in: usize = weight.shape[1..].iter().product();
                    let std = match init {
                        Init::Kaiming => (2.0 / fan_in as f32).sqrt(),
                        Init::Gaussian => GAUSSIAN_STD,
                    };
                    let mut rng = KeyedRng::new(seed, 0, layer as u64, stream::INIT);
                    weight.data.fill_with(|| std * rng.normal());
                }
                if let Some(bias) = graph.params.get_mut(&node.params[1]) {
                    bias.data.fill(0.0);
                }
            }
            Op::MaxPool(_) | Op::Lrn(_) | Op::Relu | Op::Dropout { .. } | Op::Flatten | Op::Identity => {}
            Op::AveragePool(_) | Op::Unary(_) | Op::Softmax { .. } | Op::Binary(_) | Op::Concat { .. } => {}
            Op::Slice { .. } | Op::Reshape { .. } | Op::Transpose { .. } | Op::Pad { .. } | Op::ReduceMean { .. } => {}
            Op::ArgMax { .. } | Op::Resize(_) | Op::Quantize(_) | Op::Dequantize(_) => {}
            // These are not trained yet (see [`crate::plan`]): their parameters stay as they are.
            Op::MatMul | Op::BatchNorm { .. } | Op::PRelu | Op::Constant => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::alexnet_cifar;

    fn std(values: &[f32]) -> f64 {
        (values.iter().map(|v| (*v as f64).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn deviations() {
        let mut graph = alexnet_cifar(3, 10).unwrap();
        initialise(&mut graph, Init::Kaiming, 1);
        // sqrt(2 / (64 * 3 * 3)) = 0.0589256
        assert!((std(&graph.params["features.3.weight"].data) - 0.058_925_6).abs() < 1e-3);
        // sqrt(2 / 2304) = 0.0294628
        assert!((std(&graph.params["classifier.1.weight"].data) - 0.029_462_8).abs() < 1e-3);
        assert!(graph.params["features.3.bias"].data.iter().all(|b| *b == 0.0));
        let first = graph.clone();
        initialise(&mut graph, Init::Kaiming, 2);
        assert_ne!(first, graph);
        initialise(&mut graph, Init::Kaiming, 1);
        assert_eq!(first, graph);
        initialise(&mut graph, Init::Gaussian, 1);
        assert!((std(&graph.params["features.3.weight"].data) - 0.01).abs() < 2e-4);
    }
}
