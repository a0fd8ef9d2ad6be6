//! Scores and targets of samples as bytes, to be gathered from all ranks.

use crate::targets::Targets;

/// What a rank measured of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    /// A row of scores a sample.
    pub(crate) scores: Vec<f32>,
    /// What they should be.
    pub(crate) targets: Targets,
}

impl Rows {
    /// All numbers are four bytes: how many scores, how many of each target (0 for classes), the scores, the targets.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut words = vec![self.scores.len() as u32];
        let scores = self.scores.iter().map(|score| score.to_bits());
        match &self.targets {
            Targets::Classes(classes) => {
                words.push(0);
                words.extend(scores.chain(classes.iter().copied()));
            }
            Targets::Values { data, outputs } => {
                words.push(*outputs as u32);
                words.extend(scores.chain(data.iter().map(|value| value.to_bits())));
            }
        }
        words.into_iter().flat_map(u32::to_le_bytes).collect()
    }

    /// The rows of [`Rows::bytes`]; none of anything else.
    pub(crate) fn read(bytes: &[u8]) -> Option<Rows> {
        let (words, rest) = bytes.as_chunks::<4>();
        let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
        let (scores, outputs) = (words.next()? as usize, words.next()? as usize);
        if !rest.is_empty() || words.len() < scores {
            return None;
        }
        let scores = words.by_ref().take(scores).map(f32::from_bits).collect();
        let targets = match outputs {
            0 => Targets::Classes(words.collect()),
            outputs => Targets::Values { data: words.map(f32::from_bits).collect(), outputs },
        };
        Some(Rows { scores, targets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let classes = Targets::Classes(vec![7, u32::MAX]);
        let values = Targets::Values { data: vec![0.5, -1.0, f32::MIN_POSITIVE, 3.0], outputs: 2 };
        let none = Targets::Classes(Vec::new());
        for (targets, scores) in [(classes, vec![1.0, 2.0, -0.0, f32::INFINITY]), (values, vec![0.1, 0.2]), (none, Vec::new())]
        {
            let rows = Rows { scores, targets };
            assert_eq!(Rows::read(&rows.bytes()), Some(rows));
        }
        for bytes in [&b"abc"[..], &[1, 0, 0, 0, 0, 0, 0, 0], &[0; 9]] {
            assert_eq!(Rows::read(bytes), None);
        }
    }
}
