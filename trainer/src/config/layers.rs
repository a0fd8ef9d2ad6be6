//! One description out of several: what the command line gives wins over a file, a file over what a RUN folder holds, that over the
//! defaults.

use super::{Config, ConfigError};
use crate::nearest::meant;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use std::collections::BTreeSet;
use std::path::Path;
use toml::{Table, Value};

/// The names of all options, in the order in which `--help` has them.
pub(super) fn names() -> Vec<String> {
    Config::augment_args(Command::new("")).get_arguments().map(|argument| argument.get_id().to_string()).collect()
}

/// What a TOML file says.
///
/// # Errors
/// [`ConfigError::File`] naming the file, and the line or the key at fault.
pub(super) fn read(path: &Path) -> Result<Table, ConfigError> {
    let fail = |reason: String| ConfigError::File { path: path.to_path_buf(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let table: Table = text.parse().map_err(|e| fail(format!("not a training's description: {e}")))?;
    let names = names();
    for key in table.keys() {
        if !names.contains(key) {
            let close = meant(key, names.iter().map(String::as_str)).map_or(String::new(), |n| format!("; do you mean `{n}`?"));
            return Err(fail(format!("there is no option `{key}`{close}")));
        }
    }
    Ok(table)
}

/// The names of the options that were typed.
pub(super) fn typed(matches: &ArgMatches) -> BTreeSet<String> {
    let typed = |name: &String| matches.value_source(name) == Some(ValueSource::CommandLine);
    names().into_iter().filter(typed).collect()
}

/// `line`, where `typed` names what was asked for there; everything else as the first of `files` that has it says.
///
/// # Errors
/// [`ConfigError`] where a file cannot be read, or gives a value of another kind.
pub(super) fn merge(line: &Config, typed: &BTreeSet<String>, files: &[&Path]) -> Result<Config, ConfigError> {
    let mut merged = table(line)?;
    let mut decided = typed.clone();
    for path in files {
        for (key, value) in read(path)? {
            if decided.insert(key.clone()) {
                let mut alone = merged.clone();
                alone.insert(key.clone(), value.clone());
                // One by one, so that a value of another kind is blamed on its file and key.
                Config::deserialize(&alone)
                    .map_err(|reason| ConfigError::File { path: path.to_path_buf(), reason: format!("{key}: {reason}") })?;
                merged.insert(key, value);
            }
        }
    }
    Config::deserialize(&merged).map_err(|reason| ConfigError::Value { name: "config".into(), reason })
}

/// A description as TOML; what is not set is left out.
pub(super) fn table(config: &Config) -> Result<Table, ConfigError> {
    match Value::try_from(config) {
        Ok(Value::Table(table)) => Ok(table),
        Ok(other) => Err(ConfigError::Value { name: "config".into(), reason: format!("not a table but {other}") }),
        Err(error) => Err(ConfigError::Value { name: "config".into(), reason: error.to_string() }),
    }
}

impl Config {
    fn deserialize(table: &Table) -> Result<Config, String> {
        Value::Table(table.clone()).try_into().map_err(|error: toml::de::Error| error.message().to_string())
    }
}
