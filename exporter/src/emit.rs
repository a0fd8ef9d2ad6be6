//! The artifact's bytes. The records write themselves ([`staticnet::record`]); this puts them together.

use crate::host::AlignedBytes;
use crate::network::{Kind, Layer, Network, Parameters, Quant};
use crate::plan::{ChunkPart, Plan};
use crate::quantize::{QuantLayer, Quantized};
use staticnet::artifact::{
    ALIGN, FLAG_REQUIRED, FLAG_SPLIT, FLAG_STORAGE, FORMAT_VERSION, HEADER_LEN, MAGIC, PREPROCESS_LEN, SECTION_LEN, SOURCE_LEN,
    SectionId, Target,
};
use staticnet::checksum;
use staticnet::preprocess::{Fit, Preprocess, Source};
use staticnet::record::{self, Chunk, DType, NONE16, TensorInfo};
use std::ops::Range;

/// Descriptions of a network's tensors.
pub fn tensor_infos(network: &Network, quantized: &Quantized) -> Vec<TensorInfo> {
    let info = |(t, quant): (&crate::network::Tensor, &Option<Quant>)| {
        let mut dims = [0; 4];
        dims.iter_mut().zip(&t.dims).for_each(|(to, from)| *to = *from);
        TensorInfo {
            dtype: match (quant, t.kind) {
                (Some(_), _) => DType::I8,
                (None, Kind::Index) => DType::I32,
                (None, Kind::Real | Kind::Codes(_)) => DType::F32,
            },
            rank: t.dims.len().min(4) as u8,
            channels_last: t.channels_last,
            host: t.host,
            dims,
            zero_point: quant.map_or(0, |q| q.zero_point),
            height: t.height,
            width: t.width,
            channels: t.channels,
            scale: quant.map_or(1.0, |q| q.scale),
        }
    };
    network.tensors.iter().zip(&quantized.tensors).map(info).collect()
}

/// Where a layer's weights are written to, from front to back.
struct Chunks<'p> {
    rest: &'p mut [u8],
}

impl Chunks<'_> {
    fn write<const N: usize>(&mut self, elements: impl ExactSizeIterator<Item = [u8; N]>) {
        let (front, rest) = std::mem::take(&mut self.rest).split_at_mut(N * elements.len());
        front.as_chunks_mut::<N>().0.iter_mut().zip(elements).for_each(|(to, from)| *to = from);
        self.rest = rest;
    }

    fn floats(&mut self, values: &[f32]) {
        self.write(values.iter().map(|v| v.to_le_bytes()));
    }

    fn words(&mut self, values: &[i32]) {
        self.write(values.iter().map(|v| v.to_le_bytes()));
    }

    fn bytes(&mut self, values: &[i8]) {
        self.write(values.iter().map(|v| v.to_le_bytes()));
    }
}

/// All weights of a layer as the kernels read them (see [`staticnet::op::Op`] and FORMAT.md). Empty where it has none.
pub fn layer_payload(layer: &Layer, quantized: &QuantLayer) -> Vec<u8> {
    let all = Part::all();
    let mut bytes = vec![0; part_len(layer, quantized, &all)];
    write_part(layer, quantized, &all, &mut bytes);
    bytes
}

/// Length of [`layer_payload`].
pub fn payload_len(layer: &Layer, quantized: &QuantLayer) -> usize {
    part_len(layer, quantized, &Part::all())
}

/// Which of a layer's weights: those of some output rows and channels.
struct Part {
    rows: Range<usize>,
    channels: Range<usize>,
    /// Height, width and channels of the output.
    size: [usize; 3],
}

impl Part {
    /// Everything, of a layer whose output need not be known.
    fn all() -> Self {
        Part { rows: 0..usize::MAX, channels: 0..usize::MAX, size: [usize::MAX, 0, usize::MAX] }
    }

    fn of(part: &ChunkPart, network: &Network) -> Self {
        let range = |(first, end): (u32, u32)| first as usize..end as usize;
        let size = network.tensors[network.layers[part.layer].output].size().map(|n| n as usize);
        Part { rows: range(part.rows), channels: range(part.channels), size }
    }

    /// The entries of something that has one entry a channel, out of `n`.
    fn of_channels(&self, n: usize) -> Range<usize> {
        self.channels.start.min(n)..self.channels.end.min(n)
    }

