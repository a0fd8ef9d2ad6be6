//! What a network takes does not grow with the batches it has seen. Alone in its process, whose memory is measured.

#![cfg(target_os = "linux")]

use staticnet_trainer::backend::cpu::CpuBackend;
use staticnet_trainer::dataset::Batch;
use staticnet_trainer::init::{Init, initialise};
use staticnet_trainer::loss::CrossEntropy;
use staticnet_trainer::models::by_name;
use staticnet_trainer::network::{Going, Network, Staged};
use staticnet_trainer::optim::{Moment, OptimOptions, Optimiser};
use staticnet_trainer::schedule::ScheduleOptions;
use staticnet_trainer::targets::Targets;
use std::sync::Arc;

/// The memory of this process, in KiB.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn batches_leave_nothing_behind() {
    let mut graph = (by_name("lenet").unwrap().build)(1, 10).unwrap();
    initialise(&mut graph, Init::Kaiming, 1);
    let backend = Arc::new(CpuBackend::new(1).unwrap());
    let mut optimiser = Optimiser::new(&backend, &graph, &OptimOptions::default(), &ScheduleOptions::default()).unwrap();
    let mut network = Network::new(Arc::clone(&backend), graph).unwrap();
    // 0.75 MiB each.
    let batch = |count: u32| Batch {
        images: vec![0.5; count as usize * 28 * 28],
        targets: Targets::Classes((0..count).map(|i| i % 10).collect()),
        indices: (0..count).collect(),
    };
    let mut rounds = |count: u32| {
        for step in 0..count {
            network.evaluate(batch(256).images, 256).unwrap();
            if step == 0 {
                let staged = Staged::new(backend.as_ref(), batch(256)).unwrap();
                let going = Going { seed: 1, epoch: step, scale: 1.0 };
                let mut pass = network.backward(staged, &CrossEntropy::default(), going, None, None).unwrap();
                let at = Moment { step: step.into(), steps_per_epoch: 10, epochs: 1, batches: 1 };
                network.update(&mut optimiser, &mut pass.gradients, at).unwrap();
            }
        }
    };
    rounds(2);
    let before = resident();
    rounds(24);
    let grown = resident() - before;
    // 25 batches were seen: 19 MiB, had they stayed.
    assert!(grown < 9 * 1024, "{grown} KiB");
}
