//! What reading pictures costs a training: `cargo run --release --example loading -- [ARCH] [BATCH] [PICTURES] [ROUNDS]`.
//!
//! Draws a folder of JPEGs of 256 pixels and prints images/s of the loader alone, of a training that reads the folder, and of the
//! same training on the same batches in memory; then the most memory that reading and training take, each in a process of
//! its own, over folders that are larger than what may be kept of them.

use image::ExtendedColorType;
use staticnet_data::{DataSet, Split};
use staticnet_graph::memory::peak_rss;
use staticnet_trainer::augment::Augment;
use staticnet_trainer::backend::cpu::CpuBackend;
use staticnet_trainer::dataset::{Batch, Loader, LoaderOptions, Order};
use staticnet_trainer::init::{Init, initialise};
use staticnet_trainer::loss::CrossEntropy;
use staticnet_trainer::models;
use staticnet_trainer::network::{Going, Network, Staged};
use staticnet_trainer::optim::{Moment, OptimOptions, Optimiser};
use staticnet_trainer::ranks::Part;
use staticnet_trainer::schedule::{ScheduleKind, ScheduleOptions};
use staticnet_trainer::source::base_preprocess;
use staticnet_trainer::synth;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

const SIDE: u32 = 256;
const QUALITY: u8 = 90;
/// What may be kept of decoded pictures where memory is measured, in MiB: 85 pictures.
const CACHE_MB: u64 = 16;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Writes `count` JPEGs below `root`, and prints how long they are.
fn draw(root: &Path, count: usize) -> Result<()> {
    let mut bytes = 0;
    for i in 0..count {
        let class = i % synth::CLASSES;
        let picture = synth::render(class, 1, i as u64, SIDE);
        let mut file = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, QUALITY).encode(
            &picture.pixels,
            SIDE,
            SIDE,
            ExtendedColorType::Rgb8,
        )?;
        bytes += file.len();
        let folder = root.join(class.to_string());
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("{i:06}.jpg")), file)?;
    }
    println!("{count} JPEGs of {SIDE} pixels, quality {QUALITY}, {:.1} KB each on average", bytes as f64 / count as f64 / 1e3);
    Ok(())
}

/// What is measured: a network and a folder.
struct Bench {
    arch: String,
    batch_size: usize,
    data: Arc<DataSet>,
}

impl Bench {
    /// The folder `root/train`, of which at most `cache_mb` are kept.
    fn open(arch: &str, batch_size: usize, root: &Path, cache_mb: u64) -> Result<Bench> {
        let data = DataSet::open(&root.join("train"), Split::Train)?.with_cache(cache_mb << 20);
        Ok(Bench { arch: arch.to_string(), batch_size, data: Arc::new(data) })
    }

    fn loader(&self, augment: Augment, epoch: u32, threads: usize) -> Result<Loader> {
        let architecture = models::by_name(&self.arch).ok_or("no such architecture")?;
        let options = LoaderOptions {
            batch_size: self.batch_size,
            seed: 1,
            epoch,
            from: 0,
            augment,
            order: Order::Shuffled,
            drop_last: true,
            at_most: None,
            threads,
            part: Part::WHOLE,
        };
        Ok(Loader::new(self.data.clone(), base_preprocess(architecture, 3), options))
    }

    fn network(&self) -> Result<(Network<CpuBackend>, Optimiser)> {
        let architecture = models::by_name(&self.arch).ok_or("no such architecture")?;
        let mut graph = (architecture.build)(3, synth::CLASSES)?;
        initialise(&mut graph, Init::Kaiming, 1);
        let schedule = ScheduleOptions { lr: 1e-4, schedule: ScheduleKind::Constant, ..ScheduleOptions::default() };
        let backend = Arc::new(CpuBackend::new(0)?);
        let optimiser = Optimiser::new(&backend, &graph, &OptimOptions::default(), &schedule)?;
        Ok((Network::new(backend, graph)?, optimiser))
    }

    /// The loader alone.
    fn read(&self, augment: Augment, epoch: u32, threads: usize) -> Result<Cost> {
        let loader = self.loader(augment, epoch, threads)?;
        Cost::of(|| loader.map(|batch| Ok(batch?.indices.len())).sum())
    }
}

/// A training on these batches.
fn train(network: &mut Network<CpuBackend>, sgd: &mut Optimiser, batches: impl Iterator<Item = Result<Batch>>) -> Result<Cost> {
    let mut step = |batch: Result<Batch>| {
        let batch = batch?;
        let images = batch.indices.len();
        let staged = Staged::new(network.backend().as_ref(), batch)?;
        let going = Going { seed: 1, epoch: 0, scale: 1.0 };
        let mut pass = network.backward(staged, &CrossEntropy::default(), going, None, None)?;
        network.update(sgd, &mut pass.gradients, Moment { step: 0, steps_per_epoch: 1, epochs: 1, batches: 1 })?;
        Ok(images)
    };
    Cost::of(|| batches.map(&mut step).sum())
}

/// Images/s, and CPU time of the whole process for an image, in ms: what does not depend on who else uses the machine.
#[derive(Clone, Copy)]
struct Cost {
    images_per_s: f64,
    cpu_ms: f64,
}