    /// The elements of something that has one row of equally many an output channel, `channels` rows out of `len` elements.
    fn of_rows_of(&self, len: usize, channels: usize) -> Range<usize> {
        let (row, of) = (len / channels.max(1), self.of_channels(channels));
        of.start * row..of.end * row
    }

    /// The elements of a constant tensor, `len` in all.
    fn elements(&self, len: usize) -> Box<dyn ExactSizeIterator<Item = usize>> {
        let [height, width, channels] = self.size;
        if self.rows.len() >= height && self.channels.len() >= channels {
            return Box::new(0..len);
        }
        let (rows, n, first, c0) = (self.rows.clone(), self.channels.len(), self.rows.start, self.channels.start);
        let places = 0..rows.len() * width * n;
        Box::new(places.map(move |i| (first * width + i / n) * channels + c0 + i % n))
    }

    /// The taps of the rows, then those of the pixels.
    fn taps(&self, len: usize) -> impl ExactSizeIterator<Item = usize> {
        let height = self.size[0].min(len);
        let rows = self.rows.start.min(height)..self.rows.end.min(height);
        let (count, first) = (rows.len(), rows.start);
        let pixels = if self.size[0] > len { 0 } else { len - height };
        (0..count + pixels).map(move |i| if i < count { first + i } else { height + i - count })
    }
}

/// Weights of a part of a layer, into memory of [`part_len`] bytes: the largest layers are most of a network and need not lie there
/// twice.
fn write_part(layer: &Layer, quantized: &QuantLayer, part: &Part, bytes: &mut [u8]) {
    let mut out = Chunks { rest: bytes };
    match (quantized, &layer.parameters) {
        (QuantLayer::Weights { weights, bias, multiplier, .. }, _) => {
            let channels = part.of_channels(bias.len());
            out.words(&bias[channels.clone()]);
            out.floats(&multiplier[channels]);
            out.bytes(&weights[part.of_rows_of(weights.len(), bias.len())]);
        }
        (QuantLayer::Factors { table, .. }, _) => out.words(table),
        (QuantLayer::Table(table), _) => out.bytes(table),
        (QuantLayer::Elements(elements), _) => out.write(part.elements(elements.len()).map(|i| elements[i].to_le_bytes())),
        (QuantLayer::Exponentials(table), _) => out.floats(table),
        (QuantLayer::Slopes { negative, .. }, _) => out.floats(&negative[part.of_channels(negative.len())]),
        (_, Parameters::Sum { weights, bias, .. }) => {
            out.floats(&bias[part.of_channels(bias.len())]);
            out.floats(&weights[part.of_rows_of(weights.len(), bias.len())]);
        }
        (_, Parameters::Slopes(values)) => out.floats(&values[part.of_channels(values.len())]),
        (_, Parameters::Elements(values)) => out.write(part.elements(values.len()).map(|i| values[i].to_le_bytes())),
        (_, Parameters::Taps(taps)) => out.write(part.taps(taps.len()).map(|i| {
            let tap = &taps[i];
            let ([a, b], [c, d], [e, f, g, h]) = (tap.first.to_le_bytes(), tap.second.to_le_bytes(), tap.weight.to_le_bytes());
            [a, b, c, d, e, f, g, h]
        })),
        (_, Parameters::Grids { scale, zero_point }) => {
            let channels = part.of_channels(scale.len());
            out.floats(&scale[channels.clone()]);
            out.words(&zero_point[channels]);
        }
        (QuantLayer::Float | QuantLayer::Multipliers(..) | QuantLayer::Plain, Parameters::None) => {}
    }
}

/// Length of what [`write_part`] writes.
fn part_len(layer: &Layer, quantized: &QuantLayer, part: &Part) -> usize {
    let sums = |weights: usize, channels: usize| (part.of_rows_of(weights, channels).len(), part.of_channels(channels).len());
    match (quantized, &layer.parameters) {
        (QuantLayer::Weights { weights, bias, .. }, _) => {
            let (weights, channels) = sums(weights.len(), bias.len());
            weights + 8 * channels
        }
        (QuantLayer::Factors { table, .. }, _) => 4 * table.len(),
        (QuantLayer::Table(table), _) => table.len(),
        (QuantLayer::Elements(elements), _) => part.elements(elements.len()).len(),
        (QuantLayer::Exponentials(table), _) => 4 * table.len(),
        (QuantLayer::Slopes { negative, .. }, _) => 4 * part.of_channels(negative.len()).len(),
        (_, Parameters::Sum { weights, bias, .. }) => {
            let (weights, channels) = sums(weights.len(), bias.len());
            4 * (weights + channels)
        }
        (_, Parameters::Slopes(values)) => 4 * part.of_channels(values.len()).len(),
        (_, Parameters::Elements(values)) => 4 * part.elements(values.len()).len(),
        (_, Parameters::Taps(taps)) => 8 * part.taps(taps.len()).len(),
        (_, Parameters::Grids { scale, .. }) => 8 * part.of_channels(scale.len()).len(),
        (QuantLayer::Float | QuantLayer::Multipliers(..) | QuantLayer::Plain, Parameters::None) => 0,
    }
}

