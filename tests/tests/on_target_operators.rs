//! A small network with every operator of the runtime, int8 and f32, gives the same bytes on the host and on every board.
//!
//! Runs where `STATICNET_ON_TARGET` is set (see `on_target`).

mod common;

use common::every_op;
use common::networks::samples;
use common::{Random, compiled, input_info};
use staticnet_exporter::host::{Model, encode};
use staticnet_tests::on_target::{BOARDS, enabled, run_on_board};
use std::error::Error;

type TestResult = Result<(), Box<dyn Error>>;

/// Output 0 on the host, whose bytes a board gives back.
fn host_outputs(model: &Model, inputs: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    Ok(model.run_bytes(&[inputs])?.swap_remove(0))
}

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
    for _ in 0..graph.outputs.len() {
        // Each output is the first once: that is the one which a board gives back.
        graph.outputs.rotate_left(1);
        for model in compiled(&graph, &calibration) {
            let artifact = model.artifact();
            let inputs: Vec<Vec<u8>> = compared.iter().map(|x| encode(&input_info(&artifact), x)).collect();
            let expected = host_outputs(&model, &inputs)?;
            let bytes = [artifact.head(), artifact.payload()].concat();
            for board in &BOARDS {
                let run = run_on_board(board, &bytes, &inputs)?;
                assert_eq!(run.outputs, expected, "{}, {:?}", board.name, input_info(&artifact).dtype);
                assert_eq!(run.ram_bytes as usize, artifact.ram_bytes());
            }
        }
    }
    Ok(())
}
