//! Answers as models write them, whole and in pieces.

use proptest::prelude::*;

use super::*;

fn tools() -> Vec<Tool> {
    let schema = "{\"type\":\"object\",\"properties\":{\"zip\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}}}";
    let tool =
        |name: &str| Tool { name: name.to_owned(), parameters: Some(schema.to_owned()), ..Tool::default() };
    let types = "{\"type\":\"object\",\"properties\":{\"yes\":{\"type\":\"boolean\"},\
                 \"text\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]},\
                 \"none\":{\"type\":[\"integer\",\"null\"]}}}";
    let types = Tool { name: "types".to_owned(), parameters: Some(types.to_owned()), ..Tool::default() };
    ["weather", "write_file", "now"].map(tool).into_iter().chain([types]).collect()
}

/// What an answer came to: its content, and its calls with their arguments.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    content: String,
    calls: Vec<(String, String)>,
    ended: u32,
}

impl Read {
    fn add(&mut self, events: Vec<ToolEvent>) {
        for event in events {
            match event {
                ToolEvent::Content(text) => {
                    assert!(!text.is_empty());
                    self.content.push_str(&text);
                }
                ToolEvent::Start { name } => {
                    assert_eq!(self.ended as usize, self.calls.len(), "the call before it has ended");
                    self.calls.push((name, String::new()));
                }
                ToolEvent::Arguments(text) => {
                    assert_eq!(self.ended as usize + 1, self.calls.len(), "only an open call grows");
                    self.calls.last_mut().expect("an open call").1.push_str(&text);
                }
                ToolEvent::End => self.ended += 1,
            }
        }
    }
}

fn read<'a>(format: ToolFormat, pieces: impl IntoIterator<Item = &'a str>) -> Read {
    let mut parser = ToolParser::new(format, &tools());
    let mut read = Read::default();
    for piece in pieces {
        read.add(parser.push(piece));
    }
    read.add(parser.finish(true));
    assert_eq!(read.ended, parser.calls(), "each call ends once");
    read
}

