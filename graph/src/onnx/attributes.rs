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

/// An integer that counts something.
pub(crate) fn size(name: &str, value: usize) -> AttributeProto {
    int(name, value as i64)
}

/// A switch.
pub(crate) fn flag(name: &str, value: bool) -> AttributeProto {
    int(name, value.into())
}

/// A float.
pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::FLOAT) }
}

/// A list of integers.
pub(crate) fn ints(name: &str, values: &[u16]) -> AttributeProto {
    AttributeProto { ints: values.iter().map(|&v| v.into()).collect(), ..attribute(name, AttributeType::INTS) }
}

/// A list of integers that count something.
pub(crate) fn sizes(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto { ints: values.iter().map(|&v| v as i64).collect(), ..attribute(name, AttributeType::INTS) }
}

/// A text.
pub(crate) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.into(), ..attribute(name, AttributeType::STRING) }
}
