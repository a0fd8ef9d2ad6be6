//! The firmware `stream`: one model compiled in, pictures row by row, weights in a storage, and so many bytes of RAM in all.

use super::firmware::{Firmware, Variant};
use super::qemu::{self, Qemu};
use super::{Board, OnTargetError, RunOptions, counter, job_bytes, read_marks, read_outputs};
use crate::stack::StackReport;
use staticnet_protocol::report::{PICTURES_FILE, WEIGHTS_FILE};
use std::ffi::CStr;
use std::fs;

/// How to build and run it.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamOptions {
    /// Bytes of RAM for statics and stack together; all that the board has where nobody says. A multiple of 8.
    pub ram: Option<u32>,
    /// Weights and pictures in files that the firmware reads, instead of in external memory.
    pub files: bool,
    /// How to run.
    pub run: RunOptions,
}

/// A completed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRun {
    /// The raw output bytes, one vector for each picture.
    pub outputs: Vec<Vec<u8>>,
    /// Bytes of the network's one buffer, which is among the statics.
    pub network_bytes: u32,
    /// Bytes of all statics.
    pub static_bytes: u64,
    /// Bytes that they leave to the stack.
    pub stack_space: u32,
    /// Bytes of stack used at most.
    pub stack_bytes: u32,
    /// The most stack that it can take, computed from its ELF file ([`crate::stack`]), without panics.
    pub stack_bound: Option<u32>,
    /// Bytes of code and constants, the head of the model among them.
    pub code_bytes: u64,
    /// Guest instructions of each picture, from its first row to its result, where counted.
    pub instructions: Option<Vec<u64>>,
    /// What the firmware printed.
    pub log: Vec<String>,
}

/// Classifies `pictures` on `board`: rows as the source that `head` names gives them.
///
/// # Errors
/// [`OnTargetError`]; among them the linker's words where the statics alone take more than the RAM, and
/// [`OnTargetError::Stack`] where the stack came to its end.
pub fn stream(
    board: &Board,
    (head, weights): (&[u8], &[u8]),
    pictures: &[Vec<u8>],
    options: &StreamOptions,
) -> Result<StreamRun, OnTargetError> {
    let qemu = Qemu::find()?;
    let plugin = if options.run.count { Some(counter::build_plugin()?) } else { None };
    let folder = tempfile::tempdir().map_err(|e| OnTargetError::file("the folder for temporary files", e))?;
    let write = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, bytes).map_err(|e| OnTargetError::file(&file, e))
    };
    let name = |name: &CStr| name.to_string_lossy().into_owned();

    write(MODEL_FILE, head)?;
    let mut variant = Variant::default();
    variant.variables.push(("STATICNET_MODEL", folder.path().join(MODEL_FILE).into()));
    if let Some(ram) = options.ram {
        variant.variables.push(("STATICNET_RAM", ram.to_string().into()));
    }
    if options.files {
        variant.features.push("files");
        write(&name(WEIGHTS_FILE), weights)?;
        write(&name(PICTURES_FILE), &pictures.concat())?;
    } else {
        write(qemu::JOB_FILE, &job_bytes(board, weights, pictures)?)?;
    }
    let firmware = Firmware::build_variant("stream", board, &variant)?;

    let log = qemu.run(&firmware, folder.path(), !options.files, plugin.as_deref(), options.run.timeout)?;
    let (report, outputs) = read_outputs(folder.path(), board, pictures.len())?;
    let marks = read_marks(folder.path(), &options.run)?;
    Ok(StreamRun {
        outputs,
        network_bytes: report.ram_bytes,
        static_bytes: firmware.static_bytes()?,
        stack_space: report.stack_space,
        stack_bytes: report.stack_bytes,
        stack_bound: StackReport::new(&firmware)?.stack_bytes,
        code_bytes: firmware.code_bytes()?,
        instructions: marks.map(|marks| counter::between_marks(&marks)).transpose()?,
        log,
    })
}

/// The most stack that the firmware can take with this model, computed from its ELF file, without panics; `None` where there is no
/// bound.
///
/// # Errors
/// [`OnTargetError`] where it cannot be built.
pub fn stack_bound(board: &Board, head: &[u8]) -> Result<Option<u32>, OnTargetError> {
    let folder = tempfile::tempdir().map_err(|e| OnTargetError::file("the folder for temporary files", e))?;
    let file = folder.path().join(MODEL_FILE);
    fs::write(&file, head).map_err(|e| OnTargetError::file(&file, e))?;
    let variant = Variant { variables: vec![("STATICNET_MODEL", file.into())], ..Variant::default() };
    Ok(StackReport::new(&Firmware::build_variant("stream", board, &variant)?)?.stack_bytes)
}

/// Name of the model's head in the folder.
const MODEL_FILE: &str = "model.snet";
