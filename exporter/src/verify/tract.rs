//! tract as an oracle: an ONNX model in memory, run in f32.

use crate::error::Error;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// A model that tract runs.
#[derive(Debug)]
pub struct Oracle {
    plan: Arc<TypedRunnableModel>,
    shape: Vec<usize>,
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Oracle(format!("{error:#}"))
}

impl Oracle {
    /// Loads a model; `shape` is that of its input, batch 1.
    ///
    /// # Errors
    /// [`Error::Oracle`] where tract does not take it.
    pub fn new(onnx: &[u8], shape: &[usize]) -> Result<Oracle, Error> {
        let mut bytes = onnx;
        // Shapes that the file states may have a symbolic batch, which does not unify with the batch of one asked for; they all
        // follow from the input's.
        let framework = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
        let model = framework.model_for_read(&mut bytes).map_err(failed)?;
        let model = model.with_input_fact(0, f32::fact(shape).into()).map_err(failed)?;
        let plan = model.into_optimized().and_then(|m| m.into_runnable()).map_err(failed)?;
        Ok(Oracle { plan, shape: shape.to_vec() })
    }

    /// Runs one sample and returns output 0.
    ///
    /// # Errors
    /// [`Error::Oracle`] where tract fails.
    pub fn run(&mut self, x: &[f32]) -> Result<Vec<f32>, Error> {
        let input = Tensor::from_shape(&self.shape, x).map_err(failed)?;
        let outputs = self.plan.run(tvec!(input.into())).map_err(failed)?;
        let view = outputs[0].to_plain_array_view::<f32>().map_err(failed)?;
        Ok(view.iter().copied().collect())
    }
}
