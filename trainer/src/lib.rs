//! Trains the networks of [`staticnet_graph::graph::Graph`] on pictures.
//!
//! The library comes first: a [`train::Training`] takes a [`config::Config`], a [`source::BatchSource`], and callbacks that are told
//! what happens; the binary `trainer` is [`cli`] and nothing else.
//!
//! dfdx gives tensors, the tape and gradients. Convolutions, pooling, normalisation, losses and updates are kernels of this crate
//! ([`backend`]) under differentiable operations on that tape ([`ops`]); so are optimisers, data and checkpoints.
//!
//! | module | what |
//! | --- | --- |
//! | [`train`] | a training: a step, an epoch, a save; a few steps to look at |
//! | [`config`] | its description: one struct, laid over TOML files and the command line |
//! | [`mod@run`], [`checkpoint`] | the RUN folder; all that is needed to go on |
//! | [`network`], [`plan`], [`forward`] | a graph whose parameters are tensors; what its nodes are to the trainer; interpreting it |
//! | [`ops`] | differentiable operations, written once for all devices |
//! | [`backend`] | `Backend`: a device and the kernels under the operations, forward and backward, on the processor and on GPUs |
//! | [`ranks`] | several processes, one training (feature `mpi`) |
//! | [`check`] | whether a device computes what the processor computes |
//! | [`source`], [`dataset`], [`augment`], [`targets`] | where batches come from, in which order and variation; what is wanted |
//! | [`optim`], [`schedule`], [`init`] | updates, learning rates, the first parameters |
//! | [`loss`], [`metrics`] | what is made small, what is measured |
//! | [`log`], [`lines`], [`monitor`], [`plot`] | what is written down: records, events, what the numbers inside are like, pictures |
//! | [`lr_find`] | which learning rate to begin with |
//! | [`rng`], [`synth`] | keyed random numbers; drawn pictures |
//! | [`option`](mod@option), [`nearest`], [`text`] | options that make no sense, names that were misspelt, tables |
//! | [`cli`] | the commands |

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))] // They panic on a closed pipe; `console` does not.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod augment;
pub mod backend;
pub(crate) mod bits;
pub mod check;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod dataset;
#[cfg(feature = "demo")]
pub mod demo;
mod exact;
pub mod forward;
pub mod init;
pub mod lines;
pub mod log;
pub mod loss;
pub mod lr_find;
pub mod metrics;
pub use staticnet_graph::models;
pub mod monitor;
pub mod nearest;
pub mod network;
pub mod ops;
pub mod optim;
pub mod option;
pub mod plan;
pub mod plot;
pub mod ranks;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod source;
pub mod synth;
pub mod targets;
pub mod text;
pub mod train;
