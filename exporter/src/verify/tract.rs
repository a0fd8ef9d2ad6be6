//! tract as an oracle: an ONNX model in memory, run in f32.

use crate::error::Error;
use staticnet_graph::graph::Elem;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// A model that tract runs.
#[derive(Debug)]
pub struct Oracle {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<(Vec<usize>, Elem)>,
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Oracle(format!("{error:#}"))
}

impl Oracle {
    /// Loads a model; `shapes` and `types` are those of its inputs, batch 1.
    ///
    /// # Errors
    /// [`Error::Oracle`] where tract does not take it.
    pub fn new(onnx: &[u8], shapes: &[Vec<usize>], types: &[Elem]) -> Result<Oracle, Error> {
        let mut bytes = onnx;
        // Shapes that the file states may have a symbolic batch, which does not unify with the batch of one asked for; they all
        // follow from the inputs'.
        let framework = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
        let mut model = framework.model_for_read(&mut bytes).map_err(failed)?;
        let inputs: Vec<(Vec<usize>, Elem)> = shapes.iter().cloned().zip(types.iter().copied()).collect();
        for (i, (shape, elem)) in inputs.iter().enumerate() {
            let fact = match elem {
                Elem::F32 => f32::fact(shape),
                Elem::U8 => u8::fact(shape),
                Elem::I8 => i8::fact(shape),
                Elem::I64 => i64::fact(shape),
            };
            model = model.with_input_fact(i, fact.into()).map_err(failed)?;
        }
        let plan = model.into_optimized().and_then(|m| m.into_runnable()).map_err(failed)?;
        Ok(Oracle { plan, inputs })
    }

    /// Runs one sample of each input and returns the outputs, whatever their type, as f32.
    ///
    /// # Errors
    /// [`Error::Oracle`] where tract fails.
    pub fn run(&mut self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, Error> {
        let tensor = |((shape, elem), x): (&(Vec<usize>, Elem), &Vec<f32>)| {
            let real = Tensor::from_shape(shape, x)?;
            let cast = match elem {
                Elem::F32 => real,
                Elem::U8 => real.cast_to::<u8>()?.into_owned(),
                Elem::I8 => real.cast_to::<i8>()?.into_owned(),
                Elem::I64 => real.cast_to::<i64>()?.into_owned(),
            };
            Ok::<_, TractError>(cast.into())
        };
        let inputs = self.inputs.iter().zip(inputs).map(tensor).collect::<Result<TVec<TValue>, _>>().map_err(failed)?;
        let outputs = self.plan.run(inputs).map_err(failed)?;
        let floats = |output: &TValue| {
            let cast = output.cast_to::<f32>()?;
            let view = cast.to_plain_array_view::<f32>()?;
            Ok::<_, TractError>(view.iter().copied().collect())
        };
        outputs.iter().map(floats).collect::<Result<_, _>>().map_err(failed)
    }
}
