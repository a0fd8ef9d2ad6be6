//! Precision, recall and F1.

use super::{Better, Metric, first_of_highest};
use crate::targets::Target;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// Of the samples said to be of a class, the share that is.
    Precision,
    /// Of the samples of a class, the share that is said to be.
    Recall,
    /// Harmonic mean of the two.
    F1,
}

impl Score {
    /// `precision`, `recall` or `f1`.
    pub fn name(self) -> &'static str {
        match self {
            Score::Precision => "precision",
            Score::Recall => "recall",
            Score::F1 => "f1",
        }
    }
}

/// What is counted for a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Of the class, and said to be.
    both: u64,
    /// Said to be of the class.
    said: u64,
    /// Of the class.
    is: u64,
}

/// A [`Score`] for each class (`f1/cat`) and their mean, in which every class counts alike (`f1`).
///
/// Where samples have a class, the highest score says which one. Where they have values, every output says yes with a score above
/// 0, and a value above a half means that it should. As scikit-learn: 0 divided by 0 is 0, and classes that neither occur nor
/// are said to stay out of the mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerClass {
    score: Score,
    labels: Vec<String>,
    counts: Vec<Counts>,
}

impl PerClass {
    /// For a network with one output for each of `labels`.
    pub fn new(score: Score, labels: &[String]) -> Self {
        PerClass { score, labels: labels.to_vec(), counts: vec![Counts::default(); labels.len()] }
    }

    fn of(&self, counts: Counts) -> f64 {
        let (part, whole) = match self.score {
            Score::Precision => (counts.both, counts.said),
            Score::Recall => (counts.both, counts.is),
            Score::F1 => (2 * counts.both, counts.said + counts.is),
        };
        super::share(part, whole)
    }
}

impl Metric for PerClass {
    fn name(&self) -> String {
        self.score.name().into()
    }

    fn better(&self) -> Better {
        Better::Higher
    }

    fn add(&mut self, scores: &[f32], target: Target<'_>) {
        let best = first_of_highest(scores);
        for (class, counts) in self.counts.iter_mut().enumerate() {
            let is = target.wanted(class).is_some_and(|wanted| wanted > 0.5);
            let said = match target {
                Target::Class(_) => best == Some(class),
                Target::Values(_) => scores.get(class).is_some_and(|score| *score > 0.0),
            };
            counts.both += u64::from(is && said);
            counts.said += u64::from(said);
            counts.is += u64::from(is);
        }
    }

    fn values(&self) -> Vec<(String, f64)> {
        let present: Vec<f64> = self.counts.iter().filter(|c| c.said + c.is > 0).map(|c| self.of(*c)).collect();
        let mean = present.iter().sum::<f64>() / present.len().max(1) as f64;
        let classes = self.labels.iter().zip(&self.counts);
        let classes = classes.map(|(label, counts)| (format!("{}/{label}", self.score.name()), self.of(*counts)));
        std::iter::once((self.name(), mean)).chain(classes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Score; 3] = [Score::Precision, Score::Recall, Score::F1];

    fn values(score: Score, samples: &[(&[f32], Target<'_>)]) -> Vec<f64> {
        let labels: Vec<String> = ["cat", "dog", "owl", "elk"].map(String::from).into();
        let mut metric = PerClass::new(score, &labels);
        for (scores, target) in samples {
            metric.add(scores, *target);
        }
        let (names, values): (Vec<String>, Vec<f64>) = metric.values().into_iter().unzip();
        assert_eq!(names[0], score.name());
        assert_eq!(names[2], format!("{}/dog", score.name()));
        values
    }

    fn close(found: &[f64], expected: [f64; 5]) {
        assert_eq!(found.len(), 5);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} is not {expected:?}");
    }

    /// Truth and what is said: cat 3 of which 2 are said to be cats and 1 a dog; dog 2, of which 1 cat, 1 dog; owl 1, said to be
    /// a dog; no elk, and none said.
    #[test]
    fn classes_by_hand() {
        let (cat, dog): (&[f32], &[f32]) = (&[1.0, 0.0, 0.0, 0.0], &[0.0, 1.0, 0.0, 0.0]);
        let said = [(cat, 0), (cat, 0), (dog, 0), (cat, 1), (dog, 1), (dog, 2)];
        let samples: Vec<(&[f32], Target<'_>)> = said.iter().map(|(scores, class)| (*scores, Target::Class(*class))).collect();
        let of = |score| values(score, &samples);
        close(&of(Score::Precision), [1.0 / 3.0, 2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]);
        close(&of(Score::Recall), [(2.0 / 3.0 + 0.5) / 3.0, 2.0 / 3.0, 0.5, 0.0, 0.0]);
        // F1 of cat 2/3; of dog 2/5.
        close(&of(Score::F1), [(2.0 / 3.0 + 0.4) / 3.0, 2.0 / 3.0, 0.4, 0.0, 0.0]);
    }

    #[test]
    fn several_labels_a_sample() {
        let samples: [(&[f32], _); 2] = [
            (&[1.0, 2.0, -1.0, f32::NAN], Target::Values(&[1.0, 0.0, 0.0, 1.0])),
            (&[0.5, -2.0, 0.0, -1.0], Target::Values(&[1.0, 1.0, 0.0, 0.0])),
        ];
        let of = |score| values(score, &samples);
        // cat: 2 of 2 and said twice; dog: said once, wrongly, once not said; owl: never; elk: once, not said.
        close(&of(Score::Precision), [1.0 / 3.0, 1.0, 0.0, 0.0, 0.0]);
        close(&of(Score::Recall), [1.0 / 3.0, 1.0, 0.0, 0.0, 0.0]);
        close(&of(Score::F1), [1.0 / 3.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn nothing_is_right_without_numbers() {
        for score in ALL {
            close(&values(score, &[(&[f32::NAN; 4], Target::Class(1))]), [0.0; 5]);
            close(&values(score, &[]), [0.0; 5]);
        }
    }
}
