//! The manifest of a directory of segments: a line of JSON for each finished segment, in the order in which they were
//! finished. Each line holds the digest of its segment and that of the segment before it, and so does the metadata of the
//! segment itself. The line of a segment that `--keep` has removed stays.

use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;

/// The name of the manifest, in the directory of a host. Readers of directories (pyarrow, Spark) skip names that begin with
/// a dot.
pub const NAME: &str = ".manifest.jsonl";

/// A finished segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The path of the segment, relative to the directory of the manifest: `date=YYYY-MM-DD/NAME.parquet`.
    pub segment: String,
    /// Size of the file.
    pub bytes: u64,
    /// Number of rows.
    pub events: u64,
    /// First and last instant, ns since 1970 UTC; missing if the segment has no events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    /// See `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// The digest of the file.
    pub digest: Digest,
    /// The digest of the segment that was finished before; missing in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// True if `--keep` has removed the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// Returns the path of the manifest to which a segment belongs, `DIRECTORY/date=YYYY-MM-DD/NAME.parquet`, and the path of the
/// segment relative to the directory.
pub fn of_segment(segment: &Path) -> Option<(PathBuf, String)> {
    let day = segment.parent()?;
    let name = [day.file_name()?.to_str()?, segment.file_name()?.to_str()?].join("/");
    Some((day.parent()?.join(NAME), name))
}

/// Parses a manifest.
///
/// # Errors
/// A line is not that of a segment. The error is a sentence with the number of the line.
pub fn parse(text: &str) -> Result<Vec<Segment>, String> {
    let parsed = |(i, line)| {
        let segment: Segment =
            serde_json::from_str(line).map_err(|e| format!("line {}: {e}", i + 1))?;
        match is_place(&segment.segment) {
            true => Ok(segment),
            false => Err(format!("line {}: not the place of a segment", i + 1)),
        }
    };
    text.lines().enumerate().map(parsed).collect()
}

/// Returns whether a path is `date=DAY/NAME`, in the directory of the manifest. Messages name the path as it is.
fn is_place(path: &str) -> bool {
    let Some((day, name)) = path.split_once('/') else {
        return false;
    };
    day.starts_with("date=")
        && !name.contains('/')
        && !matches!(name, "" | "." | "..")
        && !path.contains(char::is_control)
}

/// Returns the text of a manifest.
///
/// # Errors
/// A segment cannot be expressed in JSON.
pub fn to_text(segments: &[Segment]) -> serde_json::Result<String> {
    let mut text = String::new();
    for segment in segments {
        text += &serde_json::to_string(segment)?;
        text.push('\n');
    }
    Ok(text)
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::parse(&text).ok_or_else(|| D::Error::custom("a digest has 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let digest = Digest::parse(&"0123456789abcdef".repeat(4)).unwrap();
        let first = Segment {
            segment: "date=2026-01-01/a.parquet".into(),
            bytes: 5,
            events: 2,
            start: Some(1),
            end: Some(3),
            digest,
            previous: None,
            removed: true,
        };
        let second = Segment {
            start: None,
            end: None,
            previous: Some(digest),
            removed: false,
            ..first.clone()
        };
        let text = to_text(&[first.clone(), second.clone()]).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert_eq!(parse(&text).unwrap(), [first, second]);
        assert!(parse("{}\n").unwrap_err().starts_with("line 1: "));
    }

    #[test]
    fn a_manifest_names_only_what_is_in_its_directory() {
        let digest = "0123456789abcdef".repeat(4);
        let parsed = |segment: &str| {
            let line =
                serde_json::json!({"segment": segment, "bytes": 1, "events": 1, "digest": digest});
            parse(&format!("{line}\n"))
        };
        assert!(parsed("date=2026-01-01/a.parquet").is_ok());
        for outside in [
            "/etc/shadow",
            "a.parquet",
            "date=2026-01-01/..",
            "date=2026-01-01/",
            "date=2026-01-01/../../a",
            "../date=2026-01-01/a.parquet",
            "date=2026-01-01/a\nctrace-query: everything is proved",
        ] {
            let error = parsed(outside).unwrap_err();
            assert_eq!(error, "line 1: not the place of a segment", "{outside}");
        }
    }

    #[test]
    fn a_segment_belongs_to_the_manifest_of_its_host() {
        let segment = Path::new("out/node=vm/date=2026-01-01/a.parquet");
        let (manifest, name) = of_segment(segment).unwrap();
        assert_eq!(manifest, Path::new("out/node=vm/.manifest.jsonl"));
        assert_eq!(name, "date=2026-01-01/a.parquet");
        assert_eq!(of_segment(Path::new("a.parquet")), None);
    }
}
