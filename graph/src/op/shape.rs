//! Operators that only change the shape.

/// `[1, C, H, W]` or `[1, F]` to `[1, F]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer_flatten(x: &[usize]) -> Result<Vec<usize>, String> {
    match x {
        [n, rest @ ..] if !rest.is_empty() => Ok(vec![*n, rest.iter().product()]),
        _ => Err(format!("needs a batch dimension and at least one more, got {x:?}")),
    }
}
