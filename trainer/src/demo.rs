//! The whole path on pictures drawn by code: train, export, compile, run, and compare every stage.

use crate::config::{Config, ConfigError};
use crate::dataset::DataOptions;
use crate::models;
use crate::run::Run;
use crate::source::{Batching, Normalise, Pictures, base_preprocess};
use crate::synth::{self, SynthError, SynthOptions};
use crate::train::{Control, Event, TrainError, Training};
use serde::Serialize;
use staticnet_data::{DataError, DataSet, Split};
use staticnet_exporter::compile::{Options, Samples, compile_float};
use staticnet_exporter::emit::Emitted;
use staticnet_exporter::evaluate::accuracy;
use staticnet_exporter::host::Model;
use staticnet_exporter::verify::{Oracle, Verification, verify};
use staticnet_graph::file::{FileError, read_at_most, write_atomically};
use staticnet_graph::graph::{Elem, Tensor};
use staticnet_graph::npy::{self, NpyError};
use staticnet_graph::onnx::{self, ImportError};
use std::fmt;
use std::path::{Path, PathBuf};

/// Architecture that the demo trains.
pub const ARCH: &str = "lenet";
/// Training pictures that int8 is calibrated on.
const CALIBRATION: usize = 256;
/// Test pictures that the layers and the whole are compared on with tract.
const VERIFIED: usize = 100;
/// Whose row the trained network is: kernels are this project's, and dfdx has the tape that they are recorded on.
const TRAINER: &str = "trainer (dfdx)";
/// Marks a folder as made by the demo, which may then replace it.
const MARK: &str = ".staticnet-demo";

/// How much the demo does.
#[derive(Clone, Debug)]
pub struct Extent {
    /// The pictures that are drawn.
    pub pictures: SynthOptions,
    /// How often the training goes through them.
    pub epochs: u32,
}

impl Default for Extent {
    /// What takes a minute or two on two cores and learns most of the pictures.
    fn default() -> Self {
        Extent { pictures: SynthOptions::default(), epochs: 12 }
    }
}

/// What the demo is doing.
#[derive(Debug)]
pub enum Stage<'a> {
    /// Drawing pictures: so many of so many.
    Drawing(usize, usize),
    /// Training.
    Training(&'a Event<'a>),
    /// Something that takes a moment, in words.
    Doing(&'a str),
}

/// One engine's row in the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was run.
    pub what: &'static str,
    /// By whom.
    pub engine: &'static str,
    /// Fraction of the test pictures whose class had the highest score.
    pub top1: f64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of RAM for a run, where the engine can say.
    pub ram_bytes: Option<usize>,
}

/// What came of it; every figure is from a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The folder with everything.
    pub out: PathBuf,
    /// Training and test pictures.
    pub pictures: (usize, usize),
    /// Times that the training went through them.
    pub epochs: u32,
    /// Seconds of training.
    pub train_seconds: f64,
    /// The engines.
    pub rows: Vec<Row>,
    /// The f32 artifact against tract.
    pub float: Verification,
    /// The int8 artifact against tract.
    pub int8: Verification,
}

