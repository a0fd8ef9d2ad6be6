//! NumPy's `.npy` files: one array each.
//!
//! Written by hand: the header is one line of text, and the crates that read it bring an array type of their own, which everything here
//! would be copied into and out of.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use crate::file::{self, FileError};
use crate::graph::{Elem, Tensor};
use std::fmt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The data begins at a multiple of this.
const ALIGNMENT: usize = 64;
/// No array of the tools is larger.
const MAX_BYTES: u64 = 1 << 34;

/// Why an array cannot be read or written.
#[derive(Debug)]
pub enum NpyError {
    /// The file cannot be read or written.
    File(FileError),
    /// The file is not an array that is supported.
    Format {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for NpyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NpyError::File(error) => write!(f, "{error}"),
            NpyError::Format { file, reason } => write!(f, "{}: {reason}", file.display()),
        }
    }
}

impl std::error::Error for NpyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NpyError::File(error) => Some(error),
            NpyError::Format { .. } => None,
        }
    }
}

/// Reads an array of f32, f64, u8, i8, i32, i64 or bool, little-endian in C order, as f32 (rounding to nearest).
///
/// # Errors
/// [`NpyError`] naming the file.
pub fn read(path: &Path) -> Result<Tensor, NpyError> {
    let bytes = file::read_at_most(path, MAX_BYTES).map_err(NpyError::File)?;
    from_bytes(&bytes).map_err(|reason| NpyError::Format { file: path.to_path_buf(), reason })
}

/// An array with its own type of elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Elements in row-major order.
    pub elements: Elements,
}

/// Elements as a file holds them.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// binary32.
    F32(Vec<f32>),
    /// binary64.
    F64(Vec<f64>),
    /// Signed, 64 bits.
    I64(Vec<i64>),
    /// Signed, 32 bits.
    I32(Vec<i32>),
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// Truth values.
    Bool(Vec<bool>),
}

impl Elements {
    /// The numbers as f32, rounded to nearest.
    fn into_f32(self) -> Vec<f32> {
        match self {
            Elements::F32(data) => data,
            Elements::F64(data) => data.into_iter().map(|v| v as f32).collect(),
            Elements::I64(data) => data.into_iter().map(|v| v as f32).collect(),
            Elements::I32(data) => data.into_iter().map(|v| v as f32).collect(),
            Elements::U8(data) => data.into_iter().map(f32::from).collect(),
            Elements::I8(data) => data.into_iter().map(f32::from).collect(),
            Elements::Bool(data) => data.into_iter().map(|v| f32::from(u8::from(v))).collect(),
        }
    }
}

/// Reads an array of f32, f64, u8, i8, i32, i64 or bool, little-endian in C order.
///
/// # Errors
/// [`NpyError`] naming the file.
pub fn read_array(path: &Path) -> Result<Array, NpyError> {
    let bytes = file::read_at_most(path, MAX_BYTES).map_err(NpyError::File)?;
    array_from_bytes(&bytes).map_err(|reason| NpyError::Format { file: path.to_path_buf(), reason })
}

/// Writes an array as f32.
///
/// # Errors
/// [`NpyError`] naming the file, which is then left as it was.
pub fn write(path: &Path, tensor: &Tensor) -> Result<(), NpyError> {
    write_as(path, tensor, Elem::F32)
}

/// Writes an array of whole numbers as integers of a type, or as f32.
///
/// # Errors
/// [`NpyError`] naming the file, which is then left as it was.
pub fn write_as(path: &Path, tensor: &Tensor, elem: Elem) -> Result<(), NpyError> {
    if tensor.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(tensor.data.len()) {
        let reason = format!("{} elements cannot be written as {:?}", tensor.data.len(), tensor.shape);
        return Err(NpyError::Format { file: path.to_path_buf(), reason });
    }
    file::write_atomically(path, &to_bytes(tensor, elem)).map_err(NpyError::File)
}

