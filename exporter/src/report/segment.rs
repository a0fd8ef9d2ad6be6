//! Steps of layers that run together, summed up.

use staticnet::Artifact;
use staticnet::record::Step;
use std::collections::BTreeSet;

/// Consecutive steps whose layers run in no other step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First step.
    pub first: usize,
    /// Last step.
    pub last: usize,
    /// Names of the layers, in order.
    pub layers: Vec<String>,
    /// How they are cut into steps.
    pub how: String,
    /// Bytes of weights that its steps read.
    pub weights_read: u64,
}

impl Segment {
    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.last + 1 - self.first
    }

    /// The layers in at most `width` characters, the middle ones left out where there is no room.
    pub fn layers_within(&self, width: usize) -> String {
        let all = self.layers.join(" > ");
        if all.chars().count() <= width {
            return all;
        }
        let (between, count) = match self.layers.len() {
            0..=2 => (" > ", String::new()),
            n => (" > .. > ", format!(" ({n} layers)")),
        };
        match &self.layers[..] {
            [first, .., last] => {
                let each = width.saturating_sub(between.len() + count.len()) / 2;
                format!("{}{between}{}{count}", shortened(first, each), shortened(last, each))
            }
            _ => shortened(&all, width),
        }
    }
}

/// A name in at most `width` characters: the end of a long one tells more than its beginning.
pub(super) fn shortened(name: &str, width: usize) -> String {
    let len = name.chars().count();
    if len <= width {
        return name.to_string();
    }
    let kept: String = name.chars().skip(len + 2 - width.max(2)).collect();
    format!("..{kept}")
}

/// Bytes of a chunk of weights; 0 where there is none.
pub(super) fn chunk_len(artifact: &Artifact, chunk: u32) -> u64 {
    artifact.chunk(chunk).map_or(0, |chunk| chunk.len as u64)
}

/// The name of a layer, or its number where the artifact has no names.
pub(super) fn layer_name(artifact: &Artifact, layer: usize) -> String {
    artifact.layer_name(layer).filter(|name| !name.is_empty()).map_or_else(|| format!("layer {layer}"), str::to_string)
}

/// The steps in segments as short as can be.
pub(super) fn segments(artifact: &Artifact, steps: &[Step]) -> Vec<Segment> {
    let mut last_of = vec![0; artifact.layer_count()];
    steps.iter().enumerate().for_each(|(i, step)| last_of[step.layer as usize] = i);
    let (mut segments, mut first, mut last) = (Vec::new(), 0, 0);
    for (i, step) in steps.iter().enumerate() {
        last = last.max(last_of[step.layer as usize]);
        if i == last {
            segments.push(segment(artifact, steps, first, last));
            (first, last) = (i + 1, i + 1);
        }
    }
    segments
}

fn segment(artifact: &Artifact, steps: &[Step], first: usize, last: usize) -> Segment {
    let mine = &steps[first..=last];
    let layers: BTreeSet<u16> = mine.iter().map(|step| step.layer).collect();
    let mut how = how(mine, &layers);
    let input = artifact.input_slot(0).map(|slot| slot.tensor);
    let reads_input = mine.iter().any(|step| artifact.slot(step.input as usize).map(|slot| slot.tensor) == input);
    if artifact.is_streamed() && reads_input {
        how += ", as the input comes";
    }
    Segment {
        first,
        last,
        layers: layers.iter().map(|&layer| layer_name(artifact, layer as usize)).collect(),
        how,
        weights_read: mine.iter().filter(|step| step.load).map(|step| chunk_len(artifact, step.chunk)).sum(),
    }
}

/// How the steps cut rows and channels: those of the layer that is cut most.
fn how(steps: &[Step], layers: &BTreeSet<u16>) -> String {
    let cuts = |of: &dyn Fn(&Step) -> (u16, u16)| {
        let of_layer = |layer: &u16| steps.iter().filter(|step| step.layer == *layer).map(of).collect::<BTreeSet<_>>();
        let finest = layers.iter().map(of_layer).max_by_key(BTreeSet::len).unwrap_or_default();
        (finest.len(), finest.iter().map(|(first, end)| end - first).max().unwrap_or(0))
    };
    let rows = match cuts(&|step| (step.r0, step.r1)) {
        (1, _) => String::new(),
        (_, 1) => "row by row".into(),
        (n, rows) => format!("{n} bands of {rows} rows"),
    };
    let channels = match cuts(&|step| (step.c0, step.c1)) {
        (1, _) => String::new(),
        (_, 1) => "channel by channel".into(),
        (n, channels) => format!("{n} blocks of {channels} channels"),
    };
    match (rows.is_empty(), channels.is_empty()) {
        (true, true) => "whole".into(),
        (false, true) => rows,
        (true, false) => channels,
        (false, false) => format!("{channels}, {rows}"),
    }
}
