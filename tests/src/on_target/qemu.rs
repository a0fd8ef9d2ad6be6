//! Runs a firmware on a simulated board.

use super::firmware::Firmware;
use super::{OnTargetError, counter, log};
use staticnet_protocol::{MARK_BEGIN, MARK_END};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Name of the job's file in the folder in which QEMU runs.
pub const JOB_FILE: &str = "job.bin";

const PROGRAM: &str = "qemu-system-arm";
/// What the firmware prints, undecoded.
const STDOUT_FILE: &str = "stdout.bin";
/// What QEMU itself prints.
const STDERR_FILE: &str = "stderr.txt";

/// QEMU, found on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Qemu(());

impl Qemu {
    /// Looks for QEMU, so that its absence is told before anything is built.
    ///
    /// # Errors
    /// [`OnTargetError::Program`] where it does not start.
    pub fn find() -> Result<Self, OnTargetError> {
        let version = Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.map(|_| Qemu(())).map_err(|error| OnTargetError::Program { program: PROGRAM.to_string(), error })
    }

    /// Runs `firmware` in `folder`, where it finds and leaves its files, and returns the lines it printed.
    ///
    /// With `job`, the file [`JOB_FILE`] in the folder is placed in the board's external memory; with `plugin`, instructions
    /// are counted between markers.
    ///
    /// # Errors
    /// [`OnTargetError::Timeout`], or [`OnTargetError::Failed`] with what was printed.
    pub fn run(
        &self,
        firmware: &Firmware,
        folder: &Path,
        job: bool,
        plugin: Option<&Path>,
        timeout: Duration,
    ) -> Result<Vec<String>, OnTargetError> {
        let board = firmware.board();
        let mut qemu = Command::new(PROGRAM);
        qemu.current_dir(folder).args(["-machine", board.name, "-display", "none", "-monitor", "none", "-serial", "none"]);
        qemu.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(firmware.path());
        if job {
            qemu.args(["-device", &format!("loader,file={JOB_FILE},addr={:#x},force-raw=on", board.job_address)]);
        }
        if let Some(plugin) = plugin {
            // Commas separate options, so QEMU wants those of the path doubled.
            let file = plugin.display().to_string().replace(',', ",,");
            let marks = counter::MARKS_FILE;
            qemu.args(["-plugin", &format!("file={file},out={marks},begin={MARK_BEGIN:#x},end={MARK_END:#x}")]);
        }
        let create = |name: &str| {
            let path = folder.join(name);
            File::create(&path).map_err(|e| OnTargetError::file(&path, e))
        };
        qemu.stdin(Stdio::null()).stdout(create(STDOUT_FILE)?).stderr(create(STDERR_FILE)?);

        let child = qemu.spawn().map_err(|error| OnTargetError::Program { program: PROGRAM.to_string(), error })?;
        let status = wait(child, timeout)?.ok_or(OnTargetError::Timeout { board: board.name, limit: timeout })?;
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|e| OnTargetError::file(&path, e))
        };
        let lines = log::decode(firmware.path(), firmware.elf(), &read(STDOUT_FILE)?)?;
        if !status.success() {
            let words = String::from_utf8_lossy(&read(STDERR_FILE)?).into_owned();
            let log = lines.into_iter().chain([words]).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
            return Err(OnTargetError::Failed { board: board.name, status: status.to_string(), log });
        }
        Ok(lines)
    }
}

/// The exit status, or `None` where the time ran out and the child was ended.
fn wait(mut child: Child, timeout: Duration) -> Result<Option<ExitStatus>, OnTargetError> {
    let failed = |error| OnTargetError::Program { program: PROGRAM.to_string(), error };
    let end = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill().map_err(failed)?;
            child.wait().map_err(failed)?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}
