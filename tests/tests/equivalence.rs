//! The named networks, with random weights, held against tract: float and int8, layer by layer and as a whole. And proof that the
//! comparison can fail: artifacts with one thing wrong must not pass.
//!
//! `STATICNET_LONG=1` adds the two networks of full size.

use staticnet::op::{Conv2d, Lrn, MaxPool, Op, Window};
use staticnet::record::DType;
use staticnet_exporter::compile::{Options, compile, compile_float};
use staticnet_exporter::emit::Emitted;
use staticnet_exporter::host::Model;
use staticnet_exporter::network::UNCLAMPED;
use staticnet_exporter::payload::Payload;
use staticnet_exporter::quantized::Quantized;
use staticnet_exporter::verify::{Verification, verify};
use staticnet_graph::graph::{Graph, Op as Node, Tensor};
use staticnet_graph::onnx;
use staticnet_testing::Random;
use staticnet_testing::graphs::{emitted, lowered, networks};
use staticnet_trainer::init::{Init, initialise};
use staticnet_trainer::models::by_name;

/// A named network with random weights (He's) and small random biases, the samples to calibrate it on, and others to compare with.
struct Subject {
    graph: Graph,
    calibration: Vec<Vec<f32>>,
    batch: Tensor,
}

impl Subject {
    /// A network small enough to be compared many times over.
    fn small(seed: u64) -> Subject {
        let mut graph = Graph::new("small");
        let fits = "the attributes fit";
        let conv = |groups| Conv2d { window: Window::square(3, 1, 1), groups };
        let x = graph.input("x", &[1, 3, 14, 14]);
        let x = graph.conv("conv1", x, 12, conv(1)).expect(fits);
        let x = graph.add("relu1", Node::Relu, &[x], &[]).expect(fits);
        let x = graph.add("lrn", Node::Lrn(Lrn { size: 5, alpha: 1e-2, beta: 0.75, k: 2.0 }), &[x], &[]).expect(fits);
        let x = graph.add("pool", Node::MaxPool(MaxPool { window: Window::square(3, 2, 0) }), &[x], &[]).expect(fits);
        let x = graph.conv("conv2", x, 16, conv(2)).expect(fits);
        let x = graph.add("relu2", Node::Relu, &[x], &[]).expect(fits);
        let x = graph.add("flatten", Node::Flatten, &[x], &[]).expect(fits);
        let x = graph.linear("fc1", x, 40).expect(fits);
        let x = graph.add("relu3", Node::Relu, &[x], &[]).expect(fits);
        let x = graph.linear("fc2", x, 10).expect(fits);
        graph.output(x);
        Subject::with_weights(graph, seed)
    }

    fn named(name: &str) -> Subject {
        let architecture = by_name(name).expect("a known network");
        let channels = if name == "lenet" { 1 } else { 3 };
        Subject::with_weights((architecture.build)(channels, 10).expect("it fits its own input"), 5)
    }

    fn with_weights(mut graph: Graph, seed: u64) -> Subject {
        initialise(&mut graph, Init::Kaiming, seed);
        let mut random = Random(9);
        for (name, tensor) in &mut graph.params {
            if name.ends_with(".bias") {
                tensor.data.fill_with(|| 0.1 * random.real());
            }
        }
        let samples = networks::samples(&graph, &mut random, 7);
        let (calibration, compared) = samples.split_at(4);
        let shape = [&[compared.len()], &graph.shape(graph.inputs[0])[1..]].concat();
        Subject { calibration: calibration.to_vec(), batch: Tensor { shape, data: compared.concat() }, graph }
    }

    fn verify(&self, emitted: &Emitted) -> Verification {
        let onnx = onnx::to_bytes(&self.graph).expect("a consistent graph");
        let model = Model::from_bytes(&emitted.joined()).expect("acceptable");
        verify(&onnx, &model, &self.batch, &|_| {}).expect("tract runs it")
    }
}

