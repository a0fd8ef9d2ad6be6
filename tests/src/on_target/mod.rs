//! The host side of running on a board: builds the firmware, places an artifact and its inputs in the memory of a simulated
//! board, runs it in QEMU and takes the raw outputs and the numbers of the run back.
//!
//! ```text
//! toolchain   how this machine compiles for a bare-metal target
//! firmware    builds a firmware for a board; what its ELF says
//! qemu        runs a firmware on a board, with a time limit
//! log         decodes what the firmware printed over defmt
//! counter     counts instructions between markers (QEMU plugin in tests/qemu-plugin)
//! report      a run in numbers
//! pictures    pictures as a camera gives them to a board
//! stream      the firmware that has one model compiled in and takes pictures row by row
//! ```
//!
//! What both sides agree on, the boards included, is the crate `staticnet-protocol` in `firmware-examples/protocol`.

pub mod counter;
mod error;
pub mod firmware;
mod log;
pub mod pictures;
pub mod qemu;
pub mod report;
pub mod stream;
pub mod toolchain;

pub use error::OnTargetError;
pub use staticnet_protocol::board::{BOARDS, Board};

use firmware::Firmware;
use qemu::Qemu;
use staticnet::Artifact;
use staticnet_exporter::host::AlignedBytes;
use staticnet_protocol::report::{OUTPUTS_FILE, REPORT_FILE, STEPS_FILE};
use staticnet_protocol::{Layout, Report};
use std::ffi::CStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Whether tests that need QEMU and a compiler for bare-metal targets are asked for (`STATICNET_ON_TARGET`, which
/// `scripts/test` sets); else prints that `what` is skipped.
pub fn enabled(what: &str) -> bool {
    let enabled = std::env::var_os("STATICNET_ON_TARGET").is_some();
    if !enabled {
        println!("skipped: {what} (set STATICNET_ON_TARGET=1 after scripts/setup-targets)");
    }
    enabled
}

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Whether to count instructions; needs a C compiler.
    pub count: bool,
    /// Time after which a run is given up.
    pub timeout: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions { count: false, timeout: Duration::from_secs(30 * 60) }
    }
}

/// A completed run on a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardRun {
    /// The raw bytes of each output, for each pass, as `Model::run_bytes` gives them on the host.
    pub outputs: Vec<Vec<Vec<u8>>>,
    /// Bytes of the network's one buffer.
    pub ram_bytes: u32,
    /// Bytes of stack used at most, from reset to the end of the first pass.
    pub stack_bytes: u32,
    /// Bytes of code and constants of the firmware, which holds every kernel but no model.
    pub code_bytes: u64,
    /// The steps of one pass, in order.
    pub steps: Vec<StepRun>,
    /// What the firmware printed.
    pub log: Vec<String>,
}

/// One step of the plan, run on a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRun {
    /// Layer of the artifact to which it belongs.
    pub layer: usize,
    /// Guest instructions it took in the first pass, what was done with the inputs before it included, where counted.
    pub instructions: Option<u64>,
}

impl BoardRun {
    /// Guest instructions of the steps of one pass, where counted.
    pub fn instructions(&self) -> Option<u64> {
        self.steps.iter().map(|step| step.instructions).sum()
    }

    /// Guest instructions of one layer in one pass, where counted.
    pub fn layer_instructions(&self, layer: usize) -> Option<u64> {
        self.steps.iter().filter(|step| step.layer == layer).map(|step| step.instructions).sum()
    }
}

/// Runs `artifact` on `board` with default options. Each of `inputs` is one of the network's, in order: its samples (raw bytes,
/// NHWC, as the engine takes them), of which every pass takes one.
///
/// # Errors
/// [`OnTargetError`], which says what is missing on this machine or what the firmware printed.
pub fn run_on_board(board: &Board, artifact: &[u8], inputs: &[&[Vec<u8>]]) -> Result<BoardRun, OnTargetError> {
    run_with(board, artifact, inputs, &RunOptions::default())
}

