use super::*;
use crate::models::{alexnet_cifar, lenet};
use crate::optim::{Groups, OptimOptions};
use crate::schedule::ScheduleOptions;
use staticnet_graph::graph::Op;

fn drawn(init: Init, seed: u64) -> Graph {
    let mut graph = alexnet_cifar(3, 10).unwrap();
    initialise(&mut graph, init, seed);
    graph
}

fn std(values: &[f32]) -> f64 {
    (values.iter().map(|v| (*v as f64).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

#[test]
fn deviations() {
    let first = drawn(Init::Kaiming, 1);
    // sqrt(2 / (64 * 3 * 3)) = 0.0589256
    assert!((std(&first.params["features.3.weight"].data) - 0.058_925_6).abs() < 1e-3);
    // sqrt(2 / 2304) = 0.0294628
    assert!((std(&first.params["classifier.1.weight"].data) - 0.029_462_8).abs() < 1e-3);
    assert!(first.params["features.3.bias"].data.iter().all(|b| *b == 0.0));
    assert_ne!(first, drawn(Init::Kaiming, 2));
    assert_eq!(first, drawn(Init::Kaiming, 1));
    assert!((std(&drawn(Init::GAUSSIAN, 1).params["features.3.weight"].data) - 0.01).abs() < 2e-4);
    assert!((std(&drawn(Init::Gaussian(0.25), 1).params["features.3.weight"].data) - 0.25).abs() < 5e-3);
    // 2 / (64 * 9 + 192 * 9) = 0.0294628^2
    assert!((std(&drawn(Init::XavierNormal, 1).params["features.3.weight"].data) - 0.029_462_8).abs() < 5e-4);
}

/// The same as before there were others: a change here changes every training.
#[test]
fn the_draws_are_the_generators() {
    for (init, std) in [(Init::Kaiming, (2.0_f32 / 576.0).sqrt()), (Init::GAUSSIAN, 0.01)] {
        let graph = drawn(init, 7);
        let layer = graph.nodes.iter().position(|n| n.name == "features.3").unwrap();
        let mut rng = KeyedRng::new(7, 0, layer as u64, stream::INIT);
        assert!(graph.params["features.3.weight"].data.iter().all(|v| *v == std * rng.normal()));
    }
}

#[test]
fn uniform_draws_fill_their_bounds() {
    // sqrt(6 / (64 * 9 + 192 * 9)) = 0.0510310; sqrt(6 / (2304 + 1024)) = 0.0424601
    let bounds = [(Init::Xavier, "features.3.weight", 0.051_031), (Init::Xavier, "classifier.1.weight", 0.042_460_1)];
    for (init, name, bound) in bounds.into_iter().chain([(Init::Uniform(0.5), "features.3.weight", 0.5)]) {
        let graph = drawn(init, 3);
        let values = &graph.params[name].data;
        let largest = values.iter().fold(0.0_f32, |m, v| m.max(v.abs())) as f64;
        assert!(largest <= bound * 1.00001 && largest > bound * 0.999, "{init} {name}: {largest}");
        let mean = values.iter().map(|v| *v as f64).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.01 * bound && (std(values) / bound - 3.0_f64.sqrt().recip()).abs() < 0.01);
    }
}

#[test]
fn alexnets_biases() {
    let ones = |graph: Graph| -> Vec<String> {
        let biases = graph.params.iter().filter(|(name, _)| name.ends_with("bias"));
        let all = |value: f32, tensor: &[f32]| tensor.iter().all(|v| *v == value);
        let one = biases.inspect(|(_, t)| assert!(all(0.0, &t.data) || all(1.0, &t.data)));
        one.filter(|(_, t)| all(1.0, &t.data)).map(|(name, _)| name.clone()).collect()
    };
    let alexnet = drawn(Init::Alexnet, 1);
    assert_eq!(alexnet.params["features.3.weight"], drawn(Init::GAUSSIAN, 1).params["features.3.weight"]);
    let convolutions: Vec<&str> =
        alexnet.nodes.iter().filter(|n| matches!(n.op, Op::Conv(_))).map(|n| n.name.as_str()).collect();
    let mut expected: Vec<String> = [1, 3, 4].map(|i| format!("{}.bias", convolutions[i])).to_vec();
    expected.extend(["classifier.1.bias", "classifier.4.bias"].map(String::from));
    expected.sort();
    assert_eq!(ones(alexnet), expected);
    let mut small = lenet(1, 10).unwrap();
    initialise(&mut small, Init::Alexnet, 1);
    assert_eq!(ones(small).len(), 2, "the second convolution and the hidden layer");
}

#[test]
fn rules_say_how_layers_begin() {
    let rules = [
        "conv: init=constant:0.5",
        "features.3: init=gaussian:2",
        "linear.bias: init=constant:0.1",
        "features.0.bias: init=uniform:1",
    ];
    let options = OptimOptions { rule: rules.iter().map(|r| r.parse().unwrap()).collect(), ..OptimOptions::default() };
    let mut graph = alexnet_cifar(3, 10).unwrap();
    let groups = Groups::new(&graph, &options, &ScheduleOptions::default()).unwrap();
    initialise_by(&mut graph, Init::Kaiming, 1, |parameter| groups.init(parameter));
    let all = |name: &str, value: f32| graph.params[name].data.iter().all(|v| *v == value);
    assert!(all("features.6.weight", 0.5) && all("features.6.bias", 0.0), "`conv` is for weights");
    assert!((std(&graph.params["features.3.weight"].data) - 2.0).abs() < 0.05);
    assert!(all("classifier.1.bias", 0.1));
    assert_eq!(graph.params["classifier.1.weight"], drawn(Init::Kaiming, 1).params["classifier.1.weight"]);
    let bias = std(&graph.params["features.0.bias"].data);
    assert!((bias - 3.0_f64.sqrt().recip()).abs() < 0.1, "{bias}");
}

#[test]
fn names_are_read_and_written() {
    for text in ["kaiming", "xavier", "xavier-normal", "gaussian", "gaussian:0.25", "uniform:0.5", "constant:-1", "alexnet"] {
        assert_eq!(text.parse::<Init>().unwrap().to_string(), text);
    }
    assert_eq!("gaussian:0.01".parse(), Ok(Init::GAUSSIAN));
    for (text, said) in [
        ("uniform", "uniform:NUMBER"),
        ("gaussian:-1", "above 0"),
        ("kaiming:2", "takes no number"),
        ("constant:x", "behind the colon"),
        ("xavir", "perhaps xavier"),
        ("", "is needed"),
    ] {
        let error = text.parse::<Init>().unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
    assert!(Init::is_meant("uniform:0.5") && Init::is_meant("kaiming") && !Init::is_meant("runs/kaiming"));
}
