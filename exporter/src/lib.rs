//! From an ONNX model to an artifact that the runtime runs.
//!
//! ```text
//! ONNX -> Graph (staticnet-graph) -> lower -> Network -> passes -> calibrate -> quantize -> plan -> emit -> artifact
//! ```
//!
//! | module | what |
//! | --- | --- |
//! | [`compile`](mod@compile) | the whole way, in one call |
//! | [`network`] | the network in the device's terms: NHWC tensors, layers of the runtime |
//! | [`lower`] | Graph to [`network`], one file an operator |
//! | [`passes`] | rewriting the network |
//! | [`calibrate`] | ranges of activations, measured with the runtime's own f32 engine |
//! | [`quantize`] | scales, zero points, integer weights: [`network`] to [`quantized`] |
//! | [`quantized`] | the network as the artifact describes it: records and payloads |
//! | [`payload`] | weights and tables as the kernels read them |
//! | [`plan`] | steps and places in RAM |
//! | [`budget`], [`ways`] | what to say where these do not fit, and what would |
//! | [`quantized_onnx`] | the quantized network as an ONNX model again |
//! | [`emit`] | the artifact's bytes |
//! | [`host`] | running an artifact on the host |
//! | [`evaluate`] | accuracy on a data set |
//! | [`report`] | what `inspect` shows |
//! | `verify` | holding an artifact against tract (feature `verify`) |
//!
//! Data sets and pictures are the crate `staticnet-data`.

#![warn(clippy::wildcard_enum_match_arm)]

mod aligned;
pub mod budget;
pub mod calibrate;
#[cfg(all(feature = "cli", feature = "verify"))]
pub mod cli;
pub mod compile;
pub mod emit;
pub mod error;
pub mod evaluate;
pub mod host;
pub mod lower;
pub mod network;
pub mod passes;
pub mod payload;
pub mod plan;
pub mod quantize;
pub mod quantized;
pub mod quantized_onnx;
pub mod report;
#[cfg(feature = "verify")]
pub mod verify;
pub mod ways;

pub use compile::{Options, compile};
pub use error::Error;
