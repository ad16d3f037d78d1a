//! The imports of the source files of a crate.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module below its crate, which has the empty path.
pub(crate) type Module = Vec<String>;

/// A source file and the modules that it imports, each with the line of the first import.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) imports: BTreeMap<Module, usize>,
}

/// Reads the source files below `src` by module. Files whose name ends in `tests.rs` are left out.
pub(crate) fn read(src: &Path) -> BTreeMap<Module, File> {
    let mut sources = BTreeMap::new();
    let mut folders = vec![src.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                sources.insert(module(path.strip_prefix(src).unwrap()), path);
            }
        }
    }
    let modules: BTreeSet<Module> = sources.keys().cloned().collect();
    let file = |(module, path): (Module, PathBuf)| {
        let text = fs::read_to_string(&path).unwrap();
        let imports = imports(&module, &text, &modules);
        (module, File { path, imports })
    };
    sources.into_iter().map(file).collect()
}

/// Returns the module of a file by its path below `src`.
fn module(path: &Path) -> Module {
    let path = path.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    parts
        .filter(|part| part != "mod" && part != "lib")
        .collect()
}

/// Returns the modules that the code of `module` names, each with the first line. Code below `#[cfg(test)]` is left out.
fn imports(module: &Module, text: &str, modules: &BTreeSet<Module>) -> BTreeMap<Module, usize> {
    let mut scanner = Scanner {
        modules,
        paths: vec![],
    };
    scanner.scan(module, text.parse().unwrap());
    let mut imports = BTreeMap::new();
    for (mut target, line) in scanner.paths {
        while !modules.contains(&target) && target.pop().is_some() {}
        if target != *module {
            imports.entry(target).or_insert(line);
        }
    }
    imports
}

/// Finds paths that begin with `crate`, `self`, `super` or the name of a child module.
struct Scanner<'a> {
    modules: &'a BTreeSet<Module>,
    /// Absolute paths of modules and items, each with its line.
    paths: Vec<(Module, usize)>,
}

impl Scanner<'_> {
    /// Scans code in the module `here`, which may be an inline module.
    fn scan(&mut self, here: &Module, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let text = |i: usize| tokens.get(i).map(ToString::to_string).unwrap_or_default();
        let mut i = 0;
        while i < tokens.len() {
            let after_colons = i > 1 && is_colons(&tokens[i - 2..]);
            let name = text(i);
            if name == "#" && text(i + 1).replace(' ', "") == "[cfg(test)]" {
                let end = |i: &usize| text(*i) == ";" || tokens.get(*i).is_none_or(is_braces);
                i = (i..).find(end).unwrap();
            } else if name == "mod" && tokens.get(i + 2).is_some_and(is_braces) {
                self.scan_group(&[&here[..], &[text(i + 1)]].concat(), &tokens[i + 2]);
                i += 2;
            } else if name == "pub" && text(i + 1).starts_with('(') {
                i += 1; // the visibility `pub(in crate::x)` imports nothing
            } else if !after_colons && is_colons(&tokens[i + 1..]) && self.is_local(here, &name) {
                self.follow(here.clone(), &tokens[i..]);
                while is_colons(&tokens[i + 1..]) {
                    i += 3;
                }
            } else if !(after_colons && is_braces(&tokens[i])) {
                self.scan_group(here, &tokens[i]); // braces after `::` are the rest of `use std::{...}`
            }
            i += 1;
        }
    }

    fn scan_group(&mut self, here: &Module, token: &TokenTree) {
        if let TokenTree::Group(group) = token {
            self.scan(here, group.stream());
        }
    }

    fn is_local(&self, here: &Module, name: &str) -> bool {
        let child = [here, &[name.to_string()][..]].concat();
        ["crate", "self", "super"].contains(&name) || self.modules.contains(&child)
    }

    /// Follows the path or the use tree at the beginning of `tokens`, relative to `path`.
    fn follow(&mut self, mut path: Module, tokens: &[TokenTree]) {
        let Some(first) = tokens.first() else { return };
        if let TokenTree::Group(group) = first {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            for tree in inner.split(|token| token.to_string() == ",") {
                self.follow(path.clone(), tree);
            }
            return;
        }
        match first.to_string().as_str() {
            "crate" => path.clear(),
            "super" => drop(path.pop()),
            "self" | "*" | "<" => {}
            name => path.push(name.to_string()),
        }
        if is_colons(&tokens[1..]) {
            self.follow(path, &tokens[3..]);
        } else {
            self.paths.push((path, first.span().start().line));
        }
    }
}

/// Returns whether the tokens begin with `::`.
fn is_colons(tokens: &[TokenTree]) -> bool {
    let is_colon = |token: &TokenTree| token.to_string() == ":";
    tokens.len() > 1 && tokens[..2].iter().all(is_colon)
}

fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}
