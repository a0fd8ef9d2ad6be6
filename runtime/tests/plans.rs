//! What `Artifact::new` refuses about plans, one condition at a time: windows, rows of slots that share bytes, places of weights,
//! the streamed input, and the source of its rows.

use staticnet::op::{Conv2d, Function, Lrn, MaxPool, Op, Window};
use staticnet::record::{DType, NONE16};
use staticnet::{Artifact, ArtifactErrorKind as Kind};
use staticnet_testing::net::Net;
use staticnet_testing::plan::{self, Plan, Work, assemble};
use staticnet_testing::surgery::Parts;
use std::ops::Range;

/// Picture of 6 x 4 x 3, convolution to 6 channels, LRN over 3 of them, pool of two rows, scores.
fn net() -> Net {
    let mut net = Net::new(1);
    let x = net.tensor(DType::I8, [6, 4, 3]);
    net.inputs.push(x);
    let conv = Conv2d { window: Window::square(3, 1, 1), groups: 1 };
    let conv = net.layer(Op::Conv2d(conv), &[x], DType::I8, [6, 4, 6]);
    let normal = net.layer(Op::Lrn(Lrn { size: 3, alpha: 0.02, beta: 0.75, k: 2.0 }), &[conv], DType::I8, [6, 4, 6]);
    let window = Window { kernel: [2, 1], stride: [2, 1], dilation: [1; 2], pads: [0; 4] };
    let pooled = net.layer(Op::MaxPool(MaxPool { window }), &[normal], DType::I8, [3, 4, 6]);
    let scores = net.layer(Op::Linear, &[pooled], DType::I8, [1, 1, 2]);
    net.outputs.push(scores);
    net
}

fn work(
    layer: usize,
    rows: Range<usize>,
    channels: Range<usize>,
    from: Option<Range<usize>>,
    to: Option<Range<usize>>,
) -> Work {
    Work { layer, rows, channels, from, to }
}

/// Steps.
const CONV: usize = 0;
const LRN: usize = 1;
const POOL: usize = 2;
const LINEAR: usize = 3;
const STEP: (u16, usize) = (4, 32);
const SLOT: (u16, usize) = (3, 16);

/// The channels 2 and 3 behind the pool, through windows of what LRN needs and makes, all rows at once.
fn blocked(net: &Net) -> Plan {
    let mut plan = Plan { places: 1, source: Some((9, 9, 1)), in_place: false, ..plan::whole(net) };
    plan.work = vec![
        work(0, 0..6, 1..5, None, Some(1..5)),
        work(1, 0..6, 2..4, Some(1..5), Some(2..4)),
        work(2, 0..3, 2..4, Some(2..4), None),
        work(3, 0..1, 0..2, None, None),
    ];
    plan
}

fn judge(bytes: &[u8]) -> Option<Kind> {
    Artifact::new(bytes).err().map(|error| error.kind)
}

/// The plan with a change to its bytes.
fn changed(plan: &Plan, change: impl FnOnce(&mut Parts)) -> Option<Kind> {
    let mut parts = Parts::of(&assemble(&net(), plan));
    change(&mut parts);
    judge(&parts.assemble())
}

fn set(parts: &mut Parts, (id, size): (u16, usize), i: usize, at: usize, value: u32) {
    // 16-bit fields of steps and slots, but for offsets in RAM.
    let wide = matches!((id, at), (3, 4 | 8) | (4, 16 | 20 | 24));
    parts.set(id, size, i, at, &value.to_le_bytes()[..if wide { 4 } else { 2 }]);
}

fn slot_of(parts: &mut Parts, step: usize, operand: usize) -> usize {
    let slot = parts.get(STEP.0, STEP.1, step, operand);
    assert_ne!(slot, NONE16);
    slot as usize
}

/// Where a slot lies.
fn offset(parts: &mut Parts, slot: usize) -> u32 {
    parts.get(SLOT.0, SLOT.1, slot, 4) as u32 | (parts.get(SLOT.0, SLOT.1, slot, 6) as u32) << 16
}

