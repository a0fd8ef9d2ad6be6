//! Graphs made node by node: shapes and element types are inferred, so that nothing is said twice.

use crate::graph::{Elem, Graph, Node, Op, ShapeError, Tensor, Value, ValueId};
use crate::op;
use staticnet::op::Conv2d;

impl Graph {
    /// Declares a network input.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> ValueId {
        self.input_of(name, shape, Elem::F32)
    }

    /// Declares a network input of an element type.
    pub fn input_of(&mut self, name: &str, shape: &[usize], elem: Elem) -> ValueId {
        let id = self.add_value(name, shape.to_vec(), elem);
        self.inputs.push(id);
        id
    }

    /// Declares a network output.
    pub fn output(&mut self, id: ValueId) {
        self.outputs.push(id);
    }

    fn add_value(&mut self, name: &str, shape: Vec<usize>, elem: Elem) -> ValueId {
        self.values.push(Value { name: name.to_string(), shape, elem });
        ValueId(self.values.len() - 1)
    }

    /// Adds a node whose parameters are in [`Graph::params`] already, inferring its output's shape; the output is named after the
    /// node.
    ///
    /// # Errors
    /// [`ShapeError`] where inputs, parameters and attributes do not fit together.
    pub fn add(&mut self, name: &str, op: Op, inputs: &[ValueId], params: &[String]) -> Result<ValueId, ShapeError> {
        self.add_named(name, op, inputs, params, name)
    }

    /// As [`Graph::add`], with a name for the output value.
    ///
    /// # Errors
    /// [`ShapeError`] where inputs, parameters and attributes do not fit together.
    pub fn add_named(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[ValueId],
        params: &[String],
        output: &str,
    ) -> Result<ValueId, ShapeError> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|&i| self.shape(i)).collect();
        let known = |name: &String| self.params.get(name).ok_or_else(|| format!("the parameter {name} is missing"));
        let weights: Result<Vec<&Tensor>, String> = params.iter().map(known).collect();
        let shape = weights.and_then(|weights| op::infer(&op, &shapes, &weights));
        let shape = shape.map_err(|reason| ShapeError { node: name.to_string(), op: op.name(), reason })?;
        let elem = op::elem(&op, inputs.first().map(|&i| self.value(i).elem));
        let output = self.add_value(output, shape, elem);
        self.nodes.push(Node { name: name.to_string(), op, inputs: inputs.to_vec(), params: params.to_vec(), output });
        Ok(output)
    }

    fn zero_params(&mut self, name: &str, weight: &[usize], out: usize) -> Vec<String> {
        let names = vec![format!("{name}.weight"), format!("{name}.bias")];
        self.params.insert(names[0].clone(), Tensor::zeros(weight));
        self.params.insert(names[1].clone(), Tensor::zeros(&[out]));
        names
    }

    /// Adds a convolution with zero parameters `NAME.weight` and `NAME.bias`.
    ///
    /// # Errors
    /// [`ShapeError`] where the attributes do not fit the input.
    pub fn conv(&mut self, name: &str, x: ValueId, out: usize, attrs: Conv2d) -> Result<ValueId, ShapeError> {
        let channels = self.shape(x).get(1).copied().unwrap_or(0);
        let groups = (attrs.groups as usize).max(1);
        let [kh, kw] = attrs.window.kernel;
        let params = self.zero_params(name, &[out, channels / groups, kh as usize, kw as usize], out);
        self.add(name, Op::Conv(attrs), &[x], &params)
    }

    /// Adds a fully connected layer with zero parameters `NAME.weight` and `NAME.bias`.
    ///
    /// # Errors
    /// [`ShapeError`] where the input is not flat.
    pub fn linear(&mut self, name: &str, x: ValueId, out: usize) -> Result<ValueId, ShapeError> {
        let features = self.shape(x).get(1).copied().unwrap_or(0);
        let params = self.zero_params(name, &[out, features], out);
        self.add(name, Op::Linear, &[x], &params)
    }
}
