//! An upper bound of a firmware's stack, computed from the linked file, and the chain of calls that takes it.
//!
//! ```text
//! image   the ELF file: functions, instructions, constants, the compiler's .stack_sizes
//! thumb   what one instruction does to the stack pointer and to the flow of control
//! calls   the calls and the frame of each function
//! graph   the deepest path
//! ```
//!
//! Any firmware of a Cortex-M will do that is linked and not stripped, whatever language it is written in.
//!
//! The bound is for thread mode: the examples here enable no interrupt. An exception adds its own frame of 32 bytes, 104 where the
//! floating-point context is stacked, up to 4 for alignment, and what its handler takes; none of that is in the figures.
//!
//! Four things make it an upper bound and not the exact figure. A function without an entry in `.stack_sizes` (assembly, and
//! what rustup's `compiler_builtins` brings compiled) counts every instruction that lowers the stack pointer, as if all ran. A
//! frame that is aligned counts what that takes at most. The frame of a caller counts under its last call, too, where compiled
//! code has left it. And a call by a register may reach every function whose address stands in a constant, in a literal pool or
//! in a pair of MOVW and MOVT, whatever its type.
//!
//! Two figures are told. The one without panics leaves out what runs when `core` or the firmware gives up: they end the program,
//! so a plan's stack need not hold them. The other has them; printing a message recurses through its arguments, so there often
//! is no such figure.

mod calls;
mod error;
mod graph;
mod image;
mod thumb;

pub use error::StackError;

use crate::on_target::OnTargetError;
use crate::on_target::firmware::Firmware;
use calls::{Scan, pointed_to, scan};
use graph::{Graph, Node};
use image::Image;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

/// The program's own beginning, which the code at the entry point calls.
const MAIN: &str = "main";

/// The stack of a firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StackReport {
    /// The binary's name.
    pub firmware: String,
    /// QEMU's name of the machine; `None` where the firmware was built elsewhere.
    pub board: Option<&'static str>,
    /// Bytes of stack from reset on, at most, without panics; `None` where no bound is known.
    pub stack_bytes: Option<u32>,
    /// The same from `main` on; `None` also where there is no function of that name.
    pub main_bytes: Option<u32>,
    /// The same as `stack_bytes`, with panics.
    pub stack_bytes_with_panic: Option<u32>,
    /// The calls that take `stack_bytes`, from reset on.
    pub chain: Vec<FrameReport>,
    /// The calls that take `stack_bytes_with_panic`.
    pub chain_with_panic: Vec<FrameReport>,
    /// Functions of which not everything is known.
    pub unknown: Vec<Unknown>,
    /// Functions of which the compiler notes more than their instructions seem to take: none, or this module misreads them.
    pub misread: Vec<String>,
    /// Functions that call by a register.
    pub indirect_calls: Vec<IndirectCalls>,
    /// What such a call may reach: the functions whose address stands anywhere but in the vector table.
    pub address_taken: Vec<String>,
    /// Functions that call themselves or each other in a circle.
    pub recursion: Vec<Recursion>,
}

/// A function in a chain of calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrameReport {
    /// Its name.
    pub name: String,
    /// Bytes of its frame.
    pub bytes: u32,
    /// Whether the compiler noted nothing, so that the bytes are those by which its instructions lower the stack pointer.
    pub decoded: bool,
}

/// A function of which not everything is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Its name.
    pub name: String,
    /// What is unknown.
    pub reason: &'static str,
    /// Whether only panics reach it.
    pub panic_only: bool,
}

/// A function that calls by a register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndirectCalls {
    /// Its name.
    pub name: String,
    /// In how many places.
    pub places: usize,
    /// Whether only panics reach it.
    pub panic_only: bool,
}

/// Functions that call themselves or each other in a circle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recursion {
    /// Their names.
    pub functions: Vec<String>,
    /// Whether it takes a panic to close the circle.
    pub panic_only: bool,
}

impl StackReport {
    /// Looks into a firmware that [`Firmware::build`] built.
    ///
    /// # Errors
    /// [`OnTargetError`] where the file cannot be read or lacks what it takes.
    pub fn new(firmware: &Firmware) -> Result<Self, OnTargetError> {
        let report = Self::of_elf(firmware.name(), Some(firmware.board().name), firmware.elf());
        report.map_err(|e| OnTargetError::content(firmware.path(), e))
    }

