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

/// Copies as many bytes as both have: 128 bytes at a time where both begin at a word, as a driver would that has no DMA. (What the
/// compiler brings takes many times the instructions, and a storage's cost is not the network's.)
fn copy(to: &mut [u8], from: &[u8]) {
    let len = to.len().min(from.len());
    let aligned = (to.as_ptr() as usize | from.as_ptr() as usize).is_multiple_of(4);
    let whole = if aligned { len / 128 * 128 } else { 0 };
    if whole > 0 {
        // SAFETY: both slices have `whole` bytes, a multiple of 128 above 0, and begin at a multiple of 4; a mutable slice overlaps no
        // other.
        unsafe { copy_blocks(to.as_mut_ptr(), from.as_ptr(), whole) };
    }
    to[whole..len].copy_from_slice(&from[whole..len]);
}

/// Copies `len` bytes through the 32 registers of the floating-point unit.
///
/// # Safety
/// `len` is a multiple of 128 above 0; so many bytes can be read and written, and do not overlap; both begin at a multiple of 4.
#[cfg(target_abi = "eabihf")]
unsafe fn copy_blocks(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller's promise. The registers that are written are named, and the loop uses no stack.
    unsafe {
        asm!(
            "2:",
            "vldmia {from}!, {{d0-d15}}",
            "vstmia {to}!, {{d0-d15}}",
            "subs {left}, {left}, #128",
            "bne 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            left = inout(reg) len => _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _,
            out("d4") _, out("d5") _, out("d6") _, out("d7") _,
            out("d8") _, out("d9") _, out("d10") _, out("d11") _,
            out("d12") _, out("d13") _, out("d14") _, out("d15") _,
            options(nostack),
        );
    }
}

/// Copies `len` bytes, eight registers at a time.
///
/// # Safety
/// As above.
#[cfg(not(target_abi = "eabihf"))]
unsafe fn copy_blocks(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller's promise. The registers that are written are named, and the loop uses no stack.
    unsafe {
        asm!(
            "2:",
            ".rept 4",
            "ldmia {from}!, {{r2, r3, r4, r5, r8, r9, r10, r12}}",
            "stmia {to}!, {{r2, r3, r4, r5, r8, r9, r10, r12}}",
            ".endr",
            "subs {left}, {left}, #128",
            "bne 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            left = inout(reg) len => _,
            out("r2") _, out("r3") _, out("r4") _, out("r5") _,
            out("r8") _, out("r9") _, out("r10") _, out("r12") _,
            options(nostack),
        );
    }
}
