//! Sources of a crate as a tree of modules, without what is compiled for tests only.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use syn::{Attribute, Expr, ExprLit, Item, Lit, Meta};

/// A crate of the repository.
pub struct Crate {
    /// Its folder below the root of the repository.
    pub name: String,
    /// The files that the compiler begins with: a library, binaries.
    pub roots: Vec<PathBuf>,
}

impl Crate {
    /// All crates below a folder that have a folder `src`, in the workspace or beside it.
    pub fn all(workspace: &Path) -> Vec<Crate> {
        let folders = |of: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(of).unwrap_or_else(|error| panic!("{}: {error}", of.display()));
            entries.map(|entry| entry.expect("a folder that can be listed").path()).filter(|path| path.is_dir()).collect()
        };
        let ignored =
            |path: &PathBuf| path.file_name().is_some_and(|name| name == "target" || name.as_encoded_bytes()[0] == b'.');
        let mut places: Vec<PathBuf> = folders(workspace).into_iter().filter(|path| !ignored(path)).collect();
        places.extend(places.clone().iter().flat_map(|path| folders(path)).filter(|path| !ignored(path)));
        places.sort();
        places.retain(|path| path.join("Cargo.toml").exists());
        let name = |place: &Path| place.strip_prefix(workspace).expect("a folder of the workspace").display().to_string();
        // `staticnet-testing` has its modules beside its Cargo.toml.
        let source = |place: &Path| Some(place.join("src")).filter(|src| src.is_dir()).unwrap_or_else(|| place.into());
        places.iter().map(|place| Crate { name: name(place), roots: roots(&source(place)) }).collect()
    }
}

/// The roots in a folder of sources, as Cargo finds them.
fn roots(src: &Path) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = ["lib.rs", "main.rs"].map(|name| src.join(name)).into();
    if let Ok(bins) = std::fs::read_dir(src.join("bin")) {
        let mut bins: Vec<PathBuf> = bins.map(|entry| entry.expect("a folder that can be listed").path()).collect();
        bins.sort();
        roots.extend(bins.into_iter().map(|bin| if bin.is_dir() { bin.join("main.rs") } else { bin }));
    }
    roots.retain(|root| root.is_file());
    roots
}

/// The modules of a library or binary.
#[derive(Default)]
pub struct Tree {
    /// Files, the root first.
    pub files: Vec<PathBuf>,
    /// Modules, the root first, a parent before its children.
    pub modules: Vec<Module>,
}

/// A module, in a file of its own or inside another's.
pub struct Module {
    /// Index of its file in [`Tree::files`].
    pub file: usize,
    /// Index of the module that declares it.
    pub parent: Option<usize>,
    /// Indices of the modules that it declares, by name; several where a `cfg` chooses.
    pub children: BTreeMap<String, Vec<usize>>,
    /// What it declares other than modules.
    pub items: Vec<Item>,
}

/// Where a module's declarations are looked up.
struct Place<'a> {
    /// The folder of its file, that attributes `path` are relative to.
    beside: &'a Path,
    /// The folder of its child modules.
    below: &'a Path,
}

type Reader<'a> = &'a dyn Fn(&Path) -> Option<String>;

impl Tree {
    /// Reads all files that a root declares.
    ///
    /// # Errors
    /// A sentence that names the file which is missing or not Rust.
    pub fn read(root: &Path, read: Reader<'_>) -> Result<Tree, String> {
        let mut tree = Tree::default();
        let folder = root.parent().unwrap_or(Path::new(""));
        tree.add_file(root.to_path_buf(), folder, None, read)?;
        Ok(tree)
    }

    /// Index of the file that declares a file's module.
    pub fn parent_file(&self, file: usize) -> Option<usize> {
        let top = self.modules.iter().find(|module| module.file == file)?;
        top.parent.map(|parent| self.modules[parent].file)
    }

