//! The transforms of F(4x4, 3x3) along one axis, and of a tile along both; the matrices are those of Lavin and Gray.

/// Pictures (or, for weights, input channels) that a transform works on at once.
pub(in super::super) const LANES: usize = 8;
/// Side of an output tile.
pub(super) const OUT: usize = 4;
/// Side of an input tile.
pub(super) const IN: usize = 6;

/// Values of [`LANES`] pictures or channels.
pub(super) type Lane = [f32; LANES];

/// `factor_a a + factor_b b`.
#[inline(always)]
fn mix<const N: usize>(terms: [(f32, &Lane); N]) -> Lane {
    let mut sum = [0.0; LANES];
    for (factor, lane) in terms {
        for (s, v) in sum.iter_mut().zip(lane) {
            *s += factor * v;
        }
    }
    sum
}

/// `B^T d`: 6 inputs to 6 points.
#[inline(always)]
fn input_to_points(d: &[Lane; IN]) -> [Lane; IN] {
    let [d0, d1, d2, d3, d4, d5] = d;
    let (even, odd) = (mix([(1.0, d4), (-4.0, d2)]), mix([(1.0, d3), (-4.0, d1)]));
    let (even2, odd2) = (mix([(1.0, d4), (-1.0, d2)]), mix([(2.0, d3), (-2.0, d1)]));
    [
        mix([(4.0, d0), (-5.0, d2), (1.0, d4)]),
        mix([(1.0, &even), (1.0, &odd)]),
        mix([(1.0, &even), (-1.0, &odd)]),
        mix([(1.0, &even2), (1.0, &odd2)]),
        mix([(1.0, &even2), (-1.0, &odd2)]),
        mix([(4.0, d1), (-5.0, d3), (1.0, d5)]),
    ]
}

/// `B p`, the transpose of [`input_to_points`].
#[inline(always)]
fn points_to_input(p: &[Lane; IN]) -> [Lane; IN] {
    let [p0, p1, p2, p3, p4, p5] = p;
    let (sum, difference) = (mix([(1.0, p1), (1.0, p2)]), mix([(1.0, p1), (-1.0, p2)]));
    let (sum2, difference2) = (mix([(1.0, p3), (1.0, p4)]), mix([(1.0, p3), (-1.0, p4)]));
    [
        mix([(4.0, p0)]),
        mix([(-4.0, &difference), (-2.0, &difference2), (4.0, p5)]),
        mix([(-5.0, p0), (-4.0, &sum), (-1.0, &sum2)]),
        mix([(1.0, &difference), (2.0, &difference2), (-5.0, p5)]),
        mix([(1.0, p0), (1.0, &sum), (1.0, &sum2)]),
        *p5,
    ]
}

/// `A^T p`: 6 points to 4 outputs.
#[inline(always)]
fn points_to_output(p: &[Lane; IN]) -> [Lane; OUT] {
    let [p0, p1, p2, p3, p4, p5] = p;
    let (sum, difference) = (mix([(1.0, p1), (1.0, p2)]), mix([(1.0, p1), (-1.0, p2)]));
    let (sum2, difference2) = (mix([(1.0, p3), (1.0, p4)]), mix([(1.0, p3), (-1.0, p4)]));
    [
        mix([(1.0, p0), (1.0, &sum), (1.0, &sum2)]),
        mix([(1.0, &difference), (2.0, &difference2)]),
        mix([(1.0, &sum), (4.0, &sum2)]),
        mix([(1.0, &difference), (8.0, &difference2), (1.0, p5)]),
    ]
}

/// `A y`, the transpose of [`points_to_output`].
#[inline(always)]
fn output_to_points(y: &[Lane; OUT]) -> [Lane; IN] {
    let [y0, y1, y2, y3] = y;
    let (even, odd) = (mix([(1.0, y0), (1.0, y2)]), mix([(1.0, y1), (1.0, y3)]));
    let (even2, odd2) = (mix([(1.0, y0), (4.0, y2)]), mix([(2.0, y1), (8.0, y3)]));
    [
        *y0,
        mix([(1.0, &even), (1.0, &odd)]),
        mix([(1.0, &even), (-1.0, &odd)]),
        mix([(1.0, &even2), (1.0, &odd2)]),
        mix([(1.0, &even2), (-1.0, &odd2)]),
        *y3,
    ]
}

/// `G g`: 3 weights to 6 points.
#[inline(always)]
fn weight_to_points(g: &[Lane; 3]) -> [Lane; IN] {
    let [g0, g1, g2] = g;
    let (even, odd) = (mix([(-1.0 / 6.0, g0), (-1.0 / 6.0, g2)]), mix([(1.0 / 6.0, g1)]));
    let (even2, odd2) = (mix([(1.0 / 24.0, g0), (1.0 / 6.0, g2)]), mix([(1.0 / 12.0, g1)]));
    [
        mix([(0.25, g0)]),
        mix([(1.0, &even), (-1.0, &odd)]),
        mix([(1.0, &even), (1.0, &odd)]),
        mix([(1.0, &even2), (1.0, &odd2)]),
        mix([(1.0, &even2), (-1.0, &odd2)]),
        *g2,
    ]
}

