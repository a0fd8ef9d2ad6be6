//! The parts of a linked firmware that say something about its stack.

use super::StackError;
use object::elf::{ELFCLASS32, ELFDATA2LSB, EM_ARM, ET_REL, SHF_ALLOC, SHF_EXECINSTR};
use object::read::elf::ElfFile32;
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SectionFlags, SectionIndex, SymbolKind};
use std::collections::{BTreeMap, BTreeSet};

const STACK_SIZES: &str = ".stack_sizes";
/// Sections of vector tables, of `cortex-m-rt` and of CMSIS. Their entries are no addresses that code calls.
const VECTOR_TABLES: [&str; 3] = [".vector_table", ".isr_vector", ".vectors"];

/// What is read of a firmware.
#[derive(Debug)]
pub struct Image {
    /// The functions, by address; none at the same address as another.
    pub functions: Vec<Function>,
    /// Address at which the program begins.
    pub entry: u32,
    /// Addresses from, and up to, which there are instructions, as the mapping symbols say.
    pub code: Vec<(u32, u32)>,
    /// Words of constants, of initial data and of literal pools, wherever one may be an address.
    pub words: Vec<u32>,
    sections: Vec<Section>,
}

/// A section with code.
#[derive(Debug)]
struct Section {
    address: u32,
    bytes: Vec<u8>,
}

impl Section {
    fn end(&self) -> u32 {
        self.address.saturating_add(self.bytes.len() as u32)
    }
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
        let wrong = |e: object::Error| StackError::Damaged(e.to_string());
        check(elf)?;
        let file = ElfFile32::<Endianness>::parse(elf).map_err(wrong)?;
        let (mut sections, mut code_sections) = (Vec::new(), BTreeSet::new());
        let mut sizes = Vec::new();
        let mut words = Vec::new();
        for section in file.sections() {
            let name = section.name().map_err(wrong)?;
            let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            let (alloc, executable) = (sh_flags & u64::from(SHF_ALLOC) != 0, sh_flags & u64::from(SHF_EXECINSTR) != 0);
            let bytes = section.data().map_err(wrong)?;
            if name == STACK_SIZES {
                sizes.extend(bytes);
            } else if alloc && executable && !bytes.is_empty() {
                sections.push(Section { address: section.address() as u32, bytes: bytes.to_vec() });
                code_sections.insert(section.index().0);
            } else if alloc && !VECTOR_TABLES.contains(&name) {
                let start = (section.address() as u32).wrapping_neg() as usize % 4;
                words.extend(words_of(bytes.get(start..).unwrap_or_default()));
            }
        }
        if sections.is_empty() {
            return Err(StackError::NoCode);
        }
        let mut noted = stack_sizes(&sizes)?;

