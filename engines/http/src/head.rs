//! The head of an HTTP/1.1 answer: what of it says how the body is read and whether the connection persists.
//!
//! Rules: ORCH-ENG-20

use crate::framing::Framing;

/// Bytes of an answer's head.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Headers of an answer.
const MAX_HEADERS: usize = 100;

/// What a head says.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    pub(crate) content_type: String,
    /// Whether the server takes another request over the connection (RFC 9112, section 9.3).
    pub(crate) persists: bool,
}

/// The head at the start of `bytes` and its length, once it is whole. An error says what is wrong with it.
pub(crate) fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let used = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let status = answer.code.unwrap_or_default();
    let (mut framing, mut content_type) = (Framing::UntilClose, String::new());
    let (mut is_chunked, mut persists) = (false, answer.version == Some(1));
    for header in answer.headers.iter() {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("its `transfer-encoding` is not `chunked`".to_owned());
            }
            is_chunked = true;
        } else if header.name.eq_ignore_ascii_case("content-length") && !is_chunked {
            let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            framing = Framing::Length(length.ok_or("its `content-length` is not a number")?);
        } else if header.name.eq_ignore_ascii_case("content-type") {
            content_type = String::from_utf8_lossy(value).to_ascii_lowercase();
        } else if header.name.eq_ignore_ascii_case("content-encoding") && value != b"identity" {
            return Err("its body is compressed, which was not asked for".to_owned());
        } else if header.name.eq_ignore_ascii_case("connection") {
            let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            persists &= !options.any(|option| option.eq_ignore_ascii_case(b"close"));
        }
    }
    if is_chunked {
        framing = Framing::chunked();
    }
    if matches!(status, 204 | 304) {
        framing = Framing::Length(0);
    }
    persists &= !matches!(framing, Framing::UntilClose);
    Ok(Some((Head { status, framing, content_type, persists }, used)))
}
