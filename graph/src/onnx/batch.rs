//! Whether a graph, which is made for one sample, means the same for a batch of any size.

use crate::graph::{Graph, Node, Op, ValueId};
use crate::op;

/// Whether every node treats each sample of a batch on its own, in the form in which it is written.
pub(super) fn is_free(graph: &Graph) -> bool {
    let single = |id: &ValueId| graph.shape(*id).first() == Some(&1);
    let constant = |id: &ValueId| graph.producer(*id).is_some_and(|node| node.op == Op::Constant);
    graph.inputs.iter().all(single)
        && !graph.outputs.iter().any(constant)
        && graph.nodes.iter().all(|node| node.op == Op::Constant || keeps(graph, node, &constant))
}

fn keeps(graph: &Graph, node: &Node, constant: &dyn Fn(&ValueId) -> bool) -> bool {
    let output = graph.shape(node.output);
    let Some(x) = node.inputs.first().map(|&x| graph.shape(x)) else {
        return false;
    };
    let batched = |id: &ValueId| !constant(id) && graph.shape(*id).first() == Some(&1);
    let all_batched = node.inputs.iter().all(batched) && output.first() == Some(&1);
    let param_broadcasts = || graph.param(node, 0).is_some_and(|p| p.shape.len() < output.len() || p.shape[0] == 1);
    match &node.op {
        Op::Conv(_) | Op::MaxPool(_) | Op::AveragePool(_) | Op::Lrn(_) | Op::BatchNorm { .. } | Op::Flatten => all_batched,
        Op::Relu | Op::Unary(_) | Op::Dropout { .. } | Op::Identity => all_batched,
        Op::Linear => all_batched && x.len() > 1,
        Op::MatMul | Op::PRelu => all_batched && param_broadcasts(),
        Op::Softmax { axis } | Op::Concat { axis } | Op::ArgMax { axis, .. } => all_batched && *axis > 0,
        // Constants are repeated for each sample; other inputs must have the batch where the output has it.
        Op::Binary(_) => {
            let repeats = |id: &ValueId| constant(id) || (batched(id) && graph.shape(*id).len() == output.len());
            output.first() == Some(&1) && node.inputs.iter().all(repeats) && !node.inputs.iter().all(constant)
        }
        Op::Slice { start, step, len } => all_batched && op::slice::is_whole(start, step, len, x, 0),
        Op::Reshape { shape } => all_batched && op::reshape::keeps_batch(shape, x),
        Op::Transpose { perm } => all_batched && perm.first() == Some(&0),
        Op::Pad { before, after, .. } => all_batched && before.first() == Some(&0) && after.first() == Some(&0),
        Op::ReduceMean { axes, .. } => all_batched && !axes.contains(&0),
        Op::Resize(resize) => all_batched && op::resize_onnx::keeps_batch(resize, x),
        Op::Quantize(grid) | Op::Dequantize(grid) => all_batched && grid.axis != Some(0),
        Op::Constant => false,
    }
}
