//! Operators on quantized numbers (`QLinearConv` and its like, of ONNX and of onnxruntime's `com.microsoft`) as what they mean:
//! the operator on real numbers between `DequantizeLinear` and `QuantizeLinear`.
//!
//! Their definitions: <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md>.

use super::attributes::{float, int};
use super::names::{Names, Problem};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{AttributeProto, NodeProto};

const DAMAGED: &str = "the file may be damaged; export it again";

/// A node and the operator set it is written for, where it brings its own.
type Part = (NodeProto, Option<i64>);

/// The nodes that `node` stands for; `None` where it stands for itself.
pub(super) fn expand(node: &NodeProto, names: &mut Names) -> Option<Result<Vec<Part>, Problem>> {
    let onnx = matches!(node.domain.as_str(), "" | "ai.onnx");
    if !onnx && node.domain != "com.microsoft" {
        return None;
    }
    let mut parts = Parts::new(node, names);
    let done = match node.op_type.as_str() {
        "QLinearConv" => parts.convolution(),
        "QLinearMatMul" => parts.matmul(),
        "QuantizeLinear" | "DequantizeLinear" if !onnx => {
            parts.made.push((NodeProto { domain: String::new(), ..node.clone() }, None));
            Ok(())
        }
        "QGemm" if !onnx => parts.gemm(),
        "QLinearAdd" | "QLinearMul" if !onnx => parts.of_two(),
        "QLinearConcat" if !onnx => parts.concat(),
        "QLinearAveragePool" | "QLinearGlobalAveragePool" if !onnx => parts.channels_first().and_then(|()| parts.of_one(None)),
        "QLinearLeakyRelu" | "QLinearSigmoid" if !onnx => parts.of_one(None),
        "QLinearSoftmax" if !onnx => parts.softmax(),
        "DynamicQuantizeLinear" | "ConvInteger" | "MatMulInteger" | "DynamicQuantizeMatMul" | "MatMulIntegerToFloat" => {
            let hint = "quantize the model statically: onnxruntime.quantization.quantize_static";
            Err(Problem("", "computes its scales while it runs (dynamic quantization)".into(), hint))
        }
        _ => return None,
    };
    Some(done.map(|()| parts.made))
}

struct Parts<'a> {
    node: &'a NodeProto,
    /// The attributes that the operator on real numbers gets.
    attributes: Vec<AttributeProto>,
    /// Name of the node, or of its output.
    name: String,
    names: &'a mut Names,
    made: Vec<Part>,
}

impl<'a> Parts<'a> {
    fn new(node: &'a NodeProto, names: &'a mut Names) -> Self {
        let name = [&node.name].into_iter().chain(&node.output).find(|n| !n.is_empty()).cloned().unwrap_or_default();
        Parts { node, attributes: node.attribute.clone(), name, names, made: vec![] }
    }

    /// Name of input `index`, empty where it is left out.
    fn optional(&self, index: usize) -> String {
        self.node.input.get(index).cloned().unwrap_or_default()
    }

    fn needed(&self, index: usize, role: &'static str) -> Result<String, Problem> {
        Some(self.optional(index)).filter(|name| !name.is_empty()).ok_or_else(|| Problem(role, "is missing".into(), DAMAGED))
    }

    fn inputs_at_most(&self, most: usize) -> Result<(), Problem> {
        match self.node.input.len() {
            given if given > most => Err(Problem("", format!("has {given} inputs, at most {most} are known"), DAMAGED)),
            _ => Ok(()),
        }
    }

    /// Takes an attribute away from those that are passed on.
    fn take(&mut self, name: &str, kind: AttributeType) -> Option<AttributeProto> {
        let at = self.attributes.iter().position(|a| a.name == name && a.type_.enum_value() == Ok(kind))?;
        Some(self.attributes.remove(at))
    }

    /// Adds a node called `NAME/role` and returns its output.
    fn add(&mut self, op: &str, inputs: Vec<String>, attributes: Vec<AttributeProto>, role: &str) -> String {
        let output = self.names.fresh(format!("{}/{role}", self.name));
        let (name, result) = (format!("{}/{role}", self.name), vec![output.clone()]);
        self.push(NodeProto {
            name,
            op_type: op.into(),
            input: inputs,
            output: result,
            attribute: attributes,
            ..Default::default()
        });
        output
    }

    fn push(&mut self, node: NodeProto) {
        self.made.push((node, None));
    }

    /// The operator on real numbers, under the node's own name.
    fn real(&mut self, op: &str, inputs: Vec<String>, opset: Option<i64>) -> String {
        let output = self.names.fresh(format!("{}/real", self.name));
        let (attribute, result) = (std::mem::take(&mut self.attributes), vec![output.clone()]);
        let name = self.name.clone();
        let node = NodeProto { name, op_type: op.into(), input: inputs, output: result, attribute, ..Default::default() };
        self.made.push((node, opset));
        output
    }

    fn dequantize(&mut self, x: String, scale: String, zero_point: String, axis: i64, role: &str) -> String {
        self.add("DequantizeLinear", vec![x, scale, zero_point], vec![int("axis", axis)], role)
    }

    /// Inputs `first` to `first + 2` as real numbers.
    fn triple(&mut self, first: usize, role: &'static str) -> Result<String, Problem> {
        let (x, scale) = (self.needed(first, role)?, self.needed(first + 1, "scale")?);
        let zero_point = self.optional(first + 2);
        // No input of these operators but a weight has more than one scale; the axis is then never looked at.
        Ok(self.dequantize(x, scale, zero_point, 0, role))
    }

