//! Optimisers: how parameters follow their gradients.
//!
//! What holds for which parameter is found out once, in [`Groups`]; a step then asks the backend for one walk a parameter.

mod groups;
mod options;
mod rule;
mod settings;
mod state;

pub use groups::{Group, Groups, Role};
pub use options::{OptimOptions, OptimizerKind};
pub use rule::{Rule, RuleError};
pub use settings::{KEYS, Settings};
pub use state::StateError;

use crate::backend::update::{Method, STATES, Slots, Update};
use crate::backend::{Backend, raw};
use crate::metrics::Better;
use crate::ops::Weight;
pub use crate::schedule::Moment;
use crate::schedule::{ScheduleKind, ScheduleOptions};
use crate::text::aligned;
use dfdx::prelude::{Cpu, CpuError, Gradients};
use staticnet_graph::graph::Graph;
use std::collections::BTreeMap;

/// What a step tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// Learning rate of the parameters that no rule is for.
    pub lr: f64,
    /// Norm of the mean gradient over all parameters that are trained, before it is clipped.
    pub grad_norm: f32,
    /// The first parameter, in the order of the graph, whose gradient is not finite.
    pub broken: Option<String>,
}

/// A parameter that is trained, and what is remembered of it.
#[derive(Clone, Debug)]
struct Trained {
    name: String,
    group: usize,
    state: [Vec<f32>; STATES],
    average: Option<Vec<f32>>,
}

/// Updates the parameters of a network, as options and rules say.
#[derive(Clone, Debug)]
pub struct Optimiser {
    options: OptimOptions,
    groups: Groups,
    /// In the order of the graph.
    trained: Vec<Trained>,
    updates: u64,
}

/// PyTorch adds it to the norm that it divides by.
const NORM_EPSILON: f64 = 1e-6;

impl Settings {
    /// The backend's method at the `t`-th update, counted from 1.
    fn method(&self, lr: f64, t: u64) -> Method {
        let OptimOptions { momentum, nesterov, beta1, beta2, alpha, centered, eps, .. } = self.optim;
        let (momentum, epsilon) = (momentum as f32, eps as f32);
        match self.optim.optimizer {
            OptimizerKind::Sgd => Method::Sgd { lr: lr as f32, momentum, nesterov },
            OptimizerKind::Adam | OptimizerKind::AdamW => {
                let left = |beta: f64| 1.0 - beta.powf(t as f64);
                Method::Adam { rate: (lr / left(beta1)) as f32, root: left(beta2).sqrt() as f32, beta1, beta2, epsilon }
            }
            OptimizerKind::RmsProp => Method::RmsProp { lr: lr as f32, alpha, epsilon, momentum, centered },
        }
    }

    /// What the method's vectors of state are called.
    fn state_names(&self) -> [&'static str; STATES] {
        match self.optim.optimizer {
            OptimizerKind::Sgd => ["momentum", "", ""],
            OptimizerKind::Adam | OptimizerKind::AdamW => ["exp_avg", "exp_avg_sq", ""],
            OptimizerKind::RmsProp => ["square_avg", "grad_avg", "momentum"],
        }
    }
}

impl Optimiser {
    /// An optimiser that has done nothing yet. The average, where there is one, begins as the parameters of `graph`.
    ///
    /// # Errors
    /// [`RuleError`]: an option or a rule makes no sense, or a rule is for nothing in this network.
    pub fn new(graph: &Graph, options: &OptimOptions, schedule: &ScheduleOptions) -> Result<Optimiser, RuleError> {
        let groups = Groups::new(graph, options, schedule)?;
        let mut group_of = BTreeMap::new();
        for (i, group) in groups.iter().enumerate().filter(|(_, g)| !g.settings.freeze) {
            group_of.extend(group.parameters.iter().map(|p| (p.as_str(), i)));
        }
        let mut trained = Vec::new();
        for name in graph.nodes.iter().flat_map(|n| &n.params) {
            // A parameter that several layers use comes once.
            let (Some(group), Some(tensor)) = (group_of.remove(name.as_str()), graph.params.get(name)) else { continue };
            let has = groups.groups[group].settings.method(0.0, 1).states();
            let state = has.map(|has| vec![0.0; if has { tensor.data.len() } else { 0 }]);
            let average = options.ema.map(|_| tensor.data.clone());
            trained.push(Trained { name: name.clone(), group, state, average });
        }
        Ok(Optimiser { options: options.clone(), groups, trained, updates: 0 })
    }

