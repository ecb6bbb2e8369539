//! Inputs of several lines: one that ends in `\\` goes on, and one that begins with `"""` goes on to the next.
//!
//! Rules: ORCH-CLI-18

/// What stands around as many lines as there are.
const FENCE: &str = "\"\"\"";

/// Whether the input is not whole yet.
pub fn goes_on(input: &str) -> bool {
    match input.trim_start().strip_prefix(FENCE) {
        Some(inside) => !inside.contains(FENCE),
        None => input.ends_with('\\'),
    }
}

/// The input without what holds its lines together.
pub fn joined(input: &str) -> String {
    match input.trim_start().strip_prefix(FENCE) {
        Some(inside) => {
            let (text, after) = inside.split_once(FENCE).unwrap_or((inside, ""));
            format!("{}{after}", text.trim_matches('\n'))
        }
        None => input.strip_suffix('\\').unwrap_or(input).replace("\\\n", "\n"),
    }
}

#[cfg(test)]
mod tests;