impl Cost {
    /// Of doing something that says how many images it did.
    fn of(work: impl FnOnce() -> Result<usize>) -> Result<Cost> {
        let (start, cpu) = (Instant::now(), cpu_ms()?);
        let images = work()? as f64;
        Ok(Cost { images_per_s: images / start.elapsed().as_secs_f64(), cpu_ms: (cpu_ms()? - cpu) / images })
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} images/s ({:.1} ms of CPU each)", self.images_per_s, self.cpu_ms)
    }
}

/// User and system time of this process, in ms. Linux counts them in 1/100 s (USER_HZ).
fn cpu_ms() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is a name in parentheses, which may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or("no process state")?;
    // Fields 14 and 15, of which the third comes first here.
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<std::result::Result<f64, _>>()?;
    Ok(ticks * 10.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// `memory read|train ARCH BATCH ROOT`: two epochs of reading, or one of training, and what that took.
fn memory(arguments: &[String]) -> Result<()> {
    let [what, arch, batch_size, root] = arguments else { return Err("memory read|train ARCH BATCH ROOT".into()) };
    let bench = Bench::open(arch, batch_size.parse()?, Path::new(root), CACHE_MB)?;
    match what.as_str() {
        "read" => {
            for epoch in 0..2 {
                bench.read(Augment::ResizedCrop, epoch, cores())?;
            }
        }
        _ => {
            let (mut network, mut sgd) = bench.network()?;
            let loader = bench.loader(Augment::ResizedCrop, 0, cores())?;
            train(&mut network, &mut sgd, loader.map(|batch| Ok(batch?)))?;
        }
    }
    let pictures = bench.data.len();
    let decoded = (pictures * (SIDE * SIDE * 3) as usize) >> 20;
    println!(
        "{what}: {pictures} pictures, {decoded} MiB decoded, {CACHE_MB} MiB kept at most: peak {} MiB",
        peak_rss().ok_or("no VmHWM")? >> 20
    );
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "memory") {
        return memory(&arguments[1..]);
    }
    let number = |i: usize, default: usize| arguments.get(i).map_or(Ok(default), |a| a.parse());
    let arch = arguments.first().map_or("alexnet", String::as_str);
    let (batch_size, pictures, rounds) = (number(1, 16)?, number(2, 256)?, number(3, 7)?);
    let root = tempfile::tempdir()?;
    draw(&root.path().join("small/train"), pictures)?;
    draw(&root.path().join("large/train"), 4 * pictures)?;

    // Nothing is kept: every epoch decodes every picture.
    let bench = Bench::open(arch, batch_size, &root.path().join("small"), 0)?;
    for augment in [Augment::None, Augment::CropFlip, Augment::ResizedCrop] {
        for threads in [1, cores()] {
            let costs = (0..3).map(|epoch| bench.read(augment, epoch, threads)).collect::<Result<Vec<Cost>>>()?;
            let images_per_s = median(costs.iter().map(|cost| cost.images_per_s).collect());
            let cpu_ms = median(costs.iter().map(|cost| cost.cpu_ms).collect());
            println!("loader alone, {augment}, {threads} threads: {}", Cost { images_per_s, cpu_ms });
        }
    }

    let (mut network, mut sgd) = bench.network()?;
    let augment = Augment::ResizedCrop;
    // The first steps allocate.
    train(&mut network, &mut sgd, bench.loader(augment, 0, cores())?.take(2).map(|batch| Ok(batch?)))?;
    let (mut speeds, mut cpu) = (Vec::new(), Vec::new());
    for epoch in 0..rounds as u32 {
        let mut in_memory: Vec<Batch> = bench.loader(augment, epoch, cores())?.collect::<std::result::Result<_, _>>()?;
        let mut run = |reading: bool| match reading {
            true => {
                let loader = bench.loader(augment, epoch, cores())?;
                train(&mut network, &mut sgd, loader.map(|batch| Ok(batch?)))
            }
            false => train(&mut network, &mut sgd, std::mem::take(&mut in_memory).into_iter().map(Ok)),
        };
        // Either goes first every other time.
        let reading_first = epoch % 2 == 0;
        let (first, second) = (run(reading_first)?, run(!reading_first)?);
        let (folder, memory) = if reading_first { (first, second) } else { (second, first) };
        println!("{arch}, batch {batch_size}: from the folder {folder}, from memory {memory}");
        speeds.push(folder.images_per_s / memory.images_per_s);
        cpu.push(memory.cpu_ms / folder.cpu_ms);
    }
    let (speed, cpu) = (median(speeds), median(cpu));
    println!("speed from the folder / from memory, median of {rounds}: {speed:.3}; CPU time the other way round: {cpu:.3}");

    let this = std::env::current_exe()?;
    for (what, folder) in [("read", "small"), ("read", "large"), ("train", "small"), ("train", "large")] {
        let status =
            Command::new(&this).args(["memory", what, arch, &batch_size.to_string()]).arg(root.path().join(folder)).status()?;
        if !status.success() {
            return Err("a measurement of memory failed".into());
        }
    }
    Ok(())
}