/// Like [`run_on_board`], with options.
///
/// # Errors
/// As [`run_on_board`].
pub fn run_with(
    board: &Board,
    artifact: &[u8],
    inputs: &[&[Vec<u8>]],
    options: &RunOptions,
) -> Result<BoardRun, OnTargetError> {
    let passes = of_passes(inputs)?;
    let qemu = Qemu::find()?;
    let firmware = Firmware::build("runner", board)?;
    let plugin = if options.count { Some(counter::build_plugin()?) } else { None };

    // QEMU runs in a folder of its own, so that no path of the host appears in its arguments.
    let folder = tempfile::tempdir().map_err(|e| OnTargetError::file("the folder for temporary files", e))?;
    let job = job_bytes(board, artifact, &passes)?;
    let job_file = folder.path().join(qemu::JOB_FILE);
    fs::write(&job_file, job).map_err(|e| OnTargetError::file(&job_file, e))?;

    let log = qemu.run(&firmware, folder.path(), true, plugin.as_deref(), options.timeout)?;
    let marks = read_marks(folder.path(), options)?;
    let lengths = output_lengths(artifact)?;
    collect(folder.path(), &firmware, (passes.len(), &lengths), marks.as_deref(), log)
}

/// The bytes of each pass: a sample of every input, one behind the other.
fn of_passes(inputs: &[&[Vec<u8>]]) -> Result<Vec<Vec<u8>>, OnTargetError> {
    let expected = inputs.first().ok_or(OnTargetError::NoInput)?.len();
    if let Some(other) = inputs.iter().find(|samples| samples.len() != expected) {
        return Err(OnTargetError::Samples { expected, found: other.len() });
    }
    Ok((0..expected).map(|pass| inputs.iter().flat_map(|samples| &samples[pass]).copied().collect()).collect())
}

/// Bytes of each output of an artifact that ran.
fn output_lengths(artifact: &[u8]) -> Result<Vec<usize>, OnTargetError> {
    let aligned = AlignedBytes::copy_of(artifact);
    let artifact = Artifact::new(aligned.as_ref()).map_err(|error| OnTargetError::Malformed(error.to_string()))?;
    let outputs = (0..artifact.output_count()).filter_map(|i| artifact.tensor(artifact.output_slot(i)?.tensor.into()));
    Ok(outputs.map(|tensor| (tensor.elements() * tensor.dtype.bytes()) as usize).collect())
}

/// The bytes of each output for each pass, from those of each pass.
fn of_outputs(passes: &[Vec<u8>], lengths: &[usize]) -> Result<Vec<Vec<Vec<u8>>>, OnTargetError> {
    let needed = lengths.iter().sum::<usize>();
    if let Some(pass) = passes.iter().find(|pass| pass.len() != needed) {
        let what = format!("{} output bytes in a pass, the network makes {needed}", pass.len());
        return Err(OnTargetError::Malformed(what));
    }
    let starts = lengths.iter().scan(0, |end, len| Some(std::mem::replace(end, *end + len)));
    let part = |(start, len): (usize, &usize)| passes.iter().map(|pass| pass[start..start + len].to_vec()).collect();
    Ok(starts.zip(lengths).map(part).collect())
}

/// The counter's marks, where it was asked to count.
fn read_marks(folder: &Path, options: &RunOptions) -> Result<Option<Vec<counter::Mark>>, OnTargetError> {
    options.count.then(|| counter::read_marks(&folder.join(counter::MARKS_FILE))).transpose()
}

/// The job as it lies in memory, `inputs` the bytes of each pass.
fn job_bytes(board: &Board, artifact: &[u8], inputs: &[Vec<u8>]) -> Result<Vec<u8>, OnTargetError> {
    let input_len = inputs.first().ok_or(OnTargetError::NoInput)?.len();
    if let Some(other) = inputs.iter().find(|input| input.len() != input_len) {
        return Err(OnTargetError::InputLength { expected: input_len, found: other.len() });
    }
    let too_large = || {
        let needed = artifact.len() + inputs.len() * input_len;
        OnTargetError::JobTooLarge { board: board.name, needed, space: board.job_space }
    };
    let number = |n: usize| u32::try_from(n).map_err(|_| too_large());
    let layout =
        Layout { artifact_len: number(artifact.len())?, input_len: number(input_len)?, input_count: number(inputs.len())? };
    let total = layout.total_len().filter(|&len| len <= board.job_space as usize).ok_or_else(too_large)?;

    let mut job = Vec::with_capacity(total);
    job.extend(layout.header());
    job.extend(artifact);
    for (index, input) in (0u32..).zip(inputs) {
        job.resize(layout.input_offset(index).ok_or_else(too_large)?, 0);
        job.extend(input);
    }
    job.resize(layout.input_offset(layout.input_count).ok_or_else(too_large)?, 0);
    job.extend(Layout::end_mark());
    Ok(job)
}

/// A file that the firmware wrote.
fn read_back(folder: &Path, name: &CStr) -> Result<Vec<u8>, OnTargetError> {
    let file = folder.join(name.to_string_lossy().as_ref());
    fs::read(&file).map_err(|e| OnTargetError::file(&file, e))
}

