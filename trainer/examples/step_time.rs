//! How fast a training step is: `cargo run --release --example step_time -- [ARCH] [BATCH] [THREADS] [STEPS]`.

use staticnet_trainer::backend::{SgdStep, cpu::CpuBackend};
use staticnet_trainer::init::{Init, initialise};
use staticnet_trainer::models;
use staticnet_trainer::network::Network;
use staticnet_trainer::rng::Key;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| arguments.get(i).map_or(Ok(default), |a| a.parse());
    let name = arguments.first().map_or("alexnet-cifar", String::as_str);
    let (batch, threads, steps) = (number(1, 64)?, number(2, 0)?, number(3, 20)?);
    let architecture = models::by_name(name).ok_or("no such architecture")?;
    let mut graph = (architecture.build)(3, 10)?;
    initialise(&mut graph, Init::Kaiming, 1);
    let elements = graph.value(graph.inputs[0]).elements();
    let backend = Arc::new(CpuBackend::new(threads)?);
    println!("{name}, batch {batch}, {} threads", backend.threads());
    let mut network = Network::new(backend, graph);
    let key = Key::new(1);
    let images: Vec<f32> = (0..batch * elements).map(|i| key.normal(i as u64)).collect();
    let labels: Vec<u32> = (0..batch as u32).map(|i| i % 10).collect();
    let samples: Vec<u32> = (0..batch as u32).collect();
    let step = SgdStep { lr: 1e-4, momentum: 0.9, weight_decay: 5e-4 };
    network.train_step(images.clone(), &labels, &samples, key, step)?;
    for _ in 0..3 {
        let start = Instant::now();
        for _ in 0..steps {
            network.train_step(images.clone(), &labels, &samples, key, step)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("train {:.1} ms a step, {:.1} images/s", seconds / steps as f64 * 1e3, (steps * batch) as f64 / seconds);
    }
    let start = Instant::now();
    for _ in 0..steps {
        network.evaluate(images.clone(), batch)?;
    }
    println!("evaluate {:.1} images/s", (steps * batch) as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