/// Float and int8 within their bounds, written down here once more.
fn equivalent(name: &str) {
    let subject = Subject::named(name);
    let float = compile_float(subject.graph.clone(), &Options::default()).expect("supported");
    let verification = subject.verify(&float);
    assert!(verification.ok, "{name}, float: {verification:#?}");
    assert!(verification.max_rel <= 1e-4 && verification.layers.iter().all(|l| l.max_rel <= 1e-4), "{verification:#?}");

    let int8 = compile(subject.graph.clone(), &subject.calibration, &Options::default()).expect("supported");
    let verification = subject.verify(&int8);
    assert!(verification.ok, "{name}, int8: {verification:#?}");
    assert!(verification.layers.iter().all(|l| l.max_units <= 2.0 && l.parameter_units <= 0.51), "{verification:#?}");
    assert!(verification.sqnr_db >= 20.0, "{verification:#?}");
    // Something was compared.
    let names: Vec<&str> = verification.layers.iter().map(|l| l.name.as_str()).collect();
    assert!(subject.graph.nodes.iter().filter(|n| !n.params.is_empty()).all(|n| names.contains(&n.name.as_str())));
    println!("{name}: int8 SQNR {:.1} dB, {} layers", verification.sqnr_db, names.len());
}

#[test]
fn lenet() {
    equivalent("lenet");
}

#[test]
fn cifar_small() {
    equivalent("cifar-small");
}

#[test]
fn alexnet_cifar() {
    equivalent("alexnet-cifar");
}

#[test]
fn alexnet_cifar_lrn() {
    equivalent("alexnet-cifar-lrn");
}

#[test]
fn networks_of_full_size() {
    if std::env::var_os("STATICNET_LONG").is_none() {
        println!("skipped: set STATICNET_LONG=1 to compare alexnet and alexnet-paper at full size");
        return;
    }
    equivalent("alexnet");
    equivalent("alexnet-paper");
}

fn position(network: &Quantized, wanted: impl Fn(&Op) -> bool) -> usize {
    network.layers.iter().position(|layer| wanted(&layer.record.op)).expect("the network has such a layer")
}

/// Takes layer `i` out: its readers read its input instead.
fn without_layer(network: &mut Quantized, i: usize) {
    let gone = network.layers.remove(i).record;
    let records = network.layers.iter_mut().map(|layer| &mut layer.record);
    let inputs = records.flat_map(|record| [&mut record.input, &mut record.input2]);
    inputs.filter(|x| **x == gone.output).for_each(|x| *x = gone.input);
}

/// Weights and biases of layer `i`.
fn sum(network: &mut Quantized, i: usize) -> (&mut Vec<f32>, &mut Vec<f32>) {
    match &mut network.layers[i].payload {
        Payload::Sum { weights, bias } => (weights, bias),
        other => panic!("a layer with {other:?}"),
    }
}

/// What is damaged, and how.
type Damage<'a> = (&'a str, &'a dyn Fn(&mut Quantized));

/// Every artifact here is well formed and runs; only it is not the model's.
#[test]
fn one_thing_wrong_is_noticed_in_float() {
    let subject = Subject::small(5);
    let [good, _] = lowered(&subject.graph, &subject.calibration);
    let conv = position(&good, |op| matches!(op, Op::Conv2d(_)));
    let linear = position(&good, |op| matches!(op, Op::Linear));
    let lrn = position(&good, |op| matches!(op, Op::Lrn(_)));
    let damages: [Damage; 6] = [
        ("a convolution's weight", &|n| sum(n, conv).0[100] += 1e-3),
        ("a weight among ten thousand", &|n| sum(n, linear).0[7_777] += 1e-5),
        ("a bias", &|n| sum(n, linear).1[5] += 1e-3),
        ("no LRN", &|n| without_layer(n, lrn)),
        ("another LRN", &|n| {
            if let Op::Lrn(attrs) = &mut n.layers[lrn].record.op {
                attrs.beta = 0.7501;
            }
        }),
        ("no ReLU", &|n| n.layers[conv].record.range_f32 = UNCLAMPED),
    ];
    for (what, damage) in damages {
        let mut bad = good.clone();
        damage(&mut bad);
        let verification = subject.verify(&emitted(&bad));
        assert!(!verification.ok, "{what}: not noticed");
        assert!(verification.first_bad_layer.is_some(), "{what}: no layer is named");
    }
}

