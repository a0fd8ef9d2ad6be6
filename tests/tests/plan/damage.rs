//! The checker must see plans that go wrong: each kind of damage is done to a good plan, which the runtime's own validation, as it
//! promises memory safety and no more, mostly accepts.

use super::common::{float, model, networks};
use super::replay::check;
use super::{Pair, Random};
use staticnet::op::{Conv2d, Lrn, MaxPool, Window};
use staticnet::preprocess::{Fit, PixelFormat, Preprocess, Source};
use staticnet::record::{NONE32, Slot};
use staticnet_exporter::emit;
use staticnet_exporter::plan::{Plan, PlanOptions, Planned, Ram, plan};
use staticnet_graph::graph::{Graph, Op};
use std::ops::Range;

/// What a plan comes to: good, refused by the runtime, or found wrong by the checker.
fn verdict((network, quantized): &Pair, plan: &Plan) -> Result<(), String> {
    let tensors = emit::tensor_infos(network, quantized);
    let (payload, chunks) = emit::payload(&mut network.clone(), &mut quantized.clone(), &plan.chunks);
    let emitted = emit::emit(network, quantized, &tensors, plan, (payload, &chunks), false);
    let emitted = emitted.map_err(|e| format!("not accepted: {e}"))?;
    check(&model(&emitted).artifact()).map(drop)
}

/// What is damaged, how, and whether the runtime refuses it.
type Damage<'a> = (&'a str, &'a dyn Fn(&mut Plan), bool);

fn judge(pair: &Pair, good: &Plan, damages: &[Damage]) {
    assert_eq!(verdict(pair, good), Ok(()));
    for (what, damage, refused) in damages {
        let mut bad = good.clone();
        damage(&mut bad);
        assert_ne!(bad, *good, "{what}: nothing is damaged");
        let error = verdict(pair, &bad).expect_err(what);
        println!("{what}: {error}");
        assert_eq!(error.starts_with("not accepted"), *refused, "{what}: {error}");
    }
}

fn conv(kernel: u16, stride: u16, pad: u16, groups: u16) -> Conv2d {
    Conv2d { window: Window::square(kernel, stride, pad), groups }
}

#[test]
fn a_plan_layer_by_layer() {
    let mut graph = Graph::new("damaged");
    let x = graph.input("x", &[1, 3, 8, 8]);
    let a = graph.conv("a", x, 8, conv(3, 1, 1, 1)).expect("fits");
    let b = graph.add("b", Op::Relu, &[a], &[]).expect("fits");
    let c = graph.conv("c", a, 8, conv(3, 1, 1, 2)).expect("fits");
    graph.output(b);
    graph.output(c);
    let pair = float(&graph);
    let options = PlanOptions { layers: true, ..PlanOptions::default() };
    let good = plan(&Planned::new(&pair.0, &pair.1), &options).expect("small");
    let slot_of = |p: &Plan, step: usize| p.steps[step].output as usize;
    let place = |p: &Plan, step: usize| p.slots[slot_of(p, step)].offset;
    let input = good.inputs[0] as usize;
    judge(
        &pair,
        &good,
        &[
            ("a row is missing", &|p| p.steps[0].r1 -= 1, false),
            ("a channel is missing", &|p| p.steps[1].c0 += 1, false),
            ("steps are exchanged", &|p| p.steps.swap(0, 1), false),
            ("a step is missing", &|p| p.steps.truncate(2), false),
            ("the output lies on the input", &|p| p.slots[slot_of(p, 0)].offset = p.slots[input].offset, true),
            ("an output lies on another", &|p| p.slots[slot_of(p, 2)].offset = place(p, 1), false),
            ("scratch lies on an output", &|p| p.steps[2].scratch = place(p, 1), false),
            ("RAM is too small", &|p| p.ram_bytes -= 16, true),
            ("a chunk is another layer's", &|p| p.steps[0].chunk = p.steps[2].chunk, true),
        ],
    );
}

/// A network with all that plans are made of: rows, bands and blocks, LRN between windows, a tensor that passes others by.
fn network() -> Pair {
    let mut graph = Graph::new("damaged");
    let x = graph.input("x", &[1, 3, 32, 24]);
    let a = graph.conv("a", x, 16, conv(3, 1, 1, 1)).expect("fits");
    let a = graph.add("a.pool", Op::MaxPool(MaxPool { window: Window::square(2, 2, 0) }), &[a], &[]).expect("fits");
    let b = graph.conv("b", a, 32, conv(3, 1, 1, 1)).expect("fits");
    let b = graph.add("b.lrn", Op::Lrn(Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 }), &[b], &[]).expect("fits");
    let b = graph.add("b.pool", Op::MaxPool(MaxPool { window: Window::square(3, 2, 1) }), &[b], &[]).expect("fits");
    let c = graph.conv("c", b, 32, conv(3, 1, 1, 1)).expect("fits");
    let c = graph.add("c.sum", Op::Binary(staticnet::op::BinaryOp::Add), &[c, b], &[]).expect("fits");
    let f = graph.add("flat", Op::Flatten, &[c], &[]).expect("fits");
    let f = graph.linear("f", f, 8).expect("fits");
    graph.output(f);
    networks::fill(&mut graph, &mut Random(5));
    let (width, height) = (24, 32);
    graph.preprocess = Some(Preprocess { width, height, channels: 3, fit: Fit::Stretch, mean: [0.5; 3], std: [0.25; 3] });
    float(&graph)
}

/// The first plan of the network, with weights in storage, that has something.
fn plan_with(pair: &Pair, what: &str, has: impl Fn(&Plan) -> bool) -> Plan {
    let planned = Planned::new(&pair.0, &pair.1);
    let source = Some(Source { width: 30, height: 40, format: PixelFormat::Rgb888 });
    let options = PlanOptions { storage: true, source, stack: 0, ..PlanOptions::default() };
    let of = |ram| plan(&planned, &PlanOptions { ram, ..options });
    let least = of(Ram::Min).expect("there is no limit").ram_bytes as u64;
    let limits = (0..40).map(|i| Ram::Limit(least + least * i / 20));
    let plans = [Ram::Least, Ram::Min].into_iter().chain(limits).filter_map(|ram| of(ram).ok());
    plans.into_iter().find(has).unwrap_or_else(|| panic!("no plan has {what}"))
}

fn tensor_rows(pair: &Pair, slot: &Slot) -> u32 {
    pair.0.tensors[slot.tensor as usize].height
}

/// The RAM of a slot.
fn bytes(pair: &Pair, slot: &Slot) -> Range<u32> {
    let t = &pair.0.tensors[slot.tensor as usize];
    slot.offset..slot.offset + slot.rows * t.width * u32::from(slot.channels) * 4
}

#[test]
fn rings() {
    let pair = network();
    let is_ring = |slot: &Slot| slot.rows > 1 && slot.rows < tensor_rows(&pair, slot);
    let ring = |p: &Plan| p.slots.iter().position(|s| is_ring(s) && s.tensor as usize != pair.0.inputs[0]);
    let good = plan_with(&pair, "a ring of several rows", |p| ring(p).is_some());
    let ring = ring(&good).expect("it has one");
    println!("{:?}", good.slots);
    let _ = ring;
    let _ = (bytes, NONE32);
}
