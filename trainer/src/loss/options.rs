//! How a loss is asked for.

use super::{CrossEntropy, Loss, SigmoidCrossEntropy, SquaredError};
use crate::option::OptionError;
use crate::text::written_as_text;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The formula.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// Cross-entropy of the scores' softmax: one class a sample.
    #[default]
    CrossEntropy,
    /// A sigmoid for each output, then cross-entropy: any number of labels a sample.
    Sigmoid,
    /// Mean of squared differences: numbers.
    Mse,
}

/// How much the classes count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClassWeights {
    /// All alike.
    #[default]
    None,
    /// In inverse proportion to their training samples: `samples / (classes * samples of the class)`, so that each class counts
    /// alike in sum (scikit-learn's `balanced`). Classes are those that have samples; one that has none counts 1.
    Balanced,
    /// So much, in the order of the labels.
    List(Vec<f64>),
}

impl FromStr for ClassWeights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number =
            |part: &str| part.trim().parse().map_err(|_| format!("none, balanced or numbers are needed, not `{part}`"));
        match text {
            "none" => Ok(ClassWeights::None),
            "balanced" => Ok(ClassWeights::Balanced),
            list => Ok(ClassWeights::List(list.split(',').map(number).collect::<Result<_, _>>()?)),
        }
    }
}

written_as_text!(ClassWeights);

