//! Which learning rate to begin with: the range test.
//!
//! The network takes a step at each of growing rates. The loss stands still at first, falls, and in the end explodes; a good rate
//! is one at which it falls fastest (Smith, "Cyclical Learning Rates for Training Neural Networks", 2015).

use serde::Serialize;

/// One step of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Its learning rate.
    pub lr: f64,
    /// Loss of its batch, before the update.
    pub loss: f64,
    /// The losses until here, smoothed.
    pub smoothed: f64,
}

/// Mean of numbers so far in which each older one counts less by the factor `beta`. Corrected for the beginning, so the first mean
/// is the first number (as the moments of Adam: Kingma and Ba, 2014, section 3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smoothing {
    beta: f64,
    sum: f64,
    weight: f64,
}

impl Smoothing {
    /// Nothing seen yet; `beta` from 0 (the last number alone) to below 1.
    pub fn new(beta: f64) -> Self {
        Smoothing { beta, sum: 0.0, weight: 0.0 }
    }

    /// The mean with one more number.
    pub fn next(&mut self, number: f64) -> f64 {
        self.sum = self.beta * self.sum + (1.0 - self.beta) * number;
        self.weight = self.beta * self.weight + (1.0 - self.beta);
        self.sum / self.weight
    }
}

/// Steps of rates and losses with the smoothed losses, in order.
pub fn smoothed(steps: impl IntoIterator<Item = (f64, f64)>, beta: f64) -> Vec<Point> {
    let mut smoothing = Smoothing::new(beta);
    steps.into_iter().map(|(lr, loss)| Point { lr, loss, smoothed: smoothing.next(loss) }).collect()
}

/// Rate `step` of `steps`: from `first` to `last` in equal ratios.
pub fn rate(first: f64, last: f64, step: u64, steps: u64) -> f64 {
    let share = if steps > 1 { step as f64 / (steps - 1) as f64 } else { 0.0 };
    first * (last / first).powf(share)
}

/// A slope is measured over this share of the points before and behind its own, so that the noise of single batches is not taken
/// for one.
const WINDOW: usize = 20;

/// A fall by less than this share of the loss is none.
const LEAST: f64 = 1e-3;

/// The rate at which the smoothed loss falls fastest over the logarithm of the rate, before it is lowest. Points go by growing
/// rates; what comes after a loss that is not finite does not count. None where the loss never falls.
pub fn suggest(points: &[Point]) -> Option<f64> {
    let end = points.iter().position(|p| !p.smoothed.is_finite()).unwrap_or(points.len());
    let lowest = (0..end).min_by(|a, b| points[*a].smoothed.total_cmp(&points[*b].smoothed))?;
    let falling = &points[..=lowest];
    let highest = falling.iter().map(|p| p.smoothed).fold(f64::NEG_INFINITY, f64::max);
    if highest - points[lowest].smoothed <= LEAST * highest.abs() {
        return None;
    }
    if lowest == 1 {
        // Two points have one slope.
        return Some((falling[0].lr * falling[1].lr).sqrt());
    }
    let reach = (end / WINDOW).clamp(1, lowest / 2);
    let slopes = falling.windows(2 * reach + 1).map(slope).enumerate();
    let (steepest, slope) = slopes.min_by(|a, b| a.1.total_cmp(&b.1))?;
    (slope < 0.0).then(|| falling[steepest + reach].lr)
}

/// Slope of the line through the smoothed losses over the logarithms of the rates, by least squares.
fn slope(points: &[Point]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.lr.ln()), mean(|p| p.smoothed));
    let products: f64 = points.iter().map(|p| (p.lr.ln() - x) * (p.smoothed - y)).sum();
    products / points.iter().map(|p| (p.lr.ln() - x).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::KeyedRng;

    const STEPS: u64 = 200;

    /// Rates from 1e-6 to 10 and a loss of each.
    fn curve(beta: f64, loss: impl Fn(f64) -> f64) -> Vec<Point> {
        smoothed((0..STEPS).map(|i| rate(1e-6, 10.0, i, STEPS)).map(|lr| (lr, loss(lr))), beta)
    }

    /// Falls from 2.3 to 0.3 with its steepest place at 1e-3 and explodes beyond 0.5.
    fn typical(lr: f64) -> f64 {
        2.3 - 2.0 / (1.0 + (1e-3 / lr).powf(1.5)) + (lr / 0.5).powi(4)
    }

    fn near(found: Option<f64>, expected: f64, factor: f64) {
        let found = found.expect("the loss falls");
        assert!(found < expected * factor && found > expected / factor, "{found} is not near {expected}");
    }

    #[test]
    fn rates_grow_in_equal_ratios() {
        let rates: Vec<f64> = (0..4).map(|i| rate(0.001, 1.0, i, 4)).collect();
        assert!(rates.iter().zip([0.001, 0.01, 0.1, 1.0]).all(|(a, b)| (a / b - 1.0).abs() < 1e-12), "{rates:?}");
        assert_eq!(rate(0.001, 1.0, 0, 1), 0.001);
    }

    #[test]
    fn smoothing_by_hand() {
        let mut mean = Smoothing::new(0.5);
        // Weights 1; 1/3, 2/3; 1/7, 2/7, 4/7.
        let means = [3.0, 6.0, 13.0].map(|number| mean.next(number));
        assert!(means.iter().zip([3.0, 5.0, 67.0 / 7.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{means:?}");
    }

    #[test]
    fn the_steepest_place_is_found() {
        near(suggest(&curve(0.0, typical)), 1e-3, 1.2);
        // Noise as large as a tenth of the fall, smoothed, which lags behind.
        for seed in 0..20 {
            let noise = |lr: f64| 0.1 * f64::from(KeyedRng::new(seed, 0, lr.to_bits(), 1).normal());
            near(suggest(&curve(0.9, |lr| typical(lr) + noise(lr))), 2e-3, 4.0);
        }
    }

    #[test]
    fn what_comes_after_the_lowest_loss_does_not_count() {
        // The loss explodes and falls again, faster.
        let jumping = |lr: f64| if lr < 1.0 { typical(lr) } else { 50.0 - 10.0 * lr.ln() };
        near(suggest(&curve(0.0, jumping)), 1e-3, 1.2);
        let ends = |lr: f64| if lr < 1.0 { typical(lr) } else { f64::NAN };
        near(suggest(&curve(0.9, ends)), 2e-3, 4.0);
    }

    #[test]
    fn a_loss_that_never_falls_gives_none() {
        assert_eq!(suggest(&curve(0.9, |_| 2.3)), None, "nor is rounding a fall");
        assert_eq!(suggest(&curve(0.9, |lr| 2.3 + lr)), None);
        assert_eq!(suggest(&curve(0.9, |_| f64::NAN)), None);
        assert_eq!(suggest(&[]), None);
    }

    #[test]
    fn few_points_are_enough() {
        let points = |losses: &[f64]| smoothed(losses.iter().enumerate().map(|(i, loss)| (10_f64.powi(i as i32), *loss)), 0.0);
        assert_eq!(suggest(&points(&[2.0])), None);
        assert_eq!(suggest(&points(&[2.0, 1.0])), Some(10.0_f64.sqrt()));
        // Slopes over two decades: -0.5 at 10, -1.5 at 100, -1.0 at 1000.
        assert_eq!(suggest(&points(&[4.0, 4.0, 3.0, 1.0, 1.0, 0.9])), Some(100.0));
    }
}
