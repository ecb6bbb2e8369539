//! Which image addresses a request may name: one check for every plane. An engine fetches an address by
//! itself, from where it runs, so that a URL reaches whatever the engine's machine reaches: its files, its
//! other ports, the router, the metadata service of a cloud. Who sends a request is not always who wrote the
//! address: agents pass on what they read.
//!
//! Only names and numbers are looked at. What a public name resolves to, and where a server redirects to, the
//! engine learns after the daemon has decided; an engine that must be kept from the local network needs a
//! firewall, or images as `data:` URLs.
//!
//! Rules: ORCH-IMG-1

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::answer::shown;
use crate::backpressure::Refusal;

/// The longest address. One as `data:` URL is bounded by the body.
const MAX_URL_BYTES: usize = 8 * 1024;

/// Names that mean a machine of the local network, whatever resolves them. RFC 6761, 6762, 8375 and common use.
const LOCAL_SUFFIXES: [&str; 10] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "home.arpa",
    "corp",
    "private",
];

/// Decides which addresses pass.
#[derive(Clone, Debug, Default)]
pub struct ImageUrls {
    /// Hosts that may be named although they are not public, over `http` too. In lower case.
    hosts: Vec<String>,
}

impl ImageUrls {
    /// The rules with further hosts (`image_hosts` of the configuration).
    #[must_use]
    pub fn new(hosts: &[String]) -> Self {
        Self { hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// The address when an engine may be given it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub fn checked(&self, field: &str, url: String) -> Result<String, Refusal> {
        match self.fault(&url) {
            None => Ok(url),
            Some(fault) => {
                let url = shown(url.as_bytes());
                Err(Refusal::Invalid(format!("`{field}` is `{url}`{fault}")))
            }
        }
    }

    fn fault(&self, url: &str) -> Option<String> {
        if let Some(data) = url.strip_prefix("data:") {
            return (!is_image(data)).then(|| {
                ": use `data:image/TYPE;base64,DATA`, with a type of pixels such as `png` or `jpeg`"
                    .to_owned()
            });
        }
        let Some((scheme @ ("https" | "http"), rest)) = url.split_once("://") else {
            return Some(": use a `data:image/` or an `https://` URL".to_owned());
        };
        if url.len() > MAX_URL_BYTES {
            return Some(format!(", which has {} bytes; a URL has at most {MAX_URL_BYTES}", url.len()));
        }
        // Programs do not agree on what a backslash, a space or a user name does to the host.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_odd = |byte: u8| byte <= b' ' || byte == b'\\' || byte >= 0x7f;
        let host = host_of(authority);
        let (Some(host), false) = (host, url.bytes().any(is_odd)) else {
            return Some(": write it as `https://HOST/PATH`, in ASCII and without a user name".to_owned());
        };
        if self.hosts.contains(&host) {
            return None;
        }
        let shown = shown(host.as_bytes());
        if !is_public(&host) {
            return Some(format!(
                ", and `{shown}` is not a public host: send the image as a `data:image/` URL, or add the host to \
                 `image_hosts` in the configuration"
            ));
        }
        (scheme == "http")
            .then(|| format!(": use `https://`, or add `{shown}` to `image_hosts` in the configuration"))
    }
}

/// Whether what follows `data:` is an image of pixels. SVG is a document, which may name addresses itself.
fn is_image(data: &str) -> bool {
    let Some((head, payload)) = data.split_once(',') else { return false };
    let Some(media_type) = head.strip_suffix(";base64") else { return false };
    let kind = media_type.split(';').next().and_then(|media_type| media_type.strip_prefix("image/"));
    let is_token = |kind: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
        !kind.is_empty() && kind.bytes().all(fits) && !kind.to_ascii_lowercase().starts_with("svg")
    };
    kind.is_some_and(is_token) && !payload.is_empty()
}

/// The host of an authority, in lower case and without the dot at its end. Nothing for one that is odd.
fn host_of(authority: &str) -> Option<String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (address, after)
        }
        None => authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon)),
    };
    let is_port =
        port.strip_prefix(':').map_or(port.is_empty(), |port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (is_port && !host.is_empty() && host.bytes().all(fits)).then_some(host)
}

/// Whether a host is one that the whole internet sees under this name.
fn is_public(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return match address {
            IpAddr::V4(address) => is_public_v4(address),
            IpAddr::V6(address) => is_public_v6(address),
        };
    }
    // `2130706433`, `0x7f.1` and `0177.0.0.1` are addresses too, for programs that read them so.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    let is_local = |suffix: &str| {
        host.strip_suffix(suffix).is_some_and(|front| front.is_empty() || front.ends_with('.'))
    };
    host.contains('.')
        && !is_number
        && host.split('.').all(|label| !label.is_empty())
        && !LOCAL_SUFFIXES.iter().any(|suffix| is_local(suffix))
}

/// IANA's registry of special addresses, without what is of no use to anybody.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

/// Global unicast, but for what stands for another address: 6to4, Teredo and documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_global = (0x2000..0x4000).contains(&a);
    let is_special = matches!((a, b), (0x2001, 0..=0x01ff | 0x0db8) | (0x2002 | 0x3fff.., _));
    is_global && !is_special
}

#[cfg(test)]
mod tests;