/// A slot once more, under a number of its own.
fn copy_slot(parts: &mut Parts, slot: usize) -> usize {
    let slots = parts.section(SLOT.0).expect("slots");
    slots.extend_from_within(slot * SLOT.1..(slot + 1) * SLOT.1);
    slots.len() / SLOT.1 - 1
}

const INPUT: usize = 2;
const OUTPUT: usize = 6;

#[test]
fn the_plan_itself_is_sound() {
    assert_eq!(changed(&blocked(&net()), |_| {}), None);
}

#[test]
fn windows_lie_in_their_tensors() {
    let plan = blocked(&net());
    for (c0, channels, want) in [
        (1, 5, None),
        (0, 6, None),
        (1, 6, Some(Kind::Range)),
        (2, 5, Some(Kind::Range)),
        (65_535, 4, Some(Kind::Range)),
        (1, 0, Some(Kind::Range)),
        (0, 65_535, Some(Kind::Range)),
    ] {
        let got = changed(&plan, |parts| {
            // A slot of the normalised tensor that no step uses, so that nothing else is asked of it.
            let last = copy_slot(parts, 0);
            set(parts, SLOT, last, 0, 2);
            set(parts, SLOT, last, 4, 0);
            set(parts, SLOT, last, 2, c0);
            set(parts, SLOT, last, 12, channels);
        });
        assert_eq!(got, want, "{channels} from {c0}");
    }
    // A window of all rows ends inside the RAM, whatever its channels.
    let got = changed(&plan, |parts| {
        let ram = u32::from_le_bytes(parts.header[24..28].try_into().expect("four bytes"));
        let slot = slot_of(parts, LRN, OUTPUT);
        // Two channels of six rows of four pixels: 48 bytes.
        set(parts, SLOT, slot, 4, ram / 16 * 16 - 32);
    });
    assert_eq!(got, Some(Kind::Ram));
}

#[test]
fn steps_find_their_channels_in_the_windows() {
    let change = |step, at, value| changed(&blocked(&net()), |parts| set(parts, STEP, step, at, value));
    // LRN of three channels over 2 and 3 reads 1 to 4.
    assert_eq!(change(LRN, 12, 1), Some(Kind::Range));
    assert_eq!(change(LRN, 14, 5), Some(Kind::Range));
    // The convolution makes 1 to 4: a window without them is its own fault, so LRN gets one of its own.
    let lrn_from = |c0: u32, channels: u32| {
        changed(&blocked(&net()), |parts| {
            let slot = slot_of(parts, LRN, INPUT);
            let copy = copy_slot(parts, slot);
            set(parts, SLOT, copy, 2, c0);
            set(parts, SLOT, copy, 12, channels);
            set(parts, STEP, LRN, INPUT, copy as u32);
        })
    };
    assert_eq!([lrn_from(1, 4), lrn_from(2, 3), lrn_from(1, 3)], [None, Some(Kind::Range), Some(Kind::Range)]);
    // Outputs.
    assert_eq!(change(POOL, 12, 1), Some(Kind::Range));
    // The convolution makes 1 to 4, into a slot that nobody reads.
    let conv_to = |c0: u32, channels: u32| {
        changed(&blocked(&net()), |parts| {
            let slot = slot_of(parts, CONV, OUTPUT);
            let copy = copy_slot(parts, slot);
            set(parts, SLOT, copy, 2, c0);
            set(parts, SLOT, copy, 12, channels);
            set(parts, STEP, CONV, OUTPUT, copy as u32);
        })
    };
    assert_eq!([conv_to(1, 4), conv_to(2, 3), conv_to(1, 3)], [None, Some(Kind::Range), Some(Kind::Range)]);
}

/// In place, windows begin with the same channel.
#[test]
fn a_step_in_place_has_one_window() {
    let mut net = Net::new(6);
    let x = net.tensor(DType::I8, [2, 4, 4]);
    net.inputs.push(x);
    let tanh = |net: &mut Net, x: u16| net.layer(Op::Unary(Function::Tanh), &[x], DType::I8, [2, 4, 4]);
    let middle = tanh(&mut net, x);
    let y = tanh(&mut net, middle);
    net.outputs.push(x);
    let judge = |from: Range<usize>, to: Range<usize>| {
        let plan = Plan { work: vec![work(1, 0..2, 1..2, Some(from), Some(to))], ..plan::whole(&net) };
        assert_eq!(net.layers[1].output, y);
        judge(&assemble(&net, &plan))
    };
    assert_eq!([judge(1..3, 1..3), judge(1..2, 1..2)], [None; 2]);
    assert_eq!([judge(0..2, 1..3), judge(0..3, 1..3)], [Some(Kind::Overlap); 2]);
}

