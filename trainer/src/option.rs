//! An option whose value makes no sense, and names that were misspelt.

use std::fmt;

/// An option whose value makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    /// The option, as a TOML file names it.
    pub name: &'static str,
    /// What is wrong with its value.
    pub reason: String,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

impl std::error::Error for OptionError {}

/// The candidate that `name` was most probably meant to be: the one of the least edit distance, if that is at most a third of its
/// length, and at least 1.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, candidate) = candidates.map(|c| (distance(name, c), c)).min_by_key(|(d, _)| *d)?;
    (distance <= (name.chars().count().max(candidate.chars().count()) / 3).max(1)).then_some(candidate)
}

/// Levenshtein's edit distance; `-` counts as `_`.
fn distance(a: &str, b: &str) -> usize {
    let letter = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    let b: Vec<char> = b.chars().map(letter).collect();
    // Distances of the letters of `a` so far to each beginning of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().map(letter).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = before + usize::from(a != *b);
            before = row[j + 1];
            row[j + 1] = replaced.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let table =
            [("kitten", "sitting", 3), ("", "abc", 3), ("flaw", "lawn", 2), ("batch-size", "batch_size", 0), ("lr", "LR", 0)];
        for (a, b, d) in table {
            assert_eq!((distance(a, b), distance(b, a)), (d, d), "{a} {b}");
        }
    }

    #[test]
    fn what_is_too_far_is_not_offered() {
        let known = ["batch_size", "epochs", "lr"];
        assert_eq!(nearest("batchsize", known.into_iter()), Some("batch_size"));
        assert_eq!(nearest("epoch", known.into_iter()), Some("epochs"));
        assert_eq!(nearest("ls", known.into_iter()), Some("lr"));
        assert_eq!(nearest("momentum", known.into_iter()), None);
    }
}
