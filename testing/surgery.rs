//! Artifacts taken apart and put together again, from FORMAT.md alone: no code of the runtime or the exporter is used.

use crate::random::Random;

/// A section.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its kind.
    pub id: u16,
    /// Its version.
    pub version: u16,
    /// Whether a reader that does not know it must refuse the artifact.
    pub required: bool,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// An artifact in parts: everything but lengths, offsets and checksums, which follow.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The first 64 bytes.
    pub header: Vec<u8>,
    /// Sections, in the order of the table.
    pub sections: Vec<Section>,
    /// The weights.
    pub payload: Vec<u8>,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The format's checksum, word by word.
pub fn checksum(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 2_654_435_761;
    let step = |sum: u64, word: u64| (sum * FACTOR + word) % (1 << 32);
    let mut lanes = [1u64; 4];
    for (i, chunk) in bytes.chunks(4).enumerate() {
        let word = chunk.iter().rev().fold(0, |word, &byte| word << 8 | byte as u64);
        lanes[i % 4] = step(lanes[i % 4], word);
    }
    let low = step(step(step(lanes[0], lanes[1]), lanes[2]), lanes[3]);
    let turned = (0..4).map(|i| ((lanes[i] << (8 * i)) % (1 << 32)) | (lanes[i] >> (32 - 8 * i)));
    turned.fold(0, |high, lane| high ^ lane) << 32 | low
}

/// First byte and length of the sections that lie inside the file, with the place of their table entries.
fn entries(bytes: &[u8]) -> Vec<(usize, usize, usize)> {
    let count = u32_at(bytes, 16).min(256) as usize;
    let places = (0..count).map(|i| 64 + 32 * i).filter(|at| at + 32 <= bytes.len());
    places
        .map(|entry| (entry, u32_at(bytes, entry + 8) as usize, u32_at(bytes, entry + 12) as usize))
        .filter(|(_, at, len)| at.checked_add(*len).is_some_and(|end| end <= bytes.len()))
        .collect()
}

/// Makes all checksums of the head right again, as far as its lengths make sense.
pub fn repair(bytes: &mut [u8]) {
    for (entry, at, len) in entries(bytes) {
        let sum = checksum(&bytes[at..at + len]);
        // A section that lies over the table makes the table's own sum wrong; one pass is enough for all others.
        put(bytes, entry + 16, &sum.to_le_bytes());
    }
    let table = 64 + 32 * u32_at(bytes, 16).min(256) as usize;
    if table <= bytes.len() {
        put(bytes, 40, &[0; 8]);
        let sum = checksum(&bytes[..table]);
        put(bytes, 40, &sum.to_le_bytes());
    }
}

/// The bytes of the head that a checksum covers, or that are one.
pub fn covered(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let table = 64 + 32 * u32_at(bytes, 16) as usize;
    std::iter::once(0..table).chain(entries(bytes).into_iter().map(|(_, at, len)| at..at + len)).collect()
}

impl Parts {
    /// Takes a whole artifact apart.
    pub fn of(bytes: &[u8]) -> Parts {
        let section = |(entry, at, len): (usize, usize, usize)| Section {
            id: u16_at(bytes, entry),
            version: u16_at(bytes, entry + 2),
            required: u32_at(bytes, entry + 4) & 1 != 0,
            bytes: bytes[at..at + len].to_vec(),
        };
        let head = u32_at(bytes, 8) as usize;
        let sections = entries(bytes).into_iter().map(section).collect();
        Parts { header: bytes[..64].to_vec(), sections, payload: bytes[head..].to_vec() }
    }

    /// Puts it together, with right lengths and checksums.
    pub fn assemble(&self) -> Vec<u8> {
        let mut bytes = self.header.clone();
        bytes.resize(64 + 32 * self.sections.len(), 0);
        put(&mut bytes, 16, &(self.sections.len() as u32).to_le_bytes());
        for (i, section) in self.sections.iter().enumerate() {
            let entry = 64 + 32 * i;
            put(&mut bytes, entry, &section.id.to_le_bytes());
            put(&mut bytes, entry + 2, &section.version.to_le_bytes());
            put(&mut bytes, entry + 4, &(section.required as u32).to_le_bytes());
            let (at, len) = (bytes.len() as u32, section.bytes.len() as u32);
            put(&mut bytes, entry + 8, &at.to_le_bytes());
            put(&mut bytes, entry + 12, &len.to_le_bytes());
            bytes.extend(&section.bytes);
            bytes.resize(bytes.len().next_multiple_of(16), 0);
        }
        let head = bytes.len() as u32;
        put(&mut bytes, 8, &head.to_le_bytes());
        bytes.extend(&self.payload);
        repair(&mut bytes);
        bytes
    }

    /// The bytes of the first section of a kind.
    pub fn section(&mut self, id: u16) -> Option<&mut Vec<u8>> {
        self.sections.iter_mut().find(|s| s.id == id).map(|s| &mut s.bytes)
    }

