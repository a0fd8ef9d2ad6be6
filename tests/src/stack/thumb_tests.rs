//! Instructions assembled by hand after the manual's encoding diagrams.

use super::*;

/// Where the instruction stands: far enough from 0 for branches backwards.
const AT: u32 = 0x1000;

fn flow(first: u16, second: u16) -> Flow {
    decode(AT, first, second).flow
}

fn effect(first: u16, second: u16) -> Effect {
    decode(AT, first, second).effect
}

#[test]
fn lengths_follow_the_first_five_bits() {
    for (first, bytes) in [(0xE7FE, 2), (0xE800, 4), (0xF000, 4), (0xFFFF, 4), (0xBF00, 2), (0x0000, 2)] {
        assert_eq!(decode(AT, first, 0).bytes, bytes, "{first:#06x}");
    }
}

#[test]
fn pushes_lower_the_stack_pointer() {
    assert_eq!(effect(0xB5F0, 0), Effect::Lower(20)); // push {r4-r7, lr}
    assert_eq!(effect(0xB401, 0), Effect::Lower(4)); // push {r0}
    assert_eq!(effect(0xE92D, 0x4FF0), Effect::Lower(36)); // push.w {r4-r11, lr}
    assert_eq!(effect(0xF84D, 0xBD04), Effect::Lower(4)); // str r11, [sp, #-4]!
    assert_eq!(effect(0xED2D, 0x8B10), Effect::Lower(64)); // vpush {d8-d15}
    assert_eq!(effect(0xED2D, 0x8A03), Effect::Lower(12)); // vpush {s16-s18}
    assert_eq!(effect(0xE96D, 0x0102), Effect::Lower(8)); // strd r0, r1, [sp, #-8]!
    assert_eq!(effect(0xED2D, 0x1F04), Effect::Lower(16)); // vstrw.32 q0, [sp, #-16]!
}

#[test]
fn subtractions_lower_the_stack_pointer() {
    assert_eq!(effect(0xB083, 0), Effect::Lower(12)); // sub sp, #12
    assert_eq!(effect(0xB0FF, 0), Effect::Lower(508)); // sub sp, #508
    assert_eq!(effect(0xF5AD, 0x6D80), Effect::Lower(0x400)); // sub.w sp, sp, #1024
    assert_eq!(effect(0xF1AD, 0x0D10), Effect::Lower(16)); // sub.w sp, sp, #16
    assert_eq!(effect(0xF6AD, 0x7DFC), Effect::Lower(0xFFC)); // subw sp, sp, #4092
}

#[test]
fn what_a_register_decides_is_variable() {
    assert_eq!(effect(0xEBAD, 0x0D03), Effect::Variable); // sub.w sp, sp, r3
    assert_eq!(effect(0x449D, 0), Effect::Variable); // add sp, r3
    assert_eq!(effect(0xF8DD, 0xD004), Effect::Variable); // ldr.w sp, [sp, #4]
    assert_eq!(effect(0xF380, 0x8808), Effect::Variable); // msr msp, r0
    assert_eq!(effect(0xF380, 0x8810), Effect::None); // msr primask, r0
    assert_eq!(effect(0x46A5, 0), Effect::FromRegister(4)); // mov sp, r4
    assert_eq!(effect(0xEA4F, 0x0D07), Effect::FromRegister(7)); // mov.w sp, r7
    assert_eq!(effect(0xF1A7, 0x0D18), Effect::FromRegister(7)); // sub.w sp, r7, #24
}

#[test]
fn what_raises_or_leaves_the_stack_pointer_counts_for_nothing() {
    assert_eq!(effect(0xB003, 0), Effect::None); // add sp, #12
    assert_eq!(effect(0xF50D, 0x6D80), Effect::None); // add.w sp, sp, #1024
    assert_eq!(effect(0xE8BD, 0x4FF0), Effect::None); // pop.w {r4-r11, lr}
    assert_eq!(effect(0xECBD, 0x8B10), Effect::None); // vpop {d8-d15}
    assert_eq!(effect(0xE9CD, 0x0102), Effect::None); // strd r0, r1, [sp, #8]
    assert_eq!(effect(0xF84D, 0x0C04), Effect::None); // str r0, [sp, #-4]
    assert_eq!(effect(0xE92C, 0x4FF0), Effect::None); // stmdb r12!, {r4-r11, lr}
    assert_eq!(effect(0xED00, 0x0A01), Effect::None); // vstr s0, [r0, #-4]
    assert_eq!(effect(0xF1AD, 0x0010), Effect::None); // sub.w r0, sp, #16
}

