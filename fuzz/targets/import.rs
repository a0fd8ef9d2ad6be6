//! Any bytes as an ONNX model: imported, or refused with a message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use staticnet_graph::onnx::import_bytes;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = import_bytes(data) {
        assert!(!error.to_string().is_empty());
    }
});