/// An answer, its content and its calls.
type Case = (ToolFormat, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    (
        ToolFormat::Hermes,
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\", \"days\": [1, 2]}}\n</tool_call>",
        "",
        &[("weather", "{\"city\": \"Paris\", \"days\": [1, 2]}")],
    ),
    (
        ToolFormat::Hermes,
        "<think>\nTwo of them.\n</think>\n\nI look it up.\n\n<tool_call>\n{\"name\": \"weather\", \"arguments\": \
         {\"city\": \"Zürich\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n",
        "<think>\nTwo of them.\n</think>\n\nI look it up.",
        &[("weather", "{\"city\": \"Zürich\"}"), ("now", "{}")],
    ),
    (
        ToolFormat::Hermes,
        "<tool_call>{\"arguments\": {\"city\": \"a } b\\\" {\"}, \"name\": \"weather\"}</tool_call> done",
        "done",
        &[("weather", "{\"city\": \"a } b\\\" {\"}")],
    ),
    (
        ToolFormat::Hermes,
        "<tool_call>\n{\"name\": \"write_file\", \"arguments\": {\"text\": \"</tool_call>\"}, \"id\": 7}\n</tool_call>",
        "",
        &[("write_file", "{\"text\": \"</tool_call>\"}")],
    ),
    // Small models forget the last brace, or the closing mark.
    (
        ToolFormat::Hermes,
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}\n</tool_call>\nOne moment.",
        "One moment.",
        &[("weather", "{\"city\": \"Rome\"}")],
    ),
    (
        ToolFormat::Hermes,
        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"</tool_call>\nOne moment.",
        "One moment.",
        &[("weather", "{\"city\": \"Rome\"")],
    ),
    (
        ToolFormat::Hermes,
        "<tool_call>{\"name\": \"weather\", \"arguments\": \"{\\\"city\\\": \\\"Rome\\\"}\"}",
        "",
        &[("weather", "{\"city\": \"Rome\"}")],
    ),
    (ToolFormat::Hermes, "<tool_call>{\"name\": \"now\"}</tool_call>", "", &[("now", "{}")]),
    // Cut off in the middle: what is there of the arguments is passed on.
    (
        ToolFormat::Hermes,
        "<tool_call>\n{\"name\": \"write_file\", \"arguments\": {\"text\": \"fn main",
        "",
        &[("write_file", "{\"text\": \"fn main")],
    ),
    (ToolFormat::Hermes, "<tool_call>\n{\"name\": \"write_", "<tool_call>\n{\"name\": \"write_", &[]),
    (
        ToolFormat::Hermes,
        "Use <tool_call> like this: <tool_call>name</tool_call>, or < and <tool. \n",
        "Use <tool_call> like this: <tool_call>name</tool_call>, or < and <tool. \n",
        &[],
    ),
    (
        ToolFormat::Hermes,
        "<tool_call><tool_call>{\"name\":\"now\",\"arguments\":{}}",
        "<tool_call>",
        &[("now", "{}")],
    ),
    (ToolFormat::Hermes, " plain\n\ntext \n", " plain\n\ntext \n", &[]),
    (ToolFormat::Hermes, "", "", &[]),
    (
        ToolFormat::QwenXml,
        "I look.\n\n<tool_call>\n<function=weather>\n<parameter=zip>\n75001\n</parameter>\n<parameter=days>\n2\n\
         </parameter>\n<parameter=note>\na < b\n\nc</parameter>\n</function>\n</tool_call>\n<tool_call>\n\
         <function=now>\n</function>\n</tool_call>",
        "I look.",
        &[("weather", "{\"zip\":\"75001\",\"days\":2,\"note\":\"a < b\\n\\nc\"}"), ("now", "{}")],
    ),
    // The mark before a call is forgotten, a value holds the mark behind values, values are of the schema's types.
    (
        ToolFormat::QwenXml,
        "Well: <function=weather>\n<parameter=zip>\n75001</parameter>\n<parameter=days>\n2</parameter>\n</function>\n\
         </tool_call>",
        "Well:",
        &[("weather", "{\"zip\":\"75001\",\"days\":2}")],
    ),
    (ToolFormat::QwenXml, "Write <function=name> first.", "Write <function=name> first.", &[]),
    (
        ToolFormat::QwenXml,
        "<tool_call>\n<function=weather>\n<parameter=note>\n<parameter>\n<a></a>\n</parameter>\n</parameter>\n\
         </function>\n</tool_call>",
        "",
        &[("weather", "{\"note\":\"<parameter>\\n<a></a>\\n</parameter>\"}")],
    ),
    (
        ToolFormat::QwenXml,
        "<tool_call>\n<function=types>\n<parameter=yes>\nTrue\n</parameter>\n<parameter=text>\n123\n</parameter>\n\
         <parameter=none>\nNone\n</parameter>\n</function>\n</tool_call>",
        "",
        &[("types", "{\"yes\":true,\"text\":\"123\",\"none\":null}")],
    ),
    (
        ToolFormat::QwenXml,
        "<tool_call>\n<function=weather>\n<parameter=zip>\n750",
        "<tool_call>\n<function=weather>\n<parameter=zip>\n750",
        &[],
    ),
    (
        ToolFormat::Gemma,
        "<start_function_call>call:weather{city:<escape>Paris, \"TX\"<escape>,days:2,at:{lat:1.5,on:true},tags:[<escape>a\
         <escape>,b]}<end_function_call><start_function_call>call:now{}<end_function_call>",
        "",
        &[
            (
                "weather",
                "{\"at\":{\"lat\":1.5,\"on\":true},\"city\":\"Paris, \\\"TX\\\"\",\"days\":2,\"tags\":[\"a\",\"b\"]}",
            ),
            ("now", "{}"),
        ],
    ),
    (ToolFormat::Gemma, "<start_function_call>call:now{}", "", &[("now", "{}")]),
    (
        ToolFormat::Gemma,
        "<start_function_call>call:weather{city:<escape>Par",
        "<start_function_call>call:weather{city:<escape>Par",
        &[],
    ),
    (
        ToolFormat::Gemma,
        "<start_function_call>hm<end_function_call>",
        "<start_function_call>hm<end_function_call>",
        &[],
    ),
];

/// Members of an object in any order.
fn same_arguments(read: &str, expected: &str) -> bool {
    let json = |text| serde_json::from_str::<serde_json::Value>(text);
    read == expected || matches!((json(read), json(expected)), (Ok(read), Ok(expected)) if read == expected)
}

/// ORCH-ENG-11
#[test]
fn answers_of_every_family_are_read() {
    for (format, answer, content, calls) in CASES {
        let read = read(*format, [*answer]);
        assert_eq!(read.content, *content, "{answer}");
        assert_eq!(read.calls.len(), calls.len(), "{answer}: {:?}", read.calls);
        for ((name, arguments), (wanted, expected)) in read.calls.iter().zip(*calls) {
            assert_eq!(name, wanted, "{answer}");
            assert!(same_arguments(arguments, expected), "{answer}: {arguments}");
        }
    }
}

