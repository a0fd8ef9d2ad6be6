//! AlexNet as published: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012.

use super::layers::Layers;
use crate::graph::{Graph, ShapeError};

/// 227 x 227, 96-256-384-384-256 channels, LRN, convolutions 2, 4 and 5 in two groups; 60,965,224 parameters for 1000 classes.
///
/// # Errors
/// [`ShapeError`] where `channels` or `classes` make no net.
pub fn alexnet_paper(channels: usize, classes: usize) -> Result<Graph, ShapeError> {
    let features = Layers::new("alexnet-paper", channels, 227).conv(96, 11, 4, 0).relu().lrn().max_pool(3, 2);
    let features = features.grouped_conv(256, 5, 1, 2, 2).relu().lrn().max_pool(3, 2).conv(384, 3, 1, 1).relu();
    let features = features.grouped_conv(384, 3, 1, 1, 2).relu().grouped_conv(256, 3, 1, 1, 2).relu().max_pool(3, 2);
    let classifier = features.classifier().dropout(0.5).linear(4096).relu().dropout(0.5).linear(4096).relu();
    classifier.linear(classes).finish()
}
