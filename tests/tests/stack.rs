//! The stack computed from the linked firmware is an upper bound of the stack that a run takes, and not far above it.
//!
//! Both are of the same file. On the board the stack is painted before `main`, and what lies above the untouched paint was used.
//! Needs QEMU and a compiler for bare-metal targets (`scripts/setup-targets`), so it runs where `STATICNET_ON_TARGET` is set.

use staticnet::Artifact;
use staticnet_protocol::report::STACK_FILE;
use staticnet_tests::on_target::firmware::Firmware;
use staticnet_tests::on_target::qemu::Qemu;
use staticnet_tests::on_target::toolchain::{Toolchain, workspace_root};
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
    println!("{} on {:?}: bound {bound} B, painted {painted} B", report.firmware, report.board);
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

/// The JSON that a command prints.
fn reported(command: &mut Command) -> Result<serde_json::Value, Box<dyn Error>> {
    let run = command.output()?;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let stdout = String::from_utf8(run.stdout)?;
    Ok(serde_json::from_str(stdout.lines().last().ok_or("no output")?)?)
}

/// A firmware without `cortex-m-rt`, a section `.stack_sizes` or Rust's names: a vector table of its own, a function in RAM, calls by
/// a table of pointers, and one frame of 1,200 bytes and a little.
const ELSEWHERE: &str = r#"
#![no_std]
#![no_main]
use core::hint::black_box;

static STEPS: [extern "C" fn(u32) -> u32; 2] = [in_ram, deep];

#[unsafe(no_mangle)]
pub extern "C" fn Reset_Handler() -> ! {
    loop {
        let which = black_box(1u32);
        black_box(STEPS[which as usize & 1](which));
    }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = ".ramfunc")]
extern "C" fn in_ram(n: u32) -> u32 {
    black_box(n) + 1
}

#[unsafe(no_mangle)]
extern "C" fn deep(n: u32) -> u32 {
    let mut numbers = [n; 300];
    black_box(&mut numbers);
    #[cfg(recursive)]
    black_box(deep(numbers[0]));
    numbers[7]
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
"#;

const LINKER_SCRIPT: &str = "
ENTRY(Reset_Handler)
MEMORY { FLASH : ORIGIN = 0, LENGTH = 256K RAM : ORIGIN = 0x20000000, LENGTH = 64K }
SECTIONS {
  .isr_vector : { LONG(0x20010000) LONG(Reset_Handler) } > FLASH
  .text : { *(.text .text.*) } > FLASH
  .rodata : { *(.rodata .rodata.*) } > FLASH
  .ramfunc : { *(.ramfunc .ramfunc.*) } > RAM AT> FLASH
  .data : { *(.data .data.*) } > RAM AT> FLASH
  .bss : { *(.bss .bss.*) } > RAM
}
";

#[test]
fn a_firmware_built_elsewhere_has_a_bound() -> TestResult {
    if !enabled("the stack of a firmware built elsewhere") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
    fs::create_dir(folder.path().join("src"))?;
    write("src/main.rs", ELSEWHERE)?;
    write("link.x", LINKER_SCRIPT)?;
    write(
        "Cargo.toml",
        "[package]\nname = \"elsewhere\"\nedition = \"2024\"\n[workspace]\n[profile.release]\npanic = \"abort\"\n[profile.dev]\npanic = \"abort\"\n",
    )?;
    let target = "thumbv7m-none-eabi";
    let build = |name: &str, more: &[&str]| {
        let place = folder.path().join(name);
        let script = format!("-Clink-arg=-T{}", folder.path().join("link.x").display());
        let flags: Vec<String> = more.iter().map(|flag| flag.to_string()).chain([script]).collect();
        let output = Toolchain::find(target)?.cargo("build", folder.path(), &place, &flags).arg("--release").output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok::<_, Box<dyn Error>>(place.join(target).join("release/elsewhere"))
    };

    let report = reported(Command::new(env!("CARGO_BIN_EXE_stack")).arg(build("plain", &[])?).arg("--json"))?;
    println!("{report}");
    assert!((1200..1300).contains(&report["stack_bytes"].as_u64().ok_or("no bound")?), "{report}");
    let names = |list: &str, key: &str| -> Vec<String> {
        let entries = report[list].as_array().into_iter().flatten();
        entries.filter_map(|entry| entry.get(key).unwrap_or(entry).as_str().map(String::from)).collect()
    };
    assert_eq!(names("chain", "name"), ["Reset_Handler", "deep"]);
    let mut taken = names("address_taken", "");
    taken.sort();
    assert_eq!(taken, ["deep", "in_ram"]);
    assert!(report["board"].is_null() && report["main_bytes"].is_null(), "{report}");

    let endless = Command::new(env!("CARGO_BIN_EXE_stack")).arg(build("endless", &["--cfg=recursive"])?).output()?;
    let words = String::from_utf8_lossy(&endless.stderr);
    assert!(endless.status.code() == Some(1) && words.contains("recursion of deep"), "{words}");

    let stripped = Command::new(env!("CARGO_BIN_EXE_stack")).arg(build("stripped", &["-Cstrip=symbols"])?).output()?;
    let words = String::from_utf8_lossy(&stripped.stderr);
    assert!(stripped.status.code() == Some(2) && words.contains("no symbols of functions"), "{words}");
    Ok(())
}

#[test]
fn what_is_no_firmware_is_refused() -> TestResult {
    let sources = workspace_root().join("tests");
    for (file, said) in [
        (sources.join("Cargo.toml"), "not an ELF file"),
        (sources.join("none.elf"), "none.elf"),
        // What runs this test is a program of the host.
        #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
        (std::env::current_exe()?, "64 bits"),
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_stack")).arg(&file).output()?;
        let words = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.code() == Some(2) && words.contains(said), "{words}");
    }
    Ok(())
}

#[test]
fn the_command_line_prints_the_bound() -> TestResult {
    if !enabled("the command line of the stack's bound") {
        return Ok(());
    }
    let report = reported(Command::new(env!("CARGO_BIN_EXE_stack")).args(["classify", "--board", "mps2-an386", "--json"]))?;
    assert_eq!((&report["firmware"], &report["board"]), (&"classify".into(), &"mps2-an386".into()));
    assert!(report["stack_bytes"].as_u64() > Some(0), "{report}");
    for key in ["chain", "unknown", "indirect_calls", "recursion"] {
        assert!(report[key].is_array(), "{key} in {report}");
    }
    Ok(())
}
