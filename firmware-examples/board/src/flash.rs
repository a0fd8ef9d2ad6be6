//! External memory as a storage: bytes are copied out of it, as the driver of a flash chip would.

use core::arch::asm;
use embedded_storage::ReadStorage;

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum FlashError {
    /// The storage ends before.
    OutOfRange,
}

/// A part of the external memory.
#[derive(Clone, Copy, Debug)]
pub struct Flash(&'static [u8]);

impl Flash {
    /// A storage that holds `bytes`.
    pub const fn new(bytes: &'static [u8]) -> Self {
        Flash(bytes)
    }
}

impl ReadStorage for Flash {
    type Error = FlashError;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let from = self.0.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
        copy(bytes, from.ok_or(FlashError::OutOfRange)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

/// Copies as many bytes as both have: eight words at a time where both begin at a word, as a driver would that has no DMA. (What the
/// compiler brings takes ten times the instructions, and a storage's cost is not the network's.)
fn copy(to: &mut [u8], from: &[u8]) {
    let len = to.len().min(from.len());
    let aligned = (to.as_ptr() as usize | from.as_ptr() as usize).is_multiple_of(4);
    let whole = if aligned { len / 64 * 64 } else { 0 };
    if whole > 0 {
        // SAFETY: both slices have `whole` bytes, a multiple of 64 above 0, and begin at a multiple of 4; a mutable slice overlaps no
        // other. The registers that are written are named, and the loop uses no stack.
        unsafe {
            asm!(
                "2:",
                "ldmia {from}!, {{r2, r3, r4, r5, r8, r9, r10, r12}}",
                "stmia {to}!, {{r2, r3, r4, r5, r8, r9, r10, r12}}",
                "ldmia {from}!, {{r2, r3, r4, r5, r8, r9, r10, r12}}",
                "stmia {to}!, {{r2, r3, r4, r5, r8, r9, r10, r12}}",
                "subs {left}, {left}, #64",
                "bne 2b",
                from = inout(reg) from.as_ptr() => _,
                to = inout(reg) to.as_mut_ptr() => _,
                left = inout(reg) whole => _,
                out("r2") _, out("r3") _, out("r4") _, out("r5") _,
                out("r8") _, out("r9") _, out("r10") _, out("r12") _,
                options(nostack),
            );
        }
    }
    to[whole..len].copy_from_slice(&from[whole..len]);
}
