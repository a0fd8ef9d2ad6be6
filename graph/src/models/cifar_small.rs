//! The small CIFAR net of CMSIS-NN's example, the common yardstick of inference engines for microcontrollers.

use super::layers::Layers;
use crate::graph::{Graph, ShapeError};

/// 32 x 32: conv 5x5 32, pool, conv 5x5 32, pool, conv 5x5 64, pool, FC `classes`; padded convolutions with ReLU, pools 2/2.
///
/// # Errors
/// [`ShapeError`] where `channels` or `classes` make no net.
pub fn cifar_small(channels: usize, classes: usize) -> Result<Graph, ShapeError> {
    let features = Layers::new("cifar-small", channels, 32).conv(32, 5, 1, 2).relu().max_pool(2, 2);
    let features = features.conv(32, 5, 1, 2).relu().max_pool(2, 2).conv(64, 5, 1, 2).relu().max_pool(2, 2);
    features.classifier().linear(classes).finish()
}
