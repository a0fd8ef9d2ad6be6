//! One node of a graph as nodes of an ONNX file.

use super::form::{Extra, Form};
use crate::graph::{Graph, Node, Op, ValueId};
use onnx_protobuf::{NodeProto, TensorProto};

/// What one node of a graph becomes.
#[derive(Default)]
pub(super) struct Written {
    /// Nodes in order; the last one makes the value of the graph's node.
    pub(super) nodes: Vec<NodeProto>,
    /// Attributes that ONNX wants as inputs.
    pub(super) initializers: Vec<TensorProto>,
}

/// The operator set that all nodes need.
pub(super) fn opset(graph: &Graph) -> i64 {
    let first = |node: &Node| node.inputs.first().map_or(&[][..], |&x| graph.shape(x)).to_vec();
    graph.nodes.iter().map(|node| crate::op::opset(&node.op, &first(node))).max().unwrap_or(0).max(super::export::OPSET)
}

/// The name under which nodes of the file read a value: a constant is its parameter.
fn name_of(graph: &Graph, id: ValueId) -> String {
    match graph.producer(id) {
        Some(Node { op: Op::Constant, params, .. }) if !params.is_empty() => params[0].clone(),
        Some(_) | None => graph.value(id).name.clone(),
    }
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
    let form = crate::op::to_onnx(&node.op, x, opset)?;
    match node.op {
        // Its parameter is read in its stead, unless it is what the network gives.
        Op::Constant if graph.outputs.contains(&node.output) => written.add(&node.name, "Identity", inputs, output, form),
        Op::Constant => {}
        // Gemm is for rows of features only.
        Op::Linear if x.len() != 2 => {
            let (rows, product) = (format!("{}/rows", node.name), format!("{}/product", node.name));
            let features = x.last().map_or(1, |&features| features as i64);
            let flat = Form::new(vec![]).with("shape", Extra::Integers(vec![-1, features]));
            written.add(&rows, "Reshape", vec![inputs[0].clone()], rows.clone(), flat);
            inputs[0] = rows;
            written.add(&product, "Gemm", inputs, product.clone(), form);
            let mut shape: Vec<i64> = graph.shape(node.output).iter().map(|&d| d as i64).collect();
            shape[0] = -1;
            let shape = Form::new(vec![]).with("shape", Extra::Integers(shape));
            written.add(&node.name, "Reshape", vec![product], output, shape);
        }
        // To a single number; an empty list of sizes is what other tools stumble over.
        Op::Reshape { ref shape } if shape.is_empty() => {
            written.add(&node.name, "Squeeze", inputs, output, Form::new(vec![]));
        }
        // An empty list of axes cannot be written as an attribute: it would mean all of them.
        Op::ReduceMean { ref axes, .. } if axes.is_empty() => {
            written.add(&node.name, "Identity", inputs, output, Form::new(vec![]));
        }
        Op::ArgMax { .. } | Op::AveragePool(_) | Op::BatchNorm { .. } | Op::Binary(_) | Op::Concat { .. } | Op::Conv(_) => {
            written.add(&node.name, node.op.name(), inputs, output, form);
        }
        Op::Dequantize(_) | Op::Dropout { .. } | Op::Flatten | Op::Identity | Op::Linear | Op::Lrn(_) | Op::MatMul => {
            written.add(&node.name, node.op.name(), inputs, output, form);
        }
        Op::MaxPool(_) | Op::Pad { .. } | Op::PRelu | Op::Quantize(_) | Op::ReduceMean { .. } | Op::Relu => {
            written.add(&node.name, node.op.name(), inputs, output, form);
        }
        Op::Reshape { .. } | Op::Resize(_) | Op::Slice { .. } | Op::Softmax { .. } | Op::Transpose { .. } | Op::Unary(_) => {
            written.add(&node.name, node.op.name(), inputs, output, form);
        }
    }
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
        self.nodes.push(NodeProto {
            name: name.into(),
            op_type: op_type.into(),
            input,
            output: vec![output],
            attribute: form.attributes,
            ..Default::default()
        });
    }
}
