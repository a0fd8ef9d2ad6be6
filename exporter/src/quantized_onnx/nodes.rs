//! Nodes and constants of the file, named as they come.

use staticnet_graph::graph::Elem;
use staticnet_graph::onnx::proto::{Attribute, Dim, Head, Node, ProtoError, Values, Writer};
use std::collections::HashSet;

/// Version of the file format: the first one of opset 15, which every reader of opset 13 knows as well.
const IR_VERSION: i64 = 8;
/// Version of ONNX's operator set that the files use.
const OPSET: i64 = 13;
/// onnxruntime's own operators.
const MICROSOFT: &str = "com.microsoft";

/// A file being written.
pub(super) struct Nodes {
    writer: Writer,
    initializers: HashSet<String>,
}

impl Nodes {
    pub(super) fn new(name: &str) -> Self {
        Nodes { writer: Writer::new(name), initializers: HashSet::new() }
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, ProtoError> {
        let opsets = &[("", OPSET), (MICROSOFT, 1)];
        self.writer.finish(Head { ir_version: IR_VERSION, producer_version: "", opsets, metadata: vec![] })
    }

    /// Adds a node of ONNX's own operator set and returns its output.
    pub(super) fn node(&mut self, op: &str, inputs: &[String], attributes: Vec<Attribute>) -> String {
        self.node_of("", op, inputs, attributes)
    }

    /// Adds a node of onnxruntime's operator set and returns its output.
    pub(super) fn microsoft(&mut self, op: &str, inputs: &[String], attributes: Vec<Attribute>) -> String {
        self.node_of(MICROSOFT, op, inputs, attributes)
    }

    fn node_of(&mut self, domain: &str, op: &str, inputs: &[String], attributes: Vec<Attribute>) -> String {
        let name = format!("{op}_{}", self.writer.nodes());
        self.writer.node(Node { name: &name, domain, op, inputs: inputs.to_vec(), output: name.clone(), attributes });
        name
    }

    pub(super) fn reshape(&mut self, x: &str, shape: &[i64]) -> String {
        let key: Vec<String> = shape.iter().map(i64::to_string).collect();
        let shape = self.integers(&format!("shape_{}", key.join("x")), shape);
        self.node("Reshape", &[x.to_string(), shape], vec![])
    }

    /// Codes of one type as those of the other: int8 plus 128 is uint8.
    pub(super) fn shifted(&mut self, x: &str, to: Elem) -> String {
        let one = self.floats("one", &[], &[1.0]);
        let (unsigned, signed) = (self.bytes("unsigned_zero", &[], &[128]), self.signed("signed_zero", &[], &[0]));
        let (from, to) = if to == Elem::U8 { (signed, unsigned) } else { (unsigned, signed) };
        let real = self.node("DequantizeLinear", &[x.to_string(), one.clone(), from], vec![]);
        self.node("QuantizeLinear", &[real, one, to], vec![])
    }

    /// Adds a constant, where there is none of this name yet.
    fn initializer(&mut self, name: &str, dims: &[i64], values: Values) -> String {
        if self.initializers.insert(name.to_string()) {
            self.writer.initializer(name, dims, values);
        }
        name.to_string()
    }

    pub(super) fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) -> String {
        self.initializer(name, dims, Values::Floats(values))
    }

    pub(super) fn bytes(&mut self, name: &str, dims: &[i64], values: &[u8]) -> String {
        self.initializer(name, dims, Values::Unsigned(values))
    }

    pub(super) fn signed(&mut self, name: &str, dims: &[i64], values: &[i8]) -> String {
        self.initializer(name, dims, Values::Signed(values))
    }

    pub(super) fn words(&mut self, name: &str, values: &[i32]) -> String {
        self.initializer(name, &[values.len() as i64], Values::Words(values))
    }

    pub(super) fn integers(&mut self, name: &str, values: &[i64]) -> String {
        self.initializer(name, &[values.len() as i64], Values::Integers(values))
    }

    pub(super) fn input(&mut self, name: &str, elem: Elem, dims: &[u16]) -> String {
        let dims: Vec<Dim> = dims.iter().map(|&d| Dim::Fixed(d.into())).collect();
        self.writer.input(name, elem, &dims);
        name.to_string()
    }

    /// Makes a value an output of the network, with its shape there.
    pub(super) fn output(&mut self, value: &str, name: &str, elem: Elem, dims: &[i64]) {
        let shape = self.integers(&format!("{name}/shape"), dims);
        let (inputs, output) = (vec![value.to_string(), shape], name.to_string());
        let node = Node { name: &format!("output_{name}"), domain: "", op: "Reshape", inputs, output, attributes: vec![] };
        self.writer.node(node);
        let dims: Vec<Dim> = dims.iter().map(|&d| Dim::Fixed(d)).collect();
        self.writer.output(name, elem, &dims);
    }
}
