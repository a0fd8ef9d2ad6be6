//! Networks by name: plain graphs with zero parameters, which the trainer trains and a `.safetensors` file fills.

mod alexnet;
mod alexnet_cifar;
mod alexnet_paper;
mod cifar_small;
mod layers;
mod lenet;

pub use alexnet::alexnet;
pub use alexnet_cifar::{alexnet_cifar, alexnet_cifar_lrn};
pub use alexnet_paper::alexnet_paper;
pub use cifar_small::cifar_small;
pub use lenet::lenet;

use crate::graph::{Graph, ShapeError};
use staticnet::preprocess::Fit;

/// A network that can be built by name.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// What the command line calls it.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// Width and height of its input.
    pub size: u16,
    /// How pictures of another size are fitted.
    pub fit: Fit,
    /// Builds it, with zero parameters, for a number of input channels and classes.
    pub build: fn(channels: usize, classes: usize) -> Result<Graph, ShapeError>,
}

/// All networks, small ones first.
pub const ARCHITECTURES: [Architecture; 6] = [
    Architecture { name: "lenet", about: "LeNet, two 5x5 convolutions", size: 28, fit: Fit::Stretch, build: lenet },
    Architecture {
        name: "cifar-small",
        about: "three 5x5 convolutions of 32, 32 and 64 channels",
        size: 32,
        fit: Fit::Stretch,
        build: cifar_small,
    },
    Architecture {
        name: "alexnet-cifar",
        about: "AlexNet's five convolutions at 32 pixels",
        size: 32,
        fit: Fit::Stretch,
        build: alexnet_cifar,
    },
    Architecture {
        name: "alexnet-cifar-lrn",
        about: "alexnet-cifar with LRN and two groups, as in the paper",
        size: 32,
        fit: Fit::Stretch,
        build: alexnet_cifar_lrn,
    },
    Architecture {
        name: "alexnet",
        about: "AlexNet as in torchvision",
        size: 224,
        fit: Fit::Cover { shorter: 256 },
        build: alexnet,
    },
    Architecture {
        name: "alexnet-paper",
        about: "AlexNet of 2012: 96-256-384-384-256 channels, LRN, two groups",
        size: 227,
        fit: Fit::Cover { shorter: 256 },
        build: alexnet_paper,
    },
];

/// The network of this name.
pub fn by_name(name: &str) -> Option<&'static Architecture> {
    ARCHITECTURES.iter().find(|a| a.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(name: &str, channels: usize, classes: usize) -> Graph {
        (by_name(name).unwrap().build)(channels, classes).unwrap()
    }

    fn macs(graph: &Graph) -> u64 {
        graph.nodes.iter().map(|n| graph.macs(n)).sum()
    }

    #[test]
    fn alexnet_is_torchvisions() {
        let graph = build("alexnet", 3, 1000);
        // torchvision's documentation: 61,100,840 parameters, 0.71 GFLOPS (multiply-accumulates).
        assert_eq!(graph.parameters(), 61_100_840);
        assert_eq!(macs(&graph), 714_188_480);
        let names = ["features.0", "features.3", "features.6", "features.8", "features.10"];
        let names = names.iter().chain(&["classifier.1", "classifier.4", "classifier.6"]);
        let expected: Vec<String> = names.flat_map(|n| [format!("{n}.weight"), format!("{n}.bias")]).collect();
        let mut actual: Vec<String> = graph.nodes.iter().flat_map(|n| n.params.clone()).collect();
        assert_eq!(actual, expected);
        actual.sort();
        assert_eq!(actual, graph.params.keys().cloned().collect::<Vec<_>>());
        assert_eq!(graph.params["features.10.weight"].shape, [256, 256, 3, 3]);
        assert_eq!(graph.params["classifier.1.weight"].shape, [4096, 9216]);
    }

    #[test]
    fn alexnet_paper_is_the_two_group_net() {
        // Caffe's bvlc_reference net, which has these very layers: 60,965,224 parameters.
        assert_eq!(build("alexnet-paper", 3, 1000).parameters(), 60_965_224);
    }

    #[test]
    fn small_nets_by_hand() {
        // 20*25+20 + 50*20*25+50 + 500*800+500 + 10*500+10
        assert_eq!(build("lenet", 1, 10).parameters(), 431_080);
        // 32*32*32*75 + 16*16*32*800 + 8*8*64*800 + 10*1024
        assert_eq!(macs(&build("cifar-small", 3, 10)), 12_298_240);
        let net = build("alexnet-cifar", 3, 10);
        // 1024*64*27 + 225*192*576 + 49*(384*1728 + 256*3456 + 256*2304) + 2304*1024 + 1024*1024 + 10*1024
        assert_eq!(macs(&net), 134_838_272);
        assert_eq!(net.params["classifier.1.weight"].shape, [1024, 2304]);
        assert_eq!(build("alexnet-cifar-lrn", 3, 10).params["features.4.weight"].shape, [192, 32, 3, 3]);
    }

    #[test]
    fn every_net_builds_for_grey_and_few_classes() {
        for architecture in ARCHITECTURES {
            let graph = (architecture.build)(1, 2).unwrap();
            assert_eq!(graph.name, architecture.name);
            assert_eq!(graph.shape(graph.inputs[0]), [1, 1, architecture.size as usize, architecture.size as usize]);
            assert_eq!(graph.shape(graph.outputs[0]), [1, 2]);
        }
    }
}
