//! LeNet, in the form Caffe made popular.

use super::layers::Layers;
use crate::graph::{Graph, ShapeError};

/// 28 x 28: conv 5x5 20, pool 2/2, conv 5x5 50, pool 2/2, FC 500, FC `classes`; ReLU after each layer but the last.
///
/// # Errors
/// [`ShapeError`] where `channels` or `classes` make no net.
pub fn lenet(channels: usize, classes: usize) -> Result<Graph, ShapeError> {
    let features = Layers::new("lenet", channels, 28).conv(20, 5, 1, 0).relu().max_pool(2, 2).conv(50, 5, 1, 0).relu();
    features.max_pool(2, 2).classifier().linear(500).relu().linear(classes).finish()
}
