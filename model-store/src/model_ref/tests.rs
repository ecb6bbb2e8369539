//! What is a reference, what is none, and what is said of it.

use super::*;

fn refused(text: &str) -> &'static str {
    ModelRef::parse(text).expect_err(text).reason
}

/// ORCH-MODEL-1
#[test]
fn every_form_is_read_and_written_back() {
    let hf = HfFile { owner: "o".into(), repo: "r-GGUF".into(), path: "sub/m-00001-of-00002.gguf".into() };
    for (text, model, back) in [
        ("starter", ModelRef::Starter, "starter"),
        ("file:/m/a.bin", ModelRef::File("/m/a.bin".into()), "file:/m/a.bin"),
        ("file:///m/a.gguf", ModelRef::File("/m/a.gguf".into()), "file:/m/a.gguf"),
        ("file:a", ModelRef::File("a".into()), "file:a"),
        ("m/a.GGUF", ModelRef::File("m/a.GGUF".into()), "file:m/a.GGUF"),
        ("~/a", ModelRef::File("~/a".into()), "file:~/a"),
        ("../a", ModelRef::File("../a".into()), "file:../a"),
        (
            "hf:o/r-GGUF/sub/m-00001-of-00002.gguf",
            ModelRef::HuggingFace(hf),
            "hf:o/r-GGUF/sub/m-00001-of-00002.gguf",
        ),
        (
            "https://h.example/a.gguf?x=1",
            ModelRef::Url("https://h.example/a.gguf?x=1".into()),
            "https://h.example/a.gguf?x=1",
        ),
        ("http://127.0.0.1:99/a", ModelRef::Url("http://127.0.0.1:99/a".into()), "http://127.0.0.1:99/a"),
        ("http://[::1]:99/a", ModelRef::Url("http://[::1]:99/a".into()), "http://[::1]:99/a"),
    ] {
        assert_eq!(ModelRef::parse(text), Ok(model.clone()), "{text}");
        assert_eq!(model.to_string(), back);
        assert_eq!(ModelRef::parse(back), Ok(model));
    }
}

/// ORCH-MODEL-1
#[test]
fn what_is_no_reference_is_refused_with_the_reason() {
    assert_eq!(refused(""), "it is empty");
    assert_eq!(refused("llama"), "it has none of the known forms");
    assert_eq!(refused(".gguf"), "it has none of the known forms");
    assert_eq!(refused("a\0.gguf"), "it has control characters in it");
    assert_eq!(refused("file:"), "`file:` needs a path");
    assert_eq!(refused("ftp://h/a.gguf"), "only https:// is fetched");
    assert_eq!(
        refused("http://models.example/a.gguf"),
        "http:// is fetched from this machine only; use https://"
    );
    assert_eq!(
        refused("http://127.0.0.1.models.example/a.gguf"),
        "http:// is fetched from this machine only; use https://"
    );
    assert_eq!(refused("https://user:pass@h/a.gguf"), "a URL must not carry a user name or a password");
    assert_eq!(refused("https:///a.gguf"), "the URL names no host");
    assert_eq!(refused("https://h.example"), "the URL names no file");
    assert_eq!(refused("https://h.example/a/"), "the URL names no file");
    assert_eq!(refused("https://h.example/a b"), "a URL has no spaces");
}

#[test]
fn a_hugging_face_name_cannot_leave_its_folder() {
    for text in ["hf:o/r", "hf:o", "hf:"] {
        assert_eq!(refused(text), "`hf:` needs an owner, a repository and a file, with `/` between them");
    }
    for text in ["hf:o/r/../../x.gguf", "hf:../r/x.gguf", "hf:o//x.gguf", "hf:o/r/a b.gguf"] {
        assert_eq!(refused(text), "`hf:` names are letters, digits, `-`, `_` and `.`, with `/` between them");
    }
    assert_eq!(refused("hf:o/r/x.bin"), "the file must end in `.gguf`");
}

/// ORCH-MODEL-1
#[test]
fn the_message_names_what_was_given_and_the_forms() {
    assert_eq!(
        ModelRef::parse("llama3").expect_err("no form").to_string(),
        "`llama3` is not a model reference: it has none of the known forms\n  hint: use `starter`, `file:PATH`, a \
         path that ends in `.gguf`, `hf:OWNER/REPO/FILE.gguf` or `https://HOST/FILE.gguf`"
    );
}
