//! What the user of a model decides.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the model leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Inputs that become constants, by name, with the `.npy` file of their value.
    pub bind: BTreeMap<String, PathBuf>,
    /// Sizes of symbolic dimensions, by name. A symbolic batch that is not among them becomes 1.
    pub sizes: BTreeMap<String, usize>,
}
