//! Why a constant of the model cannot be used.

/// Why a tensor is refused, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) hint: String,
}

impl Refusal {
    pub(crate) fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { reason: reason.into(), hint: hint.into() }
    }
}
