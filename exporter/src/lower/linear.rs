//! Fully connected: columns `[C, H, W]` of the weights become `[H, W, C]`, the order of the input in memory.

use crate::network::Tensor;
use staticnet::op::Op;
use staticnet_graph::diagnostic::Diagnostic;
use staticnet_graph::graph::{Graph, Node};

pub(super) fn lower(graph: &Graph, node: &Node, input: &Tensor) -> Result<(Op, Vec<f32>, Vec<f32>), Diagnostic> {
    let (Some(weight), Some(bias)) = (graph.param(node, 0), graph.param(node, 1)) else {
        return Err(super::problem(&node.name, "Gemm", "B", "has no weights".into(), "give the model its weights"));
    };
    let plane = (input.height * input.width) as usize;
    let mut weights = Vec::with_capacity(weight.data.len());
    for row in weight.data.chunks_exact(input.elements()) {
        for pixel in 0..plane {
            weights.extend(row.iter().skip(pixel).step_by(plane));
        }
    }
    Ok((Op::Linear, weights, bias.data.clone()))
}
