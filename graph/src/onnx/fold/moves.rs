//! Constants whose elements change places: indexing, joining, shapes.

use super::{Cost, afford, sizes};
use crate::graph::{Codes, Tensor};
use crate::onnx::node::NodeReader;
use crate::onnx::tensor::{Constant, plausible};
use crate::op::axes::axis;
use crate::op::index::{self, broadcast_shape};

/// What [`fold`] computes.
pub(super) const OPERATORS: [&str; 11] =
    ["Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze", "Where"];

const DAMAGED: &str = "the file may be damaged; export it again";

/// Computes the node, all of whose inputs are constants.
pub(super) fn fold(node: &mut NodeReader) -> Option<Constant> {
    match node.op_type() {
        "Concat" => concat(node),
        "Expand" => expand(node),
        "Gather" => gather(node),
        "Identity" => {
            node.inputs_at_most(1);
            node.constant(0, "input")
        }
        "Slice" => slice(node),
        "Transpose" => transpose(node),
        "Where" => choose(node),
        _ => reshape(node),
    }
}

/// Something that picks elements of a tensor, whatever they are.
trait Pick {
    fn pick<T: Copy>(&self, data: &[T]) -> Vec<T>;
}

/// Element `(i0, i1, ..)` of the result is element `base + i0 * strides[0] + ..`.
pub(super) struct Walk {
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<isize>,
    pub(super) base: usize,
}

impl Walk {
    /// Every element of `from` in the places that broadcasting to `to` gives it; `to` must be what ONNX broadcasts it to.
    pub(super) fn broadcast(from: &[usize], to: &[usize]) -> Self {
        let ahead = to.len() - from.len();
        let own = row_major(from);
        let stride = |d: usize| if d < ahead || from[d - ahead] == 1 { 0 } else { own[d - ahead] };
        Walk { shape: to.to_vec(), strides: (0..to.len()).map(stride).collect(), base: 0 }
    }

    /// The places in order.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let mut index = vec![0; self.shape.len()];
        let mut place = self.base as isize;
        let elements: usize = self.shape.iter().product();
        (0..elements).map(move |_| {
            let here = place as usize;
            for d in (0..index.len()).rev() {
                index[d] += 1;
                place += self.strides[d];
                if index[d] < self.shape[d] {
                    break;
                }
                place -= self.strides[d] * index[d] as isize;
                index[d] = 0;
            }
            here
        })
    }
}

impl Pick for Walk {
    fn pick<T: Copy>(&self, data: &[T]) -> Vec<T> {
        self.places().map(|place| data[place]).collect()
    }
}

/// Distances between neighbours along each dimension.
fn row_major(shape: &[usize]) -> Vec<isize> {
    index::strides(shape).into_iter().map(|stride| stride as isize).collect()
}

/// Slices along one dimension: `before` times, those of the `indices`, each of `behind` elements.
struct Rows<'a> {
    before: usize,
    len: usize,
    behind: usize,
    indices: &'a [usize],
}

impl Pick for Rows<'_> {
    fn pick<T: Copy>(&self, data: &[T]) -> Vec<T> {
        let mut picked = Vec::with_capacity(self.before * self.indices.len() * self.behind);
        for outer in 0..self.before {
            for index in self.indices {
                let start = (outer * self.len + index) * self.behind;
                picked.extend_from_slice(&data[start..start + self.behind]);
            }
        }
        picked
    }
}

/// The picked elements under a new shape. `axis` says where a dimension with several scales goes; without an answer the numbers
/// are kept as real ones only.
fn picked(constant: &Constant, shape: Vec<usize>, pick: &impl Pick, axis: impl Fn(usize) -> Option<usize>) -> Constant {
    match constant {
        Constant::Float(tensor) => Constant::Float(Tensor { shape, data: pick.pick(&tensor.data) }),
        Constant::Codes { elem, data, .. } => Constant::Codes { elem: *elem, shape, data: pick.pick(data) },
        Constant::Int { data, .. } => Constant::Int { shape, data: pick.pick(data) },
        Constant::Quantized { tensor, codes } => {
            let tensor = Tensor { shape, data: pick.pick(&tensor.data) };
            match codes.axis.map(axis) {
                Some(None) => Constant::Float(tensor),
                moved => {
                    let moved = Codes { codes: pick.pick(&codes.codes), axis: moved.flatten(), ..codes.clone() };
                    Constant::Quantized { tensor, codes: moved }
                }
            }
        }
    }
}

