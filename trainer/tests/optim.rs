//! Optimisers and schedules against PyTorch's; `scripts/golden_optim.py` and `scripts/golden_schedules.py` made the numbers.

use dfdx::prelude::{Cpu, Gradients, TensorFromVec};
use serde::Deserialize;
use staticnet_graph::graph::Graph;
use staticnet_trainer::backend::cpu::CpuBackend;
use staticnet_trainer::backend::raw;
use staticnet_trainer::metrics::Better;
use staticnet_trainer::ops::Weight;
use staticnet_trainer::optim::{Moment, OptimOptions, Optimiser, OptimizerKind, RestoreError, Stepped};
use staticnet_trainer::schedule::{Plateau, ScheduleKind, ScheduleOptions};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of the largest magnitude: 20 steps in binary32 against 20 in binary64.
const BOUND: f64 = 1e-6;
/// Of the rate itself: both are computed in binary64, PyTorch's partly from the rate before.
const RATE_BOUND: f64 = 1e-12;

#[derive(Deserialize)]
struct Golden {
    first: BTreeMap<String, Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    cases: Vec<Case>,
}

/// PyTorch's arguments by its names, what is said beside them, and what came of it.
#[derive(Deserialize)]
struct Case {
    optimizer: String,
    lr: f64,
    #[serde(default)]
    momentum: f64,
    #[serde(default)]
    nesterov: bool,
    #[serde(default)]
    weight_decay: f64,
    #[serde(default)]
    decoupled_weight_decay: bool,
    betas: Option<(f64, f64)>,
    alpha: Option<f64>,
    eps: Option<f64>,
    #[serde(default)]
    centered: bool,
    clip_norm: Option<f64>,
    clip_value: Option<f64>,
    ema: Option<f64>,
    batches: Option<u32>,
    parameters: BTreeMap<u64, Vec<f64>>,
    averages: BTreeMap<u64, Vec<f64>>,
    norms: Vec<f64>,
}

impl Case {
    fn options(&self) -> OptimOptions {
        let optimizer = match self.optimizer.as_str() {
            "SGD" => OptimizerKind::Sgd,
            "Adam" => OptimizerKind::Adam,
            "AdamW" => OptimizerKind::AdamW,
            "RMSprop" => OptimizerKind::RmsProp,
            other => panic!("{other}"),
        };
        let Case { momentum, nesterov, weight_decay, centered, clip_norm, clip_value, ema, .. } = *self;
        let mut options = OptimOptions { optimizer, momentum, nesterov, weight_decay, ..OptimOptions::default() };
        options =
            OptimOptions { centered, clip_norm, clip_value, ema, decoupled_decay: self.decoupled_weight_decay, ..options };
        (options.beta1, options.beta2) = self.betas.unwrap_or((options.beta1, options.beta2));
        options.alpha = self.alpha.unwrap_or(options.alpha);
        options.eps = self.eps.unwrap_or(options.eps);
        options
    }

    fn schedule(&self) -> ScheduleOptions {
        ScheduleOptions { schedule: ScheduleKind::Constant, lr: self.lr, ..ScheduleOptions::default() }
    }
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/optim.json")).unwrap()
}

/// A fully connected layer whose gradients are given.
struct Layer {
    params: BTreeMap<String, Weight>,
    optimiser: Optimiser,
}

const NAMES: [&str; 2] = ["fc.weight", "fc.bias"];

impl Layer {
    fn new(first: &BTreeMap<String, Vec<f32>>, options: &OptimOptions, schedule: &ScheduleOptions) -> Layer {
        let mut graph = Graph::new("layer");
        let x = graph.input("x", &[1, 3]);
        let y = graph.linear("fc", x, 2).unwrap();
        graph.output(y);
        let device = Cpu::default();
        for (name, values) in first {
            graph.params.get_mut(name).unwrap().data.clone_from(values);
        }
        let params = first.iter().map(|(n, v)| (n.clone(), device.tensor_from_vec(v.clone(), (v.len(),)))).collect();
        let optimiser = Optimiser::new(&Arc::new(CpuBackend::new(1).unwrap()), &graph, options, schedule).unwrap();
        Layer { params, optimiser }
    }

