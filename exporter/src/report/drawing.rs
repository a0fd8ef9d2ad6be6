//! The memory over time as text: segments, a drawing in letters, its legend, the peak.

use super::life::{Kind, Life, Memory, step_range};
use super::segment::shortened;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::ops::Range;

/// Columns of the drawing.
const COLUMNS: usize = 100;
/// Most lines of it.
const BANDS: u64 = 32;
/// Most columns of a segment of one step; each doubling of the steps adds as many.
const WIDEST: usize = 6;

/// A run of steps, in parts of a step.
type Time = Range<f64>;

/// One letter a tensor, in the order in which they come; weights have the small letter of what they make.
struct Letters(BTreeMap<usize, u8>);

impl Letters {
    fn of(lives: &[Life]) -> Self {
        let mut letters = BTreeMap::new();
        for tensor in lives.iter().filter(|life| life.kind == Kind::Activations).filter_map(|life| life.tensor) {
            let next = b'A' + (letters.len() % 26) as u8;
            letters.entry(tensor).or_insert(next);
        }
        Letters(letters)
    }

    fn letter(&self, life: &Life) -> char {
        let letter = life.tensor.and_then(|tensor| self.0.get(&tensor)).map_or('?', |&letter| letter as char);
        match life.kind {
            Kind::Activations => letter,
            Kind::Weights => letter.to_ascii_lowercase(),
            Kind::Scratch => '+',
            Kind::RowMemory => '=',
        }
    }
}

/// Bytes of a line: as round as the number of lines allows.
fn band_bytes(ram: u64) -> u64 {
    let least = ram.div_ceil(BANDS).max(1);
    least.next_multiple_of(((1 << least.ilog2()) / 8).max(16))
}

/// Time of each column, and the first column of each segment: more columns for more steps, but far from in proportion.
fn columns(memory: &Memory) -> (Vec<Time>, Vec<usize>) {
    let segments = &memory.segments;
    // `scale` counts tenths of a column.
    let width = |scale: usize, steps: usize| (scale * (1 + steps.ilog2() as usize) / 10).max(1);
    let total = |scale: usize| segments.iter().map(|s| width(scale, s.steps())).sum::<usize>();
    let scale = (1..=10 * WIDEST).rev().find(|&scale| total(scale) <= COLUMNS);
    let (mut columns, mut begins) = (Vec::new(), Vec::new());
    // Where there are too many segments for that each gets a column, or a column several segments.
    let several = segments.len().div_ceil(COLUMNS).max(1);
    for (i, segment) in segments.iter().enumerate() {
        let n = scale.map_or(1, |scale| width(scale, segment.steps()));
        let at = |k: usize| segment.first as f64 + segment.steps() as f64 * k as f64 / n as f64;
        if i % several != 0 && scale.is_none() {
            let end = at(1);
            columns.last_mut().into_iter().for_each(|time: &mut Time| time.end = end);
        } else {
            begins.push(columns.len());
            columns.extend((0..n).map(|k| at(k)..at(k + 1)));
        }
    }
    (columns, begins)
}

/// What fills most of a band during some time.
fn filling<'l>(lives: &'l [Life], band: &Range<u64>, time: &Time) -> Option<&'l Life> {
    let bytes = |life: &Life| life.end().min(band.end).saturating_sub(life.offset.max(band.start));
    let steps = |life: &Life| time.end.min(life.last as f64 + 1.0) - time.start.max(life.first as f64);
    let there = || lives.iter().filter(|life| bytes(life) > 0 && steps(life) > 0.0);
    let weight = |life: &Life| bytes(life) as f64 * steps(life);
    // Of equals the later one: lives are in the order in which they begin.
    let most = there().max_by(|a, b| weight(a).total_cmp(&weight(b)))?;
    // An output that grows over what is read no more: half of the common time shows one, half the other.
    let middle = (time.start + time.end) / 2.0;
    let below = there().find(|life| {
        life.first < most.first && bytes(life) == bytes(most) && middle < (most.first + life.last + 1) as f64 / 2.0
    });
    below.or(Some(most))
}

impl Display for Memory {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let letters = Letters::of(&self.lives);
        self.fmt_segments(f)?;
        self.fmt_drawing(f, &letters)?;
        self.fmt_legend(f, &letters)?;
        self.fmt_peak(f, &letters)
    }
}

impl Memory {
    fn fmt_segments(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (steps, segments) = (self.steps, self.segments.len());
        writeln!(f, "{steps} steps in {segments} segments: layers that run together")?;
        writeln!(f, "{:>4}  {:<13} {:<46} {:<42} {:>9} {:>9}", "", "steps", "layers", "how", "RAM B", "weights B")?;
        for (i, segment) in self.segments.iter().enumerate() {
            writeln!(
                f,
                "{:>4}  {:<13} {:<46} {:<42} {:>9} {:>9}",
                i + 1,
                step_range(segment.first, segment.last),
                segment.layers_within(46),
                segment.how,
                self.peak(segment.first, segment.last).1,
                segment.weights_read
            )?;
        }
        Ok(())
    }

