//! The directions of imports in the recorder and in the query program, as allowed by the tables of docs/architecture.md.
//!
//! A room is a top-level folder or file of `src/`. Code of tests (`#[cfg(test)]` and `tests.rs`) does not count.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module below its crate, which has the empty path.
type Module = Vec<String>;

/// The rooms that each room may import.
type Table = BTreeMap<String, BTreeSet<String>>;

/// A source file and the files that it imports, each with the line of the first import.
struct File {
    path: PathBuf,
    imports: BTreeMap<Module, usize>,
}

#[test]
fn the_recorder_keeps_to_the_allowed_directions() {
    check("recorder");
}

#[test]
fn the_query_program_keeps_to_the_allowed_directions() {
    check("query");
}

fn check(program: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/architecture.md")).expect("docs/architecture.md");
    let problems = problems(&root.join(program).join("src"), &table(&page, program));
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Reads the table below the heading that contains `program`, in the section "Allowed directions".
fn table(page: &str, program: &str) -> Table {
    let mut table = Table::new();
    let mut headings: Vec<(usize, String)> = vec![];
    for line in page.lines() {
        let level = line.chars().take_while(|c| *c == '#').count();
        if level > 0 {
            headings.retain(|(above, _)| *above < level);
            headings.push((level, line.to_lowercase()));
        }
        let in_section = headings
            .iter()
            .any(|(_, text)| text.contains("allowed directions"));
        let in_table = headings
            .last()
            .is_some_and(|(_, text)| text.contains(program));
        let cells: Vec<&str> = line.trim().split('|').collect();
        if !(in_section && in_table && cells.len() > 3) {
            continue;
        }
        let names = |cell: &str| -> BTreeSet<String> {
            let names = cell.split('`').skip(1).step_by(2);
            names
                .map(|name| {
                    name.trim_end_matches(".rs")
                        .trim_end_matches('/')
                        .to_string()
                })
                .collect()
        };
        for room in names(cells[1]) {
            table.entry(room).or_default().extend(names(cells[2]));
        }
    }
    table
}

/// Reads the source files below `src` by module.
fn files(src: &Path) -> BTreeMap<Module, File> {
    let mut sources = BTreeMap::new();
    let mut folders = vec![src.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name");
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some("rs".as_ref()) && name != "tests" {
                let module = path
                    .strip_prefix(src)
                    .expect("a path below src")
                    .with_extension("");
                let parts = module
                    .iter()
                    .map(|part| part.to_string_lossy().into_owned());
                let module = parts
                    .filter(|part| part != "mod" && part != "lib")
                    .collect();
                sources.insert(module, path);
            }
        }
    }
    let modules: BTreeSet<Module> = sources.keys().cloned().collect();
    let read = |(module, path): (Module, PathBuf)| {
        let text = fs::read_to_string(&path).expect("a source file");
        let tokens = text
            .parse()
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut scanner = Scanner {
            modules: &modules,
            paths: vec![],
        };
        scanner.scan(&module, tokens);
        let mut imports = BTreeMap::new();
        for (mut target, line) in scanner.paths {
            while !modules.contains(&target) && target.pop().is_some() {}
            if target != module {
                imports.entry(target).or_insert(line);
            }
        }
        (module, File { path, imports })
    };
    sources.into_iter().map(read).collect()
}

/// Finds the paths in the code of a module that begin with `crate`, `self`, `super` or the name of a child module.
struct Scanner<'a> {
    modules: &'a BTreeSet<Module>,
    /// Absolute paths of modules and their items, each with its line.
    paths: Vec<(Module, usize)>,
}

