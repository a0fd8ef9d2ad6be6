//! Where the elements of a value lie in a tensor's memory.
//!
//! A reshape, a transpose or a slice moves nothing: it is another [`View`] of the same tensor. Only an operator that needs its
//! input in a certain order makes elements move, in one walk over the memory; so transposes cancel, a flatten before a fully
//! connected layer costs nothing, and a channel shuffle is one layer.

/// One dimension of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Elements along it.
    pub size: usize,
    /// Memory elements from one to the next. 0 repeats.
    pub stride: isize,
}

/// The elements of a value, dimension by dimension, in the memory of a tensor.
///
/// A dimension is a list of axes, outermost first: after a reshape it may run over several stretches of memory. One of size 1 has
/// none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The tensor.
    pub tensor: usize,
    /// Memory element of the first one.
    pub offset: usize,
    /// One for each dimension of the value.
    pub dims: Vec<Vec<Axis>>,
}

fn size_of(dim: &[Axis]) -> usize {
    dim.iter().map(|a| a.size).product()
}

fn one_axis(size: usize, stride: isize) -> Vec<Axis> {
    if size == 1 { vec![] } else { vec![Axis { size, stride }] }
}

impl View {
    /// A value that fills a tensor; its dimensions lie in memory in this order, outermost first.
    pub fn in_order(tensor: usize, shape: &[usize], order: &[usize]) -> View {
        let mut dims = vec![vec![]; shape.len()];
        let mut stride = 1;
        for &d in order.iter().rev() {
            dims[d] = one_axis(shape[d], stride);
            stride *= shape[d] as isize;
        }
        View { tensor, offset: 0, dims }
    }

    /// A value that fills a tensor in row-major order.
    pub fn row_major(tensor: usize, shape: &[usize]) -> View {
        View::in_order(tensor, shape, &(0..shape.len()).collect::<Vec<_>>())
    }

    /// The same elements of another tensor with the same memory order.
    pub fn on(&self, tensor: usize) -> View {
        View { tensor, ..self.clone() }
    }

    /// Sizes.
    pub fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|dim| size_of(dim)).collect()
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.dims.iter().map(|dim| size_of(dim)).product()
    }

    /// Dimension d becomes the old `perm[d]`.
    pub fn transpose(&self, perm: &[usize]) -> View {
        View { dims: perm.iter().map(|&p| self.dims[p].clone()).collect(), ..*self }
    }

    /// Element i of dimension d becomes the old `start[d] + i * step[d]`; `None` where that cuts a dimension which runs over
    /// several stretches of memory.
    pub fn slice(&self, start: &[usize], step: &[isize], len: &[usize]) -> Option<View> {
        let mut offset = self.offset as isize;
        let mut dims = Vec::with_capacity(self.dims.len());
        for (d, dim) in self.dims.iter().enumerate() {
            let whole = start[d] == 0 && step[d] == 1 && len[d] == size_of(dim);
            dims.push(match dim[..] {
                _ if whole => dim.clone(),
                [] => vec![],
                [axis] => {
                    offset += start[d] as isize * axis.stride;
                    one_axis(len[d], axis.stride * step[d])
                }
                _ => return None,
            });
        }
        Some(View { tensor: self.tensor, offset: offset as usize, dims })
    }

    /// Repeats dimensions of 1 until the shape is `shape`, which may have more dimensions in front.
    pub fn broadcast(&self, shape: &[usize]) -> View {
        let missing = shape.len() - self.dims.len();
        let dim = |(d, &size): (usize, &usize)| match d.checked_sub(missing).map(|d| &self.dims[d]) {
            Some(dim) if size_of(dim) == size => dim.clone(),
            _ => one_axis(size, 0),
        };
        View { dims: shape.iter().enumerate().map(dim).collect(), ..*self }
    }

    /// The same elements in the same order with other dimensions, where the new dimensions' borders fall on borders in memory.
    pub fn reshape(&self, shape: &[usize]) -> Option<View> {
        let mut old = merged(self.dims.iter().flatten().copied()).into_iter();
        let mut left = Axis { size: 1, stride: 0 };
        let mut dims = Vec::with_capacity(shape.len());
        for &size in shape {
            let (mut dim, mut missing) = (vec![], size);
            while missing > 1 {
                if left.size == 1 {
                    left = old.next()?;
                }
                // The outer part of what is left of the axis, or all of it.
                let part = if missing.is_multiple_of(left.size) { left.size } else { missing };
                if !left.size.is_multiple_of(part) || !missing.is_multiple_of(part) {
                    return None;
                }
                let rest = left.size / part;
                dim.push(Axis { size: part, stride: left.stride * rest as isize });
                left.size = rest;
                missing /= part;
            }
            dims.push(merged(dim.into_iter()));
        }
        (left.size == 1 && old.next().is_none()).then_some(View { dims, ..*self })
    }

    /// The axes of the dimensions in this order, neighbours that are one run of memory merged.
    pub fn walk(&self, order: &[usize]) -> Vec<Axis> {
        merged(order.iter().flat_map(|&d| self.dims[d].iter().copied()))
    }

    /// Whether the dimensions in this order are the whole of a tensor of `elements`, as it lies in memory.
    pub fn lies_in(&self, order: &[usize], elements: usize) -> bool {
        let walk = self.walk(order);
        let dense = matches!(walk[..], [] | [Axis { stride: 1, .. }]);
        dense && self.offset == 0 && self.elements() == elements
    }

    /// Whether the view shows every element of a tensor of `elements` once, in whatever order.
    pub fn covers(&self, elements: usize) -> bool {
        let mut axes: Vec<Axis> = self.dims.iter().flatten().copied().collect();
        axes.sort_by_key(|axis| std::cmp::Reverse(axis.stride));
        let dense = matches!(merged(axes.into_iter())[..], [] | [Axis { stride: 1, .. }]);
        dense && self.offset == 0 && self.elements() == elements
    }

    /// The memory element of each element of the value, in row-major order.
    pub fn places(&self) -> Vec<usize> {
        let mut places = vec![self.offset as isize];
        for axis in self.dims.iter().flatten() {
            places = places.iter().flat_map(|&p| (0..axis.size).map(move |i| p + i as isize * axis.stride)).collect();
        }
        places.into_iter().map(|p| p as usize).collect()
    }
}