fn concat(node: &mut NodeReader) -> Option<Constant> {
    let along = node.int("axis").unwrap_or(0);
    let parts: Vec<Constant> = (0..node.inputs()).map(|i| node.constant(i, "input")).collect::<Option<_>>()?;
    let first = parts.first()?.shape().to_vec();
    let along = axis(node, "axis", along, first.len())?;
    let fits = |shape: &[usize]| shape.len() == first.len() && (0..first.len()).all(|d| d == along || shape[d] == first[d]);
    if !parts.iter().all(|p| fits(p.shape())) {
        node.refuse("", "the inputs have shapes that do not fit together", DAMAGED);
        return None;
    }
    let mut shape = first;
    shape[along] = parts.iter().map(|p| p.shape()[along]).sum();
    afford(node, &shape, parts.first().map_or(Cost::Weight, Cost::of))?;
    let before: usize = shape[..along].iter().product();
    let (mut floats, mut ints, mut codes, mut elem) = (vec![], vec![], vec![], None);
    for outer in 0..before {
        for part in &parts {
            let row = part.elements() / before;
            let range = outer * row..(outer + 1) * row;
            match part {
                Constant::Float(t) | Constant::Quantized { tensor: t, .. } => floats.extend_from_slice(&t.data[range]),
                Constant::Int { data, .. } => ints.extend_from_slice(&data[range]),
                Constant::Codes { data, elem: own, .. } => {
                    codes.extend_from_slice(&data[range]);
                    elem = Some(*own);
                }
            }
        }
    }
    match (floats.is_empty(), ints.is_empty(), elem) {
        (true, true, Some(elem)) => Some(Constant::Codes { elem, shape, data: codes }),
        (false, true, None) => Some(Constant::Float(Tensor { shape, data: floats })),
        (true, false, None) => Some(Constant::Int { shape, data: ints }),
        // Nothing at all: whatever the parts are made of.
        (true, true, None) => Some(match parts.first()? {
            Constant::Float(_) | Constant::Quantized { .. } => Constant::Float(Tensor { shape, data: floats }),
            Constant::Int { .. } | Constant::Codes { .. } => Constant::Int { shape, data: ints },
        }),
        _ => {
            node.refuse("", "the inputs are of different types", DAMAGED);
            None
        }
    }
}

fn gather(node: &mut NodeReader) -> Option<Constant> {
    node.inputs_at_most(2);
    let along = node.int("axis").unwrap_or(0);
    let (data, indices) = (node.constant(0, "data")?, node.constant(1, "indices")?);
    let along = axis(node, "axis", along, data.shape().len())?;
    let len = data.shape()[along];
    let Constant::Int { shape: index_shape, data: indices } = indices else {
        node.refuse("indices", "are not integers", DAMAGED);
        return None;
    };
    let from_zero = |&i: &i64| usize::try_from(if i < 0 { i.checked_add(len as i64)? } else { i }).ok().filter(|&i| i < len);
    let Some(indices) = indices.iter().map(from_zero).collect::<Option<Vec<usize>>>() else {
        node.refuse("indices", format!("are not all inside the {len} of the axis"), DAMAGED);
        return None;
    };
    let (before, behind) = (&data.shape()[..along], &data.shape()[along + 1..]);
    let shape = [before, &index_shape, behind].concat();
    afford(node, &shape, Cost::of(&data))?;
    let rows = Rows { before: before.iter().product(), len, behind: behind.iter().product(), indices: &indices };
    Some(picked(&data, shape, &rows, |_| None))
}

fn slice(node: &mut NodeReader) -> Option<Constant> {
    node.inputs_at_most(5);
    let data = node.constant(0, "data")?;
    let shape = data.shape().to_vec();
    let rank = shape.len();
    let (starts, ends, axes, steps) = if node.opset() < 10 {
        let starts = node.ints("starts").map(<[i64]>::to_vec)?;
        (starts, node.ints("ends").map(<[i64]>::to_vec)?, node.ints("axes").map(<[i64]>::to_vec), None)
    } else {
        let axes = if node.has_input(3) { Some(node.integers(3, "axes")?) } else { None };
        let steps = if node.has_input(4) { Some(node.integers(4, "steps")?) } else { None };
        (node.integers(1, "starts")?, node.integers(2, "ends")?, axes, steps)
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        node.refuse("", "starts, ends, axes and steps differ in length", DAMAGED);
        return None;
    }
    let own = row_major(&shape);
    let mut walk = Walk { shape: shape.clone(), strides: own.clone(), base: 0 };
    let mut sliced = vec![false; rank];
    for (((&start, &end), &along), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let d = axis(node, "axes", along, rank)?;
        if std::mem::replace(&mut sliced[d], true) {
            node.refuse("axes", format!("axis {along} is sliced twice"), DAMAGED);
            return None;
        }
        let len = shape[d] as i64;
        let Some(forwards) = Some(step > 0).filter(|_| step != 0) else {
            node.refuse("steps", "a step is 0", DAMAGED);
            return None;
        };
        let from_zero = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
        let (lo, hi) = if forwards { (0, len) } else { (-1, len - 1) };
        let (first, last) = (from_zero(start).clamp(0.min(hi), hi), from_zero(end).clamp(lo, hi));
        let distance = if forwards { last - first } else { first - last };
        let count = if distance > 0 { (distance as u64).div_ceil(step.unsigned_abs()) as usize } else { 0 };
        walk.shape[d] = count;
        // A step that leads beyond the end is never taken.
        walk.strides[d] = if count > 1 { own[d] * step as isize } else { 0 };
        walk.base += if count > 0 { first as usize * own[d] as usize } else { 0 };
    }
    let shape = walk.shape.clone();
    afford(node, &shape, Cost::of(&data))?;
    Some(picked(&data, shape, &walk, |_| None))
}

