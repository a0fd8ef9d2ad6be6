//! What somebody may have meant who wrote a name that does not exist.

/// The candidates, those first that are the fewest edits away from `word`; of equals the earlier one.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut candidates: Vec<&str> = candidates.into_iter().collect();
    candidates.sort_by_cached_key(|candidate| distance(word, candidate));
    candidates
}

/// The candidate that `word` was most probably meant to be: the nearest, where it takes no more edits than a third of the longer of both
/// has characters, or one.
pub fn meant<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = nearest(word, candidates).into_iter().next()?;
    let most = word.chars().count().max(found.chars().count()) / 3;
    (distance(word, found) <= most.max(1)).then_some(found)
}

/// Levenshtein's distance: how many characters have to be inserted, removed or replaced to make one word the other. Case does not count, and `-` is `_`.
fn distance(a: &str, b: &str) -> usize {
    let letter = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    let b: Vec<char> = b.chars().map(letter).collect();
    // Distances of the part of `a` so far to every beginning of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().map(letter).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        for (a, b, edits) in [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("lr", "lr_factor", 7)] {
            assert_eq!((distance(a, b), distance(b, a)), (edits, edits), "{a} {b}");
        }
    }

    #[test]
    fn what_is_too_far_is_not_meant() {
        let known = ["batch_size", "epochs", "lr"];
        assert_eq!(meant("batchsize", known), Some("batch_size"));
        assert_eq!(meant("Batch-Size", known), Some("batch_size"));
        assert_eq!(meant("epoch", known), Some("epochs"));
        assert_eq!(meant("ls", known), Some("lr"));
        assert_eq!(meant("momentum", known), None);
    }

    #[test]
    fn the_nearest_comes_first_and_of_equals_the_earlier() {
        assert_eq!(nearest("momentun", ["lr", "momentum", "nesterov"])[0], "momentum");
        assert_eq!(nearest("x", ["b", "a", "xy"]), ["b", "a", "xy"]);
    }
}
