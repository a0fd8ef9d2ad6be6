//! The artifact's bytes. The records write themselves ([`staticnet::record`]); this puts them together.

use crate::network::{Layer, Network};
use crate::plan::Plan;
use crate::quantize::{QuantLayer, Quantized};
use staticnet::artifact::{
    ALIGN, FLAG_REQUIRED, FLAG_SPLIT, FORMAT_VERSION, HEADER_LEN, MAGIC, PREPROCESS_LEN, SECTION_LEN, SectionId, Target,
};
use staticnet::checksum;
use staticnet::preprocess::{Fit, Preprocess};
use staticnet::record::{self, Chunk, DType, NONE16, TensorInfo};

/// Descriptions of a network's tensors: quantized, or f32.
pub fn tensor_infos(network: &Network, quantized: Option<&Quantized>) -> Vec<TensorInfo> {
    let info = |(i, t): (usize, &crate::network::Tensor)| {
        let quant = quantized.map(|q| q.tensors[i]);
        TensorInfo {
            dtype: if quant.is_some() { DType::I8 } else { DType::F32 },
            rank: t.rank,
            zero_point: quant.map_or(0, |q| q.zero_point),
            height: t.height,
            width: t.width,
            channels: t.channels,
            scale: quant.map_or(1.0, |q| q.scale),
        }
    };
    network.tensors.iter().enumerate().map(info).collect()
}

/// Weights of a layer as the kernels read them: biases, multipliers, rows (see [`staticnet::engine`]). Empty where it has none.
pub fn layer_payload(layer: &Layer, quantized: Option<&QuantLayer>) -> Vec<u8> {
    let mut bytes = Vec::new();
    match quantized {
        Some(QuantLayer::Weights { weights, bias, multiplier }) => {
            bytes.extend(bias.iter().flat_map(|b| b.to_le_bytes()));
            bytes.extend(multiplier.iter().flat_map(|m| m.to_le_bytes()));
            bytes.extend(weights.iter().map(|&w| w as u8));
        }
        Some(QuantLayer::Factors { table, .. }) => bytes.extend(table.iter().flat_map(|t| t.to_le_bytes())),
        Some(QuantLayer::None) => {}
        None => bytes.extend(layer.bias.iter().chain(&layer.weights).flat_map(|v| v.to_le_bytes())),
    }
    bytes
}

fn layer_record(layer: &Layer, quantized: Option<(&QuantLayer, &TensorInfo)>) -> record::Layer {
    let (table_shift, multiplier) = match quantized {
        Some((QuantLayer::Factors { shift, multiplier, .. }, _)) => (*shift, *multiplier),
        _ => (0, 0.0),
    };
    let lowest = quantized.map_or(i8::MIN, |(_, output)| if layer.relu { output.zero_point } else { i8::MIN });
    record::Layer {
        op: layer.op,
        input: layer.input as u16,
        input2: NONE16,
        output: layer.output as u16,
        range_i8: [lowest, i8::MAX],
        range_f32: [if layer.relu { 0.0 } else { f32::NEG_INFINITY }, f32::INFINITY],
        table_shift,
        multiplier,
    }
}

/// An artifact's two parts; the file is one behind the other, or two files with `--split`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// The head.
    pub head: Vec<u8>,
    /// The weights.
    pub payload: Vec<u8>,
}

impl Emitted {
    /// Head and payload in one.
    pub fn joined(&self) -> Vec<u8> {
        [&self.head[..], &self.payload].concat()
    }
}

/// Puts an artifact together. `payloads` are the layers' [`layer_payload`]s.
pub fn emit(
    network: &Network,
    quantized: Option<&Quantized>,
    tensors: &[TensorInfo],
    plan: &Plan,
    payloads: &[Vec<u8>],
    split: bool,
) -> Emitted {
    let mut payload = Vec::new();
    let mut chunks = Vec::new();
    for bytes in payloads.iter().filter(|bytes| !bytes.is_empty()) {
        let (offset, len) = (payload.len() as u32, bytes.len() as u32);
        chunks.extend(Chunk { offset, len, checksum: checksum(bytes) }.encode());
        payload.extend_from_slice(bytes);
        payload.resize(payload.len().next_multiple_of(ALIGN), 0);
    }
    let mut ops = 0;
    let mut layers = Vec::new();
    for (i, layer) in network.layers.iter().enumerate() {
        let record = layer_record(layer, quantized.map(|q| (&q.layers[i], &tensors[layer.output])));
        ops |= layer.op.code().bit(tensors[layer.output].dtype);
        layers.extend(record.encode());
    }
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
    Emitted { head: head(&sections, plan, ops, &payload, split), payload }
}

fn head(sections: &[(SectionId, Vec<u8>)], plan: &Plan, ops: u64, payload: &[u8], split: bool) -> Vec<u8> {
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
    header.extend((payload.len() as u32).to_le_bytes());
    header.extend((sections.len() as u32).to_le_bytes());
    header.extend((Target::Portable as u32).to_le_bytes());
    header.extend(plan.ram_bytes.to_le_bytes());
    header.extend(plan.activation_bytes.to_le_bytes());
    header.extend(ops.to_le_bytes());
    header.extend(0u64.to_le_bytes());
    header.extend(checksum(payload).to_le_bytes());
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