/// Windows are for operators whose kernels know them.
#[test]
fn other_operators_want_all_channels() {
    let plan = |from, to, layer: usize| {
        let mut plan = blocked(&net());
        plan.work[layer].from = from;
        plan.work[layer].to = to;
        changed(&plan, |_| {})
    };
    assert_eq!(plan(Some(0..2), Some(1..5), CONV), Some(Kind::Range));
    assert_eq!(plan(Some(0..5), None, LINEAR), Some(Kind::Range));
    let mut plan = blocked(&net());
    plan.work[LINEAR].channels = 0..1;
    assert_eq!(changed(&plan, |_| {}), None);
    plan.work[LINEAR].to = Some(0..1);
    assert_eq!(changed(&plan, |_| {}), Some(Kind::Range));
    // An output is held with all channels; so is an input.
    for (io, channels) in [(0, 2), (1, 1)] {
        let got = changed(&blocked(&net()), |parts| {
            let slot = parts.get(6, 2, 2 + io, 0);
            let copy = copy_slot(parts, slot.into());
            set(parts, SLOT, copy, 12, channels);
            parts.set(6, 2, 2 + io, 0, &(copy as u16).to_le_bytes());
        });
        assert_eq!(got, Some(Kind::Range));
    }
}

/// The pool over one row of a whole tensor: what it writes may lie on rows that it does not read.
#[test]
fn rows_of_whole_slots_may_share_bytes_with_others() {
    let net = net();
    let mut plan = Plan { in_place: false, ..plan::whole(&net) };
    // Row 1 of the pool reads rows 2 and 3 of LRN's output: bytes 48 to 95. It writes bytes 24 to 47 of its own.
    plan.work = vec![work(2, 1..2, 0..6, None, None)];
    let pool_at = |plan: &Plan, bytes: i32, rows: Option<u32>| {
        changed(plan, |parts| {
            let (input, output) = (slot_of(parts, 0, INPUT), slot_of(parts, 0, OUTPUT));
            let place = offset(parts, input) as i32 + bytes;
            set(parts, SLOT, output, 4, place as u32);
            if let Some(rows) = rows {
                set(parts, SLOT, input, 8, rows);
            }
        })
    };
    for (bytes, want) in
        [(0, None), (16, Some(Kind::Overlap)), (32, Some(Kind::Overlap)), (64, Some(Kind::Overlap)), (80, None)]
    {
        assert_eq!(pool_at(&plan, bytes, None), want, "{bytes} behind the input");
        // In a ring of fewer rows any row may be anywhere: 5 rows, 120 bytes.
        let ring = if bytes - 5 * 24 + 24 < 0 { Some(Kind::Overlap) } else { want };
        assert_eq!(pool_at(&plan, bytes, Some(5)), ring, "{bytes} behind the ring");
    }
    assert_eq!(pool_at(&plan, 96, Some(5)), None);
}

