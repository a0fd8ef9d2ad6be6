//! Reading a rule: what it sets has to exist, and to make sense by itself.

use super::rule::{Rule, RuleError};
use super::settings::Settings;
use std::str::FromStr;

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
