//! Loss and accuracy over the epochs as an SVG picture.

use crate::metrics::EpochMetrics;
use std::fmt::Write;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;
const TICKS: u32 = 5;

/// One curve of a panel.
struct Curve {
    name: &'static str,
    colour: &'static str,
    value: fn(&EpochMetrics) -> f64,
}

/// One diagram.
struct Panel {
    title: &'static str,
    top: f64,
    curves: [Curve; 2],
}

fn coordinates(epochs: usize, top: f64, index: usize, value: f64) -> (f64, f64) {
    let span = (epochs.max(2) - 1) as f64;
    let x = LEFT + (WIDTH - LEFT - RIGHT) * index as f64 / span;
    let share = if value.is_finite() { (value / top).clamp(0.0, 1.0) } else { 1.0 };
    (x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share)
}

fn draw(svg: &mut String, panel: &Panel, offset: f64, history: &[EpochMetrics]) -> std::fmt::Result {
    writeln!(svg, r#"<g transform="translate({offset},0)">"#)?;
    writeln!(svg, r#"<text x="{LEFT}" y="20" font-weight="bold">{}</text>"#, panel.title)?;
    for tick in 0..=TICKS {
        let value = panel.top * f64::from(tick) / f64::from(TICKS);
        let (_, y) = coordinates(history.len(), panel.top, 0, value);
        let end = WIDTH - RIGHT;
        writeln!(svg, r##"<line x1="{LEFT}" y1="{y:.1}" x2="{end}" y2="{y:.1}" stroke="#ddd"/>"##)?;
        writeln!(svg, r#"<text x="{}" y="{:.1}" text-anchor="end">{value:.2}</text>"#, LEFT - 6.0, y + 4.0)?;
    }
    let every = history.len().div_ceil(10).max(1);
    for (i, m) in history.iter().enumerate().step_by(every) {
        let (x, y) = coordinates(history.len(), panel.top, i, 0.0);
        writeln!(svg, r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#, y + 18.0, m.epoch)?;
    }
    for (i, curve) in panel.curves.iter().enumerate() {
        let mut points = String::new();
        for (i, m) in history.iter().enumerate() {
            let (x, y) = coordinates(history.len(), panel.top, i, (curve.value)(m));
            write!(points, "{x:.1},{y:.1} ")?;
            writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="2.5" fill="{}"/>"#, curve.colour)?;
        }
        let Curve { name, colour, .. } = curve;
        let points = points.trim_end();
        writeln!(svg, r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>"#)?;
        let x = WIDTH - RIGHT - 160.0 + 80.0 * i as f64;
        writeln!(svg, r#"<text x="{x}" y="20" fill="{colour}">{name}</text>"#)?;
    }
    writeln!(svg, "</g>")
}

/// Two diagrams side by side: training and test loss, top-1 and top-5 accuracy, one point an epoch.
pub fn curves(history: &[EpochMetrics]) -> String {
    let losses = history.iter().flat_map(|m| [m.train_loss, m.test_loss]).filter(|l| l.is_finite());
    let largest = losses.fold(0.0, f64::max);
    let loss = Panel {
        title: "loss",
        top: if largest > 0.0 { (largest * 2.0).ceil() / 2.0 } else { 1.0 },
        curves: [
            Curve { name: "training", colour: "#1f6fb4", value: |m| m.train_loss },
            Curve { name: "test", colour: "#c8501e", value: |m| m.test_loss },
        ],
    };
    let accuracy = Panel {
        title: "test accuracy",
        top: 1.0,
        curves: [
            Curve { name: "top-1", colour: "#1f6fb4", value: |m| m.top1 },
            Curve { name: "top-5", colour: "#c8501e", value: |m| m.top5 },
        ],
    };
    let width = 2.0 * WIDTH;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    // Writing to a String cannot fail.
    let _ = draw(&mut svg, &loss, 0.0, history);
    let _ = draw(&mut svg, &accuracy, WIDTH, history);
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_stand_where_their_values_are() {
        let m = |epoch, train_loss, top1| EpochMetrics {
            epoch,
            step: 0,
            train_loss,
            lr: 0.1,
            test_loss: f64::NAN,
            top1,
            top5: 1.0,
            images_per_s: 0.0,
            seconds: 0.0,
        };
        let svg = curves(&[m(1, 2.0, 0.0), m(2, 1.0, 0.5), m(3, 0.0, 1.0)]);
        // The axis of the loss goes to 2: from the top left to the bottom right corner of the diagram.
        assert!(svg.contains(r#"points="50.0,40.0 255.0,150.0 460.0,260.0""#), "{svg}");
        assert!(svg.contains(r#"points="50.0,260.0 255.0,150.0 460.0,40.0""#), "{svg}");
        assert!(!svg.contains("NaN"));
        assert!(curves(&[]).ends_with("</svg>\n"));
    }
}
