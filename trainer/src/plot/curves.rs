//! Loss and accuracy over the epochs.

use super::axes::{Axis, Curve, Diagram, HEIGHT, WIDTH};
use super::{BLUE, ORANGE, svg};
use crate::metrics::EpochMetrics;

const TICKS: u32 = 5;

/// A column of metrics.csv: its name, its colour, and where it is.
type Column = (&'static str, &'static str, fn(&EpochMetrics) -> f64);

fn diagram(title: &str, top: f64, columns: [Column; 2], history: &[EpochMetrics]) -> Diagram {
    let epochs: Vec<String> = history.iter().map(|m| m.epoch.to_string()).collect();
    let curve = |(name, colour, value): Column| {
        let points = history.iter().enumerate().map(|(i, m)| (i as f64, value(m))).collect();
        Curve { name: name.into(), colour, width: 1.5, dots: true, points }
    };
    let (x, y) = (Axis::counted(&epochs), Axis::linear(0.0, top, TICKS));
    Diagram { title: title.into(), x, y, curves: columns.map(curve).into(), mark: None }
}

/// Two diagrams side by side: training and test loss, top-1 and top-5 accuracy, one point an epoch.
pub fn curves(history: &[EpochMetrics]) -> String {
    let losses = history.iter().flat_map(|m| [m.train_loss, m.test_loss]).filter(|l| l.is_finite());
    let largest = losses.fold(0.0, f64::max);
    let top = if largest > 0.0 { (largest * 2.0).ceil() / 2.0 } else { 1.0 };
    let losses: [Column; 2] = [("training", BLUE, |m| m.train_loss), ("test", ORANGE, |m| m.test_loss)];
    let shares: [Column; 2] = [("top-1", BLUE, |m| m.top1), ("top-5", ORANGE, |m| m.top5)];
    let mut inside = String::new();
    // Writing to a String cannot fail.
    let _ = diagram("loss", top, losses, history).draw(&mut inside, 0.0);
    let _ = diagram("test accuracy", 1.0, shares, history).draw(&mut inside, WIDTH);
    svg(2.0 * WIDTH, HEIGHT, &inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

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
            more: BTreeMap::new(),
        };
        let svg = curves(&[m(1, 2.0, 0.0), m(2, 1.0, 0.5), m(3, 0.0, 1.0)]);
        // The axis of the loss goes to 2: from the top left to the bottom right corner of the diagram.
        assert!(svg.contains(r#"points="50.0,40.0 255.0,150.0 460.0,260.0""#), "{svg}");
        assert!(svg.contains(r#"points="50.0,260.0 255.0,150.0 460.0,40.0""#), "{svg}");
        assert!(!svg.contains("NaN"));
        assert!(curves(&[]).ends_with("</svg>\n"));
    }
}
