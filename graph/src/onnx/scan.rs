//! A look at the bytes of a model before they are parsed.
//!
//! The protobuf parser recurses without a limit when it skips a group inside an unknown field (RUSTSEC-2024-0437), and makes a
//! structure of a few hundred bytes of every empty message of two. ONNX has no groups, its messages nest to a known depth and
//! number thousands. So any group, deeper nesting, absurdly many messages or fields, and fields with numbers that ONNX does not
//! have are refused here, and what is left is safe to parse. Weights are skipped, not read.

use std::io::{self, BufRead, Seek};

/// Messages inside each other. A graph in an attribute of a node in a graph adds three.
const MAX_DEPTH: usize = 32;
/// Messages in a file. The largest public models have some 100,000.
const MAX_MESSAGES: usize = 1_000_000;
/// Fields in a file, each of which takes some 20 bytes of memory. Packed numbers count once.
const MAX_FIELDS: usize = 16_000_000;
/// Numbers of fields that any version of ONNX might have.
const KNOWN_FIELDS: u64 = 100;
/// Fields beyond them; the parser keeps each.
const MAX_UNKNOWN: usize = 10_000;

/// The message types of ONNX that contain others.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    ValueInfo,
    Type,
    TensorType,
    /// Sequence and optional: a type in field 1.
    Wrapper,
    Map,
    Shape,
    Annotation,
    Training,
    Function,
    Leaf,
}

impl Kind {
    /// The type of the message in `field`, or `None` where it holds a text, bytes or packed numbers.
    fn child(self, field: u64) -> Option<Kind> {
        match (self, field) {
            (Kind::Model, 7) => Some(Kind::Graph),
            (Kind::Model, 8 | 14) => Some(Kind::Leaf),
            (Kind::Model, 20) => Some(Kind::Training),
            (Kind::Model, 25) => Some(Kind::Function),
            (Kind::Graph, 1) => Some(Kind::Node),
            (Kind::Graph, 5) => Some(Kind::Tensor),
            (Kind::Graph, 15) => Some(Kind::SparseTensor),
            (Kind::Graph, 11..=13) => Some(Kind::ValueInfo),
            (Kind::Graph, 14) => Some(Kind::Annotation),
            (Kind::Graph, 16) => Some(Kind::Leaf),
            (Kind::Node, 5) => Some(Kind::Attribute),
            (Kind::Node, 9) => Some(Kind::Leaf),
            (Kind::Attribute, 5 | 10) => Some(Kind::Tensor),
            (Kind::Attribute, 6 | 11) => Some(Kind::Graph),
            (Kind::Attribute, 14 | 15) => Some(Kind::Type),
            (Kind::Attribute, 22 | 23) => Some(Kind::SparseTensor),
            (Kind::Tensor, 3 | 13 | 16) => Some(Kind::Leaf),
            (Kind::SparseTensor, 1 | 2) => Some(Kind::Tensor),
            (Kind::ValueInfo, 2) => Some(Kind::Type),
            (Kind::ValueInfo, 4) => Some(Kind::Leaf),
            (Kind::Type, 1 | 8) => Some(Kind::TensorType),
            (Kind::Type, 4 | 9) => Some(Kind::Wrapper),
            (Kind::Type, 5) => Some(Kind::Map),
            (Kind::TensorType, 2) => Some(Kind::Shape),
            (Kind::Wrapper, 1) | (Kind::Map, 2) => Some(Kind::Type),
            (Kind::Shape, 1) | (Kind::Annotation, 2) => Some(Kind::Leaf),
            (Kind::Training, 1 | 2) => Some(Kind::Graph),
            (Kind::Training, 3 | 4) => Some(Kind::Leaf),
            (Kind::Function, 7) => Some(Kind::Node),
            (Kind::Function, 9 | 14) => Some(Kind::Leaf),
            (Kind::Function, 11) => Some(Kind::Attribute),
            (Kind::Function, 12) => Some(Kind::ValueInfo),
            (
                Kind::Model
                | Kind::Graph
                | Kind::Node
                | Kind::Attribute
                | Kind::Tensor
                | Kind::SparseTensor
                | Kind::ValueInfo
                | Kind::Type
                | Kind::TensorType
                | Kind::Wrapper
                | Kind::Map
                | Kind::Shape
                | Kind::Annotation
                | Kind::Training
                | Kind::Function
                | Kind::Leaf,
                _,
            ) => None,
        }
    }
}

/// Looks through a model of `length` bytes.
///
/// # Errors
/// A sentence where they are not a protobuf message, contain a group, or nest or multiply beyond reason, or cannot be read.
pub(super) fn scan(reader: &mut (impl BufRead + Seek), length: u64) -> Result<(), String> {
    let mut scan = Scan { reader, messages: 0, fields: 0, unknown: 0 };
    scan.message(length, Kind::Model, 0)
}

