//! The same artifact gives the same bytes on the host and on every simulated board.
//!
//! Needs QEMU and a compiler for bare-metal targets (`scripts/setup-targets`), so it runs where `STATICNET_ON_TARGET` is set, as
//! `scripts/test` does, and says "skipped" elsewhere. `STATICNET_LONG` adds more inputs.

use staticnet::op::{BinaryOp, Conv2d, Lrn, MaxPool, Window};
use staticnet_exporter::compile::{self, Options};
use staticnet_exporter::host::{Model, decode_outputs, encode_input, encode_inputs};
use staticnet_graph::graph::{Elem, Graph, Grid, Op, Tensor};
use staticnet_graph::npy;
use staticnet_tests::on_target::firmware::{Firmware, Variant};
use staticnet_tests::on_target::report::RunReport;
use staticnet_tests::on_target::{BOARDS, Board, OnTargetError, RunOptions, enabled, run_on_board, run_with};
use std::error::Error;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

type TestResult = Result<(), Box<dyn Error>>;

/// Numbers in [-1, 1), the same in every run (a linear congruential generator, constants of Knuth's MMIX).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 40) as f32) / (1 << 23) as f32 - 1.0
    }

    fn take(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }
}

const INPUT: [usize; 3] = [3, 20, 18];

/// A net with every operator, odd sizes, padding, stride and groups.
fn net() -> Result<Graph, Box<dyn Error>> {
    let mut g = Graph::new("on-target");
    let x = g.input("input", &[1, INPUT[0], INPUT[1], INPUT[2]]);
    let conv = |kernel, stride, pad, groups| Conv2d { window: Window::square(kernel, stride, pad), groups };
    let pool = |kernel, stride| Op::MaxPool(MaxPool { window: Window::square(kernel, stride, 0) });
    let y = g.conv("features.0", x, 13, conv(5, 1, 2, 1))?;
    let y = g.add("features.1", Op::Relu, &[y], &[])?;
    let y = g.add("features.2", Op::Lrn(Lrn { size: 5, alpha: 1e-2, beta: 0.75, k: 2.0 }), &[y], &[])?;
    let y = g.add("features.3", pool(3, 2), &[y], &[])?;
    let y = g.conv("features.4", y, 14, conv(3, 1, 1, 1))?;
    let y = g.conv("features.5", y, 10, conv(3, 2, 1, 2))?;
    let y = g.add("features.6", Op::Relu, &[y], &[])?;
    let y = g.add("flatten", Op::Flatten, &[y], &[])?;
    let y = g.linear("classifier.0", y, 21)?;
    let y = g.add("classifier.1", Op::Relu, &[y], &[])?;
    let y = g.linear("classifier.2", y, 7)?;
    g.output(y);
    let mut noise = Noise(1);
    for tensor in g.params.values_mut() {
        let fan_in: usize = tensor.shape[1..].iter().product();
        tensor.data = noise.take(tensor.data.len()).iter().map(|v| v * (6.0 / fan_in as f32).sqrt()).collect();
    }
    Ok(g)
}

/// A net of two inputs and two outputs of another type and another size each. What it computes in f32 is exact on any core.
fn two_by_two() -> Result<Model, Box<dyn Error>> {
    let mut g = Graph::new("two-by-two");
    let (a, b) = (g.input("a", &[1, 3, 4, 5]), g.input("b", &[1, 3, 1, 1]));
    let sum = g.add("sum", Op::Binary(BinaryOp::Add), &[a, b], &[])?;
    let pool = g.add("pool", Op::MaxPool(MaxPool { window: Window::square(2, 2, 0) }), &[sum], &[])?;
    let grid = Grid { elem: Elem::U8, scale: vec![0.015625], zero_point: vec![128], axis: None };
    let codes = g.add("codes", Op::Quantize(grid), &[pool], &[])?;
    [sum, codes].into_iter().for_each(|value| g.output(value));
    Ok(Model::from_bytes(&compile::compile_float(g, &Options::default())?.joined())?)
}

/// Samples of its inputs.
fn two_batches(n: usize) -> [Tensor; 2] {
    let mut noise = Noise(3);
    [[n, 3, 4, 5], [n, 3, 1, 1]].map(|shape| Tensor { data: noise.take(shape.iter().product()), shape: shape.to_vec() })
}

fn batch(n: usize) -> Tensor {
    let shape = [&[n], &INPUT[..]].concat();
    Tensor { data: Noise(2).take(shape.iter().product()), shape }
}

fn int8_model() -> Result<Model, Box<dyn Error>> {
    let elements: usize = INPUT.iter().product();
    let samples: Vec<Vec<f32>> = batch(8).data.chunks(elements).map(<[f32]>::to_vec).collect();
    Ok(Model::from_bytes(&compile::compile(net()?, &samples, &Options::default())?.joined())?)
}

fn bytes_of(model: &Model) -> Vec<u8> {
    [model.artifact().head(), model.artifact().payload()].concat()
}

