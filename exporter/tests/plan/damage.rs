//! The checker must see plans that go wrong: each kind of damage is done to a good plan, which the runtime's own validation, as
//! it promises memory safety and no more, mostly accepts.

use super::replay::check;
use staticnet::op::{BinaryOp, Conv2d, Lrn, MaxPool, Window};
use staticnet::preprocess::{Fit, PixelFormat, Preprocess, Source};
use staticnet::record::{Slot, Step};
use staticnet_exporter::emit;
use staticnet_exporter::plan::{Plan, PlanOptions, Planned, Ram, plan};
use staticnet_exporter::quantized::Quantized;
use staticnet_graph::graph::{Graph, Op};
use staticnet_testing::graphs::{float, model};

/// What a plan comes to: good, refused by the runtime, or found wrong by the checker.
fn verdict(network: &Quantized, plan: &Plan) -> Result<(), String> {
    let (payload, chunks) = emit::payload(&mut network.clone(), &plan.chunks);
    let emitted = emit::emit(network, plan, (payload, &chunks), false);
    let emitted = emitted.map_err(|e| format!("not accepted: {e}"))?;
    check(&model(&emitted).artifact()).map(drop)
}

/// What is damaged, how, and whether the runtime refuses it.
type Damage<'a> = (&'a str, &'a dyn Fn(&mut Plan), bool);

fn judge(network: &Quantized, good: &Plan, damages: &[Damage]) {
    assert_eq!(verdict(network, good), Ok(()));
    for (what, damage, refused) in damages {
        let mut bad = good.clone();
        damage(&mut bad);
        assert_ne!(bad, *good, "{what}: nothing is damaged");
        let error = verdict(network, &bad).expect_err(what);
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
    let network = float(&graph);
    let options = PlanOptions { layers: true, ..PlanOptions::default() };
    let good = plan(&Planned::new(&network), &options).expect("small");
    let slot_of = |step: usize| good.steps[step].output as usize;
    let place = |step: usize| good.slots[slot_of(step)].offset;
    let input = good.inputs[0] as usize;
    judge(
        &network,
        &good,
        &[
            ("a row is missing", &|p| p.steps[0].r1 -= 1, false),
            ("a channel is missing", &|p| p.steps[1].c0 += 1, false),
            ("steps are exchanged", &|p| p.steps.swap(0, 1), false),
            ("a step is missing", &|p| p.steps.truncate(2), false),
            ("the output lies on the input", &|p| p.slots[slot_of(0)].offset = good.slots[input].offset, true),
            ("an output lies on another", &|p| p.slots[slot_of(2)].offset = place(1), false),
            ("scratch lies on an output", &|p| p.steps[2].scratch = place(1), false),
            ("RAM is too small", &|p| p.ram_bytes -= 16, true),
            ("a chunk is another layer's", &|p| p.steps[0].chunk = p.steps[2].chunk, true),
        ],
    );
}

/// A classifier with all that plans of chains are made of: rows, blocks and windows of channels, LRN between windows.
fn chain() -> Quantized {
    let mut graph = Graph::new("damaged");
    let x = graph.input("x", &[1, 3, 32, 24]);
    let a = graph.conv("a", x, 16, conv(3, 1, 1, 1)).expect("fits");
    let a = graph.add("a.pool", Op::MaxPool(MaxPool { window: Window::square(2, 2, 0) }), &[a], &[]).expect("fits");
    let b = graph.conv("b", a, 32, conv(3, 1, 1, 1)).expect("fits");
    let b = graph.add("b.lrn", Op::Lrn(Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 }), &[b], &[]).expect("fits");
    let b = graph.add("b.pool", Op::MaxPool(MaxPool { window: Window::square(3, 2, 1) }), &[b], &[]).expect("fits");
    let c = graph.conv("c", b, 16, conv(3, 1, 1, 1)).expect("fits");
    graph.output(c);
    let (width, height) = (24, 32);
    graph.preprocess = Some(Preprocess { width, height, channels: 3, fit: Fit::Stretch, mean: [0.5; 3], std: [0.25; 3] });
    float(&graph)
}

