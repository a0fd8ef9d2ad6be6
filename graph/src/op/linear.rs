//! Fully connected layer.

use crate::graph::Tensor;

/// Output shape `[1, O]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(x: &[usize], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let &[n, features] = x else {
        return Err(format!("needs an input [1, F], got {x:?}; flatten it first"));
    };
    let [weight, bias] = params else {
        return Err("needs a weight and a bias".into());
    };
    let &[o, i] = &weight.shape[..] else {
        return Err(format!("weight has shape {:?}, not [O, I]", weight.shape));
    };
    if i != features {
        return Err(format!("weight {:?} does not fit {features} features", weight.shape));
    }
    if bias.shape != [o] {
        return Err(format!("bias has shape {:?}, not [{o}]", bias.shape));
    }
    Ok(vec![n, o])
}

/// One sum in f64 per output.
pub fn reference(x: &Tensor, params: &[&Tensor], out_shape: &[usize]) -> Tensor {
    let (weight, bias) = (params[0], params[1]);
    let rows = weight.data.chunks_exact(x.data.len());
    let dot = |row: &[f32]| row.iter().zip(&x.data).map(|(w, x)| *w as f64 * *x as f64).sum::<f64>();
    let data = rows.zip(&bias.data).map(|(row, b)| (*b as f64 + dot(row)) as f32).collect();
    Tensor { shape: out_shape.to_vec(), data }
}
