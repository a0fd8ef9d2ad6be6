//! The section table, and the sections that are no tables of records.

use super::{ALIGN, FLAG_REQUIRED, HEADER_LEN, PREPROCESS_LEN, SECTION_LEN, SOURCE_LEN};
use crate::bytes::{f32_at, u16_at, u32_at, u64_at};
use crate::checksum::const_checksum;
use crate::error::{ArtifactError, ArtifactErrorKind as Kind};
use crate::preprocess::{Fit, PixelFormat, Preprocess, Source};
use crate::record::NONE16;

/// Kinds of sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum SectionId {
    /// [`TensorInfo`](crate::record::TensorInfo) records.
    Tensors = 1,
    /// [`Layer`](crate::record::Layer) records.
    Layers = 2,
    /// [`Slot`](crate::record::Slot) records.
    Slots = 3,
    /// [`Step`](crate::record::Step) records.
    Steps = 4,
    /// [`Chunk`](crate::record::Chunk) records.
    Chunks = 5,
    /// Number of inputs and outputs, then their slots, 16 bits each.
    Io = 6,
    /// [`Preprocess`] of the first input. Optional.
    Preprocess = 7,
    /// Class labels: for each a 16-bit length and UTF-8. Optional.
    Labels = 8,
    /// Layer names, likewise. Optional.
    Names = 9,
    /// Reserved for a signature over the head. Not checked by this version.
    Signature = 10,
    /// What [`Engine::push_row`](crate::Engine::push_row) takes, and its memory: a [`Source`]. Optional, only with
    /// [`Preprocess`].
    Source = 11,
}

/// Number of section kinds, counting the unused 0.
const SECTIONS: usize = SectionId::Source as usize + 1;

/// Offset and length of each known section.
pub(super) type Found = [Option<(usize, usize)>; SECTIONS];

/// Where the records of a section are in the head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub at: usize,
    pub count: usize,
}

/// Offset and length of each known section; all bounds and checksums hold.
pub(super) const fn find_sections(head: &[u8], count: usize) -> Result<Found, ArtifactError> {
    let mut found = [None; SECTIONS];
    let body = HEADER_LEN + count * SECTION_LEN;
    let mut i = 0;
    while i < count {
        let entry = HEADER_LEN + i * SECTION_LEN;
        i += 1;
        let id = u16_at(head, entry);
        let (flags, at, len) = (u32_at(head, entry + 4), u32_at(head, entry + 8) as usize, u32_at(head, entry + 12) as usize);
        if at % ALIGN != 0 || at < body || at > head.len() || len > head.len() - at {
            fail!(Section, entry);
        }
        let (_, tail) = head.split_at(at);
        if const_checksum(tail.split_at(len).0) != u64_at(head, entry + 16) {
            fail!(Checksum, entry);
        }
        // A signature is not verified yet: one that must be verified is refused like any unknown section.
        let kind = id != 0 && (id as usize) < SECTIONS && id != SectionId::Signature as u16;
        let known = kind && u16_at(head, entry + 2) == 1;
        if !known {
            if flags & FLAG_REQUIRED != 0 {
                fail!(UnknownSection, entry);
            }
            continue;
        }
        if found[id as usize].is_some() {
            fail!(Section, entry);
        }
        found[id as usize] = Some((at, len));
    }
    Ok(found)
}

/// A section of whole records.
pub(super) const fn records(found: &Found, id: SectionId, size: usize) -> Result<Table, ArtifactError> {
    match found[id as usize] {
        None => fail!(MissingSection, id as usize),
        // Indices are 16 bits wide, with one value for "none".
        Some((at, len)) if len % size != 0 || len / size >= NONE16 as usize => fail!(Section, at),
        Some((at, len)) => Ok(Table { at, count: len / size }),
    }
}

/// Number of strings of an optional section of them.
pub(super) const fn strings(head: &[u8], found: &Found, id: SectionId) -> Result<Table, ArtifactError> {
    let Some((at, len)) = found[id as usize] else { return Ok(Table { at: 0, count: 0 }) };
    match texts(head, at, len) {
        Some(count) => Ok(Table { at, count }),
        None => fail!(Text, at),
    }
}

/// The preprocessing, where there is one.
pub(super) const fn preprocess(head: &[u8], found: &Found) -> Result<Option<Preprocess>, ArtifactError> {
    let Some((at, len)) = found[SectionId::Preprocess as usize] else { return Ok(None) };
    if len < PREPROCESS_LEN {
        fail!(Section, at);
    }
    let fit = match head[at + 5] {
        0 => Fit::Stretch,
        1 => Fit::Cover { shorter: u16_at(head, at + 6) },
        _ => fail!(Attribute, at + 5),
    };
    let channels = head[at + 4];
    if channels != 1 && channels != 3 {
        fail!(Attribute, at + 4);
    }
    Ok(Some(Preprocess {
        width: u16_at(head, at),
        height: u16_at(head, at + 2),
        channels,
        fit,
        mean: [f32_at(head, at + 8), f32_at(head, at + 12), f32_at(head, at + 16)],
        std: [f32_at(head, at + 20), f32_at(head, at + 24), f32_at(head, at + 28)],
    }))
}

/// The source of rows and the first byte of its row memory, where there is one.
pub(super) const fn source(head: &[u8], found: &Found) -> Result<Option<(Source, u32)>, ArtifactError> {
    let Some((at, len)) = found[SectionId::Source as usize] else { return Ok(None) };
    if len < SOURCE_LEN {
        fail!(Section, at);
    }
    if found[SectionId::Preprocess as usize].is_none() {
        fail!(MissingSection, SectionId::Preprocess as usize);
    }
    let Some(format) = PixelFormat::from_code(head[at + 4]) else { fail!(Attribute, at + 4) };
    let source = Source { width: u16_at(head, at), height: u16_at(head, at + 2), format };
    if source.width == 0 || source.height == 0 {
        fail!(Shape, at);
    }
    Ok(Some((source, u32_at(head, at + 8))))
}

/// Number of strings in a section of length-prefixed UTF-8 strings, counted at its beginning; `None` where malformed.
const fn texts(head: &[u8], at: usize, len: usize) -> Option<usize> {
    if len < 2 {
        return None;
    }
    let (count, end) = (u16_at(head, at) as usize, at + len);
    let (mut position, mut i) = (at + 2, 0);
    while i < count {
        if end - position < 2 {
            return None;
        }
        let text = u16_at(head, position) as usize;
        position += 2;
        if end - position < text {
            return None;
        }
        let (_, tail) = head.split_at(position);
        if core::str::from_utf8(tail.split_at(text).0).is_err() {
            return None;
        }
        position += text;
        i += 1;
    }
    Some(count)
}
