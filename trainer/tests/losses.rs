//! Losses and gradients against PyTorch's, from golden/losses.json, which scripts/golden_losses.py made.

use serde::Deserialize;
use staticnet_trainer::loss::{ClassWeights, LossKind, LossOptions};
use staticnet_trainer::targets::Targets;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    loss: LossKind,
    label_smoothing: f64,
    class_weights: ClassWeights,
    outputs: usize,
    scores: Vec<f32>,
    classes: Option<Vec<u32>>,
    values: Option<Vec<f32>>,
    mean: f64,
    gradient: Vec<f64>,
}

/// Results are binary32: half a unit in its last place of the largest number, and a little for sums in another order.
const BOUND: f64 = 6.1e-8;

#[test]
fn losses_and_gradients_are_pytorchs() {
    let golden: Golden = serde_json::from_str(include_str!("golden/losses.json")).unwrap();
    assert_eq!(golden.cases.len(), 12);
    for case in golden.cases {
        let Case { loss, label_smoothing, class_weights, .. } = case;
        let loss = LossOptions { loss, label_smoothing, class_weights }.build(case.outputs, &[]).unwrap();
        let targets = match (case.classes, case.values) {
            (Some(classes), _) => Targets::Classes(classes),
            (None, Some(data)) => Targets::Values { data, outputs: case.outputs },
            (None, None) => panic!("{}: no targets", case.name),
        };
        let mut gradient = vec![f32::NAN; case.scores.len()];
        let mean = loss.loss(case.outputs, &case.scores, &targets, &mut gradient).unwrap();
        let off = (f64::from(mean) - case.mean).abs() / case.mean;
        assert!(off <= BOUND, "{}: the mean is {mean}, PyTorch's {}", case.name, case.mean);
        let largest = case.gradient.iter().fold(0.0_f64, |most, g| most.max(g.abs()));
        for (i, (ours, theirs)) in gradient.iter().zip(&case.gradient).enumerate() {
            let off = (f64::from(*ours) - theirs).abs() / largest;
            assert!(off <= BOUND, "{}: derivative {i} is {ours}, PyTorch's {theirs}", case.name);
        }
    }
}
