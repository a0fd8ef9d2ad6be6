//! Rules: which of several wins, and what is said about those that make no sense.

use super::*;
use crate::backend::cpu::CpuBackend;
use crate::backend::raw;
use crate::init::Init;
use crate::models::alexnet_cifar;
use crate::rng::KeyedRng;
use dfdx::prelude::{Cpu, Gradients, TensorFromVec};

fn options(rules: &[&str]) -> OptimOptions {
    OptimOptions { rule: rules.iter().map(|r| r.parse().unwrap()).collect(), ..OptimOptions::default() }
}

fn groups(rules: &[&str]) -> Result<Groups, RuleError> {
    Groups::new(&alexnet_cifar(3, 10).unwrap(), &options(rules), &ScheduleOptions::default())
}

const START: Moment = Moment { step: 0, steps_per_epoch: 10, epochs: 2, batches: 1 };

#[test]
fn the_more_specific_rule_wins_key_by_key() {
    let rules = [
        "classifier.6.bias: weight_decay=0.6",
        "classifier.6: lr=0.5, weight_decay=0.5",
        "classifier: lr=0.4, momentum=0.4, weight_decay=0.4",
        "linear.bias: lr=0.3, momentum=0.3, eps=0.3, weight_decay=0.3",
        "bias: lr=0.2, momentum=0.2, eps=0.2, alpha=0.2, weight_decay=0.2",
        "linear: lr=0.1, alpha=0.1",
    ];
    let groups = groups(&rules).unwrap();
    let of = |parameter: &str| {
        let Settings { optim, schedule, .. } = &groups.of(parameter).unwrap().settings;
        [schedule.lr, optim.momentum, optim.eps, optim.alpha, optim.weight_decay]
    };
    let default = [0.02, 0.9, 1e-8, 0.99, 5e-4];
    assert_eq!(of("features.0.weight"), default);
    assert_eq!(of("features.0.bias"), [0.2, 0.2, 0.2, 0.2, 0.2]);
    assert_eq!(of("classifier.4.weight"), [0.4, 0.4, 1e-8, 0.1, 0.4]);
    // `bias` and `linear` are equally specific: the later one, `linear`, has the last word on alpha.
    assert_eq!(of("classifier.4.bias"), [0.4, 0.4, 0.3, 0.1, 0.4]);
    assert_eq!(of("classifier.6.weight"), [0.5, 0.4, 1e-8, 0.1, 0.5]);
    assert_eq!(of("classifier.6.bias"), [0.5, 0.4, 0.3, 0.1, 0.6]);
    let labels: Vec<&str> = groups.iter().map(|g| g.label.as_str()).collect();
    assert_eq!(labels[0], "default");
    assert!(labels.contains(&"linear + classifier"), "{labels:?}");
    let all: usize = groups.iter().map(|g| g.parameters.len()).sum();
    assert_eq!(all, 16);
}

#[test]
fn a_name_is_whole_words() {
    // `features.1` is not in `features.10`.
    let graph = alexnet_cifar(3, 10).unwrap();
    assert!(graph.params.contains_key("features.10.weight"));
    assert!(matches!(groups(&["features.1: lr=1"]), Err(RuleError::Nothing { .. })));
}

#[test]
fn rates_of_rules() {
    let rules = [
        "bias: lr_factor=2",
        "classifier.6: lr=0.5, schedule=step, step_epochs=0,1, step_factor=0.5",
        "features.0: freeze=true",
    ];
    let groups = groups(&rules).unwrap();
    let lr = |parameter: &str, step| groups.of(parameter).unwrap().lr(Moment { step, ..START });
    // One-cycle begins at a 25th.
    assert!((lr("features.3.weight", 0) - 0.02 / 25.0).abs() < 1e-12);
    assert!((lr("features.3.bias", 0) - 0.04 / 25.0).abs() < 1e-12);
    assert_eq!([lr("classifier.6.weight", 0), lr("classifier.6.weight", 10)], [0.25, 0.125]);
    assert_eq!([lr("classifier.6.bias", 0), lr("classifier.6.bias", 10)], [0.5, 0.25]);
    assert_eq!(lr("features.0.weight", 5), 0.0);
}

