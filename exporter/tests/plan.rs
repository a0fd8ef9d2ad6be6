//! Plans, judged by replaying them ([`replay`]), and what they compute by the graph's reference.

#[path = "plan/damage.rs"]
mod damage;
#[path = "plan/definitions.rs"]
mod definitions;
#[path = "plan/memory.rs"]
mod memory;
#[path = "plan/replay.rs"]
mod replay;

use replay::{Counted, check};
use staticnet::Artifact;
use staticnet::op::{BinaryOp, Conv2d, Lrn, Window};
use staticnet::preprocess::{Fit, PixelFormat, Preprocess, Source};
use staticnet::record::{DType, NONE16, NONE32};
use staticnet_exporter::host::Model;
use staticnet_exporter::network::Range;
use staticnet_exporter::plan::{Plan, PlanOptions, Ram};
use staticnet_exporter::quantize::quantize;
use staticnet_exporter::quantized::Quantized;
use staticnet_exporter::{compile, report};
use staticnet_graph::graph::{Elem, Graph, Op as Node, Tensor};
use staticnet_graph::models::{ARCHITECTURES, Architecture, by_name};
use staticnet_graph::reference;
use staticnet_testing::graphs::networks::{self, Kind};
use staticnet_testing::graphs::{emitted, float, floats, lowered, model, plans, run_and_watch, streaming, to_host, watch};
use staticnet_testing::{Case, Random};