    /// Overwrites bytes of record `i` of a section of records of this size.
    pub fn set(&mut self, id: u16, size: usize, i: usize, at: usize, value: &[u8]) {
        put(self.section(id).expect("the section is there"), size * i + at, value);
    }

    /// A 16-bit field of a record.
    pub fn get(&mut self, id: u16, size: usize, i: usize, at: usize) -> u16 {
        u16_at(self.section(id).expect("the section is there"), size * i + at)
    }

    /// Makes the operator mask name the operators that the layers have: two bits an operator, int8 and f32.
    pub fn name_the_operators(&mut self) {
        let tensors = self.section(1).map(|t| t.clone()).unwrap_or_default();
        let layers = self.section(2).map(|t| t.clone()).unwrap_or_default();
        let mask = layers.chunks_exact(64).fold(0u64, |mask, layer| {
            // The input's type, or the output's where there is no input.
            let tensor = if u16_at(layer, 2) == 0xFFFF { u16_at(layer, 6) } else { u16_at(layer, 2) };
            let dtype = tensors.get(32 * tensor as usize).copied().unwrap_or(0) & 1;
            mask | 1u64.checked_shl(2 * layer[0] as u32 + dtype as u32).unwrap_or(0)
        });
        put(&mut self.header, 32, &mask.to_le_bytes());
    }

    /// Sets a 16- or 32-bit field somewhere to a value that may surprise.
    pub fn change_a_field(&mut self, random: &mut Random) {
        let which = random.within(0, self.sections.len());
        // The header's lengths and sizes, but not its magic, or one of the sections.
        let bytes = match self.sections.get_mut(which) {
            Some(section) => &mut section.bytes[..],
            None => &mut self.header[4..40],
        };
        let size = random.pick(&[2, 4]);
        if bytes.len() < size {
            return;
        }
        let at = random.within(0, (bytes.len() - size) / 2) * 2;
        let old = if size == 2 { u16_at(bytes, at) as u32 } else { u32_at(bytes, at) };
        let near =
            [old.wrapping_add(1), old.wrapping_sub(1), old.wrapping_add(16), old.wrapping_sub(16), old.rotate_left(8), old / 2];
        let edges = [0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFF0, 0xFFFF_FFFF];
        let value = match random.within(0, 3) {
            0 => random.pick(&near),
            1 => random.pick(&edges),
            2 => random.within(0, 300) as u32,
            _ => random.bits() as u32,
        };
        bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }

    /// Changes slots or steps into others that may well be acceptable.
    pub fn change_the_plan(&mut self, random: &mut Random) {
        let ram = u32_at(&self.header, 24);
        let Some(slots) = self.section(3) else { return };
        let slot = random.within(0, slots.len() / 16 - 1) * 16;
        match random.within(0, 8) {
            // A slot elsewhere.
            0 => {
                let offset = random.within(0, ram as usize / 16) as u32 * 16;
                put(slots, slot + 4, &offset.to_le_bytes());
            }
            // A smaller or larger ring.
            1 => {
                let rows = random.within(1, 9) as u32;
                put(slots, slot + 8, &rows.to_le_bytes());
            }
            // Another window.
            2 => {
                let channels = u16_at(slots, slot + 12);
                let first = random.within(0, channels as usize) as u16;
                put(slots, slot + 2, &first.to_le_bytes());
                put(slots, slot + 12, &(channels - first + random.within(0, 1) as u16).to_le_bytes());
            }
            change => {
                let Some(steps) = self.section(4) else { return };
                let (a, b) = (random.within(0, steps.len() / 32 - 1) * 32, random.within(0, steps.len() / 32 - 1) * 32);
                match change {
                    3 => (0..32).for_each(|i| steps.swap(a + i, b + i)),
                    4 => steps.extend_from_within(a..a + 32),
                    // Other rows.
                    5 => {
                        let first = random.within(0, 8) as u16;
                        put(steps, a + 8, &first.to_le_bytes());
                        put(steps, a + 10, &(first + random.within(0, 3) as u16).to_le_bytes());
                    }
                    // Other channels.
                    6 => {
                        let first = u16_at(steps, a + 12).saturating_sub(random.within(0, 1) as u16);
                        put(steps, a + 12, &first.to_le_bytes());
                    }
                    // Weights elsewhere, or those of the step before.
                    7 if u32_at(steps, a + 24) != u32::MAX => {
                        let place = random.within(0, ram as usize / 16) as u32 * 16;
                        put(steps, a + 24, &place.to_le_bytes());
                        put(steps, a + 28, &[random.within(0, 1) as u8]);
                    }
                    // Other scratch.
                    _ => {
                        let scratch = random.within(0, ram as usize / 16) as u32 * 16;
                        put(steps, a + 20, &scratch.to_le_bytes());
                    }
                }
            }
        }
    }
}
