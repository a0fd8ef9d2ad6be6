//! What somebody may have meant who wrote a name that does not exist.

use strsim::damerau_levenshtein;

/// The candidates, those first that are the fewest edits away from `word`; of equals the earlier one.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut candidates: Vec<&str> = candidates.into_iter().collect();
    candidates.sort_by_cached_key(|candidate| distance(word, candidate));
    candidates
}

/// The candidate that `word` was most probably meant to be: the nearest, if it takes no more edits than a third of the longer of both
/// has characters, or one.
pub fn meant<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = nearest(word, candidates).into_iter().next()?;
    let most = word.chars().count().max(found.chars().count()) / 3;
    (distance(word, found) <= most.max(1)).then_some(found)
}

/// Characters that have to be inserted, removed, replaced or exchanged with the next one. Case does not count, and `-` is `_`.
fn distance(a: &str, b: &str) -> usize {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    damerau_levenshtein(&plain(a), &plain(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_far_is_not_meant() {
        let known = ["batch_size", "epochs", "lr"];
        assert_eq!(meant("batchsize", known), Some("batch_size"));
        assert_eq!(meant("Batch-Size", known), Some("batch_size"));
        assert_eq!(meant("epoch", known), Some("epochs"));
        assert_eq!(meant("ecpohs", known), Some("epochs"));
        assert_eq!(meant("ls", known), Some("lr"));
        assert_eq!(meant("momentum", known), None);
    }

    #[test]
    fn the_nearest_comes_first_and_of_equals_the_earlier() {
        assert_eq!(nearest("momentun", ["lr", "momentum", "nesterov"])[0], "momentum");
        assert_eq!(nearest("x", ["b", "a", "xy"]), ["b", "a", "xy"]);
    }
}