/// `G^T p`, the transpose of [`weight_to_points`].
#[inline(always)]
fn points_to_weight(p: &[Lane; IN]) -> [Lane; 3] {
    let [p0, p1, p2, p3, p4, p5] = p;
    let (sum, difference) = (mix([(1.0, p1), (1.0, p2)]), mix([(1.0, p2), (-1.0, p1)]));
    let (sum2, difference2) = (mix([(1.0, p3), (1.0, p4)]), mix([(1.0, p3), (-1.0, p4)]));
    [
        mix([(0.25, p0), (-1.0 / 6.0, &sum), (1.0 / 24.0, &sum2)]),
        mix([(1.0 / 6.0, &difference), (1.0 / 12.0, &difference2)]),
        mix([(-1.0 / 6.0, &sum), (1.0 / 6.0, &sum2), (1.0, p5)]),
    ]
}

/// A transform along one axis. A type, not a function value: it is certain to be inlined where it is used.
pub(super) trait Transform<const FROM: usize, const TO: usize>: Copy {
    fn apply(self, values: &[Lane; FROM]) -> [Lane; TO];
}

macro_rules! transform {
    ($name:ident: $from:expr, $to:expr => $function:ident) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        impl Transform<$from, $to> for $name {
            #[inline(always)]
            fn apply(self, values: &[Lane; $from]) -> [Lane; $to] {
                $function(values)
            }
        }
    };
}

transform!(InputToPoints: IN, IN => input_to_points);
transform!(PointsToInput: IN, IN => points_to_input);
transform!(PointsToOutput: IN, OUT => points_to_output);
transform!(OutputToPoints: OUT, IN => output_to_points);
transform!(WeightToPoints: 3, IN => weight_to_points);
transform!(PointsToWeight: IN, 3 => points_to_weight);

/// Applies a transform to the columns of a tile, then to its rows: `T d T^T`.
#[inline(always)]
pub(super) fn both_axes<const FROM: usize, const TO: usize>(
    tile: &[[Lane; FROM]; FROM],
    result: &mut [[Lane; TO]; TO],
    transform: impl Transform<FROM, TO>,
) {
    let mut half = [[[0.0; LANES]; FROM]; TO];
    for x in 0..FROM {
        let mut column = [[0.0; LANES]; FROM];
        for (lane, row) in column.iter_mut().zip(tile) {
            *lane = row[x];
        }
        let column = transform.apply(&column);
        for (half, lane) in half.iter_mut().zip(&column) {
            half[x] = *lane;
        }
    }
    for (row, half) in result.iter_mut().zip(&half) {
        *row = transform.apply(half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One dimension, by hand: `A^T [(G g) * (B^T d)]` is the correlation of 6 inputs with 3 weights.
    #[test]
    fn four_outputs_of_a_row() {
        let splat = |v: f32| [v; LANES];
        let (d, g) = ([1.0, -2.0, 3.0, 0.5, 4.0, -1.0], [0.5, 2.0, -1.0]);
        let (points, weights) = (input_to_points(&d.map(splat)), weight_to_points(&g.map(splat)));
        let products = std::array::from_fn(|i| splat(points[i][0] * weights[i][0]));
        let y = points_to_output(&products).map(|lane| lane[0]);
        // 0.5 d[i] + 2 d[i + 1] - d[i + 2]
        for (y, expected) in y.iter().zip([-6.5, 4.5, -1.5, 9.25]) {
            assert!((y - expected).abs() < 1e-5, "{y} instead of {expected}");
        }
    }

    /// A transform and its transpose: `<T a, b> = <a, T^T b>` for all unit vectors.
    fn transposed<const N: usize, const M: usize>(
        forward: impl Fn(&[Lane; N]) -> [Lane; M],
        backward: impl Fn(&[Lane; M]) -> [Lane; N],
    ) {
        for i in 0..N {
            for j in 0..M {
                let a = std::array::from_fn(|k| [if k == i { 1.0 } else { 0.0 }; LANES]);
                let b = std::array::from_fn(|k| [if k == j { 1.0 } else { 0.0 }; LANES]);
                let (there, back) = (forward(&a)[j][0], backward(&b)[i][0]);
                assert!((there - back).abs() < 1e-6, "element ({j}, {i}) is {there}, in the transpose {back}");
            }
        }
    }

    #[test]
    fn the_ways_back_are_transposes() {
        transposed(input_to_points, points_to_input);
        transposed(output_to_points, points_to_output);
        transposed(weight_to_points, points_to_weight);
    }
}
