//! Any bytes as an artifact: refused, or run to its end in exactly the RAM that it asks for.
//!
//! Checksums are made right first, or nothing would get past them. With `STATICNET_FUZZ_SEEDS=DIR` set, artifacts with every
//! operator are written there before the fuzzing begins: committed ones would grow stale with the format.
#![no_main]

mod work;

use libfuzzer_sys::fuzz_target;
use staticnet::{ALL_OPS, Artifact, Engine, Mapped};
use staticnet_testing::{every_op, surgery};
use std::path::Path;

/// Plans with more RAM than this are not run.
const MOST_RAM: usize = 16 << 20;
/// Plans with more operations than this are not run, so that one input takes milliseconds.
const MOST_WORK: u64 = 2_000_000;
/// The header, which tells how many sections there are.
const HEADER_LEN: usize = 64;
const GUARD: usize = 64;

fuzz_target!(init: write_seeds(), |data: &[u8]| judge(data));

fn write_seeds() {
    let Some(folder) = std::env::var_os("STATICNET_FUZZ_SEEDS") else { return };
    for (i, artifact) in every_op::artifacts().iter().enumerate() {
        let file = Path::new(&folder).join(format!("every-op-{i}.snet"));
        std::fs::write(&file, artifact).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// Zeros that begin at a multiple of 16, as artifacts and RAM must.
struct Aligned {
    words: Vec<u128>,
    len: usize,
}

impl Aligned {
    fn zeroed(len: usize) -> Self {
        Aligned { words: vec![0; len.div_ceil(16)], len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }
}

fn judge(data: &[u8]) {
    let mut file = Aligned::zeroed(data.len());
    file.bytes().copy_from_slice(data);
    if data.len() >= HEADER_LEN {
        surgery::repair(file.bytes());
    }
    let bytes: &[u8] = file.bytes();
    let Ok(artifact) = Artifact::new(bytes) else { return };
    look(&artifact);
    let weights = &bytes[artifact.head().len()..];
    let needed = artifact.ram_bytes();
    // A streamed input may be much larger than the ring that holds some of its rows.
    let longest = (0..artifact.input_count()).map(|i| artifact.input_len_bytes(i)).max().unwrap_or(0);
    if needed.max(longest) > MOST_RAM || weights.len() < artifact.payload_len() || work::work(&artifact) > MOST_WORK {
        return;
    }
    let mut memory = Aligned::zeroed(needed + 2 * GUARD);
    let (before, rest) = memory.bytes().split_at_mut(GUARD);
    let (ram, behind) = rest.split_at_mut(needed);
    run(artifact, weights, ram);
    assert!(before.iter().chain(&*behind).all(|&byte| byte == 0), "the engine left its RAM");
}

/// Accessors of an accepted artifact do not panic; their results are of no interest here.
fn look(artifact: &Artifact) {
    (0..artifact.label_count().min(50)).for_each(|i| _ = artifact.label(i));
    (0..artifact.layer_count().min(50)).for_each(|i| _ = artifact.layer_name(i));
    (0..artifact.chunk_count().min(50)).for_each(|i| _ = artifact.chunk(i as u32));
    _ = (artifact.preprocess(), artifact.source(), artifact.is_streamed(), artifact.stack_bytes());
    _ = artifact.verify_weights(artifact.payload());
}

fn run(artifact: Artifact, weights: &[u8], ram: &mut [u8]) {
    let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram, Mapped::at(weights)).expect("the RAM is what it asks for");
    let bytes = |i: usize| (0..artifact.input_len_bytes(i)).map(|j| (j * 89 % 251) as u8).collect();
    let inputs: Vec<Vec<u8>> = (0..artifact.input_count()).map(bytes).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    engine.run_on(&inputs).expect("an accepted artifact runs");
    engine.top_k::<3>();
    (0..artifact.output_count()).for_each(|i| assert!(engine.output_bytes(i).is_some()));
    if let Some(source) = artifact.source().filter(|s| s.row_bytes() * s.height as usize <= MOST_RAM) {
        let row: Vec<u8> = (0..source.row_bytes()).map(|j| (j * 31 % 253) as u8).collect();
        engine.begin();
        (0..source.height).for_each(|_| engine.push_row(&row).expect("a row of the source"));
        engine.finish().expect("all rows are there");
    }
}
