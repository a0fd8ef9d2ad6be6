//! The calls and the frame of each function, from its instructions.

use super::image::Image;
use super::thumb::{Effect, FRAME_POINTERS, Flow, Instruction, decode};
use std::collections::BTreeSet;

/// What the instructions of one function say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The bytes by which all its instructions together lower the stack pointer: an upper bound of its frame. `None` where one
    /// of them moves it by an amount that stands in a register.
    pub lowered: Option<u32>,
    /// The bytes that aligning its frame may take beside, at most, which the compiler's figure leaves out.
    pub aligning: u32,
    /// Functions that it calls, or to which it jumps for the last time (indices of [`Image::functions`]).
    pub callees: BTreeSet<usize>,
    /// How many calls and jumps by a register it has.
    pub indirect: usize,
    /// How many branches lead to no function, or to where the decoder cannot tell.
    pub lost: usize,
    /// Functions whose address it makes with MOVW and MOVT.
    pub addresses: BTreeSet<usize>,
}

/// Reads the function with this index.
pub fn scan(image: &Image, index: usize) -> Scan {
    let function = &image.functions[index];
    let mut scan = Scan { lowered: Some(0), ..Scan::default() };
    let mut halves = (BTreeSet::new(), BTreeSet::new());
    // What the instruction before did to a register from which the stack pointer may come.
    let mut derived = Effect::None;
    // Whether the instruction before is `mov pc`, which compilers use for a large `match`: to one of the branches behind it.
    let mut at_table = false;
    let mut read_to = None;
    for (address, instruction) in instructions(image, function.address, function.end) {
        if std::mem::take(&mut at_table) {
            match instruction.flow {
                // B.W T4, the first of the table.
                Flow::Jump(_) if instruction.bytes == 4 => {}
                // NOP, which aligns the table.
                Flow::Next if instruction.bytes == 2 => at_table = true,
                _ => scan.indirect += 1,
            }
        }
        match instruction.flow {
            Flow::Call(target) => scan.reaches(image, target),
            // A last call. The frame has been left by then, as a rule, but nothing here relies on it.
            Flow::Jump(target) if !(function.address..function.end).contains(&target) => scan.reaches(image, target),
            Flow::CallRegister | Flow::JumpRegister => scan.indirect += 1,
            Flow::MovePc => at_table = true,
            Flow::Unknown => scan.lost += 1,
            Flow::Next | Flow::Jump(_) | Flow::End => {}
        }
        let before = std::mem::replace(&mut derived, Effect::None);
        match instruction.effect {
            Effect::Lower(bytes) => scan.lowered = scan.lowered.map(|sum| sum.saturating_add(bytes)),
            Effect::Variable => scan.lowered = None,
            Effect::FromRegister(register) => match before {
                // The frame is aligned by clearing bits of the stack pointer; its two lowest are clear already.
                Effect::Clear { register: aligned, bits } if aligned == register => {
                    let most = 1u32.checked_shl(bits).map_or(u32::MAX, |size| size.saturating_sub(4));
                    scan.aligning = scan.aligning.saturating_add(most);
                }
                // The frame is left.
                Effect::InFrame { register: taken } if taken == register => {}
                _ if FRAME_POINTERS.contains(&register) => {}
                _ => scan.lowered = None,
            },
            Effect::Clear { .. } | Effect::InFrame { .. } => derived = instruction.effect,
            Effect::LowHalf { register, value } => drop(halves.0.insert((register, value))),
            Effect::HighHalf { register, value } => drop(halves.1.insert((register, value))),
            Effect::None => {}
        }
        read_to = Some((address + instruction.bytes, instruction.flow));
    }
    scan.indirect += usize::from(at_table);
    match read_to {
        // Assembly may fall into the function behind it; compiled code that ends so has nothing behind a call.
        Some((end, Flow::Next)) if end == function.end && function.noted.is_none() => {
            scan.callees.extend(image.function_at(end));
        }
        Some(_) => {}
        // No mapping symbol says that there is code.
        None => scan.lowered = None,
    }
    // Any lower half with any upper half of the same register: in which order they are reached is not followed.
    for &(register, high) in &halves.1 {
        let lows = halves.0.iter().filter(|&&(other, _)| other == register);
        scan.addresses.extend(lows.filter_map(|&(_, low)| pointed_to(image, u32::from(high) << 16 | u32::from(low))));
    }
    scan
}

impl Scan {
    fn reaches(&mut self, image: &Image, target: u32) {
        match image.function_at(target) {
            Some(callee) => drop(self.callees.insert(callee)),
            None => self.lost += 1,
        }
    }
}

/// The function to which the number would be a pointer: bit 0 says Thumb.
pub fn pointed_to(image: &Image, number: u32) -> Option<usize> {
    let address = number.checked_sub(1).filter(|address| address & 1 == 0)?;
    image.functions.binary_search_by_key(&address, |function| function.address).ok()
}