/// Axes with neighbours merged that are one run of memory.
fn merged(axes: impl Iterator<Item = Axis>) -> Vec<Axis> {
    let mut walk: Vec<Axis> = Vec::new();
    for axis in axes.filter(|axis| axis.size != 1) {
        match walk.last_mut() {
            Some(outer) if outer.stride == axis.stride * axis.size as isize => {
                *outer = Axis { size: outer.size * axis.size, stride: axis.stride };
            }
            _ => walk.push(axis),
        }
    }
    walk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reshape_of_a_dense_view_needs_no_move_and_back_again() {
        let view = View::row_major(0, &[2, 3, 4]);
        let flat = view.reshape(&[6, 1, 4]).unwrap();
        assert_eq!(flat.places(), (0..24).collect::<Vec<_>>());
        assert_eq!(flat.reshape(&[2, 3, 4]), Some(view));
    }

    #[test]
    fn a_flatten_of_channels_last_is_a_view_that_only_a_fully_connected_layer_can_read_in_place() {
        let view = View::in_order(0, &[1, 3, 2, 2], &[0, 2, 3, 1]);
        let flat = view.reshape(&[1, 12]).unwrap();
        assert_eq!(flat.places(), [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
        assert!(flat.covers(12) && !flat.lies_in(&[0, 1], 12));
        assert_eq!(flat.reshape(&[1, 3, 2, 2]), Some(view));
        // A border inside a run over which memory jumps: elements must move first.
        assert_eq!(flat.reshape(&[4, 3]), None);
        assert_eq!(flat.slice(&[0, 2], &[1, 1], &[1, 3]), None);
        let pixel = View::in_order(0, &[1, 3, 1, 1], &[0, 2, 3, 1]);
        assert!(pixel.reshape(&[1, 3]).unwrap().lies_in(&[0, 1], 3));
    }

    #[test]
    fn transposes_cancel() {
        let view = View::in_order(0, &[1, 3, 4, 5], &[0, 2, 3, 1]);
        let there = view.transpose(&[0, 2, 3, 1]);
        assert!(there.lies_in(&[0, 1, 2, 3], 60));
        assert_eq!(there.transpose(&[0, 3, 1, 2]), view);
    }

    #[test]
    fn a_channel_shuffle_is_one_walk() {
        let view = View::in_order(0, &[1, 6, 2, 2], &[0, 2, 3, 1]);
        let shuffled = view.reshape(&[1, 2, 3, 2, 2]).unwrap().transpose(&[0, 2, 1, 3, 4]).reshape(&[1, 6, 2, 2]).unwrap();
        let walk = shuffled.walk(&[0, 2, 3, 1]);
        assert_eq!(walk, [Axis { size: 4, stride: 6 }, Axis { size: 3, stride: 1 }, Axis { size: 2, stride: 3 }]);
    }

    #[test]
    fn slices_step_backwards() {
        let view = View::row_major(0, &[2, 4]).slice(&[1, 3], &[-1, -2], &[2, 2]).unwrap();
        assert_eq!(view.places(), [7, 5, 3, 1]);
        assert_eq!(View::row_major(0, &[3]).broadcast(&[2, 3]).places(), [0, 1, 2, 0, 1, 2]);
    }
}
