//! A scrape of `/metrics`, read.

use std::collections::{BTreeMap, BTreeSet};

/// One line: a series and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The name, as it stands in the line.
    pub name: String,
    /// Labels and their values.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// All of a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape {
    /// The kind of each metric, by the name its series have.
    pub kinds: BTreeMap<String, String>,
    /// The series, in order.
    pub series: Vec<Series>,
}

impl Scrape {
    /// Reads the OpenMetrics text format, as far as the daemon may use it.
    ///
    /// # Panics
    /// On anything else.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with("# EOF\n"), "a scrape ends with `# EOF`:\n{text}");
        let mut scrape = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a metric has a type");
                let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
                scrape.kinds.insert(name, kind.to_owned());
            } else if !line.starts_with('#') {
                scrape.series.push(series(line));
            }
        }
        scrape
    }

    /// The sum of the series of a name that carry these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted = |series: &&Series| {
            series.name == name
                && labels
                    .iter()
                    .all(|(label, value)| series.labels.get(*label).is_some_and(|have| have == value))
        };
        self.series.iter().filter(wanted).map(|series| series.value).sum()
    }

    /// The names of the series that are there, each with the labels its series carry.
    #[must_use]
    pub fn shapes(&self) -> BTreeSet<(String, BTreeSet<String>)> {
        self.series
            .iter()
            .map(|series| (series.name.clone(), series.labels.keys().cloned().collect()))
            .collect()
    }
}

fn series(line: &str) -> Series {
    let (name, rest) =
        line.split_once('{').unwrap_or_else(|| line.split_once(' ').expect("a series has a value"));
    let (labels, value) = match line.contains('{') {
        true => rest.rsplit_once("} ").expect("labels end with a bracket"),
        false => ("", rest),
    };
    let mut read = BTreeMap::new();
    let mut rest = labels;
    while let Some((label, after)) = rest.split_once("=\"") {
        let end = closing_quote(after);
        let value = after[..end].replace("\\\"", "\"").replace("\\\\", "\\");
        read.insert(label.trim_start_matches(',').to_owned(), value);
        rest = &after[end + 1..];
    }
    let value = value.parse().unwrap_or_else(|_| panic!("`{line}` ends with no number"));
    Series { name: name.to_owned(), labels: read, value }
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    let quote = text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    quote.expect("a label's value ends with a quote")
}

#[cfg(test)]
mod tests;
