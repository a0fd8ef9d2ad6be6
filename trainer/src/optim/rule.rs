//! Settings for a part of the parameters, in one line: `bias: lr_factor=2, weight_decay=0`.

use super::settings::Settings;
use crate::option::OptionError;
use crate::text::written_as_text;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A rule: which parameters, and what holds for them.
///
/// The selector is a kind (`conv`, `linear`, `weight`, `bias`, `conv.bias`, ..) or a name (`features.3`, `features.3.bias`, or
/// `classifier` for all that begins so). See [`super::Groups`] for which of several rules wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    /// Which parameters.
    pub selector: String,
    /// What is set, and to what; names from [`super::settings::KEYS`].
    pub settings: Vec<(String, String)>,
}

/// Candidates that an error lists.
const SHOWN: usize = 12;

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// An option that no rule is to blame for.
    Option(OptionError),
    /// Something is wrong in a rule.
    Rule {
        /// The rule.
        rule: String,
        /// What.
        reason: String,
    },
    /// A rule that is for nothing in this network.
    Nothing {
        /// The rule.
        rule: String,
        /// What would select something, the most similar first.
        candidates: Vec<String>,
    },
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleError::Option(error) => write!(f, "{error}"),
            RuleError::Rule { rule, reason } => write!(f, "rule \"{rule}\": {reason}"),
            RuleError::Nothing { rule, candidates } => {
                let shown = candidates.len().min(SHOWN);
                let more = match candidates.len() - shown {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let there_are = candidates[..shown].join(", ");
                write!(f, "rule \"{rule}\": selects nothing in this network; there are {there_are}{more}")
            }
        }
    }
}

impl std::error::Error for RuleError {}

impl From<OptionError> for RuleError {
    fn from(error: OptionError) -> Self {
        RuleError::Option(error)
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let fail = |reason: String| RuleError::Rule { rule: text.into(), reason };
        let Some((selector, list)) = text.split_once(':') else {
            return Err(fail("\"SELECTOR: NAME=VALUE, ..\" is needed".into()));
        };
        let selector = selector.trim();
        if selector.is_empty() || selector.contains(char::is_whitespace) {
            return Err(fail(
                "a layer, a parameter or a kind (conv, linear, weight, bias, conv.bias, ..) is needed before the colon".into(),
            ));
        }
        let mut settings: Vec<(String, String)> = Vec::new();
        for item in list.split(',') {
            match (item.split_once('='), settings.last_mut()) {
                (Some((key, value)), _) => settings.push((key.trim().into(), value.trim().into())),
                // A list of numbers has commas of its own.
                (None, Some((key, value))) if key == "step_epochs" => {
                    value.push(',');
                    value.push_str(item.trim());
                }
                (None, _) if item.trim().is_empty() => return Err(fail("nothing is set; NAME=VALUE is needed".into())),
                (None, _) => return Err(fail(format!("`{}` has no value; NAME=VALUE is needed", item.trim()))),
            }
        }
        let mut alone = Settings::default();
        for (i, (key, value)) in settings.iter().enumerate() {
            alone.set(key, value).map_err(fail)?;
            if settings[..i].iter().any(|(k, _)| k == key) {
                return Err(fail(format!("{key} is set twice")));
            }
        }
        alone.check().map_err(|e| fail(e.to_string()))?;
        Ok(Rule { selector: selector.into(), settings })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<String> = self.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        write!(f, "{}: {}", self.selector, settings.join(", "))
    }
}

written_as_text!(Rule);
