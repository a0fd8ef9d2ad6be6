//! Operators by the names that ONNX gives them: those that are read, and what helps with the others.

use super::{
    batch_norm, binary, concat, conv, dropout, linear, lrn, matmul, pad, pool, prelu, quantized, reduce, relu, reshape,
    resize_onnx, slice, softmax, transpose, unary,
};
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;
use staticnet::op::{BinaryOp, Function};

/// Reads a node; `None` where something was refused, which the reader has noted, or where an input is missing because its own
/// node was refused.
type Read = fn(&mut NodeReader) -> Option<Lowered>;

/// Every operator that is read, in the order of the alphabet.
const OPERATORS: &[(&str, Read)] = &[
    ("Add", |node| binary::from_onnx(node, BinaryOp::Add)),
    ("ArgMax", reduce::arg_max_from_onnx),
    ("AveragePool", pool::average_from_onnx),
    ("BatchNormalization", batch_norm::from_onnx),
    ("Clip", unary::clip_from_onnx),
    ("Concat", concat::from_onnx),
    ("Constant", |node| node.constant_attribute().map(Lowered::constant)),
    ("Conv", conv::from_onnx),
    ("DequantizeLinear", quantized::dequantize_from_onnx),
    ("Div", |node| binary::from_onnx(node, BinaryOp::Div)),
    ("Dropout", dropout::from_onnx),
    ("Flatten", reshape::flatten_from_onnx),
    ("Gemm", linear::gemm_from_onnx),
    ("GlobalAveragePool", pool::global_average_from_onnx),
    ("GlobalLpPool", pool::global_lp_from_onnx),
    ("GlobalMaxPool", pool::global_max_from_onnx),
    ("HardSigmoid", unary::hard_sigmoid_from_onnx),
    ("HardSwish", |node| unary::plain_from_onnx(node, Function::HardSwish)),
    ("Identity", reshape::identity_from_onnx),
    ("LRN", lrn::from_onnx),
    ("LeakyRelu", unary::leaky_relu_from_onnx),
    ("LpPool", pool::lp_from_onnx),
    ("MatMul", matmul::from_onnx),
    ("MaxPool", pool::max_from_onnx),
    ("Mul", |node| binary::from_onnx(node, BinaryOp::Mul)),
    ("PRelu", prelu::from_onnx),
    ("Pad", pad::from_onnx),
    ("QuantizeLinear", quantized::quantize_from_onnx),
    ("ReduceMean", reduce::mean_from_onnx),
    ("Relu", relu::from_onnx),
    ("Reshape", reshape::reshape_from_onnx),
    ("Resize", resize_onnx::from_onnx),
    ("Sigmoid", |node| unary::plain_from_onnx(node, Function::Sigmoid)),
    ("Slice", slice::from_onnx),
    ("Softmax", softmax::from_onnx),
    ("Split", slice::split_from_onnx),
    ("Squeeze", reshape::squeeze_from_onnx),
    ("Sub", |node| binary::from_onnx(node, BinaryOp::Sub)),
    ("Sum", binary::sum_from_onnx),
    ("Tanh", |node| unary::plain_from_onnx(node, Function::Tanh)),
    ("Transpose", transpose::from_onnx),
    ("Unsqueeze", reshape::unsqueeze_from_onnx),
    ("Upsample", resize_onnx::upsample_from_onnx),
];

