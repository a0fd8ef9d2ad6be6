//! An ONNX model as a graph.

use super::external::External;
use super::options::ImportOptions;
use super::{build, scan};
use crate::diagnostic::Diagnostic;
use crate::file::{self, FileError};
use crate::graph::Graph;
use onnx_protobuf::{Message, ModelProto};
use protobuf::CodedInputStream;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek};
use std::path::{Path, PathBuf};

/// A protobuf message holds less than 2 GiB.
const MAX_BYTES: u64 = (1 << 31) - 1;

/// Why a model cannot be imported.
#[derive(Debug)]
pub enum ImportError {
    /// The file cannot be read.
    Unreadable(FileError),
    /// The file is no ONNX model.
    NotOnnx {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model is not valid or not supported.
    Unsupported {
        /// The file.
        file: PathBuf,
        /// Everything that stands in the way.
        problems: Vec<Diagnostic>,
    },
}

impl ImportError {
    /// Everything that stands in the way of an otherwise readable model.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            ImportError::Unsupported { problems, .. } => problems,
            ImportError::Unreadable(_) | ImportError::NotOnnx { .. } => &[],
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportError::Unreadable(error) => write!(f, "{error}"),
            ImportError::NotOnnx { file, reason } => write!(f, "{}: not an ONNX model: {reason}", file.display()),
            ImportError::Unsupported { file, problems } => {
                write!(f, "{}: the model is not supported:", file.display())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ImportError::Unreadable(error) => Some(error),
            ImportError::NotOnnx { .. } | ImportError::Unsupported { .. } => None,
        }
    }
}

/// Reads an ONNX model. A symbolic batch dimension becomes 1; everything else must have fixed sizes. Names of values and
/// initializers are kept; nodes without a name get that of their output. Data outside the file is looked for in its folder.
///
/// # Errors
/// [`ImportError`], with everything that is not supported at once. The graph is never an approximation of the model.
pub fn import(path: &Path) -> Result<Graph, ImportError> {
    import_with(path, &ImportOptions::default())
}

/// As [`import`], with what the model leaves open.
///
/// # Errors
/// [`ImportError`], with everything that is not supported at once.
pub fn import_with(path: &Path, options: &ImportOptions) -> Result<Graph, ImportError> {
    let unreadable = |source| ImportError::Unreadable(FileError { file: path.to_path_buf(), action: "read", source });
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let external = External::beside(path);
    if !metadata.is_file() {
        // A pipe can be read only once.
        let bytes = file::read_at_most(path, MAX_BYTES).map_err(ImportError::Unreadable)?;
        return import_from(path, &mut Cursor::new(&bytes), bytes.len() as u64, external, options);
    }
    if metadata.len() > MAX_BYTES {
        let reason = "it is larger than 2 GiB, which no reader of protobuf takes; keep the weights beside it: \
                      onnx.save(model, path, save_as_external_data=True)";
        return Err(unreadable(io::Error::other(reason)));
    }
    import_from(path, &mut BufReader::with_capacity(1 << 16, file), metadata.len(), external, options)
}

/// As [`import`], from memory; messages call the file `<bytes>`. There is no data outside of it.
///
/// # Errors
/// [`ImportError`], with everything that is not supported at once.
pub fn import_bytes(bytes: &[u8]) -> Result<Graph, ImportError> {
    import_bytes_with(bytes, &ImportOptions::default())
}

/// As [`import_bytes`], with what the model leaves open.
///
/// # Errors
/// [`ImportError`], with everything that is not supported at once.
pub fn import_bytes_with(bytes: &[u8], options: &ImportOptions) -> Result<Graph, ImportError> {
    let external = External::default();
    import_from(Path::new("<bytes>"), &mut Cursor::new(bytes), bytes.len() as u64, external, options)
}

/// Reads the file twice, once to see that it is safe to parse, so that it is never in memory besides what is made of it.
fn import_from(
    path: &Path,
    reader: &mut (impl BufRead + Seek),
    length: u64,
    external: External,
    options: &ImportOptions,
) -> Result<Graph, ImportError> {
    let not_onnx = |reason: String| ImportError::NotOnnx { file: path.to_path_buf(), reason };
    scan::scan(reader, length).map_err(not_onnx)?;
    let unreadable = |source| ImportError::Unreadable(FileError { file: path.to_path_buf(), action: "read", source });
    reader.rewind().map_err(unreadable)?;
    let parsed = {
        let mut stream = CodedInputStream::from_buf_read(reader);
        ModelProto::parse_from(&mut stream).and_then(|model| stream.check_eof().map(|()| model))
    };
    let model = parsed.map_err(|e| not_onnx(e.to_string()))?;
    if model.graph.is_none() {
        return Err(not_onnx("it contains no graph".into()));
    }
    let problems = match build::build(model, length, external, options) {
        Ok(graph) => return Ok(graph),
        Err(problems) => problems,
    };
    Err(ImportError::Unsupported { file: path.to_path_buf(), problems })
}