    fn fmt_drawing(&self, f: &mut Formatter<'_>, letters: &Letters) -> fmt::Result {
        let ((columns, begins), bytes) = (columns(self), band_bytes(self.ram));
        writeln!(f, "\nRAM over time: a line is {bytes} B of it from the offset on, what is above is a segment's number\n")?;
        // A number stands above its segment's first column where the one before leaves room.
        let mut numbers = String::new();
        let several = self.segments.len().div_ceil(begins.len().max(1));
        for (i, &begin) in begins.iter().enumerate() {
            if numbers.is_empty() || numbers.len() < begin {
                numbers += &format!("{}{}", " ".repeat(begin - numbers.len()), i * several + 1);
            }
        }
        writeln!(f, "{:>10}  {numbers}", "offset")?;
        for band in (0..self.ram.div_ceil(bytes)).rev() {
            let band = band * bytes..(band + 1) * bytes;
            let cell = |time| filling(&self.lives, &band, time).map_or('.', |life| letters.letter(life));
            writeln!(f, "{:>10}  {}", band.start, columns.iter().map(cell).collect::<String>())?;
        }
        Ok(())
    }

    fn fmt_legend(&self, f: &mut Formatter<'_>, letters: &Letters) -> fmt::Result {
        writeln!(f, "\n{:>4}  {:>10} {:>10}  {:<13} {:<36} held", "", "B", "offset", "steps", "")?;
        // Scratch of every segment would be as many lines: what all of it has in common is enough.
        for life in self.lives.iter().filter(|life| life.kind != Kind::Scratch) {
            writeln!(f, "{}", line(letters, life))?;
        }
        let scratch = || self.lives.iter().filter(|life| life.kind == Kind::Scratch);
        if let Some(most) = scratch().max_by_key(|life| life.bytes) {
            let detail = format!("at most, {}", most.detail);
            writeln!(f, "{}", line(letters, &Life { detail, ..most.clone() }))?;
        }
        writeln!(f, "{:>4}  {:>10} {:>10}  {:<13} nothing", '.', "", "", "")
    }

    fn fmt_peak(&self, f: &mut Formatter<'_>, letters: &Letters) -> fmt::Result {
        let (step, used) = self.peak(0, self.steps.saturating_sub(1));
        let layers = self.segments.iter().find(|s| (s.first..=s.last).contains(&step)).map(|s| s.layers_within(60));
        writeln!(f, "\npeak: step {step}, {}", layers.unwrap_or_default())?;
        let mut there: Vec<&Life> = self.lives.iter().filter(|life| life.is_at(step)).collect();
        there.sort_by_key(|life| std::cmp::Reverse(life.bytes));
        there.iter().try_for_each(|life| writeln!(f, "{}", line(letters, life)))?;
        let sum: u64 = there.iter().map(|life| life.bytes).sum();
        let row = |f: &mut Formatter<'_>, bytes: &str, what: &str| writeln!(f, "{:>4}  {bytes:>10} {what}", "");
        if sum > used {
            row(f, &format!("-{}", sum - used), "lies in the place of another")?;
        }
        row(f, &used.to_string(), "in use")?;
        row(f, &self.ram.saturating_sub(used).to_string(), "free, between or behind these")?;
        // Gaps may make the RAM larger than what is in use at any time.
        let end = self.lives.iter().map(Life::end).max();
        let mut highest = self.lives.iter().filter(|life| Some(life.end()) == end);
        if let (false, Some(life)) = (there.iter().any(|life| Some(life.end()) == end), highest.next()) {
            writeln!(f, "the RAM reaches as far as this, at another time:\n{}", line(letters, life))?;
        }
        let (ram, stack) = (self.ram, self.stack);
        writeln!(f, "\nRAM {ram} B, of which activations {} B at most", self.activations)?;
        writeln!(f, "stack stated {stack} B, with RAM {} B", ram + stack)?;
        let share = self.weights_read as f64 / self.weights.max(1) as f64;
        writeln!(f, "weights {} B, read per pass {} B: {share:.3} x", self.weights, self.weights_read)
    }
}

fn line(letters: &Letters, life: &Life) -> String {
    let (Life { name, detail, offset, bytes, .. }, steps) = (life, life.steps());
    let (letter, name) = (letters.letter(life), shortened(name, 36));
    format!("{letter:>4}  {bytes:>10} {offset:>10}  {steps:<13} {name:<36} {}", shortened(detail, 46))
}
