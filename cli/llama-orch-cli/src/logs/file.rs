//! The end of a log file, and what is added to it.
//!
//! Rules: ORCH-CLI-13

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::LogsArgs;
use crate::context::Stop;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// How often it is looked at whether something was added.
const POLL: Duration = Duration::from_millis(200);

/// Shows the last lines, and with `--follow` those that come.
///
/// # Errors
/// It cannot be read, or nobody reads.
pub fn show(ui: &mut Ui, path: &Path, args: &LogsArgs) -> Result<Exit, Stop> {
    let failed = |error: io::Error| {
        let failure = Failure::new(Exit::Failed, format!("`{}` cannot be read: {error}", path.display()));
        if error.kind() == io::ErrorKind::NotFound {
            failure.hint("the daemon makes it when it starts: `llama-orch health` says whether it runs")
        } else {
            failure
        }
    };
    let mut tail = Tail::open(path).map_err(failed)?;
    let mut last = VecDeque::new();
    while let Some(line) = tail.line().map_err(failed)? {
        last.push_back(line);
        if last.len() > args.lines as usize {
            last.pop_front();
        }
    }
    for line in last {
        print(ui, &line, args.json)?;
    }
    if !args.follow {
        return Ok(Exit::Done);
    }
    loop {
        while let Some(line) = tail.line().map_err(failed)? {
            print(ui, &line, args.json)?;
        }
        std::thread::sleep(POLL);
        tail.look_again(path).map_err(failed)?;
    }
}

/// A line as it is asked for.
pub fn print(ui: &mut Ui, line: &str, json: bool) -> Result<(), Stop> {
    if !json {
        return Ok(ui.print(line)?);
    }
    // With `log.format: json` it is JSON already.
    let is_object = serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object());
    if is_object { Ok(ui.print(line)?) } else { Ok(ui.print(&json!({ "line": line }).to_string())?) }
}

/// A file that grows.
struct Tail {
    from: BufReader<File>,
    /// The beginning of a line whose end is not there yet.
    begun: String,
}

impl Tail {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { from: BufReader::new(File::open(path)?), begun: String::new() })
    }

    /// The next line that is whole.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        self.from.read_until(b'\n', &mut bytes)?;
        self.begun.push_str(&String::from_utf8_lossy(&bytes));
        if self.begun.ends_with('\n') {
            let line = std::mem::take(&mut self.begun);
            return Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()));
        }
        Ok(None)
    }

    /// Begins anew where the file was cut or another took its name, as log rotation does.
    fn look_again(&mut self, path: &Path) -> io::Result<()> {
        let read = self.from.stream_position()?;
        let (open, named) = (self.from.get_ref().metadata()?, std::fs::metadata(path));
        match named {
            Ok(named) if is_same(&open, &named) && named.len() >= read => Ok(()),
            Ok(named) if is_same(&open, &named) => {
                self.begun.clear();
                self.from.seek(SeekFrom::Start(0)).map(|_| ())
            }
            Ok(_) => {
                *self = Self::open(path)?;
                Ok(())
            }
            // Between two names of a rotation there is none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}
