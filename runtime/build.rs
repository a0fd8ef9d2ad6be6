//! Tells the crate whether the compiler makes vectors of plain loops for the core that is built for: `cfg(staticnet_vectors)`.
//!
//! A stable compiler does not say so (`cfg(target_feature = "mve")` is never true), but cargo hands on the flags that name the core.

use std::env;

/// Cores with M-Profile Vector Extension.
const CORES: [&str; 3] = ["cortex-m52", "cortex-m55", "cortex-m85"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(staticnet_vectors)");
    println!("cargo::rerun-if-changed=build.rs");
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    // `-Ctarget-cpu=X`, or `-C` and `target-cpu=X`.
    let core = flags.split('\x1f').filter_map(|flag| flag.split_once("target-cpu=")).map(|(_, core)| core).next_back();
    if core.is_some_and(|core| CORES.contains(&core)) {
        println!("cargo::rustc-cfg=staticnet_vectors");
    }
}
