//! An accepted artifact cannot make the engine panic, leave its buffers or loop without end, whatever its bytes.
//!
//! Artifacts with every operator are damaged in every way that this file knows: bits flipped, cut short, fields set to the values
//! that break parsers, records shuffled, sections exchanged and filled with noise, weights replaced by noise. Damage is done with
//! and without correct checksums (computed here, not by the runtime), for what gets past the checksums is what the other checks
//! must stop. What `Artifact::new` then accepts must run to its end in exactly the RAM that it asks for.

use staticnet::op::{Op, OpCode, Window};
use staticnet::record::{DType, TensorInfo};
use staticnet::view::Rows;
use staticnet::{ALL_OPS, Artifact, ArtifactErrorKind, Engine, Mapped, Picture, StepDone};
use staticnet_testing::every_op::artifacts;
use staticnet_testing::source::Copying;
use staticnet_testing::surgery::{self, Parts, repair};
use staticnet_testing::{AlignedBytes, Case, Random};
use std::cell::RefCell;

/// Plans with more RAM than this are not run.
const MOST_RAM: usize = 16 << 20;
/// Plans with more operations than this are not run: the limit is on the test's patience, the bound on their number is real.
const MOST_WORK: u64 = 400_000;

/// What became of an artifact.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Refused(ArtifactErrorKind),
    /// Accepted, but too large for a test.
    Skipped,
    /// Run to the end, with the bytes of the outputs.
    Ran(Vec<Vec<u8>>),
}

/// How often each outcome came up.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    skipped: usize,
    ran: usize,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::Ran(_) => self.ran += 1,
        }
    }
}

/// Memory to run in, with guards before and behind.
struct Arena {
    bytes: AlignedBytes,
}

const GUARD: usize = 64;

impl Arena {
    fn new() -> Self {
        Arena { bytes: AlignedBytes::zeroed(MOST_RAM + 2 * GUARD) }
    }

    /// Judges an artifact and runs what is accepted, in RAM of exactly the size it asks for, left dirty by the run before.
    fn try_out(&mut self, artifact_bytes: &AlignedBytes) -> Outcome {
        let artifact = match Artifact::new(artifact_bytes.as_ref()) {
            Ok(artifact) => artifact,
            Err(error) => return Outcome::Refused(error.kind),
        };
        // Accessors of an accepted artifact do not panic; their results are of no interest here.
        (0..artifact.label_count().min(50)).for_each(|i| _ = artifact.label(i));
        (0..artifact.layer_count().min(50)).for_each(|i| _ = artifact.layer_name(i));
        _ = artifact.verify_weights(artifact.payload());
        let needed = artifact.ram_bytes();
        // The weights lie behind the head, whether or not the head says that they are a file of their own.
        let weights = &artifact_bytes.as_ref()[artifact.head().len()..];
        if needed > MOST_RAM || work(&artifact) > MOST_WORK || weights.len() < artifact.payload_len() {
            return Outcome::Skipped;
        }
        let memory = &mut self.bytes.as_mut()[..needed + 2 * GUARD];
        let (before, rest) = memory.split_at_mut(GUARD);
        let (ram, behind) = rest.split_at_mut(needed);
        before.fill(0xA5);
        behind.fill(0xA5);
        let outputs = run(artifact, weights, ram);
        assert!(before.iter().chain(&*behind).all(|&b| b == 0xA5), "the engine left its RAM");
        Outcome::Ran(outputs)
    }
}

/// Weights where they lie, then copied where the plan is for that, then pictures: nothing may go wrong anywhere. The outputs are
/// those of the first.
fn run(artifact: Artifact, weights: &[u8], ram: &mut [u8]) -> Vec<Vec<u8>> {
    let inputs: Vec<Vec<u8>> =
        (0..artifact.input_count()).map(|i| (0..artifact.input_len_bytes(i)).map(|j| (j * 89 % 251) as u8).collect()).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(|input| &input[..]).collect();
    let mut engine = Engine::<ALL_OPS, _>::new(artifact, &mut *ram, Mapped::at(weights)).expect("the RAM is what it asks for");
    let mut steps = 0;
    let count = |done: StepDone, _: &TensorInfo, _: &Rows<u8>| {
        assert_eq!(done.step, steps);
        steps += 1;
    };
    engine.run_on_tapped(&inputs, count).expect("an accepted artifact runs");
    assert_eq!(steps, artifact.step_count());
    engine.top_k::<3>();
    let outputs = (0..artifact.output_count()).map(|i| engine.output_bytes(i).expect("accepted").to_vec()).collect();
    if artifact.preprocess().is_some() {
        pictures(&mut engine);
    }
    if artifact.weights_in_storage() {
        let log = RefCell::new(vec![]);
        let source = Copying::<false>::new(weights, &log);
        let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram, source).expect("the RAM is what it asks for");
        engine.run_on(&inputs).expect("an accepted artifact runs");
    }
    outputs
}