fn judge(model: &Model, what: &str) -> Counted {
    check(&model.artifact()).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Plans a network so, and judges the plan: it is right, and takes and reads what it says.
fn judged(network: &Quantized, options: &PlanOptions) -> (Plan, Model, Counted) {
    let (plan, emitted) = plans::planned(network, options);
    let model = model(&emitted);
    let what = format!("{options:?}\n{network}");
    let counted = judge(&model, &what);
    let artifact = model.artifact();
    assert_eq!(counted.weights_read, plan.weight_bytes_read, "{what}");
    assert_eq!(counted.weights_read, report::report(&artifact).weight_bytes_read, "{what}");
    assert!(counted.weights_read >= network.weight_bytes(), "weights that are never read: {what}");
    assert!(counted.needed <= counted.in_slots && counted.in_slots <= artifact.activation_bytes(), "{counted:?}, {what}");
    assert!(counted.ram <= artifact.ram_bytes() && artifact.activation_bytes() <= artifact.ram_bytes(), "{counted:?}, {what}");
    assert_eq!([artifact.ram_bytes(), artifact.stack_bytes()], [plan.ram_bytes as usize, options.stack as usize]);
    assert_eq!((artifact.weights_in_storage(), artifact.source()), (options.storage, options.source));
    if let Ram::Limit(limit) = options.ram {
        assert!(plan.ram_bytes as u64 + options.stack <= limit, "{} bytes for {what}", plan.ram_bytes);
    }
    // A chunk holds the weights that its steps are for.
    for step in plan.steps.iter().filter(|step| step.chunk != NONE32) {
        let part = plan.chunks[step.chunk as usize];
        let lies_in = |(a, b): (u16, u16), (first, end): (u32, u32)| first <= a.into() && u32::from(b) <= end;
        assert!(part.layer == step.layer as usize && lies_in((step.c0, step.c1), part.channels), "{part:?} for {step:?}");
        assert!(lies_in((step.r0, step.r1), part.rows), "{part:?} for {step:?}");
    }
    (plan, model, counted)
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

/// Steps of layers that may run in place: those that do, and those that do not.
fn in_place(artifact: &Artifact) -> [usize; 2] {
    let mut count = [0; 2];
    for step in (0..artifact.step_count()).filter_map(|i| artifact.step(i)) {
        if artifact.layer(step.layer as usize).is_some_and(|layer| layer.op.runs_in_place()) {
            let place = |slot: u16| artifact.slot(slot as usize).map(|s| s.offset);
            count[usize::from(place(step.input) != place(step.output))] += 1;
        }
    }
    count
}

#[test]
fn random_networks() {
    let mut moved = [0; 2];
    let mut seen = vec![false; networks::GRAPH_OPERATORS];
    let mut less = 0;
    // The last ones have gone wrong before.
    for seed in (0..300).chain([323, 447, 497]) {
        let _case = Case("plan", seed);
        let mut random = Random(seed);
        let graph = networks::any(&mut random, 10);
        graph.nodes.iter().for_each(|node| seen[networks::number(&node.op)] = true);
        let samples = networks::samples(&graph, &mut random, 2);
        for network in lowered(&graph, &samples) {
            let options = PlanOptions { ram: Ram::Least, layers: true, ..plans::options(&mut random, &network) };
            let (plan, model, counted) = judged(&network, &options);
            assert_eq!(counted.in_slots, plan.activation_bytes as usize, "layer by layer\n{graph}");
            in_place(&model.artifact()).iter().zip(&mut moved).for_each(|(n, sum)| *sum += n);
            for _ in 0..2 {
                let options = plans::options(&mut random, &network);
                let (plan, model, counted) = judged(&network, &options);
                if options.ram == Ram::Least {
                    let (whole, _) = plans::planned(&network, &PlanOptions { layers: true, ..options });
                    assert!(plan.ram_bytes <= whole.ram_bytes, "{options:?}\n{graph}");
                    assert!(counted.weights_read as f64 <= 1.005 * network.weight_bytes() as f64, "{options:?}\n{graph}");
                    less += usize::from(plan.ram_bytes < whole.ram_bytes);
                }
                // Where codes are rounded, f32 that differs in its last bit becomes another code.
                if network.tensors.iter().all(|tensor| tensor.grid().is_none())
                    && graph.values.iter().all(|v| v.elem != Elem::I8 && v.elem != Elem::U8)
                {
                    against_reference(&graph, &model, &samples[0]);
                } else {
                    run_and_watch(&model, &samples[0]);
                }
            }
        }
    }
    // Both kinds of in-place operators were among them, and every operator of the graph.
    assert!(moved.iter().all(|n| *n > 50), "in place and copied: {moved:?}");
    assert!(!seen.contains(&false), "operators that no network has, by number: {seen:?}");
    assert!(less > 100, "only {less} plans take less than layer by layer");
}

/// Cuts that the planner never makes are right, too.
#[test]
fn random_cuts() {
    for seed in 0..150 {
        let _case = Case("cuts", seed);
        let mut random = Random(seed);
        let kind =
            Kind { depth: random.within(1, 6), branches: random.one_in(2), operators: random.pick(&networks::OPERATORS) };
        let graph = networks::random(&mut random, kind);
        for network in lowered(&graph, &networks::samples(&graph, &mut random, 2)) {
            let setting = streaming::Setting::random(&mut random);
            let streamed = streaming::streamed(&network, setting, &mut random);
            judge(&model(&streamed), &format!("{setting:?}\n{graph}"));
        }
    }
}

/// RAM of a chain of layers that hold their whole input and output: that of the largest pair.
fn largest_pair(artifact: &Artifact) -> u64 {
    let bytes =
        |tensor: u16| artifact.tensor(tensor as usize).map_or(0, |t| (t.elements() * t.dtype.bytes()).next_multiple_of(16));
    assert!((0..artifact.layer_count()).filter_map(|i| artifact.layer(i)).all(|layer| layer.input2 == NONE16));
    let layers = (0..artifact.layer_count()).filter_map(|i| artifact.layer(i));
    layers.map(|layer| bytes(layer.input) + bytes(layer.output)).max().unwrap_or(0)
}

/// The networks that have a name, small ones with values; planning them is what takes the large ones.
#[test]
fn named_networks() {
    let long = std::env::var_os("STATICNET_LONG").is_some();
    for architecture in ARCHITECTURES {
        if architecture.size > 100 && !long {
            continue;
        }
        let mut graph = (architecture.build)(3, 10).expect("it fits its own input");
        let mut random = Random(1);
        networks::fill(&mut graph, &mut random);
        let samples = networks::samples(&graph, &mut random, 1);
        for (i, network) in lowered(&graph, &samples).into_iter().enumerate() {
            let (_, model, counted) = judged(&network, &PlanOptions { layers: true, ..PlanOptions::default() });
            let artifact = model.artifact();
            assert_eq!(artifact.activation_bytes() as u64, largest_pair(&artifact), "{}", architecture.name);
            assert_eq!(counted.in_slots, artifact.activation_bytes(), "{}", architecture.name);
            let (plan, model, _) = judged(&network, &PlanOptions { storage: i == 1, ..PlanOptions::default() });
            assert!((plan.activation_bytes as usize) < counted.in_slots, "{}", architecture.name);
            if i == 0 {
                against_reference(&graph, &model, &samples[0]);
            }
        }
    }
}

/// A network of an architecture in int8, with ranges that are made up: where it lies matters, not what it computes.
fn int8(architecture: &Architecture) -> Quantized {
    let mut graph = (architecture.build)(3, 1000).expect("it fits its own input");
    let (size, fit) = (architecture.size, architecture.fit);
    graph.preprocess = Some(Preprocess { width: size, height: size, channels: 3, fit, mean: [0.5; 3], std: [0.25; 3] });
    let network = compile::network(graph).expect("supported");
    let ranges = vec![Range { lo: -1.0, hi: 1.0 }; network.tensors.len()];
    quantize(network, Some(&ranges)).expect("int8 can express it")
}

/// Every architecture in int8: the least activations, all weights read once (to half a per cent), and a plan for every memory
/// between the least and that.
#[test]
fn architectures() {
    for architecture in &ARCHITECTURES {
        let network = int8(architecture);
        let once = network.weight_bytes() as f64;
        let source = Source { width: 320, height: 240, format: PixelFormat::Rgb565 };
        for storage in [false, true] {
            let options = PlanOptions { storage, ..PlanOptions::default() };
            let (plan, _, counted) = judged(&network, &options);
            let ratio = counted.weights_read as f64 / once;
            println!("{}, storage {storage}: {counted:?}, {ratio}x, RAM {}", architecture.name, plan.ram_bytes);
            assert!(ratio <= 1.005, "{}: {ratio}x", architecture.name);
            assert_eq!(counted.in_slots, plan.activation_bytes as usize, "{}", architecture.name);
            assert!(counted.ram + 16 > plan.ram_bytes as usize, "{}: {counted:?} of {}", architecture.name, plan.ram_bytes);
            let (least, _, counted) = judged(&network, &PlanOptions { ram: Ram::Min, source: Some(source), ..options });
            let ratio = counted.weights_read as f64 / once;
            println!("{}, storage {storage}, min: {counted:?}, {ratio}x, RAM {}", architecture.name, least.ram_bytes);
        }
    }
}

/// What AlexNet takes: the numbers that are promised.
#[test]
fn alexnet() {
    let networks = ["alexnet", "alexnet-paper"].map(|name| int8(by_name(name).expect("a known network")));
    let [alexnet, paper] = &networks;
    let ratio = |network: &Quantized, counted: &Counted| counted.weights_read as f64 / network.weight_bytes() as f64;
    let options = PlanOptions { storage: true, ..PlanOptions::default() };

    let (plan, _, counted) = judged(alexnet, &options);
    assert_eq!((counted.in_slots, plan.activation_bytes), (108_160, 108_160));
    assert_eq!(counted.weights_read, alexnet.weight_bytes());
    let (plan, _, counted) = judged(paper, &options);
    assert_eq!((counted.in_slots, plan.activation_bytes), (129_792, 129_792));
    assert!(ratio(paper, &counted) <= 1.005, "{}x", ratio(paper, &counted));

    for source in [None, Some(Source { width: 320, height: 240, format: PixelFormat::Rgb888 })] {
        let limit = PlanOptions { ram: Ram::Limit(112 << 10), source, ..options };
        let (plan, _, counted) = judged(alexnet, &limit);
        println!("112 KiB: {counted:?}, {}x, RAM {}", ratio(alexnet, &counted), plan.ram_bytes);
        assert!(ratio(alexnet, &counted) <= 1.03, "{}x", ratio(alexnet, &counted));
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
    let [float, int8] = lowered(&graph, &[(0..18).map(|v| v as f32 - 9.0).collect()]).map(|network| model(&emitted(&network)));
    for model in [&float, &int8] {
        judge(model, "two ReLUs");
        let artifact = model.artifact();
        let place = |slot: u16| artifact.slot(slot as usize).map(|s| s.offset);
        let in_place = |i: usize| artifact.step(i).is_some_and(|s| place(s.input) == place(s.output));
        assert_eq!([in_place(0), in_place(1)], [false, true]);
    }
    against_reference(&graph, &float, &(0..18).map(|v| 9.0 - v as f32).collect::<Vec<_>>());
}

/// Rows of the input that no step reads yet when the first layers are done: the memory that they go through must still be there.
#[test]
fn rows_that_come_late() {
    let mut graph = Graph::new("late");
    let x = graph.input("x", &[1, 1, 8, 14]);
    // Of eight rows the first, fourth and seventh.
    let attrs = Conv2d { window: Window { stride: [3, 1], ..Window::square(1, 1, 0) }, groups: 1 };
    let a = graph.conv("a", x, 7, attrs).expect("fits");
    let a = graph.add("a.lrn", Node::Lrn(Lrn { size: 7, alpha: 1e-4, beta: 0.75, k: 2.0 }), &[a], &[]).expect("fits");
    let b = graph.add("b", Node::Relu, &[x], &[]).expect("fits");
    let b = graph.conv("c", b, 3, Conv2d { window: Window::square(3, 1, 1), groups: 1 }).expect("fits");
    graph.output(a);
    graph.output(b);
    networks::fill(&mut graph, &mut Random(3));
    let (width, height) = (14, 8);
    graph.preprocess = Some(Preprocess { width, height, channels: 1, fit: Fit::Stretch, mean: [0.5; 3], std: [0.25; 3] });
    let source = Some(Source { width: 20, height: 20, format: PixelFormat::Grey });
    for network in lowered(&graph, &networks::samples(&graph, &mut Random(4), 2)) {
        for ram in [Ram::Least, Ram::Min] {
            for (layers, storage) in [(true, false), (true, true), (false, false), (false, true)] {
                judged(&network, &PlanOptions { ram, layers, storage, source, stack: 0 });
            }
        }
    }
}

/// A limit that some plan meets is met.
#[test]
fn limits_between_the_least_and_whole_tensors() {
    for seed in 0..100 {
        let _case = Case("limits", seed);
        let mut random = Random(seed);
        let graph = networks::any(&mut random, 8);
        for network in lowered(&graph, &networks::samples(&graph, &mut random, 2)) {
            let options = PlanOptions { ram: Ram::Min, layers: false, ..plans::options(&mut random, &network) };
            let (least, _) = plans::planned(&network, &options);
            for more in [0, 8, 16, 48, 160, 1000] {
                let limit = least.ram_bytes as u64 + options.stack + more;
                judged(&network, &PlanOptions { ram: Ram::Limit(limit), ..options });
            }
        }
    }
}

/// A second input is held whole, whether the first comes row by row or not.
#[test]
fn two_inputs() {
    let mut graph = Graph::new("two");
    let shape = [1, 3, 12, 10];
    let (x, z) = (graph.input("x", &shape), graph.input("z", &shape));
    let conv = |pad| Conv2d { window: Window::square(3, 1, pad), groups: 1 };
    let a = graph.conv("a", x, 8, conv(1)).expect("fits");
    let a = graph.add("a.relu", Node::Relu, &[a], &[]).expect("fits");
    let b = graph.conv("b", a, 3, conv(1)).expect("fits");
    let sum = graph.add("sum", Node::Binary(BinaryOp::Add), &[b, z], &[]).expect("fits");
    let y = graph.conv("y", sum, 4, conv(0)).expect("fits");
    graph.output(y);
    networks::fill(&mut graph, &mut Random(3));
    let network = float(&graph);
    let inputs = [1, 2].map(|seed| Random(seed).reals(3 * 12 * 10).iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    let inputs = [&inputs[0][..], &inputs[1]];
    let (mut want, mut streamed) = (None, 0);
    for ram in [Ram::Least, Ram::Min] {
        for (layers, storage) in [(true, false), (false, false), (false, true)] {
            let options = PlanOptions { ram, layers, storage, ..PlanOptions::default() };
            let (_, model, _) = judged(&network, &options);
            let mut ram = model.ram();
            let tensors = watch(&mut model.engine(&mut ram).expect("fits"), &inputs).expect("an accepted artifact runs");
            assert!(*want.get_or_insert_with(|| tensors.clone()) == tensors, "{options:?}");
            streamed += usize::from(model.artifact().is_streamed());
        }
    }
    assert!(streamed > 0, "no plan takes the first input row by row");
}