#[test]
fn alignment_and_addresses_are_seen() {
    assert_eq!(effect(0xF36F, 0x0403), Effect::Clear { register: 4, bits: 4 }); // bfc r4, #0, #4
    assert_eq!(effect(0xF36F, 0x5B5F), Effect::None); // bfc r11, #21, #11
    assert_eq!(effect(0xF024, 0x040F), Effect::Clear { register: 4, bits: 4 }); // bic r4, r4, #15
    assert_eq!(effect(0xF1A7, 0x0460), Effect::InFrame { register: 4 }); // sub.w r4, r7, #96
    assert_eq!(effect(0xF1A6, 0x0460), Effect::None); // sub.w r4, r6, #96
    assert_eq!(effect(0xF240, 0x000A), Effect::LowHalf { register: 0, value: 10 }); // movw r0, #10
    assert_eq!(effect(0xF64B, 0x2CCD), Effect::LowHalf { register: 12, value: 0xBACD }); // movw r12, #0xbacd
    assert_eq!(effect(0xF2C2, 0x0100), Effect::HighHalf { register: 1, value: 0x2000 }); // movt r1, #0x2000
}

#[test]
fn calls_and_jumps_have_their_targets() {
    assert_eq!(flow(0xF000, 0xF800), Flow::Call(AT + 4)); // bl .+4
    assert_eq!(flow(0xF7FF, 0xFFFE), Flow::Call(AT)); // bl .
    assert_eq!(flow(0xF00A, 0xFB80), Flow::Call(AT + 4 + 0xA700)); // bl .+0xa704
    assert_eq!(flow(0xF000, 0xB802), Flow::Jump(AT + 8)); // b.w .+8
    assert_eq!(flow(0xF7FF, 0xBFFE), Flow::Jump(AT)); // b.w .
    assert_eq!(flow(0xF240, 0x80DD), Flow::Jump(AT + 4 + 0x1BA)); // bls.w .+0x1be
    assert_eq!(flow(0xF43F, 0xAFFE), Flow::Jump(AT)); // beq.w .
    assert_eq!(flow(0xE7FE, 0), Flow::Jump(AT)); // b .
    assert_eq!(flow(0xD0FE, 0), Flow::Jump(AT)); // beq .
    assert_eq!(flow(0xD001, 0), Flow::Jump(AT + 6)); // beq .+6
    assert_eq!(flow(0xB111, 0), Flow::Jump(AT + 8)); // cbz r1, .+8
    assert_eq!(flow(0xBBF8, 0), Flow::Jump(AT + 4 + 126)); // cbnz r0, .+130
}

#[test]
fn branches_by_register_are_told_from_returns() {
    assert_eq!(flow(0x4790, 0), Flow::CallRegister); // blx r2
    assert_eq!(flow(0x4794, 0), Flow::CallRegister); // blxns r2
    assert_eq!(flow(0x4718, 0), Flow::JumpRegister); // bx r3
    assert_eq!(flow(0x469F, 0), Flow::MovePc); // mov pc, r3
    assert_eq!(flow(0x449F, 0), Flow::JumpRegister); // add pc, r3
    assert_eq!(flow(0xF853, 0xF022), Flow::JumpRegister); // ldr.w pc, [r3, r2, lsl #2]
    assert_eq!(flow(0xF8DF, 0xF004), Flow::JumpRegister); // ldr.w pc, [pc, #4]
    for (first, second) in [(0x4770, 0), (0xBDF0, 0), (0xE8BD, 0x8FF0), (0xF85D, 0xFB04), (0x46F7, 0), (0xDE00, 0)] {
        assert_eq!(flow(first, second), Flow::End, "{first:#06x} {second:#06x}");
    }
    assert_eq!(flow(0xF7F0, 0xA000), Flow::End); // udf.w #0
}

#[test]
fn other_instructions_go_on() {
    // bkpt #0xab, svc #0, tbb [pc, r0], tbh [pc, r0, lsl #1], le lr, dls lr, r0, letp lr, dsb sy, sg, umull, nop.
    let words = [
        (0xBEAB, 0),
        (0xDF00, 0),
        (0xE8DF, 0xF000),
        (0xE8DF, 0xF010),
        (0xF00F, 0xC001),
        (0xF040, 0xE001),
        (0xF01F, 0xC001),
        (0xF3BF, 0x8F4F),
        (0xE97F, 0xE97F),
        (0xFBA0, 0x0102),
        (0xBF00, 0),
    ];
    for (first, second) in words {
        let found = decode(AT, first, second);
        assert_eq!((found.flow, found.effect), (Flow::Next, Effect::None), "{first:#06x} {second:#06x}");
    }
    assert_eq!(flow(0xF0C2, 0xE001), Flow::Unknown); // bf
}
