//! Updates of parameters.
//!
//! Parameters are halved down to pieces that stay in a core's own cache, and each piece is gone through in simple loops. Where
//! they are cut depends on the length alone and every element on its own place alone, so the number of threads changes nothing.

use super::super::update::{Method, STATES, Slots, Update};

/// Elements of a piece: up to seven vectors of 8 KiB.
const PIECE: usize = 2048;
/// Sums that run side by side.
const LANES: usize = 16;

/// Sum of the squares of `gradient`: finite exactly where all of it is.
pub(super) fn sum_of_squares(gradient: &[f32]) -> f64 {
    if gradient.len() <= PIECE {
        return piece_of_squares(gradient);
    }
    let (left, right) = gradient.split_at(middle(gradient.len()));
    let (left, right) = rayon::join(|| sum_of_squares(left), || sum_of_squares(right));
    left + right
}

/// Updates, and returns the sum of the squares of the gradient as it was given.
///
/// # Panics
/// Panics where the slots are not what the method needs.
pub(super) fn update(update: &Update, slots: Slots<'_>) -> f64 {
    let len = slots.parameter.len();
    let needed = update.method.states().map(|has| if has { len } else { 0 });
    assert_eq!(slots.state.each_ref().map(|s| s.len()), needed, "vectors of state");
    assert_eq!((slots.gradient.len(), slots.average.as_ref().map_or(len, |a| a.len())), (len, len));
    cut(update, slots)
}

fn cut(update: &Update, slots: Slots<'_>) -> f64 {
    if slots.parameter.len() <= PIECE {
        return piece(update, slots);
    }
    let (left, right) = halves(slots);
    let (left, right) = rayon::join(|| cut(update, left), || cut(update, right));
    left + right
}

/// Where so many elements are cut: half of them in whole pieces.
fn middle(len: usize) -> usize {
    len.div_ceil(PIECE) / 2 * PIECE
}

fn halves(slots: Slots<'_>) -> (Slots<'_>, Slots<'_>) {
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

fn piece_of_squares(gradient: &[f32]) -> f64 {
    let sum: f64 = gradient.chunks(RUN).map(run_of_squares).sum();
    // Squares may be too large for binary32 where the numbers are not; binary64 holds them all.
    if sum.is_finite() { sum } else { gradient.iter().map(|g| f64::from(*g).powi(2)).sum() }
}

fn run_of_squares(gradient: &[f32]) -> f64 {
    let mut sums = [0.0_f32; LANES];
    let mut chunks = gradient.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (sum, g) in sums.iter_mut().zip(chunk) {
            *sum += g * g;
        }
    }
    for (sum, g) in sums.iter_mut().zip(chunks.remainder()) {
        *sum += g * g;
    }
    sums.iter().map(|sum| f64::from(*sum)).sum()
}

fn piece(update: &Update, slots: Slots<'_>) -> f64 {
    let Slots { parameter: p, gradient: g, state, average } = slots;
    let squares = piece_of_squares(g);
    let Update { scale, limit, l2, keep, .. } = *update;
    // The parameter that is updated, and the gradient that counts.
    let begin = |p: f32, g: f32| {
        let p = p * keep;
        (p, (g * scale).clamp(-limit, limit) + l2 * p)
    };
    match (update.method, state) {
        (Method::Sgd { lr, momentum, nesterov }, [v, ..]) => match (momentum != 0.0, nesterov) {
            (false, _) => plain(begin, lr, p, g),
            (true, false) => with_velocity(begin, |_, v| lr * v, momentum, p, v, g),
            (true, true) => with_velocity(begin, |d, v| lr * (d + momentum * v), momentum, p, v, g),
        },
        (Method::Adam { rate, root, beta1, beta2, epsilon }, [m, s, _]) => {
            let (new1, old2, new2, unroot) = ((1.0 - beta1) as f32, beta2 as f32, (1.0 - beta2) as f32, root.recip());
            for (((p, m), s), g) in p.iter_mut().zip(m).zip(s).zip(g) {
                let (kept, d) = begin(*p, *g);
                *m += new1 * (d - *m);
                *s = old2 * *s + new2 * d * d;
                *p = kept - rate * *m / (s.sqrt() * unroot + epsilon);
            }
        }
        (Method::RmsProp { lr, alpha, epsilon, momentum, centered }, [s, m, v]) => {
            let mut step = [0.0; PIECE];
            let step = &mut step[..p.len()];
            for ((d, p), g) in step.iter_mut().zip(p.iter_mut()).zip(g) {
                (*p, *d) = begin(*p, *g);
            }
            over_root(step, alpha, epsilon, centered, s, m);
            let as_it_is = |p: f32, d: f32| (p, d);
            match momentum != 0.0 {
                false => plain(as_it_is, lr, p, step),
                true => with_velocity(as_it_is, |_, v| lr * v, momentum, p, v, step),
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

fn plain(begin: impl Fn(f32, f32) -> (f32, f32), lr: f32, p: &mut [f32], g: &[f32]) {
    for (p, g) in p.iter_mut().zip(g) {
        let (kept, d) = begin(*p, *g);
        *p = kept - lr * d;
    }
}

/// Moves by what `step` makes of the gradient and the velocity.
fn with_velocity(
    begin: impl Fn(f32, f32) -> (f32, f32),
    step: impl Fn(f32, f32) -> f32,
    momentum: f32,
    p: &mut [f32],
    v: &mut [f32],
    g: &[f32],
) {
    for ((p, v), g) in p.iter_mut().zip(v).zip(g) {
        let (kept, d) = begin(*p, *g);
        *v = momentum * *v + d;
        *p = kept - step(d, *v);
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
