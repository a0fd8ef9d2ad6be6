//! AlexNet's layers scaled to pictures of 32 x 32.

use super::layers::Layers;
use crate::graph::{Graph, ShapeError};

fn classifier(features: Layers, classes: usize) -> Result<Graph, ShapeError> {
    let hidden = features.classifier().dropout(0.5).linear(1024).relu().dropout(0.5).linear(1024).relu();
    hidden.linear(classes).finish()
}

/// 32 x 32: convolutions 3x3 of 64, 192, 384, 256 and 256 channels, pools 3/2 after the first, second and fifth, FC 1024, 1024
/// and `classes`, dropout 0.5 before the first two.
///
/// # Errors
/// [`ShapeError`] where `channels` or `classes` make no net.
pub fn alexnet_cifar(channels: usize, classes: usize) -> Result<Graph, ShapeError> {
    let features = Layers::new("alexnet-cifar", channels, 32).conv(64, 3, 1, 1).relu().max_pool(3, 2);
    let features = features.conv(192, 3, 1, 1).relu().max_pool(3, 2).conv(384, 3, 1, 1).relu();
    classifier(features.conv(256, 3, 1, 1).relu().conv(256, 3, 1, 1).relu().max_pool(3, 2), classes)
}

/// [`alexnet_cifar`] with LRN after the first two ReLUs and two groups in convolutions 2, 4 and 5.
///
/// # Errors
/// [`ShapeError`] where `channels` or `classes` make no net.
pub fn alexnet_cifar_lrn(channels: usize, classes: usize) -> Result<Graph, ShapeError> {
    let features = Layers::new("alexnet-cifar-lrn", channels, 32).conv(64, 3, 1, 1).relu().lrn().max_pool(3, 2);
    let features = features.grouped_conv(192, 3, 1, 1, 2).relu().lrn().max_pool(3, 2).conv(384, 3, 1, 1).relu();
    let features = features.grouped_conv(256, 3, 1, 1, 2).relu().grouped_conv(256, 3, 1, 1, 2).relu();
    classifier(features.max_pool(3, 2), classes)
}
