//! How metrics are asked for.

use super::{Better, BinaryAccuracy, EpochMetrics, Metric, PerClass, Rmse, Score, TopK};
use crate::nearest::meant;
use crate::option::OptionError;
use serde::{Deserialize, Serialize};

/// What is measured on the test samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct MetricOptions {
    /// Metrics: topK and topK-error for any K, rmse, binary-accuracy, precision, recall, f1.
    #[arg(long, value_name = "NAME,NAME,..", value_delimiter = ',', default_values_t = MetricOptions::default().metrics)]
    pub metrics: Vec<String>,
    /// What the best network is best by: a metric, a class of one (f1/cat), or test_loss.
    #[arg(long, value_name = "NAME", default_value_t = MetricOptions::default().best_by)]
    pub best_by: String,
}

impl Default for MetricOptions {
    fn default() -> Self {
        MetricOptions { metrics: vec!["top1".into(), "top5".into()], best_by: "top1".into() }
    }
}

/// A metric by its name.
#[derive(Clone, Copy)]
enum Kind {
    Top { k: usize, error: bool },
    Rmse,
    BinaryAccuracy,
    PerClass(Score),
}

/// What the best network is best by.
struct Best<'a> {
    name: &'a str,
    kind: Kind,
    /// The label, where it is one class that counts.
    class: Option<&'a str>,
}

/// Names to suggest; K is any.
const KNOWN: [&str; 9] = ["top1", "top5", "top1-error", "top5-error", "rmse", "binary-accuracy", "precision", "recall", "f1"];

/// The losses after an epoch, which are no metrics but can be best.
const LOSSES: [&str; 2] = ["test_loss", "train_loss"];

impl Kind {
    fn parse(name: &str) -> Option<Kind> {
        let (top, error) = name.strip_suffix("-error").map_or((name, false), |top| (top, true));
        let digits =
            top.strip_prefix("top").filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0'));
        match (digits.and_then(|digits| digits.parse().ok()), name) {
            (Some(k), _) => Some(Kind::Top { k, error }),
            (None, "rmse") => Some(Kind::Rmse),
            (None, "binary-accuracy") => Some(Kind::BinaryAccuracy),
            (None, "precision") => Some(Kind::PerClass(Score::Precision)),
            (None, "recall") => Some(Kind::PerClass(Score::Recall)),
            (None, "f1") => Some(Kind::PerClass(Score::F1)),
            (None, _) => None,
        }
    }

    fn build(self, labels: &[String]) -> Box<dyn Metric> {
        match self {
            Kind::Top { k, error: false } => Box::new(TopK::accuracy(k)),
            Kind::Top { k, error: true } => Box::new(TopK::error(k)),
            Kind::Rmse => Box::new(Rmse::default()),
            Kind::BinaryAccuracy => Box::new(BinaryAccuracy::default()),
            Kind::PerClass(score) => Box::new(PerClass::new(score, labels)),
        }
    }
}

/// That `text` is none of `known`, and which is meant where that can be guessed.
fn unknown(name: &'static str, text: &str, known: &[&str], all: &str) -> OptionError {
    let hint = meant(text, known.iter().copied()).map(|k| format!("did you mean `{k}`? "));
    OptionError { name, reason: format!("there is no `{text}`; {}There are {all}", hint.unwrap_or_default()) }
}

/// What may be asked for.
const ALL: &str = "topK and topK-error (K = 1, 2, ..), rmse, binary-accuracy, precision, recall and f1";

impl MetricOptions {
    /// Checks the names.
    ///
    /// # Errors
    /// [`OptionError`] naming the option, what it says that is no metric, and the nearest that is.
    pub fn check(&self) -> Result<(), OptionError> {
        self.better().and(self.kinds()).map(|_| ())
    }

    fn kinds(&self) -> Result<Vec<(&str, Kind)>, OptionError> {
        let kind = |text: &String| Kind::parse(text).ok_or_else(|| unknown("metrics", text, &KNOWN, ALL));
        self.metrics.iter().map(|text| Ok((text.as_str(), kind(text)?))).collect()
    }

