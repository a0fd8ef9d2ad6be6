//! The engine's errors: what it refuses to start with, and sources of weights that fail in the middle of a pass.

use staticnet::op::OpCode;
use staticnet::record::{Chunk, DType};
use staticnet::{ALL_OPS, Artifact, Engine, Mapped, Picture, RunError, WeightSource};
use staticnet_exporter::host::AlignedBytes;
use staticnet_exporter::{emit, plan};
use staticnet_graph::graph::{Graph, Op as Node};
use staticnet_testing::graphs::every_op::artifacts;
use staticnet_testing::graphs::float;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How a source fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// With an error of its own.
    Error,
    /// With a byte too few.
    Short,
    /// With nothing.
    Empty,
    /// With a flipped bit.
    Corrupt,
    /// With two words exchanged, which a plain sum would not see.
    Exchanged,
}

const FAULTS: [Fault; 5] = [Fault::Error, Fault::Short, Fault::Empty, Fault::Corrupt, Fault::Exchanged];

/// The storage's own error.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Broken;

/// Copies each chunk into its place, fails once, and holds the engine to the contract of [`WeightSource`].
struct Source<'a> {
    payload: &'a [u8],
    queue: VecDeque<Chunk>,
    waits: usize,
    fault: Option<(usize, Fault)>,
    /// After a failure the engine must cancel before it asks for anything.
    must_cancel: bool,
    most_asked: usize,
}

impl<'a> Source<'a> {
    fn new(payload: &'a [u8], fault: Option<(usize, Fault)>) -> Self {
        Source { payload, queue: VecDeque::new(), waits: 0, fault, must_cancel: false, most_asked: 0 }
    }
}

impl WeightSource for &mut Source<'_> {
    type Error = Broken;
    const VERIFY: bool = true;
    const MAPPED: bool = false;

    fn start(&mut self, chunk: Chunk) {
        assert!(!self.must_cancel, "asked for a chunk after a failure without cancelling");
        self.queue.push_back(chunk);
        self.most_asked = self.most_asked.max(self.queue.len());
        assert!(self.queue.len() <= 2, "more than two chunks are asked for");
    }

    fn wait<'w>(&'w mut self, place: &'w mut [u8]) -> Result<&'w [u8], Broken> {
        let chunk = self.queue.pop_front().expect("waits for what was asked for");
        let (from, len) = (chunk.offset as usize, chunk.len as usize);
        let fault = self.fault.filter(|&(at, _)| at == self.waits).map(|(_, fault)| fault);
        self.waits += 1;
        self.must_cancel = fault.is_some();
        let chunk = &self.payload[from..from + len];
        place.copy_from_slice(chunk);
        match fault {
            None => Ok(place),
            Some(Fault::Error) => Err(Broken),
            Some(Fault::Short) => Ok(&place[..len - 1]),
            Some(Fault::Empty) => Ok(&[]),
            Some(Fault::Corrupt) => {
                place[len / 2] ^= 0x10;
                Ok(place)
            }
            Some(Fault::Exchanged) => {
                let word = |i: usize| &chunk[4 * i..4 * i + 4];
                match (1..len / 4).find(|&i| word(i) != word(0)) {
                    Some(other) => (0..4).for_each(|i| place.swap(i, 4 * other + i)),
                    // A chunk of one value.
                    None => place[0] ^= 1,
                }
                Ok(place)
            }
        }
    }

    fn cancel(&mut self) {
        self.queue.clear();
        self.must_cancel = false;
    }
}

const PIXELS: [u8; 9 * 8 * 3] = {
    let mut pixels = [0; 9 * 8 * 3];
    let mut i = 0;
    while i < pixels.len() {
        pixels[i] = (i * 37 % 256) as u8;
        i += 1;
    }
    pixels
};

const PICTURE: Picture<'static> = Picture { pixels: &PIXELS, width: 8, height: 9, channels: 3 };

fn outputs<S: WeightSource>(engine: &Engine<ALL_OPS, S>) -> Vec<Vec<u8>> {
    let count = engine.artifact().output_count();
    (0..count).map(|i| engine.output_bytes(i).expect("counted").to_vec()).collect()
}

/// Whatever the source does, at whichever chunk: the right error, and afterwards the right result.
#[test]
fn a_source_that_fails_at_any_chunk() {
    for original in artifacts() {
        let bytes = AlignedBytes::copy_of(&original);
        let artifact = Artifact::new(bytes.as_ref()).expect("whole");
        let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
        let mut good = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).expect("the RAM fits");
        good.set_picture(PICTURE).expect("a picture of the input's size");
        good.run().expect("whole");
        let want = outputs(&good);

        // The steps that load weights, in order: the k-th wait is the k-th of them.
        let steps = (0..artifact.step_count()).filter_map(|i| artifact.step(i));
        let loading: Vec<_> = steps.filter(|step| step.load).collect();
        for (k, step) in loading.iter().enumerate() {
            for fault in FAULTS {
                let mut source = Source::new(artifact.payload(), Some((k, fault)));
                let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
                let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), &mut source).expect("the RAM fits");
                engine.set_picture(PICTURE).expect("a picture of the input's size");
                let error = engine.run().expect_err("the source failed");
                let expected = match fault {
                    Fault::Error => RunError::Weights(Broken),
                    Fault::Short | Fault::Empty | Fault::Corrupt | Fault::Exchanged => RunError::Chunk { chunk: step.chunk },
                };
                assert_eq!(error, expected, "wait {k}, {fault:?}");
                engine.set_picture(PICTURE).expect("a picture of the input's size");
                engine.run().expect("the source is whole again");
                assert_eq!(outputs(&engine), want, "after {fault:?} at wait {k}");
                assert_eq!(source.waits, k + 1 + loading.len());
            }
        }
    }
}

