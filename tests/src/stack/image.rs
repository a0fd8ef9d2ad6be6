//! The parts of a linked firmware that say something about its stack.

use super::StackError;
use object::elf::{SHF_ALLOC, SHF_EXECINSTR};
use object::read::elf::ElfFile32;
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind};
use std::collections::BTreeMap;

const TEXT: &str = ".text";
const STACK_SIZES: &str = ".stack_sizes";
/// Entries of the vector table are no addresses that code calls.
const VECTOR_TABLE: &str = ".vector_table";

/// What is read of a firmware.
#[derive(Debug)]
pub struct Image {
    /// The functions, by address; none at the same address as another.
    pub functions: Vec<Function>,
    /// Addresses from, and up to, which `.text` holds instructions, as its mapping symbols say.
    pub code: Vec<(u32, u32)>,
    /// Words of constants, of initial data and of literal pools, wherever one may be an address.
    pub words: Vec<u32>,
    text: Vec<u8>,
    text_address: u32,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, as Rust spells it.
    pub name: String,
    /// Address of its first instruction.
    pub address: u32,
    /// Address behind its last byte.
    pub end: u32,
    /// Bytes of stack that the compiler notes for it in `.stack_sizes`.
    pub noted: Option<u32>,
}

impl Image {
    /// Reads an ELF file.
    ///
    /// # Errors
    /// [`StackError`] where the file lacks something.
    pub fn read(elf: &[u8]) -> Result<Self, StackError> {
        let wrong = |e: object::Error| StackError::Elf(e.to_string());
        let file = ElfFile32::<Endianness>::parse(elf).map_err(wrong)?;
        let text = file.section_by_name(TEXT).ok_or(StackError::NoSection(TEXT))?;
        let (text_address, text_bytes) = (text.address() as u32, text.data().map_err(wrong)?.to_vec());
        let text_end = text_address + text_bytes.len() as u32;

        let mut sizes = Vec::new();
        let mut words = Vec::new();
        for section in file.sections() {
            let name = section.name().map_err(wrong)?;
            let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            let (alloc, executable) = (sh_flags & u64::from(SHF_ALLOC) != 0, sh_flags & u64::from(SHF_EXECINSTR) != 0);
            if name == STACK_SIZES {
                sizes.extend(section.data().map_err(wrong)?);
            } else if executable && name != TEXT && section.size() > 0 {
                return Err(StackError::CodeElsewhere(name.to_string()));
            } else if alloc && !executable && name != VECTOR_TABLE {
                let start = (section.address() as u32).wrapping_neg() as usize % 4;
                words.extend(words_of(section.data().map_err(wrong)?.get(start..).unwrap_or_default()));
            }
        }
        if sizes.is_empty() {
            return Err(StackError::NoSection(STACK_SIZES));
        }
        let mut noted = stack_sizes(&sizes)?;

        // Mapping symbols: $t begins Thumb code, $d data (a literal pool, a jump table).
        let mut marks = BTreeMap::new();
        let mut named: BTreeMap<u32, (u32, String)> = BTreeMap::new();
        for symbol in file.symbols().filter(|symbol| symbol.section_index() == Some(text.index())) {
            let (name, value) = (symbol.name().map_err(wrong)?, symbol.address() as u32);
            match name.get(..2) {
                Some("$t") => drop(marks.insert(value, true)),
                Some("$d") => drop(marks.insert(value, false)),
                _ if symbol.kind() == SymbolKind::Text => {
                    // Aliases have no size; the name of what they stand for is worth more.
                    let (address, size) = (value & !1, symbol.size() as u32);
                    if named.get(&address).is_none_or(|&(known, _)| size > known) {
                        named.insert(address, (size, format!("{:#}", rustc_demangle::demangle(name))));
                    }
                }
                _ => {}
            }
        }
        let ends: Vec<u32> = named.keys().copied().skip(1).chain([text_end]).collect();
        let functions = named.into_iter().zip(ends).map(|((address, (size, name)), next)| {
            let end = if size == 0 { next } else { address + size };
            Function { name, address, end, noted: noted.remove(&address) }
        });
        let functions = functions.collect();

        let ends: Vec<u32> = marks.keys().copied().skip(1).chain([text_end]).collect();
        let (code, data): (Vec<_>, Vec<_>) = marks.into_iter().zip(ends).partition(|&((_, is_code), _)| is_code);
        let code = code.into_iter().map(|((start, _), end)| (start, end)).collect();
        let mut image = Image { functions, code, words, text: text_bytes, text_address };
        for ((start, _), end) in data {
            let pool = image.bytes((start + 3) & !3, end);
            let pool = words_of(pool).collect::<Vec<u32>>();
            image.words.extend(pool);
        }
        Ok(image)
    }

