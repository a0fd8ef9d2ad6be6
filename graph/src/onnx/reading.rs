//! A model while it is read: the graph so far, what its names mean, and everything that stands in the way.

use super::options::ImportOptions;
use super::scope::{Scope, Slot};
use crate::diagnostic::Diagnostic;

/// What is said about a file that contradicts itself.
pub(super) const DAMAGED: &str = "the file may be damaged; export it again";
/// No activation of a network has more elements.
const MAX_ELEMENTS: usize = 1 << 31;

/// A model while it is read.
pub(super) struct Reading<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) options: &'a ImportOptions,
    pub(super) problems: Vec<Diagnostic>,
}

impl Reading<'_> {
    /// Notes something that is not supported or not valid.
    pub(super) fn refuse(&mut self, node: &str, op: &str, attribute: &str, reason: impl Into<String>, hint: &str) {
        self.problems.push(Diagnostic {
            node: node.into(),
            op: op.into(),
            attribute: attribute.into(),
            reason: reason.into(),
            hint: hint.into(),
        });
    }

    /// Counts bytes that parameters may come from.
    pub(super) fn holds(&mut self, bytes: u64) {
        let elements = usize::try_from(bytes / size_of::<f32>() as u64).unwrap_or(usize::MAX);
        self.scope.stored = self.scope.stored.saturating_add(elements);
    }

    /// Gives a name its meaning, once.
    pub(super) fn define(&mut self, name: &str, slot: Slot, role: &str) {
        if name.is_empty() {
            self.refuse("", role, "", "has no name", DAMAGED);
        } else if self.scope.names.insert(name.to_string(), slot).is_some() {
            self.refuse(name, role, "", "the name is defined twice", "give every value a name of its own");
        }
    }
}

/// Number of elements, if it is within reason.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_ELEMENTS)
}
