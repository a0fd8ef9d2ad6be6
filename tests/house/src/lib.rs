//! Rules of the house that the compiler does not know: which modules may import each other ([`circles`]), and no default answer for
//! operators that are not named ([`matches`](mod@matches)). Both read the sources; `tests/rules` holds the workspace against them.

pub mod circles;
pub mod imports;
pub mod matches;
mod patterns;
pub mod source;
