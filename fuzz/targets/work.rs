//! How much a plan computes, so that a fuzzer does not call a large one an endless one.

use staticnet::Artifact;
use staticnet::op::{Op, Window};

/// Operations of a plan, roughly and from above.
pub fn work(artifact: &Artifact) -> u64 {
    let inputs: u64 = (0..artifact.input_count()).map(|i| artifact.input_len_bytes(i) as u64).sum();
    let steps = (0..artifact.step_count()).filter_map(|i| of_step(artifact, i));
    steps.fold(inputs, u64::saturating_add)
}

/// Elements that the step writes, times what each reads.
fn of_step(artifact: &Artifact, i: usize) -> Option<u64> {
    let step = artifact.step(i)?;
    let layer = artifact.layer(step.layer as usize)?;
    let y = artifact.tensor(layer.output as usize)?;
    // An operator without an input reads its weights once.
    let x = artifact.tensor(layer.input as usize).unwrap_or(y);
    let taps = |window: &Window| window.kernel[0] as u64 * window.kernel[1] as u64;
    let reads = match layer.op {
        // A row of taps costs something even where all of it is padding.
        Op::Conv2d(conv) => taps(&conv.window) * (x.channels as u64 / conv.groups as u64 + 1) + 1,
        Op::Linear => x.elements(),
        Op::MaxPool(pool) => taps(&pool.window),
        Op::AveragePool(pool) => taps(&pool.window),
        Op::LpPool(pool) => taps(&pool.window),
        Op::Lrn(_) | Op::Softmax | Op::ArgMax { .. } => x.channels as u64,
        Op::Relu | Op::Unary(_) | Op::PRelu | Op::Binary(_) | Op::Constant | Op::Convert(_) => 1,
        Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) | Op::Resize => 1,
    };
    // Whole rows: some kernels walk over every channel, whichever are asked for.
    let elements = (step.r1 - step.r0) as u64 * y.width as u64 * y.channels as u64;
    Some(elements.saturating_mul(reads))
}
