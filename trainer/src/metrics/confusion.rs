//! Which class is taken for which.

use super::{class_of, first_of_highest};
use crate::targets::Target;
use crate::text::{aligned, csv_field};
use std::fmt;

/// Samples by their class (rows) and the class with the highest score (columns). `Display` is an aligned table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    labels: Vec<String>,
    /// `[classes, classes + 1]`; the last column has the samples without a score that is a number.
    counts: Vec<u64>,
}

impl Confusion {
    /// An empty matrix.
    pub fn new(labels: &[String]) -> Self {
        Confusion { labels: labels.to_vec(), counts: vec![0; labels.len() * (labels.len() + 1)] }
    }

    /// The classes.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Counts one sample; of values the class is the one with the highest. A class without a label is left out.
    pub fn add(&mut self, scores: &[f32], target: Target<'_>) {
        let classes = self.labels.len();
        let said = first_of_highest(&scores[..scores.len().min(classes)]).unwrap_or(classes);
        if let Some(class) = class_of(target).filter(|class| *class < classes) {
            self.counts[class * (classes + 1) + said] += 1;
        }
    }

    /// Samples of class `truth` that are taken for `said`; 0 where there is no such class.
    pub fn count(&self, truth: usize, said: usize) -> u64 {
        let inside = truth < self.labels.len() && said < self.labels.len();
        if inside { self.row(truth)[said] } else { 0 }
    }

    /// Samples of class `truth`, by what they are taken for; behind the classes those without a score that is a number.
    fn row(&self, truth: usize) -> &[u64] {
        let columns = self.labels.len() + 1;
        &self.counts[truth * columns..][..columns]
    }

    /// Samples of class `truth`.
    pub fn samples(&self, truth: usize) -> u64 {
        if truth < self.labels.len() { self.row(truth).iter().sum() } else { 0 }
    }

    /// A header, and for each class its name and counts. The last column is there only where it is needed.
    fn table(&self) -> Vec<Vec<String>> {
        let classes = self.labels.len();
        let unsaid = (0..classes).any(|truth| self.row(truth)[classes] > 0);
        let columns = classes + usize::from(unsaid);
        let mut header = vec!["truth \\ prediction".to_string()];
        header.extend(self.labels.iter().cloned());
        header.extend(unsaid.then(|| "(none)".to_string()));
        let row = |truth: usize| {
            let counts = self.row(truth)[..columns].iter().map(u64::to_string);
            std::iter::once(self.labels[truth].clone()).chain(counts).collect()
        };
        std::iter::once(header).chain((0..classes).map(row)).collect()
    }

    /// The matrix as CSV, labels in the first line and column.
    pub fn to_csv(&self) -> String {
        let line = |row: Vec<String>| row.iter().map(|cell| csv_field(cell)).collect::<Vec<_>>().join(",") + "\n";
        self.table().into_iter().map(line).collect()
    }
}

impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&aligned(&self.table(), 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_by_hand() {
        let mut matrix = Confusion::new(&["cat".into(), "dog, big".into()]);
        let samples: [([f32; 2], usize); 6] =
            [([1.0, 0.0], 0), ([1.0, 0.0], 0), ([0.0, 1.0], 0), ([0.0, 1.0], 1), ([2.0, 2.0], 1), ([0.0, 1.0], 7)];
        for (scores, class) in samples {
            matrix.add(&scores, Target::Class(class));
        }
        matrix.add(&[0.0, 1.0], Target::Values(&[0.25, 0.75]));
        let counts = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)].map(|(truth, said)| matrix.count(truth, said));
        assert_eq!(counts, [2, 1, 1, 2, 0]);
        assert_eq!([matrix.samples(0), matrix.samples(1), matrix.samples(2)], [3, 3, 0]);
        assert_eq!(matrix.to_csv(), "truth \\ prediction,cat,\"dog, big\"\ncat,2,1\n\"dog, big\",1,2\n");
        let table =
            "truth \\ prediction  cat  dog, big\ncat                   2         1\ndog, big              1         2\n";
        assert_eq!(matrix.to_string(), table);

        matrix.add(&[f32::NAN; 2], Target::Class(1));
        assert_eq!(matrix.samples(1), 4);
        assert!(matrix.to_csv().ends_with(",(none)\ncat,2,1,0\n\"dog, big\",1,2,1\n"), "{}", matrix.to_csv());
    }
}