    /// Looks into a firmware that was built elsewhere.
    ///
    /// # Errors
    /// [`OnTargetError`] where the file cannot be read or is no linked firmware of a Cortex-M.
    pub fn of_file(path: &Path) -> Result<Self, OnTargetError> {
        let elf = fs::read(path).map_err(|e| OnTargetError::file(path, e))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Self::of_elf(&name, None, &elf).map_err(|e| OnTargetError::content(path, e))
    }

    /// Why `stack_bytes` is `None`: functions that are not understood, and recursion.
    pub fn obstacles(&self) -> Vec<String> {
        let unknown = self.unknown.iter().filter(|unknown| !unknown.panic_only);
        let recursion = self.recursion.iter().filter(|recursion| !recursion.panic_only);
        let unknown = unknown.map(|unknown| format!("{} {}", unknown.name, unknown.reason));
        unknown.chain(recursion.map(|recursion| format!("recursion of {}", recursion.functions.join(", ")))).collect()
    }

    /// Looks into an ELF file.
    fn of_elf(firmware: &str, board: Option<&'static str>, elf: &[u8]) -> Result<Self, StackError> {
        let image = Image::read(elf)?;
        let (reset, main) = (image.first_function()?, image.function_named(MAIN));
        let scans: Vec<Scan> = (0..image.functions.len()).map(|index| scan(&image, index)).collect();

        let in_words = image.words.iter().filter_map(|&word| pointed_to(&image, word));
        let taken: BTreeSet<usize> = in_words.chain(scans.iter().flat_map(|scan| scan.addresses.iter().copied())).collect();
        // Of two figures the larger; in practice they agree.
        let frame = |index: usize| {
            let (noted, scan) = (image.functions[index].noted, &scans[index]);
            noted.max(scan.lowered).map(|bytes| bytes.saturating_add(scan.aligning))
        };
        let node = |(index, scan): (usize, &Scan)| {
            let by_register = taken.iter().filter(|_| scan.indirect > 0);
            Node { frame: frame(index), callees: scan.callees.iter().chain(by_register).copied().collect() }
        };
        let with_panic = Graph::new(scans.iter().enumerate().map(node).collect());
        let graph = with_panic.without(|index| is_panic(&image.functions[index].name));

        let name = |index: usize| image.functions[index].name.clone();
        let chain = |path: Vec<usize>| {
            let noted = |index: usize| image.functions[index].noted;
            let report = |i| FrameReport { name: name(i), bytes: frame(i).unwrap_or_default(), decoded: noted(i).is_none() };
            path.into_iter().map(report).collect::<Vec<_>>()
        };
        let split = |deepest: Option<(u32, Vec<usize>)>| match deepest {
            Some((bytes, path)) => (Some(bytes), chain(path)),
            None => (None, Vec::new()),
        };

        let (reached, always) = (with_panic.reached(reset), graph.reached(reset));
        let lost = |&index: &usize| {
            let reason = match (frame(index), &scans[index]) {
                (None, _) => "moves its stack pointer by what a register holds",
                (_, scan) if scan.lost > 0 => "branches to what is no function",
                (_, scan) if scan.indirect > 0 && taken.is_empty() => "calls by a register, but no function's address is taken",
                _ => return None,
            };
            Some(Unknown { name: name(index), reason, panic_only: !always.contains(&index) })
        };
        let unknown: Vec<Unknown> = reached.iter().filter_map(lost).collect();
        let circles = graph.recursion(reset);
        let through_panics = with_panic.recursion(reset).into_iter();
        let through_panics = through_panics.filter(|group| circles.iter().all(|circle| circle.is_disjoint(group)));
        let of_group = |group: &BTreeSet<usize>, panic_only| Recursion {
            functions: group.iter().map(|&index| name(index)).collect(),
            panic_only,
        };
        let mut recursion: Vec<Recursion> = circles.iter().map(|group| of_group(group, false)).collect();
        recursion.extend(through_panics.map(|group| of_group(&group, true)));

        let by_register = reached.iter().filter(|&&index| scans[index].indirect > 0).map(|&index| IndirectCalls {
            name: name(index),
            places: scans[index].indirect,
            panic_only: !always.contains(&index),
        });
        let misread = reached.iter().filter(|&&index| {
            let read = scans[index].lowered.zip(image.functions[index].noted);
            read.is_some_and(|(lowered, noted)| lowered < noted)
        });
        let (mut stack_bytes, chain_without) = split(graph.deepest(reset));
        let (mut stack_bytes_with_panic, chain_with_panic) = split(with_panic.deepest(reset));
        let mut main_bytes = main.and_then(|main| graph.deepest(main)).map(|(bytes, _)| bytes);
        if unknown.iter().any(|unknown| !unknown.panic_only) {
            (stack_bytes, main_bytes) = (None, None);
        }
        if !unknown.is_empty() {
            stack_bytes_with_panic = None;
        }
        Ok(StackReport {
            firmware: firmware.to_string(),
            board,
            stack_bytes,
            main_bytes,
            stack_bytes_with_panic,
            chain: chain_without,
            chain_with_panic,
            indirect_calls: by_register.collect(),
            misread: misread.map(|&index| name(index)).collect(),
            address_taken: taken.iter().map(|&index| name(index)).collect(),
            unknown,
            recursion,
        })
    }
}

