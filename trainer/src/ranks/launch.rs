//! Processes that a launcher started together, and being one.

use super::{Ranks, RanksError};
use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

/// Where launchers say how many processes they started together: Open MPI, MVAPICH, MPICH and Intel MPI, Slurm. The last is that of
/// `srun` alone: a batch script, which is one process, has SLURM_NTASKS as well.
const SIZES: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// Says to a rank that [`launch`] started it.
const LAUNCHED: &str = "STATICNET_LAUNCHED";

/// What Open MPI (4, then 5) is told where nobody has told it already: ranks are not bound to one core each, because they have threads,
/// and there may be more ranks than cores, because devices do the work. Other libraries do not look at it.
const SETTINGS: [(&str, &str); 4] = [
    ("OMPI_MCA_hwloc_base_binding_policy", "none"),
    ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
    ("PRTE_MCA_hwloc_default_binding_policy", "none"),
    ("PRTE_MCA_rmaps_default_mapping_policy", ":OVERSUBSCRIBE"),
];

/// A job that this process was started in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Number of its processes.
    pub ranks: usize,
    /// The variable that says so.
    pub by: &'static str,
}

impl Launched {
    /// The job of this process, if `mpirun`, `srun` or the like started it.
    pub fn here() -> Option<Self> {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        SIZES.into_iter().find_map(|by| Some(Launched { ranks: variable(by)?.trim().parse().ok()?, by }))
    }
}

/// Runs this program with the same arguments as `ranks` processes on this machine, and waits for them. Ctrl-C is passed on to
/// [`on_stop`]; should this process be killed, they stop as well.
///
/// # Errors
/// [`RanksError::Launch`] where they cannot be started: without MPI, or by one that was started so itself.
pub fn launch(ranks: usize) -> Result<ExitCode, RanksError> {
    if !cfg!(feature = "mpi") {
        let hint =
            "build it with `cargo build --release -p staticnet-trainer --features mpi` (scripts/setup-mpi), or name one device";
        return Err(RanksError::Launch(format!(
            "{ranks} devices take a process each, and this trainer was built without MPI; {hint}"
        )));
    }
    if let Some(Launched { ranks: found, by }) = Launched::here() {
        let hint = "name one device, or leave the starting of processes to --device";
        return Err(RanksError::Launch(format!("this is one of {found} processes already ({by}); {hint}")));
    }
    let fail = |what: &str, error: &dyn std::fmt::Display| RanksError::Launch(format!("{what}: {error}"));
    let program = std::env::current_exe().map_err(|error| fail("this program cannot be found", &error))?;
    let mut command = Command::new("mpirun");
    command.arg("-n").arg(ranks.to_string()).arg(program).args(std::env::args_os().skip(1));
    command.env(LAUNCHED, "1").stdin(Stdio::piped());
    command.envs(SETTINGS.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()));
    // A Ctrl-C on the terminal would reach mpirun, too, which gives its processes one second.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let hint = "mpirun cannot be started (scripts/setup-mpi installs it)";
    let mut child = command.spawn().map_err(|error| fail(hint, &error))?;
    let asking = Mutex::new(child.stdin.take());
    let ask = move || {
        if let Some(pipe) = asking.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // Where it is closed they have ended.
            let _ = pipe.write_all(b"\n").and_then(|()| pipe.flush());
        }
    };
    ctrlc::set_handler(ask).map_err(|error| fail("Ctrl-C cannot be listened to", &error))?;
    let status = child.wait().map_err(|error| fail("mpirun cannot be waited for", &error))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Calls `stop` whenever the process that [`launch`]ed this one asks for an end. Does nothing at other ranks than the first.
pub fn on_stop(ranks: &Ranks, mut stop: impl FnMut() + Send + 'static) {
    if !ranks.is_first() || std::env::var_os(LAUNCHED).is_none() {
        return;
    }
    std::thread::spawn(move || {
        let mut asked = false;
        // One byte each time; the end of the pipe is that of the other process.
        while std::io::stdin().read(&mut [0]).is_ok_and(|bytes| bytes > 0) {
            asked = true;
            stop();
        }
        if !asked {
            stop();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<Launched> {
        Launched::of(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string()))
    }

    #[test]
    fn launchers_are_recognised() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "4")]), Some(Launched { ranks: 4, by: "OMPI_COMM_WORLD_SIZE" }));
        assert_eq!(of(&[("PMI_SIZE", "2")]).map(|l| l.ranks), Some(2));
        // mpirun within a batch job: what started the process itself counts.
        assert_eq!(of(&[("SLURM_STEP_NUM_TASKS", "1"), ("OMPI_COMM_WORLD_SIZE", "8")]).map(|l| l.ranks), Some(8));
        // A batch script is one process, whatever the tasks of its job.
        assert_eq!(of(&[("SLURM_NTASKS", "8"), ("SLURM_PROCID", "0")]), None);
        assert_eq!(of(&[("PMI_SIZE", "many")]), None);
    }
}