impl Scanner<'_> {
    fn scan(&mut self, here: &Module, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is =
            |i: usize, text: &str| tokens.get(i).is_some_and(|token| token.to_string() == text);
        let mut i = 0;
        while i < tokens.len() {
            let after_colons = i > 1 && is_colons(&tokens, i - 2);
            i = match &tokens[i] {
                TokenTree::Punct(_) if is(i, "#") && is_test(tokens.get(i + 1)) => {
                    let ends = |token: &TokenTree| is_braces(token) || token.to_string() == ";";
                    let rest = &tokens[i + 2..];
                    i + 3 + rest.iter().position(ends).unwrap_or(rest.len())
                }
                TokenTree::Ident(_) if is(i, "mod") && tokens.get(i + 2).is_some_and(is_braces) => {
                    let inner = [&here[..], &[tokens[i + 1].to_string()]].concat();
                    self.scan_group(&inner, &tokens[i + 2]);
                    i + 3
                }
                // The visibility `pub(in crate::x)` imports nothing.
                TokenTree::Ident(_)
                    if is(i, "pub") && matches!(tokens.get(i + 1), Some(TokenTree::Group(_))) =>
                {
                    i + 2
                }
                TokenTree::Ident(name)
                    if !after_colons
                        && is_colons(&tokens, i + 1)
                        && self.is_local(here, &name.to_string()) =>
                {
                    self.follow(here.clone(), &tokens, i)
                }
                // The rest of `use std::{...}`.
                group if is_braces(group) && after_colons => i + 1,
                group => {
                    self.scan_group(here, group);
                    i + 1
                }
            };
        }
    }

    fn scan_group(&mut self, here: &Module, token: &TokenTree) {
        if let TokenTree::Group(group) = token {
            self.scan(here, group.stream());
        }
    }

    fn is_local(&self, here: &Module, name: &str) -> bool {
        let child = [&here[..], &[name.to_string()]].concat();
        ["crate", "self", "super"].contains(&name) || self.modules.contains(&child)
    }

    /// Follows a path or a use tree from `tokens[i]`, relative to `path`. Returns the index after the path.
    fn follow(&mut self, mut path: Module, tokens: &[TokenTree], mut i: usize) -> usize {
        let Some(first) = tokens.get(i) else { return i };
        let line = first.span().start().line;
        loop {
            match tokens.get(i) {
                Some(TokenTree::Ident(name)) => match name.to_string().as_str() {
                    "crate" => path.clear(),
                    "super" => drop(path.pop()),
                    "self" => {}
                    name => path.push(name.to_string()),
                },
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                    for tree in tokens.split(|token| token.to_string() == ",") {
                        self.follow(path.clone(), tree, 0);
                    }
                    return i + 1;
                }
                _ => break,
            }
            i += 1;
            if !is_colons(tokens, i) {
                break;
            }
            i += 2;
        }
        self.paths.push((path, line));
        i
    }
}

fn is_colons(tokens: &[TokenTree], i: usize) -> bool {
    let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ':');
    tokens
        .get(i..i + 2)
        .is_some_and(|two| two.iter().all(is_colon))
}

fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// Whether a token is the rest of the attribute `#[cfg(test)]`.
fn is_test(token: Option<&TokenTree>) -> bool {
    token.is_some_and(|token| token.to_string().replace(' ', "") == "[cfg(test)]")
}

/// Returns everything that is wrong with the imports below `src`.
fn problems(src: &Path, table: &Table) -> Vec<String> {
    let files = files(src);
    let room = |module: &Module| module.first().map_or("lib", String::as_str).to_string();
    let rooms: BTreeSet<String> = files.keys().map(room).collect();
    let mut problems = vec![];
    for missing in rooms.iter().filter(|room| !table.contains_key(*room)) {
        problems.push(format!("the table has no row for the room `{missing}`"));
    }
    for surplus in table.keys().filter(|room| !rooms.contains(*room)) {
        problems.push(format!(
            "the table has a row for `{surplus}`, which is no room"
        ));
    }
    let mut unused = table.clone();
    for (module, file) in &files {
        let from = room(module);
        for (target, line) in &file.imports {
            let to = room(target);
            let allowed = table.get(&from).is_none_or(|allowed| allowed.contains(&to));
            if from != to && !allowed {
                problems.push(format!(
                    "{}:{line}: `{from}` must not import `{to}`",
                    file.path.display()
                ));
            }
            unused.entry(from.clone()).or_default().remove(&to);
        }
    }
    for (from, unused) in unused {
        problems.extend(
            unused
                .iter()
                .map(|to| format!("no file of `{from}` imports `{to}`, which the table allows")),
        );
    }
    for circle in circles(table) {
        problems.push(format!(
            "the table allows a circle of rooms: {}",
            circle.join(", ")
        ));
    }
    let imports = files
        .iter()
        .map(|(module, file)| (module.clone(), file.imports.keys().cloned().collect()));
    for circle in circles(&imports.collect()) {
        let mut text = "circle of imports between files:".to_string();
        for file in circle.iter().map(|module| &files[module]) {
            for (target, line) in file
                .imports
                .iter()
                .filter(|(target, _)| circle.contains(target))
            {
                text += &format!(
                    "\n    {}:{line} imports {}",
                    file.path.display(),
                    files[target].path.display()
                );
            }
        }
        problems.push(text);
    }
    problems
}

/// Returns the strongly connected components with two or more nodes.
fn circles<T: Ord + Clone>(edges: &BTreeMap<T, BTreeSet<T>>) -> Vec<Vec<T>> {
    let reachable = |from: &T| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(node) = next.pop() {
            next.extend(
                edges
                    .get(node)
                    .into_iter()
                    .flatten()
                    .filter(|to| seen.insert((*to).clone())),
            );
        }
        seen
    };
    let reach: BTreeMap<&T, BTreeSet<T>> =
        edges.keys().map(|node| (node, reachable(node))).collect();
    let component = |node: &&T| -> Vec<T> {
        let mutual = reach
            .iter()
            .filter(|(other, from)| from.contains(*node) && reach[*node].contains(**other));
        mutual.map(|(other, _)| (*other).clone()).collect()
    };
    let found = reach.keys().map(|node| (node, component(node)));
    found
        .filter(|(node, component)| component.len() > 1 && component[0] == ***node)
        .map(|(_, component)| component)
        .collect()
}