    /// Step `step` with the sum of these gradients, each of the weight, then the bias.
    fn step(&mut self, step: u64, gradients: &[Vec<f32>]) -> Stepped {
        let mut grads = Gradients::leaky();
        for row in gradients {
            let (weight, bias) = row.split_at(6);
            for (name, part) in NAMES.into_iter().zip([weight, bias]) {
                let sum = grads.get_or_alloc_mut(&self.params[name]).unwrap();
                sum.iter_mut().zip(part).for_each(|(sum, g)| *sum += g);
            }
        }
        let at = Moment { step, steps_per_epoch: 20, epochs: 1, batches: gradients.len() as u32 };
        self.optimiser.step(&mut self.params, &mut grads, at).unwrap()
    }

    fn values(&self) -> Vec<f32> {
        NAMES.iter().flat_map(|n| raw::slice(&self.params[*n]).to_vec()).collect()
    }
}

/// The largest difference over the largest magnitude.
fn difference(ours: &[f32], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    ours.iter().zip(theirs).fold(0.0_f64, |m, (a, b)| m.max((f64::from(*a) - b).abs())) / largest
}

#[test]
fn optimisers_do_as_pytorchs() {
    let golden = golden();
    assert!(golden.cases.len() > 30);
    let mut worst = 0.0_f64;
    for (i, case) in golden.cases.iter().enumerate() {
        let mut layer = Layer::new(&golden.first, &case.options(), &case.schedule());
        let batches = case.batches.unwrap_or(1) as usize;
        for (step, rows) in golden.gradients.chunks(batches).take(20).enumerate() {
            let stepped = layer.step(step as u64, rows);
            assert_eq!((stepped.lr, stepped.broken), (case.lr, None));
            let norm = (f64::from(stepped.grad_norm) / case.norms[step] - 1.0).abs();
            assert!(norm < BOUND, "case {i}, {}: norm off by {norm:e} in step {step}", case.optimizer);
            let done = step as u64 + 1;
            if let Some(expected) = case.parameters.get(&done) {
                let error = difference(&layer.values(), expected);
                assert!(error < BOUND, "case {i}, {:?}: {error:e} after step {done}", case.options());
                worst = worst.max(error);
            }
            if let Some(expected) = case.averages.get(&done) {
                let average = layer.optimiser.average().unwrap().unwrap();
                let ours: Vec<f32> = NAMES.iter().flat_map(|n| average[*n].to_vec()).collect();
                let error = difference(&ours, expected);
                assert!(error < BOUND, "case {i}: average off by {error:e} after step {done}");
                worst = worst.max(error);
            }
        }
    }
    println!("{} cases, largest difference {worst:e}", golden.cases.len());
}

#[test]
fn a_restored_optimiser_goes_on_to_the_bit() {
    let golden = golden();
    for case in &golden.cases {
        let rows = &golden.gradients[..20];
        let options = OptimOptions { ema: Some(0.95), ..case.options() };
        let mut whole = Layer::new(&golden.first, &options, &case.schedule());
        let mut half = None;
        for (step, row) in rows.iter().enumerate() {
            if step == 10 {
                let average = whole.optimiser.average().unwrap().unwrap();
                let values = NAMES.iter().map(|n| (n.to_string(), raw::slice(&whole.params[*n]).to_vec())).collect();
                half = Some((values, whole.optimiser.state().unwrap(), average));
            }
            whole.step(step as u64, std::slice::from_ref(row));
        }
        let (values, state, average) = half.unwrap();
        let mut resumed = Layer::new(&values, &options, &case.schedule());
        resumed.optimiser.restore(state).unwrap();
        resumed.optimiser.restore_average(average).unwrap();
        for (step, row) in rows.iter().enumerate().skip(10) {
            resumed.step(step as u64, std::slice::from_ref(row));
        }
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&whole.values()), bits(&resumed.values()), "{:?}", case.options());
        assert_eq!(whole.optimiser.state().unwrap(), resumed.optimiser.state().unwrap());
        assert_eq!(whole.optimiser.average().unwrap(), resumed.optimiser.average().unwrap());
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_by_name() {
    let golden = golden();
    let options = OptimOptions { ema: Some(0.5), ..OptimOptions::default() };
    let mut layer = Layer::new(&golden.first, &options, &ScheduleOptions::default());
    layer.step(0, &golden.gradients[..1]);
    let good = layer.optimiser.state().unwrap();
    assert_eq!(good.keys().collect::<Vec<_>>(), ["fc.bias/momentum", "fc.weight/momentum", "updates"]);
    let mut bad = good.clone();
    let moved = bad.remove("fc.bias/momentum").unwrap();
    bad.insert("fc.weight/exp_avg".into(), moved);
    bad.get_mut("fc.weight/momentum").unwrap().push(1.0);
    bad.get_mut("updates").unwrap()[0] = 0.5;
    let RestoreError::State(error) = layer.optimiser.restore(bad).unwrap_err() else { panic!("another error") };
    assert_eq!(error.missing, ["fc.bias/momentum"]);
    assert_eq!(error.other_length, [("fc.weight/momentum".to_string(), 7, 6)]);
    assert_eq!((error.nonsense, error.left_over), (vec!["updates".to_string()], vec!["fc.weight/exp_avg".to_string()]));
    assert_eq!(layer.optimiser.state().unwrap(), good, "a refused state changes nothing");
    let error = layer.optimiser.restore_average(BTreeMap::from([("fc.weight".into(), vec![0.0; 6])])).unwrap_err();
    assert!(error.to_string().contains("fc.bias is missing"), "{error}");
}

