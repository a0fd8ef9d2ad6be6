//! Why a firmware's stack cannot be looked into.

use std::fmt;

/// Why a firmware's stack cannot be looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StackError {
    /// The file is no ELF file.
    NotElf,
    /// The file is for another machine than a 32-bit, little-endian ARM; what its header says.
    NotArm(String),
    /// The file is an object file or a library.
    NotLinked,
    /// The file has code for A or R cores.
    ArmCode,
    /// The file is an ELF file, but damaged.
    Damaged(String),
    /// There is no code.
    NoCode,
    /// There are no symbols of functions.
    NoSymbols,
    /// There are no symbols that tell code from data.
    NoMapping,
    /// There is no function at the address at which the program begins.
    NoEntry(u32),
    /// `.stack_sizes` ends within an entry.
    StackSizes,
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StackError::NotElf => write!(f, "not an ELF file: give the linked file, not a .bin or .hex made of it"),
            StackError::NotArm(machine) => write!(f, "an ELF file for {machine}, not for a 32-bit, little-endian ARM"),
            StackError::NotLinked => write!(f, "an object file or a library: give the linked firmware"),
            StackError::ArmCode => write!(f, "has code for A or R cores of ARM: only the Thumb code of Cortex-M is read"),
            StackError::Damaged(reason) => write!(f, "a damaged ELF file: {reason}"),
            StackError::NoCode => write!(f, "there is no section with code"),
            StackError::NoSymbols => write!(f, "there are no symbols of functions: give the firmware as linked, not stripped"),
            StackError::NoMapping => {
                write!(f, "there are no symbols $t and $d that tell code from data: give the firmware as linked, not stripped")
            }
            StackError::NoEntry(address) => write!(
                f,
                "there is no function at {address:#x}, where the program begins: the linker script is to name it with ENTRY"
            ),
            StackError::StackSizes => write!(f, ".stack_sizes ends within an entry"),
        }
    }
}

impl std::error::Error for StackError {}
