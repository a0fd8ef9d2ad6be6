//! Classifies pictures that come row by row, with the weights in a storage that is read chunk by chunk.
//!
//! Nothing is held whole: of a picture there is one row, of the weights what the plan has places for, of the activations what
//! later steps still read. All that the program has in RAM is [`RAM`], [`ROW`], a few bytes of the logger, and the stack; how
//! many bytes that may be is fixed when linking (`STATICNET_RAM`, see `build.rs`).
//!
//! Weights and pictures lie in external memory (`memory.rs`) or, with the feature `files`, in files of the host (`files.rs`). The
//! five best labels of each picture are printed over defmt, the raw outputs go into a file.
#![no_std]
#![no_main]

#[cfg(feature = "files")]
mod files;
#[cfg(not(feature = "files"))]
mod memory;

#[cfg(feature = "files")]
use files::{Camera, CameraError, Flash, FlashError};
#[cfg(not(feature = "files"))]
use memory::{Camera, CameraError, Flash, FlashError};

use cortex_m_rt::entry;
use embedded_storage::ReadStorage;
use semihosting::fs::File;
use semihosting::io::{self, Write};
use staticnet::preprocess::Source;
use staticnet::weights::{Storage, StorageError};
use staticnet::{Engine, Ram, RunError};
use staticnet_board as board;
use staticnet_protocol::Report;
use staticnet_protocol::report::{OUTPUTS_FILE, REPORT_FILE};

staticnet::include_model!(static MODEL, concat!(env!("OUT_DIR"), "/model.snet"));

/// Size and format of the pictures.
const SOURCE: Source = match MODEL.source() {
    Some(source) => source,
    None => panic!("the model takes no pictures: compile it from a model with preprocessing"),
};
const _: () = assert!(MODEL.is_split(), "the model has its weights with it: compile it with --split");
const _: () = assert!(MODEL.weights_in_storage(), "the model wants mapped weights: compile it with --weights-in storage");

/// The network's memory: activations, scratch, the weights of the time being.
static RAM: Ram<{ MODEL.ram_bytes() }> = Ram::new();
/// The row of a picture that is on its way.
static ROW: Ram<{ SOURCE.row_bytes() }> = Ram::new();

type Network = Engine<'static, { MODEL.ops() }, Storage<Flash>>;

/// Why pictures were not classified.
#[derive(defmt::Format)]
enum StreamError {
    /// There are no weights or no pictures.
    Camera(CameraError),
    /// The weights have another length than the model's.
    WeightsLength { needed: usize, given: usize },
    /// The memory is in use: `main` does not run twice.
    Taken,
    /// A step failed.
    Run(RunError<StorageError<FlashError>>),
    /// The model has no output.
    NoOutput,
    /// A file could not be written.
    File,
}

impl From<CameraError> for StreamError {
    fn from(error: CameraError) -> Self {
        StreamError::Camera(error)
    }
}

impl From<RunError<StorageError<FlashError>>> for StreamError {
    fn from(error: RunError<StorageError<FlashError>>) -> Self {
        StreamError::Run(error)
    }
}

impl From<io::Error> for StreamError {
    fn from(_: io::Error) -> Self {
        StreamError::File
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

fn run() -> Result<(), StreamError> {
    let (flash, mut camera) = Camera::open(SOURCE.row_bytes(), SOURCE.height as usize)?;
    if flash.capacity() != MODEL.payload_len() {
        return Err(StreamError::WeightsLength { needed: MODEL.payload_len(), given: flash.capacity() });
    }
    let (Some(ram), Some(row)) = (RAM.take(), ROW.take()) else { return Err(StreamError::Taken) };
    let mut engine = Network::new(MODEL, ram, Storage::new(flash, 0))?;

    let mut outputs = File::create(OUTPUTS_FILE)?;
    let mut report = Report { passes: 0, output_len: 0, ram_bytes: MODEL.ram_bytes() as u32, stack_bytes: 0, stack_space: 0 };
    while camera.next_picture() {
        board::mark_begin();
        let done = look(&mut engine, &mut camera, row);
        board::mark_end();
        done?;
        let output = engine.output_bytes(0).ok_or(StreamError::NoOutput)?;
        outputs.write_all(output)?;
        report.output_len = output.len() as u32;
        print_best(&engine, report.passes);
        report.passes += 1;
    }
    (report.stack_bytes, report.stack_space) = (board::stack_bytes(), board::stack_space());
    let free = report.stack_space - report.stack_bytes;
    defmt::info!("network {=u32} B, stack {=u32} B, {=u32} B untouched", report.ram_bytes, report.stack_bytes, free);
    File::create(REPORT_FILE)?.write_all(&report.to_bytes())?;
    Ok(())
}

/// One picture, row by row.
fn look(engine: &mut Network, camera: &mut Camera, row: &mut [u8]) -> Result<(), StreamError> {
    engine.begin();
    for _ in 0..SOURCE.height {
        camera.read_row(row)?;
        engine.push_row(row)?;
    }
    Ok(engine.finish()?)
}

/// The five best classes.
fn print_best(engine: &Network, picture: u32) {
    defmt::info!("picture {=u32}", picture);
    for score in engine.top_k::<5>() {
        match MODEL.label(score.class as usize) {
            Some(label) => defmt::info!("  {=str} {=f32}", label, score.value),
            None => defmt::info!("  class {=u16} {=f32}", score.class, score.value),
        }
    }
}