fn to_bytes(tensor: &Tensor, elem: Elem) -> Vec<u8> {
    let descr = match elem {
        Elem::F32 => "<f4",
        Elem::U8 => "|u1",
        Elem::I8 => "|i1",
        Elem::I64 => "<i8",
    };
    let mut shape: String = tensor.shape.iter().map(|d| format!("{d}, ")).collect();
    // A tuple of one keeps its comma, longer ones have none at the end.
    shape.truncate(shape.len().saturating_sub(if tensor.shape.len() == 1 { 1 } else { 2 }));
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = MAGIC.len() + 4;
    let padded = (before + header.len() + 1).next_multiple_of(ALIGNMENT) - before - 1;
    header.extend(std::iter::repeat_n(' ', padded - header.len()));
    header.push('\n');
    // Version 1 holds headers of up to 64 KB, which is some 10,000 dimensions.
    let mut bytes = [MAGIC, &[1, 0][..], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    match elem {
        Elem::F32 => bytes.extend(tensor.data.iter().flat_map(|v| v.to_le_bytes())),
        Elem::U8 => bytes.extend(tensor.data.iter().map(|&v| v as u8)),
        Elem::I8 => bytes.extend(tensor.data.iter().map(|&v| v as i8 as u8)),
        Elem::I64 => bytes.extend(tensor.data.iter().flat_map(|&v| (v as i64).to_le_bytes())),
    }
    bytes
}

fn from_bytes(bytes: &[u8]) -> Result<Tensor, String> {
    let Array { shape, elements } = array_from_bytes(bytes)?;
    Ok(Tensor { shape, data: elements.into_f32() })
}

fn array_from_bytes(bytes: &[u8]) -> Result<Array, String> {
    let short = || "the file is cut short".to_string();
    let rest = bytes.strip_prefix(MAGIC).ok_or("not a .npy file (numpy.save makes one)")?;
    let (&[major, _], rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let (header_len, rest) = match major {
        1 => rest.split_first_chunk().map(|(n, rest)| (u16::from_le_bytes(*n) as usize, rest)).ok_or_else(short)?,
        2 => rest.split_first_chunk().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest)).ok_or_else(short)?,
        _ => return Err(format!(".npy version {major} is not supported, only 1 and 2")),
    };
    let (header, data) = rest.split_at_checked(header_len).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| "the header is not a text")?;
    if field(header, "fortran_order")?.starts_with("True") {
        return Err("the array is in Fortran order; save numpy.ascontiguousarray(x)".into());
    }
    let shape = shape(field(header, "shape")?).ok_or_else(|| format!("the shape in {header:?} is not valid"))?;
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or("the array is absurdly large")?;
    let descr = field(header, "descr")?.trim_start_matches(['\'', '"']);
    let kind = descr.split(['\'', '"']).next().unwrap_or_default();
    let elements = match kind {
        "<f4" => Elements::F32(numbers(data, elements, f32::from_le_bytes)?),
        "<f8" => Elements::F64(numbers(data, elements, f64::from_le_bytes)?),
        "<i8" => Elements::I64(numbers(data, elements, i64::from_le_bytes)?),
        "<i4" => Elements::I32(numbers(data, elements, i32::from_le_bytes)?),
        "|u1" => Elements::U8(numbers(data, elements, u8::from_le_bytes)?),
        "|i1" => Elements::I8(numbers(data, elements, i8::from_le_bytes)?),
        "|b1" => Elements::Bool(numbers(data, elements, |b| u8::from_le_bytes(b) != 0)?),
        _ => return Err(format!("elements of type {kind} are not supported; save x.astype(numpy.float32)")),
    };
    Ok(Array { shape, elements })
}

/// What follows `'name':` in the header, a Python dictionary.
fn field<'a>(header: &'a str, name: &str) -> Result<&'a str, String> {
    let quoted = [format!("'{name}':"), format!("\"{name}\":")];
    let value = quoted.iter().find_map(|key| header.find(key).map(|at| header[at + key.len()..].trim_start()));
    value.ok_or_else(|| format!("the header has no {name}"))
}

