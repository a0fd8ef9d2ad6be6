//! Plans, judged by replaying them: which row of which tensor does every byte of RAM hold, and does every step find what it reads?
//!
//! The checker knows the artifact's records and the definition of the operators, and shares no code with the planner or with the
//! validation of the runtime.

mod common;

use common::networks::{self, Kind};
use common::{Case, Random, floats, run_and_watch};
use staticnet::Artifact;
use staticnet::op::{Op, Window};
use staticnet::record::{NONE16, NONE32, Slot, Step, TensorInfo};
use staticnet_exporter::compile::{self, Options, compile_float};
use staticnet_exporter::host::Model;
use staticnet_graph::graph::{Graph, Op as Node, Tensor};
use staticnet_graph::reference;
use staticnet_trainer::models::ARCHITECTURES;
use std::ops::Range;

/// What a byte of RAM holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Byte {
    /// Whatever was there before.
    Nothing,
    /// Byte `at` of a tensor.
    Of { tensor: u16, at: u32 },
    /// The remains of a step's scratch.
    Scratch,
}

/// Replays the plan of an artifact.
struct Replay<'a> {
    artifact: &'a Artifact<'a>,
    ram: Vec<Byte>,
}

type Verdict = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(format!($($message)*));
        }
    };
}

impl Replay<'_> {
    fn tensor(&self, index: u16) -> Result<TensorInfo, String> {
        self.artifact.tensor(index as usize).ok_or(format!("there is no tensor {index}"))
    }

    fn slot(&self, index: u16) -> Result<Slot, String> {
        self.artifact.slot(index as usize).ok_or(format!("there is no slot {index}"))
    }

    /// The RAM that a slot takes.
    fn place(&self, slot: Slot) -> Result<Range<usize>, String> {
        let t = self.tensor(slot.tensor)?;
        ensure!(slot.rows >= 1 && slot.rows <= t.height, "a ring of {} rows for a tensor of {}", slot.rows, t.height);
        let bytes = slot.rows as usize * t.width as usize * t.channels as usize * t.dtype.bytes() as usize;
        let place = slot.offset as usize..slot.offset as usize + bytes;
        ensure!(place.end <= self.ram.len(), "{place:?} is outside {} bytes of RAM", self.ram.len());
        ensure!(place.start.is_multiple_of(16), "{place:?} is not aligned");
        Ok(place)
    }

    /// Visits row `r`, channels `channels` of what a slot holds: RAM address, and which byte of the tensor belongs there.
    fn each_byte(&self, slot: Slot, r: usize, channels: &Range<usize>, mut visit: impl FnMut(usize, Byte)) -> Verdict {
        let (t, place) = (self.tensor(slot.tensor)?, self.place(slot)?);
        let element = t.dtype.bytes() as usize;
        let row = t.width as usize * t.channels as usize * element;
        for x in 0..t.width as usize {
            let pixel = x * t.channels as usize * element;
            for b in pixel + channels.start * element..pixel + channels.end * element {
                let at = (r * row + b) as u32;
                visit(place.start + r % slot.rows as usize * row + b, Byte::Of { tensor: slot.tensor, at });
            }
        }
        Ok(())
    }

    fn reads(&self, slot: Slot, r: usize, channels: &Range<usize>) -> Verdict {
        let mut wrong = None;
        self.each_byte(slot, r, channels, |at, expected| {
            if self.ram[at] != expected && wrong.is_none() {
                wrong = Some(format!("row {r} reads byte {at} as {expected:?}, it holds {:?}", self.ram[at]));
            }
        })?;
        wrong.map_or(Ok(()), Err)
    }

    fn writes(&mut self, slot: Slot, r: usize, channels: &Range<usize>) -> Verdict {
        let mut writes = Vec::new();
        self.each_byte(slot, r, channels, |at, byte| writes.push((at, byte)))?;
        writes.into_iter().for_each(|(at, byte)| self.ram[at] = byte);
        Ok(())
    }

    fn step(&mut self, step: Step) -> Verdict {
        let layer = self.artifact.layer(step.layer as usize).ok_or("there is no such layer")?;
        let (input, output) = (self.slot(step.input)?, self.slot(step.output)?);
        ensure!(step.input2 == NONE16 && layer.input2 == NONE16, "no operator has a second input");
        ensure!(input.tensor == layer.input && output.tensor == layer.output, "slots of other tensors than the layer's");
        let (x, y) = (self.tensor(layer.input)?, self.tensor(layer.output)?);
        let (rows, channels) = (step.r0 as usize..step.r1 as usize, step.c0 as usize..step.c1 as usize);
        ensure!(!rows.is_empty() && rows.end <= y.height as usize, "rows {rows:?} of {}", y.height);
        ensure!(!channels.is_empty() && channels.end <= y.channels as usize, "channels {channels:?} of {}", y.channels);

        let (from, to) = (self.place(input)?, self.place(output)?);
        let in_place = from == to && layer.op == Op::Relu;
        ensure!(in_place || disjoint(&from, &to), "reads {from:?} and writes {to:?}");
        for r in rows.clone() {
            for (row, read) in needs(&layer.op, &x, &y, r, &channels) {
                self.reads(input, row, &read)?;
            }
        }
        let scratch = step.scratch as usize..step.scratch as usize + scratch_bytes(&layer.op, &x);
        if !scratch.is_empty() {
            ensure!(scratch.end <= self.ram.len(), "scratch {scratch:?} is outside {} bytes of RAM", self.ram.len());
            ensure!(disjoint(&scratch, &from) && disjoint(&scratch, &to), "scratch {scratch:?} within {from:?} or {to:?}");
            self.ram[scratch].fill(Byte::Scratch);
        }
        for r in rows {
            self.writes(output, r, &channels)?;
        }
        self.weights(&step, &layer.op, &x, channels.len())
    }

    /// A step names as many weights as it uses, inside the payload.
    fn weights(&self, step: &Step, op: &Op, x: &TensorInfo, channels: usize) -> Verdict {
        let (element, quantized) = (x.dtype.bytes() as usize, x.dtype.bytes() == 1);
        let per_channel = match op {
            Op::Conv2d(conv) => Some(taps(&conv.window) * (x.channels / conv.groups as u32) as usize),
            Op::Linear => Some((x.height * x.width * x.channels) as usize),
            Op::Lrn(_) | Op::MaxPool(_) | Op::Relu => None,
        };
        let Some(chunk) = self.artifact.chunk(step.chunk) else {
            ensure!(step.chunk == NONE32, "there is no chunk {}", step.chunk);
            let none = per_channel.is_none() && (!quantized || !matches!(op, Op::Lrn(_)));
            ensure!(none, "a layer with weights names none");
            return Ok(());
        };
        ensure!((chunk.offset + chunk.len) as usize <= self.artifact.payload_len(), "weights outside the payload");
        let Some(per_channel) = per_channel else {
            ensure!(quantized && matches!(op, Op::Lrn(_)), "{} has no weights", op.name());
            return Ok(());
        };
        let expected = channels * (per_channel * element + if quantized { 8 } else { 4 });
        ensure!(chunk.len as usize == expected, "{} bytes of weights instead of {expected}", chunk.len);
        Ok(())
    }
}

