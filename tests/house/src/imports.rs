//! Which file imports from which: `use`, and paths written out in code, also inside macros.
//!
//! An import counts as one of the file that declares the module which it names; where that module passes on what another declares,
//! it is still the one that was asked. Declaring a module is no import.

use crate::source::{Tree, attributes, for_tests};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemUse, Macro, Path, UseTree, Visibility};

/// Imports: `(importing file, file imported from)`, and the paths written there.
pub type Imports = BTreeMap<(usize, usize), BTreeSet<String>>;

/// More steps from name to name than any import takes; renames could lead in a circle.
const DEEPEST: usize = 16;

/// All imports between different files of a tree.
pub fn of(tree: &Tree) -> Imports {
    let found: Vec<Found> = tree.modules.iter().map(|module| Found::of(&module.items)).collect();
    let names = Names { tree, found: &found };
    let mut imports = Imports::new();
    for (module, found) in found.iter().enumerate() {
        for path in &found.paths {
            let mut asked = BTreeSet::new();
            names.follow(module, path, &mut asked, 0);
            let from = tree.modules[module].file;
            for to in asked.into_iter().map(|asked| tree.modules[asked].file).filter(|to| *to != from) {
                imports.entry((from, to)).or_default().insert(path.join("::"));
            }
        }
    }
    imports
}

/// Segments of a path.
type Segments = Vec<String>;

/// What a module's text names.
#[derive(Default)]
struct Found {
    /// Every path of two segments or more.
    paths: BTreeSet<Segments>,
    /// What a `use` gives a name in the module, or passes on from it.
    names: BTreeMap<String, Segments>,
}

impl Found {
    fn of(items: &[Item]) -> Found {
        let mut found = Found::default();
        items.iter().for_each(|item| found.visit_item(item));
        found
    }

    /// Paths in tokens that are not parsed: what a macro gets or is made of.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is_colon = |i: usize| matches!(tokens.get(i), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
        let mut i = 0;
        while i < tokens.len() {
            match &tokens[i] {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(ident) => {
                    let mut path = vec![ident.to_string()];
                    while is_colon(i + 1) && is_colon(i + 2) {
                        let Some(TokenTree::Ident(next)) = tokens.get(i + 3) else { break };
                        path.push(next.to_string());
                        i += 3;
                    }
                    self.add(path);
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            i += 1;
        }
    }

    fn add(&mut self, path: Segments) {
        if path.len() > 1 {
            self.paths.insert(path);
        }
    }
}

impl<'a> Visit<'a> for Found {
    fn visit_item(&mut self, item: &'a Item) {
        if !for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        let ImplItem::Fn(function) = item else { return visit::visit_impl_item(self, item) };
        if !for_tests(&function.attrs) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        if item.leading_colon.is_some() {
            return;
        }
        for (path, name) in used(&item.tree) {
            if let Some(name) = name {
                self.names.insert(name, path.clone());
            }
            self.add(path);
        }
    }

    fn visit_path(&mut self, path: &'a Path) {
        if path.leading_colon.is_none() {
            self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'a Macro) {
        self.visit_path(&called.path);
        self.scan(called.tokens.clone());
    }

    // Neither imports anything.
    fn visit_attribute(&mut self, _: &'a Attribute) {}
    fn visit_visibility(&mut self, _: &'a Visibility) {}
}

/// The paths of a `use`, each with the name it gets, if any.
pub fn used(tree: &UseTree) -> Vec<(Segments, Option<String>)> {
    fn add(tree: &UseTree, before: &[String], all: &mut Vec<(Segments, Option<String>)>) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => add(&path.tree, &with(path.ident.to_string()), all),
            UseTree::Group(group) => group.items.iter().for_each(|item| add(item, before, all)),
            UseTree::Glob(_) => all.push((before.to_vec(), None)),
            UseTree::Name(name) if name.ident == "self" => all.push((before.to_vec(), before.last().cloned())),
            UseTree::Name(name) => all.push((with(name.ident.to_string()), Some(name.ident.to_string()))),
            UseTree::Rename(rename) => {
                let path = if rename.ident == "self" { before.to_vec() } else { with(rename.ident.to_string()) };
                all.push((path, Some(rename.rename.to_string()).filter(|name| name != "_")));
            }
        }
    }
    let mut all = Vec::new();
    add(tree, &[], &mut all);
    all
}

struct Names<'a> {
    tree: &'a Tree,
    found: &'a [Found],
}

impl Names<'_> {
    /// Follows a path that is written in module `from`: the modules that it asks for something are added to `asked`; what is left
    /// over is an item. Returns the modules that the path names as a whole. A path into another crate asks none.
    fn follow(&self, from: usize, path: &[String], asked: &mut BTreeSet<usize>, depth: usize) -> Vec<usize> {
        let parent = |module: usize| self.tree.modules[module].parent.into_iter().collect::<Vec<_>>();
        let mut at = match path.first().map(String::as_str) {
            Some("crate") => vec![0],
            Some("self") => vec![from],
            Some("super") => parent(from),
            Some(name) => self.child(from, name, path, asked, depth),
            None => Vec::new(),
        };
        for name in path.iter().skip(1) {
            let next: Vec<usize> = match &name[..] {
                "super" => at.iter().flat_map(|module| parent(*module)).collect(),
                name => at.iter().flat_map(|module| self.child(*module, name, &[], asked, depth)).collect(),
            };
            if next.is_empty() {
                asked.extend(at);
                return Vec::new();
            }
            at = next;
        }
        asked.extend(&at);
        at
    }

