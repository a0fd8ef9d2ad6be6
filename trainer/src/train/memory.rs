//! Whether a training fits the device's memory, before it is begun.

use super::TrainError;
use crate::backend::update::STATES;
use crate::backend::{Backend, DeviceError};
use crate::config::Config;
use crate::optim::Groups;
use crate::plan::{Plan, Trained};
use staticnet_graph::graph::Graph;

/// Bytes that a training takes on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Needed {
    /// Whatever the batch is: parameters, gradients, what the optimiser remembers.
    fixed: usize,
    /// For each picture of a batch: outputs of layers and their gradients, and three batches on their way.
    picture: usize,
}

/// What kernels need besides, and what no estimate sees: packed weights, sums in parts, rounding of allocations.
const SLACK: usize = 256 << 20;
const NUMBER: usize = size_of::<f32>();

impl Needed {
    /// Of a training of `graph`.
    ///
    /// # Errors
    /// [`TrainError`] as the training would end with.
    fn of(graph: &Graph, config: &Config) -> Result<Needed, TrainError> {
        let (plan, groups) = (Plan::new(graph)?, Groups::new(graph, &config.optim, &config.schedule)?);
        let averaged = config.optim.ema.is_some();
        let mut numbers = 0;
        for (name, tensor) in &graph.params {
            let states = groups.of(name).map_or(STATES, |group| group.states());
            numbers += tensor.data.len() * (2 + states + usize::from(averaged));
        }
        let input: usize = graph.inputs.iter().map(|input| graph.value(*input).elements()).sum();
        let outputs = graph.nodes.iter().zip(&plan.trained).zip(&plan.absorbed).map(|((node, trained), absorbed)| {
            let elements = graph.value(node.output).elements();
            match trained {
                // The same memory under another name.
                Trained::Pass => 0,
                Trained::Relu if *absorbed => 0,
                // What it divided by, and which tap won.
                Trained::Lrn(_) | Trained::MaxPool(_) => 3 * elements,
                Trained::Conv(_) | Trained::Linear | Trained::Relu | Trained::Dropout(_) => 2 * elements,
            }
        });
        Ok(Needed { fixed: NUMBER * numbers, picture: NUMBER * (4 * input + outputs.sum::<usize>()) })
    }

    fn bytes(&self, batch_size: usize) -> usize {
        self.fixed + SLACK + batch_size * self.picture
    }

    /// The largest batch for which so many bytes are enough; 0 where none is.
    fn fitting(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.fixed + SLACK) / self.picture.max(1)
    }
}

/// Makes sure that a training of `graph` in batches of `batch_size` fits what is free on the device of `backend`, where that has memory of
/// its own.
///
/// # Errors
/// [`TrainError::Memory`] where it does not fit, or as the training would end with.
pub(super) fn check<B: Backend>(backend: &B, graph: &Graph, config: &Config, batch_size: usize) -> Result<(), TrainError> {
    let Some(free) = backend.free_memory().map_err(DeviceError::of)? else { return Ok(()) };
    let of = Needed::of(graph, config)?;
    let needed = of.bytes(batch_size);
    if needed <= free {
        return Ok(());
    }
    Err(TrainError::Memory { device: backend.describe(), needed, free, batch_size, fitting: of.fitting(free) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::alexnet;

    /// Parameters, gradients and velocities by 61.1 M; outputs of AlexNet's layers by hand.
    #[test]
    fn alexnet_by_hand() {
        let graph = alexnet(3, 1000).unwrap();
        let needed = Needed::of(&graph, &Config::default()).unwrap();
        assert_eq!(needed.fixed, 4 * 3 * 61_100_840);
        let convs = 64 * 55 * 55 + 192 * 27 * 27 + (384 + 256 + 256) * 13 * 13;
        let pools = 64 * 27 * 27 + 192 * 13 * 13 + 256 * 6 * 6;
        let (dropped, linears) = (9216 + 4096, 4096 + 4096 + 1000);
        let numbers = 4 * 3 * 224 * 224 + 2 * (convs + dropped + linears) + 3 * pools;
        assert_eq!(needed.picture, 4 * numbers);
        assert_eq!(needed.fitting(needed.bytes(37)), 37);
        assert_eq!(needed.fitting(1 << 20), 0);
    }
}