        // Mapping symbols: $t begins Thumb code, $d data (a literal pool, a jump table), $a code of other cores.
        let mut marks = BTreeMap::new();
        let mut named: BTreeMap<u32, (u32, String)> = BTreeMap::new();
        let in_code = |index: Option<SectionIndex>| index.is_some_and(|index| code_sections.contains(&index.0));
        for symbol in file.symbols().filter(|symbol| in_code(symbol.section_index())) {
            let (name, value) = (symbol.name().map_err(wrong)?, symbol.address() as u32);
            match name.split('.').next() {
                Some("$t") => drop(marks.insert(value, true)),
                Some("$d") => drop(marks.insert(value, false)),
                Some("$a") => return Err(StackError::ArmCode),
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
        if named.is_empty() {
            return Err(StackError::NoSymbols);
        }
        if !marks.values().any(|is_code| *is_code) {
            return Err(StackError::NoMapping);
        }
        // What begins at an address goes on to where the next begins, or to the end of its section.
        let section_end = |address: u32| {
            let holds = |section: &&Section| (section.address..section.end()).contains(&address);
            sections.iter().find(holds).map_or(address, Section::end)
        };
        let ends = |starts: Vec<u32>| -> Vec<u32> {
            let next = starts.iter().copied().skip(1).chain([u32::MAX]);
            starts.iter().zip(next).map(|(&start, next)| section_end(start).min(next)).collect()
        };
        let function_ends = ends(named.keys().copied().collect());
        let functions = named.into_iter().zip(function_ends).map(|((address, (size, name)), next)| {
            let end = if size == 0 { next } else { address.saturating_add(size) };
            Function { name, address, end, noted: noted.remove(&address) }
        });
        let functions = functions.collect();

        let mark_ends = ends(marks.keys().copied().collect());
        let (code, data): (Vec<_>, Vec<_>) = marks.into_iter().zip(mark_ends).partition(|&((_, is_code), _)| is_code);
        let code = code.into_iter().map(|((start, _), end)| (start, end)).collect();
        let mut image = Image { functions, entry: file.entry() as u32 & !1, code, words, sections };
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
        let sections = vec![Section { address: text_address, bytes: text }];
        Image { functions, entry: text_address, code, words: Vec::new(), sections }
    }

    /// Index of the function that holds `address`.
    pub fn function_at(&self, address: u32) -> Option<usize> {
        let after = self.functions.partition_point(|function| function.address <= address);
        let index = after.checked_sub(1)?;
        (address < self.functions[index].end).then_some(index)
    }

    /// Index of the function at which the program begins.
    ///
    /// # Errors
    /// [`StackError::NoEntry`] where there is none.
    pub fn first_function(&self) -> Result<usize, StackError> {
        let at_entry = |index: &usize| self.functions[*index].address == self.entry;
        self.function_at(self.entry).filter(at_entry).ok_or(StackError::NoEntry(self.entry))
    }

    /// Index of the function called `name`.
    pub fn function_named(&self, name: &str) -> Option<usize> {
        self.functions.iter().position(|function| function.name == name)
    }

    /// The halfword at `address`; 0 where there is no code.
    pub fn halfword(&self, address: u32) -> u16 {
        match self.bytes(address, address.saturating_add(2)) {
            &[low, high] => u16::from_le_bytes([low, high]),
            _ => 0,
        }
    }

    /// The bytes from `start` to `end`, or none where no section with code has all of them.
    fn bytes(&self, start: u32, end: u32) -> &[u8] {
        let in_section = |section: &'_ Section| {
            let offset = |address: u32| address.checked_sub(section.address).map(|offset| offset as usize);
            Some(offset(start)?..offset(end)?)
        };
        let found = self.sections.iter().find_map(|section| section.bytes.get(in_section(section)?));
        found.unwrap_or_default()
    }
}

/// Whether the header is of a linked file for a 32-bit, little-endian ARM.
fn check(elf: &[u8]) -> Result<(), StackError> {
    let [0x7F, b'E', b'L', b'F', class, order, ..] = *elf else { return Err(StackError::NotElf) };
    if class != ELFCLASS32 {
        return Err(StackError::NotArm("a machine of 64 bits".to_string()));
    }
    if order != ELFDATA2LSB {
        return Err(StackError::NotArm("a big-endian machine".to_string()));
    }
    let half = |at: usize| match elf.get(at..at + 2) {
        Some(&[low, high]) => Ok(u16::from_le_bytes([low, high])),
        _ => Err(StackError::Damaged("it ends within its header".to_string())),
    };
    let (kind, machine) = (half(16)?, half(18)?);
    match machine {
        EM_ARM if kind == ET_REL => Err(StackError::NotLinked),
        EM_ARM => Ok(()),
        _ => Err(StackError::NotArm(format!("machine {machine} of the ELF standard's list"))),
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
        assert_eq!(Image::read(b"no ELF").unwrap_err(), StackError::NotElf);
        // The header of a linked file for ARM without any section.
        let mut header = [0; 52];
        header[..7].copy_from_slice(&[0x7F, b'E', b'L', b'F', 1, 1, 1]);
        header[16..24].copy_from_slice(&[2, 0, 40, 0, 1, 0, 0, 0]);
        header[40] = 52;
        assert_eq!(Image::read(&header).unwrap_err(), StackError::NoCode);
        let with = |at: usize, value: u8| {
            let mut changed = header;
            changed[at] = value;
            Image::read(&changed).unwrap_err()
        };
        assert_eq!(with(16, 1), StackError::NotLinked);
        for (at, value, words) in [(4, 2, "64 bits"), (5, 2, "big-endian"), (18, 243, "machine 243")] {
            let error = with(at, value);
            assert!(matches!(error, StackError::NotArm(_)) && error.to_string().contains(words), "{error}");
        }
        assert!(matches!(Image::read(&header[..17]), Err(StackError::Damaged(_))));
    }
}
