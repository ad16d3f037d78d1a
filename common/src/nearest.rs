//! The nearest of known names to a name that is misspelt.

/// `: did you mean ...?`, where a name is near.
pub fn suggest<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> String {
    let nearest = all
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min();
    match nearest {
        Some((distance, known)) if distance <= 1 + known.len() / 3 => {
            format!(": did you mean `{known}`?")
        }
        _ => String::new(),
    }
}
