//! The engine on a network with every operator: layer by layer, in blocks, and streamed through rings, to the same bytes.

mod common;

use common::net::Net;
use common::plan::{Plan, assemble};
use common::{AlignedBytes, Case, Random, every_op, plan};
use staticnet::op::OpCode;
use staticnet::quant::quantize;
use staticnet::record::{DType, TensorInfo};
use staticnet::view::Rows;
use staticnet::{ALL_OPS, Artifact, Engine, Mapped, RunError, StepDone};

/// Values as the device holds them.
fn quantized(info: &TensorInfo, values: &[f32]) -> Vec<u8> {
    let element = |value: &f32| match info.dtype {
        DType::I8 => vec![quantize(*value, info.scale, info.zero_point) as u8],
        _ => value.to_le_bytes().to_vec(),
    };
    values.iter().flat_map(element).collect()
}

/// Every tensor that the network makes, put together from the rows and channels that the steps made, and its outputs.
fn run(net: &Net, plan: &Plan, seed: u64) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let bytes = AlignedBytes::copy_of(&assemble(net, plan));
    let artifact = Artifact::new(bytes.as_ref()).expect("the plan is sound");
    let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
    ram.as_mut().fill(0xA5);
    let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).expect("it fits");
    let mut random = Random(seed);
    let elements = net.info(net.inputs[0]).elements() as usize;
    let input = quantized(&net.info(net.inputs[0]), &random.reals(elements));
    let mut tensors: Vec<Vec<u8>> = net.tensors.iter().map(|t| vec![0; (t.height as u64 * t.row_bytes()) as usize]).collect();
    let take = |done: StepDone, info: &TensorInfo, made: &Rows<u8>| {
        let element = info.dtype.bytes() as usize;
        let tensor = &mut tensors[net.layers[done.layer].output as usize];
        let (pixel, width) = (info.channels as usize * element, info.width as usize);
        let channels = done.channels.0 as usize * element..done.channels.1 as usize * element;
        for r in done.rows.0 as usize..done.rows.1 as usize {
            for x in 0..width {
                let to = (r * width + x) * pixel;
                let from = made.at(x, channels.start)..made.at(x, channels.end);
                tensor[to..to + pixel][channels.clone()].copy_from_slice(&made.row(r)[from]);
            }
        }
    };
    engine.run_on_tapped(&[&input], take).expect("an accepted artifact runs");
    let outputs = (0..net.outputs.len()).map(|i| engine.output_bytes(i).expect("it is there").to_vec()).collect();
    (tensors, outputs)
}

#[test]
fn any_plan_gives_the_same_bytes() {
    for seed in 0..300 {
        let _case = Case("plans", seed);
        let net = every_op::net(if seed % 2 == 0 { DType::I8 } else { DType::F32 }, seed);
        let mut random = Random(seed);
        let (want, outputs) = run(&net, &plan::whole(&net), seed);
        for (output, &tensor) in outputs.iter().zip(&net.outputs) {
            assert_eq!(output, &want[tensor as usize]);
        }
        let plans = [plan::cut(&net, &mut random), plan::streamed(&net, &mut random), plan::mixed(&net, &mut random)];
        for plan in plans {
            let (got, outputs_got) = run(&net, &plan, seed);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                assert_eq!(got, want, "tensor {i} of {plan:?}");
            }
            assert_eq!(outputs_got, outputs);
        }
    }
}

#[test]
fn streaming_keeps_few_rows_and_no_ring_is_larger_than_needed() {
    let net = every_op::net(DType::I8, 1);
    let streamed = plan::streamed(&net, &mut Random(4));
    let heights: Vec<usize> = net.tensors.iter().map(|t| t.height as usize).collect();
    let shorter = streamed.rings.iter().zip(&heights).filter(|(ring, height)| ring < height).count();
    assert!(shorter >= 5, "{:?} of {heights:?}", streamed.rings);
}

#[test]
fn indices_are_scores_of_whole_numbers() {
    let mut net = every_op::net(DType::F32, 3);
    net.outputs.swap(0, 1);
    let bytes = AlignedBytes::copy_of(&assemble(&net, &plan::whole(&net)));
    let artifact = Artifact::new(bytes.as_ref()).expect("sound");
    let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
    let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).expect("it fits");
    engine.run().expect("it runs");
    assert_eq!(engine.output_info(0).map(|t| t.dtype), Some(DType::I32));
    let top = engine.top_k::<1>();
    assert!(top[0].value.fract() == 0.0 && (0.0..12.0).contains(&top[0].value));
}

#[test]
fn an_operator_that_is_not_compiled_in_is_named() {
    let bytes = AlignedBytes::copy_of(&every_op::artifacts()[0]);
    let artifact = Artifact::new(bytes.as_ref()).expect("sound");
    let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
    const NO_PAD: u64 = ALL_OPS & !OpCode::Pad.bit(DType::I8);
    let without = Engine::<NO_PAD, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).err();
    assert_eq!(without, Some(RunError::MissingOp { ops: OpCode::Pad.bit(DType::I8) }));
    // Conversions count by what they read: both directions are there.
    for dtype in [DType::I8, DType::F32] {
        assert_ne!(artifact.ops() & OpCode::Convert.bit(dtype), 0);
    }
}
