//! A terminal that a test sits at.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long the program may show nothing.
const SILENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// A terminal of 80 columns and 24 lines.
pub struct Terminal {
    seen: std::fs::File,
    name: String,
    /// What was read and not looked at yet.
    shown: Vec<u8>,
}

impl Terminal {
    pub fn new() -> Self {
        let seen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
        grantpt(&seen).expect("it is ours");
        unlockpt(&seen).expect("it is ours");
        tcsetwinsize(&seen, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 })
            .expect("it has a size");
        let name =
            ptsname(&seen, Vec::new()).expect("it has a name").into_string().expect("of plain letters");
        Self { seen: seen.into(), name, shown: Vec::new() }
    }

    /// Starts the program on it.
    pub fn start(&self, mut command: Command) -> Child {
        let given = || {
            let file =
                std::fs::OpenOptions::new().read(true).write(true).open(&self.name).expect("it is there");
            Stdio::from(OwnedFd::from(file))
        };
        command.env("TERM", "xterm").stdin(given()).stdout(given()).spawn().expect("the program starts")
    }

    /// Reads on until this was shown in one piece.
    pub fn until(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        loop {
            let found = self.shown.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(place) = found {
                self.shown = self.shown.split_off(place + text.len());
                return;
            }
            let mut ready = [PollFd::new(&self.seen, PollFlags::IN)];
            let events = poll(&mut ready, Some(&SILENCE)).expect("it can be waited for");
            assert_eq!(events, 1, "no `{text}`: {}", String::from_utf8_lossy(&self.shown));
            let length = self.seen.read(&mut bytes).expect("it can be read");
            self.shown.extend_from_slice(&bytes[..length]);
        }
    }

    /// What a person types.
    pub fn typed(&mut self, keys: &[u8]) {
        self.seen.write_all(keys).expect("it takes keys");
    }
}
