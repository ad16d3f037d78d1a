//! The fuzz targets in `fuzz/`: each reader of foreign bytes has one, and each is built, run and named in SECURITY.md.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[test]
fn every_fuzz_target_is_built_and_named_with_what_it_reads() {
    let manifest = read("fuzz/Cargo.toml");
    let page = read("SECURITY.md");
    for name in targets().keys() {
        let bin = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&bin), "fuzz/Cargo.toml: {name}");
        assert!(
            page.contains(&format!("| `{name}` |")),
            "SECURITY.md: {name}"
        );
    }
}

#[test]
fn every_reader_has_a_fuzz_target() {
    let targets: String = targets().into_values().collect();
    // The targets of the query program have a function for both steps.
    let code = targets + &read("fuzz/src/lib.rs");
    let mut readers = 0;
    for doors in ["recorder/src/fuzzing.rs", "query/src/fuzzing.rs"] {
        let source = read(doors);
        let functions = source.split("pub fn ").skip(1);
        for function in functions.map(|rest| rest.split('(').next().unwrap()) {
            let is_called = [format!("fuzzing::{function}("), format!(".{function}(")]
                .iter()
                .any(|call| code.contains(call));
            assert!(is_called || function == "new", "{doors}: {function}");
            readers += 1;
        }
    }
    assert!(readers >= 7, "{readers}");
}

/// Returns the source of each fuzz target.
fn targets() -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let targets: BTreeMap<String, String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_string();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(targets.len() >= 12);
    targets
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}
