//! Decodes what a firmware printed over defmt.

use super::OnTargetError;
use defmt_decoder::{DecodeError, Table};
use std::path::Path;

/// The lines in `stream`, formatted with the tables of the ELF file (`elf_path` names it in errors). Lines other than `info`
/// begin with their level.
pub fn decode(elf_path: &Path, elf: &[u8], stream: &[u8]) -> Result<Vec<String>, OnTargetError> {
    let table = Table::parse(elf).map_err(|e| OnTargetError::content(elf_path, e))?;
    let table = table.ok_or_else(|| OnTargetError::content(elf_path, "the firmware has no defmt tables"))?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(stream);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => {
                let message = frame.display_message();
                lines.push(match frame.level().map(|level| level.as_str()) {
                    None | Some("info") => message.to_string(),
                    Some(level) => format!("{level}: {message}"),
                });
            }
            Err(DecodeError::UnexpectedEof) => return Ok(lines),
            Err(DecodeError::Malformed) => lines.push("(a line that cannot be decoded)".to_string()),
        }
    }
}