fn int8_bytes_are_equal_on(board: &Board) -> TestResult {
    if !enabled("int8 on boards") {
        return Ok(());
    }
    let images = if std::env::var_os("STATICNET_LONG").is_some() { 200 } else { 20 };
    let model = int8_model()?;
    let inputs = encode_inputs(&model.artifact(), &batch(images))?;
    let run = run_on_board(board, &bytes_of(&model), &[&inputs])?;
    let expected = model.run_bytes(&[&inputs])?;
    assert_ne!(expected[0][0], expected[0][1], "the net does not look at its input");
    assert_eq!(run.outputs, expected);
    assert_eq!(run.ram_bytes as usize, model.artifact().ram_bytes());
    assert_eq!(run.steps.len(), model.artifact().step_count());
    println!("{}: stack {} B, code {} B", board.name, run.stack_bytes, run.code_bytes);
    Ok(())
}

fn f32_is_within_its_bound_on(board: &Board) -> TestResult {
    if !enabled("f32 on boards") {
        return Ok(());
    }
    let model = Model::from_bytes(&compile::compile_float(net()?, &Options::default())?.joined())?;
    let batch = batch(5);
    let inputs = encode_inputs(&model.artifact(), &batch)?;
    let run = run_on_board(board, &bytes_of(&model), &[&inputs])?;
    let (found, expected) = (decode_outputs(&model.artifact(), &run.outputs[0]), model.run(&batch)?);
    // On every target 1e-4 of the tensor's largest magnitude.
    let largest = expected.data.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(largest > 0.0);
    for (found, expected) in found.data.iter().zip(&expected.data) {
        assert!((found - expected).abs() <= 1e-4 * largest, "{found} on the board, {expected} on the host");
    }
    Ok(())
}

macro_rules! on_every_board {
    ($($name:ident: $index:literal,)*) => {
        $(mod $name {
            #[test]
            fn int8_bytes_are_the_hosts() -> super::TestResult {
                super::int8_bytes_are_equal_on(&super::BOARDS[$index])
            }

            #[test]
            fn f32_is_within_its_bound() -> super::TestResult {
                super::f32_is_within_its_bound_on(&super::BOARDS[$index])
            }
        })*

        #[test]
        fn every_board_is_tested() {
            assert_eq!([$(stringify!($name)),*].map(|name| name.replace('_', "-")), BOARDS.map(|board| board.name));
        }
    };
}

on_every_board! {
    mps2_an385: 0,
    mps2_an386: 1,
    mps2_an500: 2,
    mps3_an547: 3,
}

#[test]
fn the_counter_is_exact_and_knows_layers() -> TestResult {
    if !enabled("counting instructions") {
        return Ok(());
    }
    let model = int8_model()?;
    let board = Board::named("mps2-an500").ok_or("no such board")?;
    let inputs = encode_inputs(&model.artifact(), &batch(2))?;
    let options = RunOptions { count: true, ..RunOptions::default() };
    let run = || run_with(board, &bytes_of(&model), &[&inputs], &options);
    let (first, second) = (run()?, run()?);
    assert_eq!(first, second, "two runs of the same inputs count alike");
    assert_eq!(first.outputs, model.run_bytes(&[&inputs])?, "the counter changes nothing");

    let report = RunReport::new(board, &model.artifact(), &first);
    assert_eq!(report.layers.len(), model.artifact().layer_count());
    assert_eq!(report.layers.iter().map(|layer| layer.instructions.unwrap()).sum::<u64>(), report.instructions.unwrap());
    for layer in report.layers.iter().filter(|layer| layer.macs > 0) {
        // No core here does 8 multiplications an instruction, and none needs 100 for one.
        let per_mac = layer.instructions.unwrap() as f64 / layer.macs as f64;
        assert!((0.125..100.0).contains(&per_mac), "{} takes {per_mac} instructions a MAC", layer.name);
    }
    Ok(())
}

#[test]
fn the_command_line_runs_an_artifact() -> TestResult {
    if !enabled("the command line") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let [artifact, input, output] = ["m.snet", "x.npy", "y.npy"].map(|name| folder.path().join(name));
    let model = int8_model()?;
    std::fs::write(&artifact, bytes_of(&model))?;
    npy::write(&input, &batch(3))?;
    // As `cargo on-target -- m.snet ..` calls it, with the `--` in front.
    let mut command = Command::new(env!("CARGO_BIN_EXE_on-target"));
    command.arg("--").arg(&artifact).args(["--board", "mps3-an547", "--count", "--json"]);
    let run = command.arg("--input").arg(&input).arg("--output").arg(&output).output()?;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(npy::read(&output)?, model.run(&batch(3))?);

    let stdout = String::from_utf8(run.stdout)?;
    let report: serde_json::Value = serde_json::from_str(stdout.lines().last().ok_or("no output")?)?;
    assert_eq!(report["board"], "mps3-an547");
    assert_eq!(report["ram_bytes"], model.artifact().ram_bytes());
    for key in ["instructions", "code_bytes", "stack_bytes"] {
        assert!(report[key].as_u64() > Some(0), "{key} in {report}");
    }
    for key in ["name", "op", "macs", "instructions"] {
        assert!(!report["layers"][0][key].is_null(), "{key} in {report}");
    }
    println!("{report}");

    let refused = Command::new(env!("CARGO_BIN_EXE_on-target"))
        .arg(&input)
        .args(["--board", "mps2-an500", "--input"])
        .arg(&input)
        .output()?;
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("x.npy"));
    Ok(())
}

