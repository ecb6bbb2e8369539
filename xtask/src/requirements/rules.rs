//! Rules in Markdown: list items that begin with an id in bold.

/// What an id begins with.
const KINDS: [&str; 2] = ["ORCH", "HOME"];

/// A rule of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id, as `ORCH-` or `HOME-`, an area, and a number.
    pub id: String,
    /// What it says, on one line.
    pub text: String,
    file: String,
    line: usize,
}

impl Rule {
    /// Whether a test has to hold it.
    pub fn binds(&self) -> bool {
        self.text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "MUST")
    }

    /// Where it stands.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

/// The rules of one page.
pub fn read(file: &str, text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        if let Some((id, said)) = head(line) {
            rules.push(Rule {
                id: id.to_owned(),
                text: said.trim().to_owned(),
                file: file.to_owned(),
                line: number + 1,
            });
            open = true;
        } else if open && line.starts_with("  ") {
            if let Some(rule) = rules.last_mut() {
                rule.text = one_line(&format!("{} {line}", rule.text));
            }
        } else {
            open = false;
        }
    }
    rules
}

/// `- **ID** …`
fn head(line: &str) -> Option<(&str, &str)> {
    let (id, said) = line.strip_prefix("- **")?.split_once("**")?;
    is_id(id).then_some((id, said))
}

/// Text with every stretch of white space as one space.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_id(word: &str) -> bool {
    let mut parts = word.split('-');
    let (first, area, number) = (parts.next(), parts.next(), parts.next());
    first.is_some_and(|first| KINDS.contains(&first))
        && area.is_some_and(|area| !area.is_empty() && area.bytes().all(|b| b.is_ascii_uppercase()))
        && number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        && parts.next().is_none()
}

/// Whether a closer look at `line` is worth it.
pub fn may_cite(line: &str) -> bool {
    KINDS.iter().any(|kind| line.contains(kind))
}

/// The ids that `line` cites.
pub fn cited(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).filter(|word| is_id(word))
}
