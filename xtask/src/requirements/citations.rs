//! Ids that a file cites, and what each citation belongs to: a test, a place in a contract, or a file of code.
//!
//! ```text
//! #[test] with `/// ORCH-TASK-1` above it, a scenario tagged `@ORCH-TASK-1`   the test
//! `# ORCH-TASK-1` above an operation or a schema in contracts/openapi         that operation or schema
//! `// ORCH-TASK-1` above a type or a field in contracts/config-schema/src/raw that type or field
//! any other file that is not a document                                       the file, as code
//! ```

use super::rules;

/// One citation of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citation {
    pub id: String,
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    pub target: Target,
}

/// What a citation belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A test or a scenario.
    Test { name: String, ignored: bool },
    /// A contract, and what is described below the citation.
    Contract { anchor: Option<String> },
    /// The code of the file.
    Code,
    /// A document, or a remark in a file of tests: links nothing.
    Prose,
}

/// The citations of one file.
pub fn read(file: &str, text: &str) -> Vec<Citation> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| rules::may_cite(line)) {
        for id in rules::cited(line) {
            let target = target(file, &lines, number);
            found.push(Citation { id: id.to_owned(), file: file.to_owned(), line: number + 1, target });
        }
    }
    found
}

fn target(file: &str, lines: &[&str], number: usize) -> Target {
    let behind = &lines[number..];
    let is_contract = file.starts_with("contracts/") || file.starts_with("ci/");
    if file.ends_with(".md") {
        Target::Prose
    } else if file.ends_with(".feature") {
        scenario(behind).unwrap_or(Target::Prose)
    } else if file.ends_with(".rs") {
        if let Some(test) = test(&lines[beginning(lines, number)..]) {
            test
        } else if file.starts_with("contracts/config-schema/src/raw") && !behind[0].starts_with("//!") {
            Target::Contract { anchor: item(behind) }
        } else if is_of_tests(file) {
            Target::Prose
        } else {
            Target::Code
        }
    } else if is_contract {
        Target::Contract { anchor: key(behind) }
    } else {
        Target::Code
    }
}

fn is_of_tests(file: &str) -> bool {
    ["/tests/", "/tests.rs", "/benches/"].iter().any(|part| file.contains(part))
        || file.starts_with("test-harness/")
}

/// The first of the comments and attributes that stand together around a line.
fn beginning(lines: &[&str], number: usize) -> usize {
    let is_head = |line: &str| line.starts_with("#[") || line.starts_with("//") && !line.starts_with("//!");
    (0..number).rev().take_while(|above| is_head(lines[*above])).last().unwrap_or(number)
}

/// The test that begins with the comment or attribute of the first line. Reads lines and not syntax, so that
/// tests inside of a macro such as `proptest!` are seen as well.
fn test(lines: &[&str]) -> Option<Target> {
    let (mut is_test, mut ignored, mut inside_attribute) = (false, false, false);
    for line in lines {
        if inside_attribute {
            inside_attribute = !line.ends_with(']');
        } else if let Some(attribute) = line.strip_prefix("#[") {
            let path = attribute.split(['(', ']', ' ', '=']).next().unwrap_or_default();
            match path.rsplit("::").next() {
                Some("test") => is_test = true,
                Some("ignore") => ignored = true,
                _ => {}
            }
            inside_attribute = !line.ends_with(']');
        } else if !line.starts_with("//") || line.starts_with("//!") {
            let name = function(line).filter(|_| is_test)?;
            return Some(Target::Test { name: name.to_owned(), ignored });
        }
    }
    None
}

/// The name of the function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_head = before.split_whitespace().all(|word| matches!(word, "pub" | "async" | "const"));
    is_head.then(|| after.split(['(', '<']).next().unwrap_or_default().trim())
}

/// The scenario whose tags begin on the first line; one with a tag that says so does not run.
fn scenario(lines: &[&str]) -> Option<Target> {
    let tags: Vec<&str> = lines.iter().copied().take_while(|line| line.starts_with('@')).collect();
    let head = lines.get(tags.len())?;
    let title = head.strip_prefix("Scenario:").or_else(|| head.strip_prefix("Scenario Outline:"))?;
    let mut words = tags.iter().flat_map(|line| line.split_whitespace());
    let ignored = words.any(|tag| matches!(tag, "@skip" | "@ignore" | "@allow.skipped"));
    Some(Target::Test { name: title.trim().to_owned(), ignored })
}

/// The operation or the key of YAML below a comment.
fn key(lines: &[&str]) -> Option<String> {
    let line = lines.iter().find(|line| !line.starts_with('#')).filter(|_| lines[0].starts_with('#'))?;
    let (key, value) = line.split_once(':')?;
    Some(if key == "operationId" { value.trim() } else { key }.to_owned())
}

/// The type or the field of Rust below a comment.
fn item(lines: &[&str]) -> Option<String> {
    let line = lines.iter().find(|line| !line.starts_with("//") && !line.starts_with('#'))?;
    let named = line.strip_prefix("pub ")?;
    let named = named.strip_prefix("struct ").or_else(|| named.strip_prefix("enum ")).unwrap_or(named);
    Some(named.split([':', ' ', '(', '<']).next()?.to_owned())
}
