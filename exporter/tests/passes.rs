//! Every rewriting proves itself: the network is run before and after, and both are held against the graph's reference.
//!
//! A case that a pass rewrites has its network before and after in `snapshots/`; `UPDATE_SNAPSHOTS=1 cargo test --test passes`
//! writes them anew.

#[path = "passes/adopting.rs"]
mod adopting;
#[path = "passes/harness.rs"]
mod harness;
#[path = "passes/lowering.rs"]
mod lowering;
#[path = "passes/random.rs"]
mod random;
#[path = "passes/reading.rs"]
mod reading;
#[path = "passes/real.rs"]
mod real;

use staticnet_exporter::passes;

/// A pass without a case here would go unproven.
#[test]
fn every_pass_has_cases() {
    let proven: Vec<&str> = real::PROVEN.into_iter().chain([adopting::PROVEN]).collect();
    for (name, _) in passes::ALL {
        assert!(proven.contains(&name), "{name} has no case in exporter/tests/passes/");
    }
}
