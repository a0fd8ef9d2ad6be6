//! SGD with one rate for all parameters, for callers that give the rate themselves.

use crate::backend::update::{Method, Slots, Update};
use crate::backend::{Backend, raw};
use crate::ops::Weight;
use dfdx::prelude::{Cpu, CpuError, Gradients};
use std::collections::BTreeMap;

/// Stochastic gradient descent with momentum and weight decay, as PyTorch defines it:
/// `d = gradient + weight_decay * p; velocity = momentum * velocity + d; p -= lr * velocity`.
#[derive(Clone, Debug, Default)]
pub struct Sgd {
    momentum: f32,
    weight_decay: f32,
    velocities: BTreeMap<String, Vec<f32>>,
}

impl Sgd {
    /// Velocities begin at 0. The decay acts on all parameters, biases included.
    pub fn new(momentum: f32, weight_decay: f32) -> Self {
        Sgd { momentum, weight_decay, velocities: BTreeMap::new() }
    }

    /// The velocity of each parameter that was updated at least once.
    pub fn velocities(&self) -> &BTreeMap<String, Vec<f32>> {
        &self.velocities
    }

    /// Replaces the velocities, to go on where another optimiser stopped.
    pub fn set_velocities(&mut self, velocities: BTreeMap<String, Vec<f32>>) {
        self.velocities = velocities;
    }

    /// Updates every parameter by its gradient.
    ///
    /// # Errors
    /// The device's, when memory runs out.
    ///
    /// # Panics
    /// Panics where a velocity that was set has another length than its parameter.
    pub fn step<B: Backend>(
        &mut self,
        backend: &B,
        params: &mut BTreeMap<String, Weight>,
        grads: &mut Gradients<f32, Cpu>,
        lr: f32,
    ) -> Result<(), CpuError> {
        let method = Method::Sgd { lr, momentum: self.momentum, nesterov: false };
        let update = Update { method, scale: 1.0, limit: f32::INFINITY, l2: self.weight_decay, keep: 1.0, average: 1.0 };
        let [needed, ..] = method.states();
        for (name, param) in params {
            let gradient = grads.get_or_alloc_mut(param)?;
            if !self.velocities.contains_key(name) {
                self.velocities.insert(name.clone(), vec![0.0; if needed { gradient.len() } else { 0 }]);
            }
            if let Some(velocity) = self.velocities.get_mut(name) {
                let parameter = raw::slice_mut(param);
                let state = [velocity.as_mut_slice(), &mut [], &mut []];
                backend.update(&update, Slots { parameter, gradient, state, average: None });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::CpuBackend;
    use dfdx::prelude::*;

    #[test]
    fn two_steps_by_hand() {
        let device = Cpu::default();
        let weight: Weight = device.tensor_from_vec(vec![1.0, -2.0], (2,));
        let mut params = BTreeMap::from([("w".to_string(), weight)]);
        let mut sgd = Sgd::new(0.5, 0.25);
        let backend = CpuBackend::new(1).unwrap();
        // The gradient of sum(w^2) is 2 w.
        let mut step = |params: &mut BTreeMap<String, Weight>| {
            let mut grads = params["w"].leaky_trace().square().sum::<Rank0, _>().backward();
            sgd.step(&backend, params, &mut grads, 0.5).unwrap();
        };
        // d = 2.25 w = (2.25, -4.5); v = d; w -= 0.5 v.
        step(&mut params);
        assert_eq!(params["w"].as_vec(), [-0.125, 0.25]);
        // d = (-0.28125, 0.5625); v = (1.125, -2.25) + d = (0.84375, -1.6875); w -= 0.5 v.
        step(&mut params);
        assert_eq!(params["w"].as_vec(), [-0.546_875, 1.093_75]);
    }
}
