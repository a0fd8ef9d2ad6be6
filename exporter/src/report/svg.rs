//! The memory over time as an SVG picture.

use super::life::{Kind, Life, Memory};
use super::segment::{Segment, shortened};
use std::fmt::{Result, Write};

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = TOP + 460.0;
/// Width of a character of 11 pixels, on average.
const CHARACTER: f64 = 6.2;
/// Height of a line of text.
const LINE: f64 = 13.0;
/// Most lines below the axis that say which layers a segment has.
const LINES: usize = 9;

/// What a kind of memory is painted with.
const fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Activations => "#8fbbe0",
        Kind::Weights => "#f0b37e",
        Kind::Scratch => "#b9d7a0",
        Kind::RowMemory => "#cbb2dc",
    }
}

/// Text between tags and in attributes.
fn escape(text: &str) -> String {
    let escaped = |c: char| match c {
        '&' => "&amp;".to_string(),
        '<' => "&lt;".to_string(),
        '>' => "&gt;".to_string(),
        '"' => "&quot;".to_string(),
        // Not allowed in XML at all.
        c if c.is_control() => " ".to_string(),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

/// Where steps and bytes are in the picture.
struct Axes<'m> {
    segments: &'m [Segment],
    /// Left edge of each segment, and the right edge of the last.
    edges: Vec<f64>,
    bytes: u64,
}

impl<'m> Axes<'m> {
    /// Segments are wider the more steps they have, but far from in proportion.
    fn of(memory: &'m Memory) -> Self {
        let weight = |segment: &Segment| 1.0 + (segment.steps() as f64).log2();
        let total: f64 = memory.segments.iter().map(weight).sum();
        let mut edges = vec![LEFT];
        let mut sum = 0.0;
        for segment in &memory.segments {
            sum += weight(segment);
            edges.push(LEFT + (WIDTH - LEFT - RIGHT) * sum / total);
        }
        Axes { segments: &memory.segments, edges, bytes: (memory.ram + memory.stack).max(1) }
    }

    /// Where a step begins.
    fn x(&self, step: usize) -> f64 {
        match self.segments.iter().position(|segment| step <= segment.last) {
            Some(i) => {
                let share = (step - self.segments[i].first) as f64 / self.segments[i].steps() as f64;
                self.edges[i] + share * self.width(i)
            }
            None => WIDTH - RIGHT,
        }
    }

    /// Width of a segment.
    fn width(&self, segment: usize) -> f64 {
        self.edges[segment + 1] - self.edges[segment]
    }

    fn y(&self, byte: u64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * byte as f64 / self.bytes as f64
    }
}

/// Bytes between two ticks: a power of two of them, so that there are 4 to 8.
fn tick_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(8).next_power_of_two()
}

fn bytes_label(bytes: u64) -> String {
    if bytes > 0 && bytes.is_multiple_of(1024) { format!("{} KiB", bytes / 1024) } else { bytes.to_string() }
}

/// The picture; `title` is the network's name.
pub fn svg(memory: &Memory, title: &str) -> String {
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = draw(&mut svg, memory, title);
    svg
}

