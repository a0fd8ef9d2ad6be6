//! Tensors, copies and batches on their way.

use super::{gpu, numbers, vector};
use crate::backend::cuda::{CudaBackend, CudaSetupError};
use crate::backend::{Backend, Batch, Precision};
use crate::ops::gradient_check::normal;
use dfdx::prelude::{TensorFromVec, ZerosTensor};

#[test]
fn numbers_come_back() {
    let Some(gpu) = gpu(Precision::F32) else {
        return;
    };
    let some = normal("x", 12);
    let tensor: Batch<CudaBackend> = gpu.device().tensor_from_vec(some.clone(), (3, 4));
    assert_eq!(*gpu.host(gpu.read(&tensor)).unwrap(), some);
    let mut fresh: Batch<CudaBackend> = gpu.device().zeros_like(&(3, 4));
    gpu.set(gpu.write(&mut fresh), &some).unwrap();
    assert_eq!(fresh.as_vec(), some);
    assert!(numbers(&gpu, &vector(&gpu, &[])).is_empty());
    assert!(gpu.free_memory().unwrap().unwrap() > 0);
    assert!(gpu.describe().starts_with("GPU 0, "), "{}", gpu.describe());
    gpu.synchronise().unwrap();
}

#[test]
fn batches_arrive_in_any_order() {
    let Some(gpu) = gpu(Precision::F32) else {
        return;
    };
    // Sizes that grow and shrink: slots are used again, or made anew.
    let batches: Vec<Vec<f32>> = (0..9).map(|i| normal(&format!("batch {i}"), 100 * (1 + i * 5 % 7))).collect();
    let mut arrived = Vec::new();
    std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::sync_channel(2);
        let (gpu, batches) = (&gpu, &batches);
        scope.spawn(move || batches.iter().for_each(|batch| sender.send(gpu.stage(batch.clone()).unwrap()).unwrap()));
        for (i, staged) in receiver.iter().enumerate() {
            // One gets lost on its way.
            if i != 4 {
                arrived.push((i, gpu.arrive(staged, 10).unwrap()));
            }
        }
    });
    assert_eq!(arrived.len(), 8);
    for (i, batch) in arrived {
        assert_eq!(batch.as_vec(), batches[i], "batch {i}");
    }
    let [first, second] = [0, 1].map(|i: usize| gpu.stage(batches[i].clone()).unwrap());
    assert_eq!(gpu.arrive(second, 5).unwrap().as_vec(), batches[1]);
    assert_eq!(gpu.arrive(first, 5).unwrap().as_vec(), batches[0]);
}

#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    let error = CudaBackend::new(99, Precision::F32).unwrap_err();
    match &error {
        CudaSetupError::NoDriver(_) => assert!(error.to_string().contains("nvidia-smi")),
        CudaSetupError::NoSuchDevice { number: 99, .. } => assert!(error.to_string().starts_with("there is no GPU 99: there ")),
        CudaSetupError::NoSuchDevice { .. } | CudaSetupError::Memory(_) | CudaSetupError::Kernels { .. } => panic!("{error}"),
        CudaSetupError::Access(_) | CudaSetupError::Device(_) => panic!("{error}"),
    }
}
