//! Runs any artifact over the inputs that the host placed in memory and writes the raw outputs back.
//!
//! The host side is `on_target` in the crate `staticnet-tests`; both know the job and the report from `staticnet-protocol`.
//! Each engine step stands between two markers, which the host's instruction counter looks for.
#![no_std]
#![no_main]

use core::convert::Infallible;
use cortex_m_rt::entry;
use semihosting::fs::File;
use semihosting::io::{self, Write};
use staticnet::{ALL_OPS, Artifact, ArtifactError, Engine, Mapped, Ram, RunError};
use staticnet_board as board;
use staticnet_protocol::report::{OUTPUTS_FILE, REPORT_FILE, STEPS_FILE};
use staticnet_protocol::{Job, JobError, Report};

/// Memory for the networks to run: 3 of the 4 MiB that every board has.
const ARENA_BYTES: usize = 3 << 20;
static ARENA: Ram<ARENA_BYTES> = Ram::new();

/// Why a job did not run to its end.
#[derive(defmt::Format)]
enum RunnerError {
    /// There is no job in memory.
    Job(JobError),
    /// The artifact is refused.
    Artifact(ArtifactError),
    /// The artifact's weights are a file of their own: place the whole artifact in memory.
    SplitArtifact,
    /// The network needs more memory than this firmware has for it.
    ArenaTooSmall { needed: usize, arena: usize },
    /// The inputs have another length than the network's.
    InputLength { needed: usize, given: usize },
    /// The artifact has no first input or output.
    NoSuchTensor,
    /// A step failed.
    Run(RunError<Infallible>),
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
    let artifact = Artifact::new(job.artifact())?;
    if artifact.is_split() {
        return Err(RunnerError::SplitArtifact);
    }
    artifact.verify_weights(artifact.payload())?;
    let arena = ARENA.take().unwrap_or_default();
    let too_small = RunnerError::ArenaTooSmall { needed: artifact.ram_bytes(), arena: arena.len() };
    // Exactly what the artifact asks for, so that one byte more would be an error.
    let ram = arena.get_mut(..artifact.ram_bytes()).ok_or(too_small)?;
    let mut engine = Engine::<ALL_OPS, _>::new(artifact, ram, Mapped::new(&artifact))?;

    let mut outputs = File::create(OUTPUTS_FILE)?;
    let mut steps = File::create(STEPS_FILE)?;
    let mut report = Report { passes: 0, output_len: 0, ram_bytes: artifact.ram_bytes() as u32, stack_bytes: 0 };
    for input in job.inputs() {
        let place = engine.input_bytes_mut(0).ok_or(RunnerError::NoSuchTensor)?;
        if place.len() != input.len() {
            return Err(RunnerError::InputLength { needed: place.len(), given: input.len() });
        }
        place.copy_from_slice(input);
        engine.reset();
        while let Some(layer) = marked_step(&mut engine)? {
            if report.passes == 0 {
                steps.write_all(&(layer as u32).to_le_bytes())?;
            }
        }
        if report.passes == 0 {
            report.stack_bytes = board::stack_bytes();
        }
        let output = engine.output_bytes(0).ok_or(RunnerError::NoSuchTensor)?;
        outputs.write_all(output)?;
        report.output_len = output.len() as u32;
        report.passes += 1;
    }
    File::create(REPORT_FILE)?.write_all(&report.to_bytes())?;
    Ok(())
}

/// One step between its markers; the layer it belongs to, or `None` at the end of the pass.
fn marked_step(engine: &mut Engine<ALL_OPS, Mapped>) -> Result<Option<usize>, RunError<Infallible>> {
    board::mark_begin();
    let done = engine.step();
    board::mark_end();
    Ok(done?.map(|done| done.layer))
}
