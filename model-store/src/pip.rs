//! Asking pip where a wheel is. pip knows the index of this machine, its mirrors, proxies and
//! certificates; it is asked for the place only, and the file is fetched as any other. Only wheels are
//! asked for, so that nothing of a package is ever run.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::error::FetchError;
use crate::progress::Watch;
use crate::surroundings::Surroundings;

/// Names under which Python is sought.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// How long pip may take. It wants the package's metadata: some kilobytes where the index gives them apart,
/// the whole wheel, on whatever line there is, where it does not. A line that is dead pip gives up itself.
const LIMIT: Duration = Duration::from_secs(60 * MINUTES);
const MINUTES: u64 = 60;
const POLL: Duration = Duration::from_millis(100);

/// Where pip finds a requirement such as `name==1.2`. The inner error says in words why it does not.
pub(crate) fn locate(
    requirement: &str,
    scratch: &Path,
    surroundings: &Surroundings,
    watch: Watch<'_>,
) -> Result<Result<String, String>, FetchError> {
    let mut reason = "there is no Python on this machine".to_owned();
    let question = Question {
        requirement,
        report: &scratch.join(".pip-report.json"),
        complaints: &scratch.join(".pip-errors.txt"),
        surroundings,
    };
    for python in PYTHONS {
        let outcome = question.ask(python, watch);
        let answer = std::fs::read(question.report).ok();
        let complaint = std::fs::read_to_string(question.complaints).unwrap_or_default();
        let _ = std::fs::remove_file(question.report);
        let _ = std::fs::remove_file(question.complaints);
        match (outcome?, answer.and_then(|json| url_of(&json))) {
            (Outcome::NotThere, _) => {}
            (Outcome::Ended, Some(url)) => return Ok(Ok(url)),
            (Outcome::Ended, None) => reason = complaint_of(&complaint),
            (Outcome::TooLong, _) => reason = format!("pip did not answer within {MINUTES} minutes"),
        }
    }
    Ok(Err(reason))
}

enum Outcome {
    NotThere,
    Ended,
    TooLong,
}

struct Question<'a> {
    requirement: &'a str,
    report: &'a Path,
    complaints: &'a Path,
    surroundings: &'a Surroundings,
}

impl Question<'_> {
    fn ask(&self, python: &str, watch: Watch<'_>) -> Result<Outcome, FetchError> {
        let failed = |cause| FetchError::Write { path: self.complaints.to_owned(), cause };
        let complaints = File::create(self.complaints).map_err(failed)?;
        let mut command = Command::new(python);
        command
            .args(["-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"])
            // A source package would be asked for its metadata by running it.
            .args(["--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--report"])
            .arg(self.report)
            .arg(self.requirement)
            .env_clear()
            .envs(&self.surroundings.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(complaints);
        let Ok(mut child) = command.spawn() else { return Ok(Outcome::NotThere) };
        let mut left = LIMIT;
        while !left.is_zero() {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                return Ok(Outcome::Ended);
            }
            if let Err(canceled) = watch.check() {
                end(&mut child);
                return Err(canceled);
            }
            std::thread::sleep(POLL);
            left = left.saturating_sub(POLL);
        }
        end(&mut child);
        Ok(Outcome::TooLong)
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn url_of(report: &[u8]) -> Option<String> {
    let report: serde_json::Value = serde_json::from_slice(report).ok()?;
    report["install"][0]["download_info"]["url"].as_str().map(str::to_owned)
}

/// The last thing pip said, which names what went wrong.
fn complaint_of(text: &str) -> String {
    let last =
        text.lines().rev().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("[notice]"));
    match last {
        Some(line) => format!("pip says: {}", line.trim_start_matches("ERROR: ")),
        None => "pip did not say where the file is".to_owned(),
    }
}

#[cfg(test)]
mod tests;
