//! The engine on networks with every operator and on chains: layer by layer, in blocks, streamed through rings and in windows of
//! channels, with weights mapped or copied, to the same bytes.

use staticnet::op::{BinaryOp, Function, OpCode};
use staticnet::record::DType;
use staticnet::{ALL_OPS, Artifact, Engine, Mapped, RunError};
use staticnet_testing::net::Net;
use staticnet_testing::plan::{self, Plan, assemble};
use staticnet_testing::run::{run, run_copying};
use staticnet_testing::{AlignedBytes, Case, Random, chain, every_op};

/// What plans did, so that no test runs on plans that do nothing.
#[derive(Debug, Default)]
struct Seen {
    streamed: usize,
    windows: usize,
    over: usize,
    copied: usize,
}

impl Seen {
    fn add(&mut self, net: &Net, plan: &Plan) {
        let input = net.inputs[0];
        self.streamed += (plan.rings[input as usize] < net.shape(input)[0]) as usize;
        self.windows += plan.work.iter().any(|w| w.to.as_ref().is_some_and(|to| to.len() < all(net, w.layer))) as usize;
        self.over += plan.over.iter().any(|&l| overlap(net, plan, l)) as usize;
        self.copied += (plan.places > 0) as usize;
    }
}

fn all(net: &Net, layer: usize) -> usize {
    net.shape(net.layers[layer].output)[2]
}

/// Whether the output of a layer over its input really shares bytes with it.
fn overlap(net: &Net, plan: &Plan, layer: usize) -> bool {
    let output = net.info(net.layers[layer].output);
    plan.lead(net, layer) < output.height as usize * output.row_bytes() as usize
}

fn same_bytes(seeds: std::ops::Range<u64>, make: fn(DType, u64) -> Net) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        let _case = Case("plans", seed);
        let net = make(if seed.is_multiple_of(2) { DType::I8 } else { DType::F32 }, seed);
        let mut random = Random(seed);
        let (want, outputs) = run(&net, &plan::whole(&net), seed);
        for (output, &tensor) in outputs.iter().zip(&net.outputs) {
            assert_eq!(output, &want[tensor as usize]);
        }
        let plans = [plan::cut(&net, &mut random), plan::streamed(&net, &mut random), plan::mixed(&net, &mut random)];
        for plan in plans {
            seen.add(&net, &plan);
            // A source that copies needs places; one that does not runs any plan.
            let copying = (plan.places > 0).then(|| run_copying(&net, &plan, seed));
            for (got, outputs_got) in std::iter::once(run(&net, &plan, seed)).chain(copying) {
                for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                    assert_eq!(got, want, "tensor {i} of {plan:?}");
                }
                assert_eq!(outputs_got, outputs);
            }
        }
    }
    seen
}

#[test]
fn any_plan_of_every_operator_gives_the_same_bytes() {
    let seen = same_bytes(0..300, every_op::net);
    assert!(seen.streamed > 100 && seen.windows > 50 && seen.over > 50 && seen.copied > 100, "{seen:?}");
}

#[test]
fn any_plan_of_a_chain_gives_the_same_bytes() {
    let seen = same_bytes(0..600, chain::net);
    assert!(seen.streamed > 300 && seen.windows > 200 && seen.over > 100 && seen.copied > 300, "{seen:?}");
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
    const NO_PAD: u128 = ALL_OPS & !OpCode::Pad.bit(DType::I8);
    let without = Engine::<NO_PAD, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).err();
    assert_eq!(without, Some(RunError::MissingOp { bit: OpCode::Pad.bit(DType::I8).trailing_zeros() }));
    // Conversions count by what they read: both directions are there.
    for dtype in [DType::I8, DType::F32] {
        assert_ne!(artifact.ops() & OpCode::Convert.bit(dtype), 0);
    }
}

#[test]
fn a_function_or_an_operation_that_is_not_compiled_in_is_named() {
    const NO_SWISH: u128 = ALL_OPS & !Function::HardSwish.bit();
    const NO_MUL: u128 = ALL_OPS & !BinaryOp::Mul.bit();
    let swish = Some(RunError::MissingOp { bit: Function::HardSwish.bit().trailing_zeros() });
    let mul = Some(RunError::MissingOp { bit: BinaryOp::Mul.bit().trailing_zeros() });
    let [int8, float, ..] = every_op::artifacts();
    // In int8 a function is a table like any other.
    for (bytes, swish) in [(int8, None), (float, swish)] {
        let bytes = AlignedBytes::copy_of(&bytes);
        let artifact = Artifact::new(bytes.as_ref()).expect("sound");
        let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
        assert_eq!(Engine::<NO_SWISH, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).err(), swish);
        assert_eq!(Engine::<NO_MUL, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).err(), mul);
    }
}

#[test]
fn an_engine_with_just_the_models_operators_gives_the_same_bytes() {
    // Every function and operation of the model, and no other.
    const OPS: u128 = ((1 << (2 * OpCode::COUNT)) - 1) | Function::HardSwish.bit() | BinaryOp::Add.bit() | BinaryOp::Mul.bit();
    for bytes in every_op::artifacts().into_iter().take(2) {
        let bytes = AlignedBytes::copy_of(&bytes);
        let artifact = Artifact::new(bytes.as_ref()).expect("sound");
        assert_eq!(artifact.ops() & !OPS, 0);
        let input: Vec<u8> = (0..artifact.input_len_bytes(0) / 4).flat_map(|i| (i as f32 / 64.0 - 0.5).to_le_bytes()).collect();
        let input = input.get(..artifact.input_len_bytes(0)).expect("as long").to_vec();
        let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
        let mut all = Engine::<ALL_OPS, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).expect("it fits");
        all.run_on(&[&input]).expect("it runs");
        let want: Vec<Vec<u8>> = (0..artifact.output_count()).filter_map(|i| all.output_bytes(i)).map(<[u8]>::to_vec).collect();
        let mut ram = AlignedBytes::zeroed(artifact.ram_bytes());
        let mut few = Engine::<OPS, _>::new(artifact, ram.as_mut(), Mapped::new(&artifact)).expect("it has all it needs");
        few.run_on(&[&input]).expect("it runs");
        let got: Vec<Vec<u8>> = (0..artifact.output_count()).filter_map(|i| few.output_bytes(i)).map(<[u8]>::to_vec).collect();
        assert_eq!(got, want);
        assert!(want.iter().flatten().any(|&byte| byte != 0));
    }
}
