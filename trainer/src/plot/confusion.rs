//! The confusion matrix.

use super::{escape, svg};
use crate::metrics::Confusion;
use std::fmt::{Result, Write};

/// Sides of a cell in pixels: that at which its number fits, and the smallest.
const LARGEST: f64 = 40.0;
const SMALLEST: f64 = 4.0;
/// About this size the cells of a matrix have together.
const WHOLE: f64 = 640.0;
/// Height of a line of text, and width of a character on average.
const LINE: f64 = 14.0;
const CHARACTER: f64 = 7.0;
/// Longer labels are cut.
const LONGEST: usize = 20;

fn shortened(label: &str) -> String {
    let cut: String = label.chars().take(LONGEST).collect();
    if cut.len() < label.len() { cut + "…" } else { cut }
}

/// From white (none) to dark blue (all).
fn colour(share: f64) -> String {
    let [r, g, b] = [(255.0, 15.0), (255.0, 60.0), (255.0, 115.0)].map(|(none, all)| (none + (all - none) * share).round());
    format!("rgb({r},{g},{b})")
}

/// Rows are the classes of the samples, columns what they are taken for. The darker a cell, the larger the share of its row; where
/// the cells are large enough their counts stand in them, and labels where there is room for each.
pub fn confusion(matrix: &Confusion) -> String {
    let mut inside = String::new();
    let classes = matrix.labels().len();
    let side = (WHOLE / classes.max(1) as f64).floor().clamp(SMALLEST, LARGEST);
    let labels: Vec<String> = matrix.labels().iter().map(|label| shortened(label)).collect();
    let margin = 40.0 + CHARACTER * labels.iter().map(|label| label.chars().count()).max().unwrap_or(0) as f64;
    let extent = side * classes as f64;
    // The title is wider than a matrix of few classes.
    let (width, height) = ((margin + extent + 20.0).max(360.0), margin + extent + 20.0);
    // Writing to a String cannot fail.
    let _ = draw(&mut inside, matrix, &labels, side, margin);
    svg(width, height, &inside)
}

fn draw(svg: &mut String, matrix: &Confusion, labels: &[String], side: f64, margin: f64) -> Result {
    let (left, top, extent) = (margin, margin, side * labels.len() as f64);
    writeln!(svg, r#"<text x="20" y="20" font-weight="bold">confusion: rows are true, columns predicted</text>"#)?;
    // Labels that would overlap are left out at equal distances.
    let every = (LINE / side).ceil() as usize;
    for (i, label) in labels.iter().enumerate().step_by(every.max(1)) {
        let (along, label) = (side * (i as f64 + 0.5), escape(label));
        writeln!(svg, r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{label}</text>"#, left - 6.0, top + along + 4.0)?;
        let (x, y) = (left + along + 4.0, top - 6.0);
        writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" transform="rotate(-90 {x:.1} {y:.1})">{label}</text>"#)?;
    }
    for truth in 0..labels.len() {
        let samples = matrix.samples(truth);
        for said in 0..labels.len() {
            let count = matrix.count(truth, said);
            if count == 0 {
                continue;
            }
            let share = count as f64 / samples as f64;
            let (x, y) = (left + side * said as f64, top + side * truth as f64);
            writeln!(svg, r#"<rect x="{x:.1}" y="{y:.1}" width="{side}" height="{side}" fill="{}"/>"#, colour(share))?;
            let text = count.to_string();
            if text.len() as f64 * CHARACTER < side - 4.0 {
                let (x, y, ink) = (x + side / 2.0, y + side / 2.0 + 4.0, if share > 0.5 { "white" } else { "black" });
                writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="middle" fill="{ink}">{text}</text>"#)?;
            }
        }
    }
    writeln!(svg, r##"<rect x="{left:.1}" y="{top:.1}" width="{extent}" height="{extent}" fill="none" stroke="#999"/>"##)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::Target;

    #[test]
    fn cells_stand_where_they_belong() {
        let mut matrix = Confusion::new(&["a<b".into(), "dog".into()]);
        for (scores, class) in [([1.0, 0.0], 0), ([0.0, 1.0], 0), ([0.0, 1.0], 0), ([0.0, 1.0], 0), ([0.0, 1.0], 1)] {
            matrix.add(&scores, Target::Class(class));
        }
        let svg = confusion(&matrix);
        // Labels of 3 characters: the cells begin at 61. Shares 1/4, 3/4 and 1 of their rows.
        let cells = [
            (r#"<rect x="61.0" y="61.0" width="40" height="40" fill="rgb(195,206,220)"/>"#, ">1</text>"),
            (r#"<rect x="101.0" y="61.0" width="40" height="40" fill="rgb(75,109,150)"/>"#, ">3</text>"),
            (r#"<rect x="101.0" y="101.0" width="40" height="40" fill="rgb(15,60,115)"/>"#, ">1</text>"),
        ];
        for (cell, count) in cells {
            let behind = svg.split_once(cell).unwrap_or_else(|| panic!("no {cell} in {svg}")).1;
            assert!(behind.lines().nth(1).unwrap().ends_with(count), "{behind}");
        }
        assert_eq!(svg.matches("<rect").count(), 5, "background, three cells, frame");
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
        assert!(confusion(&Confusion::new(&[])).ends_with("</svg>\n"));
    }

    #[test]
    fn many_classes_stay_a_picture() {
        let labels: Vec<String> = (0..1000).map(|i| format!("class {i} with a name that is long")).collect();
        let mut matrix = Confusion::new(&labels);
        let mut scores = vec![0.0; 1000];
        scores[7] = 1.0;
        matrix.add(&scores, Target::Class(3));
        let svg = confusion(&matrix);
        // 20 characters and dots; cells of 4 pixels; every fourth label, twice.
        assert!(svg.contains(r#"<rect x="215.0" y="199.0" width="4" height="4""#), "{svg}");
        assert_eq!(svg.matches("<text").count(), 1 + 2 * 250);
    }
}
