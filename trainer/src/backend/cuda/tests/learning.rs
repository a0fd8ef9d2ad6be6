//! Losses and updates.

use super::{Trial, compare, gpu, numbers, vector};
use crate::backend::update::{Method, Slots, Update};
use crate::backend::{Backend, Precision, Vector};
use crate::loss::{CrossEntropy, Loss, SigmoidCrossEntropy, SquaredError};
use crate::ops::gradient_check::normal;
use crate::targets::Targets;

struct Losses {
    loss: Box<dyn Loss>,
    scores: Vec<f32>,
    outputs: usize,
    targets: Targets,
}

impl Trial for Losses {
    fn run<B: Backend>(&self, backend: &B) -> Vec<Vec<f32>> {
        let scores = vector(backend, &self.scores);
        let mut gradient = vector(backend, &normal("old gradient", self.scores.len()));
        let (read, place) = (backend.read_vector(&scores), backend.write_vector(&mut gradient));
        let mean = backend.loss(self.loss.as_ref(), self.outputs, read, &self.targets, place).unwrap();
        vec![vec![mean], numbers(backend, &gradient)]
    }
}

#[test]
fn losses() {
    let classes = |samples: u32, outputs: u32| Targets::Classes((0..samples).map(|i| i * 7 % outputs).collect());
    let weights: Vec<f64> = (0..300).map(|c| f64::from(c % 5) / 2.0).collect();
    let entropy =
        |smoothing: f64, weights: &[f64]| -> Box<dyn Loss> { Box::new(CrossEntropy { smoothing, weights: weights.to_vec() }) };
    let scores = normal("scores", 5 * 300);
    let mut broken = scores.clone();
    broken[310] = f32::NAN;
    let rows = Targets::Values { data: normal("t", 1500).iter().map(|v| 1.0 / (1.0 + v.exp())).collect(), outputs: 300 };
    let trial = |loss, scores: &[f32], targets: &Targets| Losses {
        loss,
        scores: scores.to_vec(),
        outputs: scores.len() / 5,
        targets: targets.clone(),
    };
    let targets = classes(5, 300);
    compare(
        Precision::F32,
        1e-6,
        &[
            trial(entropy(0.0, &[]), &scores, &targets),
            trial(entropy(0.1, &weights), &scores, &targets),
            trial(entropy(0.2, &weights[..3]), &scores[..15], &classes(5, 3)),
            trial(entropy(0.0, &[0.0; 300]), &scores, &targets),
            trial(entropy(0.1, &[]), &scores.iter().map(|v| v * 1e37).collect::<Vec<f32>>(), &targets),
            trial(entropy(0.0, &[]), &broken, &targets),
            trial(entropy(0.1, &[]), &scores, &rows),
            trial(Box::new(SigmoidCrossEntropy), &scores, &targets),
            trial(Box::new(SquaredError), &scores, &rows),
        ],
    );
}

#[test]
fn a_class_that_is_none_is_an_error() {
    let Some(gpu) = gpu(Precision::F32) else {
        return;
    };
    let (scores, mut gradient) = (vector(&gpu, &[0.0; 8]), vector(&gpu, &[0.0; 8]));
    let mut error = |classes: Vec<u32>| {
        let place = gpu.write_vector(&mut gradient);
        let loss = CrossEntropy::default();
        gpu.loss(&loss, 4, gpu.read_vector(&scores), &Targets::Classes(classes), place).unwrap_err().to_string()
    };
    assert!(error(vec![0, 4]).starts_with("the target of sample 1 does not fit: its class is 4"));
    assert_eq!(error(vec![0]), "8 scores are not 4 for each of 1 targets");
}

/// Three steps of two parameters.
struct Steps {
    update: Update,
    average: bool,
}

impl Trial for Steps {
    fn run<B: Backend>(&self, backend: &B) -> Vec<Vec<f32>> {
        const LENS: [usize; 2] = [5000, 3];
        let states = self.update.method.states();
        let mut vectors: Vec<Vec<Vector<B>>> = LENS
            .iter()
            .map(|len| {
                let mut all = vec![vector(backend, &normal("parameter", *len))];
                all.extend(states.iter().map(|has| vector(backend, &vec![0.0; if *has { *len } else { 0 }])));
                all.push(vector(backend, &normal("average", *len)));
                all
            })
            .collect();
        let mut sums = Vec::new();
        for step in 0..3 {
            let gradients = LENS.map(|len| vector(backend, &normal(&format!("gradient {step}"), len)));
            let reads = [0, 1].map(|i: usize| backend.read_vector(&gradients[i]));
            let alone = backend.sums_of_squares(&reads).unwrap();
            let work = vectors.iter_mut().zip(reads).map(|(all, gradient)| {
                let [p, s, t, u, a] = &mut all[..] else { panic!("five vectors") };
                let state = [s, t, u].map(|v| backend.write_vector(v));
                let average = self.average.then(|| backend.write_vector(a));
                (self.update, Slots { parameter: backend.write_vector(p), gradient, state, average })
            });
            let squares = backend.update(work.collect()).unwrap();
            assert_eq!(squares, alone);
            sums.extend(squares.iter().map(|v| *v as f32));
        }
        let mut results = vec![sums];
        results.extend(vectors.iter().flatten().map(|v| numbers(backend, v)));
        results
    }
}

#[test]
fn updates() {
    let plain = Update {
        method: Method::Sgd { lr: 0.1, momentum: 0.0, nesterov: false },
        scale: 1.0,
        limit: f32::INFINITY,
        l2: 0.0,
        keep: 1.0,
        average: 0.0,
    };
    let all = Update { scale: 0.5, limit: 0.3, l2: 0.01, keep: 0.99, average: 0.9, ..plain };
    let methods = [
        plain.method,
        Method::Sgd { lr: 0.1, momentum: 0.9, nesterov: false },
        Method::Sgd { lr: 0.1, momentum: 0.9, nesterov: true },
        Method::Adam { rate: 0.02, root: 0.05, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        Method::RmsProp { lr: 0.01, alpha: 0.9, epsilon: 1e-4, momentum: 0.0, centered: false },
        Method::RmsProp { lr: 0.01, alpha: 0.9, epsilon: 1e-4, momentum: 0.8, centered: true },
    ];
    let mut trials = Vec::new();
    for method in methods {
        trials.push(Steps { update: Update { method, ..plain }, average: false });
        trials.push(Steps { update: Update { method, ..all }, average: true });
    }
    compare(Precision::F32, 1e-5, &trials);
}

#[test]
fn a_gradient_that_is_not_finite_shows_in_its_squares() {
    let Some(gpu) = gpu(Precision::F32) else {
        return;
    };
    let sums = |numbers: &[f32]| {
        let vector = vector(&gpu, numbers);
        gpu.sums_of_squares(&[gpu.read_vector(&vector)]).unwrap()[0]
    };
    // The squares are too large for binary32.
    assert!((sums(&vec![1e30; 100_000]) / 1e65 - 1.0).abs() < 1e-6);
    let mut numbers = vec![1.0; 100_000];
    assert_eq!(sums(&numbers), 1e5);
    numbers[77_777] = f32::NAN;
    assert!(sums(&numbers).is_nan());
    numbers[77_777] = f32::INFINITY;
    assert!(sums(&numbers).is_infinite());
}
