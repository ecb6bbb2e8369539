use super::hint;

#[test]
fn a_repository_without_its_form_is_completed() {
    let hint = hint("bartowski/Some-GGUF").expect("a repository");
    assert!(hint.contains("`hf:bartowski/Some-GGUF:QUANT`"), "{hint}");
}

#[test]
fn a_name_of_ollamas_library_gets_the_form_that_works() {
    for name in ["llama3.2", "qwen3:8b", "someone/model:latest"] {
        let hint = hint(name).expect(name);
        assert!(hint.contains("`hf:OWNER/REPO:QUANT`") && hint.contains("import ollama"), "{name}: {hint}");
    }
}

#[test]
fn what_is_no_name_gets_no_hint() {
    for name in ["", "ftp://host/x", "why is it", "hf:a/b/c.bin", "a//b"] {
        assert_eq!(hint(name), None, "{name}");
    }
}