fn disjoint(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.end <= b.start || b.end <= a.start
}

fn taps(window: &Window) -> usize {
    window.kernel[0] as usize * window.kernel[1] as usize
}

/// Four gathered pixels of a convolution.
fn scratch_bytes(op: &Op, x: &TensorInfo) -> usize {
    match op {
        Op::Conv2d(conv) => 4 * taps(&conv.window) * (x.channels / conv.groups as u32) as usize * x.dtype.bytes() as usize,
        Op::Linear | Op::MaxPool(_) | Op::Lrn(_) | Op::Relu => 0,
    }
}

/// Input rows and channels that channels `channels` of output row `r` are made of.
fn needs(op: &Op, x: &TensorInfo, y: &TensorInfo, r: usize, channels: &Range<usize>) -> Vec<(usize, Range<usize>)> {
    let all = 0..x.channels as usize;
    let tapped = |window: &Window, channels: Range<usize>| {
        let row =
            |k: u16| (r * window.stride[0] as usize + (k * window.dilation[0]) as usize).checked_sub(window.pads[0] as usize);
        (0..window.kernel[0]).filter_map(row).filter(|&i| i < x.height as usize).map(|i| (i, channels.clone())).collect()
    };
    match op {
        Op::Conv2d(conv) => {
            let (per_in, per_out) = (all.len() / conv.groups as usize, y.channels as usize / conv.groups as usize);
            let groups = channels.start / per_out..(channels.end - 1) / per_out + 1;
            tapped(&conv.window, groups.start * per_in..groups.end * per_in)
        }
        Op::MaxPool(pool) => tapped(&pool.window, channels.clone()),
        Op::Linear => (0..x.height as usize).map(|i| (i, all.clone())).collect(),
        Op::Lrn(lrn) => {
            let reach = lrn.size as usize / 2;
            vec![(r, channels.start.saturating_sub(reach)..(channels.end + reach).min(all.end))]
        }
        Op::Relu => vec![(r, channels.clone())],
    }
}

