//! Attributes of exported nodes.

use onnx_protobuf::AttributeProto;
use onnx_protobuf::attribute_proto::AttributeType;
use staticnet::op::Window;

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_string(), type_: kind.into(), ..Default::default() }
}

/// An integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::INT) }
}

/// An integer that counts something.
pub fn size(name: &str, value: usize) -> AttributeProto {
    int(name, value as i64)
}

/// A switch.
pub fn flag(name: &str, value: bool) -> AttributeProto {
    int(name, value.into())
}

/// A float.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::FLOAT) }
}

/// A list of integers.
pub fn ints<T: Copy + Into<i64>>(name: &str, values: &[T]) -> AttributeProto {
    AttributeProto { ints: values.iter().map(|&v| v.into()).collect(), ..attribute(name, AttributeType::INTS) }
}

/// A list of integers that count something.
pub fn sizes(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto { ints: values.iter().map(|&v| v as i64).collect(), ..attribute(name, AttributeType::INTS) }
}

/// A text.
pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.into(), ..attribute(name, AttributeType::STRING) }
}

/// The attributes of a window; dilations only where there are any, since the oldest operator sets do not know them.
pub fn window(window: &Window) -> Vec<AttributeProto> {
    let mut attributes =
        vec![ints("kernel_shape", &window.kernel), ints("strides", &window.stride), ints("pads", &window.pads)];
    if window.dilation != [1, 1] {
        attributes.push(ints("dilations", &window.dilation));
    }
    attributes
}
