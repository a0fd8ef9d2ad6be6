//! Graph to [`Network`]: from ONNX's shapes to rows, pixels and channels.
//!
//! Every value of the graph is a `View` of some tensor. Flatten, Reshape, Transpose, Slice, Split, Squeeze, Dropout and Identity
//! only make another view; an operator that needs its input in a certain order has it arranged (`arrange.rs`), which is one
//! [`Rearrange`](staticnet::op::Rearrange) where the elements do not lie so already. Images `[N, C, H, W]` are wanted channels
//! last, as N x H rows of W pixels; everything else row-major.

mod arrange;
mod codes;
mod conv;
mod elementwise;
mod ends;
mod grid;
mod linear;
mod pool;
mod scores;
mod shape;
mod view;

use crate::network::{Kind, Layer, Network, Parameters, Tensor};
use staticnet::op::{Function, Op as DeviceOp};
use staticnet_graph::diagnostic::Diagnostic;
use staticnet_graph::graph::{self, Codes, Elem, Graph, Node, Op, ValueId};
use std::collections::{BTreeMap, HashMap};
use view::View;

/// Largest number of rows, of pixels in a row and of channels.
const MAX_SIZE: usize = 65_535;

/// Lowers a graph.
///
/// # Errors
/// Everything that the runtime cannot run, at once.
pub fn lower(graph: Graph) -> Result<Network, Vec<Diagnostic>> {
    let mut lowering = Lowering::new(graph);
    let mut problems = Vec::new();
    for input in lowering.graph.inputs.clone() {
        if let Err(reason) = lowering.input(input) {
            let name = lowering.graph.value(input).name.clone();
            problems.push(problem(&name, "input", "shape", reason, SIZE_HINT));
        }
    }
    for node in std::mem::take(&mut lowering.graph.nodes) {
        // After a problem the values behind it are unknown; their nodes are skipped, not reported.
        if node.inputs.iter().any(|i| lowering.held[i.0].is_none()) {
            continue;
        }
        match lowering.node(&node) {
            Ok(()) => lowering.show_made(&node),
            Err(refused) => {
                problems.push(problem(&node.name, node.op.name(), refused.attribute, refused.reason, refused.hint));
            }
        }
    }
    for output in lowering.graph.outputs.clone() {
        if let Err(refused) = lowering.output(output) {
            let name = lowering.graph.value(output).name.clone();
            problems.push(problem(&name, "output", refused.attribute, refused.reason, refused.hint));
        }
    }
    problems.extend(lowering.preprocess_problem());
    if problems.is_empty() { Ok(lowering.network) } else { Err(problems) }
}

/// A diagnostic from its parts.
pub(crate) fn problem(node: &str, op: &str, attribute: &str, reason: String, hint: &str) -> Diagnostic {
    Diagnostic { node: node.into(), op: op.into(), attribute: attribute.into(), reason, hint: hint.into() }
}

const SIZE_HINT: &str =
    "at most 65,535 rows, pixels in a row and channels, and four dimensions of inputs and outputs, run on the device";

/// Why a node cannot be lowered.
#[derive(Debug)]
struct Refused {
    attribute: &'static str,
    reason: String,
    hint: &'static str,
}

/// What arranging or sizing a tensor refuses.
impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Refused { attribute: "shape", reason, hint: SIZE_HINT }
    }
}

fn refused<T>(attribute: &'static str, reason: impl Into<String>, hint: &'static str) -> Result<T, Refused> {
    Err(Refused { attribute, reason: reason.into(), hint })
}

/// What stands for a value of the graph.
#[derive(Clone, Debug)]
enum Held {
    /// Elements of a tensor.
    Lies(View),
    /// A constant that no layer makes yet.
    Constant(graph::Tensor, Option<Codes>),
}

struct Lowering {
    graph: Graph,
    /// How many nodes still read each parameter; the last one takes it.
    uses: HashMap<String, usize>,
    held: Vec<Option<Held>>,
    /// What has been arranged before, so that two readers share it.
    arranged: Vec<(View, Vec<usize>, [usize; 3], usize)>,
    network: Network,
    /// Parameters not yet taken.
    params: BTreeMap<String, graph::Tensor>,
}

impl Lowering {
    fn new(mut graph: Graph) -> Self {
        let network = Network {
            name: graph.name.clone(),
            preprocess: graph.preprocess,
            labels: graph.labels.clone(),
            ..Network::default()
        };
        let mut uses = HashMap::new();
        for name in graph.nodes.iter().flat_map(|node| &node.params) {
            *uses.entry(name.clone()).or_insert(0) += 1;
        }
        let params = std::mem::take(&mut graph.params);
        Lowering { uses, held: vec![None; graph.values.len()], arranged: vec![], network, params, graph }
    }

    /// Parameter `index` of a node, moved out where the node is the last to read it.
    fn param(&mut self, node: &Node, index: usize) -> Result<graph::Tensor, Refused> {
        let missing = || Refused { attribute: "", reason: "a parameter is missing".into(), hint: "give the model its weights" };
        let name = node.params.get(index).ok_or_else(missing)?;
        let uses = self.uses.get_mut(name).ok_or_else(missing)?;
        *uses -= 1;
        let last = *uses == 0;
        if last { self.params.remove(name) } else { self.params.get(name).cloned() }.ok_or_else(missing)
    }

