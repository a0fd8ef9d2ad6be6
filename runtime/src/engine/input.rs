//! How inputs get in: all at once, or input 0 row by row while steps run.

use super::{Engine, StepDone, all_of, memory};
use crate::error::RunError;
use crate::preprocess::{Picture, Preprocess, RowResizer, line_bytes, row_memory_bytes};
use crate::quant;
use crate::record::{Slot, TensorInfo};
use crate::weights::WeightSource;
use core::ops::Range;

/// For each channel of a picture the quantized value of every byte. Byte values repeat, divisions are slow.
enum Tables<'t> {
    /// In the row memory.
    Ram(Range<usize>),
    Given(&'t [u8]),
}

impl<const OPS: u128, S: WeightSource> Engine<'_, OPS, S> {
    fn input(&self, i: usize) -> Result<(TensorInfo, Slot), RunError<S::Error>> {
        let slot = self.artifact.input_slot(i).ok_or(RunError::NoSuchTensor)?;
        let tensor = self.artifact.tensor(slot.tensor as usize).ok_or(RunError::NoSuchTensor)?;
        Ok((tensor, slot))
    }

    /// The bytes of input `i` as the device holds them: NHWC, i8 or little-endian f32. For data that is quantized already. `None`
    /// for input 0 of a streamed network, which is never there as a whole.
    pub fn input_bytes_mut(&mut self, i: usize) -> Option<&mut [u8]> {
        let (tensor, slot) = self.input(i).ok()?;
        if !slot.has_all_rows(&tensor) {
            return None;
        }
        self.ram.get_mut(all_of(slot, &tensor))
    }

    /// Sets input `i` from real values in NHWC order, quantizing where the network is int8. Begins a new pass; input 0 of a
    /// streamed network comes last, because steps run as its rows go in.
    ///
    /// # Errors
    /// [`RunError::NoSuchTensor`], [`RunError::InputLength`], and in a streamed network those of [`Engine::step`].
    pub fn set_input_f32(&mut self, i: usize, values: &[f32]) -> Result<(), RunError<S::Error>> {
        let (tensor, slot) = self.input(i)?;
        if values.len() as u64 != tensor.elements() {
            return Err(RunError::InputLength { needed: tensor.elements() as u32, given: values.len() as u32 });
        }
        if tensor.dtype.is_i32() {
            return Err(RunError::NoSuchTensor);
        }
        if slot.has_all_rows(&tensor) {
            let bytes = self.ram.get_mut(all_of(slot, &tensor)).ok_or(RunError::NoSuchTensor)?;
            put_values(&tensor, bytes, values);
            self.reset();
            return Ok(());
        }
        self.begin();
        for values in values.chunks_exact(tensor.width as usize * tensor.channels as usize) {
            self.put_row(|row, _| {
                put_values(&tensor, row, values);
                Ok(())
            })?;
            self.run_ready(&mut |_, _| Ok(()))?;
        }
        Ok(())
    }

    /// Sets input 0 from a picture of any size, through the preprocessing stored in the artifact. Begins a new pass; in a
    /// streamed network steps run as its rows go in.
    ///
    /// # Errors
    /// [`RunError::NoPreprocess`], [`RunError::Picture`], and in a streamed network those of [`Engine::step`].
    pub fn set_picture(&mut self, picture: Picture) -> Result<(), RunError<S::Error>> {
        let preprocess = self.artifact.preprocess().ok_or(RunError::NoPreprocess)?;
        match self.row_memory() {
            Some([_, tables]) => {
                self.fill_tables(&preprocess, tables.clone())?;
                self.take_picture(&preprocess, picture, Tables::Ram(tables))
            }
            None => self.take_picture_by_the_stack(&preprocess, picture),
        }
    }

    /// Where the artifact has no row memory, the tables lie on the stack: here, so that nothing else pays for them.
    #[inline(never)]
    fn take_picture_by_the_stack(&mut self, preprocess: &Preprocess, picture: Picture) -> Result<(), RunError<S::Error>> {
        let mut tables = [0; 3 * 256];
        let (tensor, _) = self.input(0)?;
        put_tables(&tensor, preprocess, &mut tables);
        self.take_picture(preprocess, picture, Tables::Given(&tables))
    }

    fn take_picture(&mut self, preprocess: &Preprocess, picture: Picture, tables: Tables) -> Result<(), RunError<S::Error>> {
        let (tensor, slot) = self.input(0)?;
        let source = picture.source().map_err(RunError::Picture)?;
        let mut resizer = RowResizer::new(preprocess, source).map_err(RunError::Picture)?;
        let mut above: &[u8] = &[];
        self.begin();
        for pixels in picture.pixels.chunks_exact(source.row_bytes()) {
            while resizer.next_row().is_some() {
                self.put_row(|row, rest| {
                    let tables = match &tables {
                        Tables::Ram(range) => rest.shared(range.clone()).ok_or(RunError::Misaligned)?,
                        Tables::Given(tables) => tables,
                    };
                    let put = |i, c, byte| put_pixel(&tensor, preprocess, tables, row, [i, c, byte as usize]);
                    resizer.emit_between(above, pixels, put).map_err(RunError::Picture)
                })?;
                if !slot.has_all_rows(&tensor) {
                    self.run_ready(&mut |_, _| Ok(()))?;
                }
            }
            resizer.skip().map_err(RunError::Picture)?;
            above = pixels;
        }
        if slot.has_all_rows(&tensor) {
            self.reset();
        }
        Ok(())
    }

    /// Begins a new pass whose input 0 comes row by row. Other inputs must be set before.
    pub fn begin(&mut self) {
        self.reset();
        self.rows = Some(0);
    }

    /// Takes the next row of input 0 as the device holds it (NHWC, i8 or little-endian f32), and runs every step that has its
    /// rows.
    ///
    /// # Errors
    /// [`RunError::NotBegun`], [`RunError::TooManyRows`], [`RunError::RowLength`], which leave the pass as it is, and those of
    /// [`Engine::step`].
    pub fn push_input_row(&mut self, row: &[u8]) -> Result<(), RunError<S::Error>> {
        let (tensor, _) = self.input(0)?;
        check_length(tensor.row_bytes() as usize, row)?;
        self.put_row_of_bytes(row)?;
        self.run_ready(&mut |_, _| Ok(()))
    }

    /// Takes the next row of a picture of the size and format that the artifact names ([`Artifact::source`]), makes rows of input
    /// 0 of it through the preprocessing, and runs every step that has its rows.
    ///
    /// [`Artifact::source`]: crate::Artifact::source
    ///
    /// # Errors
    /// [`RunError::NoSource`], [`RunError::NotBegun`], [`RunError::TooManyRows`], [`RunError::RowLength`], which leave the pass
    /// as it is, and those of [`Engine::step`].
    pub fn push_row(&mut self, pixels: &[u8]) -> Result<(), RunError<S::Error>> {
        let (tensor, _) = self.input(0)?;
        let source = self.artifact.source().ok_or(RunError::NoSource)?;
        let preprocess = self.artifact.preprocess().ok_or(RunError::NoPreprocess)?;
        let [line, tables] = self.row_memory().ok_or(RunError::NoSource)?;
        check_length(source.row_bytes(), pixels)?;
        let mut resizer = match self.resizer {
            Some(resizer) => resizer,
            None if self.rows != Some(0) => return Err(RunError::NotBegun),
            None => {
                self.fill_tables(&preprocess, tables.clone())?;
                RowResizer::new(&preprocess, source).map_err(RunError::Picture)?
            }
        };
        if resizer.given() == source.height as usize {
            return Err(RunError::TooManyRows { rows: source.height as u32 });
        }
        while resizer.next_row().is_some() {
            self.put_row(|row, rest| {
                let kept = rest.shared(line.clone()).and_then(|kept| bytemuck::try_cast_slice(kept).ok());
                let (kept, tables) = kept.zip(rest.shared(tables.clone())).ok_or(RunError::Misaligned)?;
                let put = |i, c, byte| put_pixel(&tensor, &preprocess, tables, row, [i, c, byte as usize]);
                resizer.emit(pixels, kept, put).map_err(RunError::Picture)
            })?;
            self.run_ready(&mut |_, _| Ok(()))?;
        }
        // Behind the last row that is read the row memory may serve others, too.
        let given = self.rows.unwrap_or(0);
        let kept = if self.any_read(|rows| rows.1 > given) {
            let kept = self.ram.get_mut(line).and_then(|kept| bytemuck::try_cast_slice_mut(kept).ok());
            resizer.keep(pixels, kept.ok_or(RunError::Misaligned)?)
        } else {
            resizer.skip()
        };
        kept.map_err(RunError::Picture)?;
        self.resizer = Some(resizer);
        Ok(())
    }

    /// Runs what the rows of a pass leave to do. Rows that no step reads need not have come.
    ///
    /// # Errors
    /// [`RunError::RowsMissing`] where others are missing: the pass goes on when they are pushed. As [`Engine::step`].
    pub fn finish(&mut self) -> Result<(), RunError<S::Error>> {
        self.run()?;
        (self.rows, self.resizer) = (None, None);
        Ok(())
    }

    /// A pass on whole inputs, with `after` after every step.
    pub(super) fn run_and(
        &mut self,
        inputs: &[&[u8]],
        after: &mut impl FnMut(&mut Self, StepDone) -> Result<(), RunError<S::Error>>,
    ) -> Result<(), RunError<S::Error>> {
        if inputs.len() != self.artifact.input_count() {
            return Err(RunError::NoSuchTensor);
        }
        let streamed = self.artifact.is_streamed();
        for (i, input) in inputs.iter().enumerate() {
            let needed = self.artifact.input_len_bytes(i);
            if input.len() != needed {
                return Err(RunError::InputLength { needed: needed as u32, given: input.len() as u32 });
            }
            if i > 0 || !streamed {
                put_bytes(self.input_bytes_mut(i).ok_or(RunError::NoSuchTensor)?, input);
            }
        }
        self.reset();
        if streamed && let Some(input) = inputs.first() {
            let (tensor, _) = self.input(0)?;
            self.begin();
            for row in input.chunks_exact(tensor.row_bytes() as usize) {
                self.put_row_of_bytes(row)?;
                self.run_ready(after)?;
            }
        }
        while let Some(done) = self.step()? {
            after(self, done)?;
        }
        Ok(())
    }

    /// Runs every step that has its rows.
    fn run_ready(
        &mut self,
        after: &mut impl FnMut(&mut Self, StepDone) -> Result<(), RunError<S::Error>>,
    ) -> Result<(), RunError<S::Error>> {
        loop {
            match self.step() {
                Ok(Some(done)) => after(self, done)?,
                Ok(None) | Err(RunError::RowsMissing { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Has the next row of input 0 filled. The row is empty where no step to come reads it: its memory may serve others by now.
    /// Not inlined: steps run while whoever pushes rows is on the stack, this is not.
    #[inline(never)]
    fn put_row(
        &mut self,
        fill: impl FnOnce(&mut [u8], &memory::Rest) -> Result<(), RunError<S::Error>>,
    ) -> Result<(), RunError<S::Error>> {
        let range = self.place_of_next_row()?;
        let parts = memory::carve(self.ram, range, 0..0).ok_or(RunError::NoSuchTensor)?;
        fill(parts.output, &parts.rest)?;
        self.rows = self.rows.map(|rows| rows + 1);
        Ok(())
    }

    fn place_of_next_row(&self) -> Result<Range<usize>, RunError<S::Error>> {
        let given = self.rows.ok_or(RunError::NotBegun)?;
        let (tensor, slot) = self.input(0)?;
        if given >= tensor.height {
            return Err(RunError::TooManyRows { rows: tensor.height });
        }
        let len = tensor.row_bytes() as usize;
        let first = slot.offset as usize + (given % slot.rows) as usize * len;
        let is_read = self.any_read(|(first, end)| first <= given && given < end);
        Ok(if is_read { first..first + len } else { first..first })
    }

    fn put_row_of_bytes(&mut self, row: &[u8]) -> Result<(), RunError<S::Error>> {
        self.put_row(|into, _| {
            put_bytes(into, row);
            Ok(())
        })
    }

    /// Whether a step to come reads rows of input 0 that `test` wants. Before the first step nothing has been made that could be
    /// overwritten.
    #[inline(never)]
    fn any_read(&self, test: impl Fn((u32, u32)) -> bool) -> bool {
        let reads = |i| {
            let step = self.artifact.step(i)?;
            Some(self.input_rows(&self.artifact.typed_layer(step.layer as usize).ok()?, step))
        };
        self.next == 0 || (self.next..self.artifact.step_count()).any(|i| reads(i).is_some_and(&test))
    }

    /// The line and the tables of the row memory, where the artifact has one.
    fn row_memory(&self) -> Option<[Range<usize>; 2]> {
        let (first, tensor) = (self.artifact.row_memory()? as usize, self.input(0).ok()?.0);
        let middle = first + line_bytes(tensor.width, tensor.channels) as usize;
        let end = first + row_memory_bytes(tensor.width, tensor.channels, tensor.dtype.is_i8()) as usize;
        Some([first..middle, middle..end])
    }

    fn fill_tables(&mut self, preprocess: &Preprocess, tables: Range<usize>) -> Result<(), RunError<S::Error>> {
        let (tensor, _) = self.input(0)?;
        put_tables(&tensor, preprocess, self.ram.get_mut(tables).ok_or(RunError::NoSuchTensor)?);
        Ok(())
    }
}

fn check_length<E>(needed: usize, row: &[u8]) -> Result<(), RunError<E>> {
    if row.len() == needed { Ok(()) } else { Err(RunError::RowLength { needed: needed as u32, given: row.len() as u32 }) }
}

fn put_bytes(into: &mut [u8], bytes: &[u8]) {
    if let Some(into) = into.get_mut(..bytes.len()) {
        into.copy_from_slice(bytes);
    }
}

/// Real values as elements of `tensor`, as many as there is room for.
fn put_values(tensor: &TensorInfo, into: &mut [u8], values: &[f32]) {
    if tensor.dtype.is_i8() {
        for (into, value) in into.iter_mut().zip(values) {
            *into = quant::quantize(*value, tensor.scale, tensor.zero_point) as u8;
        }
    } else {
        for (into, value) in into.chunks_exact_mut(4).zip(values) {
            into.copy_from_slice(&value.to_le_bytes());
        }
    }
}

/// Fills the tables of an int8 `tensor`; another has none.
fn put_tables(tensor: &TensorInfo, preprocess: &Preprocess, tables: &mut [u8]) {
    if tensor.dtype.is_i8() {
        for (i, into) in tables.iter_mut().enumerate() {
            *into = quant::quantize(preprocess.normalise(i as u8, i / 256), tensor.scale, tensor.zero_point) as u8;
        }
    }
}

/// A pixel's byte as element `i` of a row of `tensor`, of channel `c`; nothing where the row is empty.
fn put_pixel(tensor: &TensorInfo, preprocess: &Preprocess, tables: &[u8], row: &mut [u8], [i, c, byte]: [usize; 3]) {
    if tensor.dtype.is_i8() {
        if let (Some(into), Some(value)) = (row.get_mut(i), tables.get(256 * c + byte)) {
            *into = *value;
        }
    } else if let Some(into) = row.get_mut(4 * i..4 * i + 4) {
        into.copy_from_slice(&preprocess.normalise(byte as u8, c).to_le_bytes());
    }
}
