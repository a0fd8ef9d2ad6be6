//! A convolutional network as data: [`graph::Graph`], its operators, ONNX and safetensors in and out, and an f32 reference.
pub mod graph;
pub mod op;
