use orchestrator_core::PoolId;

use super::*;

#[test]
fn a_json_line_keeps_its_level_its_message_and_its_other_fields() {
    let cases = [
        (r#"{"level":"warn","message":"no template","fields":{"model":"tiny"}}"#, Some("model=tiny")),
        (
            r#"{"level":"warn","message":"no template","model":"a \"tiny\" one","ms":7}"#,
            Some(r#"model="a \"tiny\" one" ms=7"#),
        ),
        (r#"{"level":"warn","message":"no template","fields":{}}"#, None),
    ];
    for (text, fields) in cases {
        let fields = fields.map(str::to_owned);
        let line = Line { level: Level::WARN, message: "no template".to_owned(), fields };
        assert_eq!(Line::parse(text), line);
    }
}

#[test]
fn what_is_not_a_json_log_line_is_told_as_it_stands() {
    for text in ["llama_model_loader: loaded", "{broken", r#"{"level":"warn"}"#, "[1]", r#"{"message":7}"#] {
        assert_eq!(Line::parse(text), Line { level: Level::INFO, message: text.to_owned(), fields: None });
    }
}

#[tokio::test]
async fn the_tail_holds_the_last_lines_cut_to_their_bound_and_in_order() {
    let long = "x".repeat(MAX_LINE_BYTES * 3);
    let mut log: String = (0..30).map(|i| format!("line {i}\n\n")).collect();
    log += &format!("{long}\nno newline at the end");
    let tail = Tail::default();
    let replica = ReplicaId { pool: PoolId::new("p").unwrap(), index: 0 };
    forward(log.as_bytes(), replica, tail.clone()).await;
    let text = tail.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), TAIL_LINES);
    assert_eq!(lines[TAIL_LINES - 1], "no newline at the end");
    assert_eq!(lines[TAIL_LINES - 2].len(), MAX_LINE_BYTES);
    assert_eq!(lines[TAIL_LINES - 3], "line 29");
}
