//! What summing gradients over ranks costs: `mpirun -n 2 target/release/examples/sums [MIB] [ROUNDS]` (feature `mpi`).
//!
//! Sums MIB of gradients (as much as a network has parameters: 233 for AlexNet) in buckets of several sizes, first with nothing beside
//! it, then beside a backward pass: a thread that multiplies for as long as the sums alone took. Rank 0 prints milliseconds and GB/s a rank,
//! and of the second how long the pass had to wait in the end.

use staticnet_trainer::ranks::{DEFAULT_BUCKET, Ranks, RanksError, Reducer};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Gradients of a layer.
const LAYER: usize = 1 << 18;

/// Works for so long.
fn multiply(span: Duration) {
    let (start, mut x) = (Instant::now(), 1.0f32);
    while start.elapsed() < span {
        for _ in 0..1000 {
            x = black_box(x * 1.000_1);
        }
    }
}

fn main() -> Result<(), RanksError> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().unwrap_or(0));
    let (mib, rounds) = (arguments.next().unwrap_or(64).max(1), arguments.next().unwrap_or(10).max(1));
    let ranks = Ranks::join()?;
    let layers = (mib << 18) / LAYER;
    let gradient = vec![1.0f32; LAYER];
    if ranks.is_first() {
        println!("{} ranks, {} of them here, {mib} MiB", ranks.size(), ranks.local_size());
        println!("bucket KiB   sum ms    GB/s   beside a pass: ms   waited ms");
    }
    for bucket in [DEFAULT_BUCKET / 16, DEFAULT_BUCKET / 4, DEFAULT_BUCKET, DEFAULT_BUCKET * 4] {
        let parameters = (0..layers).map(|layer| (format!("layer {layer}"), LAYER)).collect();
        let mut reducer = Reducer::new(&ranks, parameters, bucket);
        let mut alone = Duration::ZERO;
        let (mut beside, mut waited) = (Duration::ZERO, Duration::ZERO);
        for round in 0..2 * rounds + 2 {
            // The first round of either kind is a warm-up.
            let (pass, counts) = (round > rounds, round % (rounds + 1) > 0);
            let start = Instant::now();
            for layer in 0..layers {
                if pass {
                    multiply(alone / (rounds * layers) as u32);
                }
                reducer.ready(layer, &gradient)?;
            }
            let traffic = reducer.finish(|_, _| Ok::<(), RanksError>(()))?;
            match (pass, counts) {
                (false, true) => alone += start.elapsed(),
                (true, true) => (beside, waited) = (beside + start.elapsed(), waited + traffic.waited),
                (_, false) => {}
            }
        }
        if ranks.is_first() {
            let [alone, beside, waited] = [alone, beside, waited].map(|span| span.as_secs_f64() / rounds as f64);
            let rate = mib as f64 * 1.048_576e-3 / alone;
            println!("{:10} {:8.1} {rate:7.2} {:19.1} {:11.1}", bucket >> 10, 1e3 * alone, 1e3 * beside, 1e3 * waited);
        }
    }
    Ok(())
}
