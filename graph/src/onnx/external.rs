//! Tensors that lie in other files beside the model (ONNX external data).

use super::refusal::Refusal;
use onnx_protobuf::TensorProto;
use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Bytes read at once: a tensor is never in memory twice.
const PIECE: usize = 1 << 16;

/// The folder that external data is looked for in.
#[derive(Default)]
pub(crate) struct External {
    /// None for a model from memory.
    folder: Option<PathBuf>,
    /// The file read last: exporters put all tensors of a model into one, in order.
    last: RefCell<Option<Opened>>,
}

struct Opened {
    location: String,
    file: File,
    len: u64,
}

impl External {
    /// The folder of a model's file.
    pub(crate) fn beside(model: &Path) -> Self {
        let folder = model.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
        External { folder: folder.map(Path::to_path_buf), last: RefCell::default() }
    }

    /// `elements` numbers from where the tensor says they are.
    pub(crate) fn read<T, const SIZE: usize>(
        &self,
        proto: &TensorProto,
        elements: usize,
        from_le: fn([u8; SIZE]) -> T,
    ) -> Result<Vec<T>, Refusal> {
        let entry = |key: &str| proto.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let number = |key: &str| match entry(key) {
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| refuse(format!("its {key} {text:?} is no number"))),
            None => Ok(None),
        };
        let location = entry("location").ok_or_else(|| refuse("it has external data without a location".into()))?;
        let needed = (elements as u64) * SIZE as u64;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?.unwrap_or(needed));
        if length != needed {
            return Err(refuse(format!("its dimensions {:?} need {needed} bytes, {location} holds {length}", proto.dims)));
        }
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|opened| opened.location != location) {
            *last = None;
        }
        let opened = match &mut *last {
            Some(opened) => opened,
            none => none.insert(self.open(location)?),
        };
        if offset.checked_add(length).is_none_or(|end| end > opened.len) {
            let (end, len) = (u128::from(offset) + u128::from(length), opened.len);
            return Err(refuse(format!("its data reaches to byte {end} of {location}, which has {len}")));
        }
        read_numbers(&mut opened.file, offset, elements, from_le).map_err(|e| refuse(format!("{location}: {e}")))
    }

    /// Opens a file in the folder; nothing may lead out of it.
    fn open(&self, location: &str) -> Result<Opened, Refusal> {
        let Some(folder) = &self.folder else {
            let hint = "import the model from its file, or save it as one file";
            return Err(Refusal::new(format!("its data lies in {location:?}, outside the model"), hint));
        };
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if location.contains(['\0', '\\']) || !Path::new(location).components().all(inside) {
            return Err(refuse(format!("its data lies in {location:?}, which is not inside the model's folder")));
        }
        let missing = |e: std::io::Error| {
            let reason = format!("its data lies in {location:?} beside the model, which cannot be read: {e}");
            Refusal::new(reason, "keep the files of the model together")
        };
        let root = folder.canonicalize().map_err(missing)?;
        // Links inside the folder are fine as long as they stay there.
        let path = root.join(location).canonicalize().map_err(missing)?;
        if !path.starts_with(&root) {
            return Err(refuse(format!("its data lies in {location:?}, a link that leaves the model's folder")));
        }
        // A pipe or a device would block or never end.
        if !path.metadata().map_err(missing)?.is_file() {
            return Err(refuse(format!("its data lies in {location:?}, which is not a file")));
        }
        let file = File::open(&path).map_err(missing)?;
        let len = file.metadata().map_err(missing)?.len();
        Ok(Opened { location: location.to_string(), file, len })
    }
}

fn refuse(reason: String) -> Refusal {
    Refusal::new(reason, "save the model again, with its data beside it or as one file")
}

fn read_numbers<T, const SIZE: usize>(
    file: &mut File,
    offset: u64,
    elements: usize,
    from_le: fn([u8; SIZE]) -> T,
) -> std::io::Result<Vec<T>> {
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(elements).map_err(std::io::Error::other)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut piece = [0; PIECE];
    while numbers.len() < elements {
        // PIECE is a multiple of every element's size.
        let bytes = &mut piece[..PIECE.min((elements - numbers.len()) * SIZE)];
        file.read_exact(bytes)?;
        numbers.extend(bytes.as_chunks::<SIZE>().0.iter().map(|&b| from_le(b)));
    }
    Ok(numbers)
}
