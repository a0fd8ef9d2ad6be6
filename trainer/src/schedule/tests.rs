use super::*;
use crate::metrics::Better;

/// A schedule in a training of `epochs` epochs of `steps_per_epoch` steps.
struct Training {
    schedule: ScheduleOptions,
    steps_per_epoch: u64,
    epochs: u32,
}

impl Training {
    fn at(&self, step: u64) -> f64 {
        let Training { steps_per_epoch, epochs, .. } = *self;
        self.schedule.rate(Moment { step, steps_per_epoch, epochs, batches: 1 }, &Plateau::default())
    }
}

fn training(kind: ScheduleKind) -> Training {
    let schedule = ScheduleOptions { schedule: kind, lr: 0.5, step_epochs: vec![2, 3], ..ScheduleOptions::default() };
    Training { schedule, steps_per_epoch: 5, epochs: 4 }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn one_cycle_by_hand() {
    // 20 steps: the rate grows over steps 0..=5 (0.3 * 20 - 1) from 0.5 / 25 and falls until step 19 to 0.5 / 25 / 10^4.
    let s = training(ScheduleKind::OneCycle);
    assert!(close(s.at(0), 0.02));
    assert!(close(s.at(5), 0.5));
    assert!(close(s.at(19), 2e-6));
    // A fifth of the way up: 0.5 - 0.24 (1 + cos 36 deg), cos 36 deg = (1 + sqrt 5) / 4.
    assert!(close(s.at(1), 0.5 - 0.24 * (1.0 + (1.0 + 5.0_f64.sqrt()) / 4.0)));
    // Half-way down: the mean of both ends.
    assert!(close(s.at(12), (0.5 + 2e-6) / 2.0));
}

#[test]
fn a_rate_is_meant_for_a_batch() {
    let mut s = training(ScheduleKind::Constant);
    let mut at = |batch, lr_batch, lr_scaling| {
        s.schedule = ScheduleOptions { batch, lr_batch, lr_scaling, ..s.schedule.clone() };
        s.at(3)
    };
    assert!(close(at(256, 0, LrScaling::Linear), 0.5) && close(at(0, 64, LrScaling::Linear), 0.5));
    assert!(close(at(256, 64, LrScaling::Linear), 2.0) && close(at(256, 64, LrScaling::Sqrt), 1.0));
    assert!(close(at(16, 64, LrScaling::Linear), 0.125));
    // What a schedule does not go below is no rate that depends on the batch.
    s = training(ScheduleKind::Cosine);
    s.schedule = ScheduleOptions { batch: 128, lr_batch: 64, lr_min: 0.1, ..s.schedule };
    assert!(close(s.at(0), 1.0) && close(s.at(20), 0.1));
}

#[test]
fn steps_and_constant() {
    let mut s = training(ScheduleKind::Step);
    assert!(close(s.at(0), 0.5) && close(s.at(9), 0.5));
    assert!(close(s.at(10), 0.05) && close(s.at(14), 0.05));
    assert!(close(s.at(15), 0.005));
    assert!(close(training(ScheduleKind::Constant).at(17), 0.5));
    // Half and three quarters of 10 epochs, the latter rounded up.
    (s.schedule.step_epochs, s.epochs) = (vec![], 10);
    assert!(close(s.at(24), 0.5) && close(s.at(25), 0.05) && close(s.at(39), 0.05) && close(s.at(40), 0.005));
}

#[test]
fn a_training_of_one_step_has_a_rate() {
    let kinds = [ScheduleKind::OneCycle, ScheduleKind::Cosine, ScheduleKind::Polynomial];
    for kind in kinds {
        let s = Training { steps_per_epoch: 1, epochs: 1, ..training(kind) };
        assert!(s.at(0) > 0.0 && s.at(0) <= 0.5);
    }
}

#[test]
fn past_the_end_the_rate_stays() {
    for (kind, last) in [(ScheduleKind::Cosine, 0.0), (ScheduleKind::Polynomial, 0.0), (ScheduleKind::OneCycle, 2e-6)] {
        assert!(close(training(kind).at(1000), last), "{kind}");
    }
}

#[test]
fn inverse_time_by_its_formula() {
    let mut s = training(ScheduleKind::InverseTime);
    s.schedule.lr_decay = 0.25;
    for (step, rate) in [(0, 0.5), (1, 0.4), (2, 0.5 / 1.5), (4, 0.25), (12, 0.125)] {
        assert!(close(s.at(step), rate), "step {step}: {}", s.at(step));
    }
}

#[test]
fn a_warm_up_grows_linearly() {
    let mut s = training(ScheduleKind::Constant);
    s.schedule.warmup_steps = 4;
    assert_eq!([0, 1, 2, 3, 4, 5].map(|step| s.at(step)), [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]);
    (s.schedule.warmup_steps, s.schedule.warmup_epochs) = (0, 2);
    assert!(close(s.at(0), 0.05) && close(s.at(8), 0.45) && close(s.at(9), 0.5) && close(s.at(10), 0.5));
    // The schedule's epochs stay the training's.
    s.schedule.schedule = ScheduleKind::Step;
    assert!(close(s.at(9), 0.5) && close(s.at(10), 0.05));
}

#[test]
fn a_plateau_comes_back_from_its_state() {
    let options = ScheduleOptions { plateau_patience: 1, plateau_factor: 0.3, ..ScheduleOptions::default() };
    let mut whole = Plateau::default();
    for watched in [0.1, 1.0 / 3.0, 0.2, f64::NAN, 0.25, 0.3] {
        let copy = Plateau::from_state(&whole.state());
        assert_eq!(copy, Some(whole));
        whole.end_of_epoch(&options, watched, Better::Higher);
    }
    assert!(close(whole.factor(), 0.09));
    assert_eq!(Plateau::from_state(&whole.state()[1..]), None);
    assert_eq!(whole.state().len(), PLATEAU_STATE);
}

#[test]
fn nonsense_is_refused_by_name() {
    let good = ScheduleOptions::default();
    assert_eq!(good.check(), Ok(()));
    let cases = [
        ("lr", ScheduleOptions { lr: f64::NAN, ..good.clone() }),
        ("warmup", ScheduleOptions { warmup: 1.5, ..good.clone() }),
        ("step_every", ScheduleOptions { step_every: 2, step_epochs: vec![1], ..good.clone() }),
        ("gamma", ScheduleOptions { gamma: 0.0, ..good.clone() }),
        ("plateau_factor", ScheduleOptions { plateau_factor: 1.0, ..good.clone() }),
        ("warmup_steps", ScheduleOptions { warmup_steps: 1, warmup_epochs: 1, ..good.clone() }),
    ];
    for (name, options) in cases {
        assert_eq!(options.check().map_err(|e| e.name), Err(name));
    }
}