/// The report and the output bytes of each pass that a firmware wrote, held against each other.
fn read_outputs(folder: &Path, board: &Board, passes: usize) -> Result<(Report, Vec<Vec<u8>>), OnTargetError> {
    let report = Report::from_bytes(&read_back(folder, REPORT_FILE)?);
    let report = report.ok_or_else(|| OnTargetError::Malformed("the report has another length".to_string()))?;
    let outputs = read_back(folder, OUTPUTS_FILE)?;
    let output_len = report.output_len as usize;
    if report.passes as usize != passes || output_len == 0 || outputs.len() != passes * output_len {
        let what = format!("{} passes and {} output bytes, {passes} passes were asked for", report.passes, outputs.len());
        return Err(OnTargetError::Malformed(what));
    }
    // With its lowest word gone nobody knows what else was written over.
    if report.stack_bytes >= report.stack_space {
        return Err(OnTargetError::Stack { board: board.name, space: report.stack_space });
    }
    Ok((report, outputs.chunks_exact(output_len).map(<[u8]>::to_vec).collect()))
}

/// Reads back what the runner wrote and holds it against itself; `passes` is their number, `lengths` the bytes of each output.
fn collect(
    folder: &Path,
    firmware: &Firmware,
    (passes, lengths): (usize, &[usize]),
    marks: Option<&[counter::Mark]>,
    log: Vec<String>,
) -> Result<BoardRun, OnTargetError> {
    let malformed = |what: &str| OnTargetError::Malformed(what.to_string());
    let (report, outputs) = read_outputs(folder, firmware.board(), passes)?;
    let layers = read_back(folder, STEPS_FILE)?;
    let (layers, []) = layers.as_chunks::<4>() else {
        return Err(malformed("the list of steps has another length"));
    };
    let instructions: Vec<Option<u64>> = match marks {
        Some(marks) => counter::between_marks(marks)?.into_iter().map(Some).take(layers.len()).collect(),
        None => vec![None; layers.len()],
    };
    if instructions.len() != layers.len() {
        return Err(malformed(&format!("{} steps, but {} pairs of markers", layers.len(), instructions.len())));
    }
    let steps = layers.iter().zip(instructions);
    Ok(BoardRun {
        outputs: of_outputs(&outputs, lengths)?,
        ram_bytes: report.ram_bytes,
        stack_bytes: report.stack_bytes,
        code_bytes: firmware.code_bytes()?,
        steps: steps.map(|(l, instructions)| StepRun { layer: u32::from_le_bytes(*l) as usize, instructions }).collect(),
        log,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use staticnet_protocol::Job;

    #[test]
    fn the_job_holds_what_the_board_looks_for() {
        let inputs = vec![vec![1u8; 33], vec![2u8; 33], vec![3u8; 33]];
        let bytes = job_bytes(&BOARDS[0], &[9; 1001], &inputs).unwrap();
        let job = Job::find(&bytes).unwrap();
        assert_eq!(job.artifact(), [9; 1001]);
        assert!(job.inputs().eq(inputs.iter().map(|input| &input[..])));
    }

    #[test]
    fn a_pass_takes_a_sample_of_every_input_and_makes_all_outputs() {
        let (first, second) = ([vec![1u8, 2], vec![3, 4]], [vec![5u8], vec![6]]);
        let passes = of_passes(&[&first, &second]).unwrap();
        assert_eq!(passes, [[1, 2, 5], [3, 4, 6]]);
        assert_eq!(of_outputs(&passes, &[2, 1]).unwrap(), [first.to_vec(), second.to_vec()]);
        assert!(matches!(of_outputs(&passes, &[2, 2]), Err(OnTargetError::Malformed(_))));
        assert!(matches!(of_passes(&[]), Err(OnTargetError::NoInput)));
        let uneven = of_passes(&[&first, &second[..1]]);
        assert!(matches!(uneven, Err(OnTargetError::Samples { expected: 2, found: 1 })));
    }

    #[test]
    fn jobs_that_cannot_run_are_refused() {
        let board = &BOARDS[0];
        assert!(matches!(job_bytes(board, &[0; 16], &[]), Err(OnTargetError::NoInput)));
        let uneven = [vec![0u8; 4], vec![0u8; 5]];
        assert!(matches!(job_bytes(board, &[0; 16], &uneven), Err(OnTargetError::InputLength { expected: 4, found: 5 })));
        let large = vec![0u8; board.job_space as usize];
        assert!(matches!(job_bytes(board, &large, &[vec![0u8; 4]]), Err(OnTargetError::JobTooLarge { .. })));
    }
}
