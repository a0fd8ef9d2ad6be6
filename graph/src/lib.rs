//! A convolutional network as data: [`graph::Graph`], its operators, ONNX and safetensors in and out, and an f32 reference.
pub mod diagnostic;
pub mod file;
pub mod graph;
pub mod memory;
pub mod models;
pub mod npy;
pub mod onnx;
pub mod op;
pub mod reference;
pub mod safetensors;
