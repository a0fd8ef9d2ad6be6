//! Runs any artifact over the inputs that the host placed in memory and writes the raw outputs back.
//!
//! The host side is `on_target` in the crate `staticnet-tests`; both know the job and the report from `staticnet-protocol`.
//! Each engine step stands between two markers, which the host's instruction counter looks for. Inputs go in between the same
//! markers: with the first step, or row by row with the step that waited for them.
//!
//! Weights of a plan for storage are copied out of the job's memory and verified, chunk by chunk, as those of a flash chip;
//! others are read where they lie.
#![no_std]
#![no_main]

use core::convert::Infallible;
use cortex_m_rt::entry;
use semihosting::fs::File;
use semihosting::io::{self, Write};
use staticnet::heapless::Vec;
use staticnet::weights::{Storage, StorageError};
use staticnet::{ALL_OPS, Artifact, ArtifactError, Engine, Mapped, Ram, RunError, WeightSource};
use staticnet_board::{self as board, Flash, FlashError};
use staticnet_protocol::report::{OUTPUTS_FILE, REPORT_FILE, STEPS_FILE};
use staticnet_protocol::{Job, JobError, Report};

/// Memory for the networks to run: 3 of the 4 MiB that every board has.
const ARENA_BYTES: usize = 3 << 20;
static ARENA: Ram<ARENA_BYTES> = Ram::new();

/// Inputs that a network may have.
const MAX_INPUTS: usize = 8;

/// Why a job did not run to its end.
#[derive(defmt::Format)]
enum RunnerError {
    /// There is no job in memory.
    Job(JobError),
    /// The artifact is refused.
    Artifact(ArtifactError),
    /// The network needs more memory than this firmware has for it.
    ArenaTooSmall { needed: usize, arena: usize },
    /// The inputs have another length than the network's, all of them one behind the other.
    InputLength { needed: usize, given: usize },
    /// The network has more inputs than this firmware expects.
    TooManyInputs,
    /// The artifact has no such output.
    NoSuchTensor,
    /// A step failed.
    Run(RunError<Infallible>),
    /// A step failed, or its weights could not be read.
    RunFromStorage(RunError<StorageError<FlashError>>),
    /// A file could not be written.
    File,
}

impl From<JobError> for RunnerError {
    fn from(error: JobError) -> Self {
        RunnerError::Job(error)
    }
}

impl From<ArtifactError> for RunnerError {
    fn from(error: ArtifactError) -> Self {
        RunnerError::Artifact(error)
    }
}

impl From<RunError<Infallible>> for RunnerError {
    fn from(error: RunError<Infallible>) -> Self {
        RunnerError::Run(error)
    }
}

impl From<RunError<StorageError<FlashError>>> for RunnerError {
    fn from(error: RunError<StorageError<FlashError>>) -> Self {
        RunnerError::RunFromStorage(error)
    }
}

impl From<io::Error> for RunnerError {
    fn from(_: io::Error) -> Self {
        RunnerError::File
    }
}

#[entry]
fn main() -> ! {
    board::start();
    match run() {
        Ok(()) => board::exit(0),
        Err(error) => {
            defmt::error!("{}", error);
            board::exit(1)
        }
    }
}

fn run() -> Result<(), RunnerError> {
    let job = Job::find(board::job_memory())?;
    if verify(&job)? { from_storage(&job) } else { mapped(&job) }
}

// Functions of their own, so that what only one of them needs is not on the stack of the others.

/// Judges the job's artifact and its weights; whether its plan is for weights in storage.
#[inline(never)]
fn verify(job: &Job<'static>) -> Result<bool, RunnerError> {
    let artifact = Artifact::new(job.artifact())?;
    artifact.verify_weights(weights(job, &artifact))?;
    Ok(artifact.weights_in_storage())
}

#[inline(never)]
fn from_storage(job: &Job<'static>) -> Result<(), RunnerError> {
    let artifact = Artifact::new(job.artifact())?;
    let source = Storage::new(Flash::new(weights(job, &artifact)), 0);
    passes(job, Engine::new(artifact, memory(&artifact)?, source)?)
}

#[inline(never)]
fn mapped(job: &Job<'static>) -> Result<(), RunnerError> {
    let artifact = Artifact::new(job.artifact())?;
    passes(job, Engine::new(artifact, memory(&artifact)?, Mapped::at(weights(job, &artifact)))?)
}

/// The weights: behind the head here, even where they are a file of their own.
fn weights(job: &Job<'static>, artifact: &Artifact) -> &'static [u8] {
    let (_, behind) = job.artifact().split_at(artifact.head().len());
    behind.get(..artifact.payload_len()).unwrap_or(behind)
}

/// Memory for the network: exactly what the artifact asks for, so that one byte more would be an error.
fn memory(artifact: &Artifact) -> Result<&'static mut [u8], RunnerError> {
    let (arena, needed) = (ARENA.take().unwrap_or_default(), artifact.ram_bytes());
    let given = arena.len();
    arena.get_mut(..needed).ok_or(RunnerError::ArenaTooSmall { needed, arena: given })
}

/// A pass over each input of the job.
fn passes<S: WeightSource>(job: &Job, mut engine: Engine<ALL_OPS, S>) -> Result<(), RunnerError>
where
    RunnerError: From<RunError<S::Error>>,
{
    let mut outputs = File::create(OUTPUTS_FILE)?;
    let mut steps = File::create(STEPS_FILE)?;
    let ram_bytes = engine.artifact().ram_bytes() as u32;
    let mut report = Report { passes: 0, output_len: 0, ram_bytes, stack_bytes: 0, stack_space: board::stack_space() };
    for input in job.inputs() {
        let inputs = split(engine.artifact(), input)?;
        let mut written = Ok(());
        board::mark_begin();
        engine.run_on_watched(&inputs, |done| {
            board::mark_end();
            if report.passes == 0 && written.is_ok() {
                written = steps.write_all(&(done.layer as u32).to_le_bytes());
            }
            board::mark_begin();
        })?;
        // The last pair of markers: nothing but the way back.
        board::mark_end();
        written?;
        if report.passes == 0 {
            report.stack_bytes = board::stack_bytes();
        }
        report.output_len = 0;
        for i in 0..engine.artifact().output_count() {
            let output = engine.output_bytes(i).ok_or(RunnerError::NoSuchTensor)?;
            outputs.write_all(output)?;
            report.output_len += output.len() as u32;
        }
        report.passes += 1;
    }
    File::create(REPORT_FILE)?.write_all(&report.to_bytes())?;
    Ok(())
}

/// The network's inputs, which lie one behind the other.
fn split<'a>(artifact: &Artifact, mut bytes: &'a [u8]) -> Result<Vec<&'a [u8], MAX_INPUTS>, RunnerError> {
    let lengths = (0..artifact.input_count()).map(|i| artifact.input_len_bytes(i));
    let needed = lengths.clone().sum();
    if bytes.len() != needed {
        return Err(RunnerError::InputLength { needed, given: bytes.len() });
    }
    let mut inputs = Vec::new();
    for len in lengths {
        let (input, rest) = bytes.split_at(len);
        inputs.push(input).map_err(|_| RunnerError::TooManyInputs)?;
        bytes = rest;
    }
    Ok(inputs)
}
