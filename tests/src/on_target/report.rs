//! A run in numbers: what `on-target` prints.

use super::{Board, BoardRun};
use serde::Serialize;
use sha2::{Digest, Sha256};
use staticnet::Artifact;
use staticnet_exporter::host::decode_output;
use std::fmt::{self, Write};

/// A run of an artifact on a board, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// QEMU's name of the machine.
    pub board: &'static str,
    /// The board's core.
    pub core: &'static str,
    /// Number of inputs run.
    pub passes: usize,
    /// Guest instructions of the steps of one pass, where counted. Instructions are not cycles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// Bytes of the network's one buffer.
    pub ram_bytes: u32,
    /// Bytes of code and constants of the firmware, which holds every kernel but no model.
    pub code_bytes: u64,
    /// Bytes of stack used at most, from reset to the end of the first pass.
    pub stack_bytes: u32,
    /// SHA-256 of the raw bytes of output 0 of all passes, in hexadecimal.
    pub output_sha256: String,
    /// The outputs.
    pub outputs: Vec<OutputReport>,
    /// The layers.
    pub layers: Vec<LayerReport>,
}

/// An output in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputReport {
    /// SHA-256 of its raw bytes of all passes, in hexadecimal.
    pub sha256: String,
    /// Shape on the host, of all passes: what `--output` writes.
    pub shape: Vec<usize>,
}

/// A layer in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerReport {
    /// Name of the ONNX node.
    pub name: String,
    /// Operator as ONNX spells it.
    pub op: &'static str,
    /// Multiply-accumulate operations.
    pub macs: u64,
    /// Guest instructions of its steps in one pass, where counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
}

impl RunReport {
    /// The numbers of a run of `artifact` on `board`.
    pub fn new(board: &Board, artifact: &Artifact, run: &BoardRun) -> Self {
        let layers = staticnet_exporter::report::report(artifact).layers.into_iter().enumerate();
        let layer = |(i, layer): (usize, staticnet_exporter::report::LayerReport)| LayerReport {
            name: layer.name,
            op: layer.op,
            macs: layer.macs,
            instructions: run.layer_instructions(i),
        };
        let output = |(i, passes): (usize, &Vec<Vec<u8>>)| OutputReport {
            sha256: sha256(passes),
            shape: decode_output(artifact, i, passes).shape,
        };
        let outputs: Vec<OutputReport> = run.outputs.iter().enumerate().map(output).collect();
        RunReport {
            board: board.name,
            core: board.core,
            passes: run.outputs.first().map_or(0, Vec::len),
            instructions: run.instructions(),
            ram_bytes: run.ram_bytes,
            code_bytes: run.code_bytes,
            stack_bytes: run.stack_bytes,
            output_sha256: outputs.first().map(|output| output.sha256.clone()).unwrap_or_default(),
            outputs,
            layers: layers.map(layer).collect(),
        }
    }
}

impl fmt::Display for RunReport {
    /// The table for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({}), {} passes", self.board, self.core, self.passes)?;
        writeln!(f, "RAM    {:>12} B", self.ram_bytes)?;
        writeln!(f, "stack  {:>12} B", self.stack_bytes)?;
        writeln!(f, "code   {:>12} B  (every kernel, no model)", self.code_bytes)?;
        match &self.outputs[..] {
            [] => {}
            [only] => write!(f, "output sha256 {}", only.sha256)?,
            [first, rest @ ..] => {
                write!(f, "output 0 sha256 {}, {:?}", first.sha256, first.shape)?;
                for (output, i) in rest.iter().zip(1..) {
                    write!(f, "\noutput {i} sha256 {}, {:?}", output.sha256, output.shape)?;
                }
            }
        }
        let Some(total) = self.instructions else { return Ok(()) };
        write!(f, "\n\n{:<28} {:<8} {:>14} {:>14} {:>8}", "layer", "op", "MACs", "instructions", "per MAC")?;
        for layer in &self.layers {
            write_counts(f, &layer.name, layer.op, layer.macs, layer.instructions.unwrap_or(0))?;
        }
        write_counts(f, "one pass", "", self.layers.iter().map(|layer| layer.macs).sum(), total)
    }
}

fn write_counts(f: &mut fmt::Formatter<'_>, name: &str, op: &str, macs: u64, instructions: u64) -> fmt::Result {
    write!(f, "\n{name:<28} {op:<8} {macs:>14} {instructions:>14}")?;
    if macs > 0 { write!(f, " {:>8.3}", instructions as f64 / macs as f64) } else { Ok(()) }
}

/// SHA-256 of the bytes of all passes, one behind the other.
fn sha256(passes: &[Vec<u8>]) -> String {
    let mut hasher = Sha256::new();
    for pass in passes {
        hasher.update(pass);
    }
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hash_is_of_the_joined_outputs() {
        // The test vector "abc" of FIPS 180-4.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(super::sha256(&[b"a".to_vec(), b"bc".to_vec()]), expected);
    }
}