fn transpose(node: &mut NodeReader) -> Option<Constant> {
    node.inputs_at_most(1);
    let data = node.constant(0, "data")?;
    let shape = data.shape().to_vec();
    let given = node.ints("perm").map(<[i64]>::to_vec);
    let perm: Vec<usize> = match &given {
        Some(perm) => perm.iter().filter_map(|&p| usize::try_from(p).ok()).collect(),
        None => (0..shape.len()).rev().collect(),
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..shape.len()) {
        node.refuse("perm", format!("{given:?} is no permutation of {} dimensions", shape.len()), DAMAGED);
        return None;
    }
    let own = row_major(&shape);
    let moved: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
    afford(node, &moved, Cost::of(&data))?;
    let walk = Walk { shape: moved.clone(), strides: perm.iter().map(|&p| own[p]).collect(), base: 0 };
    Some(picked(&data, moved, &walk, |axis| perm.iter().position(|&p| p == axis)))
}

fn expand(node: &mut NodeReader) -> Option<Constant> {
    node.inputs_at_most(2);
    let (data, target) = (node.constant(0, "input")?, node.integers(1, "shape")?);
    let target = sizes(node, "shape", &target)?;
    let Ok(shape) = broadcast_shape(data.shape(), &target) else {
        node.refuse("shape", format!("{:?} does not expand to {target:?}", data.shape()), DAMAGED);
        return None;
    };
    afford(node, &shape, Cost::of(&data))?;
    let walk = Walk::broadcast(data.shape(), &shape);
    Some(picked(&data, shape, &walk, |_| None))
}

fn choose(node: &mut NodeReader) -> Option<Constant> {
    node.inputs_at_most(3);
    let (condition, a, b) = (node.constant(0, "condition")?, node.constant(1, "X")?, node.constant(2, "Y")?);
    let shape = broadcast_shape(a.shape(), b.shape()).and_then(|s| broadcast_shape(condition.shape(), &s));
    let (Ok(shape), Constant::Int { data: truth, .. }) = (shape, &condition) else {
        node.refuse("", "the inputs do not fit together", DAMAGED);
        return None;
    };
    afford(node, &shape, Cost::of(&a))?;
    let walks = [condition.shape(), a.shape(), b.shape()].map(|from| Walk::broadcast(from, &shape));
    let places = walks[0].places().zip(walks[1].places()).zip(walks[2].places());
    let chosen = places.map(|((c, x), y)| (truth[c] != 0, x, y));
    match (&a, &b) {
        (
            Constant::Float(x) | Constant::Quantized { tensor: x, .. },
            Constant::Float(y) | Constant::Quantized { tensor: y, .. },
        ) => {
            let data = chosen.map(|(c, i, j)| if c { x.data[i] } else { y.data[j] }).collect();
            Some(Constant::Float(Tensor { shape, data }))
        }
        (Constant::Int { data: x, .. }, Constant::Int { data: y, .. }) => {
            let data = chosen.map(|(c, i, j)| if c { x[i] } else { y[j] }).collect();
            Some(Constant::Int { shape, data })
        }
        _ => {
            node.refuse("", "the inputs are of different types", DAMAGED);
            None
        }
    }
}

