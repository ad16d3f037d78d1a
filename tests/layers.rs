//! The directions of imports in the recorder and in the query program, as allowed by the tables of docs/architecture.md.
//! A module in these tables is a top-level folder or file of `src/`. Code of tests does not count.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "layers/imports.rs"]
mod imports;
#[path = "layers/self_test.rs"]
mod self_test;

use imports::{Module, read};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The modules that each module may import.
type Table = BTreeMap<String, BTreeSet<String>>;

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
    let page = fs::read_to_string(root.join("docs/architecture.md"));
    let page = page.expect("docs/architecture.md");
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
        let mut above = headings.iter().map(|(_, text)| text);
        let in_table = above.next_back().is_some_and(|text| text.contains(program));
        let in_section = headings
            .iter()
            .any(|(_, text)| text.contains("allowed directions"));
        let cells: Vec<&str> = line.split('|').collect();
        if let (true, true, [_, modules, allowed, ..]) = (in_section, in_table, &cells[..]) {
            for module in names(modules) {
                table.entry(module).or_default().extend(names(allowed));
            }
        }
    }
    table
}

/// Returns the words in backquotes, without `.rs` and `/` at the end.
fn names(cell: &str) -> Vec<String> {
    let names = cell.split('`').skip(1).step_by(2);
    let plain = |name: &str| {
        name.trim_end_matches(".rs")
            .trim_end_matches('/')
            .to_string()
    };
    names.map(plain).collect()
}

/// Returns everything that is wrong with the imports below `src`.
fn problems(src: &Path, table: &Table) -> Vec<String> {
    let files = read(src);
    let top = |path: &Module| path.first().map_or("lib", String::as_str).to_string();
    let mut problems = vec![];
    let tops: BTreeSet<String> = files.keys().map(top).collect();
    let missing = tops.iter().filter(|module| !table.contains_key(*module));
    problems.extend(missing.map(|module| format!("the table has no row for `{module}`")));
    let surplus = table.keys().filter(|module| !tops.contains(*module));
    problems.extend(surplus.map(|module| format!("the table has a row for `{module}`, no module")));
    let mut unused = table.clone();
    for (module, file) in &files {
        let from = top(module);
        for (target, line) in &file.imports {
            let to = top(target);
            if from != to && table.get(&from).is_some_and(|row| !row.contains(&to)) {
                let path = file.path.display();
                problems.push(format!("{path}:{line}: `{from}` must not import `{to}`"));
            }
            unused.entry(from.clone()).or_default().remove(&to);
        }
    }
    for (from, to) in unused
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| (from, to)))
    {
        problems.push(format!(
            "the table lets `{from}` import `{to}`, which no file does"
        ));
    }
    for circle in circles(table) {
        problems.push(format!("the table allows a circle: {}", circle.join(", ")));
    }
    let targets = |file: &imports::File| file.imports.keys().cloned().collect();
    let edges = files
        .iter()
        .map(|(module, file)| (module.clone(), targets(file)));
    for circle in circles(&edges.collect()) {
        let mut text = "a circle of imports between files:".to_string();
        for file in circle.iter().map(|module| &files[module]) {
            for (to, line) in file.imports.iter().filter(|(to, _)| circle.contains(to)) {
                let (path, to) = (file.path.display(), files[to].path.display());
                text += &format!("\n    {path}:{line} imports {to}");
            }
        }
        problems.push(text);
    }
    problems
}

/// Returns the strongly connected components that have two or more nodes.
fn circles<T: Ord + Clone>(edges: &BTreeMap<T, BTreeSet<T>>) -> Vec<Vec<T>> {
    let reachable = |from: &T| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(node) = next.pop() {
            let to = edges.get(node).into_iter().flatten();
            next.extend(to.filter(|to| seen.insert((*to).clone())));
        }
        seen
    };
    let reach: BTreeMap<T, BTreeSet<T>> = edges.keys().map(|n| (n.clone(), reachable(n))).collect();
    let component = |node: &T| -> Vec<T> {
        let mutual = |other: &&T| reach[node].contains(*other) && reach[*other].contains(node);
        reach.keys().filter(mutual).cloned().collect()
    };
    let components: BTreeSet<Vec<T>> = reach.keys().map(component).collect();
    components
        .into_iter()
        .filter(|nodes| nodes.len() > 1)
        .collect()
}
