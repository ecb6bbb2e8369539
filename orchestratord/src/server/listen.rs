//! Taking an address to listen on, and saying what is in the way of it.
//!
//! Rules: ORCH-SEC-8

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel holds while they wait to be accepted. With the usual 128, a burst of clients
/// waits for the kernel's retransmission: seconds.
const BACKLOG: u32 = 4096;

/// Bytes of a response that the kernel takes before the client has them. The system's own buffer grows to megabytes,
/// which a slow client takes minutes for: it could not be told from one that reads nothing.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has it.
    #[error(
        "`{0}` is in use, perhaps by another `orchestratord`\nsee who holds it with `ss -ltnp`, or take another \
         address: `--listen {other}` or `LLAMA_ORCH_LISTEN={other}`",
        other = next_port(*.0)
    )]
    InUse(SocketAddr),
    /// Another process has the address for the API of Ollama.
    #[error(
        "`{0}` is in use, perhaps by Ollama itself\nstop that (`systemctl stop ollama`), or set another `ollama.listen` and \
         `OLLAMA_HOST` of its clients"
    )]
    InUseByOllama(SocketAddr),
    /// The system does not let this user have it.
    #[error(
        "`{0}` may not be listened on by this user\nports below 1024 belong to the system: take another with \
         `--listen {other}`",
        other = SocketAddr::new(.0.ip(), DEFAULT_PORT)
    )]
    Forbidden(SocketAddr),
    /// No interface of this machine has it.
    #[error(
        "`{0}` is not an address of this machine\nuse `--listen 127.0.0.1:{DEFAULT_PORT}`, or one that `ip addr` shows"
    )]
    NotHere(SocketAddr),
    /// Anything else.
    #[error("cannot listen on `{0}`")]
    Other(SocketAddr, #[source] io::Error),
}

/// The daemon's own port.
const DEFAULT_PORT: u16 = 6173;

fn next_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(DEFAULT_PORT))
}

/// Listens on `address`; port 0 takes a free one.
///
/// # Errors
/// [`BindError`] with what is in the way.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    listen(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        io::ErrorKind::PermissionDenied => BindError::Forbidden(address),
        io::ErrorKind::AddrNotAvailable => BindError::NotHere(address),
        _ => BindError::Other(address, error),
    })
}

/// Listens on `address` for clients of Ollama.
///
/// # Errors
/// [`BindError`] with what is in the way.
pub fn bind_for_ollama(address: SocketAddr) -> Result<TcpListener, BindError> {
    bind(address).map_err(|error| match error {
        BindError::InUse(address) => BindError::InUseByOllama(address),
        other => other,
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A daemon that restarts takes its address back while old connections are still in TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Inherited by the connections.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
