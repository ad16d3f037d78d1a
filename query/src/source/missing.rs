//! What to say of a file that is not there.

use std::path::Path;

use crate::engine::sql_error::nearest;

/// Others than these help nobody.
const SHOWN: usize = 5;

/// A sentence that says that there is no such file, and what there is instead.
pub fn sentence(path: &Path) -> String {
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    let others = recordings(directory.unwrap_or(Path::new(".")));
    let stem = |name: &str| {
        let stem = Path::new(name).file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    };
    let stems: Vec<_> = others.iter().map(|other| stem(other)).collect();
    let wanted = stem(&path.to_string_lossy());
    let there = |other: &str| match directory {
        Some(directory) => directory.join(other).display().to_string(),
        None => other.to_string(),
    };
    let what = format!("there is no file {}", path.display());
    let near = nearest(&wanted, stems.iter().map(String::as_str));
    let near = near.and_then(|near| others.iter().find(|other| stem(other) == near));
    match near {
        Some(near) => format!("{what}: did you mean {}?", there(near)),
        None if others.is_empty() => format!("{what}, nor a recording beside it"),
        None => {
            let shown: Vec<_> = others.iter().take(SHOWN).map(|o| there(o)).collect();
            let more = if others.len() > SHOWN { ", ..." } else { "" };
            format!("{what}: there are {}{more}", shown.join(", "))
        }
    }
}

/// The names of the files in a directory that end as recordings do, sorted.
fn recordings(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names
        .filter(|name| name.ends_with(".parquet") || name.ends_with(".sqlite"))
        .collect();
    names.sort_unstable();
    names
}
