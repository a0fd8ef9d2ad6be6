//! The firmware example `classify` prints what stands in its golden file, and so does the host with the same artifact.
//!
//! After a change of model or pictures: `cargo run -p staticnet-tests --bin firmware -- classify`, its output into the golden
//! file.

use staticnet::Picture;
use staticnet_exporter::host::Model;
use staticnet_tests::on_target::firmware::Firmware;
use staticnet_tests::on_target::qemu::Qemu;
use staticnet_tests::on_target::toolchain::workspace_root;
use staticnet_tests::on_target::{BOARDS, enabled};
use std::error::Error;
use std::fs;
use std::time::Duration;

type TestResult = Result<(), Box<dyn Error>>;

const GOLDEN: &str = "firmware-examples/classify/classify.golden";

fn golden() -> Result<Vec<String>, Box<dyn Error>> {
    let path = workspace_root().join(GOLDEN);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(text.lines().map(str::to_string).collect())
}

/// The pictures named in the golden file: `arrow.rgb` shows an arrow.
fn pictures() -> Result<Vec<String>, Box<dyn Error>> {
    let names: Vec<String> = golden()?.iter().filter_map(|line| line.strip_suffix(".rgb")).map(str::to_string).collect();
    assert!(names.len() >= 3, "{GOLDEN} names {} pictures", names.len());
    Ok(names)
}

#[test]
fn the_host_prints_the_golden_lines() -> TestResult {
    let folder = workspace_root().join("firmware-examples");
    let model = Model::load(&folder.join("models/shapes.snet"))?;
    let mut ram = model.ram();
    let mut engine = model.engine(&mut ram)?;
    let mut lines = Vec::new();
    for name in pictures()? {
        let pixels = fs::read(folder.join("pictures").join(format!("{name}.rgb")))?;
        engine.set_picture(Picture { pixels: &pixels, width: 32, height: 32, channels: 3 })?;
        engine.run()?;
        lines.push(format!("{name}.rgb"));
        for score in engine.top_k::<5>() {
            let label = model.artifact().label(score.class as usize).ok_or("a class without label")?;
            // As defmt prints a float: with a fraction even where it is whole.
            lines.push(format!("  {label} {:?}", score.value));
        }
    }
    assert_eq!(lines, golden()?);
    Ok(())
}

#[test]
fn every_picture_is_recognised() -> TestResult {
    let lines = golden()?;
    for name in pictures()? {
        let at = lines.iter().position(|line| *line == format!("{name}.rgb")).ok_or("not in the golden file")?;
        assert!(lines[at + 1].starts_with(&format!("  {name} ")), "{name}.rgb: {}", lines[at + 1]);
    }
    Ok(())
}

#[test]
fn the_board_prints_the_golden_lines() -> TestResult {
    if !enabled("classify on a board") {
        return Ok(());
    }
    let qemu = Qemu::find()?;
    let long = std::env::var_os("STATICNET_LONG").is_some();
    for board in BOARDS.iter().filter(|board| long || board.name == "mps2-an500") {
        let firmware = Firmware::build("classify", board)?;
        let folder = tempfile::tempdir()?;
        let lines = qemu.run(&firmware, folder.path(), false, None, Duration::from_secs(300))?;
        assert_eq!(lines, golden()?, "{}", board.name);
        assert_eq!(firmware.warnings(), "", "{}", board.name);
    }
    Ok(())
}
