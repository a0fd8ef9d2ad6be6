//! The firmware example `stream` classifies pictures row by row in so little RAM as its linker script gives it, buffers, statics
//! and stack together, with the weights in a storage, and makes the bytes that the host makes.
//!
//! Runs where `STATICNET_ON_TARGET` is set (see `on_target`); AlexNet at 224 with `STATICNET_LONG`.

use staticnet::preprocess::{Picture, PixelFormat, Source};
use staticnet_data::chw;
use staticnet_exporter::compile::{self, Options};
use staticnet_exporter::host::{Model, encode};
use staticnet_exporter::plan::{PlanOptions, Ram};
use staticnet_tests::on_target::stream::{StreamOptions, StreamRun, stream};
use staticnet_tests::on_target::toolchain::workspace_root;
use staticnet_tests::on_target::{Board, OnTargetError, RunOptions, enabled, pictures, run_with};
use staticnet_tests::seeded;
use std::error::Error;

type TestResult = Result<(), Box<dyn Error>>;

/// Bytes of statics beside the network's buffer and the row: the logger, and what aligning takes.
const OTHER_STATICS: u64 = 64;

/// A network by name, int8, for so many bytes of RAM in all and of stack among them.
fn model(name: &str, classes: usize, source: Source, [ram, stack]: [u64; 2]) -> Result<Model, Box<dyn Error>> {
    let graph = seeded::graph(name, classes).ok_or("no such network")?;
    let network = seeded::quantized(&graph)?;
    // Head and weights apart, as much RAM as row and logger leave.
    let limit = ram - OTHER_STATICS - (source.row_bytes() as u64).next_multiple_of(16);
    let plan = PlanOptions { ram: Ram::Limit(limit), stack, storage: true, source: Some(source), layers: false };
    let options = Options { split: true, plan, ..Options::default() };
    Ok(Model::from_emitted(compile::emit_network(network, &options)?)?)
}

/// A few pictures of slopes, each another.
fn slopes(source: Source) -> Vec<Vec<u8>> {
    let len = source.row_bytes() * source.height as usize;
    let pixel = |seed: usize, i: usize| (i * (seed + 3) + (i / source.row_bytes()) * (5 * seed + 7)) as u8;
    (0..3).map(|seed| (0..len).map(|i| pixel(seed, i)).collect()).collect()
}

/// The raw output bytes on the host, from whole pictures.
fn on_the_host(model: &Model, pictures: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let source = model.artifact().source().ok_or("no source")?;
    let (width, height) = (source.width.into(), source.height.into());
    let channels = source.format.bytes() as u8;
    let mut ram = model.ram();
    let mut engine = model.engine(&mut ram)?;
    let mut outputs = Vec::new();
    for pixels in pictures {
        engine.set_picture(Picture { pixels, width, height, channels })?;
        engine.run()?;
        outputs.push(engine.output_bytes(0).ok_or("no output")?.to_vec());
    }
    assert_ne!(outputs[0], outputs[1], "the network does not look at its input");
    Ok(outputs)
}

/// Runs the firmware and holds it against the host and its memory.
fn check(board: &str, model: &Model, pictures: &[Vec<u8>], options: &StreamOptions) -> Result<StreamRun, Box<dyn Error>> {
    let (board, artifact) = (Board::named(board).ok_or("no such board")?, model.artifact());
    assert!(artifact.is_streamed() && artifact.weights_in_storage());
    let run = stream(board, (artifact.head(), model.payload()), pictures, options)?;
    assert_eq!(run.outputs, on_the_host(model, pictures)?);
    assert_eq!(run.network_bytes as usize, artifact.ram_bytes());
    let ram = u64::from(options.ram.ok_or("no limit")?);
    assert_eq!(run.static_bytes + u64::from(run.stack_space), ram, "statics and stack are all that there is");
    // What was used is no more than what can be, and that is what the plan left.
    let bound = run.stack_bound.ok_or("there is no bound on the stack")?;
    assert!(run.stack_bytes <= bound, "{} B of stack, the bound is {bound} B", run.stack_bytes);
    assert!(bound as usize <= artifact.stack_bytes() && bound <= run.stack_space, "the stack may take {bound} B");
    println!(
        "{} in {ram} B: statics {} B, then {} B of stack, of which {bound} B may be used and {} B were; code and head {} B",
        board.name, run.static_bytes, run.stack_space, run.stack_bytes, run.code_bytes
    );
    Ok(run)
}

const GREY_28: Source = Source { width: 28, height: 28, format: PixelFormat::Grey };
const RGB_32: Source = Source { width: 32, height: 32, format: PixelFormat::Rgb888 };
const RGB_256: Source = Source { width: 256, height: 256, format: PixelFormat::Rgb888 };

/// Bytes of RAM in all, and of stack among them.
const LENET: [u64; 2] = [8 << 10, 2432];
const CIFAR_SMALL: [u64; 2] = [24 << 10, 2432];
const ALEXNET: [u64; 2] = [128 << 10, 3072];

/// Run in the RAM that the model is for.
fn in_ram([ram, _]: [u64; 2]) -> StreamOptions {
    StreamOptions { ram: Some(ram as u32), ..StreamOptions::default() }
}

