//! Tensors of an ONNX file.

use crate::graph::{Codes, Tensor};
use onnx_protobuf::TensorProto;
use onnx_protobuf::tensor_proto::{DataLocation, DataType};

/// A tensor whose value is known when the model is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    /// Floats; parameters.
    Float(Tensor),
    /// Real numbers that the model holds as integers.
    Quantized {
        /// The real numbers.
        tensor: Tensor,
        /// The integers.
        codes: Codes,
    },
    /// Integers and truth values; shapes and switches.
    Int {
        /// Dimensions.
        shape: Vec<usize>,
        /// Elements.
        data: Vec<i64>,
    },
}

impl Constant {
    /// Dimensions.
    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Constant::Float(tensor) | Constant::Quantized { tensor, .. } => &tensor.shape,
            Constant::Int { shape, .. } => shape,
        }
    }
}

/// Why a tensor is refused, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) hint: String,
}

impl Refusal {
    fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { reason: reason.into(), hint: hint.into() }
    }
}

/// The f32 initializer `name`.
pub(crate) fn encode(name: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        name: name.to_string(),
        dims: tensor.shape.iter().map(|&d| d as i64).collect(),
        data_type: DataType::FLOAT as i32,
        raw_data: tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    }
}

/// How ONNX calls an element type.
pub(crate) fn type_name(data_type: i32) -> String {
    match protobuf::Enum::from_i32(data_type) {
        Some(DataType::UNDEFINED) | None => format!("of the unknown type {data_type}"),
        Some(known) => format!("{known:?}").to_lowercase(),
    }
}

/// The tensor, if it is float, double (which must hold f32 values), int32, int64 or bool, complete, and inside the file.
pub(crate) fn decode(proto: &TensorProto) -> Result<Constant, Refusal> {
    let (shape, elements) = shape(proto)?;
    match protobuf::Enum::from_i32(proto.data_type) {
        Some(DataType::FLOAT) => {
            let data = elements_of(proto, elements, &proto.float_data, f32::from_le_bytes)?;
            Ok(Constant::Float(Tensor { shape, data }))
        }
        Some(DataType::DOUBLE) => {
            let data = elements_of(proto, elements, &proto.double_data, f64::from_le_bytes)?;
            if data.iter().any(|&v| f64::from(v as f32).to_bits() != v.to_bits()) {
                return Err(Refusal::new("it holds double values that f32 cannot", "convert the model to float32"));
            }
            Ok(Constant::Float(Tensor { shape, data: data.iter().map(|&v| v as f32).collect() }))
        }
        Some(DataType::INT64) => {
            let data = elements_of(proto, elements, &proto.int64_data, i64::from_le_bytes)?;
            Ok(Constant::Int { shape, data })
        }
        Some(DataType::INT32) => {
            let data = elements_of(proto, elements, &proto.int32_data, i32::from_le_bytes)?;
            Ok(Constant::Int { shape, data: data.into_iter().map(i64::from).collect() })
        }
        Some(DataType::BOOL) => {
            let typed: Vec<u8> = proto.int32_data.iter().map(|&v| u8::from(v != 0)).collect();
            let data = elements_of(proto, elements, &typed, u8::from_le_bytes)?;
            Ok(Constant::Int { shape, data: data.into_iter().map(|v| i64::from(v != 0)).collect() })
        }
        _ => Err(Refusal::new(
            format!("its elements are {}", type_name(proto.data_type)),
            "convert the model to float32 (weights) and int64 (shapes)",
        )),
    }
}

/// Dimensions and their product.
fn shape(proto: &TensorProto) -> Result<(Vec<usize>, usize), Refusal> {
    if proto.data_location.enum_value() != Ok(DataLocation::DEFAULT) || !proto.external_data.is_empty() {
        return Err(Refusal::new(
            "its data lies outside the file (external data)",
            "save the model as one file: onnx.save(onnx.load(path), path, save_as_external_data=False)",
        ));
    }
    if proto.segment.is_some() {
        return Err(Refusal::new("it is split into segments", "save the model again with a current version of onnx"));
    }
    let bad =
        || Refusal::new(format!("its dimensions {:?} are not valid", proto.dims), "the file may be damaged; export it again");
    let positive = |&d: &i64| usize::try_from(d).ok().filter(|&d| d > 0);
    let shape: Vec<usize> = proto.dims.iter().map(positive).collect::<Option<_>>().ok_or_else(bad)?;
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(bad)?;
    Ok((shape, elements))
}

/// The elements from the raw bytes or, where there are none, from the typed field. Only as much memory is taken as the file holds.
fn elements_of<T: Copy, const SIZE: usize>(
    proto: &TensorProto,
    elements: usize,
    typed: &[T],
    from_le: fn([u8; SIZE]) -> T,
) -> Result<Vec<T>, Refusal> {
    let damaged = |found: String| {
        let reason = format!("its dimensions {:?} need {elements} elements, the file holds {found}", proto.dims);
        Refusal::new(reason, "the file may be damaged; export it again")
    };
    if proto.raw_data.is_empty() {
        if typed.len() != elements {
            return Err(damaged(typed.len().to_string()));
        }
        return Ok(typed.to_vec());
    }
    if !typed.is_empty() {
        return Err(damaged("both raw and typed data".into()));
    }
    if elements.checked_mul(SIZE) != Some(proto.raw_data.len()) {
        return Err(damaged(format!("{} bytes", proto.raw_data.len())));
    }
    Ok(proto.raw_data.as_chunks::<SIZE>().0.iter().map(|&b| from_le(b)).collect())
}
