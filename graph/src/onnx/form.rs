//! What an operator looks like in an exported file.

use super::tensor;
use crate::graph::{Elem, Tensor};
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::{AttributeProto, TensorProto};

/// An operator's form in ONNX.
pub(crate) struct Form {
    /// Its attributes.
    pub(crate) attributes: Vec<AttributeProto>,
    /// Attributes that ONNX wants as further inputs, by the names they get behind the node's.
    pub(crate) constants: Vec<(&'static str, Extra)>,
    /// The operator, where it is not the one that the graph's is called after.
    pub(crate) op_type: Option<&'static str>,
    /// Whether the operator is for `[N, F]` and the value is not that: it is made such rows, and what comes out is shaped back.
    pub(crate) over_rows: bool,
}

impl Form {
    /// A form with attributes only.
    pub(crate) fn new(attributes: Vec<AttributeProto>) -> Self {
        Form { attributes, constants: vec![], op_type: None, over_rows: false }
    }

    /// Another operator, without attributes, that does the same here.
    pub(crate) fn instead(op_type: &'static str) -> Self {
        Form { op_type: Some(op_type), ..Form::new(vec![]) }
    }

    /// The same over rows of features.
    pub(crate) fn over_rows(self) -> Self {
        Form { over_rows: true, ..self }
    }

    /// The same with a further input.
    pub(crate) fn with(mut self, name: &'static str, extra: Extra) -> Self {
        self.constants.push((name, extra));
        self
    }
}

/// A further input.
pub(crate) enum Extra {
    /// Left out, with others behind it.
    Missing,
    /// Real numbers.
    Floats(Tensor),
    /// A vector of int64: shapes, axes, pads.
    Integers(Vec<i64>),
    /// Integers of the type of an element: zero points.
    Codes {
        /// Their type.
        elem: Elem,
        /// Dimensions.
        shape: Vec<usize>,
        /// `shape.product()` elements.
        data: Vec<i32>,
    },
}

impl Extra {
    /// One real number.
    pub(crate) fn scalar(value: f32) -> Self {
        Extra::Floats(Tensor { shape: vec![], data: vec![value] })
    }

    /// A vector of sizes or indices.
    pub(crate) fn sizes(values: &[usize]) -> Self {
        Extra::Integers(values.iter().map(|&v| v as i64).collect())
    }

    /// The initializer `name`, if there is one.
    pub(crate) fn encode(&self, name: &str) -> Option<TensorProto> {
        let proto = |kind: DataType, shape: &[usize], raw_data: Vec<u8>| TensorProto {
            name: name.to_string(),
            dims: shape.iter().map(|&d| d as i64).collect(),
            data_type: kind as i32,
            raw_data,
            ..Default::default()
        };
        match self {
            Extra::Missing => None,
            Extra::Floats(tensor) => Some(tensor::encode(name, tensor)),
            Extra::Integers(data) => {
                let bytes = data.iter().flat_map(|v| v.to_le_bytes()).collect();
                Some(proto(DataType::INT64, &[data.len()], bytes))
            }
            Extra::Codes { elem, shape, data } => {
                // The low byte is the code, signed or not.
                let bytes = data.iter().map(|&v| v.to_le_bytes()[0]).collect();
                Some(proto(data_type(*elem), shape, bytes))
            }
        }
    }
}

/// ONNX's number for an element type.
pub(crate) fn data_type(elem: Elem) -> DataType {
    match elem {
        Elem::F32 => DataType::FLOAT,
        Elem::U8 => DataType::UINT8,
        Elem::I8 => DataType::INT8,
        Elem::I64 => DataType::INT64,
    }
}