/// `Reshape`, `Flatten`, `Squeeze` and `Unsqueeze`: the same elements, none of them copied.
fn reshape(node: &mut NodeReader) -> Option<Constant> {
    let data = node.constant(0, "data")?;
    let old = data.shape().to_vec();
    let shape = match node.op_type() {
        "Reshape" => {
            node.inputs_at_most(2);
            let zero_is_zero = node.flag("allowzero");
            let target = node.integers(1, "shape")?;
            reshaped(&old, &target, zero_is_zero)
        }
        "Flatten" => {
            node.inputs_at_most(1);
            let rank = old.len() as i64;
            let at = node.int("axis").unwrap_or(1);
            let at = usize::try_from(if at < 0 { at.saturating_add(rank) } else { at }).ok().filter(|&at| at <= old.len());
            at.map(|at| vec![old[..at].iter().product(), old[at..].iter().product()])
        }
        op => {
            node.inputs_at_most(2);
            let axes = if node.has_input(1) { node.integers(1, "axes") } else { node.ints("axes").map(<[i64]>::to_vec) };
            if op == "Squeeze" { squeezed(&old, axes.as_deref()) } else { unsqueezed(&old, &axes?) }
        }
    };
    let Some(shape) = shape.filter(|shape| plausible(shape).is_some()) else {
        node.refuse("", format!("a tensor of shape {old:?} cannot be given the new shape"), DAMAGED);
        return None;
    };
    Some(with_shape(data, shape))
}

/// ONNX's target shape with its 0 and -1 filled in.
fn reshaped(old: &[usize], target: &[i64], zero_is_zero: bool) -> Option<Vec<usize>> {
    let elements: usize = old.iter().product();
    let kept = |(d, &size): (usize, &i64)| match size {
        -1 => Some(None),
        0 if !zero_is_zero => Some(Some(*old.get(d)?)),
        size => Some(Some(usize::try_from(size).ok()?)),
    };
    let sizes: Vec<Option<usize>> = target.iter().enumerate().map(kept).collect::<Option<_>>()?;
    let known = sizes.iter().flatten().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    let open = sizes.iter().filter(|size| size.is_none()).count();
    let rest = if open == 0 { 1 } else { elements.checked_div(known)? };
    let shape: Vec<usize> = sizes.into_iter().map(|size| size.unwrap_or(rest)).collect();
    (open <= 1 && known.checked_mul(rest) == Some(elements)).then_some(shape)
}

fn squeezed(old: &[usize], axes: Option<&[i64]>) -> Option<Vec<usize>> {
    let rank = old.len() as i64;
    let gone: Vec<i64> = match axes {
        None => (0..rank).filter(|&d| old[d as usize] == 1).collect(),
        Some(axes) => axes.iter().map(|&a| if a < 0 { a.saturating_add(rank) } else { a }).collect(),
    };
    let valid = gone.iter().all(|&a| usize::try_from(a).ok().and_then(|a| old.get(a)) == Some(&1));
    valid.then(|| (0..rank).filter(|d| !gone.contains(d)).map(|d| old[d as usize]).collect())
}

fn unsqueezed(old: &[usize], axes: &[i64]) -> Option<Vec<usize>> {
    let rank = old.len() + axes.len();
    let from_zero = |&a: &i64| usize::try_from(if a < 0 { a.saturating_add(rank as i64) } else { a }).ok();
    let mut new: Vec<usize> = axes.iter().map(from_zero).collect::<Option<_>>()?;
    new.sort_unstable();
    new.dedup();
    let valid = new.len() == axes.len() && new.last().is_none_or(|&last| last < rank);
    let mut rest = old.iter();
    valid
        .then(|| (0..rank).filter_map(|d| if new.binary_search(&d).is_ok() { Some(1) } else { rest.next().copied() }).collect())
}

fn with_shape(constant: Constant, shape: Vec<usize>) -> Constant {
    match constant {
        Constant::Float(tensor) => Constant::Float(Tensor { shape, ..tensor }),
        Constant::Codes { elem, data, .. } => Constant::Codes { elem, shape, data },
        Constant::Int { data, .. } => Constant::Int { shape, data },
        Constant::Quantized { tensor, mut codes } => {
            if let Some(axis) = codes.axis {
                // The dimension with several scales must still be there, with as many elements before it.
                let before = |shape: &[usize], d: usize| shape[..d].iter().product::<usize>();
                let (count, ahead) = (tensor.shape[axis], before(&tensor.shape, axis));
                codes.axis = (0..shape.len()).find(|&d| shape[d] == count && before(&shape, d) == ahead);
                if codes.axis.is_none() {
                    return Constant::Float(Tensor { shape, ..tensor });
                }
            }
            Constant::Quantized { tensor: Tensor { shape, ..tensor }, codes }
        }
    }
}
