//! What one Thumb instruction does to the stack pointer and to the flow of control.
//!
//! Everything else that it does is left out: an instruction not named here moves neither. Encodings (T1, T2, ..) are those of
//! the Arm v7-M and v8-M Architecture Reference Manuals, chapter "Alphabetical list of instructions". Branches that go to
//! another place of the same function by a table (TBB, TBH) or a loop (LE, WLS of Armv8.1-M) count as going on.

const SP: u16 = 13;
const LR: u16 = 14;
const PC: u16 = 15;
/// Registers that hold a frame pointer, where a function has one: r7 in Rust, r11 by the AAPCS.
pub const FRAME_POINTERS: [u16; 2] = [7, 11];

/// A decoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Its length: 2 or 4 bytes.
    pub bytes: u32,
    /// Where it goes.
    pub flow: Flow,
    /// What it does to a register that matters here.
    pub effect: Effect,
}

/// Where an instruction goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// On, or to another place in the same function.
    Next,
    /// Calls this address.
    Call(u32),
    /// Goes to this address, perhaps on a condition.
    Jump(u32),
    /// Calls what a register holds.
    CallRegister,
    /// Goes to what a register or a word in memory holds.
    JumpRegister,
    /// Goes to what a register holds, by MOV: as a rule to one of the branches behind it.
    MovePc,
    /// Returns, or traps.
    End,
    /// A branch of which this decoder does not know the target.
    Unknown,
}

/// What an instruction does to the stack pointer, or to a register on the way to it or to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing of the following; it may raise the stack pointer.
    None,
    /// Lowers the stack pointer by this many bytes.
    Lower(u32),
    /// Sets the stack pointer from this register.
    FromRegister(u16),
    /// Moves the stack pointer by an amount that is not in the instruction.
    Variable,
    /// Clears the lowest bits of a register, as code does that aligns its frame.
    Clear {
        /// The register.
        register: u16,
        /// How many bits.
        bits: u32,
    },
    /// Computes an address in the frame from r7 or r11, which hold a frame pointer, as code does before it leaves the frame.
    InFrame {
        /// The register that takes it.
        register: u16,
    },
    /// MOVW: a register becomes this number.
    LowHalf {
        /// The register.
        register: u16,
        /// The number.
        value: u16,
    },
    /// MOVT: the upper half of a register becomes this number.
    HighHalf {
        /// The register.
        register: u16,
        /// The number.
        value: u16,
    },
}

/// Whether an instruction that begins with this halfword has a second one.
pub fn is_wide(first: u16) -> bool {
    first >> 11 >= 0b11101
}

/// Decodes the instruction at `address`; `second` is the halfword behind `first`, which a 16-bit instruction ignores.
pub fn decode(address: u32, first: u16, second: u16) -> Instruction {
    if is_wide(first) {
        let (flow, effect) = wide(address, first, second);
        Instruction { bytes: 4, flow, effect }
    } else {
        let (flow, effect) = narrow(address, first);
        Instruction { bytes: 2, flow, effect }
    }
}

/// The bits of `halfword` from `low` on.
fn field(halfword: u16, low: u32, width: u32) -> u16 {
    (halfword >> low) & ((1 << width) - 1)
}

fn bit(halfword: u16, index: u32) -> u32 {
    u32::from(field(halfword, index, 1))
}

/// A branch's target: `offset`, whose sign stands in bit `width - 1`, from the instruction's address plus 4.
fn target(address: u32, offset: u32, width: u32) -> u32 {
    let unused = 32 - width;
    address.wrapping_add(4).wrapping_add((((offset << unused) as i32) >> unused) as u32)
}