    /// The bias of a layer of so many outputs: zeros where it has none.
    fn bias(&mut self, node: &Node, outputs: usize) -> Result<Vec<f32>, Refused> {
        match node.params.len() {
            0 | 1 => Ok(vec![0.0; outputs]),
            _ => Ok(self.param(node, 1)?.data),
        }
    }

    /// The integers of a node's parameter.
    fn codes(&self, node: &Node, index: usize) -> Option<Codes> {
        self.graph.codes.get(node.params.get(index)?).cloned()
    }

    fn shape(&self, value: ValueId) -> Vec<usize> {
        self.graph.shape(value).to_vec()
    }

    /// Adds a tensor of rows, pixels, channels. Host dimensions come with [`Lowering::output`].
    fn tensor(&mut self, name: &str, size: [usize; 3], kind: Kind) -> Result<usize, String> {
        if size.iter().any(|n| !(1..=MAX_SIZE).contains(n)) {
            return Err(format!("{name} has {} rows of {} pixels of {} channels", size[0], size[1], size[2]));
        }
        let [height, width, channels] = size.map(|n| n as u32);
        self.network.tensors.push(Tensor {
            name: name.to_string(),
            height,
            width,
            channels,
            kind,
            dims: size.iter().map(|&n| n as u16).collect(),
            channels_last: false,
            host: ends::host_type(kind, Elem::F32),
        });
        Ok(self.network.tensors.len() - 1)
    }

    fn layer(&mut self, name: &str, op: DeviceOp, inputs: &[usize], output: usize, parameters: Parameters) {
        self.network.layers.push(Layer::new(name, op, inputs, output, parameters));
    }

    fn kind(&self, tensor: usize) -> Kind {
        self.network.tensors[tensor].kind
    }

    fn hold(&mut self, value: ValueId, view: View) {
        self.held[value.0] = Some(Held::Lies(view));
    }

    /// What stands for a value.
    fn held(&self, value: ValueId) -> Result<Held, Refused> {
        match &self.held[value.0] {
            Some(held) => Ok(held.clone()),
            None => refused("", "its input is missing", "the file may be damaged; export it again"),
        }
    }

    fn node(&mut self, node: &Node) -> Result<(), Refused> {
        match &node.op {
            Op::Unary(function) if *function != Function::Identity => self.elementwise(node, DeviceOp::Unary(*function)),
            Op::Dropout { .. } | Op::Identity | Op::Unary(_) => {
                self.held[node.output.0] = self.held[node.inputs[0].0].clone();
                Ok(())
            }
            Op::Conv(attrs) => self.conv(node, *attrs),
            Op::Linear => self.linear(node),
            Op::MatMul => self.matmul(node),
            Op::MaxPool(attrs) => self.max_pool(node, *attrs),
            Op::AveragePool(attrs) => self.average_pool(node, *attrs),
            Op::LpPool(attrs) => self.lp_pool(node, *attrs),
            Op::ReduceMean { axes, keep: _ } => self.reduce_mean(node, axes),
            Op::Lrn(attrs) => self.per_pixel(node, DeviceOp::Lrn(*attrs)),
            Op::BatchNorm { epsilon } => self.batch_norm(node, *epsilon),
            Op::Relu => self.elementwise(node, DeviceOp::Relu),
            Op::PRelu => self.prelu(node),
            Op::Binary(op) => self.binary(node, *op),
            Op::Softmax { axis } => self.scores(node, *axis, DeviceOp::Softmax),
            Op::ArgMax { axis, last, keep: _ } => self.arg_max(node, *axis, *last),
            Op::Concat { axis } => self.concat(node, *axis),
            Op::Slice { start, step, len } => self.slice(node, start, step, len),
            Op::Reshape { .. } | Op::Flatten => self.reshape(node),
            Op::Transpose { perm } => self.transpose(node, perm),
            Op::Pad { before, after: _, mode, value } => self.pad(node, before, *mode, *value),
            Op::Resize(resize) => self.resize(node, resize),
            Op::Constant => {
                let codes = self.codes(node, 0);
                self.held[node.output.0] = Some(Held::Constant(self.param(node, 0)?, codes));
                Ok(())
            }
            Op::Quantize(grid) => self.quantize(node, grid),
            Op::Dequantize(grid) => self.dequantize(node, grid),
        }
    }
}

/// The order and size that a value of this shape has on the device where nothing else is wanted: channels last for four
/// dimensions, row-major otherwise.
fn natural(shape: &[usize]) -> (Vec<usize>, [usize; 3]) {
    if let &[n, c, h, w] = shape {
        return (vec![0, 2, 3, 1], [n.saturating_mul(h), w, c]);
    }
    ((0..shape.len()).collect(), grouped(shape))
}

/// Dimensions, outermost first, as rows, pixels and channels: the last two and everything before them.
fn grouped(sizes: &[usize]) -> [usize; 3] {
    match sizes {
        [] => [1, 1, 1],
        [c] => [1, 1, *c],
        [h, c] => [*h, 1, *c],
        [rows @ .., w, c] => [rows.iter().fold(1, |n, r| n.saturating_mul(*r)), *w, *c],
    }
}
