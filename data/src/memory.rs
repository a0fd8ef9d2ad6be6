//! Samples of one size that lie in memory as a whole: what IDX and CIFAR files become.

use std::path::PathBuf;

use staticnet::preprocess::Picture;

use crate::Image;

/// One file's worth of samples within a [`Memory`].
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// Index of the file's first sample.
    pub(super) first: usize,
}

/// Samples of one size, one after the other, each HWC.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) pixels: Vec<u8>,
    pub(super) labels: Vec<u8>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: u8,
    /// In the order of the samples.
    pub(super) parts: Vec<Part>,
}

impl Memory {
    pub(super) fn picture(&self, i: usize) -> Picture<'_> {
        let len = self.width as usize * self.height as usize * self.channels as usize;
        let pixels = &self.pixels[i * len..(i + 1) * len];
        Picture { pixels, width: self.width, height: self.height, channels: self.channels }
    }

    pub(super) fn image(&self, i: usize) -> Image {
        let Picture { pixels, width, height, channels } = self.picture(i);
        Image { pixels: pixels.to_vec(), width, height, channels }
    }

    /// `path#index within the file`.
    pub(super) fn name(&self, i: usize) -> String {
        let part = &self.parts[self.parts.partition_point(|part| part.first <= i) - 1];
        format!("{}#{}", part.path.display(), i - part.first)
    }
}
