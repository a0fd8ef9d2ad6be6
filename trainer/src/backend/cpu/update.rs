//! Updates of parameters.
//!
//! Parameters are halved down to pieces that stay in a core's own cache, and each piece is gone through in simple loops. Where
//! they are cut depends on the length alone and every element on its own place alone, so the number of threads changes nothing.

use super::super::raw::simd::Simd;
use super::super::update::{Method, STATES, Slots, Update};

vectorised!(Squares((&'a [f32], &'a mut f64)) = squares);
vectorised!(Velocity((Momentum, &'a mut [f32], &'a mut [f32], &'a [f32])) = with_momentum);

/// The vectors of an update on the processor.
type Part<'a> = Slots<&'a [f32], &'a mut [f32]>;

/// Elements of a piece: up to seven vectors of 8 KiB.
const PIECE: usize = 2048;
/// Sums that run side by side.
const LANES: usize = 16;

/// Sum of the squares of `gradient`: finite exactly where all of it is.
pub(super) fn sum_of_squares(simd: Simd, gradient: &[f32]) -> f64 {
    if gradient.len() <= PIECE {
        return piece_of_squares(simd, gradient);
    }
    let (left, right) = gradient.split_at(middle(gradient.len()));
    let (left, right) = rayon::join(|| sum_of_squares(simd, left), || sum_of_squares(simd, right));
    left + right
}

/// Updates, and returns the sum of the squares of the gradient as it was given.
///
/// # Panics
/// Panics where the slots are not what the method needs.
pub(super) fn update(simd: Simd, update: &Update, slots: Part<'_>) -> f64 {
    let len = slots.parameter.len();
    let needed = update.method.states().map(|has| if has { len } else { 0 });
    assert_eq!(slots.state.each_ref().map(|s| s.len()), needed, "vectors of state");
    assert_eq!((slots.gradient.len(), slots.average.as_ref().map_or(len, |a| a.len())), (len, len));
    cut(simd, update, slots)
}

fn cut(simd: Simd, update: &Update, slots: Part<'_>) -> f64 {
    if slots.parameter.len() <= PIECE {
        return piece(simd, update, slots);
    }
    let (left, right) = halves(slots);
    let (left, right) = rayon::join(|| cut(simd, update, left), || cut(simd, update, right));
    left + right
}

/// Where so many elements are cut: half of them in whole pieces.
fn middle(len: usize) -> usize {
    len.div_ceil(PIECE) / 2 * PIECE
}

fn halves(slots: Part<'_>) -> (Part<'_>, Part<'_>) {
    let at = middle(slots.parameter.len());
    let (parameter, parameter2) = slots.parameter.split_at_mut(at);
    let (gradient, gradient2) = slots.gradient.split_at(at);
    let mut state2: [&mut [f32]; STATES] = Default::default();
    let mut place = state2.iter_mut();
    let state = slots.state.map(|whole| {
        let (left, right) = whole.split_at_mut(at.min(whole.len()));
        if let Some(place) = place.next() {
            *place = right;
        }
        left
    });
    let (average, average2) = slots.average.map(|a| a.split_at_mut(at)).unzip();
    let right = Slots { parameter: parameter2, gradient: gradient2, state: state2, average: average2 };
    (Slots { parameter, gradient, state, average }, right)
}

/// Squares that are summed in binary32 before binary64 takes them in.
const RUN: usize = 16 * LANES;

fn piece_of_squares(simd: Simd, gradient: &[f32]) -> f64 {
    let mut sum = 0.0;
    simd.run(Squares((gradient, &mut sum)));
    // Squares may be too large for binary32 where the numbers are not; binary64 holds them all.
    if sum.is_finite() { sum } else { gradient.iter().map(|g| f64::from(*g).powi(2)).sum() }
}

/// Adds the squares of `gradient` to `sum`.
#[inline(always)]
fn squares((gradient, sum): (&[f32], &mut f64)) {
    for run in gradient.chunks(RUN) {
        let mut sums = [0.0_f32; LANES];
        let (chunks, rest) = run.as_chunks::<LANES>();
        for chunk in chunks {
            for i in 0..LANES {
                sums[i] += chunk[i] * chunk[i];
            }
        }
        for (sum, g) in sums.iter_mut().zip(rest) {
            *sum += g * g;
        }
        for lane in sums {
            *sum += f64::from(lane);
        }
    }
}

/// What gradient and parameter go through before any method.
#[derive(Clone, Copy)]
struct Begin {
    scale: f32,
    limit: f32,
    l2: f32,
    keep: f32,
}

impl Begin {
    /// Both stay as they are.
    const NOTHING: Begin = Begin { scale: 1.0, limit: f32::INFINITY, l2: 0.0, keep: 1.0 };

    /// The parameter that is updated, and the gradient that counts.
    #[inline(always)]
    fn of(self, p: f32, g: f32) -> (f32, f32) {
        let p = p * self.keep;
        (p, (g * self.scale).clamp(-self.limit, self.limit) + self.l2 * p)
    }
}

/// A step of SGD with momentum, and what the gradient and the parameter go through before.
pub(super) struct Momentum {
    lr: f32,
    momentum: f32,
    nesterov: bool,
    begin: Begin,
}

#[inline(always)]
fn with_momentum((step, p, v, g): (Momentum, &mut [f32], &mut [f32], &[f32])) {
    let Momentum { lr, momentum, nesterov, begin } = step;
    for ((p, v), g) in p.iter_mut().zip(v).zip(g) {
        let (kept, d) = begin.of(*p, *g);
        *v = momentum * *v + d;
        *p = kept - lr * if nesterov { d + momentum * *v } else { *v };
    }
}

fn piece(simd: Simd, update: &Update, slots: Part<'_>) -> f64 {
    let Slots { parameter: p, gradient: g, state, average } = slots;
    let squares = piece_of_squares(simd, g);
    let Update { scale, limit, l2, keep, .. } = *update;
    let begin = Begin { scale, limit, l2, keep };
    match (update.method, state) {
        (Method::Sgd { lr, momentum: 0.0, .. }, _) => plain(begin, lr, p, g),
        (Method::Sgd { lr, momentum, nesterov }, [v, ..]) => {
            simd.run(Velocity((Momentum { lr, momentum, nesterov, begin }, p, v, g)));
        }
        (Method::Adam { rate, root, beta1, beta2, epsilon }, [m, s, _]) => {
            let (new1, old2, new2, unroot) = ((1.0 - beta1) as f32, beta2 as f32, (1.0 - beta2) as f32, root.recip());
            for (((p, m), s), g) in p.iter_mut().zip(m).zip(s).zip(g) {
                let (kept, d) = begin.of(*p, *g);
                *m += new1 * (d - *m);
                *s = old2 * *s + new2 * d * d;
                *p = kept - rate * *m / (s.sqrt() * unroot + epsilon);
            }
        }
        (Method::RmsProp { lr, alpha, epsilon, momentum, centered }, [s, m, v]) => {
            let mut step = [0.0; PIECE];
            let step = &mut step[..p.len()];
            for ((d, p), g) in step.iter_mut().zip(p.iter_mut()).zip(g) {
                (*p, *d) = begin.of(*p, *g);
            }
            over_root(step, alpha, epsilon, centered, s, m);
            match momentum != 0.0 {
                false => plain(Begin::NOTHING, lr, p, step),
                true => {
                    let method = Momentum { lr, momentum, nesterov: false, begin: Begin::NOTHING };
                    simd.run(Velocity((method, p, v, step)));
                }
            }
        }
    }
    if let Some(average) = average {
        let (old, new) = (update.average as f32, (1.0 - update.average) as f32);
        for (a, p) in average.iter_mut().zip(&*p) {
            *a = old * *a + new * p;
        }
    }
    squares
}

fn plain(begin: Begin, lr: f32, p: &mut [f32], g: &[f32]) {
    for (p, g) in p.iter_mut().zip(g) {
        let (kept, d) = begin.of(*p, *g);
        *p = kept - lr * d;
    }
}

/// Divides gradients by the root of their mean square, or of their variance.
fn over_root(step: &mut [f32], alpha: f64, epsilon: f32, centered: bool, s: &mut [f32], m: &mut [f32]) {
    let (old, new) = (alpha as f32, (1.0 - alpha) as f32);
    if centered {
        for ((d, s), m) in step.iter_mut().zip(s).zip(m) {
            *s = old * *s + new * *d * *d;
            *m += new * (*d - *m);
            *d /= (*s - *m * *m).max(0.0).sqrt() + epsilon;
        }
    } else {
        for (d, s) in step.iter_mut().zip(s) {
            *s = old * *s + new * *d * *d;
            *d /= s.sqrt() + epsilon;
        }
    }
}