/// Why the demo stops.
#[derive(Debug)]
pub enum DemoError {
    /// The folder exists and is not a demo's.
    Occupied(PathBuf),
    /// The folder cannot be written.
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The pictures cannot be drawn.
    Synth(SynthError),
    /// Training failed.
    Train(TrainError),
    /// Exporting failed.
    Export(staticnet_exporter::Error),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DemoError::Occupied(path) => {
                write!(f, "{}: exists and was not made by the demo; choose another folder with --out", path.display())
            }
            DemoError::Io { path, source } => write!(f, "{}: cannot be written: {source}", path.display()),
            DemoError::Synth(error) => write!(f, "{error}"),
            DemoError::Train(error) => write!(f, "{error}"),
            DemoError::Export(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for DemoError {}

macro_rules! from {
    ($($error:ty => $variant:ident),* $(,)?) => {
        $(impl From<$error> for DemoError {
            fn from(error: $error) -> Self {
                DemoError::$variant(error.into())
            }
        })*
    };
}
from! {
    SynthError => Synth, TrainError => Train, ConfigError => Train, DataError => Export, NpyError => Export,
    FileError => Export, ImportError => Export, staticnet_exporter::Error => Export,
}

/// Runs the demo in the folder `out`, which is made, or replaced where an earlier demo made it.
///
/// # Errors
/// [`DemoError`] naming the file or folder at fault.
pub fn run(out: &Path, extent: &Extent, observe: &mut dyn FnMut(Stage<'_>)) -> Result<Report, DemoError> {
    prepare(out)?;
    let (pictures, run) = (out.join("pictures"), Run::at(&out.join("run")));
    synth::generate(&pictures, &extent.pictures, &mut |done, of| observe(Stage::Drawing(done, of)))?;
    let summary = train_net(&pictures, extent.epochs, &run, observe)?;

    observe(Stage::Doing("compiling to f32 and to int8"));
    let graph = onnx::import(&run.onnx())?;
    let input = graph.inputs.first().map(|&i| graph.shape(i)[1..].to_vec()).unwrap_or_default();
    let missing = || staticnet_exporter::Error::Input { from: "demo".into(), reason: "no preprocessing is stored".into() };
    let preprocess = graph.preprocess.ok_or_else(missing)?;
    let training = DataSet::open(&pictures, Split::Train)?;
    let test = DataSet::open(&pictures, Split::Test)?;
    let samples = load(&training, CALIBRATION, |i| staticnet_data::pixels(&training, i, &preprocess))?;
    let float_file = out.join("model-f32.snet");
    let int8_file = out.join("model.snet");
    let float = write(&float_file, &compile_float(graph.clone(), &Options::default())?)?;
    let int8 = write(&int8_file, &staticnet_exporter::compile(graph, Samples::Pictures(&samples), &Options::default())?)?;

    observe(Stage::Doing("running tract, f32 and int8 side by side"));
    let onnx_bytes = read_at_most(&run.onnx(), u32::MAX as u64)?;
    // As the ONNX model takes them: CHW.
    let inputs = load(&test, test.len(), |i| staticnet_data::sample(&test, i, &preprocess))?;
    let by_tract = tract_top1(&onnx_bytes, &input, &inputs, &test)?;
    let top1 = |model: &Model| accuracy(model, &test, &|_| {}).map(|a| a.top1);
    let size = |bytes: &[u8]| bytes.len() as u64;
    let file = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
    let row = |what, engine, top1, bytes, ram_bytes| Row { what, engine, top1, bytes, ram_bytes };
    let ram = |model: &Model| Some(model.artifact().ram_bytes());
    let rows = vec![
        row("the trained net, f32", TRAINER, summary.top1, file(&run.safetensors()), None),
        row("model.onnx, f32", "tract", by_tract, size(&onnx_bytes), None),
        row("model-f32.snet", "runtime", top1(&float)?, file(&float_file), ram(&float)),
        row("model.snet, int8", "runtime", top1(&int8)?, file(&int8_file), ram(&int8)),
    ];

    observe(Stage::Doing("comparing every layer with tract"));
    let batch = batch(&inputs, &input, VERIFIED);
    let float = verify(&onnx_bytes, &float, &batch, &|_| {})?;
    let int8 = verify(&onnx_bytes, &int8, &batch, &|_| {})?;
    // One picture as the network takes it, to try on a board.
    npy::write(&out.join("picture.npy"), &self::batch(&inputs, &input, 1))?;
    Ok(Report {
        out: out.to_path_buf(),
        pictures: (training.len(), test.len()),
        epochs: extent.epochs,
        train_seconds: summary.seconds,
        rows,
        float,
        int8,
    })
}

/// An empty folder with the demo's mark.
fn prepare(out: &Path) -> Result<(), DemoError> {
    let fail = |source| DemoError::Io { path: out.to_path_buf(), source };
    let mark = out.join(MARK);
    if mark.exists() {
        std::fs::remove_dir_all(out).map_err(fail)?;
    } else if out.exists() && std::fs::read_dir(out).map_err(fail)?.next().is_some() {
        return Err(DemoError::Occupied(out.to_path_buf()));
    }
    std::fs::create_dir_all(out).map_err(fail)?;
    std::fs::write(mark, "made by `trainer demo`, which replaces this folder\n").map_err(fail)
}

fn train_net(
    pictures: &Path,
    epochs: u32,
    run: &Run,
    observe: &mut dyn FnMut(Stage<'_>),
) -> Result<crate::train::Summary, DemoError> {
    let architecture = models::by_name(ARCH).ok_or_else(|| TrainError::UnknownArchitecture(ARCH.into()))?;
    let augment = crate::augment::Augment::CropFlip;
    let config = Config { data: pictures.to_path_buf(), epochs, augment: Some(augment), ..Config::default() };
    let config = config.decide(architecture, 3)?;
    let batching = Batching { batch_size: config.batch_size, augment, seed: config.seed, threads: 1 };
    let normalise = Normalise::Measured(base_preprocess(architecture, 3));
    let source = Pictures::open(pictures, normalise, batching, &DataOptions::default(), None, &mut |_, _| ())?;
    let mut tell = |event: &Event<'_>| {
        observe(Stage::Training(event));
        Control::Continue
    };
    Ok(Training::new(&config, &source, run).callback(&mut tell).run()?)
}

/// Up to `limit` samples of a data set, spread evenly.
fn load(
    data: &DataSet,
    limit: usize,
    sample: impl Fn(usize) -> Result<Vec<f32>, DataError>,
) -> Result<Vec<Vec<f32>>, DemoError> {
    let n = limit.min(data.len());
    (0..n).map(|i| Ok(sample(i * data.len() / n)?)).collect()
}

fn batch(samples: &[Vec<f32>], shape: &[usize], limit: usize) -> Tensor {
    let n = limit.min(samples.len());
    let data = (0..n).flat_map(|i| samples[i * samples.len() / n].iter().copied()).collect();
    Tensor { shape: [&[n], shape].concat(), data }
}

fn write(path: &Path, emitted: &Emitted) -> Result<Model, DemoError> {
    write_atomically(path, &emitted.joined())?;
    Ok(Model::load(path)?)
}

fn tract_top1(onnx: &[u8], input: &[usize], samples: &[Vec<f32>], data: &DataSet) -> Result<f64, DemoError> {
    let mut oracle = Oracle::new(onnx, &[[&[1], input].concat()], &[Elem::F32])?;
    let mut right = 0;
    for (i, x) in samples.iter().enumerate() {
        let scores = oracle.run(std::slice::from_ref(x))?.into_iter().next().unwrap_or_default();
        let best = scores.iter().enumerate().fold(0, |best, (c, v)| if *v > scores[best] { c } else { best });
        right += usize::from(best == data.label(i));
    }
    Ok(right as f64 / samples.len().max(1) as f64)
}

impl fmt::Display for Report {
    /// The table, and what to type next.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (training, test) = self.pictures;
        writeln!(
            f,
            "{ARCH}, {} epochs on {training} drawn pictures in {:.0} s; {test} test pictures\n",
            self.epochs, self.train_seconds
        )?;
        writeln!(f, "{:<22} {:<14} {:>8} {:>12} {:>10}", "stage", "run by", "top-1", "file", "RAM")?;
        for row in &self.rows {
            let ram = row.ram_bytes.map_or("-".into(), |b| format!("{b} B"));
            let (top1, bytes) = (100.0 * row.top1, format!("{} B", row.bytes));
            writeln!(f, "{:<22} {:<14} {top1:>6.2} % {bytes:>12} {ram:>10}", row.what, row.engine)?;
        }
        let worst = |v: &Verification| v.layers.iter().map(|l| l.max_units).fold(0.0, f64::max);
        let verdict = |v: &Verification| if v.ok { "within the bounds" } else { "OUTSIDE THE BOUNDS" };
        writeln!(
            f,
            "\nf32 against tract, {} pictures:  largest difference {:.1e} of the largest score, same top-1 on {:.0} %: {}",
            self.float.n,
            self.float.max_rel,
            100.0 * self.float.top1_agreement,
            verdict(&self.float)
        )?;
        writeln!(
            f,
            "int8 against tract, {} pictures: each layer within {} unit(s), SQNR {:.1} dB, same top-1 on {:.0} %: {}",
            self.int8.n,
            worst(&self.int8),
            self.int8.sqnr_db,
            100.0 * self.int8.top1_agreement,
            verdict(&self.int8)
        )?;
        let out = self.out.display();
        writeln!(f, "\nnext:")?;
        writeln!(f, "  cargo on-target -- {out}/model.snet --board mps2-an500 --input {out}/picture.npy")?;
        writeln!(f, "      the same bytes on a simulated Cortex-M7 (./scripts/setup-targets installs what it needs)")?;
        writeln!(f, "  cargo build --release -p staticnet-trainer -p staticnet-exporter")?;
        writeln!(f, "  target/release/exporter inspect {out}/model.snet --plan")?;
        write!(f, "  target/release/trainer train YOUR/PICTURES --arch alexnet-cifar --out RUN")
    }
}

#[cfg(test)]
mod tests;
