//! Runs a convolutional network in static buffers: no `std`, no allocation, the same bytes on every target.
//!
//! ```
//! use core::convert::Infallible;
//! use staticnet::{Engine, Mapped, Picture, Ram, RunError};
//!
//! staticnet::include_model!(static MODEL, "../../firmware-examples/models/shapes.snet"); // judged at build time
//! static RAM: Ram<{ MODEL.ram_bytes() }> = Ram::new(); // all it needs, beside the stack
//!
//! fn best(pixels: &[u8]) -> Result<Option<&'static str>, RunError<Infallible>> {
//!     let Some(ram) = RAM.take() else { return Ok(None) }; // handed out once
//!     let mut engine = Engine::<{ MODEL.ops() }, _>::new(MODEL, ram, Mapped::new(&MODEL))?;
//!     engine.set_picture(Picture { pixels, width: 32, height: 32, channels: 3 })?;
//!     engine.run()?;
//!     let best = engine.top_k::<1>();
//!     Ok(best.first().and_then(|score| MODEL.label(score.class as usize)))
//! }
//!
//! assert_eq!(best(include_bytes!("../../firmware-examples/pictures/star.rgb"))?, Some("star"));
//! # Ok::<(), RunError<Infallible>>(())
//! ```
//!
//! A model compiled for a picture that comes row by row (`exporter compile --source`) never holds the picture; one for weights in
//! a storage (`--weights-in storage`) holds a chunk of them at a time, and takes them from whatever [`WeightSource`] it is given:
//!
//! ```
//! use staticnet::{ALL_OPS, Engine, RunError, Score, WeightSource, heapless};
//!
//! fn look<'p, S: WeightSource>(
//!     engine: &mut Engine<'_, ALL_OPS, S>,
//!     rows: impl Iterator<Item = &'p [u8]>,
//! ) -> Result<heapless::Vec<Score, 5>, RunError<S::Error>> {
//!     engine.begin();
//!     for row in rows {
//!         engine.push_row(row)?; // runs every step that has its rows now
//!     }
//!     engine.finish()?;
//!     Ok(engine.top_k::<5>())
//! }
//! ```
//!
//! Where things are:
//!
//! | module | what |
//! | --- | --- |
//! | [`artifact`] | reading a model: [`Artifact::new`], a `const fn` over its head |
//! | [`record`] | the fixed-size records of the head (`validate` judges them) |
//! | [`op`] | operators, their attributes and the facts of each, shared with the host tools |
//! | [`step`] | what a step needs: rows of its inputs, scratch, weights |
//! | [`engine`] | running it: steps, one loop, one match; inputs whole or row by row |
//! | [`kernels`] | one file an operator, over the primitives of `kernels::arch` |
//! | [`quant`] | `requantize`, the only rounding of results |
//! | [`preprocess`] | pixels to input: pictures in memory, or rows as they come |
//! | [`weights`] | where weights come from: mapped memory, or a storage that is read, maybe ahead |
//! | [`view`] | rows and channels of activations as they lie in RAM |
//!
//! An accepted artifact cannot make the engine panic, leave its buffers or loop without end, whatever its bytes.
#![no_std]
#![deny(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

#[cfg(test)]
extern crate std;

pub mod artifact;
mod bytes;
mod checksum;
mod dtype;
pub mod engine;
pub mod error;
pub mod kernels;
mod math;
pub mod op;
pub mod preprocess;
pub mod quant;
pub mod ram;
pub mod record;
pub mod step;
pub mod top_k;
mod validate;
pub mod view;
pub mod weights;

pub use artifact::Artifact;
pub use checksum::checksum;
pub use engine::{Engine, StepDone};
pub use error::{ArtifactError, ArtifactErrorKind, RunError};
/// The containers that results come in.
pub use heapless;
pub use op::ALL_OPS;
pub use preprocess::{Picture, PixelFormat, Preprocess, Source};
pub use ram::{Aligned, Ram};
pub use top_k::Score;
#[cfg(feature = "embedded-storage")]
pub use weights::Storage;
pub use weights::{Mapped, ReadAhead, Transfer, WeightSource};

/// `include_model!(static MODEL, "model.snet")` (or `pub static ..`) declares `static MODEL: Artifact<'static>` from a file
/// beside the source, aligned, and judged while compiling: a damaged or unsafe artifact is a build error. Use it in binary crates
/// only; the path is as for `include_bytes!`.
#[macro_export]
macro_rules! include_model {
    ($visibility:vis static $name:ident, $path:expr) => {
        // A head of more than some 4,000 steps takes the compiler seconds, which the lint takes for a loop without end.
        #[allow(long_running_const_eval)]
        $visibility static $name: $crate::Artifact<'static> = {
            static BYTES: $crate::Aligned<[u8; include_bytes!($path).len()]> = $crate::Aligned(*include_bytes!($path));
            match $crate::Artifact::new(&BYTES.0) {
                Ok(artifact) => artifact,
                Err(error) => panic!("{}", error.kind.message()),
            }
        };
    };
}
