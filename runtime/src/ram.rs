//! The one buffer that a network runs in.

use static_cell::ConstStaticCell;

/// Bytes that begin at a multiple of 16, as the views of the engine need them.
#[repr(C, align(16))]
#[derive(Clone)]
pub struct Aligned<T: ?Sized>(pub T);

/// Static memory for a model: `static RAM: Ram<{ MODEL.ram_bytes() }> = Ram::new();`. It is all that a network needs besides
/// the stack, it lies in `.bss`, and it is handed out once.
pub struct Ram<const BYTES: usize>(ConstStaticCell<Aligned<[u8; BYTES]>>);

impl<const BYTES: usize> Ram<BYTES> {
    /// Zeroed memory.
    #[allow(clippy::new_without_default)] // `Default` is not const, and a `Ram` is only useful as a static.
    pub const fn new() -> Self {
        Ram(ConstStaticCell::new(Aligned([0; BYTES])))
    }

    /// The memory, aligned to 16 bytes; `None` when it was taken before.
    pub fn take(&'static self) -> Option<&'static mut [u8]> {
        self.0.try_take().map(|ram| &mut ram.0[..])
    }
}
