//! Headers made up, whole and broken.

use super::*;

/// A header with fields and tensors.
fn file(fields: &[(&str, u32, Vec<u8>)], tensors: &[&str]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut bytes = [b"GGUF".as_slice(), &3_u32.to_le_bytes()].concat();
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((fields.len() as u64).to_le_bytes());
    for (key, kind, value) in fields {
        bytes.extend([text(key), kind.to_le_bytes().to_vec(), value.clone()].concat());
    }
    for name in tensors {
        bytes.extend([text(name), 1_u32.to_le_bytes().to_vec(), vec![0; 8 + 4 + 8]].concat());
    }
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn header_of(bytes: &[u8]) -> io::Result<Header> {
    Reading { input: bytes }.header()
}

#[test]
fn a_header_says_architecture_context_and_quantisation_whatever_stands_between() {
    let words = [8_u32.to_le_bytes().to_vec(), 2_u64.to_le_bytes().to_vec(), text("a"), text("bc")].concat();
    let scores = [6_u32.to_le_bytes().to_vec(), 2_u64.to_le_bytes().to_vec(), vec![0; 8]].concat();
    let fields = [
        ("llama.context_length", 4, 8192_u32.to_le_bytes().to_vec()),
        ("tokenizer.ggml.tokens", 9, words),
        ("tokenizer.ggml.scores", 9, scores),
        ("general.architecture", 8, text("llama")),
        ("clip.context_length", 4, 77_u32.to_le_bytes().to_vec()),
        ("general.file_type", 4, 15_u32.to_le_bytes().to_vec()),
    ];
    let header = header_of(&file(&fields, &["blk.0.attn_k.weight"])).expect("a header");
    let expected = Header {
        architecture: "llama".into(),
        context: Some(8192),
        quant: Some("Q4_K_M"),
        ..Header::default()
    };
    assert_eq!(header, expected);
}

#[test]
fn an_encoder_counts_beside_a_language_model_alone() {
    let has = |tensors: &[&str]| header_of(&file(&[], tensors)).expect("a header").has_encoder;
    assert!(has(&["blk.0.attn_k.weight", "v.blk.0.attn_k.weight"]));
    assert!(!has(&["v.blk.0.attn_k.weight", "mm.0.weight"]), "a projector of its own");
    assert!(!has(&["blk.0.attn_k.weight"]));
}

#[test]
fn a_broken_header_is_an_error_and_takes_no_memory() {
    let whole = file(&[("general.architecture", 8, text("llama"))], &["blk.0.w"]);
    for end in 0..whole.len() {
        header_of(&whole[..end]).expect_err("cut");
    }
    header_of(&file(&[("a", 8, u64::MAX.to_le_bytes().to_vec())], &[])).expect_err("a text of no length");
    header_of(&file(&[("a", 99, Vec::new())], &[])).expect_err("no type");
    let deep =
        [9_u32, 9, 9, 9, 9, 9].map(|kind| [&kind.to_le_bytes()[..], &1_u64.to_le_bytes()].concat()).concat();
    header_of(&file(&[("a", 9, deep)], &[])).expect_err("too deep");
}
