//! Files in the folder in which QEMU runs: what `runner` and `stream` write back, and what `stream` may read.
//!
//! A [`Report`] is written last, so that its presence shows a completed run.

use core::ffi::CStr;

/// The outputs of all passes, raw: those of a pass one behind the other, then those of the next.
pub const OUTPUTS_FILE: &CStr = c"outputs.bin";
/// The layer of each step of the first pass, a little-endian `u32` each.
pub const STEPS_FILE: &CStr = c"steps.bin";
/// The [`Report`].
pub const REPORT_FILE: &CStr = c"report.bin";
/// Bytes of stack used at most, a little-endian `u32`; any firmware leaves it that ends well.
pub const STACK_FILE: &CStr = c"stack.bin";
/// The weights, as `exporter compile --split` writes them, where `stream` takes them from a file.
pub const WEIGHTS_FILE: &CStr = c"weights.bin";
/// The pictures, one behind the other, where `stream` takes them from a file.
pub const PICTURES_FILE: &CStr = c"pictures.bin";

/// Numbers of a completed run, written as little-endian `u32` in the order of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Passes run, one per input.
    pub passes: u32,
    /// Bytes of all outputs of a pass.
    pub output_len: u32,
    /// Bytes of the network's one buffer.
    pub ram_bytes: u32,
    /// Bytes of stack used at most: from reset to the end of the first pass in `runner`, of the last one in `stream`.
    pub stack_bytes: u32,
    /// Bytes that the linker script leaves to the stack. Where all of them were used, more may have been.
    pub stack_space: u32,
}

impl Report {
    /// Length in bytes.
    pub const BYTES: usize = 20;

    /// The bytes of the file.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let numbers = [self.passes, self.output_len, self.ram_bytes, self.stack_bytes, self.stack_space];
        for (to, number) in bytes.chunks_exact_mut(4).zip(numbers) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// The report in `bytes`; `None` where the length differs.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let number = |i: usize| u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]);
        Some(Report {
            passes: number(0),
            output_len: number(1),
            ram_bytes: number(2),
            stack_bytes: number(3),
            stack_space: number(4),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_in_order() {
        let report =
            Report { passes: 1, output_len: 0x0203, ram_bytes: 0x0405_0607, stack_bytes: u32::MAX, stack_space: 0x0809 };
        let bytes = report.to_bytes();
        assert_eq!(bytes[..8], [1, 0, 0, 0, 3, 2, 0, 0]);
        assert_eq!(Report::from_bytes(&bytes), Some(report));
        assert_eq!(Report::from_bytes(&bytes[1..]), None);
    }
}
