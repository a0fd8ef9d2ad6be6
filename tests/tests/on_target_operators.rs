//! A small network with every operator of the runtime, int8 and f32, gives the same bytes on the host and on every board.
//!
//! Runs where `STATICNET_ON_TARGET` is set (see `on_target`).

use staticnet::op::Op;
use staticnet_exporter::compile::{Options, emit_network};
use staticnet_exporter::host::{Model, encode};
use staticnet_testing::graphs::every_op;
use staticnet_testing::graphs::networks::samples;
use staticnet_testing::graphs::{compiled, input_info};
use staticnet_testing::{Random, surgery};
use staticnet_tests::on_target::{BOARDS, enabled, run_on_board};
use staticnet_tests::seeded;
use std::error::Error;

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn every_operator_makes_the_hosts_bytes_on_every_board() -> TestResult {
    if !enabled("every operator on boards") {
        return Ok(());
    }
    let mut random = Random(17);
    let mut graph = every_op::graph();
    let (calibration, compared) = (samples(&graph, &mut random, 4), samples(&graph, &mut random, 6));
    // The pictures' network is fed real numbers here.
    graph.preprocess = None;
    for model in compiled(&graph, &calibration) {
        let artifact = model.artifact();
        let inputs: Vec<Vec<u8>> = compared.iter().map(|x| encode(&input_info(&artifact), x)).collect();
        let expected = model.run_bytes(&[&inputs])?;
        assert_eq!(expected.len(), 3);
        let bytes = [artifact.head(), artifact.payload()].concat();
        for board in &BOARDS {
            let run = run_on_board(board, &bytes, &[&inputs])?;
            assert_eq!(run.outputs, expected, "{}, {:?}", board.name, input_info(&artifact).dtype);
            assert_eq!(run.ram_bytes as usize, artifact.ram_bytes());
        }
    }
    Ok(())
}

/// Multipliers and biases that no calibration gives, in the place of an artifact's own: at the ends of their ranges, and not numbers.
fn with_strange_scales(mut bytes: Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>> {
    let multipliers =
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, f32::MAX, 1e-40, 0.0, -0.0, -0.5, 0.5, 2e-5, 3.1e-5, -1e-4];
    let biases = [0, i32::MAX, i32::MIN, -1, 1, 123_456, -7_654_321];
    let artifact = staticnet::Artifact::new(&bytes).map_err(|error| error.to_string())?;
    let head = artifact.head().len();
    let mut patches = Vec::new();
    for step in (0..artifact.step_count()).filter_map(|i| artifact.step(i)) {
        let layer = artifact.layer(step.layer.into()).ok_or("no such layer")?;
        if let (Op::Conv2d(_) | Op::Linear, Some(chunk)) = (layer.op, artifact.chunk(step.chunk)) {
            patches.push((head + chunk.offset as usize, (step.c1 - step.c0) as usize));
        }
    }
    let mut at = 0;
    for (chunk, channels) in patches {
        for i in 0..channels {
            // Every other channel keeps what it has, so that the layers behind see more than the ends of a range.
            if i % 2 == 1 {
                bytes[chunk + 4 * i..][..4].copy_from_slice(&i32::to_le_bytes(biases[at % biases.len()]));
                bytes[chunk + 4 * (channels + i)..][..4]
                    .copy_from_slice(&f32::to_le_bytes(multipliers[at % multipliers.len()]));
                at += 1;
            }
        }
    }
    // FORMAT.md, section 2.
    let payload = surgery::checksum(&bytes[head..]);
    bytes[48..56].copy_from_slice(&payload.to_le_bytes());
    surgery::repair(&mut bytes);
    Ok(bytes)
}

#[test]
fn scales_that_no_calibration_gives_make_the_hosts_bytes_on_every_board() -> TestResult {
    if !enabled("strange scales on boards") {
        return Ok(());
    }
    let graph = seeded::graph("lenet", 10).ok_or("no such network")?;
    let network = seeded::quantized(&graph)?;
    let bytes = with_strange_scales(emit_network(network, &Options::default())?.joined())?;
    let model = Model::from_bytes(&bytes)?;
    let mut random = Random(5);
    let len = model.artifact().input_len_bytes(0);
    let inputs: Vec<Vec<u8>> = (0..3).map(|_| (0..len).map(|_| random.bits() as u8).collect()).collect();
    let expected = model.run_bytes(&[&inputs])?;
    assert!(
        expected[0].iter().any(|output| output.iter().any(|byte| *byte != output[0])),
        "the outputs say nothing: {expected:?}"
    );
    for board in &BOARDS {
        assert_eq!(run_on_board(board, &bytes, &[&inputs])?.outputs, expected, "{}", board.name);
    }
    Ok(())
}
