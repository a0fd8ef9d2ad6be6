//! The runtime builds for every core family, without `std` and `alloc`, and drags in nothing but its few dependencies.
//!
//! The builds need a compiler for bare-metal targets (`scripts/setup-targets`); they run where `STATICNET_ON_TARGET` is set.

use staticnet_tests::on_target::enabled;
use staticnet_tests::on_target::toolchain::{TARGETS, Toolchain, target_dir, workspace_root};
use std::collections::BTreeSet;
use std::error::Error;
use std::process::Command;

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn the_runtime_builds_for_every_core() -> TestResult {
    if !enabled("building the runtime for every core") {
        return Ok(());
    }
    let mut toolchains = TARGETS.into_iter().map(Toolchain::find).collect::<Result<Vec<_>, _>>()?;
    // One call of cargo for as many targets as it takes builds them side by side.
    while let Some(first) = toolchains.first().cloned() {
        let (together, rest): (Vec<_>, Vec<_>) = toolchains.into_iter().partition(|toolchain| toolchain.builds_with(&first));
        toolchains = rest;
        for features in ["", "defmt micromath embedded-storage"] {
            // The runtime alone. Where `core` is built from source, nothing else is: a use of `alloc` does not compile.
            let mut cargo = first.cargo("build", &workspace_root(), &target_dir().join("portability"), &[]);
            cargo.args(["--locked", "-p", "staticnet", "--features", features]);
            for other in &together[1..] {
                cargo.args(["--target", other.target()]);
            }
            // Nobody runs it, so nothing needs to be optimised.
            cargo.args(["--release", "--config", "profile.release.opt-level=0"]);
            let output = cargo.output()?;
            let targets: Vec<&str> = together.iter().map(Toolchain::target).collect();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}, features {features:?}:\n{said}", targets.join(", "));
        }
    }
    Ok(())
}

/// Names of the crates that the runtime depends on, on any target.
fn dependencies(features: &str) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace_root()).args(["tree", "--locked", "-p", "staticnet", "--edges", "normal", "--target", "all"]);
    let output = cargo.args(["--prefix", "none", "--format", "{p}", "--features", features]).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_string).collect())
}

#[test]
fn the_runtime_has_few_dependencies() -> TestResult {
    let allowed = [
        "staticnet",
        "bytemuck",
        "heapless",
        "libm",
        "static_cell",
        // Of heapless:
        "byteorder",
        "hash32",
        "stable_deref_trait",
        // Of static_cell:
        "critical-section",
        "portable-atomic",
    ];
    let unexpected: Vec<String> = dependencies("")?.into_iter().filter(|name| !allowed.contains(&&name[..])).collect();
    assert!(unexpected.is_empty(), "the runtime depends on {unexpected:?}");
    assert!(dependencies("micromath")?.contains("micromath"));
    assert!(dependencies("defmt")?.contains("defmt"));
    Ok(())
}