    fn add_file(&mut self, file: PathBuf, below: &Path, parent: Option<usize>, read: Reader<'_>) -> Result<usize, String> {
        let text = read(&file).ok_or_else(|| format!("{}: cannot be read", file.display()))?;
        let parsed = syn::parse_file(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        let beside = file.parent().unwrap_or(Path::new("")).to_path_buf();
        self.files.push(file);
        let index = self.files.len() - 1;
        self.add_module(index, parent, parsed.items, &Place { beside: &beside, below }, read)
    }

    fn add_module(
        &mut self,
        file: usize,
        parent: Option<usize>,
        items: Vec<Item>,
        place: &Place<'_>,
        read: Reader<'_>,
    ) -> Result<usize, String> {
        self.modules.push(Module { file, parent, children: BTreeMap::new(), items: Vec::new() });
        let index = self.modules.len() - 1;
        for item in items.into_iter().filter(|item| !for_tests(attributes(item))) {
            let Item::Mod(module) = item else {
                self.modules[index].items.push(item);
                continue;
            };
            let name = module.ident.to_string();
            let below = place.below.join(&name);
            let child = match (module.content, path_attribute(&module.attrs)) {
                (Some((_, items)), _) => {
                    self.add_module(file, Some(index), items, &Place { beside: &below, below: &below }, read)?
                }
                (None, Some(path)) => {
                    let path = place.beside.join(path);
                    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
                    self.add_file(path, &folder, Some(index), read)?
                }
                (None, None) => {
                    let flat = place.below.join(format!("{name}.rs"));
                    let path = if read(&flat).is_some() { flat } else { below.join("mod.rs") };
                    self.add_file(path, &below, Some(index), read)?
                }
            };
            self.modules[index].children.entry(name).or_default().push(child);
        }
        Ok(index)
    }
}

/// The value of an attribute `path`.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else { return None };
        let Expr::Lit(ExprLit { lit: Lit::Str(value), .. }) = &pair.value else { return None };
        pair.path.is_ident("path").then(|| value.value())
    })
}

/// Whether attributes say that something is compiled for tests only.
pub fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) => list.path.is_ident("cfg") && demands_test(list.tokens.clone()),
        Meta::NameValue(_) => false,
    })
}

/// Whether a condition cannot hold without `test`.
fn demands_test(condition: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = condition.into_iter().collect();
    tokens.iter().enumerate().any(|(i, token)| {
        let TokenTree::Ident(ident) = token else { return false };
        match tokens.get(i + 1) {
            Some(TokenTree::Group(group)) => ident == "all" && demands_test(group.stream()),
            _ => ident == "test",
        }
    })
}

/// The attributes of an item.
pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A tree of files in memory, `src/lib.rs` first.
    pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
        let read = |path: &Path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| text.to_string());
        Tree::read(Path::new("src/lib.rs"), &read).expect("sources that parse")
    }

    #[test]
    fn modules_are_found_where_the_compiler_looks() {
        let tree = tree(&[
            ("src/lib.rs", "mod flat; mod folder; mod inline { mod deep; } #[path = \"other/place.rs\"] mod moved;"),
            ("src/flat.rs", "mod below;"),
            ("src/flat/below.rs", ""),
            ("src/folder/mod.rs", "mod below;"),
            ("src/folder/below.rs", ""),
            ("src/inline/deep.rs", ""),
            ("src/other/place.rs", "mod beside;"),
            ("src/other/beside.rs", ""),
        ]);
        let mut files: Vec<&str> = tree.files.iter().map(|file| file.to_str().unwrap()).collect();
        files.sort();
        let all = ["flat.rs", "flat/below.rs", "folder/below.rs", "folder/mod.rs", "inline/deep.rs", "lib.rs"];
        let all: Vec<String> =
            all.iter().chain(&["other/beside.rs", "other/place.rs"]).map(|file| format!("src/{file}")).collect();
        assert_eq!(files, all);
        let deep = tree.files.iter().position(|file| file.ends_with("deep.rs")).unwrap();
        assert_eq!(tree.parent_file(deep), Some(0));
    }

    #[test]
    fn what_is_compiled_for_tests_is_left_out() {
        let text =
            "#[cfg(test)] mod tests; #[cfg(all(test, unix))] mod more; #[cfg(not(test))] fn kept() {} #[test] fn left() {}";
        let tree = tree(&[("src/lib.rs", text)]);
        assert_eq!((tree.modules.len(), tree.modules[0].items.len()), (1, 1));
    }

    #[test]
    fn missing_files_are_errors() {
        let read = |path: &Path| path.ends_with("lib.rs").then(|| "mod gone;".to_string());
        let error = Tree::read(Path::new("src/lib.rs"), &read).err().unwrap();
        assert_eq!(error, "src/gone/mod.rs: cannot be read");
    }
}
