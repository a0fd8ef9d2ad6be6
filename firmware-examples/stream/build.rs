//! Chooses model and memory, and links with the start-up code of `cortex-m-rt` and the tables of defmt.
//!
//! `STATICNET_MODEL` is the head of an artifact that was compiled with `--split` and `--weights-in storage`; `STATICNET_RAM` the
//! bytes of RAM that the whole program gets, stack included. Where they are not set, a small model and all the RAM of the board.

use std::path::{Path, PathBuf};
use std::{env, fs};

const DEFAULT_MODEL: &str = "../models/stream.snet";

fn main() {
    println!("cargo:rerun-if-env-changed=STATICNET_MODEL");
    println!("cargo:rerun-if-env-changed=STATICNET_RAM");
    let model = env::var_os("STATICNET_MODEL").unwrap_or_else(|| DEFAULT_MODEL.into());
    println!("cargo:rerun-if-changed={}", Path::new(&model).display());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(&model, out.join("model.snet")).unwrap_or_else(|e| panic!("{}: {e}", Path::new(&model).display()));

    // `-nmagic`: sections keep their addresses instead of being aligned to pages of a loader that is not there.
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    if let Ok(ram) = env::var("STATICNET_RAM") {
        let bytes: u32 = ram.parse().unwrap_or_else(|e| panic!("STATICNET_RAM={ram}: {e}"));
        // The stack begins at the end of it.
        assert_eq!(bytes % 8, 0, "STATICNET_RAM={ram} is no multiple of 8");
        println!("cargo:rustc-link-arg-bins=--defsym=STATICNET_RAM={bytes}");
    }
}
