//! Why a firmware's stack cannot be looked into.

use std::fmt;

/// Why a firmware's stack cannot be looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StackError {
    /// The file is no ELF file of a 32-bit machine.
    Elf(String),
    /// A section is missing.
    NoSection(&'static str),
    /// There is code in a section in which it is not expected.
    CodeElsewhere(String),
    /// A function from which the stack is asked for is missing.
    NoFunction(&'static str),
    /// `.stack_sizes` ends within an entry.
    StackSizes,
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StackError::Elf(reason) => write!(f, "not an ELF file to read: {reason}"),
            StackError::NoSection(name) => {
                write!(f, "there is no section {name}: the firmware is to be built with -Zemit-stack-sizes and not stripped")
            }
            StackError::CodeElsewhere(name) => write!(f, "there is code in {name}, but only .text is read"),
            StackError::NoFunction(name) => write!(f, "there is no function {name}"),
            StackError::StackSizes => write!(f, ".stack_sizes ends within an entry"),
        }
    }
}

impl std::error::Error for StackError {}