#[test]
fn a_gradient_that_is_no_number_is_told_by_name() {
    let golden = golden();
    let steps = [("fc.weight", 2, f32::NAN), ("fc.bias", 7, f32::INFINITY), ("fc.bias", 6, f32::NEG_INFINITY)];
    for clip_norm in [None, Some(1.0)] {
        for (name, place, value) in steps {
            let options = OptimOptions { clip_norm, clip_value: Some(0.5), ..OptimOptions::default() };
            let mut layer = Layer::new(&golden.first, &options, &ScheduleOptions::default());
            let mut row = golden.gradients[0].clone();
            row[place] = value;
            assert_eq!(layer.step(0, &[row]).broken.as_deref(), Some(name));
            if clip_norm.is_some() {
                let first: Vec<f32> = NAMES.iter().flat_map(|n| golden.first[*n].clone()).collect();
                assert_eq!(layer.values(), first, "nothing is changed where it was seen before");
            }
            let both = Layer::new(&golden.first, &options, &ScheduleOptions::default()).step(0, &[vec![f32::NAN; 8]]);
            assert_eq!(both.broken.as_deref(), Some("fc.weight"), "the first of the graph");
        }
    }
    // The square of the largest number is no overflow.
    let mut layer = Layer::new(&golden.first, &OptimOptions::default(), &ScheduleOptions::default());
    assert_eq!(layer.step(0, &[vec![f32::MAX; 8]]).broken, None);
}

#[derive(Deserialize)]
struct Schedules {
    epochs: u32,
    steps_per_epoch: u64,
    cases: Vec<ScheduleCase>,
}

#[derive(Deserialize)]
struct ScheduleCase {
    options: ScheduleOptions,
    better: Option<String>,
    watched: Option<Vec<f64>>,
    rates: Vec<f64>,
}

#[test]
fn schedules_do_as_pytorchs() {
    let golden: Schedules = serde_json::from_str(include_str!("golden/schedules.json")).unwrap();
    let Schedules { epochs, steps_per_epoch, cases } = golden;
    assert!(cases.len() > 15);
    for case in &cases {
        case.options.check().unwrap();
        let mut plateau = Plateau::default();
        for (step, expected) in case.rates.iter().enumerate() {
            let at = Moment { step: step as u64, steps_per_epoch, epochs, batches: 1 };
            let rate = case.options.rate(at, &plateau);
            let error = (rate / expected - 1.0).abs();
            assert!(error < RATE_BOUND, "{:?}: {rate} in step {step}, not {expected}", case.options);
            let (epoch, last) = (step / steps_per_epoch as usize, (step + 1) % steps_per_epoch as usize == 0);
            if let (Some(watched), true) = (&case.watched, last) {
                let better = if case.better.as_deref() == Some("higher") { Better::Higher } else { Better::Lower };
                plateau.end_of_epoch(&case.options, watched[epoch], better);
            }
        }
        assert_eq!(case.rates.len() as u64, u64::from(epochs) * steps_per_epoch);
    }
}
