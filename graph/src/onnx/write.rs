//! One node of a graph as nodes of an ONNX file.

use super::form::{Extra, Form};
use super::proto;
use crate::graph::{Graph, Node, Op, ValueId};
use crate::op;
use onnx_protobuf::{NodeProto, TensorProto};

/// What one node of a graph becomes.
#[derive(Default)]
pub(super) struct Written {
    /// Nodes in order; the last one makes the value of the graph's node.
    pub(super) nodes: Vec<NodeProto>,
    /// Attributes that ONNX wants as inputs.
    pub(super) initializers: Vec<TensorProto>,
}

/// Operator set written, unless an operator needs a later one.
const OPSET: i64 = 13;

/// The operator set that all nodes need.
pub(super) fn opset(graph: &Graph) -> i64 {
    let first = |node: &Node| node.inputs.first().map_or(&[][..], |&x| graph.shape(x)).to_vec();
    graph.nodes.iter().map(|node| op::opset(&node.op, &first(node))).max().unwrap_or(0).max(OPSET)
}

/// The name under which nodes of the file read a value: a constant is its parameter.
fn name_of(graph: &Graph, id: ValueId) -> String {
    let constant = graph.producer(id).filter(|node| node.op == Op::Constant);
    constant.and_then(|node| node.params.first()).unwrap_or(&graph.value(id).name).clone()
}

/// Writes a node.
///
/// # Errors
/// Where ONNX has no form for it, in words.
pub(super) fn write(graph: &Graph, node: &Node, opset: i64) -> Result<Written, String> {
    let x = node.inputs.first().map_or(&[][..], |&x| graph.shape(x));
    let mut inputs: Vec<String> = node.inputs.iter().map(|&id| name_of(graph, id)).collect();
    inputs.extend(node.params.iter().cloned());
    let output = graph.value(node.output).name.clone();
    let mut written = Written::default();
    let form = op::to_onnx(&node.op, x, opset)?;
    let op_type = form.op_type.unwrap_or_else(|| node.op.name());
    if node.op == Op::Constant && !graph.outputs.contains(&node.output) {
        // It is read in the node's stead.
        return Ok(written);
    }
    if !form.over_rows {
        written.add(&node.name, op_type, inputs, output, form);
        return Ok(written);
    }
    let (rows, product) = (format!("{}/rows", node.name), format!("{}/product", node.name));
    let features = x.last().map_or(1, |&features| features as i64);
    let flat = Form::new(vec![]).with("shape", Extra::Integers(vec![-1, features]));
    written.add(&rows, "Reshape", vec![inputs[0].clone()], rows.clone(), flat);
    inputs[0] = rows;
    written.add(&product, op_type, inputs, product.clone(), form);
    let mut shape: Vec<i64> = graph.shape(node.output).iter().map(|&d| d as i64).collect();
    shape[0] = -1;
    let shape = Form::new(vec![]).with("shape", Extra::Integers(shape));
    written.add(&node.name, "Reshape", vec![product], output, shape);
    Ok(written)
}

impl Written {
    fn add(&mut self, name: &str, op_type: &str, mut input: Vec<String>, output: String, form: Form) {
        for (suffix, extra) in form.constants {
            let tensor = extra.encode(&format!("{name}.{suffix}"));
            input.push(tensor.as_ref().map_or_else(String::new, |tensor| tensor.name.clone()));
            self.initializers.extend(tensor);
        }
        while input.last().is_some_and(String::is_empty) {
            input.pop();
        }
        let node = proto::Node { name, domain: "", op: op_type, inputs: input, output, attributes: form.attributes };
        self.nodes.push(node.proto());
    }
}