#[test]
fn places_are_there_when_the_plan_is_for_a_storage() {
    let (stored, mapped) = (blocked(&net()), Plan { places: 0, ..blocked(&net()) });
    let none = u32::MAX;
    assert_eq!(changed(&mapped, |_| {}), None);
    assert_eq!(changed(&mapped, |parts| set(parts, STEP, CONV, 24, 0)), Some(Kind::Chunk));
    assert_eq!(changed(&stored, |parts| set(parts, STEP, CONV, 24, none)), Some(Kind::Chunk));
    // The flag against the steps.
    assert_eq!(changed(&stored, |parts| parts.header[6] = 0), Some(Kind::Chunk));
    assert_eq!(changed(&mapped, |parts| parts.header[6] = 2), Some(Kind::Chunk));
    assert_eq!(changed(&mapped, |parts| parts.header[6] = 4), Some(Kind::Version));
    // A pool has no weights: neither chunk nor place nor load.
    assert_eq!(changed(&stored, |parts| set(parts, STEP, POOL, 24, 0)), Some(Kind::Chunk));
    assert_eq!(changed(&stored, |parts| set(parts, STEP, POOL, 28, 1)), Some(Kind::Chunk));
    assert_eq!(changed(&stored, |parts| set(parts, STEP, POOL, 16, 0)), Some(Kind::Chunk));
    // Not to load is a matter of the plan; other bits are reserved.
    assert_eq!(changed(&stored, |parts| set(parts, STEP, CONV, 28, 0)), None);
    assert_eq!(changed(&stored, |parts| set(parts, STEP, POOL, 28, 0xFFFE)), None);
}

#[test]
fn places_lie_in_the_ram_beside_what_the_step_writes() {
    let plan = blocked(&net());
    let conv_at = |place: &dyn Fn(&mut Parts) -> u32| {
        changed(&plan, |parts| {
            let place = place(parts);
            set(parts, STEP, CONV, 24, place);
        })
    };
    let ram = |parts: &Parts| u32::from_le_bytes(parts.header[24..28].try_into().expect("four bytes"));
    let old = |parts: &mut Parts| parts.get(STEP.0, STEP.1, CONV, 24) as u32;
    assert_eq!(conv_at(&|parts| old(parts) + 8), Some(Kind::Ram));
    // Four channels of 27 weights, a bias and a multiplier: 140 bytes.
    assert_eq!(conv_at(&|parts| (ram(parts) - 144) / 16 * 16), None);
    assert_eq!(conv_at(&|parts| (ram(parts) - 124) / 16 * 16), Some(Kind::Ram));
    assert_eq!(conv_at(&|_| 0xFFFF_FFF0), Some(Kind::Ram));
    let output = |parts: &mut Parts| {
        let slot = slot_of(parts, CONV, OUTPUT);
        offset(parts, slot)
    };
    assert_eq!(conv_at(&output), Some(Kind::Overlap));
    // The last bytes of the output: 96 of them.
    assert_eq!(conv_at(&|parts| output(parts) + 80), Some(Kind::Overlap));
    let scratch = |parts: &mut Parts| parts.get(STEP.0, STEP.1, CONV, 20) as u32;
    assert_eq!(conv_at(&scratch), Some(Kind::Overlap));
    // On the input it is wrong, and safe.
    let got = changed(&plan, |parts| {
        let (input, output) = (slot_of(parts, LINEAR, INPUT), slot_of(parts, LINEAR, OUTPUT));
        assert_ne!(offset(parts, input), offset(parts, output));
        let place = offset(parts, input);
        set(parts, SLOT, output, 4, 0);
        set(parts, STEP, LINEAR, 24, place);
    });
    assert_eq!(got, None);
}

#[test]
fn scratch_lies_beside_what_the_step_reads_and_writes() {
    // The slot goes behind all others, where the scratch has nothing else to overlap. Input: 72 bytes, output: 96, scratch: 108.
    for (operand, bytes) in [(INPUT, 72), (OUTPUT, 96)] {
        let scratch_at = |behind: i32| {
            changed(&blocked(&net()), |parts| {
                let end = u32::from_le_bytes(parts.header[24..28].try_into().expect("four bytes")).next_multiple_of(16) + 112;
                parts.header[24..28].copy_from_slice(&(end + 256).to_le_bytes());
                let slot = slot_of(parts, CONV, operand);
                set(parts, SLOT, slot, 4, end);
                set(parts, STEP, CONV, 20, end.wrapping_add_signed(behind));
            })
        };
        let overlap = Some(Kind::Overlap);
        assert_eq!([-112, -96, 0, 64].map(scratch_at), [None, overlap, overlap, overlap]);
        assert_eq!([80, 96].map(scratch_at), [if bytes > 80 { overlap } else { None }, None]);
        assert_eq!(scratch_at(8), Some(Kind::Ram));
        // 256 bytes are there, 108 are needed.
        assert_eq!([144, 160].map(scratch_at), [None, Some(Kind::Ram)]);
    }
}

