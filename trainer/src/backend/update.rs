//! What an optimiser asks of a backend: one walk over a parameter, its gradient and what is remembered of them.

/// How a parameter is updated. `d` is the gradient after scaling, clipping and L2 decay; formulas as PyTorch defines them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// `v = momentum * v + d; p -= lr * v`, or, Nesterov's, `p -= lr * (d + momentum * v)`. State: v, unless the momentum is 0.
    Sgd {
        /// Learning rate.
        lr: f32,
        /// Share of the velocity kept from step to step.
        momentum: f32,
        /// Whether the gradient is looked up where the velocity leads.
        nesterov: bool,
    },
    /// `m += (1 - beta1) * (d - m); s = beta2 * s + (1 - beta2) * d^2; p -= rate * m / (sqrt(s) / root + epsilon)` (Kingma and
    /// Ba, "Adam", 2015). State: m, s.
    Adam {
        /// Learning rate over `1 - beta1^t` at the t-th update.
        rate: f32,
        /// `sqrt(1 - beta2^t)`.
        root: f32,
        /// Share of the mean gradient kept.
        beta1: f64,
        /// Share of the mean square kept.
        beta2: f64,
        /// Keeps the divisor away from 0.
        epsilon: f32,
    },
    /// `s = alpha * s + (1 - alpha) * d^2; v = momentum * v + d / (sqrt(s) + epsilon); p -= lr * v` (Hinton's lecture 6e, 2012).
    /// Centred, the mean gradient `m += (1 - alpha) * (d - m)` comes in and the root is that of the variance, `s - m^2`, or of 0
    /// where rounding leaves less. State: s, m where centred, v unless the momentum is 0.
    RmsProp {
        /// Learning rate.
        lr: f32,
        /// Share of the means kept.
        alpha: f64,
        /// Keeps the divisor away from 0.
        epsilon: f32,
        /// Share of the velocity kept.
        momentum: f32,
        /// Whether squares are taken around the mean gradient.
        centered: bool,
    },
}

/// Most vectors of state that a [`Method`] has.
pub const STATES: usize = 3;

impl Method {
    /// Which vectors of state it has, at fixed places: v; m, s; s, m, v.
    pub fn states(&self) -> [bool; STATES] {
        match *self {
            Method::Sgd { momentum, .. } => [momentum != 0.0, false, false],
            Method::Adam { .. } => [true, true, false],
            Method::RmsProp { momentum, centered, .. } => [true, centered, momentum != 0.0],
        }
    }
}

/// One update, the same for all elements of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// How.
    pub method: Method,
    /// What the gradient is multiplied by first.
    pub scale: f32,
    /// The magnitude at which the scaled gradient is cut off; infinity for nowhere.
    pub limit: f32,
    /// Factor of the parameter added to the gradient (L2).
    pub l2: f32,
    /// What the parameter is multiplied by before it is updated (decoupled decay); 1 for nothing.
    pub keep: f32,
    /// Share of the average that is kept, `a = share * a + (1 - share) * p`, with the parameter after its update.
    pub average: f64,
}

/// The vectors of an update, all of one length.
#[derive(Debug)]
pub struct Slots<R, W> {
    /// The parameter.
    pub parameter: W,
    /// Its gradient.
    pub gradient: R,
    /// What [`Method::states`] says; the others are empty.
    pub state: [W; STATES],
    /// The average of the parameter, where there is one.
    pub average: Option<W>,
}
