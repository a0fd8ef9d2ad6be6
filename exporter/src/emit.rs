//! The artifact's bytes. The records write themselves ([`staticnet::record`]); this puts them together.

use crate::aligned::AlignedBytes;
use crate::payload::{Part, Payload};
use crate::plan::{ChunkPart, Plan};
use crate::quantized::{QuantLayer, Quantized};
use staticnet::artifact::{
    ALIGN, FLAG_REQUIRED, FLAG_SPLIT, FLAG_STORAGE, FORMAT_VERSION, HEADER_LEN, MAGIC, PREPROCESS_LEN, SECTION_LEN, SOURCE_LEN,
    SectionId, Target,
};
use staticnet::checksum;
use staticnet::preprocess::{Fit, Preprocess, Source};
use staticnet::record::Chunk;

/// The numbers that a plan's chunk holds of its layer.
fn part(part: &ChunkPart, network: &Quantized) -> Part {
    let range = |(first, end): (u32, u32)| first as usize..end as usize;
    let size = network.tensors[network.layers[part.layer].output()].size().map(|n| n as usize);
    Part::new(range(part.rows), range(part.channels), size)
}

/// An artifact's two parts; the file is one behind the other, or two files with `--split`.
#[derive(Clone, Debug)]
pub struct Emitted {
    /// The head.
    pub head: Vec<u8>,
    /// The weights.
    pub payload: AlignedBytes,
}

impl Emitted {
    /// Head and payload in one.
    pub fn joined(&self) -> Vec<u8> {
        [&self.head[..], self.payload.as_ref()].concat()
    }
}

/// The weights of the plan's chunks, taken out of the network so that they are not held twice, and where each chunk lies.
pub fn payload(network: &mut Quantized, parts: &[ChunkPart]) -> (AlignedBytes, Vec<Chunk>) {
    let wanted: Vec<(usize, Part)> = parts.iter().map(|chunk| (chunk.layer, part(chunk, network))).collect();
    let lens: Vec<usize> = wanted.iter().map(|(layer, part)| network.layers[*layer].payload.part_len(part)).collect();
    let mut payload = AlignedBytes::zeroed(lens.iter().map(|len| len.next_multiple_of(ALIGN)).sum());
    let (mut at, mut chunks) = (0, Vec::with_capacity(parts.len()));
    let mut last_use = vec![0; network.layers.len()];
    wanted.iter().enumerate().for_each(|(i, (layer, _))| last_use[*layer] = i);
    for (i, ((layer, part), &len)) in wanted.iter().zip(&lens).enumerate() {
        let bytes = &mut payload.as_mut()[at..at + len];
        let source = &mut network.layers[*layer].payload;
        source.write(part, bytes);
        if last_use[*layer] == i {
            *source = Payload::None;
        }
        chunks.push(Chunk { offset: at as u32, len: len as u32, checksum: checksum(bytes) });
        at += len.next_multiple_of(ALIGN);
    }
    (payload, chunks)
}

/// Puts an artifact together. `chunks` say where each of the plan's chunks lies in `payload` (see [`payload`]).
///
/// # Errors
/// [`staticnet::ArtifactError`] where the runtime would not take it.
pub fn emit(
    network: &Quantized,
    plan: &Plan,
    (payload, chunks): (AlignedBytes, &[Chunk]),
    split: bool,
) -> Result<Emitted, staticnet::ArtifactError> {
    // A constant has no input; its output's type counts.
    let dtype = |layer: &QuantLayer| network.tensors[layer.input(0).unwrap_or_else(|| layer.output())].info.dtype;
    let ops = network.layers.iter().fold(0, |ops, layer| ops | layer.record.op.code().head_bit(dtype(layer)));
    let layers = network.layers.iter().flat_map(|layer| layer.record.encode()).collect();
    let chunks = chunks.iter().flat_map(|chunk| chunk.encode()).collect();
    let mut sections = vec![
        (SectionId::Tensors, network.tensors.iter().flat_map(|tensor| tensor.info.encode()).collect()),
        (SectionId::Layers, layers),
        (SectionId::Slots, plan.slots.iter().flat_map(|s| s.encode()).collect()),
        (SectionId::Steps, plan.steps.iter().flat_map(|s| s.encode()).collect()),
        (SectionId::Chunks, chunks),
        (SectionId::Io, io(plan)),
    ];
    if let Some(preprocess) = &network.preprocess {
        sections.push((SectionId::Preprocess, encode_preprocess(preprocess)));
    }
    if let (Some((source, memory)), Some(_)) = (plan.source, &network.preprocess) {
        sections.push((SectionId::Source, encode_source(source, memory)));
    }
    if !network.labels.is_empty() {
        sections.push((SectionId::Labels, texts(network.labels.iter().map(String::as_str))));
    }
    sections.push((SectionId::Names, texts(network.layers.iter().map(|l| l.name.as_str()))));
    // What the exporter writes, the runtime must accept: judged split, so that the weights need not be copied behind the head.
    let weights = Weights { len: payload.as_ref().len() as u32, checksum: checksum(payload.as_ref()) };
    accepts(&head(&sections, plan, ops, weights, true))?;
    Ok(Emitted { head: head(&sections, plan, ops, weights, split), payload })
}