fn narrow(address: u32, hw: u16) -> (Flow, Effect) {
    let (next, none) = (Flow::Next, Effect::None);
    // The register that ADD (register) T2 and MOV (register) T1 write: DN:Rdn.
    let (rd, rm) = (field(hw, 7, 1) << 3 | field(hw, 0, 3), field(hw, 3, 4));
    match hw {
        // PUSH T1: eight low registers and LR.
        0xB400..=0xB5FF => (next, Effect::Lower(4 * (hw & 0x1FF).count_ones())),
        // SUB (SP minus immediate) T1.
        0xB080..=0xB0FF => (next, Effect::Lower(4 * u32::from(hw & 0x7F))),
        // POP T1 with PC.
        0xBD00..=0xBDFF => (Flow::End, none),
        // BX T1, BXNS T1.
        0x4700..=0x477F if rm == LR => (Flow::End, none),
        0x4700..=0x477F => (Flow::JumpRegister, none),
        // BLX (register) T1, BLXNS T1.
        0x4780..=0x47FF => (Flow::CallRegister, none),
        // ADD (register) T2, ADD (SP plus register) T1 and T2.
        0x4400..=0x44FF if rd == SP => (next, Effect::Variable),
        0x4400..=0x44FF if rd == PC => (Flow::JumpRegister, none),
        // MOV (register) T1.
        0x4600..=0x46FF if rd == SP => (next, Effect::FromRegister(rm)),
        0x4600..=0x46FF if rd == PC && rm == LR => (Flow::End, none),
        0x4600..=0x46FF if rd == PC => (Flow::MovePc, none),
        // UDF T1, then SVC T1, then B T1.
        0xDE00..=0xDEFF => (Flow::End, none),
        0xDF00..=0xDFFF => (next, none),
        0xD000..=0xDDFF => (Flow::Jump(target(address, u32::from(hw & 0xFF) << 1, 9)), none),
        // B T2.
        0xE000..=0xE7FF => (Flow::Jump(target(address, u32::from(hw & 0x7FF) << 1, 12)), none),
        // CBZ, CBNZ T1: only forward.
        0xB000..=0xBFFF if hw & 0xF500 == 0xB100 => {
            let offset = bit(hw, 9) << 6 | u32::from(field(hw, 3, 5)) << 1;
            (Flow::Jump(address.wrapping_add(4 + offset)), none)
        }
        _ => (next, none),
    }
}

fn wide(address: u32, first: u16, second: u16) -> (Flow, Effect) {
    match first {
        0xF000..=0xF7FF if second & 0x8000 != 0 => branch(address, first, second),
        0xF000..=0xF7FF => (Flow::Next, immediate(first, second)),
        // Load and store multiple, then dual, exclusive and table branch.
        0xE800..=0xE9FF if first & 0x40 == 0 => multiple(first, second),
        0xE800..=0xE9FF => (Flow::Next, write_back(first, 4 * u32::from(second & 0xFF))),
        // STC, VSTM and VPUSH (T1, T2), VSTR of MVE with write-back: at most four times the lowest eight bits.
        0xEC00..=0xEDFF | 0xFC00..=0xFDFF => (Flow::Next, write_back(first, 4 * u32::from(second & 0xFF))),
        // Data processing (shifted register): MOV.W T3, then SUB, ADD and the rest.
        0xEA00..=0xEBFF if second & 0x8000 == 0 && field(second, 8, 4) == SP => match first {
            0xEA4F if second & 0x70F0 == 0 => (Flow::Next, Effect::FromRegister(field(second, 0, 4))),
            _ => (Flow::Next, Effect::Variable),
        },
        0xF800..=0xF9FF => single(first, second),
        _ => (Flow::Next, Effect::None),
    }
}

/// Branches and miscellaneous control.
fn branch(address: u32, first: u16, second: u16) -> (Flow, Effect) {
    let (sign, j1, j2) = (bit(first, 10), bit(second, 13), bit(second, 11));
    let low = u32::from(field(second, 0, 11)) << 1;
    // BL T1 and B T4: S:I1:I2:imm10:imm11:0.
    let far = || {
        let upper = sign << 24 | (1 ^ j1 ^ sign) << 23 | (1 ^ j2 ^ sign) << 22;
        target(address, upper | u32::from(field(first, 0, 10)) << 12 | low, 25)
    };
    match second & 0x5000 {
        0x5000 => (Flow::Call(far()), Effect::None),
        0x1000 => (Flow::Jump(far()), Effect::None),
        // WLS, DLS, LE, LCTP and their forms with tail predication; in their space else BF, which compilers do not use.
        0x4000 if first & 0xFF80 == 0xF000 => (Flow::Next, Effect::None),
        0x4000 => (Flow::Unknown, Effect::None),
        // Conditions 14 and 15 are no branches: UDF T2; MSR T1 to MSP, PSP or CONTROL; hints and barriers.
        _ if field(first, 7, 3) == 0b111 => match first {
            0xF7F0..=0xF7FF if second & 0xF000 == 0xA000 => (Flow::End, Effect::None),
            0xF380..=0xF39F if matches!(second & 0x7F, 8 | 9 | 20) => (Flow::Next, Effect::Variable),
            _ => (Flow::Next, Effect::None),
        },
        // B T3: S:J2:J1:imm6:imm11:0.
        _ => {
            let offset = sign << 20 | j2 << 19 | j1 << 18 | u32::from(field(first, 0, 6)) << 12 | low;
            (Flow::Jump(target(address, offset, 21)), Effect::None)
        }
    }
}

