//! Numbers of bytes on the command line.

/// Parses a number with a unit, such as 128MB (powers of 1000) or 128MiB (powers of 1024).
///
/// # Errors
/// The text is not a size; the error is a sentence for the user.
pub fn parse_bytes(text: &str) -> Result<f64, String> {
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err("a size, such as 128MB or 1GiB".to_string()),
    };
    Ok(number.parse::<f64>().map_err(|e| e.to_string())? * unit)
}