#[test]
fn only_the_first_input_may_be_a_ring() {
    let mut net = net();
    let second = net.tensor(DType::I8, [6, 4, 3]);
    net.inputs.push(second);
    let ring = |tensor: u16| {
        let mut plan = plan::whole(&net);
        plan.in_place = false;
        // One row of the convolution reads two of the input.
        plan.work = vec![work(0, 0..1, 0..6, None, None)];
        plan.rings[tensor as usize] = 2;
        judge(&assemble(&net, &plan))
    };
    assert_eq!(ring(0), None);
    assert_eq!(ring(second), Some(Kind::Range));
    let output = Net { outputs: vec![3], ..net.clone() };
    let mut plan = plan::whole(&output);
    (plan.work, plan.in_place) = (vec![work(0, 0..1, 0..6, None, None)], false);
    assert_eq!(judge(&assemble(&output, &plan)), None);
    plan.rings[3] = 2;
    assert_eq!(judge(&assemble(&output, &plan)), Some(Kind::Range));
    // Every artifact has an output.
    let none = changed(&blocked(&self::net()), |parts| parts.set(6, 2, 0, 2, &[0; 2]));
    assert_eq!(none, Some(Kind::Index));
    // Preprocessing makes the first input: without one it has nowhere to go.
    let no_input = changed(&blocked(&self::net()), |parts| parts.set(6, 2, 0, 0, &[0; 2]));
    assert_eq!(no_input, Some(Kind::Index));
}

#[test]
fn sources_are_of_this_world_and_have_their_memory() {
    let plan = blocked(&net());
    let source = |at: usize, value: &[u8]| changed(&plan, |parts| parts.set(11, 16, 0, at, value));
    assert_eq!(source(0, &[0, 0]), Some(Kind::Shape));
    assert_eq!(source(2, &[0, 0]), Some(Kind::Shape));
    assert_eq!([source(4, &[2]), source(4, &[3])], [None, Some(Kind::Attribute)]);
    // Reserved.
    assert_eq!([source(5, &[1, 2, 3]), source(12, &[1, 2, 3, 4])], [None, None]);
    // A line of 12 values of 16 bits, and three tables: 32 + 768 bytes.
    let memory = |place: u32| source(8, &place.to_le_bytes());
    let bytes = assemble(&net(), &plan);
    let ram = u32::from_le_bytes(bytes[24..28].try_into().expect("four bytes"));
    assert_eq!(memory(8), Some(Kind::Ram));
    assert_eq!(memory(0xFFFF_FFF0), Some(Kind::Ram));
    assert_eq!(memory((ram - 800) / 16 * 16), None);
    assert_eq!(memory((ram - 784) / 16 * 16), Some(Kind::Ram));
    // The input lies at 0 and has 72 bytes.
    assert_eq!([memory(0), memory(64), memory(80)], [Some(Kind::Overlap), Some(Kind::Overlap), None]);
    let short = changed(&plan, |parts| parts.section(11).expect("it is there").truncate(15));
    assert_eq!(short, Some(Kind::Section));
    let alone = changed(&plan, |parts| parts.sections.retain(|s| s.id != 7));
    assert_eq!(alone, Some(Kind::MissingSection));
    let newer = changed(&plan, |parts| {
        parts.sections.iter_mut().filter(|s| s.id == 11).for_each(|s| (s.version, s.required) = (2, true));
    });
    assert_eq!(newer, Some(Kind::UnknownSection));
}

#[test]
fn pictures_are_not_for_indices() {
    let mut net = Net::new(4);
    let x = net.tensor(DType::I32, [2, 2, 3]);
    net.inputs.push(x);
    let y = net.layer(Op::Constant, &[], DType::I8, [1, 1, 2]);
    net.outputs.push(y);
    let mut parts = Parts::of(&assemble(&net, &plan::whole(&net)));
    assert_eq!(judge(&parts.assemble()), Some(Kind::Type));
    parts.sections.retain(|s| s.id != 7);
    assert_eq!(judge(&parts.assemble()), None);
}
