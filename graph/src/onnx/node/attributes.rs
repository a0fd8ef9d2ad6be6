//! The attributes of a node. Each is marked as asked for.

use super::{DAMAGED, NodeReader};
use crate::graph::Tensor;
use crate::onnx::refusal::Refusal;
use crate::onnx::tensor::{Constant, decode};
use onnx_protobuf::AttributeProto;
use onnx_protobuf::attribute_proto::AttributeType;

impl<'s> NodeReader<'s> {
    /// Whether the attribute is given.
    pub(crate) fn has_attribute(&self, name: &str) -> bool {
        self.proto.attribute.iter().any(|a| a.name == name)
    }

    fn attribute(&mut self, name: &'static str, kind: AttributeType) -> Option<&'s AttributeProto> {
        self.asked.push(name);
        let attribute = self.proto.attribute.iter().find(|a| a.name == name)?;
        if attribute.type_.enum_value() != Ok(kind) || !attribute.ref_attr_name.is_empty() {
            self.refuse(name, format!("is not of the type {kind:?}"), DAMAGED);
            return None;
        }
        Some(attribute)
    }

    /// An integer.
    pub(crate) fn int(&mut self, name: &'static str) -> Option<i64> {
        self.attribute(name, AttributeType::INT).map(|a| a.i)
    }

    /// An integer that is 0 (as where it is missing) or 1.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        let value = self.int(name).unwrap_or(0);
        if value != 0 && value != 1 {
            self.refuse(name, format!("{value} is neither 0 nor 1"), DAMAGED);
        }
        value == 1
    }

    /// An integer from 1 to 65535, `default` where it is missing.
    pub(crate) fn in_u16(&mut self, name: &'static str, default: i64) -> Option<u16> {
        let value = self.int(name).unwrap_or(default);
        let size = u16::try_from(value).ok().filter(|&v| v > 0);
        if size.is_none() {
            self.refuse(name, format!("{value} is not from 1 to 65535"), "only this range is supported");
        }
        size
    }

    /// Integers.
    pub(crate) fn ints(&mut self, name: &'static str) -> Option<&'s [i64]> {
        self.attribute(name, AttributeType::INTS).map(|a| a.ints.as_slice())
    }

    /// A float.
    pub(crate) fn float(&mut self, name: &'static str) -> Option<f32> {
        self.attribute(name, AttributeType::FLOAT).map(|a| a.f)
    }

    /// Floats.
    pub(crate) fn floats_attribute(&mut self, name: &'static str) -> Option<&'s [f32]> {
        self.attribute(name, AttributeType::FLOATS).map(|a| a.floats.as_slice())
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<&'s str> {
        let bytes = &self.attribute(name, AttributeType::STRING)?.s;
        let text = std::str::from_utf8(bytes).ok();
        if text.is_none() {
            self.refuse(name, "is not a text", DAMAGED);
        }
        text
    }

    /// A tensor.
    pub(crate) fn tensor(&mut self, name: &'static str) -> Option<Constant> {
        match self.attribute(name, AttributeType::TENSOR)?.t.as_ref().map(|t| decode(t, &self.scope.external)) {
            Some(Ok(constant)) => return Some(constant),
            Some(Err(Refusal { reason, hint })) => self.refuse(name, reason, hint),
            None => self.refuse(name, "is missing", DAMAGED),
        }
        None
    }

    /// The value of a `Constant` node.
    pub(crate) fn constant_attribute(&mut self) -> Option<Constant> {
        let vector = |n: usize| vec![n];
        let float = |shape, data| Constant::Float(Tensor { shape, data });
        if self.proto.attribute.len() != 1 {
            self.asked.extend(["value", "value_float", "value_floats", "value_int", "value_ints"]);
            self.refuse("", format!("has {} attributes, one is needed", self.proto.attribute.len()), DAMAGED);
            return None;
        }
        match self.proto.attribute[0].name.as_str() {
            "value" => self.tensor("value"),
            "value_float" => self.float("value_float").map(|v| float(vec![], vec![v])),
            "value_floats" => {
                let floats = &self.attribute("value_floats", AttributeType::FLOATS)?.floats;
                Some(float(vector(floats.len()), floats.clone()))
            }
            "value_int" => self.int("value_int").map(|v| Constant::Int { shape: vec![], data: vec![v] }),
            "value_ints" => self.ints("value_ints").map(|v| Constant::Int { shape: vector(v.len()), data: v.to_vec() }),
            _ => None,
        }
    }
}