#[test]
fn several_inputs_and_outputs_are_the_hosts_on_every_board() -> TestResult {
    if !enabled("several inputs and outputs") {
        return Ok(());
    }
    let model = two_by_two()?;
    let [a, b] = two_batches(3);
    let (a, b) = (encode_input(&model.artifact(), 0, &a)?, encode_input(&model.artifact(), 1, &b)?);
    let expected = model.run_bytes(&[&a, &b])?;
    assert_eq!(expected.iter().map(|passes| (passes.len(), passes[0].len())).collect::<Vec<_>>(), [(3, 240), (3, 12)]);
    for board in &BOARDS {
        assert_eq!(run_on_board(board, &bytes_of(&model), &[&a, &b])?.outputs, expected, "{}", board.name);
    }
    Ok(())
}

#[test]
fn the_command_line_takes_several_inputs_and_writes_several_outputs() -> TestResult {
    if !enabled("the command line with several inputs") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let [artifact, a, b, sum, codes] =
        ["m.snet", "a.npy", "b.npy", "sum.npy", "codes.npy"].map(|name| folder.path().join(name));
    let (model, batches) = (two_by_two()?, two_batches(3));
    std::fs::write(&artifact, bytes_of(&model))?;
    npy::write(&a, &batches[0])?;
    npy::write(&b, &batches[1])?;
    let on_target = |inputs: &[&PathBuf], outputs: &[&PathBuf]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_on-target"));
        command.arg(&artifact).args(["--board", "mps2-an385", "--json"]);
        let pairs = inputs.iter().map(|file| ("--input", file)).chain(outputs.iter().map(|file| ("--output", file)));
        command.args(pairs.flat_map(|(option, file)| [OsStr::new(option), file.as_os_str()]));
        command.output()
    };
    let run = on_target(&[&a, &b], &[&sum, &codes])?;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let expected = model.run_all(&batches)?;
    assert_eq!([npy::read(&sum)?, npy::read(&codes)?], expected[..]);

    let report: serde_json::Value = serde_json::from_slice(&run.stdout)?;
    assert_eq!(report["outputs"][0]["sha256"], report["output_sha256"]);
    assert_ne!(report["outputs"][1]["sha256"], report["output_sha256"]);
    let shapes = [&report["outputs"][0]["shape"], &report["outputs"][1]["shape"]];
    assert_eq!(shapes, [&serde_json::json!([3, 3, 4, 5]), &serde_json::json!([3, 3, 2, 2])]);

    let short = folder.path().join("short.npy");
    npy::write(&short, &two_batches(2)[1])?;
    for (inputs, outputs, said) in [
        (&[&a][..], &[][..], "the network has 2 inputs, 1 are given"),
        (&[&a, &b], &[&sum, &codes, &a], "the network has 2 outputs, 3 --output are given"),
        (&[&a, &short], &[], "one input has 2 samples, the first has 3"),
        (&[&b, &a], &[], "b.npy"),
    ] {
        let refused = on_target(inputs, outputs)?;
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && words.contains(said), "{words}");
    }
    Ok(())
}

#[test]
fn what_cannot_run_is_told() -> TestResult {
    if !enabled("refusals") {
        return Ok(());
    }
    let board = Board::named("mps2-an500").ok_or("no such board")?;
    let model = int8_model()?;
    let inputs = encode_inputs(&model.artifact(), &batch(1))?;
    let failure = |artifact: &[u8], inputs: &[Vec<u8>]| match run_on_board(board, artifact, &[inputs]) {
        Err(OnTargetError::Failed { log, .. }) => log,
        other => panic!("expected a failed run, found {other:?}"),
    };
    let whole = bytes_of(&model);
    assert!(failure(&[0; 1024], &inputs).contains("Magic"));
    assert!(failure(&whole[..whole.len() - 16], &inputs).contains("Truncated"));
    let mut damaged = whole.clone();
    *damaged.last_mut().ok_or("empty")? ^= 1;
    assert!(failure(&damaged, &inputs).contains("Checksum"));
    assert!(failure(&whole, &[inputs[0][1..].to_vec()]).contains("InputLength"));

    let options = RunOptions { timeout: Duration::from_millis(1), ..RunOptions::default() };
    assert!(matches!(run_with(board, &whole, &[&inputs], &options), Err(OnTargetError::Timeout { .. })));
    Ok(())
}

#[test]
fn firmware_compiles_without_warnings() -> TestResult {
    if !enabled("warnings of firmware") {
        return Ok(());
    }
    let from_files = Variant { features: vec!["files"], ..Variant::default() };
    for board in &BOARDS {
        for (name, variant) in [("runner", &Variant::default()), ("stream", &Variant::default()), ("stream", &from_files)] {
            let firmware = Firmware::build_variant(name, board, variant)?;
            assert_eq!(firmware.warnings(), "", "{name} for {}", board.name);
        }
    }
    Ok(())
}