/// Two branches, of which one lags: what both read stays longer than either needs it. With a large output rows of it are made
/// over dead rows of what it is made of.
fn branches(large: bool) -> Quantized {
    let mut graph = Graph::new("damaged");
    let x = graph.input("x", &[1, 4, 40, 20]);
    let deep = |graph: &mut Graph, name: &str, x| {
        let y = (0..3).fold(x, |x, i| graph.conv(&format!("{name}.{i}"), x, 4, conv(3, 1, 1, 1)).expect("fits"));
        graph.add(&format!("{name}.sum"), Op::Binary(BinaryOp::Add), &[y, x], &[]).expect("fits")
    };
    let a = deep(&mut graph, "a", x);
    let b = deep(&mut graph, "b", a);
    let small = |graph: &mut Graph| {
        graph.add("small", Op::MaxPool(MaxPool { window: Window::square(10, 10, 0) }), &[b], &[]).expect("fits")
    };
    let output = if large { b } else { small(&mut graph) };
    graph.output(output);
    float(&graph)
}

/// The first plan of a network that has something, from the least RAM upwards.
fn plan_with<T>(network: &Quantized, options: PlanOptions, what: impl Fn(&Plan) -> Option<T>) -> (Plan, T) {
    let planned = Planned::new(network);
    let of = |ram| plan(&planned, &PlanOptions { ram, ..options });
    let least = of(Ram::Min).expect("there is no limit").ram_bytes as u64 + options.stack;
    let limits = (0..40).map(|i| Ram::Limit(least + least * i / 20));
    let plans = [Ram::Min].into_iter().chain(limits).filter_map(|ram| of(ram).ok());
    plans.filter_map(|plan| what(&plan).map(|found| (plan, found))).next().expect("there is such a plan")
}

fn tensor(network: &Quantized, name: &str) -> u16 {
    network.tensors.iter().position(|t| t.name == name).expect("a tensor of the network") as u16
}

/// The slots of a tensor.
fn slots(plan: &Plan, tensor: u16) -> impl Iterator<Item = usize> {
    plan.slots.iter().enumerate().filter(move |(_, slot)| slot.tensor == tensor).map(|(i, _)| i)
}

/// The steps of a layer.
fn steps(network: &Quantized, plan: &Plan, name: &str) -> Vec<usize> {
    let is_it = |step: &Step| network.layers[step.layer as usize].name == name;
    (0..plan.steps.len()).filter(|&i| is_it(&plan.steps[i])).collect()
}

#[test]
fn rings() {
    let network = branches(false);
    let (x, sum) = (network.inputs[0] as u16, tensor(&network, "a.sum"));
    let ring = |p: &Plan, t: u16| slots(p, t).next().filter(|&i| (4..40).contains(&p.slots[i].rows));
    let (good, [x, sum]) = plan_with(&network, PlanOptions::default(), |p| Some([ring(p, x)?, ring(p, sum)?]));
    let (inner, last) = (slots(&good, tensor(&network, "a.1")).next().expect("every tensor has one"), good.steps.len() - 1);
    judge(
        &network,
        &good,
        &[
            ("the ring of the input is a row short", &|p| p.slots[x].rows -= 1, false),
            ("another ring is a row short", &|p| p.slots[sum].rows -= 1, false),
            ("a ring is shorter than what a step reads", &|p| p.slots[sum].rows = 2, true),
            ("a ring lies over another that is still read", &|p| p.slots[inner].offset = p.slots[x].offset, false),
            ("a row is made too late", &|p| p.steps.swap(last, last - 1), false),
        ],
    );
}

