//! The largest scores of a classifier.

use crate::quant;
use crate::record::{DType, TensorInfo};

/// A class and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Score {
    /// Index of the class.
    pub class: u16,
    /// The network's output for it, dequantized.
    pub value: f32,
}

/// The `K` largest elements of a tensor's bytes, largest first; of equal ones the lower index first.
pub fn top_k<const K: usize>(tensor: &TensorInfo, bytes: &[u8]) -> heapless::Vec<Score, K> {
    let mut best = heapless::Vec::<Score, K>::new();
    for class in 0..tensor.elements() as usize {
        let Some(value) = element(tensor, bytes, class) else { break };
        let at = best.iter().position(|s| value > s.value).unwrap_or(best.len());
        if at < K {
            if best.is_full() {
                best.pop();
            }
            // There is room and `at` is inside: this cannot fail.
            let _ = best.insert(at, Score { class: class as u16, value });
        }
    }
    best
}

/// Element `i` of a tensor's bytes as a real value.
pub fn element(tensor: &TensorInfo, bytes: &[u8], i: usize) -> Option<f32> {
    match tensor.dtype {
        DType::I8 => bytes.get(i).map(|&b| quant::dequantize(b as i8, tensor.scale, tensor.zero_point)),
        DType::F32 => bytes.get(4 * i..4 * i + 4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        DType::I32 => bytes.get(4 * i..4 * i + 4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HostType;

    #[test]
    fn largest_first_and_ties_by_class() {
        let tensor = TensorInfo {
            dtype: DType::I8,
            rank: 2,
            channels_last: true,
            host: HostType::Real,
            dims: [1, 6, 0, 0],
            zero_point: 0,
            height: 1,
            width: 1,
            channels: 6,
            scale: 0.5,
        };
        let bytes = [3u8, 250, 9, 9, 4, 3];
        let top = top_k::<4>(&tensor, &bytes);
        let classes: heapless::Vec<u16, 4> = top.iter().map(|s| s.class).collect();
        assert_eq!(classes, [2, 3, 4, 0]);
        assert_eq!(top[0].value, 4.5);
        assert_eq!(top_k::<8>(&tensor, &bytes).len(), 6);
    }
}