#[test]
fn rules_are_written_as_they_are_read() {
    for text in ["bias: lr_factor=2, weight_decay=0", "classifier.6: optimizer=adamw, step_epochs=3,5, lr=1e-3"] {
        let rule: Rule = text.parse().unwrap();
        assert_eq!(rule.to_string(), text);
    }
    let spaced: Rule = " conv.bias :lr = 0.1 ,step_epochs=1 , 2".parse().unwrap();
    assert_eq!(spaced.to_string(), "conv.bias: lr=0.1, step_epochs=1,2");
    let options = OptimOptions { clip_norm: Some(2.0), ..options(&["bias: lr_factor=2", "conv: freeze=true"]) };
    let text = toml::to_string(&options).unwrap();
    assert_eq!(toml::from_str::<OptimOptions>(&text).unwrap(), options);
    assert!(text.contains(r#"rule = ["bias: lr_factor=2", "conv: freeze=true"]"#), "{text}");
    assert!(toml::from_str::<OptimOptions>(r#"rule = ["bias: lr=x"]"#).unwrap_err().to_string().contains("`x`"));
}

#[test]
fn rules_without_sense_are_refused_by_name() {
    let parse = |text: &str| text.parse::<Rule>().map(|r| r.to_string()).map_err(|e| e.to_string());
    for (text, said) in [
        ("bias lr=1", "SELECTOR: NAME=VALUE"),
        (": lr=1", "before the colon"),
        ("bias:", "nothing is set"),
        ("bias: lr", "`lr` has no value"),
        ("bias: lr=0.1, weight_decay", "`weight_decay` has no value"),
        ("bias: momentun=0.5", "perhaps `momentum` is meant"),
        ("bias: lr=fast", "lr: a number is needed, not `fast`"),
        ("bias: lr=-1", "lr: a rate above 0"),
        ("bias: step_epochs=1,x", "step_epochs: a whole number"),
        ("bias: freeze=yes", "freeze: true or false"),
        ("bias: optimizer=adm", "perhaps `adam` is meant"),
        ("bias: schedule=cosinus", "perhaps `cosine` is meant"),
        ("bias: init=xavir", "(perhaps xavier)"),
        ("bias: lr=0.1, lr=0.2", "lr is set twice"),
        ("bias: clip_norm=1", "for the whole training"),
        ("bias: lr_factor=-1", "lr_factor: 0 or more"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(said) && error.contains(text), "{text}: {error}");
    }
    let error = groups(&["clasifier.6: lr=1"]).unwrap_err();
    let RuleError::Nothing { candidates, .. } = &error else { panic!("{error}") };
    assert_eq!(candidates[0], "classifier.6");
    assert!(["conv", "bias", "linear.weight", "features", "features.0.bias"].iter().all(|c| candidates.iter().any(|d| d == c)));
    assert!(error.to_string().contains("clasifier.6: lr=1"));
    let error = groups(&["bias: init=xavier"]).unwrap_err().to_string();
    assert!(error.contains("features.0.bias is a bias"), "{error}");
    // Each of the two makes sense, both together do not.
    let error = groups(&["conv: nesterov=true", "features.3: momentum=0"]).unwrap_err().to_string();
    assert!(error.contains("nesterov") && error.contains("features.3: momentum=0"), "{error}");
    let wrong = OptimOptions { ema: Some(1.0), ..OptimOptions::default() };
    let error = Groups::new(&alexnet_cifar(3, 10).unwrap(), &wrong, &ScheduleOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("ema:"), "{error}");
}

#[test]
fn every_key_can_be_set() {
    for key in KEYS {
        let changes = |value: &&str| {
            let mut settings = Settings::default();
            settings.set(key, value).is_ok() && settings != Settings::default()
        };
        assert!(["0.5", "1", "true", "xavier", "adam", "cosine"].iter().any(changes), "{key} sets nothing");
    }
    assert!("bias: lr=nan".parse::<Rule>().is_err());
}

/// The parameters of `graph` on the device.
fn tensors(graph: &Graph) -> BTreeMap<String, Weight> {
    let device = Cpu::default();
    graph.params.iter().map(|(n, t)| (n.clone(), device.tensor_from_vec(t.data.clone(), (t.data.len(),)))).collect()
}

/// Gradients drawn for each parameter.
fn gradients(graph: &Graph, step: u32) -> BTreeMap<String, Vec<f32>> {
    let drawn = graph.params.iter().enumerate().map(|(i, (name, tensor))| {
        let mut rng = KeyedRng::new(1, step, i as u64, 77);
        (name.clone(), tensor.data.iter().map(|_| rng.normal()).collect())
    });
    drawn.collect()
}

/// The same as the optimiser is given them.
fn given(params: &BTreeMap<String, Weight>, gradients: &BTreeMap<String, Vec<f32>>) -> Gradients<f32, Cpu> {
    let mut grads = Gradients::leaky();
    for (name, gradient) in gradients {
        grads.get_or_alloc_mut(&params[name]).unwrap().copy_from_slice(gradient);
    }
    grads
}

/// The bits of all parameters and averages, the norms and the state after three steps on `threads` threads.
fn three_steps(options: &OptimOptions, threads: usize) -> (Vec<u32>, BTreeMap<String, Vec<f32>>) {
    let mut graph = crate::models::lenet(1, 10).unwrap();
    crate::init::initialise(&mut graph, Init::Kaiming, 1);
    let backend = CpuBackend::new(threads).unwrap();
    let mut optimiser = Optimiser::new(&Arc::new(backend), &graph, options, &ScheduleOptions::default()).unwrap();
    let mut params = tensors(&graph);
    let mut bits = Vec::new();
    for step in 0..3 {
        let mut grads = given(&params, &gradients(&graph, step));
        let stepped = optimiser.step(&mut params, &mut grads, Moment { step: step.into(), ..START }).unwrap();
        bits.push(stepped.grad_norm.to_bits());
    }
    bits.extend(params.values().flat_map(raw::slice).map(|v| v.to_bits()));
    bits.extend(optimiser.average().unwrap().iter().flat_map(|a| a.values()).flatten().map(|v| v.to_bits()));
    (bits, optimiser.state().unwrap())
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for optimizer in [OptimizerKind::Sgd, OptimizerKind::AdamW, OptimizerKind::RmsProp] {
        let rules = options(&["bias: optimizer=adam", "features.3: centered=true"]);
        let options = OptimOptions { optimizer, clip_norm: Some(1.0), clip_value: Some(1e-4), ema: Some(0.9), ..rules };
        assert_eq!(three_steps(&options, 1), three_steps(&options, 2), "{optimizer}");
    }
}

#[test]
fn what_is_frozen_stays_and_remembers_nothing() {
    let mut graph = alexnet_cifar(3, 10).unwrap();
    crate::init::initialise(&mut graph, Init::Kaiming, 1);
    let backend = Arc::new(CpuBackend::new(1).unwrap());
    let mut optimiser =
        Optimiser::new(&backend, &graph, &options(&["conv: freeze=true"]), &ScheduleOptions::default()).unwrap();
    let (mut params, gradients) = (tensors(&graph), gradients(&graph, 0));
    let mut grads = given(&params, &gradients);
    let stepped = optimiser.step(&mut params, &mut grads, START).unwrap();
    for (name, tensor) in &graph.params {
        let same = raw::slice(&params[name]) == tensor.data;
        assert_eq!(same, name.starts_with("features"), "{name}");
    }
    assert!(optimiser.state().unwrap().keys().all(|key| !key.starts_with("features")));
    let trained = gradients.iter().filter(|(name, _)| name.starts_with("classifier")).flat_map(|(_, g)| g);
    let norm = trained.map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    assert!((f64::from(stepped.grad_norm) / norm - 1.0).abs() < 1e-6);
}

#[test]
fn a_rate_that_follows_a_metric_is_part_of_the_state() {
    let graph = alexnet_cifar(3, 10).unwrap();
    let rules = options(&["bias: schedule=plateau, plateau_patience=0, plateau_factor=0.5", "features.0.bias: lr=0.1"]);
    let backend = Arc::new(CpuBackend::new(1).unwrap());
    let new = || Optimiser::new(&backend, &graph, &rules, &ScheduleOptions::default()).unwrap();
    let rate = |o: &Optimiser, label: &str| o.groups().find(|g| g.label == label).unwrap().lr(START);
    let mut optimiser = new();
    for loss in [1.0, 1.0, 0.5, 0.6] {
        optimiser.end_of_epoch(loss, Better::Lower);
    }
    assert_eq!(rate(&optimiser, "bias"), 0.02 / 4.0);
    assert_eq!(rate(&optimiser, "bias + features.0.bias"), 0.1 / 4.0);
    let mut resumed = new();
    resumed.restore(optimiser.state().unwrap()).unwrap();
    assert_eq!(rate(&resumed, "bias"), rate(&optimiser, "bias"));
    assert_eq!(resumed.state(), optimiser.state());
    let state = new().state().unwrap();
    assert!(state.contains_key("plateau/bias") && !state.contains_key("plateau/default"));
}

#[test]
fn the_table_says_which_rule_is_for_what() {
    let graph = crate::models::lenet(1, 10).unwrap();
    let rules = options(&["bias: lr_factor=2, weight_decay=0", "features.0: freeze=true"]);
    let schedule = ScheduleOptions { schedule: ScheduleKind::Constant, lr: 0.1, ..ScheduleOptions::default() };
    let table = Optimiser::new(&Arc::new(CpuBackend::new(1).unwrap()), &graph, &rules, &schedule).unwrap().table(START);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 1 + graph.params.len());
    assert!(rows.contains(&vec!["features.3.weight", "default", "sgd", "1.000e-1", "0.0005", "constant"]), "{table}");
    assert!(rows.contains(&vec!["features.3.bias", "bias", "sgd", "2.000e-1", "0", "constant"]), "{table}");
    assert!(rows.contains(&vec!["features.0.weight", "features.0", "frozen"]), "{table}");
}

#[test]
fn options_are_arguments() {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        optim: OptimOptions,
        #[command(flatten)]
        schedule: ScheduleOptions,
    }
    let parse = |arguments: &[&str]| <Line as clap::Parser>::try_parse_from([&["x"], arguments].concat());
    let Line { optim, schedule } = parse(&[]).unwrap();
    assert_eq!((optim, schedule), (OptimOptions::default(), ScheduleOptions::default()));
    let arguments = ["--optimizer", "adamw", "--rule", "bias: lr_factor=2, weight_decay=0", "--nesterov", "--centered=false"];
    let more = ["--rule", "conv: freeze=true", "--schedule", "inverse-time", "--step-epochs", "2,3", "--ema", "0.99"];
    let Line { optim, schedule } = parse(&[&arguments[..], &more].concat()).unwrap();
    assert_eq!((optim.optimizer, optim.nesterov, optim.rule.len()), (OptimizerKind::AdamW, true, 2));
    assert_eq!((schedule.schedule, schedule.step_epochs, optim.ema), (ScheduleKind::InverseTime, vec![2, 3], Some(0.99)));
    assert!(parse(&["--rule", "bias: lr=x"]).err().is_some_and(|e| e.to_string().contains("lr: a number is needed")));
}
