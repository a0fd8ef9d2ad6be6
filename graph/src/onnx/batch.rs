//! Whether a graph, which is made for one sample, means the same for a batch of any size.

use crate::graph::{Graph, Node, Op, ValueId};
use crate::op::{self, Batch};

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
    match op::batch(&node.op, x) {
        Batch::Each => all_batched,
        Batch::EachByParameter => {
            all_batched && graph.param(node, 0).is_some_and(|p| p.shape.len() < output.len() || p.shape[0] == 1)
        }
        // Inputs that are not constant must have the batch where the output has it.
        Batch::Repeated => {
            let repeats = |id: &ValueId| constant(id) || (batched(id) && graph.shape(*id).len() == output.len());
            output.first() == Some(&1) && node.inputs.iter().all(repeats) && !node.inputs.iter().all(constant)
        }
        Batch::Mixed => false,
    }
}