/// Whether a function belongs to giving up: `core`'s panics and the functions that only call them, the firmware's handlers of
/// panics and faults.
fn is_panic(name: &str) -> bool {
    let in_core = name.starts_with("core::") && (name.ends_with("_fail") || name.ends_with("_failed"));
    name.starts_with("core::panicking::") || in_core || name.ends_with("rust_begin_unwind") || name.ends_with("HardFault")
}

impl fmt::Display for StackReport {
    /// What people read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |bytes: Option<u32>| bytes.map_or("no bound".to_string(), |bytes| format!("{bytes} B"));
        let board = self.board.map(|board| format!(" on {board}")).unwrap_or_default();
        writeln!(f, "{}{board}, thread mode, no interrupt", self.firmware)?;
        writeln!(f, "from reset    {:>10}", bytes(self.stack_bytes))?;
        // Without a main there is a bound from reset alone.
        if self.main_bytes.is_some() || self.stack_bytes.is_none() {
            writeln!(f, "from main     {:>10}", bytes(self.main_bytes))?;
        }
        writeln!(f, "with panics   {:>10}", bytes(self.stack_bytes_with_panic))?;
        for (title, chain) in [("deepest chain", &self.chain), ("with panics", &self.chain_with_panic)] {
            if !chain.is_empty() {
                writeln!(f, "\n{title} (* not noted by the compiler: all that its instructions take)")?;
            }
            for FrameReport { name, bytes, decoded } in chain {
                writeln!(f, "{bytes:>8} B{} {name}", if *decoded { '*' } else { ' ' })?;
            }
        }
        let panics = |panic_only: bool| if panic_only { " (in panics only)" } else { "" };
        for Unknown { name, reason, panic_only } in &self.unknown {
            writeln!(f, "\nunknown{}: {name} {reason}", panics(*panic_only))?;
        }
        for Recursion { functions, panic_only } in &self.recursion {
            writeln!(f, "\nrecursion{}:\n    {}", panics(*panic_only), functions.join("\n    "))?;
        }
        if !self.misread.is_empty() {
            writeln!(f, "\nthe compiler notes more than is read\n    {}", self.misread.join("\n    "))?;
        }
        if !self.indirect_calls.is_empty() {
            writeln!(f, "\ncalls by a register")?;
        }
        for IndirectCalls { name, places, panic_only } in &self.indirect_calls {
            writeln!(f, "    {name}, {places}{}", panics(*panic_only))?;
        }
        if !self.indirect_calls.is_empty() {
            write!(f, "may reach\n    {}", self.address_taken.join("\n    "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_panic;

    #[test]
    fn panics_are_known_by_name() {
        for name in [
            "core::panicking::panic_fmt",
            "core::panicking::panic_const::panic_const_div_by_zero",
            "core::slice::index::slice_index_fail",
            "core::option::unwrap_failed",
            "__rustc::rust_begin_unwind",
            "staticnet_board::__cortex_m_rt_HardFault",
        ] {
            assert!(is_panic(name), "{name}");
        }
        for name in ["core::fmt::write", "staticnet::validate::layer::walk_fits", "main", "<u32 as core::fmt::Display>::fmt"] {
            assert!(!is_panic(name), "{name}");
        }
    }
}