    /// The modules called `name` in `module`: its own, or others' that a `use` gives that name. `path` is the one being followed
    /// from its beginning, which is not what its own first name stands for.
    fn child(&self, module: usize, name: &str, path: &[String], asked: &mut BTreeSet<usize>, depth: usize) -> Vec<usize> {
        if let Some(own) = self.tree.modules[module].children.get(name) {
            return own.clone();
        }
        match self.found[module].names.get(name) {
            Some(meant) if meant != path && depth < DEEPEST => {
                let mut on_the_way = BTreeSet::new();
                let named = self.follow(module, meant, &mut on_the_way, depth + 1);
                if !named.is_empty() && path.is_empty() {
                    // Passed on: the module that does so was asked, too.
                    asked.insert(module);
                }
                named
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::tree;

    /// Who imports from where, as `file>file`, for files `src/NAME.rs`.
    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let tree = tree(files);
        let name = |file: usize| tree.files[file].file_stem().unwrap().to_str().unwrap().to_string();
        of(&tree).keys().map(|(from, to)| format!("{}>{}", name(*from), name(*to))).collect()
    }

    #[test]
    fn every_way_to_import_counts() {
        let lib = ("src/lib.rs", "mod a; mod b; mod c;");
        let others = [("src/b.rs", "pub struct B; pub use crate::c as other;"), ("src/c.rs", "")];
        for (text, wanted) in [
            ("use crate::b::B;", "a>b"),
            ("use super::b::{B};", "a>b"),
            ("use crate::{b::{self, B}};", "a>b"),
            ("pub use super::b::*;", "a>b"),
            ("use crate::b as renamed; fn f() -> renamed::B { renamed::B }", "a>b"),
            ("fn f(_: crate::b::B) {}", "a>b"),
            ("fn f() { use crate::b::B; }", "a>b"),
            ("fn f() { println!(\"{}\", crate::b::N) }", "a>b"),
            ("fn f() { let _ = vec![(1, super::b::N)]; }", "a>b"),
            ("macro_rules! m { () => { $crate::b::B } }", "a>b"),
            ("impl Into<crate::b::B> for A {}", "a>b"),
            ("use crate::Root;", "a>lib"),
            ("mod inside { fn f() { super::super::b::f() } }", "a>b"),
            // Passed on by b, which is asked first.
            ("use crate::b::other::C;", "a>b a>c"),
        ] {
            let found = arrows(&[lib, ("src/a.rs", text), others[0], others[1]]);
            let wanted: Vec<&str> = wanted.split(' ').chain(["b>c"]).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }

    #[test]
    fn the_rest_is_no_import() {
        for text in [
            "use std::fmt; use b::B; use ::b::B;",
            "#[cfg(test)] mod tests { use crate::b::B; }",
            "#[test] fn t() { crate::b::f() }",
            "pub(in crate::b) struct A;",
            "/// See [`crate::b`].\nstruct A;",
            "fn f<B: T>() { B::new(); Self::b() }",
            "use self::inside::A; mod inside { pub struct A; }",
            "struct A; mod inside { use super::A; }",
        ] {
            assert!(arrows(&[("src/lib.rs", "mod a; mod b;"), ("src/a.rs", text), ("src/b.rs", "")]).is_empty(), "{text}");
        }
    }

    #[test]
    fn names_that_lead_nowhere_end() {
        let text = "use serde; use x::y as x; fn f() { serde::f(); x::f() }";
        assert!(arrows(&[("src/lib.rs", text)]).is_empty());
    }
}
