//! Start-up, memory, stack measurement and exit of the simulated boards: all that firmware here does in `unsafe` code.
//!
//! The board is chosen when building (`STATICNET_BOARD`, see `build.rs`). A panic or a fault prints a message over defmt and
//! ends QEMU with exit status 1.
#![no_std]

mod flash;

pub use flash::{Flash, FlashError};

use core::arch::asm;
use core::panic::PanicInfo;
use cortex_m_rt::{ExceptionFrame, exception};
use defmt_semihosting as _;
use semihosting::fs::File;
use semihosting::io::Write;
use staticnet_protocol::report::STACK_FILE;
use staticnet_protocol::{Board, MARK_BEGIN, MARK_END};

/// The board this firmware is built for.
pub const BOARD: &Board = match Board::named(env!("STATICNET_BOARD")) {
    Some(board) => board,
    None => panic!("build.rs accepted an unknown board"),
};

/// `CCR.LOB` of Armv8.1-M: without it the core refuses low-overhead loops.
const CCR_LOB: u32 = 1 << 19;

/// Prepares the core; the first thing `main` does. (The start-up code of `cortex-m-rt` has enabled the floating-point and
/// vector unit in CPACR, where the target has one, and filled the stack with its paint.)
pub fn start() {
    if BOARD.low_overhead_loops {
        // SAFETY: one thread, no interrupt in use; the bit changes how loops run, not memory.
        unsafe { (*cortex_m::peripheral::SCB::PTR).ccr.modify(|ccr| ccr | CCR_LOB) };
        cortex_m::asm::dsb();
        cortex_m::asm::isb();
    }
}

/// The external memory in which the host places a job before reset.
pub fn job_memory() -> &'static [u8] {
    // SAFETY: the board has readable memory at these addresses (`Board`), outside of the regions that the linker scripts name,
    // so no Rust object lies there and nothing writes to it while the firmware runs; any byte is a valid `u8`.
    unsafe { core::slice::from_raw_parts(BOARD.job_address as *const u8, BOARD.job_space as usize) }
}

/// The lowest word of the stack and the end of its highest, as the linker script defines them.
fn stack() -> (*const u32, *const u32) {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    (&raw const _stack_end, &raw const _stack_start)
}

/// Bytes that statics leave to the stack.
pub fn stack_space() -> u32 {
    let (low, top) = stack();
    (top as usize - low as usize) as u32
}

/// Bytes of stack used since reset, at most: what lies above the untouched paint.
pub fn stack_bytes() -> u32 {
    let (low, top) = stack();
    let mut word = low;
    // SAFETY: `low` and `top` bound the memory that the linker script gives to the stack, painted word by word before `main`.
    // Below the deepest frame no Rust object lies; the read is volatile and makes no reference.
    while word < top && unsafe { word.read_volatile() } == cortex_m_rt::STACK_PAINT_VALUE {
        word = word.wrapping_add(1);
    }
    (top as usize - word as usize) as u32
}

/// Names this place to the host's instruction counter as the beginning of what is counted.
#[inline(always)]
pub fn mark_begin() {
    // SAFETY: writes a scratch register that is declared. It is taken to touch memory, so the step stays behind it.
    unsafe { asm!("movw r12, #{mark}", mark = const MARK_BEGIN, out("r12") _, options(nostack, preserves_flags)) };
}

/// Names this place to the host's instruction counter as the end of what is counted.
#[inline(always)]
pub fn mark_end() {
    // SAFETY: as in `mark_begin`.
    unsafe { asm!("movw r12, #{mark}", mark = const MARK_END, out("r12") _, options(nostack, preserves_flags)) };
}

/// Ends QEMU with this exit status; where it is 0, leaves [`stack_bytes`] in the file [`STACK_FILE`].
pub fn exit(status: u8) -> ! {
    if status == 0 {
        // A host that has no place for the file does without.
        let bytes = stack_bytes().to_le_bytes();
        let _ = File::create(STACK_FILE).and_then(|mut file| file.write_all(&bytes));
    }
    semihosting::process::exit(i32::from(status))
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    exit(1)
}

// SAFETY (both handlers): they touch no memory of the interrupted program and never return to it.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at {=u32:#010x}, called from {=u32:#010x}", frame.pc(), frame.lr());
    exit(1)
}

#[exception]
unsafe fn DefaultHandler(interrupt: i16) -> ! {
    defmt::error!("unexpected exception {=i16}", interrupt);
    exit(1)
}
