//! Layers of descriptions, and the commented file.

use super::*;
use crate::init::Init;
use crate::models::by_name;
use clap::{Args, Command};

/// As `trainer train` would parse these words, over these files.
fn resolved(line: &str, files: &[&Path]) -> Result<Config, ConfigError> {
    let command = Config::augment_args(Command::new("train").no_binary_name(true));
    let matches = command.try_get_matches_from(line.split_whitespace()).unwrap();
    <Config as clap::FromArgMatches>::from_arg_matches(&matches).unwrap().over(&matches, files)
}

#[test]
fn the_command_line_wins_over_files_and_they_over_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let (near, far) = (dir.path().join("near.toml"), dir.path().join("far.toml"));
    std::fs::write(&near, "data = \"D\"\nepochs = 7\nlr = 1\ninit = \"gaussian\"").unwrap();
    std::fs::write(&far, "epochs = 8\nseed = 5\nmax_time = \"90m\"\nmomentum = 0.5").unwrap();
    // Typing a default is typing it.
    let config = resolved("--momentum 0.9 --lr 0.25 --step-epochs 3,4", &[&near, &far]).unwrap();
    assert_eq!((config.epochs, config.schedule.lr, config.optim.momentum, config.seed), (7, 0.25, 0.9, 5));
    assert_eq!((config.data.to_str(), config.init.clone()), (Some("D"), Start::Drawn(Init::GAUSSIAN)));
    assert_eq!((&config.schedule.step_epochs[..], config.batch_size), (&[3, 4][..], 64));
    assert_eq!(config.max_time, Some(Span(Duration::from_secs(5400))));
    assert_eq!(resolved("", &[&near]).unwrap().schedule.lr, 1.0, "a whole number is a rate, too");
    // What a file switches on the line can switch off.
    std::fs::write(&near, "skip_bad = true\nbalance = true\nnesterov = true").unwrap();
    let config = resolved("--skip-bad=false --nesterov", &[&near]).unwrap();
    assert_eq!((config.pictures.skip_bad, config.pictures.balance, config.optim.nesterov), (false, true, true));
}

#[test]
fn the_saved_file_is_the_same_description() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let config = resolved("DATA --epochs 3 --weight-decay 1e-6 --lr 0.3 --max-time 1h", &[]).unwrap();
    let config = config.decide(by_name("alexnet-cifar").unwrap(), 3).unwrap();
    let text = config.to_toml().unwrap();
    std::fs::write(&path, &text).unwrap();
    assert_eq!(Config::read(&path).unwrap(), config);
    assert_eq!(config.augment, Some(Augment::CropFlip));
    assert!(config.threads > 0, "the number of threads is decided, too");
    for name in layers::names() {
        assert!(text.contains(&format!("\n{name} = ")) || text.contains(&format!("\n# {name} =\n")), "{name} is missing");
    }
    assert!(text.contains("# Batches whose gradients make one step"), "{text}");
    // The defaults of the struct are those of the command line.
    assert_eq!(resolved("", &[]).unwrap(), Config::default());
}

#[test]
fn what_is_misspelt_or_of_another_kind_is_named_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    let fails = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Config::read(&path).unwrap_err().to_string()
    };
    let error = fails("epoch = 3");
    assert!(error.contains("run.toml") && error.contains("`epoch`; do you mean `epochs`?"), "{error}");
    let error = fails("epochs = 3\nbatch_size = \"many\"");
    assert!(error.contains("run.toml: batch_size:"), "{error}");
    assert!(fails("epochs = ").contains("run.toml"));
    assert!(fails("max_time = \"soon\"").contains("`soon` is no time"));
}

#[test]
fn nonsense_is_refused_by_name() {
    let lenet = by_name("lenet").unwrap();
    let schedule = ScheduleOptions { lr: -1.0, ..ScheduleOptions::default() };
    let error = Config { schedule, ..Config::default() }.decide(lenet, 1).unwrap_err();
    assert!(error.to_string().starts_with("lr:"));
    assert!(Config { accumulate: 0, ..Config::default() }.decide(lenet, 1).is_err());
    assert_eq!(Config::default().decide(lenet, 1).unwrap().augment, Some(Augment::None));
}

#[test]
fn spans_of_time() {
    let seconds = |text: &str| text.parse::<Span>().map(|span| span.0.as_secs());
    assert_eq!(seconds("45"), Ok(45));
    assert_eq!(seconds("1h30m"), Ok(5400));
    assert_eq!("1d2h3m4s".parse::<Span>().unwrap().to_string(), "26h3m4s");
    for wrong in ["", "0", "m", "3x", "-1h", "99999999999999999999s"] {
        assert!(seconds(wrong).is_err(), "{wrong}");
    }
}