/// The instructions from `start` to `end`, without the data between them.
fn instructions(image: &Image, start: u32, end: u32) -> impl Iterator<Item = (u32, Instruction)> {
    let pieces = image.code.iter().map(move |&(from, to)| (from.max(start), to.min(end))).filter(|(from, to)| from < to);
    pieces.flat_map(move |(from, to)| {
        let mut at = from;
        std::iter::from_fn(move || {
            let address = at;
            let instruction = decode(address, image.halfword(address), image.halfword(address.saturating_add(2)));
            at = address.saturating_add(instruction.bytes);
            (address < to).then_some((address, instruction))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::image::Function;

    /// A firmware of these functions, one behind the other from 0x400 on, all of it code.
    fn image<const N: usize>(functions: [&[u16]; N]) -> Image {
        let mut address = 0x400;
        let mut text = Vec::new();
        let function = |code: &&[u16]| {
            let (name, start) = (format!("f{address:x}"), address);
            address += 2 * code.len() as u32;
            text.extend(code.iter().flat_map(|halfword| halfword.to_le_bytes()));
            Function { name, address: start, end: address, noted: None }
        };
        let functions = functions.iter().map(function).collect();
        Image::of_code(functions, text, 0x400)
    }

    fn scanned(code: &[u16]) -> Scan {
        scan(&image([code, &[0x4770, 0x4770], &[0x4770]]), 0)
    }

    #[test]
    fn frames_add_up_and_aligning_counts_at_most() {
        // push {r4, r7, lr}; add r7, sp, #4; mov r4, sp; bfc r4, #0, #4; mov sp, r4; sub sp, #16; mov sp, r7; pop {r4, r7, pc}.
        let aligned = [0xB590, 0xAF01, 0x466C, 0xF36F, 0x0403, 0x46A5, 0xB084, 0x46BD, 0xBD90];
        let scan = scanned(&aligned);
        assert_eq!((scan.lowered, scan.aligning), (Some(12 + 16), 12));
        // push {r4, r7, lr}; add r7, sp, #4; sub.w r4, r7, #4; mov sp, r4; pop {r4, r7, pc}.
        assert_eq!(scanned(&[0xB590, 0xAF01, 0xF1A7, 0x0404, 0x46A5, 0xBD90]).lowered, Some(12));
        assert_eq!(scanned(&[0x46A5, 0x4770]).lowered, None); // mov sp, r4
        assert_eq!(scanned(&[0xEBAD, 0x0D03, 0x4770]).lowered, None); // sub.w sp, sp, r3
        assert_eq!(scanned(&[]).lowered, None);
    }

    #[test]
    fn branches_out_of_a_function_are_calls() {
        // cbz r0, .+4; bl f; b .; then bx lr.
        let scan = scanned(&[0xB100, 0xF000, 0xF802, 0xE7FE, 0x4770]);
        assert_eq!((scan.callees, scan.lost, scan.indirect), (BTreeSet::from([1]), 0, 0));
        // b.w to the third function; its last instruction does not go on.
        assert_eq!(scanned(&[0xF000, 0xB802]).callees, BTreeSet::from([2]));
        // The last function falls off the end of all code; the first into the second.
        assert_eq!(scanned(&[0xBF00]).callees, BTreeSet::from([1]));
        // bl to what is no function.
        assert_eq!(scanned(&[0xF000, 0xFC00, 0x4770]).lost, 1);
    }

    #[test]
    fn tables_of_branches_stay_in_the_function() {
        // mov pc, r6; nop; b.w .+4; b.w .; bx lr.
        assert_eq!(
            scanned(&[0x46B7, 0xBF00, 0xF000, 0xB800, 0xF7FF, 0xBFFE, 0x4770]),
            Scan { lowered: Some(0), ..Scan::default() }
        );
        // mov pc, r6; bx lr, and mov pc, r6 alone.
        assert_eq!(scanned(&[0x46B7, 0x4770]).indirect, 1);
        assert_eq!(scanned(&[0x46B7]).indirect, 1);
    }

    #[test]
    fn addresses_are_made_of_two_halves() {
        // movw r1, #0x40f; movw r0, #0x40d; movt r0, #0; blx r0; bx lr: only the second function's address, with bit 0.
        let code = [0xF240, 0x410F, 0xF240, 0x400F, 0xF2C0, 0x0000, 0x4780, 0x4770];
        let scan = scanned(&code);
        assert_eq!((scan.indirect, scan.addresses), (1, BTreeSet::new()));
        let code = [0xF240, 0x410F, 0xF240, 0x4011, 0xF2C0, 0x0000, 0x4780, 0x4770];
        assert_eq!(scanned(&code).addresses, BTreeSet::from([1]));
    }
}
