//! Attributes of exported nodes.

use onnx_protobuf::AttributeProto;
use onnx_protobuf::attribute_proto::AttributeType;

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_string(), type_: kind.into(), ..Default::default() }
}

/// An integer.
pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::INT) }
}

/// A float.
pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::FLOAT) }
}

/// A list of integers.
pub(crate) fn ints(name: &str, values: &[u16]) -> AttributeProto {
    AttributeProto { ints: values.iter().map(|&v| v.into()).collect(), ..attribute(name, AttributeType::INTS) }
}
