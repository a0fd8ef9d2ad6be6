//! Builds a firmware for a board and reads what its ELF file says.

use super::toolchain::{Toolchain, target_dir, workspace_root};
use super::{Board, OnTargetError};
use object::read::elf::ElfFile32;
use object::{Object, ObjectSection};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tempfile::NamedTempFile;

/// What a firmware is built with, beside its board.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// Features of its package.
    pub features: Vec<&'static str>,
    /// Environment variables that its build scripts read.
    pub variables: Vec<(&'static str, OsString)>,
}

/// A firmware, built for one board.
#[derive(Clone, Debug)]
pub struct Firmware {
    name: String,
    elf: Vec<u8>,
    /// The ELF as a file that no other build overwrites.
    file: Arc<NamedTempFile>,
    board: Board,
    warnings: String,
}

impl Firmware {
    /// Builds the binary `name` of `firmware-examples` for `board`; cargo rebuilds only what changed.
    ///
    /// # Errors
    /// [`OnTargetError`] where the machine has no compiler for it, or the compiler's words.
    pub fn build(name: &str, board: &Board) -> Result<Self, OnTargetError> {
        Self::build_variant(name, board, &Variant::default())
    }

    /// Like [`Firmware::build`], with features and variables.
    ///
    /// # Errors
    /// As [`Firmware::build`].
    pub fn build_variant(name: &str, board: &Board, variant: &Variant) -> Result<Self, OnTargetError> {
        // One folder for each board: two of them share a target triple but not its flags.
        let target_dir = target_dir().join(board.name);
        // The compiler notes each function's frame in a section that no board loads (`crate::stack`).
        // The code is the same with and without, but for the order of its functions.
        let flags = [format!("-Ctarget-cpu={}", board.target_cpu), "-Zemit-stack-sizes".to_string()];
        let mut cargo =
            Toolchain::find(board.target)?.cargo("build", &workspace_root().join("firmware-examples"), &target_dir, &flags);
        cargo.args(["--release", "--locked", "-p", &format!("staticnet-{name}"), "--features", &variant.features.join(",")]);
        // What the caller's shell holds is meant for builds by hand.
        cargo.env_remove("STATICNET_MODEL").env_remove("STATICNET_RAM");
        // Lets a stable compiler take `-Z`.
        cargo.env("RUSTC_BOOTSTRAP", "1");
        cargo.env("STATICNET_BOARD", board.name).envs(variant.variables.iter().map(|(name, value)| (name, value)));
        let built = target_dir.join(board.target).join("release").join(name);

        // All variants are built into the same file: nobody else builds until it is copied.
        fs::create_dir_all(&target_dir).map_err(|e| OnTargetError::file(&target_dir, e))?;
        let lock_file = target_dir.join("build.lock");
        let lock = File::create(&lock_file).map_err(|e| OnTargetError::file(&lock_file, e))?;
        lock.lock().map_err(|e| OnTargetError::file(&lock_file, e))?;
        let output = cargo.output().map_err(|error| OnTargetError::Program { program: "cargo".to_string(), error })?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(OnTargetError::Build { what: format!("the firmware `{name}` for {}", board.name), output: words });
        }
        let elf = fs::read(&built).map_err(|e| OnTargetError::file(&built, e))?;
        drop(lock);

        let mut file = NamedTempFile::new().map_err(|e| OnTargetError::file("a temporary file", e))?;
        file.write_all(&elf).map_err(|e| OnTargetError::file(file.path(), e))?;
        // Cargo repeats the warnings of crates that are up to date.
        let warnings = if words.contains("warning") { words } else { String::new() };
        Ok(Firmware { name: name.to_string(), elf, file: Arc::new(file), board: *board, warnings })
    }

    /// Name of the binary.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ELF file, which is deleted with this firmware.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Its bytes.
    pub fn elf(&self) -> &[u8] {
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

    /// Bytes of code and constants: the sections `.text` and `.rodata`.
    ///
    /// # Errors
    /// [`OnTargetError`] where the file cannot be read.
    pub fn code_bytes(&self) -> Result<u64, OnTargetError> {
        self.section_bytes(&[".text", ".rodata"])
    }

    /// Bytes of RAM that statics take: the sections `.data`, `.bss` and `.uninit`.
    ///
    /// # Errors
    /// [`OnTargetError`] where the file cannot be read.
    pub fn static_bytes(&self) -> Result<u64, OnTargetError> {
        self.section_bytes(&[".data", ".bss", ".uninit"])
    }

    fn section_bytes(&self, names: &[&str]) -> Result<u64, OnTargetError> {
        let elf = ElfFile32::<object::Endianness>::parse(&self.elf[..]);
        let elf = elf.map_err(|e| OnTargetError::content(self.path(), e))?;
        let sections = elf.sections().filter(|section| section.name().is_ok_and(|name| names.contains(&name)));
        Ok(sections.map(|section| section.size()).sum())
    }
}
