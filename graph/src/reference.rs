//! Runs a graph in f32 with the plain loops of [`crate::op::reference`]: slow, short, and what everything else is held against.

use crate::graph::{Graph, Tensor, ValueId};
use crate::op;
use std::fmt;

/// Why a graph cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceError {
    /// Another number of inputs is given than the graph has.
    InputCount {
        /// Given.
        given: usize,
        /// Needed.
        needed: usize,
    },
    /// An input has another shape, or another number of elements than its shape says.
    InputShape {
        /// Name of the input.
        input: String,
        /// Given.
        given: Vec<usize>,
        /// Needed: `[1, C, H, W]` or `[1, F]`.
        needed: Vec<usize>,
    },
    /// A node reads a value that no node before it makes, or a parameter that the graph does not have.
    Undefined {
        /// The node.
        node: String,
        /// What is missing.
        missing: String,
    },
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReferenceError::InputCount { given, needed } => write!(f, "{given} inputs are given, the network has {needed}"),
            ReferenceError::InputShape { input, given, needed } => {
                write!(f, "input {input} is {given:?}, the network needs {needed:?}, one sample at a time")
            }
            ReferenceError::Undefined { node, missing } => write!(f, "{node} reads {missing}, which is not defined before it"),
        }
    }
}

impl std::error::Error for ReferenceError {}

