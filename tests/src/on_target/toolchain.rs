//! How this machine compiles for a bare-metal target: the one place that knows.
//!
//! Where rustup has the target (`rustup target add`), cargo builds for it as it is. Where targets cannot be downloaded, any
//! compiler with the sources of `core` beside it will do: cargo then builds `core` itself. Debian's packages `rustc-web` and
//! `rust-web-src` are such a compiler, `rustup component add rust-src` makes another. `scripts/setup-targets` arranges either.

use super::OnTargetError;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The targets firmware and the runtime are built for.
pub const TARGETS: [&str; 5] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabihf",
    "riscv32imac-unknown-none-elf",
];

/// Where Debian puts its compiler; on PATH rustup's usually hides it.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

/// A way to compile for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The target's libraries are installed.
    Installed {
        /// The target triple.
        target: &'static str,
    },
    /// `core` is built from its sources along with the program.
    FromSource {
        /// The target triple.
        target: &'static str,
        /// The compiler to which the sources belong.
        rustc: PathBuf,
        /// The linker, which this compiler may lack.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// The way to compile for `target` on this machine.
    ///
    /// # Errors
    /// [`OnTargetError::NoToolchain`] or [`OnTargetError::NoLinker`] where `scripts/setup-targets` has to be run.
    pub fn find(target: &'static str) -> Result<Self, OnTargetError> {
        let default = sysroot(Path::new("rustc"));
        if default.as_deref().is_some_and(|root| has_core(root, target)) {
            return Ok(Toolchain::Installed { target });
        }
        for rustc in ["rustc", SYSTEM_RUSTC].map(PathBuf::from) {
            if sysroot(&rustc).is_some_and(|root| root.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file()) {
                let linker = find_linker(default.as_deref()).ok_or(OnTargetError::NoLinker)?;
                return Ok(Toolchain::FromSource { target, rustc, linker });
            }
        }
        Err(OnTargetError::NoToolchain { target })
    }

    /// Whether one call of cargo can build for this target and the other's.
    pub fn builds_with(&self, other: &Toolchain) -> bool {
        match (self, other) {
            (Toolchain::Installed { .. }, Toolchain::Installed { .. }) => true,
            (
                Toolchain::FromSource { rustc, linker, .. },
                Toolchain::FromSource { rustc: other_rustc, linker: other_linker, .. },
            ) => rustc == other_rustc && linker == other_linker,
            (Toolchain::Installed { .. }, Toolchain::FromSource { .. })
            | (Toolchain::FromSource { .. }, Toolchain::Installed { .. }) => false,
        }
    }

    /// The target's triple.
    pub fn target(&self) -> &'static str {
        match self {
            Toolchain::Installed { target } | Toolchain::FromSource { target, .. } => target,
        }
    }

    /// `cargo <subcommand>` for the target, in `folder`, with its own target folder; the caller adds packages and features.
    ///
    /// Whatever the surrounding cargo or user chose for the host's compiler does not reach it.
    pub fn cargo(&self, subcommand: &str, folder: &Path, target_dir: &Path, flags: &[String]) -> Command {
        let mut flags = flags.to_vec();
        let mut cargo = Command::new("cargo");
        for variable in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            cargo.env_remove(variable);
        }
        cargo.current_dir(folder).arg(subcommand).arg("--target-dir").arg(target_dir);
        match self {
            Toolchain::Installed { target } => {
                cargo.args(["--target", target]);
            }
            Toolchain::FromSource { target, rustc, linker } => {
                cargo.args(["--target", target, "-Zbuild-std=core"]);
                // Lets a stable cargo take `-Z`.
                cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
                flags.push(format!("-Clinker={}", linker.display()));
            }
        }
        // Flags are separated by 0x1F in this variable, so that a path may contain spaces.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        cargo
    }
}

/// Root of the workspace.
pub fn workspace_root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// Folder under which everything for boards is built.
pub fn target_dir() -> PathBuf {
    workspace_root().join("target").join("on-target")
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok().filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// Whether `core` for `target` is installed under `sysroot`.
fn has_core(sysroot: &Path, target: &str) -> bool {
    let libraries = sysroot.join("lib/rustlib").join(target).join("lib").read_dir();
    libraries.is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libcore-")))
    })
}

/// LLVM's linker: rustup's default toolchain brings it, else one on PATH.
fn find_linker(sysroot: Option<&Path>) -> Option<PathBuf> {
    let hosts = sysroot.and_then(|root| root.join("lib/rustlib").read_dir().ok());
    let bundled = hosts.into_iter().flatten().flatten().map(|host| host.path().join("bin/rust-lld"));
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).flat_map(|folder| ["rust-lld", "ld.lld"].map(|name| folder.join(name)));
    bundled.chain(on_path).find(|candidate| candidate.is_file())
}