    /// The node's output from real numbers; inputs `first` and `first + 1` are its scale and zero point.
    fn quantize(&mut self, real: String, first: usize) -> Result<(), Problem> {
        let scale = self.needed(first, "y_scale")?;
        if self.optional(first + 1).is_empty() {
            let hint = "give the output a zero point: it says whether the output is int8 or uint8";
            return Err(Problem("y_zero_point", "is missing".into(), hint));
        }
        let input = vec![real, scale, self.optional(first + 1)];
        let (name, output) = (format!("{}/quantize", self.name), self.node.output.clone());
        self.push(NodeProto { name, op_type: "QuantizeLinear".into(), input, output, ..Default::default() });
        Ok(())
    }

    /// The bias in int32, whose scale is the product of the input's and the weight's.
    fn bias(&mut self, bias: String, x_scale: String, weight_scale: String) -> String {
        let scale = self.add("Mul", vec![x_scale, weight_scale], vec![], "bias_scale");
        self.dequantize(bias, scale, String::new(), 0, "bias")
    }

    fn convolution(&mut self) -> Result<(), Problem> {
        self.inputs_at_most(9)?;
        let x = self.triple(0, "x")?;
        let (x_scale, weight_scale) = (self.needed(1, "x_scale")?, self.needed(4, "w_scale")?);
        let weight = self.triple(3, "w")?;
        let mut inputs = vec![x, weight];
        let bias = self.optional(8);
        if !bias.is_empty() {
            inputs.push(self.bias(bias, x_scale, weight_scale));
        }
        let y = self.real("Conv", inputs, None);
        self.quantize(y, 6)
    }

    fn matmul(&mut self) -> Result<(), Problem> {
        self.inputs_at_most(8)?;
        let a = self.triple(0, "a")?;
        let (b, scale) = (self.needed(3, "b")?, self.needed(4, "b_scale")?);
        // Several scales of b are those of its columns.
        let zero_point = self.optional(5);
        let b = self.dequantize(b, scale, zero_point, -1, "b");
        let y = self.real("MatMul", vec![a, b], None);
        self.quantize(y, 6)
    }

    fn gemm(&mut self) -> Result<(), Problem> {
        self.inputs_at_most(9)?;
        let a = self.triple(0, "A")?;
        let a_scale = self.needed(1, "a_scale")?;
        let mut b_scale = self.needed(4, "b_scale")?;
        if let Some(alpha) = self.take("alpha", AttributeType::FLOAT).map(|a| a.f).filter(|&alpha| alpha != 1.0) {
            let alpha = self.add("Constant", vec![], vec![float("value_float", alpha)], "alpha");
            b_scale = self.add("Mul", vec![b_scale, alpha], vec![], "b_scale");
        }
        let (b, zero_point) = (self.needed(3, "B")?, self.optional(5));
        let transposed = self.attributes.iter().any(|a| a.name == "transB" && a.i == 1);
        let b = self.dequantize(b, b_scale.clone(), zero_point, i64::from(!transposed), "B");
        let mut inputs = vec![a, b];
        let bias = self.optional(6);
        if !bias.is_empty() {
            inputs.push(self.bias(bias, a_scale, b_scale));
        }
        if self.optional(7).is_empty() {
            let output = self.node.output.clone();
            self.real("Gemm", inputs, None);
            // Without a scale the output stays real.
            self.made.iter_mut().rev().take(1).for_each(|(node, _)| node.output.clone_from(&output));
            return Ok(());
        }
        let y = self.real("Gemm", inputs, None);
        self.quantize(y, 7)
    }

    /// The operator on real numbers that this one is called after.
    fn name_on_reals(&self) -> &'a str {
        self.node.op_type.trim_start_matches("QLinear")
    }

    fn of_two(&mut self) -> Result<(), Problem> {
        self.inputs_at_most(8)?;
        let inputs = vec![self.triple(0, "A")?, self.triple(3, "B")?];
        let y = self.real(self.name_on_reals(), inputs, None);
        self.quantize(y, 6)
    }

    fn of_one(&mut self, opset: Option<i64>) -> Result<(), Problem> {
        self.inputs_at_most(5)?;
        let x = self.triple(0, "X")?;
        let y = self.real(self.name_on_reals(), vec![x], opset);
        self.quantize(y, 3)
    }

    /// What it means depends on the operator set, so it says which one it is written for.
    fn softmax(&mut self) -> Result<(), Problem> {
        let opset = self.take("opset", AttributeType::INT).map(|a| a.i);
        self.of_one(opset)
    }

    fn concat(&mut self) -> Result<(), Problem> {
        let given = self.node.input.len();
        if given < 5 || given % 3 != 2 {
            return Err(Problem(
                "",
                format!("has {given} inputs, not an output's scale and zero point and three for each input"),
                DAMAGED,
            ));
        }
        let inputs = (2..given).step_by(3).map(|first| self.triple(first, "X")).collect::<Result<_, _>>()?;
        let y = self.real("Concat", inputs, None);
        self.quantize(y, 0)
    }

    /// Takes the attribute away that says how images lie in memory.
    fn channels_first(&mut self) -> Result<(), Problem> {
        match self.take("channels_last", AttributeType::INT).map_or(0, |a| a.i) {
            0 => Ok(()),
            other => {
                Err(Problem("channels_last", format!("{other} is not supported"), "quantize the model in channels-first order"))
            }
        }
    }
}