/// The same in int8, where rounding must not hide it: one unit of one parameter.
#[test]
fn one_thing_wrong_is_noticed_in_int8() {
    let subject = Subject::small(5);
    let [_, good] = lowered(&subject.graph, &subject.calibration);
    let conv = position(&good, |op| matches!(op, Op::Conv2d(_)));
    let linear = position(&good, |op| matches!(op, Op::Linear));
    type Damage<'d> = &'d dyn Fn(&mut Vec<i8>, &mut Vec<i32>, &mut Vec<f32>);
    let damages: [(&str, usize, Damage); 6] = [
        ("a convolution's weight", conv, &|weights, _, _| weights[30] = weights[30].wrapping_add(64)),
        ("one unit of a weight", linear, &|weights, _, _| weights[12_345] += if weights[12_345] > 0 { -1 } else { 1 }),
        ("one unit of another weight", conv, &|weights, _, _| weights[7] += if weights[7] > 0 { -1 } else { 1 }),
        ("a bias", linear, &|_, bias, _| bias[3] += 2),
        ("a large bias", conv, &|_, bias, _| bias[0] -= 100_000),
        ("a multiplier", linear, &|_, _, multiplier| multiplier[1] *= 1.01),
    ];
    assert!(subject.verify(&emitted(&good)).ok);
    for (what, layer, damage) in damages {
        let mut bad = good.clone();
        let Payload::SumCodes { weights, bias, multiplier, .. } = &mut bad.layers[layer].payload else {
            panic!("a layer of weights")
        };
        damage(weights, bias, multiplier);
        let verification = subject.verify(&emitted(&bad));
        assert!(!verification.ok, "{what}: not noticed");
        assert_eq!(verification.first_bad_layer.as_deref(), Some(good.layers[layer].name.as_str()), "{what}");
    }
}

/// int8 with its LRN left out, or with a wrong factor table.
#[test]
fn a_wrong_lrn_is_noticed_in_int8() {
    let subject = Subject::small(5);
    let [_, good] = lowered(&subject.graph, &subject.calibration);
    let lrn = position(&good, |op| matches!(op, Op::Lrn(_)));

    let (mut table, mut dropped) = (good.clone(), good);
    let Payload::Factors(factors) = &mut table.layers[lrn].payload else { panic!("an LRN's factors") };
    factors.iter_mut().for_each(|f| *f -= *f / 32);
    without_layer(&mut dropped, lrn);
    for (what, bad) in [("factors", table), ("no LRN", dropped)] {
        let verification = subject.verify(&emitted(&bad));
        assert!(!verification.ok, "{what}: not noticed");
        assert!(verification.first_bad_layer.is_some(), "{what}");
    }
}

/// The artifact of another network, and of the same one with other weights.
#[test]
fn the_artifact_of_another_model_is_noticed() {
    let subject = Subject::small(5);
    let other = Subject::small(6);
    for int8 in [false, true] {
        let emitted = if int8 {
            compile(other.graph.clone(), &other.calibration, &Options::default())
        } else {
            compile_float(other.graph.clone(), &Options::default())
        };
        let emitted = emitted.expect("supported");
        let dtype = Model::from_bytes(&emitted.joined()).expect("acceptable").artifact().tensor(0).map(|t| t.dtype);
        assert_eq!(dtype, Some(if int8 { DType::I8 } else { DType::F32 }));
        let verification = subject.verify(&emitted);
        assert_eq!(verification.first_bad_layer.as_deref(), Some("conv1"));
    }
}