    /// An image of code alone.
    #[cfg(test)]
    pub fn of_code(functions: Vec<Function>, text: Vec<u8>, text_address: u32) -> Self {
        let code = vec![(text_address, text_address + text.len() as u32)];
        Image { functions, code, words: Vec::new(), text, text_address }
    }

    /// Index of the function that holds `address`.
    pub fn function_at(&self, address: u32) -> Option<usize> {
        let after = self.functions.partition_point(|function| function.address <= address);
        let index = after.checked_sub(1)?;
        (address < self.functions[index].end).then_some(index)
    }

    /// Index of the function called `name`.
    pub fn function_named(&self, name: &str) -> Option<usize> {
        self.functions.iter().position(|function| function.name == name)
    }

    /// The halfword of `.text` at `address`; behind its end 0.
    pub fn halfword(&self, address: u32) -> u16 {
        match self.bytes(address, address.saturating_add(2)) {
            &[low, high] => u16::from_le_bytes([low, high]),
            _ => 0,
        }
    }

    /// The bytes of `.text` from `start` to `end`, or none where it has not got all of them.
    fn bytes(&self, start: u32, end: u32) -> &[u8] {
        let offset = |address: u32| address.checked_sub(self.text_address).map(|offset| offset as usize);
        match (offset(start), offset(end)) {
            (Some(start), Some(end)) => self.text.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }
}

fn words_of(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word))
}

/// Entries of `.stack_sizes`: an address of 4 bytes and a size in ULEB128, one behind the other, also where the linker has
/// joined the sections of several objects.
fn stack_sizes(mut bytes: &[u8]) -> Result<BTreeMap<u32, u32>, StackError> {
    let mut sizes = BTreeMap::new();
    while let Some((&address, mut rest)) = bytes.split_first_chunk::<4>() {
        let (mut size, mut shift) = (0u32, 0);
        loop {
            let (&byte, behind) = rest.split_first().ok_or(StackError::StackSizes)?;
            rest = behind;
            size |= u32::from(byte & 0x7F).checked_shl(shift).ok_or(StackError::StackSizes)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        // Thumb functions have addresses with bit 0 set.
        let noted = sizes.entry(u32::from_le_bytes(address) & !1).or_insert(0);
        *noted = size.max(*noted);
        bytes = rest;
    }
    if bytes.is_empty() { Ok(sizes) } else { Err(StackError::StackSizes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_sizes_are_addresses_and_uleb128() {
        let joined = [0x01, 0x04, 0, 0, 0x08, 0x11, 0x04, 0, 0, 0xE5, 0x8E, 0x26, 0x01, 0x04, 0, 0, 0x10];
        let sizes = stack_sizes(&joined).unwrap();
        // 624485 is the example of the DWARF standard; of two entries for one function the larger counts.
        assert_eq!(sizes, BTreeMap::from([(0x400, 16), (0x410, 624_485)]));
        for cut in [1, 4, 6, 10, 11] {
            assert_eq!(stack_sizes(&joined[..cut]), Err(StackError::StackSizes), "{cut}");
        }
        assert_eq!(stack_sizes(&[1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]), Err(StackError::StackSizes));
    }

    #[test]
    fn what_is_no_firmware_is_refused() {
        assert!(matches!(Image::read(b"no ELF"), Err(StackError::Elf(_))));
    }
}
