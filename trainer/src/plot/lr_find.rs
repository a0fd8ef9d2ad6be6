//! The range test of learning rates.

use super::axes::{Axis, Curve, Diagram, HEIGHT, WIDTH};
use super::{BLUE, svg};
use crate::lr_find::Point;

/// Losses over the learning rate, whose axis is logarithmic: of single batches in grey, smoothed in blue, and a line at the
/// `suggestion`. An exploding loss leaves the picture at the top, so that the fall before it can be seen.
pub fn lr_find(points: &[Point], suggestion: Option<f64>) -> String {
    let points: Vec<&Point> = points.iter().filter(|p| p.lr > 0.0 && p.lr.is_finite()).collect();
    let (first, last) = match (points.first(), points.last()) {
        (Some(first), Some(last)) if last.lr > first.lr => (first.lr, last.lr),
        _ => (1e-4, 1.0),
    };
    let smoothed = || points.iter().map(|p| p.smoothed).filter(|loss| loss.is_finite());
    let begin = smoothed().next().unwrap_or(1.0);
    let bottom = smoothed().fold(begin, f64::min);
    // A quarter more than the fall, above and below; a twentieth of the loss where it hardly falls.
    let fall = (begin - bottom).max(begin.abs() / 20.0).max(1e-6);
    let curve = |name: &str, colour, width, loss: fn(&Point) -> f64| {
        let points = points.iter().map(|p| (p.lr, loss(p))).collect();
        Curve { name: name.into(), colour, width, dots: false, points }
    };
    let diagram = Diagram {
        title: "loss over learning rate".into(),
        x: Axis::logarithmic(first, last),
        y: Axis::rounded(bottom - fall / 4.0, begin + fall / 4.0),
        curves: vec![curve("batches", "#bbb", 1.0, |p| p.loss), curve("smoothed", BLUE, 2.0, |p| p.smoothed)],
        mark: suggestion.map(|lr| (lr, format!("suggested: {lr:.2e}"))),
    };
    let mut inside = String::new();
    // Writing to a String cannot fail.
    let _ = diagram.draw(&mut inside, 0.0);
    svg(WIDTH, HEIGHT, &inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_stand_where_their_values_are() {
        let losses = [(0.01, 5.0), (0.1, 1.0), (1.0, 400.0), (10.0, f64::NAN)];
        let points = losses.map(|(lr, loss)| Point { lr, loss, smoothed: loss });
        let svg = lr_find(&points, Some(0.1));
        // The axis goes from 0 to 6 and over three decades of 410 / 3 pixels; what is too high or none stands at the top.
        assert!(svg.contains(r#"points="50.0,76.7 186.7,223.3 323.3,40.0 460.0,40.0""#), "{svg}");
        assert!(svg.contains(r##"x1="186.7" y1="40" x2="186.7" y2="260.0" stroke="#333""##), "{svg}");
        assert!(svg.contains("suggested: 1.00e-1") && svg.contains(">1e-2</text>") && !svg.contains("NaN"));
        for few in [&points[..1], &[]] {
            assert!(lr_find(few, None).ends_with("</svg>\n") && !lr_find(few, None).contains("NaN"));
        }
    }
}
