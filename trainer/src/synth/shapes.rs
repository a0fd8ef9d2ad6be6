//! The outlines of the classes, as "is this point inside" in a frame of their own: every shape just reaches, or nearly reaches,
//! the unit circle around the origin; `u` points right and `v` up.

use std::f32::consts::PI;

type Contains = fn(f32, f32) -> bool;

/// Sorted by name, so that folders of these names get the same class numbers.
const SHAPES: [(&str, Contains); 10] = [
    ("arrow", arrow),
    ("bar", |u, v| u.abs() <= 0.97 && v.abs() <= 0.24),
    ("crescent", |u, v| u.hypot(v) <= 1.0 && (u - 0.45).hypot(v) >= 0.8),
    ("cross", |u, v| u.abs().max(v.abs()) <= 0.96 && u.abs().min(v.abs()) <= 0.26),
    ("disc", |u, v| u.hypot(v) <= 0.92),
    ("heart", heart),
    ("ring", |u, v| (0.55..=1.0).contains(&u.hypot(v))),
    ("square", |u, v| u.abs().max(v.abs()) <= 0.7),
    ("star", star),
    ("triangle", triangle),
];

/// Number of classes.
pub(super) const COUNT: usize = SHAPES.len();

/// The name of a class below [`COUNT`].
pub(super) fn name(class: usize) -> &'static str {
    SHAPES[class].0
}

/// Whether `(u, v)` lies inside the shape of a class below [`COUNT`].
pub(super) fn contains(class: usize, u: f32, v: f32) -> bool {
    SHAPES[class].1(u, v)
}

/// Upright: a shaft of width 0.4 and a head of width 1.44.
fn arrow(u: f32, v: f32) -> bool {
    const TIP: f32 = 0.97;
    const NECK: f32 = 0.1;
    let shaft = u.abs() <= 0.2 && (-0.95..=NECK).contains(&v);
    let head = (NECK..=TIP).contains(&v) && u.abs() <= 0.72 * (TIP - v) / (TIP - NECK);
    shaft || head
}

/// The sextic `(x^2 + y^2 - 1)^3 <= x^2 y^3`, shrunk and moved into the unit circle.
fn heart(u: f32, v: f32) -> bool {
    let (x, y) = (1.25 * u, 1.25 * v + 0.25);
    (x * x + y * y - 1.0).powi(3) <= x * x * y.powi(3)
}

/// Five points on the unit circle, notches at 0.42.
fn star(u: f32, v: f32) -> bool {
    const NOTCH: f32 = 0.42;
    // Fold the plane into half a point: the angle from the nearest tip, at most 36 degrees.
    let turn = 2.0 * PI / 5.0;
    let angle = u.atan2(v);
    let folded = (angle - (angle / turn).round() * turn).abs();
    let radius = u.hypot(v);
    // On the origin's side of the line from the tip (0, 1) to the notch.
    let (x, y) = (radius * folded.sin(), radius * folded.cos());
    let (notch_x, notch_y) = (NOTCH * (turn / 2.0).sin(), NOTCH * (turn / 2.0).cos());
    notch_x * (y - 1.0) - (notch_y - 1.0) * x <= 0.0
}

/// Equilateral, its corners on the unit circle.
fn triangle(u: f32, v: f32) -> bool {
    v >= -0.5 && 3f32.sqrt() * u.abs() + v <= 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Areas by counting points of a grid, against the formulas of geometry.
    #[test]
    fn areas() {
        let step = 0.005;
        for (class, expected) in [
            (1, 4.0 * 0.97 * 0.24),
            (3, 4.0 * (2.0 * 0.96 * 0.26 - 0.26 * 0.26)),
            (4, PI * 0.92 * 0.92),
            (6, PI * (1.0 - 0.55 * 0.55)),
            (7, 1.4 * 1.4),
            // Ten triangles between the centre, a tip and a notch.
            (8, 5.0 * 0.42 * (PI / 5.0).sin()),
            (9, 3.0 * 3f32.sqrt() / 4.0),
        ] {
            let points = (-240..=240).flat_map(|i| (-240..=240).map(move |k| (i as f32 * step, k as f32 * step)));
            let area = points.filter(|&(u, v)| contains(class, u, v)).count() as f32 * step * step;
            assert!((area - expected).abs() < 0.02, "{}: {area}, not {expected}", name(class));
        }
    }

    #[test]
    fn every_shape_fits_the_unit_circle_and_reaches_most_of_it() {
        for class in 0..COUNT {
            let points = (-120..=120).flat_map(|i| (-120..=120).map(move |k| (i as f32 / 100.0, k as f32 / 100.0)));
            let radii = points.filter(|&(u, v)| contains(class, u, v)).map(|(u, v)| u.hypot(v));
            let reach = radii.fold(0.0, f32::max);
            assert!((0.9..=1.02).contains(&reach), "{} reaches {reach}", name(class));
        }
        assert!((1..COUNT).all(|class| name(class - 1) < name(class)));
    }
}
