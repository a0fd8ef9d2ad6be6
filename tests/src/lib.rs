//! Cross-checks of the whole path, and the host side of running on a board.

pub mod on_target;
pub mod seeded;
pub mod stack;