struct Scan<'a, R> {
    reader: &'a mut R,
    messages: usize,
    fields: usize,
    unknown: usize,
}

impl<R: BufRead + Seek> Scan<'_, R> {
    fn message(&mut self, length: u64, kind: Kind, depth: usize) -> Result<(), String> {
        self.messages += 1;
        if depth > MAX_DEPTH {
            return Err(format!("its messages nest deeper than {MAX_DEPTH}"));
        }
        if self.messages > MAX_MESSAGES {
            return Err(format!("it has more than {MAX_MESSAGES} messages"));
        }
        let mut left = length;
        while left > 0 {
            let tag = self.varint(&mut left)?;
            self.fields += 1;
            self.unknown += usize::from(tag >> 3 > KNOWN_FIELDS);
            if self.fields > MAX_FIELDS || self.unknown > MAX_UNKNOWN {
                return Err("it has absurdly many fields".into());
            }
            match tag & 7 {
                0 => {
                    self.varint(&mut left)?;
                }
                1 => self.skip(8, &mut left)?,
                2 => {
                    let length = self.varint(&mut left)?;
                    match kind.child(tag >> 3) {
                        Some(child) => {
                            left = left.checked_sub(length).ok_or(CUT)?;
                            self.message(length, child, depth + 1)?;
                        }
                        None => self.skip(length, &mut left)?,
                    }
                }
                3 | 4 => return Err("it has a protobuf group, which no ONNX file has".into()),
                5 => self.skip(4, &mut left)?,
                _ => return Err("it is not a protobuf message".into()),
            }
        }
        Ok(())
    }

    fn skip(&mut self, length: u64, left: &mut u64) -> Result<(), String> {
        *left = left.checked_sub(length).ok_or(CUT)?;
        let distance = i64::try_from(length).map_err(|_| CUT)?;
        self.reader.seek_relative(distance).map_err(|e| e.to_string())
    }

    fn varint(&mut self, left: &mut u64) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            *left = left.checked_sub(1).ok_or(CUT)?;
            let mut byte = [0];
            self.reader.read_exact(&mut byte).map_err(|e: io::Error| e.to_string())?;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err("it has a number of more than 64 bits".into())
    }
}

const CUT: &str = "it ends in the middle of a field";

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<(), String> {
        super::scan(&mut io::Cursor::new(bytes), bytes.len() as u64)
    }

    /// A message with `inner` in the length-delimited `field`.
    fn wrap(field: u8, inner: &[u8]) -> Vec<u8> {
        let mut bytes = vec![field << 3 | 2];
        let mut length = inner.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(inner);
        bytes
    }

    #[test]
    fn refuses_groups_wherever_a_parser_would_meet_them() {
        for group in [[0x0b, 0x0c], [0x7b, 0x7c]] {
            assert!(scan(&group).unwrap_err().contains("group"));
            assert!(scan(&wrap(7, &wrap(1, &wrap(5, &group)))).unwrap_err().contains("group"));
        }
        // The same bytes in the name of a node are only text.
        assert_eq!(scan(&wrap(7, &wrap(1, &wrap(3, &[0x0b, 0x0c])))), Ok(()));
    }

    #[test]
    fn refuses_graphs_in_graphs_without_end() {
        let mut graph = vec![];
        for level in 0..20 {
            let model = wrap(7, &graph);
            assert_eq!(scan(&model).is_ok(), 3 * level < MAX_DEPTH, "{level} graphs inside each other");
            graph = wrap(1, &wrap(5, &wrap(6, &graph)));
        }
    }

    #[test]
    fn refuses_messages_without_number() {
        let nodes = [1 << 3 | 2, 0].repeat(MAX_MESSAGES);
        assert!(scan(&wrap(7, &nodes)).unwrap_err().contains("messages"));
    }

    #[test]
    fn refuses_fields_that_no_onnx_file_has() {
        let fields = [0xb8, 0x3e, 0].repeat(MAX_UNKNOWN);
        assert_eq!(scan(&fields), Ok(()));
        assert!(scan(&[&fields[..], &[0xb8, 0x3e, 0]].concat()).unwrap_err().contains("fields"));
    }

    #[test]
    fn refuses_what_ends_too_early() {
        assert!(scan(&[0x3a, 5, 0]).unwrap_err().contains("middle"));
        assert!(scan(&[0x08]).unwrap_err().contains("middle"));
        assert!(scan(&[0x80; 12]).unwrap_err().contains("64 bits"));
    }
}
