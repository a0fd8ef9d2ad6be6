//! The inputs of a model: their types and sizes, and those that the user gives a value.

use super::options::ImportOptions;
use super::reading::{DAMAGED, Reading, elements};
use super::scope::Slot;
use super::tensor::{Constant, type_name};
use crate::graph::{Elem, Tensor};
use crate::npy::{self, Array, Elements};
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::tensor_shape_proto::dimension;
use onnx_protobuf::type_proto;
use onnx_protobuf::{TensorShapeProto, ValueInfoProto};
use std::path::Path;

/// No tensor of the device has more dimensions.
const MAX_RANK: usize = 4;

/// Declares all inputs of the model.
pub(super) fn read(reading: &mut Reading, inputs: &[ValueInfoProto]) {
    let options = reading.options;
    for name in options.bind.keys().filter(|name| !inputs.iter().any(|i| i.name == **name)) {
        reading.refuse(name, "input", "", "is to be bound to a value, but there is no such input", "check its name");
    }
    for name in options.sizes.keys().filter(|name| !inputs.iter().any(|i| symbols(i).any(|s| s == name.as_str()))) {
        reading.refuse(name, "input", "", "is given a size, but no dimension of an input has this name", "check its name");
    }
    inputs.iter().for_each(|input| declare(reading, input));
}

/// The names of an input's dimensions.
fn symbols(input: &ValueInfoProto) -> impl Iterator<Item = &str> {
    let dims = tensor_type(input).and_then(|t| t.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
    dims.iter().filter_map(|dim| match &dim.value {
        Some(dimension::Value::DimParam(symbol)) => Some(symbol.as_str()),
        _ => None,
    })
}

fn tensor_type(input: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    match input.type_.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => Some(tensor),
        _ => None,
    }
}

fn declare(reading: &mut Reading, input: &ValueInfoProto) {
    let bound = reading.options.bind.get(&input.name);
    // Old files list every initializer among the inputs as well.
    if matches!(reading.scope.names.get(&input.name), Some(Slot::Initializer(_) | Slot::Spent)) {
        if bound.is_some() {
            reading.refuse(&input.name, "input", "", "has a value in the model already", "do not bind it");
        }
        return;
    }
    let slot = match bound {
        Some(file) => bind(reading, input, file).map(|constant| Slot::Constant(constant, None)),
        None => type_and_shape(reading, input)
            .map(|(elem, shape)| Slot::Value(reading.scope.graph.input_of(&input.name, &shape, elem))),
    };
    reading.define(&input.name, slot.unwrap_or(Slot::Refused), "input");
}

fn type_and_shape(reading: &mut Reading, input: &ValueInfoProto) -> Option<(Elem, Vec<usize>)> {
    let Some(tensor) = tensor_type(input) else {
        reading.refuse(&input.name, "input", "type", "is not a tensor", "only tensors of float32, uint8 or int8 are supported");
        return None;
    };
    let elem = match protobuf::Enum::from_i32(tensor.elem_type) {
        Some(DataType::FLOAT) => Some(Elem::F32),
        Some(DataType::UINT8) => Some(Elem::U8),
        Some(DataType::INT8) => Some(Elem::I8),
        other => {
            let reason = format!("its elements are {}", type_name(tensor.elem_type));
            let fixed = format!("give it a fixed value: --bind {}=FILE.npy", input.name);
            let hint = match other {
                Some(DataType::INT64 | DataType::INT32 | DataType::BOOL | DataType::DOUBLE) => fixed.as_str(),
                _ => "cut the model behind its conversion to float32",
            };
            reading.refuse(&input.name, "input", "type", reason, hint);
            None
        }
    };
    let shape = match tensor.shape.as_ref() {
        Some(shape) => fixed(reading, &input.name, shape),
        None => {
            reading.refuse(&input.name, "input", "shape", "is not given", "export the model with a fixed input size");
            None
        }
    };
    elem.zip(shape)
}