/// The layers' records.
pub fn layer_records(network: &Network, quantized: &Quantized) -> Vec<record::Layer> {
    let layers = network.layers.iter().zip(&quantized.layers);
    layers.map(|(layer, quant)| layer_record(layer, quant, quantized.tensors[layer.output])).collect()
}

fn layer_record(layer: &Layer, quantized: &QuantLayer, y: Option<Quant>) -> record::Layer {
    let (table_shift, multiplier, multiplier2) = match quantized {
        QuantLayer::Factors { shift, multiplier, .. } => (*shift, *multiplier, 0.0),
        QuantLayer::Multipliers(first, second) => (0, *first, *second),
        QuantLayer::Slopes { positive, .. } => (0, *positive, 0.0),
        QuantLayer::Float | QuantLayer::Weights { .. } | QuantLayer::Table(_) => (0, 0.0, 0.0),
        QuantLayer::Exponentials(_) | QuantLayer::Elements(_) | QuantLayer::Plain => (0, 0.0, 0.0),
    };
    let input = |i: usize| layer.inputs.get(i).map_or(NONE16, |&t| t as u16);
    record::Layer {
        op: layer.op,
        input: input(0),
        input2: input(1),
        output: layer.output as u16,
        range_i8: y.map_or([i8::MIN, i8::MAX], |grid| grid.bounds(layer.clamp)),
        range_f32: layer.clamp,
        table_shift,
        multiplier,
        multiplier2,
    }
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
pub fn payload(network: &mut Network, quantized: &mut Quantized, parts: &[ChunkPart]) -> (AlignedBytes, Vec<Chunk>) {
    let len = |part: &ChunkPart| {
        let layer = part.layer;
        part_len(&network.layers[layer], &quantized.layers[layer], &Part::of(part, network))
    };
    let lens: Vec<usize> = parts.iter().map(len).collect();
    let mut payload = AlignedBytes::zeroed(lens.iter().map(|len| len.next_multiple_of(ALIGN)).sum());
    let (mut at, mut chunks) = (0, Vec::with_capacity(parts.len()));
    let mut last_use = vec![0; network.layers.len()];
    parts.iter().enumerate().for_each(|(i, part)| last_use[part.layer] = i);
    for (i, (part, &len)) in parts.iter().zip(&lens).enumerate() {
        let bytes = &mut payload.as_mut()[at..at + len];
        write_part(&network.layers[part.layer], &quantized.layers[part.layer], &Part::of(part, network), bytes);
        if last_use[part.layer] == i {
            network.layers[part.layer].parameters = Parameters::None;
            if let QuantLayer::Weights { weights, .. } = &mut quantized.layers[part.layer] {
                *weights = Vec::new();
            }
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
    network: &Network,
    quantized: &Quantized,
    tensors: &[TensorInfo],
    plan: &Plan,
    (payload, chunks): (AlignedBytes, &[Chunk]),
    split: bool,
) -> Result<Emitted, staticnet::ArtifactError> {
    // A constant has no input; its output's type counts.
    let bit = |layer: &Layer| layer.op.code().bit(tensors[*layer.inputs.first().unwrap_or(&layer.output)].dtype);
    let ops = network.layers.iter().fold(0, |ops, layer| ops | bit(layer));
    let layers = layer_records(network, quantized).iter().flat_map(|record| record.encode()).collect();
    let chunks = chunks.iter().flat_map(|chunk| chunk.encode()).collect();
    let mut sections = vec![
        (SectionId::Tensors, tensors.iter().flat_map(TensorInfo::encode).collect()),
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
    crate::host::accepts(&head(&sections, plan, ops, weights, true))?;
    Ok(Emitted { head: head(&sections, plan, ops, weights, split), payload })
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