    /// Updates every parameter that is trained by its gradient, the sum over [`Moment::batches`] batches.
    ///
    /// Where [`Stepped::broken`] names a parameter, the step is spoilt: with `clip_norm` nothing was changed, without it that
    /// parameter and what is remembered of it are no numbers any more. The training goes on from a checkpoint, or ends.
    ///
    /// # Errors
    /// The device's, when memory runs out.
    ///
    /// # Panics
    /// Panics where `params` are not those of the graph.
    pub fn step<B: Backend>(
        &mut self,
        backend: &B,
        params: &mut BTreeMap<String, Weight>,
        grads: &mut Gradients<f32, Cpu>,
        at: Moment,
    ) -> Result<Stepped, CpuError> {
        let rates: Vec<f64> = self.groups.iter().map(|g| g.lr(at)).collect();
        let lr = rates[0];
        let mean = 1.0 / f64::from(at.batches.max(1));
        let mut scale = mean;
        if let Some(most) = self.options.clip_norm {
            let mut squares = Squares::default();
            for one in &self.trained {
                let gradient = grads.get_or_alloc_mut(param(params, &one.name))?;
                squares.add(&one.name, backend.sum_of_squares(gradient));
            }
            let norm = squares.norm(mean);
            if squares.broken.is_some() {
                return Ok(Stepped { lr, grad_norm: norm as f32, broken: squares.broken });
            }
            scale *= (most / (norm + NORM_EPSILON)).min(1.0);
        }
        self.updates += 1;
        let updates = self.groups.iter().zip(&rates).map(|(group, lr)| self.update(group, *lr, scale)).collect::<Vec<_>>();
        let mut squares = Squares::default();
        for one in &mut self.trained {
            let param = param(params, &one.name);
            let gradient = grads.get_or_alloc_mut(param)?.as_slice();
            let state = one.state.each_mut().map(Vec::as_mut_slice);
            let slots = Slots { parameter: raw::slice_mut(param), gradient, state, average: one.average.as_deref_mut() };
            squares.add(&one.name, backend.update(&updates[one.group], slots));
        }
        Ok(Stepped { lr, grad_norm: squares.norm(mean) as f32, broken: squares.broken })
    }

    /// What is done to the parameters of a group with gradients times `scale`.
    fn update(&self, group: &Group, lr: f64, scale: f64) -> Update {
        let optim = &group.settings.optim;
        let decay = optim.weight_decay;
        let (l2, keep) = if optim.decoupled() { (0.0, 1.0 - lr * decay) } else { (decay, 1.0) };
        Update {
            method: group.settings.method(lr, self.updates),
            scale: scale as f32,
            limit: self.options.clip_value.unwrap_or(f64::INFINITY) as f32,
            l2: l2 as f32,
            keep: keep as f32,
            average: self.options.ema.unwrap_or(1.0),
        }
    }

    /// Takes in the watched metric after an epoch, for rates that follow one.
    pub fn end_of_epoch(&mut self, watched: f64, better: Better) {
        for group in &mut self.groups.groups {
            if group.settings.schedule.schedule == ScheduleKind::Plateau {
                group.plateau.end_of_epoch(&group.settings.schedule, watched, better);
            }
        }
    }

    /// The groups of parameters, that of the defaults first.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter()
    }

    /// Which rule is for which parameter, one line each, with the rates of the step at `at`.
    pub fn table(&self, at: Moment) -> String {
        let header = ["parameter", "rules", "optimizer", "lr", "weight_decay", "schedule"];
        let mut rows = vec![header.map(String::from).to_vec()];
        for group in self.groups() {
            let Settings { optim, schedule, freeze, .. } = &group.settings;
            for name in &group.parameters {
                let (label, lr, decay) = (group.label.clone(), format!("{:.3e}", group.lr(at)), optim.weight_decay.to_string());
                rows.push(if *freeze {
                    vec![name.clone(), label, "frozen".into()]
                } else {
                    vec![name.clone(), label, optim.optimizer.to_string(), lr, decay, schedule.schedule.to_string()]
                });
            }
        }
        aligned(&rows, header.len())
    }
}

fn param<'a>(params: &'a mut BTreeMap<String, Weight>, name: &str) -> &'a mut Weight {
    params.get_mut(name).unwrap_or_else(|| panic!("the parameters have no {name}"))
}

/// Sums of squares of gradients, one parameter after the other.
#[derive(Default)]
struct Squares {
    sum: f64,
    broken: Option<String>,
}

impl Squares {
    fn add(&mut self, name: &str, squares: f64) {
        self.sum += squares;
        if !squares.is_finite() && self.broken.is_none() {
            self.broken = Some(name.into());
        }
    }

    /// Norm of the gradients times `scale`.
    fn norm(&self, scale: f64) -> f64 {
        self.sum.sqrt() * scale
    }
}

#[cfg(test)]
mod tests;
