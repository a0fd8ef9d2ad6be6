//! Circles of imports: files each of which, over others, imports from every other.

use crate::imports::Imports;
use crate::source::Tree;
use std::collections::BTreeSet;
use std::path::Path;

/// Files that import each other.
#[derive(Debug, PartialEq)]
pub struct Circle(BTreeSet<usize>);

/// The circles that are more than a parent module and modules that it declares itself.
pub fn find(tree: &Tree, imports: &Imports) -> Vec<Circle> {
    let reached: Vec<BTreeSet<usize>> = (0..tree.files.len()).map(|file| reach(file, imports)).collect();
    let mut found: Vec<Circle> = Vec::new();
    for file in 0..tree.files.len() {
        let circle: BTreeSet<usize> = reached[file].iter().copied().filter(|other| reached[*other].contains(&file)).collect();
        if !circle.is_empty() && !is_family(tree, &circle) && !found.iter().any(|known| known.0.contains(&file)) {
            found.push(Circle(circle));
        }
    }
    found
}

/// All files that a file imports from, directly or over others.
fn reach(from: usize, imports: &Imports) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        let next = imports.keys().filter(|(importing, _)| *importing == file).map(|(_, imported)| *imported);
        open.extend(next.filter(|file| reached.insert(*file)));
    }
    reached
}

/// Whether one of the files declares all the others.
fn is_family(tree: &Tree, circle: &BTreeSet<usize>) -> bool {
    circle.iter().any(|parent| circle.iter().all(|file| file == parent || tree.parent_file(*file) == Some(*parent)))
}

impl Circle {
    /// The circle in words: its files, and what each imports from the others.
    pub fn describe(&self, tree: &Tree, imports: &Imports, below: &Path) -> String {
        let name = |file: usize| tree.files[file].strip_prefix(below).unwrap_or(&tree.files[file]).display().to_string();
        let mut text = format!("\na circle of {} files of {}:\n", self.0.len(), name(0));
        for ((from, to), paths) in imports.iter().filter(|((from, to), _)| self.0.contains(from) && self.0.contains(to)) {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            text += &format!("  {} -> {}: {}\n", name(*from), name(*to), paths.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports;
    use crate::source::tests::tree;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let tree = tree(files);
        let imports = imports::of(&tree);
        find(&tree, &imports).iter().map(|circle| circle.describe(&tree, &imports, Path::new("src"))).collect()
    }

    #[test]
    fn a_parent_and_its_children_may() {
        let lib = ("src/lib.rs", "mod a; mod b; pub use a::A; pub struct Root;");
        let a = ("src/a.rs", "use crate::Root; pub struct A;");
        assert!(circles(&[lib, a, ("src/b.rs", "use crate::{a::A, Root};")]).is_empty());
    }

    #[test]
    fn others_may_not() {
        let lib = ("src/lib.rs", "mod a; mod b;");
        let found = circles(&[lib, ("src/a.rs", "use crate::b::B; pub struct A;"), ("src/b.rs", "pub struct B(super::a::A);")]);
        assert_eq!(found, ["\na circle of 2 files of lib.rs:\n  a.rs -> b.rs: crate::b::B\n  b.rs -> a.rs: super::a::A\n"]);
    }

    #[test]
    fn a_grandchild_may_not() {
        let lib = ("src/lib.rs", "mod a; pub use a::deep::D; pub struct Root;");
        let found = circles(&[lib, ("src/a.rs", "pub mod deep;"), ("src/a/deep.rs", "use crate::Root; pub struct D;")]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("a circle of 2 files"), "{}", found[0]);
    }

    #[test]
    fn two_circles_that_touch_are_one() {
        let lib = ("src/lib.rs", "mod a; mod b; mod c; mod d;");
        let a = ("src/a.rs", "use crate::b::B;");
        let b = ("src/b.rs", "use crate::{a::A, c::C};");
        let found = circles(&[lib, a, b, ("src/c.rs", "use crate::b::B;"), ("src/d.rs", "use crate::a::A;")]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("a circle of 3 files") && !found[0].contains("d.rs"), "{}", found[0]);
    }
}
