//! The stack computed from the linked firmware is an upper bound of the stack that a run takes, and not far above it.
//!
//! Both are of the same file. On the board the stack is painted before `main`, and what lies above the untouched paint was used.
//! Needs QEMU and a compiler for bare-metal targets (`scripts/setup-targets`), so it runs where `STATICNET_ON_TARGET` is set.

use staticnet::Artifact;
use staticnet_protocol::report::STACK_FILE;
use staticnet_tests::on_target::firmware::Firmware;
use staticnet_tests::on_target::qemu::Qemu;
use staticnet_tests::on_target::toolchain::workspace_root;
use staticnet_tests::on_target::{BOARDS, Board, enabled, run_on_board};
use staticnet_tests::stack::StackReport;
use std::error::Error;
use std::fs;
use std::process::Command;
use std::time::Duration;

type TestResult = Result<(), Box<dyn Error>>;

/// How far the bound may lie above the paint, as a factor. The deepest chain may stand under a condition that this run does not
/// meet (a kernel of another network, an error that is printed), and the lowest words of the deepest frame may be left unwritten.
const SLACK: f64 = 1.5;

/// Holds the bound of `firmware` against what it took.
fn check(firmware: &Firmware, painted: u32) -> TestResult {
    let report = StackReport::new(firmware)?;
    let bound = report.stack_bytes.ok_or_else(|| format!("there is no bound:\n{report}"))?;
    println!("{} on {}: bound {bound} B, painted {painted} B", report.firmware, report.board);
    assert!(painted <= bound, "{painted} bytes were used:\n{report}");
    assert!(f64::from(bound) <= SLACK * f64::from(painted), "only {painted} bytes were used:\n{report}");

    assert_eq!(report.chain.iter().map(|frame| frame.bytes).sum::<u32>(), bound);
    assert_eq!(report.chain[0].name, "Reset");
    assert!(report.main_bytes.is_some_and(|main| main <= bound && main > 0));
    assert!(report.stack_bytes_with_panic.is_none_or(|all| all >= bound));
    assert_eq!((&report.unknown[..], &report.misread[..]), (&[][..], &[][..]));
    assert!(report.recursion.iter().all(|recursion| recursion.panic_only));
    // Printing a panic calls through `dyn fmt::Write`, and nothing else calls by a register: a kernel or an operator does not.
    assert!(!report.indirect_calls.is_empty() && report.indirect_calls.iter().all(|calls| calls.panic_only), "{report}");
    Ok(())
}

fn runner(board: &Board) -> TestResult {
    let artifact = fs::read(workspace_root().join("firmware-examples/models/shapes.snet"))?;
    let input = vec![0; Artifact::new(&artifact).map_err(|e| e.to_string())?.input_len_bytes(0)];
    let run = run_on_board(board, &artifact, &[&[input]])?;
    check(&Firmware::build("runner", board)?, run.stack_bytes)
}

fn classify(board: &Board) -> TestResult {
    let firmware = Firmware::build("classify", board)?;
    let folder = tempfile::tempdir()?;
    Qemu::find()?.run(&firmware, folder.path(), false, None, Duration::from_secs(300))?;
    let bytes = fs::read(folder.path().join(STACK_FILE.to_string_lossy().as_ref()))?;
    check(&firmware, u32::from_le_bytes(bytes.as_slice().try_into()?))
}

#[test]
fn the_runner_takes_what_is_computed() -> TestResult {
    if !enabled("the runner's stack") {
        return Ok(());
    }
    BOARDS.iter().try_for_each(runner)
}

#[test]
fn classify_takes_what_is_computed() -> TestResult {
    if !enabled("the stack of classify") {
        return Ok(());
    }
    BOARDS.iter().try_for_each(classify)
}

#[test]
fn the_command_line_prints_the_bound() -> TestResult {
    if !enabled("the command line of the stack's bound") {
        return Ok(());
    }
    let run = Command::new(env!("CARGO_BIN_EXE_stack")).args(["classify", "--board", "mps2-an386", "--json"]).output()?;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let stdout = String::from_utf8(run.stdout)?;
    let report: serde_json::Value = serde_json::from_str(stdout.lines().last().ok_or("no output")?)?;
    assert_eq!((&report["firmware"], &report["board"]), (&"classify".into(), &"mps2-an386".into()));
    assert!(report["stack_bytes"].as_u64() > Some(0), "{report}");
    for key in ["chain", "unknown", "indirect_calls", "recursion"] {
        assert!(report[key].is_array(), "{key} in {report}");
    }
    Ok(())
}
