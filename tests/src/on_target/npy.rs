//! `.npy` files of f32: NumPy's format, versions 1 to 3, row-major.

use super::OnTargetError;
use std::fs;
use std::io::Write;
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Shape and row-major elements of the little-endian f32 array in `path`.
///
/// # Errors
/// [`OnTargetError`] that names the file.
pub fn read(path: &Path) -> Result<(Vec<usize>, Vec<f32>), OnTargetError> {
    let bytes = fs::read(path).map_err(|e| OnTargetError::file(path, e))?;
    parse(&bytes).map_err(|reason| OnTargetError::content(path, reason))
}

/// Writes an array to a temporary file beside `path` and renames it.
///
/// # Errors
/// [`OnTargetError`] that names the file.
pub fn write(path: &Path, shape: &[usize], data: &[f32]) -> Result<(), OnTargetError> {
    let error = |e| OnTargetError::file(path, e);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(error)?;
    file.write_all(&encode(shape, data)).map_err(error)?;
    file.persist(path).map_err(|e| error(e.error))?;
    Ok(())
}

fn parse(bytes: &[u8]) -> Result<(Vec<usize>, Vec<f32>), String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("not a .npy file")?;
    let (header, body) = match rest {
        [1, _, a, b, rest @ ..] => rest.split_at_checked(u16::from_le_bytes([*a, *b]) as usize),
        [2 | 3, _, a, b, c, d, rest @ ..] => rest.split_at_checked(u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        _ => return Err("a version of .npy other than 1 to 3".to_string()),
    }
    .ok_or("the file ends in its header")?;
    let header = std::str::from_utf8(header).map_err(|_| "the header is not text")?;
    // A Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 32, 32), }
    let value = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    if !value("descr").is_some_and(|v| v.starts_with("'<f4'")) {
        return Err("the elements are not little-endian f32: save with .astype('<f4')".to_string());
    }
    if !value("fortran_order").is_some_and(|v| v.starts_with("False")) {
        return Err("the array is column-major: save numpy.ascontiguousarray(x)".to_string());
    }
    let shape = value("shape").and_then(|v| v.strip_prefix('(')?.split_once(')')).ok_or("the header has no shape")?.0;
    let numbers = shape.split(',').map(str::trim).filter(|n| !n.is_empty());
    let shape = numbers.map(str::parse).collect::<Result<Vec<usize>, _>>().map_err(|_| "the shape is not a list of numbers")?;

    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or("the shape is too large")?;
    let (data, []) = body.as_chunks::<4>() else {
        return Err("the data is not a whole number of f32".to_string());
    };
    if data.len() != elements {
        return Err(format!("{} elements for shape {shape:?}", data.len()));
    }
    Ok((shape, data.iter().map(|&b| f32::from_le_bytes(b)).collect()))
}

fn encode(shape: &[usize], data: &[f32]) -> Vec<u8> {
    let dims: String = shape.iter().map(|d| format!("{d}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end());
    // The data begins at a multiple of 64, after a newline.
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let mut bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    bytes.extend(data.iter().flat_map(|x| x.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_numpy_writes_is_read() {
        // numpy.save of numpy.array([[1, -2.5]], '<f4').
        let mut file = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }".to_vec();
        file.resize(127, b' ');
        file.extend(b"\n\x00\x00\x80\x3f\x00\x00\x20\xc0");
        assert_eq!(parse(&file).unwrap(), (vec![1, 2], vec![1.0, -2.5]));
        assert_eq!(encode(&[1, 2], &[1.0, -2.5])[64..], file[128..]);
    }

    #[test]
    fn arrays_come_back() {
        for shape in [&[][..], &[3], &[2, 1, 4]] {
            let data: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32 / 3.0).collect();
            let bytes = encode(shape, &data);
            assert_eq!((bytes.len() - 4 * data.len()) % 64, 0);
            assert_eq!(parse(&bytes).unwrap(), (shape.to_vec(), data));
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let whole = encode(&[2, 3], &[0.5; 6]);
        for len in 0..whole.len() {
            assert!(parse(&whole[..len]).is_err(), "accepted {len} of {} bytes", whole.len());
        }
    }
}
