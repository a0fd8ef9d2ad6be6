//! What an operator looks like in an exported file.

use super::proto::{self, Values};
use crate::graph::{Elem, Tensor};
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
    /// Codes: zero points.
    Codes {
        /// [`Elem::U8`] or [`Elem::I8`].
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
        let dims = |shape: &[usize]| shape.iter().map(|&d| d as i64).collect::<Vec<_>>();
        match self {
            Extra::Missing => None,
            Extra::Floats(tensor) => Some(proto::tensor(name, &dims(&tensor.shape), Values::Floats(&tensor.data))),
            Extra::Integers(data) => Some(proto::tensor(name, &[data.len() as i64], Values::Integers(data))),
            Extra::Codes { elem, shape, data } => {
                // The low byte is the code, signed or not.
                let codes: Vec<u8> = data.iter().map(|&v| v.to_le_bytes()[0]).collect();
                let signed: Vec<i8> = codes.iter().map(|&v| v as i8).collect();
                let values = if *elem == Elem::U8 { Values::Unsigned(&codes) } else { Values::Signed(&signed) };
                Some(proto::tensor(name, &dims(shape), values))
            }
        }
    }
}
