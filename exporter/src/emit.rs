//! The artifact's bytes. The records write themselves ([`staticnet::record`]); this puts them together.

use crate::host::AlignedBytes;
use crate::network::{Kind, Layer, Network, Parameters, Quant};
use crate::plan::Plan;
use crate::quantize::{QuantLayer, Quantized};
use staticnet::artifact::{
    ALIGN, FLAG_REQUIRED, FLAG_SPLIT, FORMAT_VERSION, HEADER_LEN, MAGIC, PREPROCESS_LEN, SECTION_LEN, SectionId, Target,
};
use staticnet::checksum;
use staticnet::preprocess::{Fit, Preprocess};
use staticnet::record::{self, Chunk, DType, NONE16, TensorInfo};

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

/// Weights of a layer as the kernels read them (see [`staticnet::op::Op`] and FORMAT.md). Empty where it has none.
pub fn layer_payload(layer: &Layer, quantized: &QuantLayer) -> Vec<u8> {
    let mut bytes = vec![0; payload_len(layer, quantized)];
    write_payload(layer, quantized, &mut bytes);
    bytes
}

/// As [`layer_payload`], into memory of [`payload_len`] bytes: the largest layers are most of a network and need not lie there twice.
fn write_payload(layer: &Layer, quantized: &QuantLayer, bytes: &mut [u8]) {
    let mut out = Chunks { rest: bytes };
    match (quantized, &layer.parameters) {
        (QuantLayer::Weights { weights, bias, multiplier, .. }, _) => {
            out.words(bias);
            out.floats(multiplier);
            out.bytes(weights);
        }
        (QuantLayer::Factors { table, .. }, _) => out.words(table),
        (QuantLayer::Table(table), _) => out.bytes(table),
        (QuantLayer::Elements(elements), _) => out.bytes(elements),
        (QuantLayer::Exponentials(table), _) => out.floats(table),
        (QuantLayer::Slopes { negative, .. }, _) => out.floats(negative),
        (_, Parameters::Sum { weights, bias, .. }) => {
            out.floats(bias);
            out.floats(weights);
        }
        (_, Parameters::Slopes(values) | Parameters::Elements(values)) => out.floats(values),
        (_, Parameters::Taps(taps)) => out.write(taps.iter().map(|tap| {
            let ([a, b], [c, d], [e, f, g, h]) = (tap.first.to_le_bytes(), tap.second.to_le_bytes(), tap.weight.to_le_bytes());
            [a, b, c, d, e, f, g, h]
        })),
        (_, Parameters::Grids { scale, zero_point }) => {
            out.floats(scale);
            out.words(zero_point);
        }
        (QuantLayer::Float | QuantLayer::Multipliers(..) | QuantLayer::Plain, Parameters::None) => {}
    }
}

/// Length of [`layer_payload`].
pub fn payload_len(layer: &Layer, quantized: &QuantLayer) -> usize {
    match (quantized, &layer.parameters) {
        (QuantLayer::Weights { weights, bias, .. }, _) => weights.len() + 8 * bias.len(),
        (QuantLayer::Factors { table, .. }, _) => 4 * table.len(),
        (QuantLayer::Table(table) | QuantLayer::Elements(table), _) => table.len(),
        (QuantLayer::Exponentials(table), _) => 4 * table.len(),
        (QuantLayer::Slopes { negative, .. }, _) => 4 * negative.len(),
        (_, Parameters::Sum { weights, bias, .. }) => 4 * (weights.len() + bias.len()),
        (_, Parameters::Slopes(values) | Parameters::Elements(values)) => 4 * values.len(),
        (_, Parameters::Taps(taps)) => 8 * taps.len(),
        (_, Parameters::Grids { scale, .. }) => 8 * scale.len(),
        (QuantLayer::Float | QuantLayer::Multipliers(..) | QuantLayer::Plain, Parameters::None) => 0,
    }
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

/// The weights of all layers, taken out of the network so that they are not held twice, and where each layer's lie.
pub fn payload(network: &mut Network, quantized: &mut Quantized) -> (AlignedBytes, Vec<Option<Chunk>>) {
    let lens = network.layers.iter().zip(&quantized.layers).map(|(layer, q)| payload_len(layer, q).next_multiple_of(ALIGN));
    let mut payload = AlignedBytes::zeroed(lens.sum());
    let (mut at, mut chunks) = (0, Vec::with_capacity(network.layers.len()));
    for (layer, quantized) in network.layers.iter_mut().zip(&mut quantized.layers) {
        let len = payload_len(layer, quantized);
        let bytes = &mut payload.as_mut()[at..at + len];
        write_payload(layer, quantized, bytes);
        layer.parameters = Parameters::None;
        if let QuantLayer::Weights { weights, .. } = quantized {
            *weights = Vec::new();
        }
        if bytes.is_empty() {
            chunks.push(None);
            continue;
        }
        chunks.push(Some(Chunk { offset: at as u32, len: len as u32, checksum: checksum(bytes) }));
        at += len.next_multiple_of(ALIGN);
    }
    (payload, chunks)
}

/// Puts an artifact together. `chunks` say where each layer's weights lie in `payload` (see [`payload`]).
///
/// # Errors
/// [`staticnet::ArtifactError`] where the runtime would not take it.
pub fn emit(
    network: &Network,
    quantized: &Quantized,
    tensors: &[TensorInfo],
    plan: &Plan,
    (payload, chunks): (AlignedBytes, &[Option<Chunk>]),
    split: bool,
) -> Result<Emitted, staticnet::ArtifactError> {
    let mut ops = 0;
    let mut layers = Vec::new();
    for (layer, quant) in network.layers.iter().zip(&quantized.layers) {
        let record = layer_record(layer, quant, quantized.tensors[layer.output]);
        // A constant has no input; its output's type counts.
        ops |= layer.op.code().bit(tensors[*layer.inputs.first().unwrap_or(&layer.output)].dtype);
        layers.extend(record.encode());
    }
    let chunks = chunks.iter().flatten().flat_map(|chunk| chunk.encode()).collect();
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
        let required = !matches!(id, SectionId::Preprocess | SectionId::Labels | SectionId::Names | SectionId::Signature);
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
    header.extend((if split { FLAG_SPLIT } else { 0 }).to_le_bytes());
    header.extend((bytes.len() as u32).to_le_bytes());
    header.extend(weights.len.to_le_bytes());
    header.extend((sections.len() as u32).to_le_bytes());
    header.extend((Target::Portable as u32).to_le_bytes());
    header.extend(plan.ram_bytes.to_le_bytes());
    header.extend(plan.activation_bytes.to_le_bytes());
    header.extend(ops.to_le_bytes());
    header.extend(0u64.to_le_bytes());
    header.extend(weights.checksum.to_le_bytes());
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