impl fmt::Display for ClassWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClassWeights::None => f.write_str("none"),
            ClassWeights::Balanced => f.write_str("balanced"),
            ClassWeights::List(list) => f.write_str(&list.iter().map(f64::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

/// What the training makes small.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct LossOptions {
    /// Loss: cross-entropy for one class a sample, sigmoid for any number of labels, mse for numbers.
    #[arg(long, value_name = "LOSS", default_value = "cross-entropy")]
    pub loss: LossKind,
    /// Share of every target that is spread evenly over all classes, from 0 to below 1; for cross-entropy.
    #[arg(long, value_name = "SHARE", default_value_t = LossOptions::default().label_smoothing)]
    pub label_smoothing: f64,
    /// Weights of the classes: none, balanced (rare classes count more) or a list like 1,2,0.5; for cross-entropy.
    #[arg(long, value_name = "WEIGHTS", default_value_t = LossOptions::default().class_weights)]
    pub class_weights: ClassWeights,
}

impl LossOptions {
    /// Checks what can be checked without a data set.
    ///
    /// # Errors
    /// [`OptionError`] naming the option at fault.
    pub fn check(&self) -> Result<(), OptionError> {
        let refuse = |name, reason: &str| Err(OptionError { name, reason: reason.into() });
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return refuse("label_smoothing", "a share from 0 up to, but not including, 1 is needed");
        }
        if let ClassWeights::List(list) = &self.class_weights {
            if !list.iter().all(|w| *w >= 0.0 && w.is_finite()) {
                return refuse("class_weights", "weights of 0 or more are needed");
            }
            if list.iter().all(|w| *w == 0.0) {
                return refuse("class_weights", "a weight above 0 is needed");
            }
        }
        if self.loss != LossKind::CrossEntropy {
            if self.label_smoothing != 0.0 {
                return refuse("label_smoothing", "it is for the loss cross-entropy");
            }
            if self.class_weights != ClassWeights::None {
                return refuse("class_weights", "they are for the loss cross-entropy");
            }
        }
        Ok(())
    }

    /// The loss for a network of `labels` outputs. `counts` has the training samples of each class; it is read for
    /// [`ClassWeights::Balanced`] alone.
    ///
    /// # Errors
    /// [`OptionError`] as [`LossOptions::check`], where there are not `labels` weights, and where balanced classes have no counts.
    pub fn build(&self, labels: usize, counts: &[u64]) -> Result<Box<dyn Loss>, OptionError> {
        self.check()?;
        match self.loss {
            LossKind::CrossEntropy => {
                let weights = self.weights(labels, counts)?;
                Ok(Box::new(CrossEntropy { smoothing: self.label_smoothing, weights }))
            }
            LossKind::Sigmoid => Ok(Box::new(SigmoidCrossEntropy)),
            LossKind::Mse => Ok(Box::new(SquaredError)),
        }
    }

    fn weights(&self, labels: usize, counts: &[u64]) -> Result<Vec<f64>, OptionError> {
        let refuse = |reason| Err(OptionError { name: "class_weights", reason });
        match &self.class_weights {
            ClassWeights::None => Ok(Vec::new()),
            ClassWeights::List(list) if list.len() == labels => Ok(list.clone()),
            ClassWeights::List(list) => refuse(format!("there are {} weights for {labels} classes", list.len())),
            ClassWeights::Balanced if counts.len() == labels => {
                let present = counts.iter().filter(|count| **count > 0).count() as f64;
                let samples = counts.iter().sum::<u64>() as f64;
                Ok(counts.iter().map(|count| if *count > 0 { samples / (present * *count as f64) } else { 1.0 }).collect())
            }
            ClassWeights::Balanced => refuse("balanced needs a data set of classes; its samples have none to count".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    #[test]
    fn text_and_back() {
        for (text, weights) in [
            ("none", ClassWeights::None),
            ("balanced", ClassWeights::Balanced),
            ("1,2,0.5", ClassWeights::List(vec![1.0, 2.0, 0.5])),
        ] {
            assert_eq!(text.parse(), Ok(weights.clone()));
            assert_eq!(weights.to_string(), text);
        }
        assert_eq!("1, 2".parse(), Ok(ClassWeights::List(vec![1.0, 2.0])));
        assert!("1,two".parse::<ClassWeights>().unwrap_err().contains("`two`"));

        let line = ["x", "--loss", "sigmoid", "--label-smoothing", "0.25", "--class-weights", "1,3"];
        let matches = LossOptions::augment_args(clap::Command::new("x")).get_matches_from(line);
        let options = LossOptions::from_arg_matches(&matches).unwrap();
        let file = "loss = \"sigmoid\"\nlabel_smoothing = 0.25\nclass_weights = \"1,3\"\n";
        assert_eq!(toml::to_string(&options).unwrap(), file);
        assert_eq!(toml::from_str::<LossOptions>(file).unwrap(), options);
        let matches = LossOptions::augment_args(clap::Command::new("x")).get_matches_from(["x"]);
        assert_eq!(LossOptions::from_arg_matches(&matches).unwrap(), LossOptions::default());
    }

    #[test]
    fn balanced_classes_count_alike() {
        let options = LossOptions { class_weights: ClassWeights::Balanced, ..LossOptions::default() };
        // Four classes of which three have samples: 60 / (3 * 10), 60 / (3 * 20), 60 / (3 * 30).
        assert_eq!(options.weights(4, &[10, 20, 0, 30]).unwrap(), [2.0, 1.0, 1.0, 2.0 / 3.0]);
        assert_eq!(options.build(4, &[]).unwrap_err().name, "class_weights");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let name = |options: LossOptions| options.build(2, &[]).unwrap_err().name;
        let base = LossOptions::default;
        assert_eq!(name(LossOptions { label_smoothing: 1.0, ..base() }), "label_smoothing");
        assert_eq!(name(LossOptions { label_smoothing: f64::NAN, ..base() }), "label_smoothing");
        assert_eq!(name(LossOptions { label_smoothing: 0.1, loss: LossKind::Mse, ..base() }), "label_smoothing");
        for list in [vec![1.0], vec![1.0, -1.0], vec![0.0, 0.0], vec![1.0, f64::INFINITY]] {
            assert_eq!(name(LossOptions { class_weights: ClassWeights::List(list), ..base() }), "class_weights");
        }
        let balanced = LossOptions { loss: LossKind::Sigmoid, class_weights: ClassWeights::Balanced, ..base() };
        assert_eq!(name(balanced), "class_weights");
    }
}
