//! How fast a training step is: `cargo run --release --example step_time -- [ARCH] [BATCH] [THREADS] [STEPS]`.

use staticnet_trainer::backend::cpu::CpuBackend;
use staticnet_trainer::dataset::Batch;
use staticnet_trainer::init::{Init, initialise};
use staticnet_trainer::models;
use staticnet_trainer::network::Network;
use staticnet_trainer::optim::Sgd;
use staticnet_trainer::rng::KeyedRng;
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
    let mut network = Network::new(backend, graph)?;
    let mut rng = KeyedRng::new(1, 0, 0, 0);
    let batch = Batch {
        images: (0..size * elements).map(|_| rng.normal()).collect(),
        targets: Targets::Classes((0..size as u32).map(|i| i % 10).collect()),
        indices: (0..size as u32).collect(),
    };
    let mut sgd = Sgd::new(0.9, 5e-4);
    let step = |network: &mut Network<CpuBackend>, sgd: &mut Sgd| {
        let (_, gradients) = network.backward(batch.clone(), 1, 0, None)?;
        network.update(sgd, gradients, 1e-4)
    };
    step(&mut network, &mut sgd)?;
    for _ in 0..3 {
        let start = Instant::now();
        for _ in 0..steps {
            step(&mut network, &mut sgd)?;
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
