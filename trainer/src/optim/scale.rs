//! The factor that keeps the gradients of a half-precision device from vanishing (Micikevicius et al., "Mixed Precision Training", 2018).
//!
//! It grows while all goes well and shrinks where a gradient overflows, in which case that step is left out. It is a power of two, so
//! taking it out again rounds nothing.

/// How it begins: gradients are then as large as half precision allows for most networks.
const FIRST: f32 = 65_536.0;
/// It never gets smaller.
const LEAST: f32 = 1.0;
/// It never gets larger.
const MOST: f32 = 16_777_216.0;
/// Steps in a row that must go well before it is doubled.
const PATIENCE: f32 = 2000.0;

/// A factor of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LossScale {
    factor: f32,
    /// Steps that went well since it changed.
    good: f32,
}

impl Default for LossScale {
    fn default() -> Self {
        LossScale { factor: FIRST, good: 0.0 }
    }
}

impl LossScale {
    pub(super) fn factor(&self) -> f32 {
        self.factor
    }

    /// Takes in whether the gradients of a step were not finite. Whether the factor was to blame: it is smaller now, and the step
    /// should be left out. At its least it cannot be.
    pub(super) fn is_too_large(&mut self, broken: bool) -> bool {
        if broken {
            let blamed = self.factor > LEAST;
            *self = LossScale { factor: (self.factor / 2.0).max(LEAST), good: 0.0 };
            return blamed;
        }
        self.good += 1.0;
        if self.good >= PATIENCE {
            *self = LossScale { factor: (self.factor * 2.0).min(MOST), good: 0.0 };
        }
        false
    }

    /// As numbers of a state.
    pub(super) fn state(&self) -> Vec<f32> {
        vec![self.factor, self.good]
    }

    /// From what [`LossScale::state`] gave; none where it did not.
    pub(super) fn from_state(state: &[f32]) -> Option<Self> {
        match *state {
            [factor, good] if (LEAST..=MOST).contains(&factor) && (0.0..PATIENCE).contains(&good) => {
                Some(LossScale { factor, good })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_on_overflow_and_doubles_after_a_while() {
        let mut scale = LossScale::default();
        assert!(scale.is_too_large(true));
        assert_eq!(scale.factor(), 32_768.0);
        for step in 1..=2000 {
            assert!(!scale.is_too_large(false));
            assert_eq!(scale.factor(), if step < 2000 { 32_768.0 } else { 65_536.0 });
        }
        assert_eq!(LossScale::from_state(&scale.state()), Some(scale));
        for _ in 0..16 {
            assert!(scale.is_too_large(true));
        }
        assert_eq!(scale.factor(), 1.0);
        assert!(!scale.is_too_large(true), "a gradient that is not finite without a factor is the network's fault");
        assert_eq!(LossScale::from_state(&[0.0, 0.0]), None);
    }
}