/// Replays a plan from its inputs to its outputs.
fn check(artifact: &Artifact) -> Verdict {
    let mut replay = Replay { artifact, ram: vec![Byte::Nothing; artifact.ram_bytes()] };
    let everything = |replay: &Replay, slot: Slot| {
        let t = replay.tensor(slot.tensor)?;
        if slot.rows != t.height {
            return Err("inputs and outputs are held whole".to_string());
        }
        Ok((0..t.height as usize, 0..t.channels as usize))
    };
    for i in 0..artifact.input_count() {
        let slot = artifact.input_slot(i).ok_or("an input has no slot")?;
        let (rows, channels) = everything(&replay, slot)?;
        for r in rows {
            replay.writes(slot, r, &channels)?;
        }
    }
    for i in 0..artifact.step_count() {
        let step = artifact.step(i).ok_or("a step is missing")?;
        replay.step(step).map_err(|e| format!("step {i} ({:?}): {e}", artifact.layer_name(step.layer as usize)))?;
    }
    for i in 0..artifact.output_count() {
        let slot = artifact.output_slot(i).ok_or("an output has no slot")?;
        let (rows, channels) = everything(&replay, slot)?;
        for r in rows {
            replay.reads(slot, r, &channels).map_err(|e| format!("output {i}: {e}"))?;
        }
    }
    Ok(())
}

fn judge(model: &Model, what: &str) {
    if let Err(error) = check(&model.artifact()) {
        panic!("{what}: {error}");
    }
}

/// Every output of the float artifact against the graph run by the reference, to 1e-4 of the largest magnitude.
fn against_reference(graph: &Graph, model: &Model, x: &[f32]) {
    let input = Tensor { shape: graph.shape(graph.inputs[0]).to_vec(), data: x.to_vec() };
    let values = reference::run(graph, &[input]).expect("the graph runs");
    let tensors = run_and_watch(model, x);
    let artifact = model.artifact();
    assert_eq!(artifact.output_count(), graph.outputs.len());
    for (i, output) in graph.outputs.iter().enumerate() {
        let index = artifact.output_slot(i).expect("counted").tensor as usize;
        let (info, want) = (artifact.tensor(index).expect("named by a slot"), &values[output.0].data);
        let got = floats(&tensors[index]);
        assert_eq!(got.len(), want.len());
        let (plane, channels) = ((info.height * info.width) as usize, info.channels as usize);
        let largest = want.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (j, want) in want.iter().enumerate() {
            let got = got[j % plane * channels + j / plane];
            assert!((want - got).abs() <= 1e-4 * largest, "output {i}, element {j}: {got} instead of {want}\n{graph}");
        }
    }
}

fn compiled(graph: &Graph, samples: &[Vec<f32>]) -> [Model; 2] {
    let float = compile_float(graph, &Options::default()).expect("supported");
    let int8 = compile::compile(graph, samples, &Options::default()).expect("supported");
    [float, int8].map(|e| Model::from_bytes(&e.joined()).expect("just made"))
}

#[test]
fn random_networks() {
    let (mut in_place, mut copied) = (0, 0);
    for seed in 0..300 {
        let _case = Case("plan", seed);
        let mut random = Random(seed);
        let kind = Kind { depth: random.within(1, 10), branches: !random.one_in(4), lrn: true };
        let graph = networks::random(&mut random, kind);
        let samples = networks::samples(&graph, &mut random, 2);
        let [float, int8] = compiled(&graph, &samples);
        judge(&float, "float");
        judge(&int8, "int8");
        against_reference(&graph, &float, &samples[0]);
        run_and_watch(&int8, &samples[0]);
        let artifact = float.artifact();
        for step in (0..artifact.step_count()).filter_map(|i| artifact.step(i)) {
            if artifact.layer(step.layer as usize).is_some_and(|layer| layer.op == Op::Relu) {
                let place = |slot: u16| artifact.slot(slot as usize).map(|s| s.offset);
                let same = place(step.input) == place(step.output);
                (in_place, copied) = (in_place + usize::from(same), copied + usize::from(!same));
            }
        }
    }
    // Both kinds of standalone ReLU were among them.
    assert!(in_place > 50 && copied > 50, "{in_place} in place, {copied} copied");
}

/// RAM of a chain of layers that hold their whole input and output: that of the largest pair.
fn largest_pair(artifact: &Artifact) -> u64 {
    let bytes =
        |tensor: u16| artifact.tensor(tensor as usize).map_or(0, |t| (t.elements() * t.dtype.bytes()).next_multiple_of(16));
    let layers = (0..artifact.layer_count()).filter_map(|i| artifact.layer(i));
    layers.map(|layer| bytes(layer.input) + bytes(layer.output)).max().unwrap_or(0)
}