fn fixed(reading: &mut Reading, name: &str, shape: &TensorShapeProto) -> Option<Vec<usize>> {
    let mut sizes = vec![];
    let before = reading.problems.len();
    let ImportOptions { sizes: given, .. } = reading.options;
    for (axis, dim) in shape.dim.iter().enumerate() {
        let place = format!("dimension {axis}");
        match &dim.value {
            Some(dimension::Value::DimValue(n)) if *n > 0 => sizes.push(usize::try_from(*n).unwrap_or(usize::MAX)),
            Some(dimension::Value::DimValue(n)) => {
                reading.refuse(name, "input", &place, format!("{n} is no size"), DAMAGED);
            }
            Some(dimension::Value::DimParam(symbol)) => match given.get(symbol) {
                Some(0) => {
                    reading.refuse(name, "input", &place, format!("{symbol} is given the size 0"), "give it another size")
                }
                Some(&size) => sizes.push(size),
                None if axis == 0 => sizes.push(1),
                None if symbol.is_empty() => {
                    reading.refuse(name, "input", &place, "is not given", "export the model with a fixed input size")
                }
                None => {
                    let hint = format!("give it a size: --size {symbol}=N, or export the model with a fixed one");
                    reading.refuse(name, "input", &place, format!("{symbol} is symbolic"), &hint);
                }
            },
            None if axis == 0 => sizes.push(1),
            // Missing, or a kind of dimension that is newer than the parser.
            None | Some(_) => reading.refuse(name, "input", &place, "is not given", "export the model with a fixed input size"),
        }
    }
    if shape.dim.len() > MAX_RANK {
        let reason = format!("has {} dimensions", shape.dim.len());
        reading.refuse(name, "input", "shape", reason, "at most 4 are supported: [N, C, H, W]");
    } else if reading.problems.len() == before && elements(&sizes).is_none() {
        reading.refuse(name, "input", "shape", format!("{sizes:?} is absurdly large"), "the file may be damaged");
    }
    Some(sizes).filter(|_| reading.problems.len() == before)
}

/// The value of an input from a file, which must be of the type and the sizes that the model gives it.
fn bind(reading: &mut Reading, input: &ValueInfoProto, file: &Path) -> Option<Constant> {
    let Array { shape, elements } = match npy::read_array(file) {
        Ok(array) => array,
        Err(error) => {
            reading.refuse(&input.name, "input", "", error.to_string(), "numpy.save writes such a file");
            return None;
        }
    };
    let declared = tensor_type(input);
    let Some(constant) = declared.and_then(|t| constant(protobuf::Enum::from_i32(t.elem_type)?, shape.clone(), elements))
    else {
        let wanted = declared.map_or("of an unknown type".to_string(), |t| type_name(t.elem_type));
        let reason = format!("is {wanted}, {} holds another type", file.display());
        reading.refuse(
            &input.name,
            "input",
            "type",
            reason,
            "save the value with the input's type: numpy.save(path, x.astype(..))",
        );
        return None;
    };
    let given = &reading.options.sizes;
    if let Some(dims) = declared.and_then(|t| t.shape.as_ref()).map(|shape| &shape.dim) {
        let fits = |(dim, &size): (&onnx_protobuf::tensor_shape_proto::Dimension, &usize)| match &dim.value {
            Some(dimension::Value::DimValue(n)) => usize::try_from(*n) == Ok(size),
            Some(dimension::Value::DimParam(symbol)) => given.get(symbol).is_none_or(|&g| g == size),
            None | Some(_) => true,
        };
        if dims.len() != shape.len() || !dims.iter().zip(&shape).all(fits) {
            let reason = format!("{} holds an array of shape {shape:?}, which is not the input's", file.display());
            reading.refuse(&input.name, "input", "shape", reason, "save a value of the input's shape");
            return None;
        }
    }
    reading.holds(shape.iter().product::<usize>() as u64 * 8);
    Some(constant)
}

/// The elements as a constant, if they are of the type.
fn constant(kind: DataType, shape: Vec<usize>, elements: Elements) -> Option<Constant> {
    let codes = |elem, shape, data| Some(Constant::Codes { elem, shape, data });
    match (kind, elements) {
        (DataType::FLOAT | DataType::DOUBLE, Elements::F32(data)) => Some(Constant::Float(Tensor { shape, data })),
        (DataType::FLOAT | DataType::DOUBLE, Elements::F64(data)) => {
            Some(Constant::Float(Tensor { shape, data: data.into_iter().map(|v| v as f32).collect() }))
        }
        (DataType::INT64 | DataType::INT32, Elements::I64(data)) => Some(Constant::Int { shape, data }),
        (DataType::INT64 | DataType::INT32, Elements::I32(data)) => {
            Some(Constant::Int { shape, data: data.into_iter().map(i64::from).collect() })
        }
        (DataType::BOOL, Elements::Bool(data)) => {
            Some(Constant::Int { shape, data: data.into_iter().map(i64::from).collect() })
        }
        (DataType::UINT8, Elements::U8(data)) => codes(Elem::U8, shape, data.into_iter().map(i32::from).collect()),
        (DataType::INT8, Elements::I8(data)) => codes(Elem::I8, shape, data.into_iter().map(i32::from).collect()),
        _ => None,
    }
}