/// A Python tuple of sizes.
fn shape(text: &str) -> Option<Vec<usize>> {
    let inner = text.strip_prefix('(')?.split_once(')')?.0.trim();
    let inner = inner.strip_suffix(',').unwrap_or(inner);
    if inner.is_empty() {
        return Some(vec![]);
    }
    inner.split(',').map(|d| d.trim().parse().ok()).collect()
}

fn numbers<T, const SIZE: usize>(data: &[u8], elements: usize, number: fn([u8; SIZE]) -> T) -> Result<Vec<T>, String> {
    if elements.checked_mul(SIZE) != Some(data.len()) {
        return Err(format!("{elements} elements of {SIZE} bytes are announced, {} bytes follow", data.len()));
    }
    Ok(data.as_chunks::<SIZE>().0.iter().map(|&b| number(b)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[[1.5, -2, 100], [3, 0.25, -7]]` as numpy writes it.
    const NUMPY_F32: &[u8] = include_bytes!("../tests/fixtures/numpy_f4.npy");

    #[test]
    fn writes_what_numpy_writes() {
        let tensor = Tensor { shape: vec![2, 3], data: vec![1.5, -2.0, 100.0, 3.0, 0.25, -7.0] };
        assert_eq!(to_bytes(&tensor, Elem::F32), NUMPY_F32);
        assert_eq!(from_bytes(NUMPY_F32), Ok(tensor));
    }

    #[test]
    fn reads_every_type_that_numpy_wrote() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        for (name, data) in [
            ("numpy_f8", [1.5, -2.0, 100.0, 3.0, 0.25, -7.0]),
            ("numpy_version2", [1.5, -2.0, 100.0, 3.0, 0.25, -7.0]),
            ("numpy_u1", [1.0, 2.0, 100.0, 3.0, 0.0, 7.0]),
            ("numpy_i1", [1.0, -2.0, 100.0, 3.0, 0.0, -7.0]),
            ("numpy_i4", [1.0, -2.0, 100.0, 3.0, 0.0, -7.0]),
            ("numpy_i8", [1.0, -2.0, 100.0, 3.0, 0.0, -7.0]),
        ] {
            let tensor = read(&folder.join(name).with_extension("npy")).unwrap();
            assert_eq!(tensor, Tensor { shape: vec![2, 3], data: data.to_vec() }, "{name}");
        }
    }

    #[test]
    fn ranks_zero_to_four_survive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npy");
        for shape in [&[][..], &[3], &[2, 3], &[1, 2, 3, 4], &[0, 5]] {
            let n = shape.iter().product::<usize>();
            let tensor = Tensor { shape: shape.to_vec(), data: (0..n).map(|i| i as f32 / 7.0).collect() };
            write(&path, &tensor).unwrap();
            assert_eq!(read(&path).unwrap(), tensor);
        }
        let wrong = Tensor { shape: vec![2], data: vec![] };
        assert!(write(&path, &wrong).unwrap_err().to_string().contains("x.npy"));
    }

    #[test]
    fn refuses_by_name_what_it_does_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npy");
        let text = String::from_utf8_lossy(&NUMPY_F32[10..128]).into_owned();
        let with = |header: String| [&NUMPY_F32[..10], header.as_bytes(), &NUMPY_F32[128..]].concat();
        for (bytes, expected) in [
            (with(text.replace("False", "True ")), "Fortran"),
            (with(text.replace("<f4", "<f2")), "<f2"),
            (with(text.replace("(2, 3)", "(2, 2)")), "4 elements"),
            (with(text.replace("(2, 3)", "(2,-3)")), "shape"),
            (with(text.replace("shape", "shope")), "no shape"),
            (NUMPY_F32[..60].to_vec(), "cut short"),
            (b"PK\x03\x04".to_vec(), "numpy.save"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("x.npy"), "{message}");
        }
        for length in 0..NUMPY_F32.len() {
            assert!(from_bytes(&NUMPY_F32[..length]).is_err(), "{length} bytes");
        }
    }
}
