//! Convolution: weights `[O, C / groups, KH, KW]` become `[O][KH][KW][C / groups]`.

use staticnet::op::{Conv2d, Op};
use staticnet_graph::diagnostic::Diagnostic;
use staticnet_graph::graph::{Graph, Node};

pub(super) fn lower(graph: &Graph, node: &Node, attrs: Conv2d) -> Result<(Op, Vec<f32>, Vec<f32>), Diagnostic> {
    let (Some(weight), Some(bias)) = (graph.param(node, 0), graph.param(node, 1)) else {
        return Err(super::problem(&node.name, "Conv", "W", "has no weights".into(), "give the model its weights"));
    };
    let plane = weight.shape[2] * weight.shape[3];
    let row = weight.shape[1] * plane;
    let mut weights = Vec::with_capacity(weight.data.len());
    for channel in weight.data.chunks_exact(row) {
        for tap in 0..plane {
            weights.extend(channel.iter().skip(tap).step_by(plane));
        }
    }
    Ok((Op::Conv2d(attrs), weights, bias.data.clone()))
}