#[test]
fn every_answer_reads_the_same_letter_by_letter() {
    for (format, answer, ..) in CASES {
        let letters = answer.char_indices().map(|(at, letter)| &answer[at..at + letter.len_utf8()]);
        assert_eq!(read(*format, letters), read(*format, [*answer]), "{answer}");
    }
}

#[test]
fn arguments_come_as_they_are_written_and_content_at_once() {
    let mut parser = ToolParser::new(ToolFormat::Hermes, &tools());
    let content = |text: &str| vec![ToolEvent::Content(text.to_owned())];
    assert_eq!(parser.push("Hello"), content("Hello"));
    assert_eq!(parser.push(" you <"), content(" you"));
    assert_eq!(parser.push("3 "), content(" <3"));
    assert_eq!(parser.push("<tool_call>{\"name\": \"now\", \"arguments\": {\"zo").len(), 2);
    let more = ToolEvent::Arguments("ne\": 1".to_owned());
    assert_eq!(parser.push("ne\": 1"), [more]);
    assert_eq!(parser.push("}}").last(), Some(&ToolEvent::End));
}

#[test]
fn a_long_text_that_never_becomes_a_call_is_not_kept_back_for_ever() {
    let mut parser = ToolParser::new(ToolFormat::Hermes, &tools());
    assert!(parser.push("<tool_call>{\"name\": \"").is_empty());
    let said: usize = (0..64).map(|_| parser.push(&"x".repeat(1024)).len()).sum();
    assert!(said > 0);
}

fn any_format() -> impl Strategy<Value = ToolFormat> {
    prop::sample::select(vec![ToolFormat::Hermes, ToolFormat::QwenXml, ToolFormat::Gemma])
}

/// Text of what calls are made of, in any order.
fn any_answer() -> impl Strategy<Value = String> {
    let scraps = vec![
        "<tool_call>",
        "</tool_call>",
        "<|python_tag|>",
        "[TOOL_CALLS]",
        "[ARGS]",
        "[CALL_ID]",
        "<start_function_call>",
        "<end_function_call>",
        "<escape>",
        "call:now",
        "<function=now>",
        "<parameter=zip>",
        "</parameter>",
        "</function>",
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        ";",
        "\n",
        " ",
        "<",
        "\\",
        "now",
        "weather",
        "\"name\"",
        "\"arguments\"",
        "\"parameters\"",
        "\"now\"",
        "{\"a\": 1}",
        "é",
        "42",
        "{\"name\": \"now\", \"arguments\": {",
        "{\"name\": \"now\", \"parameters\": {}}",
    ];
    prop::collection::vec(prop::sample::select(scraps), 0..24).prop_map(|scraps| scraps.concat())
}

proptest! {
    /// ORCH-ENG-11
    #[test]
    fn any_split_of_any_answer_reads_the_same(
        format in any_format(),
        answer in any_answer(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(answer.len() + 1)).collect();
        places.retain(|at| answer.is_char_boundary(*at));
        places.push(answer.len());
        places.sort_unstable();
        let mut from = 0;
        let pieces: Vec<&str> = places.into_iter().map(|at| &answer[std::mem::replace(&mut from, at)..at]).collect();
        prop_assert_eq!(read(format, pieces), read(format, [answer.as_str()]));
    }

    /// ORCH-ENG-11
    #[test]
    fn an_answer_without_a_call_comes_out_as_it_went_in(format in any_format(), answer in any_answer()) {
        let read = read(format, [answer.as_str()]);
        if read.calls.is_empty() {
            prop_assert_eq!(read.content, answer);
        }
    }
}

#[test]
fn the_beginning_of_a_call_that_was_cut_is_no_content() {
    let call = "<tool_call>\n<function=now>\n<parameter=zone>\nUTC\n</parameter>\n</function>\n</tool_call>";
    let read = |text: &str, is_whole: bool| {
        let mut parser = ToolParser::new(ToolFormat::QwenXml, &tools());
        let mut read = Read::default();
        read.add(parser.push(text));
        read.add(parser.finish(is_whole));
        read
    };
    for cut in ["\n<tool_call>\n<function=no", "\n<tool_call>", "\n<tool_c"] {
        let cut_off = read(&format!("{call}{cut}"), false);
        assert_eq!((cut_off.content.trim(), cut_off.calls.len()), ("", 1), "{cut}");
    }
    assert_eq!(read("<tool_call>\n<function=no", false).content, "");
    assert_eq!(
        read("<tool_call>\n<function=no", true).content,
        "<tool_call>\n<function=no",
        "a text that ended"
    );
}