/// What helps with operators that are not read.
const HINTS: &[(&[&str], &str)] = &[
    (&["LogSoftmax", "Hardmax"], "cut it off at the end of the network, or use Softmax: the order of the classes is the same"),
    (
        &["Shape", "Size", "Gather", "ConstantOfShape", "Range", "Expand", "Tile", "Where", "Equal", "Cast"],
        "where it computes a constant (a shape), fold it first: export with fixed sizes, or use onnx-simplifier",
    ),
    (&["ConvTranspose"], "use Resize and a Conv behind it: it learns the same and leaves no checkerboard"),
    (
        &["LSTM", "GRU", "RNN", "Scan", "Loop", "If"],
        "networks with state or control flow are not supported; run one step of it as a network of its own",
    ),
    (
        &[
            "Exp",
            "Log",
            "Sqrt",
            "Pow",
            "Erf",
            "Gelu",
            "Elu",
            "Selu",
            "Celu",
            "Softplus",
            "Softsign",
            "Mish",
            "ThresholdedRelu",
            "Abs",
            "Neg",
            "Reciprocal",
        ],
        "of functions of one element Relu, LeakyRelu, PRelu, Clip, Sigmoid, Tanh, HardSigmoid and HardSwish are \
         supported; train with one of them",
    ),
    (&["Max", "Min"], "with a constant use Clip or Relu"),
    (
        &["InstanceNormalization", "LayerNormalization", "GroupNormalization", "MeanVarianceNormalization", "LpNormalization"],
        "its statistics depend on the picture; train with BatchNormalization, whose statistics are constants",
    ),
    (
        &["ReduceMax", "ReduceSum", "ReduceMin", "ReduceL2"],
        "use GlobalMaxPool, or ReduceMean with a Mul behind it, over height and width",
    ),
    (&["MaxUnpool", "MaxRoiPool", "RoiAlign", "GridSample"], "use MaxPool, AveragePool or Resize"),
    (
        &["GatherND", "GatherElements", "ScatterND", "ScatterElements", "NonMaxSuppression", "TopK", "NonZero", "OneHot"],
        "cut the network off before it and do this part on the host or in your own code",
    ),
    (&["DepthToSpace", "SpaceToDepth"], "write it as Reshape, Transpose, Reshape"),
    (&["Attention", "MultiHeadAttention", "Einsum"], "products of two activations (attention) are not supported"),
    (
        &["ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"],
        "quantize the model statically: QLinearConv or QuantizeLinear",
    ),
    (&["Not", "And", "Or", "Greater", "Less"], "truth values are not supported; decide on the outputs in your own code"),
];

/// Reads one node of an ONNX file; see [`Read`].
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    if !node.in_onnx_domain() {
        node.refuse_operator("is not of ONNX's own operator set", "replace it by operators of ONNX");
        return None;
    }
    let name = node.op_type();
    if let Some((_, read)) = OPERATORS.iter().find(|(operator, _)| *operator == name) {
        return read(node);
    }
    node.refuse_operator("is not supported", hint(name));
    None
}

/// What helps with an operator that is not read.
fn hint(name: &str) -> String {
    match HINTS.iter().find(|(names, _)| names.contains(&name)) {
        Some((_, hint)) => (*hint).to_string(),
        None => format!("supported are {}", OPERATORS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operators() -> Vec<&'static str> {
        OPERATORS.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn every_name_stands_once_and_in_order() {
        assert!(operators().is_sorted_by(|a, b| a < b), "{:?}", operators());
        let mut hinted: Vec<&str> = HINTS.iter().flat_map(|(names, _)| *names).copied().collect();
        let count = hinted.len();
        hinted.sort_unstable();
        hinted.dedup();
        assert_eq!(hinted.len(), count);
    }

    #[test]
    fn nothing_is_read_and_refused_with_a_hint() {
        for (names, _) in HINTS {
            let read: Vec<_> = names.iter().filter(|name| operators().contains(name)).collect();
            assert!(read.is_empty(), "{read:?}");
        }
    }

    /// The first column of the table of operators.
    #[test]
    fn the_document_lists_what_is_read() {
        let document = include_str!("../../../docs/onnx.md");
        let rows = document.lines().skip_while(|line| !line.starts_with("| operator |")).skip(2);
        let cells = rows.map_while(|line| line.strip_prefix("| ")?.split(" | ").next());
        let mut listed: Vec<&str> = cells.flat_map(|cell| cell.split(", ")).collect();
        listed.sort_unstable();
        assert_eq!(listed, operators());
    }
}
