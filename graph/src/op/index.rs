//! Where elements lie: what the operators that move, repeat or leave out elements share.

use crate::graph::Tensor;

/// Most dimensions of a value.
pub const MAX_RANK: usize = 8;

/// For each index along one dimension of the output the distance of the input's element from the input's first, or `None` where
/// it lies outside.
pub(crate) type Table = Vec<Option<usize>>;

/// Elements between neighbours along each dimension, row-major.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d];
    }
    strides
}

/// Number of elements of a shape.
///
/// # Errors
/// Where the number overflows, in words.
pub(crate) fn elements(shape: &[usize]) -> Result<usize, String> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(|| format!("{shape:?} is absurdly large"))
}

/// The elements that the tables point at, in row-major order; `outside` where any of them points nowhere.
pub(crate) fn gather<T: Copy>(x: &[T], tables: &[Table], outside: T) -> Vec<T> {
    let Some((inner, outer)) = tables.split_last() else {
        return x.to_vec();
    };
    let rows: usize = outer.iter().map(Vec::len).product();
    let mut data = Vec::with_capacity(rows * inner.len());
    for row in 0..rows {
        let (mut base, mut rest) = (Some(0), row);
        for table in outer.iter().rev() {
            base = base.zip(table[rest % table.len()]).map(|(sum, offset)| sum + offset);
            rest /= table.len();
        }
        let element = |offset: &Option<usize>| base.zip(*offset).map_or(outside, |(base, offset)| x[base + offset]);
        data.extend(inner.iter().map(element));
    }
    data
}

/// The shape that two shapes broadcast to, as in ONNX and numpy.
///
/// # Errors
/// Where they do not fit, in words.
pub(crate) fn broadcast_shape(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], d: usize| (d + shape.len()).checked_sub(rank).map_or(1, |d| shape[d]);
    let dimension = |d: usize| match (size(a, d), size(b, d)) {
        (x, y) if x == y || y == 1 => Ok(x),
        (1, y) => Ok(y),
        _ => Err(format!("shapes {a:?} and {b:?} do not broadcast")),
    };
    (0..rank).map(dimension).collect()
}

/// Whether `shape` can be repeated into `target` without changing that.
pub(crate) fn broadcasts_to(shape: &[usize], target: &[usize]) -> bool {
    broadcast_shape(shape, target).is_ok_and(|common| common == target)
}

/// The tensor repeated to a shape that it broadcasts to.
pub(crate) fn broadcast(x: &Tensor, shape: &[usize]) -> Tensor {
    if x.shape == shape {
        return x.clone();
    }
    let (strides, missing) = (strides(&x.shape), shape.len() - x.shape.len());
    let table = |d: usize| -> Table {
        let stride = d.checked_sub(missing).filter(|&d| x.shape[d] != 1).map_or(0, |d| strides[d]);
        (0..shape[d]).map(|i| Some(i * stride)).collect()
    };
    let tables: Vec<Table> = (0..shape.len()).map(table).collect();
    Tensor { shape: shape.to_vec(), data: gather(&x.data, &tables, 0.0) }
}

/// The shape cut around an axis: elements before it, along it and behind it.
pub(crate) fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}
