//! How fast a training step is: `cargo run --release --example step_time -- [ARCH] [BATCH] [THREADS] [STEPS]`.

use staticnet_trainer::backend::cpu::CpuBackend;
use staticnet_trainer::dataset::Batch;
use staticnet_trainer::init::{Init, initialise};
use staticnet_trainer::loss::CrossEntropy;
use staticnet_trainer::models;
use staticnet_trainer::network::Network;
use staticnet_trainer::optim::{Moment, OptimOptions, Optimiser};
use staticnet_trainer::rng::KeyedRng;
use staticnet_trainer::schedule::{ScheduleKind, ScheduleOptions};
use staticnet_trainer::targets::Targets;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| arguments.get(i).map_or(Ok(default), |a| a.parse());
    let name = arguments.first().map_or("alexnet-cifar", String::as_str);
    let (size, threads, steps) = (number(1, 64)?, number(2, 0)?, number(3, 20)?);
    let architecture = models::by_name(name).ok_or("no such architecture")?;
    let mut graph = (architecture.build)(3, 10)?;
    initialise(&mut graph, Init::Kaiming, 1);
    let elements = graph.value(graph.inputs[0]).elements();
    let backend = Arc::new(CpuBackend::new(threads)?);
    println!("{name}, batch {size}, {} threads", backend.threads());
    let schedule = ScheduleOptions { lr: 1e-4, schedule: ScheduleKind::Constant, ..ScheduleOptions::default() };
    let mut optimiser = Optimiser::new(&graph, &OptimOptions::default(), &schedule)?;
    let mut network = Network::new(backend, graph)?;
    let mut rng = KeyedRng::new(1, 0, 0, 0);
    let batch = Batch {
        images: (0..size * elements).map(|_| rng.normal()).collect(),
        targets: Targets::Classes((0..size as u32).map(|i| i % 10).collect()),
        indices: (0..size as u32).collect(),
    };
    let (loss, at) = (CrossEntropy::default(), Moment { step: 0, steps_per_epoch: 1, epochs: 1, batches: 1 });
    let mut step = |network: &mut Network<CpuBackend>| -> Result<(), Box<dyn std::error::Error>> {
        let mut pass = network.backward(batch.clone(), &loss, (1, 0), None, None)?;
        network.update(&mut optimiser, &mut pass.gradients, at)?;
        Ok(())
    };
    step(&mut network)?;
    for _ in 0..3 {
        let start = Instant::now();
        for _ in 0..steps {
            step(&mut network)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("train {:.1} ms a step, {:.1} images/s", seconds / steps as f64 * 1e3, (steps * size) as f64 / seconds);
    }
    let start = Instant::now();
    for _ in 0..steps {
        network.evaluate(batch.images.clone(), size)?;
    }
    println!("evaluate {:.1} images/s", (steps * size) as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
