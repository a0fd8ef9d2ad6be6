//! Diagrams: two axes, and curves between them.

use std::fmt::{Result, Write};

/// Size of a diagram in pixels, with what is written around it.
pub(super) const WIDTH: f64 = 480.0;
pub(super) const HEIGHT: f64 = 300.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;

/// Numbers along one side of a diagram.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
    /// Numbers to write, with their text.
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Equal distances for equal differences, with a number at each of `parts + 1` places.
    pub(super) fn linear(from: f64, to: f64, parts: u32) -> Self {
        let tick = |i: u32| from + (to - from) * f64::from(i) / f64::from(parts);
        let ticks = (0..=parts).map(tick).map(|value| (value, format!("{value:.2}"))).collect();
        Axis { from, to, logarithmic: false, ticks }
    }

    /// As [`Axis::linear`], from and to a little farther, so that the numbers are round: about five multiples of 1, 2 or 5 times a
    /// power of ten.
    pub(super) fn rounded(from: f64, to: f64) -> Self {
        let power = ((to - from) / 5.0).log10().floor();
        let steps = [1.0, 2.0, 5.0, 10.0].map(|multiple| multiple * 10_f64.powf(power));
        // The last one is always large enough.
        let step = steps.into_iter().find(|step| 5.001 * step >= to - from).unwrap_or(steps[3]);
        let digits = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
        let (first, last) = ((from / step).floor() as i64, (to / step).ceil() as i64);
        let ticks = (first..=last).map(|i| i as f64 * step).map(|value| (value, format!("{value:.digits$}"))).collect();
        Axis { from: first as f64 * step, to: last as f64 * step, logarithmic: false, ticks }
    }

    /// Equal distances for equal ratios, with a number at powers of ten.
    pub(super) fn logarithmic(from: f64, to: f64) -> Self {
        let exponents = from.log10().ceil() as i32..=to.log10().floor() as i32;
        let every = exponents.clone().count().div_ceil(8).max(1);
        let ticks = exponents.step_by(every).map(|exponent| (10_f64.powi(exponent), format!("1e{exponent}"))).collect();
        Axis { from, to, logarithmic: true, ticks }
    }

    /// Whole numbers, of which at most about ten are written: `labels` are those of 0, 1, ..
    pub(super) fn counted(labels: &[String]) -> Self {
        let every = labels.len().div_ceil(10).max(1);
        let ticks = labels.iter().enumerate().step_by(every).map(|(i, label)| (i as f64, label.clone())).collect();
        Axis { from: 0.0, to: (labels.len().max(2) - 1) as f64, logarithmic: false, ticks }
    }

    /// How far along a number is, from 0 to 1; 1 for what is not finite.
    fn share(&self, value: f64) -> f64 {
        let on = |value: f64| if self.logarithmic { value.ln() } else { value };
        let share = (on(value) - on(self.from)) / (on(self.to) - on(self.from));
        if value.is_finite() { share.clamp(0.0, 1.0) } else { 1.0 }
    }
}

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) colour: &'static str,
    pub(super) width: f64,
    /// Whether every point has a dot.
    pub(super) dots: bool,
    pub(super) points: Vec<(f64, f64)>,
}

/// One diagram.
#[derive(Clone, Debug)]
pub(super) struct Diagram {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) curves: Vec<Curve>,
    /// A number on the x axis to point out, with what to say about it.
    pub(super) mark: Option<(f64, String)>,
}

impl Diagram {
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let right = LEFT + (WIDTH - LEFT - RIGHT) * self.x.share(x);
        (right, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * self.y.share(y))
    }

    /// Draws the diagram with its left edge at `offset`.
    pub(super) fn draw(&self, svg: &mut String, offset: f64) -> Result {
        writeln!(svg, r#"<g transform="translate({offset},0)">"#)?;
        writeln!(svg, r#"<text x="{LEFT}" y="20" font-weight="bold">{}</text>"#, self.title)?;
        for (value, text) in &self.y.ticks {
            let (_, y) = self.place(self.x.from, *value);
            let end = WIDTH - RIGHT;
            writeln!(svg, r##"<line x1="{LEFT}" y1="{y:.1}" x2="{end}" y2="{y:.1}" stroke="#ddd"/>"##)?;
            writeln!(svg, r#"<text x="{}" y="{:.1}" text-anchor="end">{text}</text>"#, LEFT - 6.0, y + 4.0)?;
        }
        for (value, text) in &self.x.ticks {
            let (x, y) = self.place(*value, self.y.from);
            if self.x.logarithmic {
                writeln!(svg, r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{y:.1}" stroke="#ddd"/>"##)?;
            }
            writeln!(svg, r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#, y + 18.0)?;
        }
        self.curves(svg)?;
        if let Some((value, text)) = &self.mark {
            let (x, y) = self.place(*value, self.y.from);
            writeln!(svg, r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{y:.1}" stroke="#333" stroke-dasharray="4 3"/>"##)?;
            // On the side with more room.
            let (gap, anchor) = if x > WIDTH / 2.0 { (-6.0, "end") } else { (6.0, "start") };
            writeln!(svg, r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}">{text}</text>"#, x + gap, y - 8.0)?;
        }
        writeln!(svg, "</g>")
    }

    fn curves(&self, svg: &mut String) -> Result {
        for (i, curve) in self.curves.iter().enumerate() {
            let Curve { name, colour, width, .. } = curve;
            let mut points = String::new();
            for (x, y) in &curve.points {
                let (x, y) = self.place(*x, *y);
                write!(points, "{x:.1},{y:.1} ")?;
                if curve.dots {
                    writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="2.5" fill="{colour}"/>"#)?;
                }
            }
            let points = points.trim_end();
            writeln!(svg, r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>"#)?;
            let x = WIDTH - RIGHT - 160.0 + 80.0 * i as f64;
            writeln!(svg, r#"<text x="{x}" y="20" fill="{colour}">{name}</text>"#)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_an_axis() {
        let axis = Axis::linear(1.0, 3.0, 2);
        assert_eq!([0.0, 1.0, 1.5, 3.0, 9.0, f64::NAN].map(|v| axis.share(v)), [0.0, 0.0, 0.25, 1.0, 1.0, 1.0]);
        assert_eq!(axis.ticks.iter().map(|t| t.1.as_str()).collect::<Vec<_>>(), ["1.00", "2.00", "3.00"]);
        let axis = Axis::logarithmic(1e-4, 1.0);
        assert!((axis.share(0.01) - 0.5).abs() < 1e-12 && axis.share(0.0) == 0.0);
        assert_eq!(axis.ticks.iter().map(|t| t.1.as_str()).collect::<Vec<_>>(), ["1e-4", "1e-3", "1e-2", "1e-1", "1e0"]);
        let texts = |axis: Axis| axis.ticks.into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(texts(Axis::rounded(0.39, 2.68)), ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0"]);
        assert_eq!(texts(Axis::rounded(-0.01, 0.035)), ["-0.01", "0.00", "0.01", "0.02", "0.03", "0.04"]);
        assert_eq!(texts(Axis::rounded(100.0, 1100.0)), ["0", "200", "400", "600", "800", "1000", "1200"]);
        assert_eq!(Axis::counted(&vec![String::new(); 25]).ticks.len(), 9);
    }
}