#[test]
fn lenet_in_8_kib() -> TestResult {
    if !enabled("lenet in 8 KiB") {
        return Ok(());
    }
    let model = model("lenet", 10, GREY_28, LENET)?;
    let pictures = slopes(GREY_28);
    let options = in_ram(LENET);
    let run = check("mps2-an386", &model, &pictures, &options)?;
    let from_files = check("mps2-an386", &model, &pictures, &StreamOptions { files: true, ..options })?;
    assert_eq!(run.outputs, from_files.outputs);
    assert!(run.log.iter().any(|line| line == "picture 2"), "{:?}", run.log);
    Ok(())
}

#[test]
fn cifar_small_in_24_kib() -> TestResult {
    if !enabled("cifar-small in 24 KiB") {
        return Ok(());
    }
    let model = model("cifar-small", 10, RGB_32, CIFAR_SMALL)?;
    let options = in_ram(CIFAR_SMALL);
    check("mps2-an386", &model, &slopes(RGB_32), &options)?;
    Ok(())
}

#[test]
fn alexnet_in_128_kib() -> TestResult {
    if !enabled("AlexNet in 128 KiB") {
        return Ok(());
    }
    let photographs = workspace_root().join("../shared/data/imagenet-samples");
    if std::env::var_os("STATICNET_LONG").is_none() || !photographs.is_dir() {
        println!("skipped: AlexNet at 224 (set STATICNET_LONG=1; it wants photographs in {})", photographs.display());
        return Ok(());
    }
    let model = model("alexnet", 1000, RGB_256, ALEXNET)?;
    let photographs: Vec<_> = pictures::from_folder(&photographs, RGB_256, 2)?.into_iter().map(|(_, rows)| rows).collect();
    let options = in_ram(ALEXNET);
    check("mps3-an547", &model, &photographs, &options)?;
    Ok(())
}

#[test]
fn instructions_of_a_picture_are_counted_from_its_first_row() -> TestResult {
    if !enabled("counting of stream and runner") {
        return Ok(());
    }
    let board = Board::named("mps2-an386").ok_or("no such board")?;
    let model = model("lenet", 10, GREY_28, LENET)?;
    let (artifact, pictures) = (model.artifact(), slopes(GREY_28));
    let counted = RunOptions { count: true, ..RunOptions::default() };
    let run = check(board.name, &model, &pictures, &StreamOptions { run: counted, ..in_ram(LENET) })?;
    let streamed = run.instructions.ok_or("not counted")?;
    assert_eq!(streamed.len(), pictures.len());

    // The runner is given what the preprocessing makes. It runs the same steps and copies the same weights.
    let info = artifact.input_slot(0).and_then(|slot| artifact.tensor(slot.tensor as usize)).ok_or("no input")?;
    let preprocess = artifact.preprocess().ok_or("no preprocessing")?;
    let picture = Picture { pixels: &pictures[0], width: 28, height: 28, channels: 1 };
    let input = encode(&info, &chw(&preprocess, picture).map_err(|e| format!("{e:?}"))?);
    let whole = [artifact.head(), model.payload()].concat();
    let on_runner = run_with(board, &whole, &[&[input]], &counted)?;
    assert_eq!(on_runner.outputs[0][0], run.outputs[0]);
    assert_eq!(on_runner.steps.len(), artifact.step_count());
    let steps = on_runner.instructions().ok_or("not counted")?;
    println!("lenet: {} instructions a picture, {steps} from quantized rows", streamed[0]);
    assert!((0.9..1.0).contains(&(steps as f64 / streamed[0] as f64)));
    Ok(())
}

#[test]
fn damage_and_too_little_ram_are_told() -> TestResult {
    if !enabled("refusals of stream") {
        return Ok(());
    }
    let board = Board::named("mps2-an386").ok_or("no such board")?;
    let model = model("lenet", 10, GREY_28, LENET)?;
    let artifact = model.artifact();
    let pictures = slopes(GREY_28);
    let run = |weights: &[u8], pictures: &[Vec<u8>], ram: usize, files: bool| {
        let options = StreamOptions { ram: Some(ram as u32), files, ..StreamOptions::default() };
        stream(board, (artifact.head(), weights), pictures, &options)
    };
    let failure = |result: Result<StreamRun, OnTargetError>| match result {
        Err(OnTargetError::Failed { log, .. }) => log,
        other => panic!("expected a failed run, found {other:?}"),
    };
    let mut damaged = model.payload().to_vec();
    damaged[100] ^= 1;
    for files in [false, true] {
        assert!(failure(run(&damaged, &pictures, 8 << 10, files)).contains("Chunk"));
        assert!(failure(run(&damaged[16..], &pictures, 8 << 10, files)).contains("WeightsLength"));
        assert!(failure(run(model.payload(), &[vec![0; 100]], 8 << 10, files)).contains("PictureLength"));
    }
    // The linker sees that the statics alone do not fit; a stack that is too small shows when running.
    let too_small = run(model.payload(), &pictures, artifact.ram_bytes() & !7, false);
    assert!(matches!(too_small, Err(OnTargetError::Build { .. })), "{too_small:?}");
    Ok(())
}
