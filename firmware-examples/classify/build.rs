//! Links with the start-up code of `cortex-m-rt` and the tables of defmt.

fn main() {
    // `-nmagic`: sections keep their addresses instead of being aligned to pages of a loader that is not there.
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
