//! What is said about operators that are not supported.

/// The operators that are read, for messages.
pub(crate) const SUPPORTED: &str = "Add, ArgMax, AveragePool, BatchNormalization, Clip, Concat, Constant, Conv, Dropout, Flatten, \
     Gemm, GlobalAveragePool, GlobalMaxPool, HardSigmoid, HardSwish, Identity, LRN, LeakyRelu, MatMul, MaxPool, Mul, PRelu, Pad, \
     ReduceMean, Relu, Reshape, Resize, Sigmoid, Slice, Softmax, Split, Squeeze, Sub, Sum, Tanh, Transpose, Unsqueeze, Upsample";

/// What helps with an operator that is not supported.
pub(crate) fn hint_for(op: &str) -> String {
    let hint = match op {
        "LogSoftmax" | "Hardmax" => {
            "cut it off at the end of the network, or use Softmax: the order of the classes is the same"
        }
        "Shape" | "Size" | "Gather" | "ConstantOfShape" | "Range" | "Expand" | "Tile" | "Where" | "Equal" | "Cast" => {
            "where it computes a constant (a shape), fold it first: export with fixed sizes, or use onnx-simplifier"
        }
        "ConvTranspose" => "use Resize and a Conv behind it: it learns the same and leaves no checkerboard",
        "LSTM" | "GRU" | "RNN" | "Scan" | "Loop" | "If" => {
            "networks with state or control flow are not supported; run one step of it as a network of its own"
        }
        "Exp" | "Log" | "Sqrt" | "Pow" | "Erf" | "Gelu" | "Elu" | "Selu" | "Celu" | "Softplus" | "Softsign" | "Mish"
        | "ThresholdedRelu" | "Abs" | "Neg" | "Reciprocal" => {
            "of functions of one element Relu, LeakyRelu, PRelu, Clip, Sigmoid, Tanh, HardSigmoid and HardSwish are supported; train \
             with one of them"
        }
        "Max" | "Min" => "with a constant use Clip or Relu",
        "InstanceNormalization"
        | "LayerNormalization"
        | "GroupNormalization"
        | "MeanVarianceNormalization"
        | "LpNormalization" => {
            "its statistics depend on the picture; train with BatchNormalization, whose statistics are constants"
        }
        "ReduceMax" | "ReduceSum" | "ReduceMin" | "ReduceL2" => {
            "use GlobalMaxPool, or ReduceMean with a Mul behind it, over height and width"
        }
        "LpPool" | "GlobalLpPool" | "MaxUnpool" | "MaxRoiPool" | "RoiAlign" | "GridSample" => {
            "use MaxPool, AveragePool or Resize"
        }
        "GatherND" | "GatherElements" | "ScatterND" | "ScatterElements" | "NonMaxSuppression" | "TopK" | "NonZero"
        | "OneHot" => "cut the network off before it and do this part on the host or in your own code",
        "DepthToSpace" | "SpaceToDepth" => "write it as Reshape, Transpose, Reshape",
        "Attention" | "MultiHeadAttention" | "Einsum" => "products of two activations (attention) are not supported",
        "ConvInteger" | "MatMulInteger" | "DynamicQuantizeLinear" => {
            "quantize the model statically: QLinearConv or QuantizeLinear"
        }
        "Not" | "And" | "Or" | "Greater" | "Less" => "truth values are not supported; decide on the outputs in your own code",
        _ => return format!("supported are {SUPPORTED}"),
    };
    hint.into()
}
