//! Optimisers: how parameters follow their gradients.
//!
//! What holds for which parameter is found out once, in [`Groups`]; a step then asks the backend for one walk a parameter.

mod groups;
mod options;
mod rule;
mod rule_text;
mod scale;
mod settings;
mod state;

pub use groups::{Group, Groups};
pub use options::{OptimOptions, OptimizerKind};
pub use rule::{Rule, RuleError};
pub use settings::{KEYS, Settings};
pub use state::{RestoreError, StateError};

use crate::backend::cpu::CpuBackend;
use crate::backend::update::{Method, STATES, Slots, Update};
use crate::backend::{Backend, DeviceError, Fault, Grads, Vector};
use crate::metrics::Better;
use crate::ops::{Weight, put, take};
pub use crate::schedule::Moment;
use crate::schedule::{ScheduleKind, ScheduleOptions};
use crate::text::aligned;
use dfdx::prelude::Storage;
use scale::LossScale;
use staticnet_graph::graph::Graph;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a step tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// Learning rate of the parameters that no rule is for.
    pub lr: f64,
    /// Norm of the mean gradient over all parameters that are trained, before it is clipped.
    pub grad_norm: f32,
    /// The first parameter, in the order of the graph, whose gradient is not finite.
    pub broken: Option<String>,
    /// Whether nothing was changed, because gradients of a loss times [`Optimiser::loss_scale`] were too large for the device's numbers.
    /// The factor is smaller from now on.
    pub skipped: bool,
}

/// Why there is no optimiser.
#[derive(Debug)]
pub enum OptimiserError {
    /// An option or a rule makes no sense, or a rule is for nothing in the network.
    Rule(RuleError),
    /// What it remembers does not fit the device's memory, or it fails.
    Device(DeviceError),
}

