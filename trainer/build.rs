//! With the feature `cuda`: compiles the kernels to PTX, which the driver of the GPU translates when the program starts.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let folder = Path::new("src/backend/cuda/kernels");
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| fail(&format!("{}: {error}", folder.display())));
    for file in entries.flatten() {
        println!("cargo::rerun-if-changed={}", file.path().display());
    }
    println!("cargo::rerun-if-env-changed=CUDA_PATH");
    println!("cargo::rerun-if-env-changed=PATH");
    let out = std::env::var_os("OUT_DIR").unwrap_or_else(|| fail("OUT_DIR is not set"));
    let nvcc = nvcc().unwrap_or_else(|| {
        fail(
            "the feature `cuda` needs nvcc, CUDA's compiler, in CUDA_PATH/bin or on PATH; scripts/build-cuda gets one and builds \
             with it",
        )
    });
    let status = Command::new(&nvcc)
        // Multiplications and additions stay apart, as on the processor; products ask for the fused form by name.
        .args(["--ptx", "-arch=compute_80", "-std=c++17", "-O3", "--fmad=false", "-o"])
        .args([Path::new(&out).join("kernels.ptx"), folder.join("kernels.cu")])
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => fail("nvcc does not compile the kernels; CUDA 12 or newer is needed"),
        Err(error) => fail(&format!("{}: {error}", nvcc.display())),
    }
}

/// CUDA's compiler.
fn nvcc() -> Option<PathBuf> {
    let chosen = std::env::var_os("CUDA_PATH").map(|path| Path::new(&path).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let name = format!("nvcc{}", std::env::consts::EXE_SUFFIX);
    chosen.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join(&name)).find(|file| file.is_file())
}

/// Ends the build.
fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    std::process::exit(1)
}
