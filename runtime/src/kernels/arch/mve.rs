//! Cores with vectors, M-Profile Vector Extension with floating point (Cortex-M52, M55, M85): what a compiler makes several times
//! the instructions of.
//!
//! Instructions, not intrinsics, which a stable compiler does not have for these cores. `build.rs` sees to it that they are only
//! assembled for a core that has them. Vectors q0 to q3 are used, which no caller expects to be kept.

use super::{FACTOR, PIXELS, portable};
use core::arch::asm;

/// As [`super::requantize`]. Four instructions an output; 13 for the four sums of a channel.
///
/// `max(v, -65,536)` makes a NaN that value, as [`crate::quant::round_half_even`] does; what lies above the other limit the
/// conversion and the addition saturate, which ends at `hi` as well.
pub(super) fn requantize(sums: &mut [[i32; PIXELS]], bias: &[i32], multiplier: &[f32], zero_point: i8, [lo, hi]: [i8; 2]) {
    let n = sums.len().min(bias.len()).min(multiplier.len());
    if n == 0 {
        return;
    }
    // SAFETY: each of the slices has n elements, which is what the loop reads and, of the first, writes. Registers that change are
    // named, and the stack is not used.
    unsafe {
        asm!(
            "vdup.32 q1, {smallest}",
            "vdup.32 q2, {lo}",
            "vdup.32 q3, {hi}",
            "dls lr, {n}",
            "2:",
            "vldrw.u32 q0, [{sums}]",
            "ldr {t}, [{bias}], #4",
            "vadd.i32 q0, q0, {t}",
            "ldr {t}, [{multiplier}], #4",
            "vcvt.f32.s32 q0, q0",
            "vmul.f32 q0, q0, {t}",
            "vmaxnm.f32 q0, q0, q1",
            "vcvtn.s32.f32 q0, q0",
            "vqadd.s32 q0, q0, {zero_point}",
            "vmax.s32 q0, q0, q2",
            "vmin.s32 q0, q0, q3",
            "vstrw.32 q0, [{sums}], #16",
            "le lr, 2b",
            n = in(reg) n,
            sums = inout(reg) sums.as_mut_ptr() => _,
            bias = inout(reg) bias.as_ptr() => _,
            multiplier = inout(reg) multiplier.as_ptr() => _,
            zero_point = in(reg) zero_point as i32,
            lo = in(reg) lo as i32,
            smallest = in(reg) (-65_536f32).to_bits(),
            hi = in(reg) hi as i32,
            t = out(reg) _,
            out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _,
            out("d4") _, out("d5") _, out("d6") _, out("d7") _,
            options(nostack),
        );
    }
}

/// As [`super::add_words`]: two instructions for four words.
pub(super) fn add_words(words: &[[u32; 4]], sums: &mut [u32; 4]) {
    let (blocks, rest) = words.as_chunks::<8>();
    if !blocks.is_empty() {
        // SAFETY: the loop reads as many blocks of 128 bytes as there are; `sums` has 16 bytes. Registers that change are named, and
        // the stack is not used.
        unsafe {
            asm!(
                "vldrw.u32 q0, [{sums}]",
                "dls lr, {n}",
                "2:",
                ".rept 4",
                "vldrw.u32 q1, [{words}], #16",
                "vmla.u32 q1, q0, {factor}",
                "vldrw.u32 q0, [{words}], #16",
                "vmla.u32 q0, q1, {factor}",
                ".endr",
                "le lr, 2b",
                "vstrw.32 q0, [{sums}]",
                n = in(reg) blocks.len(),
                words = inout(reg) blocks.as_ptr() => _,
                sums = in(reg) sums.as_mut_ptr(),
                factor = in(reg) FACTOR,
                out("lr") _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                options(nostack),
            );
        }
    }
    portable::add_words(rest, sums);
}

/// As [`super::max_row_i8`]: five instructions for sixteen elements, however few the last ones are.
pub(super) fn max_row(best: &mut [i8], x: &[i8]) {
    let n = best.len().min(x.len());
    if n == 0 {
        return;
    }
    // SAFETY: both have n elements, and the loop touches no others: the last vector's lanes beyond them are switched off. Registers
    // that change are named, and the stack is not used.
    unsafe {
        asm!(
            "dlstp.8 lr, {n}",
            "2:",
            "vldrb.u8 q0, [{best}]",
            "vldrb.u8 q1, [{x}], #16",
            "vmax.s8 q0, q0, q1",
            "vstrb.8 q0, [{best}], #16",
            "letp lr, 2b",
            n = in(reg) n,
            best = inout(reg) best.as_mut_ptr() => _,
            x = inout(reg) x.as_ptr() => _,
            out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _,
            options(nostack),
        );
    }
}
