//! The daemon that is measured.

use anyhow::Context as _;
use harness::{Daemon, Setup, TOKEN};
use openapi_client::Client;

use crate::args::Args;

/// A daemon, and how to ask it.
pub struct Target {
    /// Asks it.
    pub client: Client,
    /// Whether it serves the starter model, whose tokens are known.
    pub is_starter: bool,
    /// The daemon of its own, ended with this.
    _own: Option<Daemon>,
}

impl Target {
    /// The one that is named, or one of its own.
    ///
    /// # Errors
    /// When its token cannot be sent.
    pub async fn open(args: &Args) -> anyhow::Result<Self> {
        if let Some(url) = &args.url {
            let token = args.token.as_deref().context("`--url` needs `--token` (LLAMA_ORCH_TOKEN)")?;
            let client = client(url, token)?;
            return Ok(Self { client, is_starter: false, _own: None });
        }
        let own = own(args, &[]).await;
        Ok(Self { client: client(&own.url, TOKEN)?, is_starter: true, _own: Some(own) })
    }
}

/// A daemon of its own with these options, and over them those of the command line.
pub async fn own(args: &Args, options: &[&str]) -> Daemon {
    let options = options.iter().map(|option| (*option).to_owned()).chain(args.set.iter().cloned());
    let daemon = Daemon::start(&Setup::starter(&options.collect::<Vec<_>>())).await;
    daemon.ready().await;
    daemon
}

fn client(url: &str, token: &str) -> anyhow::Result<Client> {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().context("the token is no header")?);
    let http = openapi_client::http_client().default_headers(headers).no_proxy().build()?;
    Ok(Client::new_with_client(url, http))
}

/// Every stream is a connection: as many files as the system lets us have. A daemon of its own inherits it.
///
/// # Errors
/// When the system does not let us.
pub fn raise_file_limit() -> anyhow::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")
}
