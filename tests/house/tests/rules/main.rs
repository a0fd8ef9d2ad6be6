//! The workspace's sources against the rules of the house.

mod exempt;

use staticnet_house::source::{Crate, Tree};
use staticnet_house::{circles, imports, matches};
use std::collections::BTreeSet;
use std::path::Path;

/// The workspace's root.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies inside the workspace")
}

/// Reads a file of the disk.
fn on_disk(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok()
}

#[test]
fn modules_import_each_other_in_one_direction() {
    let mut report = String::new();
    for found in Crate::all(workspace()) {
        for root in &found.roots {
            let tree = Tree::read(root, &on_disk).unwrap_or_else(|error| panic!("{error}"));
            let imports = imports::of(&tree);
            for circle in circles::find(&tree, &imports) {
                report += &circle.describe(&tree, &imports, workspace());
            }
        }
    }
    assert!(
        report.is_empty(),
        "modules that import each other; only a parent and its own child modules may (every line: who imports, from where, what):\n{report}"
    );
}

#[test]
fn operators_have_no_default_answer() {
    let mut report = String::new();
    let mut used = BTreeSet::new();
    for found in Crate::all(workspace()).iter().filter(|found| matches::CRATES.contains(&&found.name[..])) {
        // A file that belongs to the library and to a binary is looked at once.
        let mut seen = BTreeSet::new();
        for root in &found.roots {
            let tree = Tree::read(root, &on_disk).unwrap_or_else(|error| panic!("{error}"));
            for finding in matches::find(&tree) {
                let file =
                    tree.files[finding.file].strip_prefix(workspace()).expect("a file of the workspace").display().to_string();
                if let Some(entry) =
                    exempt::EXEMPT.iter().position(|(f, function, _)| *f == file && *function == finding.function)
                {
                    used.insert(entry);
                } else if seen.insert((file.clone(), finding.line, finding.what.clone())) {
                    report += &format!("{file}:{}, fn {}: {}\n", finding.line, finding.function, finding.what);
                }
            }
        }
    }
    for (i, (file, function, _)) in exempt::EXEMPT.iter().enumerate() {
        if !used.contains(&i) {
            report += &format!("tests/house/tests/rules/exempt.rs: {file}, fn {function} needs no exemption any more\n");
        }
    }
    assert!(report.is_empty(), "an answer for operators that are not named (CONTRIBUTING.md says which may be):\n{report}");
}