impl fmt::Display for OptimiserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptimiserError::Rule(error) => write!(f, "{error}"),
            OptimiserError::Device(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for OptimiserError {}

impl From<RuleError> for OptimiserError {
    fn from(error: RuleError) -> Self {
        OptimiserError::Rule(error)
    }
}

impl From<DeviceError> for OptimiserError {
    fn from(error: DeviceError) -> Self {
        OptimiserError::Device(error)
    }
}

/// A parameter that is trained, and what is remembered of it.
struct Trained<B: Backend> {
    name: String,
    group: usize,
    len: usize,
    state: [Vector<B>; STATES],
    average: Option<Vector<B>>,
}

/// Updates the parameters of a network, as options and rules say.
pub struct Optimiser<B: Backend = CpuBackend> {
    backend: Arc<B>,
    options: OptimOptions,
    groups: Groups,
    /// In the order of the graph.
    trained: Vec<Trained<B>>,
    updates: u64,
    /// Where the device needs one.
    loss_scale: Option<LossScale>,
}

impl<B: Backend> fmt::Debug for Optimiser<B> {
    /// Without the numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Optimiser { options, groups, updates, .. } = self;
        f.debug_struct("Optimiser").field("options", options).field("groups", groups).field("updates", updates).finish()
    }
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

impl<B: Backend> Optimiser<B> {
    /// An optimiser that has done nothing yet. The average, where there is one, begins as the parameters of `graph`.
    ///
    /// # Errors
    /// [`OptimiserError`]: an option or a rule makes no sense, a rule is for nothing in this network, or too little memory.
    pub fn new(
        backend: &Arc<B>,
        graph: &Graph,
        options: &OptimOptions,
        schedule: &ScheduleOptions,
    ) -> Result<Self, OptimiserError> {
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
            let one = Trained::new(
                backend.as_ref(),
                name,
                group,
                has,
                options.ema.map(|_| tensor.data.as_slice()),
                tensor.data.len(),
            );
            trained.push(one.map_err(DeviceError::of)?);
        }
        let loss_scale = backend.loses_small_gradients().then(LossScale::default);
        Ok(Optimiser { backend: Arc::clone(backend), options: options.clone(), groups, trained, updates: 0, loss_scale })
    }

    /// What the loss of the next batches is to be multiplied by, so that its gradients are not too small for the device's numbers; a step
    /// takes it out of the gradients again. 1 for most devices.
    pub fn loss_scale(&self) -> f32 {
        self.loss_scale.as_ref().map_or(1.0, LossScale::factor)
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
    pub fn step(
        &mut self,
        params: &mut BTreeMap<String, Weight<B::Device>>,
        grads: &mut Grads<B>,
        at: Moment,
    ) -> Result<Stepped, DeviceError> {
        let backend = Arc::clone(&self.backend);
        let mut gradients = Vec::with_capacity(self.trained.len());
        for one in &self.trained {
            gradients.push(take(backend.as_ref(), grads, param(params, &one.name)).map_err(DeviceError::of)?);
        }
        let stepped = self.follow(backend.as_ref(), params, &gradients, at).map_err(DeviceError::of)?;
        for (one, gradient) in self.trained.iter().zip(gradients) {
            put::<B, _>(grads, param(params, &one.name), gradient).map_err(DeviceError::of)?;
        }
        Ok(stepped)
    }

    /// [`Optimiser::step`] with the gradient of each parameter that is trained.
    fn follow(
        &mut self,
        backend: &B,
        params: &mut BTreeMap<String, Weight<B::Device>>,
        gradients: &[Vector<B>],
        at: Moment,
    ) -> Result<Stepped, Fault<B>> {
        let rates: Vec<f64> = self.groups.iter().map(|g| g.lr(at)).collect();
        let lr = rates[0];
        let mean = 1.0 / (f64::from(at.batches.max(1)) * f64::from(self.loss_scale()));
        let mut scale = mean;
        if self.options.clip_norm.is_some() || self.loss_scale.is_some() {
            let read: Vec<_> = gradients.iter().map(|gradient| backend.read_vector(gradient)).collect();
            let squares = self.squares(backend.sums_of_squares(&read)?);
            let norm = squares.norm(mean);
            let skipped = self.loss_scale.as_mut().is_some_and(|scale| scale.is_too_large(squares.broken.is_some()));
            if squares.broken.is_some() {
                let broken = if skipped { None } else { squares.broken };
                return Ok(Stepped { lr, grad_norm: norm as f32, broken, skipped });
            }
            if let Some(most) = self.options.clip_norm {
                scale *= (most / (norm + NORM_EPSILON)).min(1.0);
            }
        }
        self.updates += 1;
        let updates = self.groups.iter().zip(&rates).map(|(group, lr)| self.update(group, *lr, scale)).collect::<Vec<_>>();
        let mut order: BTreeMap<&str, usize> = self.trained.iter().enumerate().map(|(i, one)| (one.name.as_str(), i)).collect();
        let mut parameters: Vec<_> = self.trained.iter().map(|_| None).collect();
        for (name, weight) in params.iter_mut() {
            if let Some(place) = order.remove(name.as_str()) {
                parameters[place] = Some(backend.write(weight));
            }
        }
        let each = self.trained.iter_mut().zip(parameters).zip(gradients);
        let work = each.map(|((one, parameter), gradient)| {
            let parameter = parameter.unwrap_or_else(|| panic!("the parameters have no {}", one.name));
            let state = one.state.each_mut().map(|state| backend.write_vector(state));
            let average = one.average.as_mut().map(|average| backend.write_vector(average));
            (updates[one.group], Slots { parameter, gradient: backend.read_vector(gradient), state, average })
        });
        let squares = backend.update(work.collect())?;
        let squares = self.squares(squares);
        Ok(Stepped { lr, grad_norm: squares.norm(mean) as f32, broken: squares.broken, skipped: false })
    }

    /// The sums of the squares of all parameters that are trained, in one.
    fn squares(&self, each: Vec<f64>) -> Squares {
        let mut squares = Squares::default();
        for (one, sum) in self.trained.iter().zip(each) {
            squares.add(&one.name, sum);
        }
        squares
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

impl<B: Backend> Trained<B> {
    /// A parameter of `len` numbers; its average begins as `average`.
    fn new(
        backend: &B,
        name: &str,
        group: usize,
        has: [bool; STATES],
        average: Option<&[f32]>,
        len: usize,
    ) -> Result<Self, Fault<B>> {
        let zeros = |len| Storage::<f32>::try_alloc_len(backend.device(), len);
        let [first, second, third] = has.map(|has| zeros(if has { len } else { 0 }));
        let average = match average {
            None => None,
            Some(numbers) => {
                let mut average = zeros(len)?;
                backend.set(backend.write_vector(&mut average), numbers)?;
                Some(average)
            }
        };
        Ok(Trained { name: name.into(), group, len, state: [first?, second?, third?], average })
    }
}

fn param<'a, D: Storage<f32>>(params: &'a BTreeMap<String, Weight<D>>, name: &str) -> &'a Weight<D> {
    params.get(name).unwrap_or_else(|| panic!("the parameters have no {name}"))
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
