//! Values and tables as text: what serde writes by `Display` and reads by `FromStr`, CSV fields, columns that line up.
//!
//! Written by hand: tables here have no borders, wrapping or colours, and without those a crate for tables would do what one loop does.

/// Gives a type the two conversions that `#[serde(try_from = "String", into = "String")]` asks for, by `FromStr` and `Display`: a TOML
/// file then has what the command line has.
macro_rules! written_as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = <$type as std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}
pub(crate) use written_as_text;

/// A field of a CSV line, quoted where it must be.
pub fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}

/// Rows of cells as lines with columns two spaces apart. The first `left` columns begin below each other, the others end so.
pub fn aligned(rows: &[Vec<String>], left: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(if column > 0 { "  " } else { "" });
            let cell = if column < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            line.push_str(&cell);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(csv_field("cat"), "cat");
        assert_eq!(csv_field("cat, \"tabby\""), "\"cat, \"\"tabby\"\"\"");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["layer", "n"], vec!["größe", "12"], vec!["b", "5"]];
        let rows = rows.map(|row| row.into_iter().map(String::from).collect());
        assert_eq!(aligned(&rows, 1), "layer   n\ngröße  12\nb       5\n");
    }
}
