//! ONNX in and out.
//!
//! [`export`] writes opset 13 with PyTorch's parameter names; [`import`] takes opsets 7 to 22 and either returns exactly the
//! network of the file or names everything that stands in the way. What an operator looks like in ONNX is written in its own
//! file under [`crate::op`]; here is what all of them share.

pub(crate) mod attributes;
mod build;
mod expand;
mod export;
mod external;
mod fold;
mod import;
mod inputs;
mod metadata;
pub(crate) mod node;
mod qoperator;
mod scan;
mod scope;
pub(crate) mod tensor;

pub use export::{OnnxError, export, to_bytes};
pub use import::{ImportError, ImportOptions, import, import_bytes, import_bytes_with, import_with};
