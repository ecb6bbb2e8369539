//! nginx as a relay of one engine, as its users set it up for streams: no buffering, one worker, connections to the
//! engine kept alive.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use harness::processes;
use tempfile::TempDir;

/// How long it may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A running nginx, killed when dropped.
pub struct Nginx {
    /// Where it listens.
    pub address: SocketAddr,
    master: Child,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it; nothing where it is not installed.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn start(engine: SocketAddr) -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = format!(
            "worker_processes 1;\npid nginx.pid;\nerror_log stderr error;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n access_log off;\n client_body_temp_path body;\n proxy_temp_path proxy;\n\
             fastcgi_temp_path fastcgi;\n uwsgi_temp_path uwsgi;\n scgi_temp_path scgi;\n\
             upstream engine {{ server {engine}; keepalive 64; }}\n\
             server {{\n  listen {address};\n  location / {{\n   proxy_pass http://engine;\n\
             proxy_http_version 1.1;\n   proxy_set_header Connection '';\n   proxy_buffering off;\n  }}\n }}\n}}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), config)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-g", "daemon off;"]);
        let master = match command.stdin(Stdio::null()).spawn() {
            Ok(master) => master,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("cannot start nginx"),
        };
        let nginx = Self { address, master, _folder: folder };
        let begin = std::time::Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            anyhow::ensure!(begin.elapsed() < START_LIMIT, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(nginx))
    }

    /// Processor time of its worker.
    ///
    /// # Errors
    /// When it has none.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let workers = processes::children_of(self.master.id());
        let times: Option<Vec<Duration>> = workers.into_iter().map(processes::cpu_time).collect();
        Ok(times.filter(|times| !times.is_empty()).context("nginx has no worker")?.into_iter().sum())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers.
        let _ = processes::try_signal(self.master.id(), "TERM");
        let _ = self.master.wait();
    }
}
