//! Pictures of a training, as SVG: curves over the epochs, the range test of learning rates, the confusion matrix.

mod axes;
mod confusion;
mod curves;
mod lr_find;

pub use confusion::confusion;
pub use curves::curves;
pub use lr_find::lr_find;

/// Colour of what was learned from.
const BLUE: &str = "#1f6fb4";
/// Colour of what was not.
const ORANGE: &str = "#c8501e";

/// A picture of a size in pixels around `inside`.
fn svg(width: f64, height: f64, inside: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{inside}</svg>\n"
    )
}

/// Text between tags. Control characters are not allowed in XML at all.
fn escape(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