fn draw(svg: &mut String, memory: &Memory, title: &str) -> Result {
    let axes = Axes::of(memory);
    let below: Vec<Below> = memory.segments.iter().enumerate().map(|(i, segment)| below(segment, axes.width(i))).collect();
    let caption = BOTTOM + 40.0 + below.iter().map(Below::height).fold(0.0, f64::max);
    let height = caption + 12.0;
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    )?;
    head(svg, memory, title)?;
    grid(svg, &axes)?;
    let areas: Vec<Area> = memory.lives.iter().map(|life| area(&axes, life)).collect();
    memory.lives.iter().zip(&areas).try_for_each(|(life, area)| a_box(svg, life, *area))?;
    // Above all boxes, and not in the way of their hints.
    writeln!(svg, r#"<g pointer-events="none">"#)?;
    for (i, (life, area)) in memory.lives.iter().zip(&areas).enumerate() {
        a_name(svg, life, uncovered(*area, areas[i + 1..].iter().copied()))?;
    }
    writeln!(svg, "</g>")?;
    below.iter().enumerate().try_for_each(|(i, below)| a_segment(svg, &axes, i, below))?;
    let (n, together) = (memory.steps, "in segments of layers that run together");
    let what = format!("{n} steps, {together}; the more steps the wider, but not in proportion");
    writeln!(svg, r#"<text x="{LEFT}" y="{caption:.1}">{what}</text>"#)?;
    let (ram, both) = (memory.ram, memory.ram + memory.stack);
    let room = axes.y(ram) - axes.y(both) > LINE;
    let at = if memory.stack == 0 || room { axes.y(ram) - 3.0 } else { axes.y(ram) + 11.0 };
    limit(svg, axes.y(ram), at, "#333", &format!("RAM {ram} B"))?;
    if memory.stack > 0 {
        let label = format!("with {} B of stack, as stated: {both} B", memory.stack);
        limit(svg, axes.y(both), axes.y(both) - 3.0, "#c00", &label)?;
    }
    svg.push_str("</svg>\n");
    Ok(())
}

fn head(svg: &mut String, memory: &Memory, title: &str) -> Result {
    let title = escape(&shortened(title, 80));
    let (ram, activations) = (memory.ram, memory.activations);
    writeln!(svg, r#"<text x="{LEFT}" y="22" font-size="16" font-weight="bold">{title}</text>"#)?;
    writeln!(svg, r#"<text x="{LEFT}" y="40" font-size="12">RAM {ram} B, activations {activations} B at most</text>"#)?;
    let is_there = |kind: &Kind| memory.lives.iter().any(|life| life.kind == *kind);
    for (i, kind) in Kind::ALL.into_iter().filter(is_there).enumerate() {
        let x = WIDTH - 420.0 + 100.0 * i as f64;
        writeln!(svg, r##"<rect x="{x}" y="14" width="12" height="12" fill="{}" stroke="#555"/>"##, colour(kind))?;
        writeln!(svg, r#"<text x="{}" y="24">{}</text>"#, x + 18.0, kind.name())?;
    }
    Ok(())
}

/// Ticks of bytes, lines between segments.
fn grid(svg: &mut String, axes: &Axes) -> Result {
    let right = WIDTH - RIGHT;
    let tick = tick_bytes(axes.bytes);
    for i in 0..=axes.bytes / tick {
        let y = axes.y(i * tick);
        writeln!(svg, r##"<line x1="{LEFT}" y1="{y:.1}" x2="{right}" y2="{y:.1}" stroke="#ddd"/>"##)?;
        let label = bytes_label(i * tick);
        writeln!(svg, r#"<text x="{}" y="{:.1}" text-anchor="end">{label}</text>"#, LEFT - 6.0, y + 4.0)?;
    }
    for x in &axes.edges {
        writeln!(svg, r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{BOTTOM}" stroke="#eee"/>"##)?;
    }
    Ok(())
}

/// A rectangle: left, top, right, bottom.
type Area = [f64; 4];

fn area(axes: &Axes, life: &Life) -> Area {
    [axes.x(life.first), axes.y(life.end()), axes.x(life.last + 1), axes.y(life.offset)]
}

/// The largest part of an area that none of the others lies over: left, right, above or below.
fn uncovered(area: Area, others: impl Iterator<Item = Area>) -> Area {
    let size = |[left, top, right, bottom]: &Area| (right - left).max(0.0) * (bottom - top).max(0.0);
    others.fold(area, |[left, top, right, bottom], [l, t, r, b]| {
        if r <= left || right <= l || b <= top || bottom <= t {
            return [left, top, right, bottom];
        }
        let parts = [[left, top, l, bottom], [r, top, right, bottom], [left, top, right, t], [left, b, right, bottom]];
        parts.into_iter().max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(area)
    })
}

fn a_box(svg: &mut String, life: &Life, [left, top, right, bottom]: Area) -> Result {
    let (Life { name, detail, bytes, offset, .. }, steps) = (life, life.steps());
    let hint = escape(&format!("{name}, {detail}: {bytes} B at {offset}, steps {steps}"));
    let (width, height, fill) = (right - left, bottom - top, colour(life.kind));
    let place = format!(r#"x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}""#);
    // Outputs that grow over what is read no more, and those made in place, lie over others: these shine through.
    let paint = format!(r##"fill="{fill}" fill-opacity="0.8" stroke="#555" stroke-width="0.7""##);
    writeln!(svg, "<rect {place} {paint}><title>{hint}</title></rect>")
}

/// What a box is, lying or standing, where there is room for it.
fn a_name(svg: &mut String, life: &Life, [left, top, right, bottom]: Area) -> Result {
    let (width, height) = (right - left, bottom - top);
    // The colour says that they are weights: where there is little room their layer is enough.
    let short = life.name.strip_prefix("weights of ").unwrap_or(&life.name);
    let name = |length: f64| {
        let fits = ((length - 6.0) / CHARACTER).max(0.0) as usize;
        let name = if life.name.chars().count() <= fits { &life.name } else { short };
        (fits >= name.chars().count().min(9)).then(|| escape(&shortened(name, fits)))
    };
    let (middle, centre) = (left + width / 2.0, top + height / 2.0 + 4.0);
    if let Some(name) = name(width).filter(|_| height >= LINE) {
        writeln!(svg, r#"<text x="{middle:.1}" y="{centre:.1}" text-anchor="middle">{name}</text>"#)?;
    } else if let Some(name) = name(height).filter(|_| width >= LINE) {
        let (middle, centre) = (middle + 4.0, centre - 4.0);
        let turn = format!("rotate(-90 {middle:.1} {centre:.1})");
        writeln!(svg, r#"<text x="{middle:.1}" y="{centre:.1}" text-anchor="middle" transform="{turn}">{name}</text>"#)?;
    }
    Ok(())
}

/// What stands below the axis for a segment.
enum Below {
    Nothing,
    /// A layer a line.
    Lines(Vec<String>),
    /// All in one, standing.
    Standing(String),
}

impl Below {
    fn height(&self) -> f64 {
        match self {
            Below::Nothing => 0.0,
            Below::Lines(lines) => LINE * lines.len() as f64,
            Below::Standing(text) => CHARACTER * text.chars().count() as f64,
        }
    }
}

fn below(segment: &Segment, width: f64) -> Below {
    let fits = (width / CHARACTER) as usize;
    let longest = segment.layers.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    if width < LINE {
        return Below::Nothing;
    }
    if fits < longest.min(14) {
        let first = segment.layers.first().map_or(String::new(), |name| shortened(name, 22));
        let more = segment.layers.len().saturating_sub(1);
        return Below::Standing(if more == 0 { first } else { format!("{first} + {more}") });
    }
    let mut lines: Vec<String> = segment.layers.iter().map(|name| shortened(name, fits)).collect();
    if lines.len() > LINES {
        let left_out = lines.len() - LINES + 1;
        lines.splice(LINES - 2..LINES - 2 + left_out, [format!(".. {left_out} ..")]);
    }
    Below::Lines(lines)
}

/// A segment's first step and its layers below the axis, where there is room.
fn a_segment(svg: &mut String, axes: &Axes, i: usize, below: &Below) -> Result {
    let (segment, x, width) = (&axes.segments[i], axes.edges[i], axes.width(i));
    let first = segment.first.to_string();
    if width >= CHARACTER * (first.len() + 1) as f64 {
        writeln!(svg, r##"<line x1="{x:.1}" y1="{BOTTOM}" x2="{x:.1}" y2="{}" stroke="#555"/>"##, BOTTOM + 5.0)?;
        writeln!(svg, r#"<text x="{:.1}" y="{}">{first}</text>"#, x + 2.0, BOTTOM + 14.0)?;
    }
    let hint = escape(&format!("{}: {}", segment.layers.join(" > "), segment.how));
    let (middle, y) = (x + width / 2.0, BOTTOM + 30.0);
    match below {
        Below::Nothing => {}
        Below::Lines(lines) => {
            for (k, line) in lines.iter().enumerate() {
                let (y, line) = (y + LINE * k as f64, escape(line));
                writeln!(svg, r#"<text x="{middle:.1}" y="{y}" text-anchor="middle"><title>{hint}</title>{line}</text>"#)?;
            }
        }
        Below::Standing(text) => {
            let (x, y, text) = (middle + 4.0, y - 8.0, escape(text));
            let turn = format!("rotate(-90 {x:.1} {y})");
            let place = format!(r#"x="{x:.1}" y="{y}" text-anchor="end" transform="{turn}""#);
            writeln!(svg, "<text {place}><title>{hint}</title>{text}</text>")?;
        }
    }
    Ok(())
}

/// A line across, with a label on the right.
fn limit(svg: &mut String, y: f64, at: f64, colour: &str, label: &str) -> Result {
    let right = WIDTH - RIGHT;
    let stroke = format!(r#"stroke="{colour}" stroke-width="1.5" stroke-dasharray="6 3""#);
    writeln!(svg, r#"<line x1="{LEFT}" y1="{y:.1}" x2="{right}" y2="{y:.1}" {stroke}/>"#)?;
    writeln!(svg, r#"<text x="{right}" y="{at:.1}" text-anchor="end" fill="{colour}">{label}</text>"#)
}
