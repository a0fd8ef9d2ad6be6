//! A convolutional network as data: [`graph::Graph`], its operators, ONNX and safetensors in and out, and an f32 reference.
//!
//! | module | what |
//! | --- | --- |
//! | [`graph`] | the one description of a network that the exporter, the trainer and the tests share |
//! | [`op`] | one file an operator (or a few that are alike): output shape, f32 reference, its form in ONNX |
//! | [`reference`](mod@reference) | runs a graph with those references: slow, short, and what everything else is held against |
//! | [`onnx`] | import and export of ONNX |
//! | [`safetensors`], [`npy`] | parameters and tensors in files |
//! | [`models`] | networks by name |
//! | [`diagnostic`] | what a user is told about a model that cannot be taken |
//! | [`console`], [`file`](mod@file), [`memory`] | what programs print; files read and written whole; what the process takes of the machine's memory |

#![warn(clippy::wildcard_enum_match_arm)]

mod builder;
pub mod console;
pub mod diagnostic;
pub mod file;
pub mod graph;
mod macs;
pub mod memory;
pub mod models;
pub mod npy;
pub mod onnx;
pub mod op;
pub mod reference;
pub mod safetensors;