#[test]
fn named_networks() {
    let long = std::env::var_os("STATICNET_LONG").is_some();
    for architecture in ARCHITECTURES {
        if architecture.size > 100 && !long {
            println!("{} skipped: set STATICNET_LONG=1 for networks of full size", architecture.name);
            continue;
        }
        let mut graph = (architecture.build)(3, 10).expect("it fits its own input");
        let mut random = Random(1);
        networks::fill(&mut graph, &mut random);
        let samples = networks::samples(&graph, &mut random, 1);
        let [float, int8] = compiled(&graph, &samples);
        for model in [&float, &int8] {
            judge(model, architecture.name);
            let artifact = model.artifact();
            assert_eq!(artifact.activation_bytes() as u64, largest_pair(&artifact), "{}", architecture.name);
        }
        // Input and output of the first convolution.
        match architecture.name {
            "alexnet" => assert_eq!(int8.artifact().activation_bytes(), 3 * 224 * 224 + 64 * 55 * 55),
            "alexnet-paper" => {
                assert_eq!(int8.artifact().activation_bytes(), (3 * 227 * 227usize).next_multiple_of(16) + 96 * 55 * 55)
            }
            _ => {}
        }
        against_reference(&graph, &float, &samples[0]);
    }
}

/// A ReLU runs in place where nobody reads its input later, and only there.
#[test]
fn relu_in_place_or_not() {
    let mut graph = Graph::new("relu");
    let x = graph.input("x", &[1, 2, 3, 3]);
    let a = graph.add("kept", Node::Relu, &[x], &[]).expect("fits");
    let b = graph.add("in place", Node::Identity, &[x], &[]).expect("fits");
    let c = graph.add("last reader", Node::Relu, &[b], &[]).expect("fits");
    graph.output(a);
    graph.output(c);
    let [float, int8] = compiled(&graph, &[(0..18).map(|v| v as f32 - 9.0).collect()]);
    for model in [&float, &int8] {
        judge(model, "two ReLUs");
        let artifact = model.artifact();
        let place = |slot: u16| artifact.slot(slot as usize).map(|s| s.offset);
        let in_place = |i: usize| artifact.step(i).is_some_and(|s| place(s.input) == place(s.output));
        assert_eq!([in_place(0), in_place(1)], [false, true]);
    }
    against_reference(&graph, &float, &(0..18).map(|v| 9.0 - v as f32).collect::<Vec<_>>());
}

/// What is damaged, and how.
type Damage<'a> = (&'a str, &'a dyn Fn(&mut staticnet_exporter::plan::Plan));

/// The checker must see plans that go wrong: each kind of damage is done to a good plan, which the runtime's own validation, as it
/// promises memory safety and no more, mostly accepts.
#[test]
fn the_checker_sees_damage() {
    use staticnet_exporter::{emit, plan};
    let mut graph = Graph::new("damaged");
    let x = graph.input("x", &[1, 3, 8, 8]);
    let conv = |groups| staticnet::op::Conv2d { window: Window::square(3, 1, 1), groups };
    let a = graph.conv("a", x, 8, conv(1)).expect("fits");
    let b = graph.add("b", Node::Relu, &[a], &[]).expect("fits");
    let c = graph.conv("c", a, 8, conv(2)).expect("fits");
    graph.output(b);
    graph.output(c);
    let network = compile::network(&graph).expect("supported");
    let tensors = emit::tensor_infos(&network, None);
    let payloads: Vec<Vec<u8>> = network.layers.iter().map(|l| emit::layer_payload(l, None)).collect();
    let has_chunk: Vec<bool> = payloads.iter().map(|p| !p.is_empty()).collect();
    let good = plan::layer_by_layer(&network, &tensors, &has_chunk).expect("small");
    let verdict = |plan: &plan::Plan| {
        let emitted = emit::emit(&network, None, &tensors, plan, &payloads, false);
        let model = Model::from_bytes(&emitted.joined()).map_err(|e| format!("not accepted: {e}"))?;
        check(&model.artifact())
    };
    assert_eq!(verdict(&good), Ok(()));
    let place = |p: &plan::Plan, step: usize| p.slots[p.steps[step].output as usize].offset;
    let damages: [Damage; 8] = [
        ("a row is missing", &|p| p.steps[0].r1 -= 1),
        ("a channel is missing", &|p| p.steps[1].c0 += 1),
        ("steps are exchanged", &|p| p.steps.swap(0, 1)),
        ("a step is missing", &|p| p.steps.truncate(2)),
        ("the output lies on the input", &|p| p.slots[1].offset = p.slots[0].offset),
        ("an output lies on another", &|p| p.slots[3].offset = place(p, 1)),
        ("scratch lies on an output", &|p| p.steps[2].scratch = place(p, 1)),
        ("RAM is too small", &|p| p.ram_bytes -= 16),
    ];
    let mut unsafe_ones = 0;
    for (what, damage) in damages {
        let mut bad = good.clone();
        damage(&mut bad);
        let error = verdict(&bad).expect_err(what);
        unsafe_ones += usize::from(error.starts_with("not accepted"));
    }
    assert_eq!(unsafe_ones, 2, "the runtime refuses what leaves the RAM, or writes where it reads, and nothing else of these");
}
