//! What a network should say about the samples of a batch.

/// The wanted outputs of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// One class a sample, an index into the labels.
    Classes(Vec<u32>),
    /// Numbers for each output: `[N, outputs]`, row-major. What is to be approximated (MSE), or probabilities (sigmoid cross-entropy).
    Values {
        /// All rows, one after the other.
        data: Vec<f32>,
        /// Numbers of a sample, at least 1.
        outputs: usize,
    },
}

/// The wanted output of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// Its class.
    Class(usize),
    /// A number for each output.
    Values(&'a [f32]),
}

impl Target<'_> {
    /// What output `output` should be, if it has a target: a class stands for 1 at its own output and 0 elsewhere.
    pub fn wanted(self, output: usize) -> Option<f32> {
        match self {
            Target::Class(class) => Some(if class == output { 1.0 } else { 0.0 }),
            Target::Values(values) => values.get(output).copied(),
        }
    }
}

impl Targets {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Targets::Classes(classes) => classes.len(),
            Targets::Values { data, outputs } => data.len() / outputs.max(&1),
        }
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The wanted output of sample `i` of the batch.
    ///
    /// # Panics
    /// Panics where `i` is not below [`Targets::len`].
    pub fn get(&self, i: usize) -> Target<'_> {
        match self {
            Targets::Classes(classes) => Target::Class(classes[i] as usize),
            Targets::Values { data, outputs } => Target::Values(&data[i * outputs..][..*outputs]),
        }
    }

    /// The samples at these places of the batch.
    ///
    /// # Panics
    /// Panics where there are not so many.
    #[must_use]
    pub fn part(self, samples: std::ops::Range<usize>) -> Targets {
        match self {
            Targets::Classes(classes) => Targets::Classes(classes[samples].to_vec()),
            Targets::Values { data, outputs } => {
                Targets::Values { data: data[samples.start * outputs..samples.end * outputs].to_vec(), outputs }
            }
        }
    }

    /// The samples one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Target<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_rows() {
        let values = Targets::Values { data: vec![1.0, 2.0, 3.0, 4.0], outputs: 2 };
        assert_eq!(values.iter().collect::<Vec<_>>(), [Target::Values(&[1.0, 2.0]), Target::Values(&[3.0, 4.0])]);
        assert_eq!(Targets::Classes(vec![7, 8]).get(1), Target::Class(8));
        assert!(Targets::Classes(vec![]).is_empty());
    }
}
