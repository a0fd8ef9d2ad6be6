//! What somebody may have meant who wrote a name that does not exist.

/// The candidates, those first that are the fewest edits away from `word`; of equals the earlier one.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut candidates: Vec<&str> = candidates.into_iter().collect();
    candidates.sort_by_cached_key(|candidate| distance(word, candidate));
    candidates
}

/// Levenshtein's distance: how many characters have to be inserted, removed or replaced to make one word the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // Distances of the part of `a` so far to every beginning of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
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
    fn the_nearest_comes_first_and_of_equals_the_earlier() {
        assert_eq!(nearest("momentun", ["lr", "momentum", "nesterov"])[0], "momentum");
        assert_eq!(nearest("x", ["b", "a", "xy"]), ["b", "a", "xy"]);
    }
}