/// Whether the runtime takes the head of an artifact whose weights are in a part of their own.
fn accepts(head: &[u8]) -> Result<(), staticnet::ArtifactError> {
    staticnet::Artifact::new(AlignedBytes::copy_of(head).as_ref()).map(|_| ())
}

/// What the head says of the weights.
#[derive(Clone, Copy, Debug)]
struct Weights {
    len: u32,
    checksum: u64,
}

fn head(sections: &[(SectionId, Vec<u8>)], plan: &Plan, ops: u64, weights: Weights, split: bool) -> Vec<u8> {
    let table = HEADER_LEN + sections.len() * SECTION_LEN;
    let mut bytes = vec![0; table];
    for (i, (id, section)) in sections.iter().enumerate() {
        let optional = [SectionId::Preprocess, SectionId::Source, SectionId::Labels, SectionId::Names, SectionId::Signature];
        let required = !optional.contains(id);
        let mut entry = Vec::with_capacity(SECTION_LEN);
        entry.extend((*id as u16).to_le_bytes());
        entry.extend(1u16.to_le_bytes());
        entry.extend((if required { FLAG_REQUIRED } else { 0 }).to_le_bytes());
        entry.extend((bytes.len() as u32).to_le_bytes());
        entry.extend((section.len() as u32).to_le_bytes());
        entry.extend(checksum(section).to_le_bytes());
        let at = HEADER_LEN + i * SECTION_LEN;
        bytes[at..at + entry.len()].copy_from_slice(&entry);
        bytes.extend_from_slice(section);
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
    }
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend(MAGIC);
    header.extend(FORMAT_VERSION.to_le_bytes());
    let flags = if split { FLAG_SPLIT } else { 0 } | if plan.storage { FLAG_STORAGE } else { 0 };
    header.extend(flags.to_le_bytes());
    header.extend((bytes.len() as u32).to_le_bytes());
    header.extend(weights.len.to_le_bytes());
    header.extend((sections.len() as u32).to_le_bytes());
    header.extend((Target::Portable as u32).to_le_bytes());
    header.extend(plan.ram_bytes.to_le_bytes());
    header.extend(plan.activation_bytes.to_le_bytes());
    header.extend(ops.to_le_bytes());
    header.extend(0u64.to_le_bytes());
    header.extend(weights.checksum.to_le_bytes());
    header.extend(plan.stack_bytes.to_le_bytes());
    header.resize(HEADER_LEN, 0);
    bytes[..HEADER_LEN].copy_from_slice(&header);
    // The header's own checksum counts as zero.
    let sum = checksum(&bytes[..table]);
    bytes[40..48].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn io(plan: &Plan) -> Vec<u8> {
    let counts = [plan.inputs.len() as u16, plan.outputs.len() as u16];
    counts.iter().chain(&plan.inputs).chain(&plan.outputs).flat_map(|v| v.to_le_bytes()).collect()
}

fn encode_preprocess(p: &Preprocess) -> Vec<u8> {
    let (fit, shorter) = match p.fit {
        Fit::Stretch => (0u8, 0u16),
        Fit::Cover { shorter } => (1, shorter),
    };
    let mut bytes = Vec::with_capacity(PREPROCESS_LEN);
    bytes.extend(p.width.to_le_bytes());
    bytes.extend(p.height.to_le_bytes());
    bytes.extend([p.channels, fit]);
    bytes.extend(shorter.to_le_bytes());
    bytes.extend(p.mean.iter().chain(&p.std).flat_map(|v| v.to_le_bytes()));
    bytes
}

fn encode_source(source: Source, memory: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SOURCE_LEN);
    bytes.extend(source.width.to_le_bytes());
    bytes.extend(source.height.to_le_bytes());
    bytes.extend([source.format as u8, 0, 0, 0]);
    bytes.extend(memory.to_le_bytes());
    bytes.resize(SOURCE_LEN, 0);
    bytes
}

/// Length-prefixed strings; one longer than 65,535 bytes is cut at a character.
fn texts<'t>(texts: impl ExactSizeIterator<Item = &'t str>) -> Vec<u8> {
    let mut bytes = (texts.len() as u16).to_le_bytes().to_vec();
    for text in texts {
        let text = &text[..text.floor_char_boundary(u16::MAX as usize)];
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}
