//! `trainer demo`.

use super::CliError;
use clap::Args;
use std::path::PathBuf;

/// Shows the whole path on pictures drawn by code: trains, exports, compiles, runs f32, int8 and tract side by side.
///
/// It needs the feature `demo`, which brings tract in: `cargo demo` builds with it. The last line on stdout is JSON with the table's
/// figures.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer demo --out demo")]
pub(super) struct Demo {
    /// Folder to write; an earlier demo's is replaced.
    #[arg(long, default_value = "demo", value_name = "DIR")]
    out: PathBuf,
}

impl Demo {
    /// Says how to get the demo.
    #[cfg(not(feature = "demo"))]
    pub(super) fn run(self) -> Result<(), CliError> {
        Err(CliError::Input(format!(
            "this program was built without the feature `demo`, which brings tract in: run `cargo demo --out {}` in the project's folder, \
             or build with `cargo build --release -p staticnet-trainer --features demo`",
            self.out.display()
        )))
    }

    #[cfg(feature = "demo")]
    pub(super) fn run(self) -> Result<(), CliError> {
        use super::progress::Progress;
        use crate::demo::{self, DemoError, Extent, Stage};
        use staticnet_graph::console::line;

        let extent = Extent::default();
        let mut progress = Progress::new(extent.epochs);
        let report = demo::run(&self.out, &extent, &mut |stage| match stage {
            Stage::Drawing(done, of) => progress.drawing(done, of),
            Stage::Training(event) => progress.observe(event),
            Stage::Doing(what) => progress.say(what),
        });
        progress.finish();
        let report = report.map_err(|error| match error {
            DemoError::Occupied(_) => CliError::input(error),
            DemoError::Train(error) => error.into(),
            DemoError::Io { .. } | DemoError::Synth(_) | DemoError::Export(_) => CliError::failed(error),
        })?;
        line(format!("\n{report}"))?;
        line(serde_json::to_string(&report).map_err(CliError::failed)?)?;
        if !report.float.ok || !report.int8.ok {
            return Err(CliError::failed("the stages do not agree within their bounds; please report it with the table above"));
        }
        Ok(())
    }
}
