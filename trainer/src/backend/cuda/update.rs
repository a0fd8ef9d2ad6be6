//! Updates of parameters, and sums of squares of gradients.

use super::sizes::{Common, narrow};
use super::{CudaBackend, blocks};
use crate::backend::raw::cuda::{Buffer, Read, THREADS, Write, args};
use crate::backend::update::{Method, Slots, Update};
use cudarc::driver::DriverError;

/// Blocks of a sum, at most.
const MOST_BLOCKS: usize = 1024;
/// Elements that a thread adds up, where there are enough.
const ELEMENTS: usize = 16;

impl CudaBackend {
    /// Leaves the sum of the squares of `gradient` as binary64 in place `place` of `sums`.
    fn squares(&self, gradient: Read<'_>, sums: &Buffer, place: usize) -> Result<(), DriverError> {
        let len = gradient.len();
        let blocks = len.div_ceil(THREADS as usize * ELEMENTS).clamp(1, MOST_BLOCKS);
        let share = len.div_ceil(blocks);
        let parts = self.gpu.scratch::<f64>(blocks)?;
        self.gpu.launch("squares", [blocks, 1, 1], &args![len, share, gradient, parts])?;
        self.gpu.launch("sum_squares", [1, 1, 1], &args![narrow(blocks), parts, sums.at(place * size_of::<f64>())])
    }

    pub(super) fn squares_of(&self, gradients: &[Read<'_>]) -> Result<Vec<f64>, DriverError> {
        let sums = self.gpu.scratch::<f64>(gradients.len())?;
        for (place, gradient) in gradients.iter().enumerate() {
            self.squares(*gradient, &sums, place)?;
        }
        sums.to_host(gradients.len())
    }

    pub(super) fn update_all(&self, work: Vec<(Update, Slots<Read<'_>, Write<'_>>)>) -> Result<Vec<f64>, DriverError> {
        let sums = self.gpu.scratch::<f64>(work.len())?;
        for (place, (update, slots)) in work.iter().enumerate() {
            self.squares(slots.gradient, &sums, place)?;
            self.update_one(update, slots)?;
        }
        sums.to_host(work.len())
    }

    fn update_one(&self, update: &Update, slots: &Slots<Read<'_>, Write<'_>>) -> Result<(), DriverError> {
        let Slots { parameter, gradient, state: [first, second, third], average } = slots;
        let len = parameter.len();
        let needed = update.method.states().map(|has| if has { len } else { 0 });
        assert_eq!([first.len(), second.len(), third.len()], needed, "vectors of state");
        assert_eq!((gradient.len(), average.as_ref().map_or(len, Write::len)), (len, len));
        let Update { scale, limit, l2, keep, average: old, .. } = *update;
        let common = Common { scale, limit, l2, keep, average_old: old as f32, average_new: (1.0 - old) as f32 };
        let grid = [blocks(len), 1, 1];
        match update.method {
            Method::Sgd { lr, momentum, nesterov } => {
                let nesterov = i32::from(nesterov);
                let arguments = args![len, common, lr, momentum, nesterov, parameter, gradient, first, average];
                self.gpu.launch("update_sgd", grid, &arguments)
            }
            Method::Adam { rate, root, beta1, beta2, epsilon } => {
                let (new1, old2, new2, unroot) = ((1.0 - beta1) as f32, beta2 as f32, (1.0 - beta2) as f32, root.recip());
                let arguments =
                    args![len, common, rate, unroot, new1, old2, new2, epsilon, parameter, gradient, first, second, average];
                self.gpu.launch("update_adam", grid, &arguments)
            }
            Method::RmsProp { lr, alpha, epsilon, momentum, .. } => {
                let (old, fresh) = (alpha as f32, (1.0 - alpha) as f32);
                let arguments =
                    args![len, common, lr, old, fresh, epsilon, momentum, parameter, gradient, first, second, third, average];
                self.gpu.launch("update_rmsprop", grid, &arguments)
            }
        }
    }
}