/// A picture at once, and one row by row where it is small.
fn pictures(engine: &mut Engine<ALL_OPS, Mapped>) {
    if let Some(source) = engine.artifact().source().filter(|source| source.row_bytes() * (source.height as usize) < 10_000) {
        let row: Vec<u8> = (0..source.row_bytes()).map(|i| (i * 37 % 256) as u8).collect();
        engine.begin();
        (0..source.height).for_each(|_| engine.push_row(&row).expect("an accepted artifact runs"));
        engine.finish().expect("an accepted artifact runs");
    } else {
        let pixels: Vec<u8> = (0..5 * 4 * 3).map(|i| (i * 37 % 256) as u8).collect();
        engine.set_picture(Picture { pixels: &pixels, width: 5, height: 4, channels: 3 }).expect("an accepted artifact runs");
        engine.run().expect("an accepted artifact runs");
    }
}

/// Operations of a plan, roughly and from above.
fn work(artifact: &Artifact) -> u64 {
    let of_step = |i: usize| {
        let step = artifact.step(i)?;
        let layer = artifact.layer(step.layer as usize)?;
        let y = artifact.tensor(layer.output as usize)?;
        let x = artifact.tensor(layer.input as usize).unwrap_or(y);
        let channels = (step.c1 - step.c0) as u64;
        let pixels = (step.r1 - step.r0) as u64 * y.width as u64;
        let taps = |w: &Window| w.kernel[0] as u64 * w.kernel[1] as u64;
        let existing = |w: &Window| taps(w).min(x.height as u64 * x.width as u64);
        Some(match layer.op {
            Op::Conv2d(conv) => {
                let row = taps(&conv.window) * x.channels as u64 / conv.groups as u64;
                // Gathering, per group touched, and the sums; at least something per row of taps.
                pixels * (row + conv.window.kernel[0] as u64) * (channels + channels.min(conv.groups as u64) + 1)
            }
            Op::Linear => channels * x.elements(),
            Op::MaxPool(pool) => pixels * existing(&pool.window) * channels,
            Op::AveragePool(pool) => pixels * existing(&pool.window) * channels,
            Op::LpPool(pool) => pixels * existing(&pool.window) * channels,
            Op::Lrn(lrn) => pixels * channels * (lrn.size as u64).min(x.channels as u64),
            Op::Softmax | Op::ArgMax { .. } => pixels * x.channels as u64,
            // Looks at every element of the rows, whichever channels are asked for.
            Op::Rearrange(_) => pixels * y.channels as u64,
            Op::Relu | Op::Unary(_) | Op::PRelu | Op::Binary(_) | Op::Constant | Op::Pad(_) | Op::Place(_) | Op::Resize => {
                pixels * channels
            }
            Op::Convert(_) => pixels * channels,
        })
    };
    let inputs: u64 = (0..artifact.input_count()).map(|i| artifact.input_len_bytes(i) as u64).sum();
    inputs + (0..artifact.step_count()).filter_map(of_step).sum::<u64>()
}

fn aligned(bytes: &[u8]) -> AlignedBytes {
    AlignedBytes::copy_of(bytes)
}

#[test]
fn the_originals_run_and_have_every_operator() {
    let mut arena = Arena::new();
    for (original, dtype) in artifacts().iter().zip([DType::I8, DType::F32].into_iter().cycle()) {
        let bytes = aligned(original);
        assert!(matches!(arena.try_out(&bytes), Outcome::Ran(_)));
        let artifact = Artifact::new(bytes.as_ref()).expect("just run");
        let codes: std::collections::BTreeSet<u8> =
            (0..artifact.layer_count()).filter_map(|i| artifact.layer(i)).map(|layer| layer.op.code() as u8).collect();
        assert_eq!(codes.len(), OpCode::COUNT as usize, "an operator is missing");
        assert_eq!(artifact.tensor(0).map(|t| t.dtype), Some(dtype));
        // The checksums of this file are those of the format: repairing what is whole changes nothing.
        let mut same = original.clone();
        repair(&mut same);
        assert_eq!(&same, original);
        assert_eq!(&Parts::of(original).assemble(), original);
    }
}

