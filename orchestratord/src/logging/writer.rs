//! The thread that writes the log. Whoever logs appends a line to a bounded buffer and goes on; the thread takes
//! the whole buffer and writes it. Lines that find the buffer full, or that cannot be written, are counted, and the
//! count is reported as soon as a write succeeds.
//!
//! A log file that was renamed or removed (logrotate) is opened anew before the next write.
//!
//! Rules: ORCH-INST-8

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::log_ring::LogRing;

/// Bytes of lines that wait to be written at most.
pub(super) const PENDING_BYTES: usize = 1024 * 1024;

/// How long the end of the process waits for a log that cannot be written.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Something that the log should say of itself.
#[derive(Debug)]
pub(super) enum Notice<'a> {
    /// So many lines were not written.
    Lost(u64),
    /// The file was opened anew.
    Reopened(&'a Path),
    /// The file cannot be opened anew; the old one is still written to.
    NotReopened(&'a Path, &'a io::Error),
    /// The log is no file.
    NothingToReopen,
}

type Report = Box<dyn Fn(Notice<'_>) + Send>;

/// Opens the log file.
type Open = fn(&Path) -> io::Result<File>;

/// Where lines go.
pub(super) enum Sink {
    /// A stream that is open as long as the process.
    Stream(Box<dyn Write + Send>),
    /// A file, which is followed when it is renamed.
    File(LogFile),
}

/// An open log file.
pub(super) struct LogFile {
    path: PathBuf,
    open: Open,
    file: File,
    /// Device and inode, by which the file at `path` is known again.
    id: (u64, u64),
    /// Whether the last attempt to reopen failed, so that it is reported once.
    is_stale: bool,
}

/// The buffer and its thread. A clone is another handle of the same.
#[derive(Clone)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Where the last lines are kept as well.
    kept: Option<Arc<LogRing>>,
}

struct Shared {
    state: Mutex<State>,
    /// There is something for the thread to do.
    wake: Condvar,
    /// The thread has written all it took.
    written: Condvar,
}

#[derive(Default)]
struct State {
    pending: Vec<u8>,
    lost: u64,
    thread: Thread,
    is_closed: bool,
    reopen: bool,
}

/// What the thread does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Thread {
    /// It waits, or is about to look for lines.
    #[default]
    Idle,
    /// It writes the lines it has taken, and looks for more before it waits.
    Writing,
}

impl Sink {
    /// A stream.
    pub(super) fn stream(stream: impl Write + Send + 'static) -> Self {
        Self::Stream(Box::new(stream))
    }

    /// A file, which `open` opens now and whenever it has been renamed.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn file(path: &Path, open: Open) -> io::Result<Self> {
        let file = open(path)?;
        let id = id_of(&file.metadata()?);
        Ok(Self::File(LogFile { path: path.to_owned(), open, file, id, is_stale: false }))
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write_all(lines).and_then(|()| stream.flush()),
            Self::File(file) => file.file.write_all(lines),
        }
    }

    fn reopen(&mut self, report: &Report) {
        match self {
            Self::Stream(_) => report(Notice::NothingToReopen),
            Self::File(file) => {
                file.is_stale = false;
                file.reopen(report);
            }
        }
    }

    /// Reopens a file that is no longer the one at its path.
    fn follow(&mut self, report: &Report) {
        if let Self::File(file) = self
            && std::fs::metadata(&file.path).map(|metadata| id_of(&metadata)).ok() != Some(file.id)
        {
            file.reopen(report);
        }
    }
}

impl LogFile {
    fn reopen(&mut self, report: &Report) {
        match (self.open)(&self.path).and_then(|file| Ok((id_of(&file.metadata()?), file))) {
            Ok((id, file)) => {
                (self.id, self.file, self.is_stale) = (id, file, false);
                report(Notice::Reopened(&self.path));
            }
            Err(error) if !self.is_stale => {
                self.is_stale = true;
                report(Notice::NotReopened(&self.path, &error));
            }
            Err(_) => {}
        }
    }
}

fn id_of(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(sink: Sink, report: Report) -> io::Result<Self> {
        let (state, wake, written) = (Mutex::default(), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { state, wake, written });
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || thread.run(sink, &report))?;
        Ok(Self { shared, kept: None })
    }

    /// The same, which keeps the last lines in `ring`.
    pub(super) fn keeping(self, ring: Arc<LogRing>) -> Self {
        Self { kept: Some(ring), ..self }
    }

    /// Opens the file anew, if the log is one.
    pub(super) fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.wake.notify_one();
    }

    /// Writes what is pending and ends the thread. Waits up to [`CLOSE_LIMIT`].
    pub(super) fn close(&self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        self.shared.wake.notify_one();
        let is_busy = |state: &mut State| state.thread == Thread::Writing || !state.pending.is_empty();
        drop(self.shared.written.wait_timeout_while(state, CLOSE_LIMIT, is_busy));
    }

    fn push(&self, line: &[u8]) {
        if let Some(kept) = &self.kept {
            kept.push(line);
        }
        let mut state = self.shared.lock();
        if state.is_closed || state.pending.len() + line.len() > PENDING_BYTES {
            state.lost += 1;
            return;
        }
        state.pending.extend_from_slice(line);
        if state.thread == Thread::Idle {
            self.shared.wake.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two states that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut sink: Sink, report: &Report) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            state.thread = Thread::Idle;
            if state.pending.is_empty() {
                self.written.notify_all();
            }
            let is_idle = |state: &mut State| state.pending.is_empty() && !state.reopen && !state.is_closed;
            state = self.wake.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner);
            batch.clear();
            std::mem::swap(&mut batch, &mut state.pending);
            let reopen = std::mem::take(&mut state.reopen);
            if batch.is_empty() && !reopen {
                return;
            }
            state.thread = Thread::Writing;
            drop(state);
            if reopen {
                sink.reopen(report);
            } else {
                sink.follow(report);
            }
            self.write(&mut sink, &batch, report);
        }
    }

    fn write(&self, sink: &mut Sink, batch: &[u8], report: &Report) {
        if batch.is_empty() {
            return;
        }
        if sink.write(batch).is_err() {
            // Not reported before a write succeeds: the report would be the next line to fail.
            self.lock().lost += batch.iter().filter(|byte| **byte == b'\n').count() as u64;
            return;
        }
        let lost = std::mem::take(&mut self.lock().lost);
        if lost > 0 {
            report(Notice::Lost(lost));
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer(..)")
    }
}

impl Write for &Writer {
    /// Takes a whole line: the formatter writes each event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Writer {
    type Writer = &'w Self;

    fn make_writer(&'w self) -> Self::Writer {
        self
    }
}
