//! Links in Markdown: a relative one leads to a tracked file or folder, an anchor to a heading. Nothing
//! is fetched: addresses elsewhere are left alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::Context;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Checks the links of every Markdown file among `files`. A line for each that leads nowhere.
///
/// # Errors
/// When a file cannot be read.
pub fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    for file in files.iter().filter(|file| is_markdown(file)) {
        let text =
            std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read `{file}`"))?;
        pages.insert(file.as_str(), Page::read(&text));
    }
    let mut known: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    for file in files {
        known.extend(file.match_indices('/').map(|(end, _)| &file[..end]));
    }
    let mut found = Vec::new();
    for (file, page) in &pages {
        for (line, link) in &page.links {
            if let Err(problem) = follow(file, link, &pages, &known) {
                found.push(format!("{file}:{line}: [{link}] {problem}"));
            }
        }
    }
    Ok(found)
}

fn is_markdown(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("md"))
}

/// What a page offers to links and asks of them.
struct Page {
    anchors: BTreeSet<String>,
    links: Vec<(usize, String)>,
}

impl Page {
    fn read(text: &str) -> Self {
        let mut slugs = Slugs::default();
        let mut page = Self { anchors: BTreeSet::new(), links: Vec::new() };
        let mut heading: Option<String> = None;
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
        for (event, place) in Parser::new_ext(text, options).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.anchors.extend(heading.take().map(|title| slugs.slug(&title)));
                }
                Event::Text(words) | Event::Code(words) => {
                    if let Some(title) = &mut heading {
                        title.push_str(&words);
                    }
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    let line = text[..place.start].matches('\n').count() + 1;
                    page.links.push((line, dest_url.into_string()));
                }
                Event::Html(html) | Event::InlineHtml(html) => page.anchors.extend(html_anchors(&html)),
                _ => {}
            }
        }
        page
    }
}

fn html_anchors(html: &str) -> Vec<String> {
    ["id=\"", "name=\""]
        .iter()
        .flat_map(|attribute| html.split(attribute).skip(1))
        .filter_map(|rest| rest.split_once('"'))
        .map(|(anchor, _)| anchor.to_owned())
        .collect()
}

/// Anchors of headings, as GitHub makes them: lower case, spaces as `-`, punctuation gone, `-1`, `-2`
/// behind one that is there already.
#[derive(Default)]
struct Slugs(HashMap<String, u32>);

impl Slugs {
    fn slug(&mut self, title: &str) -> String {
        let plain: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            })
            .collect();
        let seen = self.0.entry(plain.clone()).or_default();
        let slug = if *seen == 0 { plain } else { format!("{plain}-{seen}") };
        *seen += 1;
        slug
    }
}

fn follow(
    from: &str,
    link: &str,
    pages: &BTreeMap<&str, Page>,
    known: &BTreeSet<&str>,
) -> Result<(), String> {
    if leads_elsewhere(link) {
        return Ok(());
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { from.to_owned() } else { resolve(from, &decode(path))? };
    if !target.is_empty() && !known.contains(target.as_str()) {
        return Err(format!("there is no tracked file `{target}`"));
    }
    match (anchor, pages.get(target.as_str())) {
        (None | Some(""), _) => Ok(()),
        (Some(anchor), Some(page)) if page.anchors.contains(&decode(anchor)) => Ok(()),
        (Some(anchor), Some(_)) => Err(format!("`{target}` has no heading for `#{anchor}`")),
        (Some(anchor), None) if is_line_anchor(anchor) => Ok(()),
        (Some(anchor), None) => Err(format!("`{target}` is no Markdown page, so it has no `#{anchor}`")),
    }
}

fn leads_elsewhere(link: &str) -> bool {
    link.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    }) || link.starts_with("//")
}

fn is_line_anchor(anchor: &str) -> bool {
    anchor
        .split('-')
        .all(|part| part.strip_prefix('L').is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit())))
}

/// The path below the root that `path`, written in `from`, stands for.
fn resolve(from: &str, path: &str) -> Result<String, String> {
    let (path, mut parts) = match path.strip_prefix('/') {
        Some(absolute) => (absolute, Vec::new()),
        None => (path, from.rsplit_once('/').map_or(Vec::new(), |(folder, _)| folder.split('/').collect())),
    };
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or("it leads out of the repository")?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// `%20` and its like, as the bytes they stand for.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