#[test]
fn windows_and_weights() {
    let network = chain();
    let source = Some(Source { width: 30, height: 40, format: PixelFormat::Rgb888 });
    let options = PlanOptions { storage: true, source, stack: 0, ..PlanOptions::default() };
    let (b, pool) = (tensor(&network, "b"), tensor(&network, "b.pool"));
    let windows = |p: &Plan| Some(slots(p, b).collect::<Vec<_>>()).filter(|slots| slots.len() > 2);
    let (mut good, windows) = plan_with(&network, options, windows);
    // Behind everything else, so that there is room for a wider one.
    windows.iter().for_each(|&i| good.slots[i].offset = good.ram_bytes.next_multiple_of(16));
    good.ram_bytes += 1 << 14;
    let (convs, norms) = (steps(&network, &good, "b"), steps(&network, &good, "b.lrn"));
    let blocks: Vec<usize> = convs.iter().copied().filter(|&i| good.steps[i].load).collect();
    assert!(blocks.len() > 2 && blocks.len() < convs.len(), "every block is loaded once and used again");
    let whole = |t: u16| good.slots[slots(&good, t).next().expect("every tensor has one")].offset;
    let (input, result, ring) = (whole(tensor(&network, "a.pool")), whole(pool), whole(tensor(&network, "a")));
    // Two that are as large, not at an end.
    let (middle, [block, next]) = (windows[windows.len() / 2], [0, 1].map(|i| blocks[blocks.len() / 2 + i]));
    let moved = |p: &mut Plan, place: u32| convs.iter().for_each(|&i| p.steps[i].place = place);
    judge(
        &network,
        &good,
        &[
            ("a window is too narrow", &|p| p.slots[middle].channels -= 1, true),
            (
                "a window is read as if it began a channel earlier",
                &|p| {
                    let slot = p.slots[middle];
                    p.slots.push(Slot { c0: slot.c0 - 1, channels: slot.channels + 1, ..slot });
                    let early = p.slots.len() as u16 - 1;
                    let reads = norms.iter().filter(|&&i| p.steps[i].input == middle as u16).copied().collect::<Vec<_>>();
                    reads.iter().for_each(|&i| p.steps[i].input = early);
                },
                false,
            ),
            ("a block is not loaded", &|p| p.steps[block].load = false, false),
            ("a block is another", &|p| p.steps[block].chunk = p.steps[next].chunk, false),
            ("weights lie over the input", &|p| moved(p, input), false),
            ("weights lie over what other blocks have made", &|p| moved(p, result), false),
            ("weights lie over what the step makes", &|p| moved(p, p.slots[windows[0]].offset), true),
            ("weights lie outside", &|p| moved(p, p.ram_bytes), true),
            (
                "scratch lies over what other blocks have made",
                &|p| convs.iter().for_each(|&i| p.steps[i].scratch = result),
                false,
            ),
            ("the memory of rows lies over a ring", &|p| p.source = source.map(|s| (s, ring)), false),
            (
                "the memory of rows lies over the input",
                &|p| p.source = source.map(|s| (s, p.slots[p.inputs[0] as usize].offset)),
                true,
            ),
        ],
    );
}

#[test]
fn outputs_over_dead_rows() {
    let network = branches(true);
    let bytes = |slot: &Slot| slot.offset..slot.offset + slot.rows * 20 * u32::from(slot.channels) * 4;
    let over = |p: &Plan| {
        // Not in place: each begins where the other does not.
        let (x, y) = (tensor(&network, "a.sum"), tensor(&network, "b.sum"));
        let [x, y] = [x, y].map(|t| slots(p, t).next().expect("every tensor has one"));
        let (from, to) = (bytes(&p.slots[x]), bytes(&p.slots[y]));
        (from.start < to.end && to.start < from.start).then_some([x, y])
    };
    let (mut good, [x, y]) = plan_with(&network, PlanOptions::default(), over);
    good.ram_bytes += 1 << 16;
    assert_eq!(verdict(&network, &good), Ok(()));
    let (mut refused, mut wrong) = (0, 0);
    let (from, first) = (bytes(&good.slots[x]), good.slots[y].offset);
    for offset in (first + 16..from.end).step_by(16) {
        let mut bad = good.clone();
        bad.slots[y].offset = offset;
        let error = verdict(&network, &bad).expect_err("it lies over rows that are still to be read");
        *(if error.starts_with("not accepted") { &mut refused } else { &mut wrong }) += 1;
    }
    // A step that reads what it writes is refused; what later steps read is the plan's affair.
    assert!(refused > 10 && wrong > 10, "{refused} refused, {wrong} wrong");
}
