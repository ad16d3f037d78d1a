//! The nearest of known names to a name that is misspelt.

/// Returns the name that is most similar to `wanted`, if any name is similar.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    names
        .map(|name| (strsim::damerau_levenshtein(&wanted, name), name))
        .filter(|(distance, name)| *distance <= (name.len().max(wanted.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_similar_names_are_suggested() {
        let names = ["container", "comm", "path"];
        assert_eq!(nearest("contaner", names.into_iter()), Some("container"));
        assert_eq!(nearest("xyzzy", names.into_iter()), None);
    }
}
