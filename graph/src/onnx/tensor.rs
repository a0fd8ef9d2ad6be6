//! Tensors of an ONNX file.

use super::external::External;
use super::refusal::Refusal;
use crate::graph::{Codes, Elem, Tensor};
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
    /// Integers of 8 bits: numbers of an already quantized model whose scale is not known yet.
    Codes {
        /// [`Elem::U8`] or [`Elem::I8`].
        elem: Elem,
        /// Dimensions.
        shape: Vec<usize>,
        /// Elements.
        data: Vec<i32>,
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
            Constant::Codes { shape, .. } | Constant::Int { shape, .. } => shape,
        }
    }

    /// Number of elements.
    pub(crate) fn elements(&self) -> usize {
        self.shape().iter().product()
    }
}

/// How ONNX calls an element type.
pub(crate) fn type_name(data_type: i32) -> String {
    match protobuf::Enum::from_i32(data_type) {
        Some(DataType::UNDEFINED) | None => format!("of the unknown type {data_type}"),
        Some(known) => format!("{known:?}").to_lowercase(),
    }
}

/// The largest constant.
const MAX_ELEMENTS: usize = 1 << 30;
/// More dimensions than any constant has.
const MAX_RANK: usize = 32;

/// The number of elements of a constant, if its shape is within reason, each dimension on its own as well: products of some of
/// them cannot overflow then.
pub(crate) fn plausible(shape: &[usize]) -> Option<usize> {
    let bound = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
    bound.filter(|&n| n <= MAX_ELEMENTS && shape.len() <= MAX_RANK).map(|_| shape.iter().product())
}

/// The tensor, if it is float, double (which must hold f32 values), or of integers of a type that networks use, and complete.
pub(crate) fn decode(proto: &TensorProto, external: &External) -> Result<Constant, Refusal> {
    let (shape, elements) = shape(proto)?;
    let source = Source { proto, external, elements };
    match protobuf::Enum::from_i32(proto.data_type) {
        Some(DataType::FLOAT) => {
            let data = source.elements_of(&proto.float_data, Some, f32::from_le_bytes)?;
            Ok(Constant::Float(Tensor { shape, data }))
        }
        Some(DataType::DOUBLE) => {
            let data = source.elements_of(&proto.double_data, Some, f64::from_le_bytes)?;
            if data.iter().any(|&v| f64::from(v as f32).to_bits() != v.to_bits()) {
                return Err(Refusal::new("it holds double values that f32 cannot", "convert the model to float32"));
            }
            Ok(Constant::Float(Tensor { shape, data: data.iter().map(|&v| v as f32).collect() }))
        }
        Some(DataType::INT64) => {
            let data = source.elements_of(&proto.int64_data, Some, i64::from_le_bytes)?;
            Ok(Constant::Int { shape, data })
        }
        Some(DataType::INT32) => {
            let wide = |bytes| i64::from(i32::from_le_bytes(bytes));
            let data = source.elements_of(&proto.int32_data, |v| Some(i64::from(v)), wide)?;
            Ok(Constant::Int { shape, data })
        }
        Some(DataType::BOOL) => {
            let truth = |bytes| i64::from(u8::from_le_bytes(bytes) != 0);
            let data = source.elements_of(&proto.int32_data, |v| Some(i64::from(v != 0)), truth)?;
            Ok(Constant::Int { shape, data })
        }
        Some(DataType::UINT8) => {
            let typed = |v| u8::try_from(v).ok().map(i32::from);
            let data = source.elements_of(&proto.int32_data, typed, |bytes| i32::from(u8::from_le_bytes(bytes)))?;
            Ok(Constant::Codes { elem: Elem::U8, shape, data })
        }
        Some(DataType::INT8) => {
            let typed = |v| i8::try_from(v).ok().map(i32::from);
            let data = source.elements_of(&proto.int32_data, typed, |bytes| i32::from(i8::from_le_bytes(bytes)))?;
            Ok(Constant::Codes { elem: Elem::I8, shape, data })
        }
        _ => Err(Refusal::new(
            format!("its elements are {}", type_name(proto.data_type)),
            "supported are float32 (weights), int8 and uint8 (quantized weights), and int64 (shapes)",
        )),
    }
}

/// Dimensions and their product. A tensor may be empty: that is how models leave out an optional input.
fn shape(proto: &TensorProto) -> Result<(Vec<usize>, usize), Refusal> {
    if proto.segment.is_some() {
        return Err(Refusal::new("it is split into segments", "save the model again with a current version of onnx"));
    }
    let bad =
        || Refusal::new(format!("its dimensions {:?} are not valid", proto.dims), "the file may be damaged; export it again");
    let shape: Vec<usize> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<_>>().ok_or_else(bad)?;
    let elements = plausible(&shape).ok_or_else(bad)?;
    Ok((shape, elements))
}

/// Where the elements of a tensor come from.
struct Source<'a> {
    proto: &'a TensorProto,
    external: &'a External,
    elements: usize,
}

impl Source<'_> {
    /// The elements from another file, from the raw bytes or, where there are none, from the typed field. Only as much memory is
    /// taken as a file holds.
    fn elements_of<T: Copy, U, const SIZE: usize>(
        &self,
        typed: &[T],
        from_typed: fn(T) -> Option<U>,
        from_le: fn([u8; SIZE]) -> U,
    ) -> Result<Vec<U>, Refusal> {
        let (proto, elements) = (self.proto, self.elements);
        let damaged = |found: String| {
            let reason = format!("its dimensions {:?} need {elements} elements, the file holds {found}", proto.dims);
            Refusal::new(reason, "the file may be damaged; export it again")
        };
        let is_external = proto.data_location.enum_value() != Ok(DataLocation::DEFAULT) || !proto.external_data.is_empty();
        match (is_external, proto.raw_data.is_empty(), typed.is_empty()) {
            (true, true, true) => self.external.read(proto, elements, from_le),
            (false, true, _) if typed.len() == elements => {
                let all: Option<Vec<U>> = typed.iter().map(|&v| from_typed(v)).collect();
                all.ok_or_else(|| damaged("numbers that its type cannot".into()))
            }
            (false, true, _) => Err(damaged(typed.len().to_string())),
            (false, false, true) if elements.checked_mul(SIZE) == Some(proto.raw_data.len()) => {
                Ok(proto.raw_data.as_chunks::<SIZE>().0.iter().map(|&b| from_le(b)).collect())
            }
            (false, false, true) => Err(damaged(format!("{} bytes", proto.raw_data.len()))),
            (false, false, false) => Err(damaged("both raw and typed data".into())),
            (true, false, _) | (true, true, false) => Err(damaged("its data inside as well as outside".into())),
        }
    }
}
