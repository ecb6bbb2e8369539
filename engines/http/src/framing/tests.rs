use proptest::prelude::*;

use super::{Framing, More};
use crate::fault::Fault;

/// The body that comes of `parts`, and whether it has ended.
fn read(mut framing: Framing, parts: &[&[u8]]) -> Result<(Vec<u8>, More, bool), Fault> {
    let mut body = Vec::new();
    let mut more = More::Expected;
    for part in parts {
        more = framing.push(part, &mut |bytes| {
            body.extend_from_slice(bytes);
            Ok(())
        })?;
    }
    Ok((body, more, framing.may_end()))
}

#[test]
fn a_length_ends_a_body_and_what_follows_is_left_out() {
    let ended = read(Framing::Length(5), &[b"abc", b"defgh"]).expect("reads");
    assert_eq!(ended, (b"abcde".to_vec(), More::Surplus, true));
    let cut = read(Framing::Length(5), &[b"abc"]).expect("reads");
    assert_eq!(cut, (b"abc".to_vec(), More::Expected, false));
}

#[test]
fn a_body_without_a_length_ends_with_its_connection() {
    assert_eq!(
        read(Framing::UntilClose, &[b"a", b"b"]).expect("reads"),
        (b"ab".to_vec(), More::Expected, true)
    );
}

#[test]
fn chunks_with_extensions_and_trailers_are_read() {
    let bytes = b"4;name=v\r\nWiki\r\n5 \r\npedia\r\n0\r\nDigest: x\r\n\r\nnext";
    assert_eq!(
        read(Framing::chunked(), &[bytes]).expect("reads"),
        (b"Wikipedia".to_vec(), More::Surplus, true)
    );
}

#[test]
fn a_chunked_body_may_not_end_before_its_last_chunk() {
    for bytes in [&b"4\r\nWi"[..], b"4\r\nWiki", b"4\r\nWiki\r\n", b"4\r\nWiki\r\n0\r\n"] {
        let (_, more, may_end) = read(Framing::chunked(), &[bytes]).expect("reads");
        assert_eq!((more, may_end), (More::Expected, false));
    }
}

#[test]
fn what_is_no_chunk_is_a_fault() {
    for bytes in
        [&b"x\r\n"[..], b"\r\n", b"-1\r\n", b"2\r\nabc", b"1\rX", b"1\r\na\rX", b"1000000000000000\r\n"]
    {
        assert!(read(Framing::chunked(), &[bytes]).is_err(), "{:?}", String::from_utf8_lossy(bytes));
    }
    let endless = [b"1;".to_vec(), vec![b'x'; 70_000]].concat();
    assert!(read(Framing::chunked(), &[&endless]).is_err());
}

proptest! {
    /// ORCH-ENG-5
    #[test]
    fn any_chunks_under_any_splits_give_the_body(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut bytes = Vec::new();
        for chunk in &chunks {
            bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let parts: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let (body, more, _) = read(Framing::chunked(), &parts).expect("reads");
        prop_assert_eq!(body, chunks.concat());
        prop_assert_eq!(more, More::Nothing);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(Framing::chunked(), &[&bytes]);
    }
}
