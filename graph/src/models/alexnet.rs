//! AlexNet as torchvision defines it ("One weird trick for parallelizing convolutional neural networks", 2014).

use super::layers::Layers;
use crate::graph::{Graph, ShapeError};

/// 224 x 224, 61,100,840 parameters for 1000 classes. The adaptive average pool before the classifier is the identity at this
/// size and left out.
///
/// # Errors
/// [`ShapeError`] where `channels` or `classes` make no net.
pub fn alexnet(channels: usize, classes: usize) -> Result<Graph, ShapeError> {
    let features = Layers::new("alexnet", channels, 224).conv(64, 11, 4, 2).relu().max_pool(3, 2);
    let features = features.conv(192, 5, 1, 2).relu().max_pool(3, 2);
    let features = features.conv(384, 3, 1, 1).relu().conv(256, 3, 1, 1).relu().conv(256, 3, 1, 1).relu().max_pool(3, 2);
    let classifier = features.classifier().dropout(0.5).linear(4096).relu().dropout(0.5).linear(4096).relu();
    classifier.linear(classes).finish()
}