/// Data processing with an immediate operand.
fn immediate(first: u16, second: u16) -> Effect {
    let (rn, rd) = (field(first, 0, 4), field(second, 8, 4));
    // i:imm3:imm8.
    let imm12 = field(first, 10, 1) << 11 | field(second, 12, 3) << 8 | field(second, 0, 8);
    match (first & 0xFBF0, rd) {
        // SUB (SP minus immediate) T2, T3; with another base it takes the stack pointer from a frame pointer.
        (0xF1A0 | 0xF1B0, SP) if rn == SP => Effect::Lower(expand(imm12)),
        (0xF2A0, SP) if rn == SP => Effect::Lower(u32::from(imm12)),
        // ADD (SP plus immediate) T3, T4.
        (0xF100 | 0xF110, SP) if rn == SP && expand(imm12) < 1 << 31 => Effect::None,
        (0xF200, SP) if rn == SP => Effect::None,
        (0xF100 | 0xF1A0 | 0xF200 | 0xF2A0, SP) if rn != SP => Effect::FromRegister(rn),
        (_, SP) => Effect::Variable,
        // SUB (immediate) T3, T4.
        (0xF1A0 | 0xF2A0, register) if FRAME_POINTERS.contains(&rn) => Effect::InFrame { register },
        // MOV (immediate) T3 and MOVT T1: imm4:i:imm3:imm8.
        (0xF240, register) => Effect::LowHalf { register, value: rn << 12 | imm12 },
        (0xF2C0, register) => Effect::HighHalf { register, value: rn << 12 | imm12 },
        // BFC T1 from bit 0.
        (0xF360, register) if rn == PC && second & 0x70C0 == 0 => {
            Effect::Clear { register, bits: u32::from(field(second, 0, 5)) + 1 }
        }
        // BIC (immediate) T1 of the lowest bits.
        (0xF020, register) => match expand(imm12) {
            mask if mask & mask.wrapping_add(1) == 0 => Effect::Clear { register, bits: mask.count_ones() },
            _ => Effect::None,
        },
        _ => Effect::None,
    }
}

/// `ThumbExpandImm` of the manual.
fn expand(imm12: u16) -> u32 {
    let byte = u32::from(imm12 & 0xFF);
    match imm12 >> 8 {
        0b0000 => byte,
        0b0001 => byte << 16 | byte,
        0b0010 => byte << 24 | byte << 8,
        0b0011 => byte * 0x0101_0101,
        _ => (byte & 0x7F | 0x80).rotate_right(u32::from(imm12 >> 7)),
    }
}

/// LDM, STM and what has their form: PUSH T2 is STMDB T1, POP T2 is LDM T2.
fn multiple(first: u16, second: u16) -> (Flow, Effect) {
    let (decrement, load) = (field(first, 7, 2) == 0b10, bit(first, 4) == 1);
    let flow = match first {
        // SG T1.
        0xE97F => Flow::Next,
        _ if load && second & 0x8000 != 0 => match field(first, 0, 4) {
            SP if !decrement => Flow::End,
            _ => Flow::JumpRegister,
        },
        _ => Flow::Next,
    };
    let lowers = decrement && bit(first, 5) == 1 && field(first, 0, 4) == SP;
    (flow, if lowers { Effect::Lower(4 * second.count_ones()) } else { Effect::None })
}

/// Loads and stores whose first halfword is `1110_110P_UxWL_Rn` or `1110_100P_U1WL_Rn`: with W set and U clear Rn falls.
fn write_back(first: u16, bytes: u32) -> Effect {
    if field(first, 0, 4) == SP && bit(first, 7) == 0 && bit(first, 5) == 1 { Effect::Lower(bytes) } else { Effect::None }
}

/// Load and store of one item: PUSH T3 is STR (immediate) T4, POP T3 is LDR (immediate) T4.
fn single(first: u16, second: u16) -> (Flow, Effect) {
    let (rn, rt) = (field(first, 0, 4), field(second, 12, 4));
    // P, U and W exist where the offset has eight bits.
    let indexed = first & 0x80 == 0 && second & 0x0800 != 0;
    let (up, write) = (second & 0x0200 != 0, second & 0x0100 != 0);
    let is_word_load = first & 0xFF70 == 0xF850;
    match (is_word_load, rt) {
        (true, PC) if rn == SP && indexed && write => (Flow::End, Effect::None),
        (true, PC) => (Flow::JumpRegister, Effect::None),
        (true, SP) => (Flow::Next, Effect::Variable),
        _ if rn == SP && indexed && write && !up => (Flow::Next, Effect::Lower(u32::from(second & 0xFF))),
        _ => (Flow::Next, Effect::None),
    }
}

#[cfg(test)]
#[path = "thumb_tests.rs"]
mod tests;
