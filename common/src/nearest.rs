//! Suggestions for misspelt names.

/// Bytes of the longest name for which a similar one is searched.
pub const MAX_WANTED: usize = 256;

/// Returns the name that is most similar to `wanted`, or the first of several, if any name is similar.
///
/// A name is similar if the Damerau-Levenshtein distance is at most a third of the longer name's length in bytes. A distance
/// of 1 is always allowed.
///
/// `names` should be in lower case; the case of `wanted` does not matter. A name of more than [`MAX_WANTED`] bytes is similar to
/// none, because the distance takes time that is proportional to both lengths.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if wanted.len() > MAX_WANTED {
        return None;
    }
    let wanted = wanted.to_lowercase();
    names
        .map(|name| (strsim::damerau_levenshtein(&wanted, name), name))
        .filter(|(distance, name)| *distance <= (name.len().max(wanted.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Returns the end of an error message about the unknown name `wanted`: ``: did you mean `x`?``, or nothing if no name is
/// similar.
pub fn suggest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> String {
    match nearest(wanted, names) {
        Some(name) => format!(": did you mean `{name}`?"),
        None => String::new(),
    }
}

/// Returns a sentence about an unknown name, to follow an error message: ``Did you mean `x`?``, or `None` if no name is
/// similar.
pub fn question<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(wanted, names).map(|name| format!("Did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["container", "comm", "path", "path2"];

    #[test]
    fn only_similar_names_are_suggested() {
        for (wanted, expected) in [
            ("contaner", Some("container")),
            ("contnaer", Some("container")),
            ("cnotanier", Some("container")),
            ("cnotaineer", Some("container")),
            ("continuous", None),
            ("com", Some("comm")),
            ("cm", None),
            ("xyzzy", None),
            ("", None),
        ] {
            assert_eq!(nearest(wanted, NAMES.into_iter()), expected, "{wanted}");
        }
        assert_eq!(nearest("comm", [].into_iter()), None);
    }

    #[test]
    fn a_single_difference_in_a_short_name_is_allowed() {
        assert_eq!(nearest("pd", ["fd"].into_iter()), Some("fd"));
        assert_eq!(nearest("pi", ["fd"].into_iter()), None);
    }

    #[test]
    fn a_very_long_name_is_similar_to_none() {
        let long = "x".repeat(MAX_WANTED + 1);
        assert_eq!(nearest(&long, [long.as_str()].into_iter()), None);
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(nearest("Comm", NAMES.into_iter()), Some("comm"));
    }

    #[test]
    fn the_first_of_equally_similar_names_is_suggested() {
        assert_eq!(nearest("path1", NAMES.into_iter()), Some("path"));
        let reversed = NAMES.into_iter().rev();
        assert_eq!(nearest("path1", reversed), Some("path2"));
    }

    #[test]
    fn a_suggestion_ends_a_sentence() {
        let names = || NAMES.into_iter();
        assert_eq!(suggest("pth", names()), ": did you mean `path`?");
        assert_eq!(suggest("xyzzy", names()), "");
        let sentence = question("pth", names());
        assert_eq!(sentence.as_deref(), Some("Did you mean `path`?"));
        assert_eq!(question("xyzzy", names()), None);
    }
}
