//! How much a network computes.

use crate::graph::{Graph, Node, Tensor};
use crate::op::{Work, work};

impl Graph {
    /// Multiply-accumulate operations of a node for one sample.
    pub fn macs(&self, node: &Node) -> u64 {
        let x = node.inputs.first().map_or(&[][..], |&x| self.shape(x));
        let params: Vec<&Tensor> = node.params.iter().filter_map(|name| self.params.get(name)).collect();
        match work(&node.op, x, &params) {
            Work::Products(each) => self.value(node.output).elements() as u64 * each as u64,
            Work::Steps(_) => 0,
        }
    }
}
