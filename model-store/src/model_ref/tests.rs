//! What is a reference, what is none, and what is said of it.

use super::*;

fn refused(text: &str) -> String {
    ModelRef::parse(text).expect_err(text).reason.into_owned()
}

/// ORCH-MODEL-1
#[test]
fn every_form_is_read_and_written_back() {
    let file = |revision: Option<&str>, path: &str| {
        let revision = revision.map(str::to_owned);
        ModelRef::HuggingFace(HfFile {
            owner: "o".into(),
            repo: "r-GGUF".into(),
            revision,
            path: path.into(),
        })
    };
    let repo = |revision: Option<&str>, quant: Option<&str>| {
        let [revision, quant] = [revision, quant].map(|text| text.map(str::to_owned));
        ModelRef::Repository(HfRepo { owner: "o".into(), repo: "r-GGUF".into(), revision, quant })
    };
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
            file(None, "sub/m-00001-of-00002.gguf"),
            "hf:o/r-GGUF/sub/m-00001-of-00002.gguf",
        ),
        ("hf:o/r-GGUF@main/m.gguf", file(None, "m.gguf"), "hf:o/r-GGUF/m.gguf"),
        ("hf:o/r-GGUF@v1/m.gguf", file(Some("v1"), "m.gguf"), "hf:o/r-GGUF@v1/m.gguf"),
        (
            "hf:o/r-GGUF@refs%2Fpr%2F1/m.gguf",
            file(Some("refs/pr/1"), "m.gguf"),
            "hf:o/r-GGUF@refs%2Fpr%2F1/m.gguf",
        ),
        (
            "hf:o/r-GGUF/Big%20Model (v2).gguf",
            file(None, "Big Model (v2).gguf"),
            "hf:o/r-GGUF/Big Model (v2).gguf",
        ),
        ("hf:o/r-GGUF/modèle 100%.gguf", file(None, "modèle 100%.gguf"), "hf:o/r-GGUF/modèle 100%25.gguf"),
        ("hf.co/o/r-GGUF/m.gguf", file(None, "m.gguf"), "hf:o/r-GGUF/m.gguf"),
        ("hf:o/r-GGUF", repo(None, None), "hf:o/r-GGUF"),
        ("hf:o/r-GGUF@v1", repo(Some("v1"), None), "hf:o/r-GGUF@v1"),
        ("hf.co/o/r-GGUF:latest", repo(None, None), "hf:o/r-GGUF"),
        ("hf:o/r-GGUF:Q4_K_M", repo(None, Some("Q4_K_M")), "hf:o/r-GGUF:Q4_K_M"),
        ("o/r-GGUF:Q4_K_M", repo(None, Some("Q4_K_M")), "hf:o/r-GGUF:Q4_K_M"),
        ("huggingface.co/o/r-GGUF:UD-Q4_K_XL", repo(None, Some("UD-Q4_K_XL")), "hf:o/r-GGUF:UD-Q4_K_XL"),
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
    assert_eq!(refused("someone/model:latest"), "it has none of the known forms");
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
    for text in ["hf:o", "hf:"] {
        assert_eq!(
            refused(text),
            "`hf:` needs an owner and a repository, with `/` between them, then `/FILE.gguf` or `:QUANT`"
        );
    }
    for text in ["hf:o/r/../../x.gguf", "hf:o/r/%2E%2E/x.gguf", "hf:o//x.gguf", "hf:o/r//x.gguf"] {
        ModelRef::parse(text).expect_err(text);
    }
    assert_eq!(refused("hf:../r/x.gguf"), "owners and repositories are letters, digits, `-`, `_` and `.`");
    assert_eq!(
        refused("hf:o/r@../x.gguf"),
        "a revision is a branch, a tag or a commit; `%2F` stands for a `/` in it"
    );
    assert_eq!(refused("hf:o/r:"), "behind `:` stands a quantisation, such as `Q4_K_M`");
    assert_eq!(refused(&format!("hf:o/r/{}.gguf", "x".repeat(200))), "the file's name is too long");
    assert_eq!(refused("hf:o/r/x.bin"), "the file must end in `.gguf`");
}

/// ORCH-STORE-7
#[test]
fn the_page_of_a_file_or_repository_is_refused_with_what_to_write_instead() {
    assert_eq!(
        refused("https://huggingface.co/o/r/blob/main/sub/m.gguf?download=true"),
        "it is the page of a file, not the file; use `hf:o/r/sub/m.gguf`"
    );
    assert_eq!(
        refused("https://huggingface.co/o/r/blob/v1/m.gguf"),
        "it is the page of a file, not the file; use `hf:o/r@v1/m.gguf`"
    );
    let page = "it is the page of a repository; use `hf:o/r` for the best quantisation that fits, `hf:o/r:QUANT` or \
                `hf:o/r/FILE.gguf`";
    assert_eq!(refused("https://huggingface.co/o/r"), page);
    assert_eq!(refused("https://hf.co/o/r/tree/main"), page);
    let content = "https://huggingface.co/o/r/resolve/main/m.gguf";
    assert_eq!(ModelRef::parse(content), Ok(ModelRef::Url(content.to_owned())));
}

/// ORCH-MODEL-1
#[test]
fn the_message_names_what_was_given_and_the_forms() {
    assert_eq!(
        ModelRef::parse("llama3").expect_err("no form").to_string(),
        "`llama3` is not a model reference: it has none of the known forms\n  hint: use `starter`, `file:PATH`, a \
         path that ends in `.gguf`, `hf:OWNER/REPO/FILE.gguf`, `hf:OWNER/REPO:QUANT` or `https://HOST/FILE.gguf`"
    );
}
