//! staticnet
#![no_std]
pub mod op;
pub mod preprocess;
