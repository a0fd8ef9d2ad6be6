//! Tells the crate whether the core that is built for has M-Profile Vector Extension, with floating point: `cfg(staticnet_vectors)`.
//!
//! A stable compiler does not say so (`cfg(target_feature = "mve")` is never true), but cargo hands on the flags that name the core.

use std::env;

/// Cores with the extension.
const CORES: [&str; 3] = ["cortex-m52", "cortex-m55", "cortex-m85"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(staticnet_vectors)");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name| env::var(name).unwrap_or_default();
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    // `-Ctarget-cpu=X`, or `-C` and `target-cpu=X`.
    let core = flags.split('\x1f').filter_map(|flag| flag.split_once("target-cpu=")).map(|(_, core)| core).next_back();
    // The target without `hf` has no floating point; a core may be built without the extension (`-Ctarget-feature=-mve`).
    let whole = variable("CARGO_CFG_TARGET_ABI") == "eabihf" && !flags.contains("-mve");
    if whole && core.is_some_and(|core| CORES.contains(&core)) {
        println!("cargo::rustc-cfg=staticnet_vectors");
    }
}
