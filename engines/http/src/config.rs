//! What the owner of the machine says of one engine that speaks HTTP. Plain data: whoever reads the daemon's
//! configuration fills it in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::address::Address;

/// One engine that speaks HTTP: what the factory of every adapter is made from.
///
/// ```
/// use engine_http::{Address, Attach, HttpEngineConfig, Secret, Timeouts};
///
/// // One that runs already.
/// let address = Address::parse("http://127.0.0.1:8000/v1")?;
/// let attached = HttpEngineConfig { slots: Some(8), ..HttpEngineConfig::new(Attach::Url(address)) };
///
/// // One that is started with its replica.
/// let argv = ["llama-server", "--port", "{port}", "-m", "{model}", "-np", "{slots}"].map(str::to_owned);
/// let managed = HttpEngineConfig {
///     api_key: Some(Secret::new("sk-local")?),
///     timeouts: Timeouts { start: std::time::Duration::from_secs(300), ..Timeouts::default() },
///     ..HttpEngineConfig::new(Attach::Command { argv: argv.to_vec(), env: Vec::new(), address: None })
/// };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HttpEngineConfig {
    /// Where it is, or how it is started.
    pub attach: Attach,
    /// Sequences it decodes at a time. Where absent: what the server says of itself, or else what the
    /// replica's spec asks for.
    pub slots: Option<u16>,
    /// Sent as `Authorization: Bearer`.
    pub api_key: Option<Secret>,
    /// The model's name at the server, where it serves several. Where absent: the only one it has.
    pub model: Option<String>,
    /// A PEM file of certificate authorities that are trusted beside the system's, where the engine is asked over TLS.
    pub ca_file: Option<PathBuf>,
    /// What is run to end an engine that is started here and that its own process does not answer for, as `docker stop
    /// NAME`; nothing where that is not needed. The same things are replaced as in the command that starts it.
    pub stop_command: Vec<String>,
    /// Arguments of the chat template for requests that do not have them, as the text of a JSON object. An engine whose API
    /// has no field for them is not started.
    pub template_kwargs: Option<String>,
    /// Which cards an engine that is started here sees.
    pub visible: Visible,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// Which cards an engine that is started here sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visible {
    /// What the daemon sees: its own environment holds.
    #[default]
    All,
    /// The device of its replica alone, unless its own configuration says otherwise.
    OfReplica,
}

impl HttpEngineConfig {
    /// An engine with everything else left to the server's own word and the defaults.
    #[must_use]
    pub fn new(attach: Attach) -> Self {
        Self {
            attach,
            slots: None,
            api_key: None,
            model: None,
            ca_file: None,
            stop_command: Vec::new(),
            template_kwargs: None,
            visible: Visible::All,
            timeouts: Timeouts::default(),
        }
    }
}

/// Where an engine is, or how it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Somebody else starts and ends it.
    Url(Address),
    /// It is started here, in a process group of its own, and ended with its replica or with the daemon.
    Command {
        /// The program and its arguments. `{port}`, `{model}`, `{slots}` and `{ctx}` in an argument are
        /// replaced: a free port of this machine, the replica's model as its spec has it, its slots, its
        /// tokens of context a slot (`0` where the spec leaves them to the model).
        argv: Vec<String>,
        /// Variables beside those of the daemon. `{port}` is replaced in their values, too.
        env: Vec<(String, String)>,
        /// Where it listens, and what `{port}` stands for. Where absent: at `127.0.0.1` and a free port.
        address: Option<Address>,
    },
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection is there.
    pub connect: Duration,
    /// From a request to the head of its answer. Servers send it with the first token: reading a long
    /// prompt is in it.
    pub head: Duration,
    /// Between two reads of an answer that has begun.
    pub silence: Duration,
    /// From the start to an engine that can take a job, loading the model in it.
    pub start: Duration,
    /// Between two probes of the engine's health.
    pub probe_every: Duration,
    /// Until a probe is answered.
    pub probe: Duration,
    /// Probes that fail in a row until the engine counts as gone.
    pub probe_failures: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            head: Duration::from_secs(600),
            silence: Duration::from_secs(120),
            start: Duration::from_secs(900),
            probe_every: Duration::from_secs(5),
            probe: Duration::from_secs(10),
            probe_failures: 3,
        }
    }
}

/// A key that is sent and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why a key was refused. The key is not in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`api_key` has characters that a header cannot carry: use visible ASCII characters, at least one")]
pub struct InvalidSecret;

impl Secret {
    /// Checks the key.
    ///
    /// # Errors
    /// [`InvalidSecret`] when it cannot be sent in a header.
    pub fn new(key: impl Into<String>) -> Result<Self, InvalidSecret> {
        let key = key.into();
        let fits = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(key)) } else { Err(InvalidSecret) }
    }

    /// The key itself, for the one header it goes into.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
