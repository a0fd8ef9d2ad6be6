//! How fast a training step is: `cargo run --release --example step_time -- [ARCH] [BATCH] [THREADS] [STEPS] [DEVICE] [PRECISION]`.
//!
//! DEVICE is `cpu` or, in a build with the feature `cuda`, `cuda:0`; PRECISION is `f32`, `tf32` or `f16`.
//! With `worker` for STEPS it reads numbers of steps from standard input, a line each, runs so many and answers with the
//! seconds a step took and the last loss. `benches/against_pytorch.py` drives it that way.

use clap::ValueEnum;
use staticnet_trainer::backend::open::{OnBackend, on_device};
use staticnet_trainer::backend::{Backend, DeviceError, Precision, Target};
use staticnet_trainer::dataset::Batch;
use staticnet_trainer::init::{Init, initialise};
use staticnet_trainer::loss::CrossEntropy;
use staticnet_trainer::models;
use staticnet_trainer::network::{Going, Network, Staged};
use staticnet_trainer::optim::{Moment, OptimOptions, Optimiser};
use staticnet_trainer::rng::KeyedRng;
use staticnet_trainer::schedule::{ScheduleKind, ScheduleOptions};
use staticnet_trainer::targets::Targets;
use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

/// A network, and one batch of random pictures that it sees again and again.
struct Bench<B: Backend> {
    network: Network<B>,
    batch: Batch,
    optimiser: Optimiser<B>,
    step: u32,
}

impl<B: Backend> Bench<B> {
    /// One channel for LeNet (28 x 28 digits), otherwise three; 1000 classes for pictures of ImageNet's size, otherwise 10.
    fn new(name: &str, size: usize, backend: Arc<B>) -> Result<Self, Box<dyn Error>> {
        let architecture = models::by_name(name).ok_or("no such architecture")?;
        let (channels, classes) = match name {
            "lenet" => (1, 10),
            "alexnet" | "alexnet-paper" => (3, 1000),
            _ => (3, 10),
        };
        let mut graph = (architecture.build)(channels, classes)?;
        initialise(&mut graph, Init::Kaiming, 1);
        let elements = graph.value(graph.inputs[0]).elements();
        let schedule = ScheduleOptions { lr: 1e-4, schedule: ScheduleKind::Constant, ..ScheduleOptions::default() };
        let optimiser = Optimiser::new(&backend, &graph, &OptimOptions::default(), &schedule)?;
        let network = Network::new(backend, graph)?;
        let mut rng = KeyedRng::new(1, 0, 0, 0);
        let batch = Batch {
            images: (0..size * elements).map(|_| rng.normal()).collect(),
            targets: Targets::Classes((0..size as u32).map(|i| i * 7 % classes as u32).collect()),
            indices: (0..size as u32).collect(),
        };
        Ok(Bench { network, batch, optimiser, step: 0 })
    }

    /// Seconds a step takes and the loss of the last one. Making the batch is not counted.
    fn steps(&mut self, count: usize) -> Result<(f64, f32), Box<dyn Error>> {
        let (mut seconds, mut loss) = (0.0, 0.0);
        for _ in 0..count {
            let batch = self.batch.clone();
            let start = Instant::now();
            // Every step draws other dropout masks.
            self.step += 1;
            let at = Moment { step: self.step.into(), steps_per_epoch: 1, epochs: 1, batches: 1 };
            let going = Going { seed: 1, epoch: self.step, scale: self.optimiser.loss_scale() };
            let staged = Staged::new(self.network.backend().as_ref(), batch)?;
            let mut pass = self.network.backward(staged, &CrossEntropy::default(), going, None, None)?;
            self.network.update(&mut self.optimiser, &mut pass.gradients, at)?;
            loss = pass.loss;
            seconds += start.elapsed().as_secs_f64();
        }
        // A device may still be at the last update.
        let start = Instant::now();
        self.network.backend().synchronise().map_err(DeviceError::of)?;
        seconds += start.elapsed().as_secs_f64();
        Ok((seconds / count as f64, loss))
    }
}

/// What the command line asks for, on some device.
struct Asked(Vec<String>);

impl Asked {
    fn number(&self, i: usize, default: usize) -> Result<usize, Box<dyn Error>> {
        Ok(self.0.get(i).map_or(Ok(default), |a| a.parse())?)
    }
}

impl OnBackend for Asked {
    type Output = Result<(), Box<dyn Error>>;

    fn run<B: Backend>(self, backend: Arc<B>) -> Self::Output {
        let name = self.0.first().map_or("alexnet-cifar", String::as_str);
        let size = self.number(1, 64)?;
        let mut bench = Bench::new(name, size, backend)?;
        if self.0.get(3).is_some_and(|mode| mode == "worker") {
            for line in std::io::stdin().lock().lines() {
                let (seconds, loss) = bench.steps(line?.trim().parse()?)?;
                println!("{seconds} {loss}");
                std::io::stdout().flush()?;
            }
            return Ok(());
        }
        let steps = self.number(3, 20)?;
        bench.steps(1)?;
        for _ in 0..3 {
            let (seconds, loss) = bench.steps(steps)?;
            println!("train {:.1} ms a step, {:.1} images/s, loss {loss:.4}", seconds * 1e3, size as f64 / seconds);
        }
        let start = Instant::now();
        for _ in 0..steps {
            bench.network.evaluate(bench.batch.images.clone(), size)?;
        }
        println!("evaluate {:.1} images/s", (steps * size) as f64 / start.elapsed().as_secs_f64());
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked = Asked(std::env::args().skip(1).collect());
    let text = |i: usize, default: &'static str| asked.0.get(i).cloned().unwrap_or_else(|| default.into());
    let target = Target {
        device: text(4, "cpu").parse()?,
        threads: asked.number(2, 0)?,
        precision: Precision::from_str(&text(5, "f32"), false)?,
    };
    on_device(&target, asked)?
}
