//! Plans, judged by replaying them ([`replay`]), and what they compute by the graph's reference.

mod common;
#[path = "plan/definitions.rs"]
mod definitions;
#[path = "plan/replay.rs"]
mod replay;

use common::networks::{self, Kind, Operators};
use common::{Case, Random, compiled, float, floats, run_and_watch, to_host};
use replay::check;
use staticnet::Artifact;
use staticnet::op::Window;
use staticnet::record::{DType, NONE16};
use staticnet_exporter::host::Model;
use staticnet_graph::graph::{Graph, Op as Node, Tensor};
use staticnet_graph::reference;
use staticnet_trainer::models::ARCHITECTURES;

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
        let got = match info.dtype {
            DType::F32 => to_host(&info, &floats(&tensors[index])),
            DType::I32 => to_host(&info, &indices(&tensors[index])),
            DType::I8 => panic!("an output of codes"),
        };
        assert_eq!(got.len(), want.len());
        let largest = want.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (j, (want, got)) in want.iter().zip(&got).enumerate() {
            assert!((want - got).abs() <= 1e-4 * largest, "output {i}, element {j}: {got} instead of {want}\n{graph}");
        }
    }
}

fn indices(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32).collect()
}

#[test]
fn random_networks() {
    let (mut in_place, mut copied) = (0, 0);
    let mut seen = vec![false; networks::GRAPH_OPERATORS];
    for seed in 0..400 {
        let _case = Case("plan", seed);
        let mut random = Random(seed);
        let operators = random.pick(&networks::OPERATORS);
        let kind = Kind { depth: random.within(1, 10), branches: !random.one_in(4), operators };
        let graph = networks::random(&mut random, kind);
        graph.nodes.iter().for_each(|node| seen[networks::number(&node.op)] = true);
        let samples = networks::samples(&graph, &mut random, 2);
        let [float, int8] = compiled(&graph, &samples);
        judge(&float, "float");
        judge(&int8, "int8");
        // Where codes are rounded, f32 that differs in its last bit becomes another code.
        if operators != Operators::EveryAndCodes {
            against_reference(&graph, &float, &samples[0]);
        }
        run_and_watch(&int8, &samples[0]);
        let artifact = float.artifact();
        for step in (0..artifact.step_count()).filter_map(|i| artifact.step(i)) {
            if artifact.layer(step.layer as usize).is_some_and(|layer| layer.op.runs_in_place()) {
                let place = |slot: u16| artifact.slot(slot as usize).map(|s| s.offset);
                let same = place(step.input) == place(step.output);
                (in_place, copied) = (in_place + usize::from(same), copied + usize::from(!same));
            }
        }
    }
    // Both kinds of in-place operators were among them, and every operator of the graph.
    assert!(in_place > 50 && copied > 50, "{in_place} in place, {copied} copied");
    assert!(!seen.contains(&false), "operators that no network has, by number: {seen:?}");
}

/// RAM of a chain of layers that hold their whole input and output: that of the largest pair.
fn largest_pair(artifact: &Artifact) -> u64 {
    let bytes =
        |tensor: u16| artifact.tensor(tensor as usize).map_or(0, |t| (t.elements() * t.dtype.bytes()).next_multiple_of(16));
    assert!((0..artifact.layer_count()).filter_map(|i| artifact.layer(i)).all(|layer| layer.input2 == NONE16));
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
    let (network, quantized) = float(&graph);
    let tensors = emit::tensor_infos(&network, &quantized);
    let (payload, chunks) = emit::payload(&mut network.clone(), &mut quantized.clone());
    let has_chunk: Vec<bool> = chunks.iter().map(Option::is_some).collect();
    let good = plan::layer_by_layer(&network, &tensors, &has_chunk).expect("small");
    let verdict = |plan: &plan::Plan| {
        let emitted = emit::emit(&network, &quantized, &tensors, plan, (payload.clone(), &chunks), false);
        let emitted = emitted.map_err(|e| format!("not accepted: {e}"))?;
        check(&common::model(&emitted).artifact())
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
