//! A description as TOML in which every option is explained: by the words of `--help`.

use super::layers::table;
use super::{Config, ConfigError};
use clap::{Args, Command};
use std::fmt::Write;

/// Columns of a line of comment.
const WIDTH: usize = 100;

/// `text` in lines that begin with `# `.
fn comment(text: &str) -> String {
    let (mut out, mut line) = (String::new(), String::from("#"));
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            out += &line;
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line += word;
    }
    out + &line + "\n"
}

/// The text of a config.toml: every option with its explanation, those without a value as a comment.
///
/// # Errors
/// [`ConfigError`] where a path is not UTF-8.
pub(super) fn text(config: &Config) -> Result<String, ConfigError> {
    let table = table(config)?;
    let command = Config::augment_args(Command::new(""));
    let (mut text, mut section) = (String::new(), None);
    for argument in command.get_arguments() {
        let name = argument.get_id().as_str();
        let heading = argument.get_help_heading();
        if heading != section {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# ---- {} ----\n", heading.unwrap_or("What to train, and for how long"));
            section = heading;
        }
        let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
        text += &comment(&help);
        let choices: Vec<String> = argument.get_possible_values().iter().map(|v| v.get_name().to_string()).collect();
        // What a switch can be needs no words.
        if !choices.is_empty() && choices != ["true", "false"] {
            text += &comment(&format!("One of {}.", choices.join(", ")));
        }
        let _ = match table.get(name) {
            Some(value) => writeln!(text, "{name} = {value}\n"),
            None => writeln!(text, "# {name} =\n"),
        };
    }
    Ok(text)
}
