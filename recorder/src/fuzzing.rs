//! The readers of foreign bytes, for the fuzz targets in `fuzz/`. The programs have no such door.

use std::ffi::OsStr;
use std::path::Path;

use crate::cli::config;
use crate::containers::cgroups::probe;
use crate::containers::cri;
use crate::containers::state::RuntimeState;
use crate::report::http;
use crate::resolve;
use crate::sink::proof::Proof;
use crate::sink::segments::finish;

/// The memory for rows while a segment is finished, bytes.
const MAX_ROW_BYTES: usize = 1 << 20;

/// Replays the raw capture at `capture` to the file `out` of the format `format`, and returns the error, if any.
pub fn replay(capture: &Path, out: &Path, format: &str) -> Option<String> {
    let arguments = [
        OsStr::new("ctrace-rec"),
        OsStr::new("--quiet"),
        OsStr::new("--force"),
        OsStr::new("--format"),
        OsStr::new(format),
        OsStr::new("--from-raw"),
        capture.as_os_str(),
        OsStr::new("--out"),
        out.as_os_str(),
    ];
    let parsed = config::parse(arguments.map(OsStr::to_os_string).to_vec());
    let replayed = parsed.and_then(crate::perform);
    replayed.err().map(|error| format!("{error:#}"))
}

/// Finishes the segment at `open`, as if a killed recorder had left it.
pub fn finish_segment(open: &Path) -> Option<String> {
    let finished = finish::finish(open, MAX_ROW_BYTES, &Proof::default());
    finished.err().map(|error| format!("{error:#}"))
}

/// Reads the bytes of a call as DNS messages, and returns their number.
pub fn dns(bytes: &[u8]) -> usize {
    resolve::dns_messages(bytes)
}

/// Describes the container `id` from the files of runtimes below `root`. Returns whether a runtime knows the container.
pub fn describe(root: &Path, id: &str) -> bool {
    let Ok(hierarchies) = probe(root) else {
        return false;
    };
    let info = RuntimeState::new(root, &hierarchies).describe(id, None, "/x");
    info.map(|info| info.into_facts()).is_some()
}

/// Reads what containerd has sent on a connection: frames of HTTP/2 with an answer of its interface.
pub fn cri_answer(bytes: &[u8]) {
    cri::read_sent(bytes);
}

/// Reads what a client has sent to the server of metrics: first a part of `first` bytes, then the rest.
pub fn http_request(bytes: &[u8], first: usize) {
    http::read_request(bytes, first);
}
