//! The error message for a file that does not exist.

use std::path::Path;

use ctrace_common::nearest::nearest;
use ctrace_format::names;
use ctrace_schema::text::path_text;

/// Number of files that the message lists.
const MAX_LISTED: usize = 5;

/// Returns a sentence that the file does not exist, with the recordings beside it.
pub(crate) fn missing_file(path: &Path) -> String {
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    let others = recordings(directory.unwrap_or(Path::new(".")));
    let stem = |name: &str| {
        let stem = Path::new(name).file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    };
    let stems: Vec<_> = others.iter().map(|other| stem(other)).collect();
    let wanted = stem(&path.to_string_lossy());
    let in_directory = |other: &str| match directory {
        Some(directory) => path_text(&directory.join(other)),
        None => path_text(other.as_ref()),
    };
    let message = format!("there is no file {}", path_text(path));
    let near = nearest(&wanted, stems.iter().map(String::as_str));
    let near = near.and_then(|near| others.iter().find(|other| stem(other) == near));
    match near {
        Some(near) => format!("{message}: did you mean {}?", in_directory(near)),
        None if others.is_empty() => format!("{message}, and no recording beside it"),
        None => {
            let listed: Vec<_> = others
                .iter()
                .take(MAX_LISTED)
                .map(|o| in_directory(o))
                .collect();
            let more = if others.len() > MAX_LISTED {
                ", ..."
            } else {
                ""
            };
            format!("{message}: there are {}{more}", listed.join(", "))
        }
    }
}

/// Returns the sorted names of the files in a directory that have the extension of a recording.
fn recordings(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names
        .filter(|name| names::is_recording(name.as_ref()))
        .collect();
    names.sort_unstable();
    names
}