/// The artifacts of these tests have every operator of the runtime, int8 and f32 alike where both exist.
#[test]
fn every_operator_is_there() {
    let mut ops = 0;
    for original in artifacts() {
        let bytes = AlignedBytes::copy_of(&original);
        ops |= Artifact::new(bytes.as_ref()).expect("whole").ops();
    }
    // Two bits an operator: conversions are in the f32 artifacts, which hold codes where the model says so.
    let missing = (0..2 * OpCode::COUNT).filter(|bit| ops & 1 << bit == 0).collect::<Vec<u32>>();
    assert_eq!(missing, [0u32; 0]);
}

/// The next chunk is asked for before the present one is waited for, so that a source with two buffers has something to do.
#[test]
fn the_next_chunk_is_asked_for_ahead() {
    for original in artifacts() {
        let bytes = AlignedBytes::copy_of(&original);
        let artifact = Artifact::new(bytes.as_ref()).expect("whole");
        let mut source = Source::new(artifact.payload(), None);
        let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
        let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), &mut source).expect("the RAM fits");
        engine.set_picture(PICTURE).expect("a picture of the input's size");
        engine.run().expect("whole");
        assert_eq!(source.most_asked, 2);
        assert!(source.queue.is_empty(), "a chunk was asked for and never used");
    }
}

/// As many steps as the format can number, none with weights: looking ahead for the next chunk must not make them quadratic.
#[test]
fn many_steps_take_time_in_proportion() {
    let mut graph = Graph::new("relu");
    let x = graph.input("x", &[1, 1, 1, 1]);
    let y = graph.add("relu", Node::Relu, &[x], &[]).expect("fits");
    graph.output(y);
    let network = float(&graph);
    let planned = plan::Planned::new(&network);
    let mut plan = plan::layer_by_layer(&planned, &plan::PlanOptions::default()).expect("small");
    plan.steps = vec![plan.steps[0]; 65_534];
    let emitted = emit::emit(&network, &plan, (AlignedBytes::zeroed(0), &[]), false).expect("acceptable");
    let bytes = AlignedBytes::copy_of(&emitted.joined());
    let artifact = Artifact::new(bytes.as_ref()).expect("acceptable");
    let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
    let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).expect("the RAM fits");
    engine.set_input_f32(0, &[-1.0]).expect("one value");
    let start = Instant::now();
    engine.run().expect("acceptable");
    // Milliseconds; when every step looked at all steps behind it, half a minute.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(engine.output_bytes(0), Some(&0f32.to_le_bytes()[..]));
}

/// A memory shorter than the artifact says is an error, not a panic.
#[test]
fn mapped_weights_that_end_too_early() {
    let bytes = AlignedBytes::copy_of(&artifacts()[0]);
    let artifact = Artifact::new(bytes.as_ref()).expect("whole");
    let last = artifact.chunk(artifact.chunk_count() as u32 - 1).expect("there are weights");
    let end = (last.offset + last.len) as usize;
    for len in [0, 16, end - 1] {
        let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
        let source = Mapped::at(&artifact.payload()[..len]);
        let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), source).expect("the RAM fits");
        engine.set_picture(PICTURE).expect("a picture of the input's size");
        assert!(matches!(engine.run(), Err(RunError::Chunk { .. })), "{len} of {end} bytes");
    }
}

#[test]
fn what_the_engine_does_not_start_with() {
    let bytes = AlignedBytes::copy_of(&artifacts()[0]);
    let artifact = Artifact::new(bytes.as_ref()).expect("whole");
    let source = Mapped::new(&artifact);
    let needed = artifact.ram_bytes();
    let mut ram = AlignedBytes::zeroed(needed + 16);
    let ram = ram.as_mut();
    let refused = |ram: &mut [u8]| Engine::<ALL_OPS, _>::new(artifact, ram, source).map(drop);
    let short = RunError::Ram { needed: needed as u32, given: needed as u32 - 1 };
    assert_eq!(refused(&mut ram[..needed - 1]), Err(short));
    for offset in [1, 4, 8, 15] {
        assert_eq!(refused(&mut ram[offset..offset + needed]), Err(RunError::Misaligned));
    }
    assert_eq!(refused(&mut ram[16..]), Ok(()));
    const NO_LRN: u128 = ALL_OPS & !OpCode::Lrn.bit(DType::I8);
    let without = Engine::<NO_LRN, _>::new(artifact, &mut ram[..needed], source).map(drop);
    assert_eq!(without, Err(RunError::MissingOp { bit: OpCode::Lrn.bit(DType::I8).trailing_zeros() }));
}

#[test]
fn inputs_that_do_not_fit() {
    let bytes = AlignedBytes::copy_of(&artifacts()[0]);
    let artifact = Artifact::new(bytes.as_ref()).expect("whole");
    let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
    let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).expect("the RAM fits");
    assert_eq!(engine.set_input_f32(0, &[0.0; 215]), Err(RunError::InputLength { needed: 216, given: 215 }));
    assert_eq!(engine.set_input_f32(1, &[0.0; 216]), Err(RunError::NoSuchTensor));
    assert!(engine.input_bytes_mut(1).is_none() && engine.output_bytes(3).is_none());
    let short = Picture { pixels: &PIXELS[1..], ..PICTURE };
    assert!(matches!(engine.set_picture(short), Err(RunError::Picture(_))));
}
