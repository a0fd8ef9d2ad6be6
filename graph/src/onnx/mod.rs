//! ONNX in and out.
//!
//! [`export()`] writes opset 13 (a later one only for operators that need it) with PyTorch's parameter names; [`import()`] takes
//! opsets 7 to 25 and either returns exactly the network of the file or names everything that stands in the way. What an operator
//! looks like in ONNX is written in its own file under [`crate::op`]; here is what all of them share, in the order in which a model
//! passes through:
//!
//! | file | what |
//! | --- | --- |
//! | `scan.rs` | refuses hostile bytes before they are parsed |
//! | `import.rs`, `options.rs` | the way in: files, errors; what the user decides |
//! | `expand.rs`, `qoperator.rs` | nodes that stand for several: functions of the model, `QLinearConv` and its like |
//! | `build.rs`, `nodes.rs`, `reading.rs` | the graph, node by node; what it is so far, and what stands in the way |
//! | `scope.rs`, `inputs.rs` | what names mean; inputs, their sizes, and those that the user gives a value |
//! | `node.rs`, `attributes.rs`, `lowered.rs` | one node as operators read it, and what it becomes |
//! | `tensor.rs`, `external.rs` | constants, in the file or beside it |
//! | `fold.rs`, `fold/` | nodes whose inputs are all known are computed |
//! | `batch.rs`, `form.rs`, `write.rs`, `export.rs` | the way out |
//! | `proto.rs` | the file itself, for whoever writes a model |
//! | `metadata.rs` | preprocessing and labels, both ways |

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
pub(crate) mod lowered;
mod metadata;
mod names;
pub(crate) mod node;
mod nodes;
mod options;
pub mod proto;
mod qoperator;
mod reading;
mod refusal;
mod scan;
mod scope;
pub(crate) mod tensor;
mod write;

pub use export::{OnnxError, export, to_bytes};
pub use import::{ImportError, import, import_bytes, import_bytes_with, import_with};
pub use options::ImportOptions;
