use super::*;

#[test]
fn a_command_over_several_lines_is_split_as_a_shell_would() {
    let command = "llama-server --port ${PORT} \\\n  -m '/my models/a.gguf' # the model\n# and\n--alias \"a \\\"b\\\"\" -x \\$1 ''";
    let words = [
        "llama-server",
        "--port",
        "${PORT}",
        "-m",
        "/my models/a.gguf",
        "--alias",
        "a \"b\"",
        "-x",
        "$1",
        "",
    ];
    assert_eq!(split(command).unwrap(), words);
    assert_eq!(split("a#b 'c"), None, "a quote without an end");
    assert_eq!(split("a#b").unwrap(), ["a#b"]);
}
