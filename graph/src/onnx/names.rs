//! Names for what is written out, and why it cannot be.

use std::collections::HashSet;

/// Why a node cannot be written out: attribute, reason and hint.
pub(super) struct Problem(pub(super) &'static str, pub(super) String, pub(super) &'static str);

/// Names that are not taken yet.
pub(super) struct Names(pub(super) HashSet<String>);

impl Names {
    /// `wish`, or something like it.
    pub(super) fn fresh(&mut self, mut wish: String) -> String {
        while !self.0.insert(wish.clone()) {
            wish.push('_');
        }
        wish
    }
}
