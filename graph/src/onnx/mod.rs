//! ONNX in and out.
//!
//! [`export`] writes opset 13 (a later one only for operators that need it) with PyTorch's parameter names; [`import`] takes
//! opsets 7 to 25 and either returns exactly the network of the file or names everything that stands in the way. What an operator
//! looks like in ONNX is written in its own file under [`crate::op`]; here is what all of them share.

pub(crate) mod attributes;
mod batch;
mod build;
mod expand;
mod export;
mod external;
mod fold;
pub(crate) mod form;
mod import;
mod inputs;
mod metadata;
pub(crate) mod node;
mod qoperator;
mod scan;
mod scope;
pub(crate) mod tensor;
mod write;

pub use export::{OnnxError, export, to_bytes};
pub use import::{ImportError, ImportOptions, import, import_bytes, import_bytes_with, import_with};
