//! Everything that can go wrong, as small `Copy` values.

use core::fmt;

/// What is wrong with an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ArtifactErrorKind {
    /// Shorter than its header says.
    Truncated,
    /// The first four bytes are not `SNET`.
    Magic,
    /// Written for another format version.
    Version,
    /// A checksum differs: the bytes were damaged.
    Checksum,
    /// A required section of an unknown kind; its id is at the offset.
    UnknownSection,
    /// A section that every artifact needs is missing.
    MissingSection,
    /// A section has an odd length, overlaps the header or is not aligned to 16 bytes.
    Section,
    /// An index points outside its table.
    Index,
    /// A shape is empty, too large, or does not follow from the layer's attributes.
    Shape,
    /// Tensors of a layer have types that do not go together.
    Type,
    /// An attribute is out of range.
    Attribute,
    /// A buffer leaves the RAM that the artifact declares.
    Ram,
    /// A step's buffers overlap.
    Overlap,
    /// A step asks for rows or channels that are not there.
    Range,
    /// A chunk of weights leaves the payload or has the wrong length for its step.
    Chunk,
    /// A label or name is not UTF-8, or their number does not fit.
    Text,
    /// The operator mask does not name the operators used.
    Ops,
}

/// An artifact that cannot be accepted: what, and at which byte of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ArtifactError {
    /// What is wrong.
    pub kind: ArtifactErrorKind,
    /// Where in the head, in bytes.
    pub offset: u32,
}

impl ArtifactErrorKind {
    /// The error in words, for a `const` panic or a log.
    pub const fn message(self) -> &'static str {
        match self {
            ArtifactErrorKind::Truncated => "the model artifact is truncated",
            ArtifactErrorKind::Magic => "not a model artifact (it does not begin with SNET)",
            ArtifactErrorKind::Version => "the model artifact has another format version: compile the model again",
            ArtifactErrorKind::Checksum => "the model artifact is damaged (checksum)",
            ArtifactErrorKind::UnknownSection => "the model artifact needs a newer runtime (unknown required section)",
            ArtifactErrorKind::MissingSection => "the model artifact lacks a section",
            ArtifactErrorKind::Section => "the model artifact has a malformed section",
            ArtifactErrorKind::Index => "the model artifact has an index outside its table",
            ArtifactErrorKind::Shape => "the model artifact has an impossible shape",
            ArtifactErrorKind::Type => "the model artifact mixes element types",
            ArtifactErrorKind::Attribute => "the model artifact has an attribute out of range",
            ArtifactErrorKind::Ram => "the model artifact has a buffer outside its RAM",
            ArtifactErrorKind::Overlap => "the model artifact has overlapping buffers in a step",
            ArtifactErrorKind::Range => "the model artifact has a step out of range",
            ArtifactErrorKind::Chunk => "the model artifact has a bad chunk of weights",
            ArtifactErrorKind::Text => "the model artifact has a malformed label or name",
            ArtifactErrorKind::Ops => "the model artifact's operator mask is wrong",
        }
    }
}

impl fmt::Display for ArtifactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.kind.message(), self.offset)
    }
}

impl core::error::Error for ArtifactError {}

/// Why a run cannot start or go on. `E` is the error of the [`WeightSource`](crate::weights::WeightSource).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RunError<E> {
    /// The RAM handed over is smaller than the plan needs.
    Ram {
        /// Bytes needed.
        needed: u32,
        /// Bytes given.
        given: u32,
    },
    /// The RAM or the weights do not begin at a multiple of 16 (RAM) or 4 (weights) bytes.
    Misaligned,
    /// The engine was built without this operator: its `OPS` does not cover the artifact's.
    MissingOp {
        /// Position of the first bit that is missing (see [`Op::bits`](crate::op::Op::bits)). Not the mask: every error would be as
        /// large as that, on every stack.
        bit: u32,
    },
    /// The artifact's plan is for weights that are mapped into memory, and the source copies them.
    WeightsNotMapped,
    /// An input has another number of elements (of bytes, where bytes are given) than the network's.
    InputLength {
        /// Elements needed.
        needed: u32,
        /// Elements given.
        given: u32,
    },
    /// A row has another number of bytes.
    RowLength {
        /// Bytes needed.
        needed: u32,
        /// Bytes given.
        given: u32,
    },
    /// The next step, or the end of the pass, waits for rows of input 0. The pass goes on when they are pushed.
    RowsMissing {
        /// Rows needed.
        needed: u32,
        /// Rows given so far.
        given: u32,
    },
    /// A row was pushed behind the last.
    TooManyRows {
        /// Rows of the picture or of the input.
        rows: u32,
    },
    /// A row was pushed outside a pass: before `begin`, or after an error, which ends a pass.
    NotBegun,
    /// There is no such input or output, or another number of them was given.
    NoSuchTensor,
    /// The artifact carries no preprocessing, or one for another input shape.
    NoPreprocess,
    /// The artifact does not say what rows a picture comes in.
    NoSource,
    /// A picture cannot be preprocessed.
    Picture(crate::preprocess::PictureError),
    /// The storage failed.
    Weights(E),
    /// A chunk of weights is short or its checksum differs.
    Chunk {
        /// Which chunk.
        chunk: u32,
    },
    /// A step's views could not be made; an accepted artifact does not get here.
    Step {
        /// Which step.
        step: u32,
    },
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Ram { needed, given } => write!(f, "the plan needs {needed} bytes of RAM, given {given}"),
            RunError::Misaligned => f.write_str("RAM must begin at a multiple of 16 bytes and weights at one of 4"),
            RunError::MissingOp { bit } => {
                write!(f, "the engine was built without an operator of this artifact (bit {bit} of its mask)")
            }
            RunError::WeightsNotMapped => f.write_str("the model was compiled for mapped weights, the source copies them"),
            RunError::RowLength { needed, given } => write!(f, "a row has {needed} bytes, given {given}"),
            RunError::RowsMissing { needed, given } => write!(f, "{needed} rows of the input are needed, given {given}"),
            RunError::TooManyRows { rows } => write!(f, "there are {rows} rows, given one more"),
            RunError::NotBegun => f.write_str("a row was given outside a pass"),
            RunError::NoSource => f.write_str("the artifact does not say what rows a picture comes in"),
            RunError::InputLength { needed, given } => write!(f, "the input has {needed} elements, given {given}"),
            RunError::NoSuchTensor => f.write_str("there is no such input or output"),
            RunError::NoPreprocess => f.write_str("the artifact has no preprocessing for pictures; give it numbers"),
            RunError::Picture(error) => write!(f, "the picture cannot be used: {error:?}"),
            RunError::Weights(error) => write!(f, "the weights cannot be read: {error}"),
            RunError::Chunk { chunk } => write!(f, "chunk {chunk} of the weights is damaged"),
            RunError::Step { step } => write!(f, "step {step} cannot be run"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for RunError<E> {}