    /// The metric that says which network is best; nothing where it is a loss.
    fn best(&self) -> Result<Option<Best<'_>>, OptionError> {
        if LOSSES.contains(&self.best_by.as_str()) {
            return Ok(None);
        }
        let (name, class) =
            self.best_by.split_once('/').map_or((self.best_by.as_str(), None), |(name, class)| (name, Some(class)));
        match (Kind::parse(name), class) {
            (Some(kind), None) => Ok(Some(Best { name, kind, class: None })),
            (Some(kind @ Kind::PerClass(_)), class) => Ok(Some(Best { name, kind, class })),
            (Some(Kind::Top { .. } | Kind::Rmse | Kind::BinaryAccuracy), Some(_)) => {
                Err(OptionError { name: "best_by", reason: format!("`{name}` is one number, without classes") })
            }
            (None, _) => {
                let known: Vec<&str> = KNOWN.into_iter().chain(LOSSES).collect();
                Err(unknown("best_by", name, &known, &format!("{ALL}, test_loss and train_loss")))
            }
        }
    }

    /// Whether higher values of [`MetricOptions::best_by`] are better.
    ///
    /// # Errors
    /// As [`MetricOptions::check`].
    pub fn better(&self) -> Result<Better, OptionError> {
        Ok(self.best()?.map_or(Better::Lower, |best| best.kind.build(&[]).better()))
    }

    /// The epoch that is best by [`MetricOptions::best_by`], the first of equals.
    ///
    /// # Errors
    /// As [`MetricOptions::check`].
    pub fn best_epoch<'a>(&self, history: &'a [EpochMetrics]) -> Result<Option<&'a EpochMetrics>, OptionError> {
        let better = self.better()?;
        let value = |metrics: &EpochMetrics| metrics.get(&self.best_by).unwrap_or(f64::NAN);
        Ok(history.iter().reduce(|best, next| if better.beats(value(next), Some(value(best))) { next } else { best }))
    }

    /// The metrics that are asked for, each once, and the one that the best network is best by.
    ///
    /// # Errors
    /// As [`MetricOptions::check`], and where `best_by` names a class that is not among the labels.
    pub fn build(&self, labels: &[String]) -> Result<Vec<Box<dyn Metric>>, OptionError> {
        let mut kinds = self.kinds()?;
        if let Some(Best { name, kind, class }) = self.best()? {
            if let Some(class) = class.filter(|class| !labels.iter().any(|label| label == class)) {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                return Err(unknown("best_by", class, &labels, &labels.join(", ")));
            }
            kinds.push((name, kind));
        }
        let mut seen = std::collections::BTreeSet::new();
        kinds.retain(|(name, _)| seen.insert(*name));
        Ok(kinds.into_iter().map(|(_, kind)| kind.build(labels)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn options(metrics: &[&str], best_by: &str) -> MetricOptions {
        MetricOptions { metrics: metrics.iter().map(|m| m.to_string()).collect(), best_by: best_by.into() }
    }

    fn names(metrics: &[Box<dyn Metric>]) -> Vec<String> {
        metrics.iter().map(|metric| metric.name()).collect()
    }

    #[test]
    fn every_name_makes_its_metric() {
        for name in KNOWN.into_iter().chain(["top17", "top3-error"]) {
            let built = options(&[name], "test_loss").build(&[]).unwrap();
            assert_eq!(names(&built), [name]);
            assert_eq!(built[0].values()[0], (name.to_string(), 0.0));
        }
        let labels = ["cat".to_string(), "dog".to_string()];
        let built = options(&["top1", "rmse", "top1"], "f1/dog").build(&labels).unwrap();
        assert_eq!(names(&built), ["top1", "rmse", "f1"], "each once, and what is best");
    }

    #[test]
    fn what_is_best() {
        let better = |best_by| options(&[], best_by).better().unwrap();
        for best_by in ["top1", "top9", "f1", "recall/cat", "binary-accuracy"] {
            assert_eq!(better(best_by), Better::Higher);
        }
        for best_by in ["test_loss", "train_loss", "top1-error", "rmse"] {
            assert_eq!(better(best_by), Better::Lower);
        }
    }

    #[test]
    fn a_misspelt_name_is_told_the_nearest() {
        let said = |options: MetricOptions| options.build(&["cat".into(), "dog".into()]).unwrap_err().to_string();
        let text = said(options(&["top1", "percision"], "top1"));
        assert!(text.starts_with("metrics: there is no `percision`; did you mean `precision`? There are topK"), "{text}");
        assert!(said(options(&["Top-1"], "top1")).contains("`top1`"));
        assert!(said(options(&["top0"], "top1")).contains("no `top0`"));
        assert!(said(options(&["top+1"], "top1")).contains("no `top+1`"));
        assert!(!said(options(&["something-else"], "top1")).contains("did you mean"));
        let text = said(options(&[], "test-loss"));
        assert!(text.starts_with("best_by: there is no `test-loss`; did you mean `test_loss`?"), "{text}");
        assert!(said(options(&[], "f1/cats")).contains("did you mean `cat`? There are cat, dog"));
        assert!(said(options(&[], "top1/cat")).starts_with("best_by: `top1` is one number"));
        assert_eq!(options(&["f2"], "top1").check().unwrap_err().name, "metrics");
        assert_eq!(options(&[], "f2").check().unwrap_err().name, "best_by");
        assert_eq!(MetricOptions::default().check(), Ok(()));
    }

    #[test]
    fn text_and_back() {
        let line = ["x", "--metrics", "top1,f1", "--best-by", "f1"];
        let matches = MetricOptions::augment_args(clap::Command::new("x")).get_matches_from(line);
        let given = MetricOptions::from_arg_matches(&matches).unwrap();
        assert_eq!(given, options(&["top1", "f1"], "f1"));
        assert_eq!(toml::from_str::<MetricOptions>(&toml::to_string(&given).unwrap()).unwrap(), given);
        assert_eq!(toml::from_str::<MetricOptions>("").unwrap(), MetricOptions::default());
        let matches = MetricOptions::augment_args(clap::Command::new("x")).get_matches_from(["x"]);
        assert_eq!(MetricOptions::from_arg_matches(&matches).unwrap(), MetricOptions::default());
    }
}