/// Every flipped bit of the head that a checksum covers is noticed; the others are padding, and change nothing.
#[test]
fn every_flipped_bit_of_the_head() {
    let (mut arena, mut tally) = (Arena::new(), Tally::default());
    for original in artifacts() {
        let whole = arena.try_out(&aligned(&original));
        let head = u32::from_le_bytes([original[8], original[9], original[10], original[11]]) as usize;
        let covered = surgery::covered(&original);
        let mut bytes = aligned(&original);
        for at in 0..head {
            for mask in (0..8).map(|bit| 1 << bit).chain([0xFF, 0x55]) {
                bytes.as_mut()[at] ^= mask;
                let outcome = arena.try_out(&bytes);
                bytes.as_mut()[at] ^= mask;
                if covered.iter().any(|range| range.contains(&at)) {
                    assert!(matches!(outcome, Outcome::Refused(_)), "byte {at} ^ {mask:#x} was accepted");
                } else {
                    assert_eq!(outcome, whole, "byte {at} ^ {mask:#x} is padding");
                }
                tally.add(&outcome);
            }
        }
    }
    println!("{tally:?}");
}

#[test]
fn every_flipped_byte_of_the_payload_is_seen_by_its_checksum() {
    for original in artifacts() {
        let mut bytes = aligned(&original);
        let (head, payload) = {
            let artifact = Artifact::new(bytes.as_ref()).expect("whole");
            (artifact.head().len(), artifact.payload_len())
        };
        for at in head..head + payload {
            for mask in [1, 0x80, 0xFF] {
                bytes.as_mut()[at] ^= mask;
                let artifact = Artifact::new(bytes.as_ref()).expect("the head is whole");
                assert!(artifact.verify_weights(artifact.payload()).is_err(), "byte {at} ^ {mask:#x}");
                bytes.as_mut()[at] ^= mask;
            }
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let mut arena = Arena::new();
    for original in artifacts() {
        for len in 0..original.len() {
            let outcome = arena.try_out(&aligned(&original[..len]));
            assert!(matches!(outcome, Outcome::Refused(_)), "{len} of {} bytes were accepted", original.len());
        }
    }
}

/// Weights of noise: bytes, extremes, floats that are not numbers.
#[test]
fn any_payload_runs() {
    let mut arena = Arena::new();
    for original in artifacts() {
        let mut bytes = aligned(&original);
        let head = Artifact::new(bytes.as_ref()).expect("whole").head().len();
        for seed in 0..3000 {
            let _case = Case("payload", seed);
            let mut random = Random(seed);
            let palette = [random.bits() as u8, random.pick(&[0, 0x7F, 0x80, 0xFF]), random.pick(&[0xC0, 0x7F, 0xFF])];
            for byte in &mut bytes.as_mut()[head..] {
                *byte = if seed % 2 == 0 { random.bits() as u8 } else { random.pick(&palette) };
            }
            assert!(matches!(arena.try_out(&bytes), Outcome::Ran(_)));
        }
    }
}

/// Runs `damage` for many seeds on the parts of every original, with the checksums made right again.
fn damaged(name: &'static str, seeds: u64, least_ran: usize, damage: impl Fn(&mut Parts, &mut Random)) {
    let (mut arena, mut tally) = (Arena::new(), Tally::default());
    for (i, original) in artifacts().iter().enumerate() {
        let parts = Parts::of(original);
        for seed in 0..seeds {
            let _case = Case(name, seed);
            let mut random = Random(seed * 6 + i as u64);
            let mut bad = parts.clone();
            damage(&mut bad, &mut random);
            tally.add(&arena.try_out(&aligned(&bad.assemble())));
        }
    }
    println!("{name}: {tally:?}");
    // Damage that is always refused at the first check would prove little.
    assert!(tally.ran >= least_ran, "{name}: {tally:?}");
}

/// Every byte of every section set to many values.
#[test]
fn every_byte_with_right_checksums() {
    let (mut arena, mut tally) = (Arena::new(), Tally::default());
    for (i, original) in artifacts().into_iter().enumerate() {
        let head = u32::from_le_bytes([original[8], original[9], original[10], original[11]]) as usize;
        for at in 0..head {
            let old = original[at];
            let flips = (0..8).map(|bit| old ^ (1 << bit));
            let values = flips.chain([0, 0xFF, 0x7F, 0x80, old.wrapping_add(1), old.wrapping_sub(1), old.wrapping_add(16)]);
            // The others have most of their bytes in common with these: a fifth of the values each.
            for (_, value) in values.enumerate().filter(|(k, _)| i < 2 || k % 5 == at % 5) {
                let mut bytes = aligned(&original);
                bytes.as_mut()[at] = value;
                repair(bytes.as_mut());
                tally.add(&arena.try_out(&bytes));
            }
        }
    }
    println!("{tally:?}");
    assert!(tally.ran > 5_000 && tally.refused > 20_000, "{tally:?}");
}

#[test]
fn fields_with_values_that_break_parsers() {
    damaged("fields", 24_000, 15_000, |parts, random| {
        for _ in 0..random.within(1, 3) {
            parts.change_a_field(random);
        }
        if random.one_in(2) {
            parts.name_the_operators();
        }
    });
}

#[test]
fn sections_of_noise() {
    damaged("noise", 8_000, 1_000, |parts, random| {
        let section = random.within(0, parts.sections.len() - 1);
        let bytes = &mut parts.sections[section].bytes;
        match random.within(0, 3) {
            0 => bytes.fill_with(|| random.bits() as u8),
            1 => bytes.fill_with(|| random.within(0, 3) as u8),
            2 => bytes.fill(random.pick(&[0, 0x7F, 0x80, 0xFF])),
            _ => bytes.resize(random.within(0, 400), random.bits() as u8),
        }
        parts.name_the_operators();
    });
}

/// Steps in any order, any number of times, over other rows and channels; slots elsewhere: memory safe, if not what was meant.
#[test]
fn plans_of_nonsense() {
    damaged("plans", 10_000, 10_000, |parts, random| {
        for _ in 0..random.within(1, 6) {
            parts.change_the_plan(random);
        }
    });
}

#[test]
fn sections_exchanged_dropped_repeated_and_unknown() {
    damaged("sections", 3_000, 1_000, |parts, random| {
        let n = parts.sections.len();
        let (a, b) = (random.within(0, n - 1), random.within(0, n - 1));
        match random.within(0, 4) {
            0 => parts.sections.swap(a, b),
            1 => drop(parts.sections.remove(a)),
            2 => parts.sections.push(parts.sections[a].clone()),
            3 => (parts.sections[a].id, parts.sections[b].id) = (parts.sections[b].id, parts.sections[a].id),
            _ => parts.sections[a].id = random.within(0, 40) as u16,
        }
    });
}

/// What the format says about sections that are missing, repeated or unknown.
#[test]
fn sections_by_the_book() {
    let mut arena = Arena::new();
    for original in artifacts() {
        let whole = arena.try_out(&aligned(&original));
        let parts = Parts::of(&original);
        let mut outcome = |change: &dyn Fn(&mut Parts)| {
            let mut changed = parts.clone();
            change(&mut changed);
            arena.try_out(&aligned(&changed.assemble()))
        };
        for section in &parts.sections {
            let without = outcome(&|p| p.sections.retain(|s| s.id != section.id));
            // 1 to 6 are what every artifact has; preprocessing, labels, names and source may be missing, but no source is
            // without preprocessing.
            let source = parts.sections.iter().any(|s| s.id == 11);
            match section.id {
                1..=6 => assert_eq!(without, Outcome::Refused(ArtifactErrorKind::MissingSection)),
                7 if source => assert_eq!(without, Outcome::Refused(ArtifactErrorKind::MissingSection)),
                _ => assert_eq!(without, whole),
            }
            let twice = outcome(&|p| p.sections.push(section.clone()));
            assert_eq!(twice, Outcome::Refused(ArtifactErrorKind::Section));
        }
        let unknown = |required: bool| surgery::Section { id: 99, version: 1, required, bytes: vec![1, 2, 3] };
        assert_eq!(outcome(&|p| p.sections.insert(2, unknown(false))), whole);
        assert_eq!(outcome(&|p| p.sections.push(unknown(true))), Outcome::Refused(ArtifactErrorKind::UnknownSection));
        let newer = outcome(&|p| p.sections[0].version = 2);
        assert_eq!(newer, Outcome::Refused(ArtifactErrorKind::UnknownSection));
    }
}
