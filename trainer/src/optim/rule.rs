//! Settings for a part of the parameters, in one line: `bias: lr_factor=2, weight_decay=0`.

use crate::option::OptionError;
use crate::text::written_as_text;
use serde::{Deserialize, Serialize};
use std::fmt;

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

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<String> = self.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        write!(f, "{}: {}", self.selector, settings.join(", "))
    }
}

written_as_text!(Rule);
