//! Functions that may give operators a default answer, each with its reason.
//!
//! Two kinds may: decoding, where what comes in is an integer or a name and not an operator; and a pass or an importer that looks for
//! one pattern and leaves everything else as it is. A function that says what holds for some operators is neither: it belongs beside
//! the enum, as a match without a wildcard.

/// File, function, reason.
pub const EXEMPT: &[(&str, &str, &str)] = &[];