/// Runs the graph on one sample; `inputs` in the order of [`Graph::inputs`], NCHW. Returns every value, in the order of
/// [`Graph::values`]; a value that nothing makes is empty.
///
/// # Errors
/// [`ReferenceError`] where inputs or graph do not fit.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, ReferenceError> {
    if inputs.len() != graph.inputs.len() {
        return Err(ReferenceError::InputCount { given: inputs.len(), needed: graph.inputs.len() });
    }
    let mut values: Vec<Option<Tensor>> = vec![None; graph.values.len()];
    for (&id, tensor) in graph.inputs.iter().zip(inputs) {
        let value = graph.value(id);
        if tensor.shape != value.shape || tensor.data.len() != value.elements() {
            let (input, given, needed) = (value.name.clone(), tensor.shape.clone(), value.shape.clone());
            return Err(ReferenceError::InputShape { input, given, needed });
        }
        values[id.0] = Some(tensor.clone());
    }
    for node in &graph.nodes {
        let undefined = |missing: &str| ReferenceError::Undefined { node: node.name.clone(), missing: missing.into() };
        let input = |x: &ValueId| values[x.0].as_ref().ok_or_else(|| undefined(&graph.value(*x).name));
        let inputs: Vec<&Tensor> = node.inputs.iter().map(input).collect::<Result<_, _>>()?;
        let param = |name: &String| graph.params.get(name).ok_or_else(|| undefined(name));
        let params: Vec<&Tensor> = node.params.iter().map(param).collect::<Result<_, _>>()?;
        values[node.output.0] = Some(op::reference(&node.op, &inputs, &params, graph.shape(node.output)));
    }
    Ok(values.into_iter().map(|v| v.unwrap_or_else(|| Tensor::zeros(&[0]))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Op, ValueId};
    use staticnet::op::{Conv2d, Lrn, MaxPool, Window};

    fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
        Tensor { shape: shape.to_vec(), data: data.to_vec() }
    }

    fn run_one(graph: &Graph, x: &[f32]) -> Vec<f32> {
        let input = tensor(graph.shape(graph.inputs[0]), x);
        run(graph, &[input]).unwrap().pop().unwrap().data
    }

    /// One input, one node without parameters.
    fn single(shape: &[usize], op: Op) -> Graph {
        let mut graph = Graph::new("single");
        let x = graph.input("x", shape);
        graph.add("y", op, &[x], &[]).unwrap();
        graph
    }

    #[test]
    fn convolution_by_hand() {
        let mut graph = Graph::new("conv");
        let x = graph.input("x", &[1, 1, 3, 3]);
        let window = Window { kernel: [2, 2], stride: [1, 2], dilation: [1, 1], pads: [0, 1, 1, 0] };
        graph.conv("c", x, 1, Conv2d { window, groups: 1 }).unwrap();
        graph.params.insert("c.weight".into(), tensor(&[1, 1, 2, 2], &[1.0, 10.0, 100.0, 1000.0]));
        graph.params.insert("c.bias".into(), tensor(&[1], &[0.5]));
        let y = run_one(&graph, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        assert_eq!(y, [4010.5, 6532.5, 7040.5, 9865.5, 70.5, 98.5]);
    }

    #[test]
    fn groups_and_dilation_by_hand() {
        let mut graph = Graph::new("conv");
        let x = graph.input("x", &[1, 2, 1, 3]);
        let window = Window { kernel: [1, 2], stride: [1, 1], dilation: [1, 2], pads: [0; 4] };
        graph.conv("c", x, 2, Conv2d { window, groups: 2 }).unwrap();
        graph.params.insert("c.weight".into(), tensor(&[2, 1, 1, 2], &[1.0, 10.0, 2.0, -1.0]));
        assert_eq!(run_one(&graph, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [31.0, 2.0]);
    }

    #[test]
    fn linear_and_flatten_by_hand() {
        let mut graph = Graph::new("fc");
        let x = graph.input("x", &[1, 3, 1, 1]);
        let flat = graph.add("flat", Op::Flatten, &[x], &[]).unwrap();
        graph.linear("fc", flat, 2).unwrap();
        graph.params.insert("fc.weight".into(), tensor(&[2, 3], &[1.0, 2.0, 3.0, -1.0, 0.0, 1.0]));
        graph.params.insert("fc.bias".into(), tensor(&[2], &[0.5, -0.5]));
        assert_eq!(run_one(&graph, &[1.0, 10.0, 100.0]), [321.5, 98.5]);
    }

    #[test]
    fn pool_relu_and_pass_through_by_hand() {
        let window = Window { kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pads: [1, 0, 0, 1] };
        let pool = single(&[1, 1, 3, 3], Op::MaxPool(MaxPool { window }));
        let x = [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0, -9.0];
        assert_eq!(run_one(&pool, &x), [-1.0, -3.0, -4.0, -6.0]);
        assert_eq!(run_one(&single(&[1, 3], Op::Relu), &[-1.0, 0.0, 2.5]), [0.0, 0.0, 2.5]);
        assert_eq!(run_one(&single(&[1, 2], Op::Dropout { ratio: 0.5 }), &[-1.0, 4.0]), [-1.0, 4.0]);
        assert_eq!(run_one(&single(&[1, 2], Op::Identity), &[-1.0, 4.0]), [-1.0, 4.0]);
    }

    #[test]
    fn lrn_by_hand() {
        let lrn = single(&[1, 3, 1, 1], Op::Lrn(Lrn { size: 3, alpha: 3.0, beta: 0.5, k: 4.0 }));
        // 4 + the squares of the neighbours, to the power of -1/2.
        let expected = [1.0 / 9f32.sqrt(), 2.0 / 18f32.sqrt(), 3.0 / 17f32.sqrt()];
        for (y, e) in run_one(&lrn, &[1.0, 2.0, 3.0]).iter().zip(expected) {
            assert!((y - e).abs() < 1e-6, "{y} {e}");
        }
    }

    #[test]
    fn errors_name_what_does_not_fit() {
        let graph = single(&[1, 2], Op::Relu);
        let message = run(&graph, &[tensor(&[2, 2], &[0.0; 4])]).unwrap_err().to_string();
        assert!(message.contains("input x is [2, 2]"), "{message}");
        assert_eq!(run(&graph, &[]), Err(ReferenceError::InputCount { given: 0, needed: 1 }));
        let mut broken = graph.clone();
        broken.nodes[0].inputs = vec![ValueId(1)];
        assert!(run(&broken, &[tensor(&[1, 2], &[0.0; 2])]).unwrap_err().to_string().contains("y reads y"));
    }
}
