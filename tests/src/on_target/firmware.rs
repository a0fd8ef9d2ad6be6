//! Builds a firmware for a board and reads what its ELF file says.

use super::toolchain::{Toolchain, target_dir, workspace_root};
use super::{Board, OnTargetError};
use object::read::elf::ElfFile32;
use object::{Object, ObjectSection};
use std::fs;
use std::path::{Path, PathBuf};

/// A firmware, built for one board.
#[derive(Clone, Debug)]
pub struct Firmware {
    elf: PathBuf,
    board: Board,
    warnings: String,
}

impl Firmware {
    /// Builds the binary `name` of `firmware-examples` for `board`; cargo rebuilds only what changed.
    ///
    /// # Errors
    /// [`OnTargetError`] where the machine has no compiler for it, or the compiler's words.
    pub fn build(name: &str, board: &Board) -> Result<Self, OnTargetError> {
        // One folder for each board: two of them share a target triple but not its flags.
        let target_dir = target_dir().join(board.name);
        // The compiler notes each function's frame in a section that no board loads (`crate::stack`).
        // The code is the same with and without, but for the order of its functions.
        let flags = [format!("-Ctarget-cpu={}", board.target_cpu), "-Zemit-stack-sizes".to_string()];
        let mut cargo =
            Toolchain::find(board.target)?.cargo("build", &workspace_root().join("firmware-examples"), &target_dir, &flags);
        cargo.args(["--release", "--locked", "--bin", name]).env("STATICNET_BOARD", board.name);
        // Lets a stable compiler take `-Z`.
        cargo.env("RUSTC_BOOTSTRAP", "1");
        let output = cargo.output().map_err(|error| OnTargetError::Program { program: "cargo".to_string(), error })?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(OnTargetError::Build { what: format!("the firmware `{name}` for {}", board.name), output: words });
        }
        // Cargo repeats the warnings of crates that are up to date.
        let warnings = if words.contains("warning") { words } else { String::new() };
        Ok(Firmware { elf: target_dir.join(board.target).join("release").join(name), board: *board, warnings })
    }

    /// The ELF file.
    pub fn elf(&self) -> &Path {
        &self.elf
    }

    /// The board it is built for.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// What the compiler said, where it had warnings; else empty.
    pub fn warnings(&self) -> &str {
        &self.warnings
    }

    /// Bytes of the ELF file.
    ///
    /// # Errors
    /// [`OnTargetError::File`].
    pub fn read(&self) -> Result<Vec<u8>, OnTargetError> {
        fs::read(&self.elf).map_err(|e| OnTargetError::file(&self.elf, e))
    }

    /// Bytes of code and constants: the sections `.text` and `.rodata`.
    ///
    /// # Errors
    /// [`OnTargetError`] where the file cannot be read.
    pub fn code_bytes(&self) -> Result<u64, OnTargetError> {
        let bytes = self.read()?;
        let elf = ElfFile32::<object::Endianness>::parse(&bytes[..]).map_err(|e| OnTargetError::content(&self.elf, e))?;
        let sections = elf.sections().filter(|section| matches!(section.name(), Ok(".text" | ".rodata")));
        Ok(sections.map(|section| section.size()).sum())
    }
}
