//! Private words for what the field has a name for. A newcomer searches for the field's name, so these stay out of
//! identifiers.

/// The words, and what to call it instead.
const GLOSSARY: [(&str, &str); 41] = [
    ("OwnFields", "ExtraBody"),
    ("OwnAnswer", "ExtraFields"),
    ("tells_own", "include_extra"),
    ("ThoughtReader", "InlineReasoningParser"),
    ("Heard", "OutputParser, or SinkCall of a recording sink"),
    ("Stretch", "OutputSegment"),
    ("Told", "OutputEvent"),
    ("Speaker", "StreamEncoder"),
    ("Telling", "ResponseMeta"),
    ("Tongue", "ApiFlavor"),
    ("weigh", "with_logprobs"),
    ("OURS", "RESERVED_FIELDS"),
    ("Besides", "TokenMetadata"),
    ("Seat", "ReaderSlot"),
    ("ToolSpeech", "ToolCallOutput"),
    ("Went", "Progress"),
    ("Keeper", "PoolController"),
    ("News", "EngineEvent"),
    ("Standing", "QueuePosition"),
    ("CourseView", "Timeline"),
    ("Crowded", "TooManyStreams"),
    ("Company", "BatchedThroughput"),
    ("Rivals", "Competing"),
    ("Setback", "RetryCause"),
    ("Patience", "RetryPolicy or WaitPolicy"),
    ("Surroundings", "Env"),
    ("Dialect", "HttpBackend"),
    ("Nonsense", "Protocol"),
    ("Desk", "PendingRequests"),
    ("Pulse", "HealthProbe"),
    ("House", "TestDaemon"),
    ("Ear", "RecordingSink"),
    ("Story", "Recording"),
    ("Manners", "MockOptions"),
    ("Fate", "Outcome"),
    ("thoughts", "reasoning"),
    ("Thoughts", "Reasoning"),
    ("thought", "reasoning"),
    ("Thought", "Reasoning"),
    ("reckoning", "estimate"),
    ("Reckoning", "Estimate"),
];

/// The words of the glossary that are identifiers in `text`, each with its line and what to call it.
pub fn find(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for word in identifiers(line) {
            if let Some((_, instead)) = GLOSSARY.iter().find(|(private, _)| *private == word) {
                found.push(format!("line {}: `{word}` is a private word: call it {instead}", at + 1));
            }
        }
    }
    found
}

/// The identifiers of a line of code: what stands neither in a comment nor in a text.
fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split_once("//").map_or(line, |(code, _)| code);
    let outside_of_texts = code.split('"').step_by(2);
    outside_of_texts.flat_map(|part| part.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_word_is_found_where_it_is_an_identifier_and_nowhere_else() {
        let found =
            find("struct House;\nlet x = Seat::new(\"Keeper\"); // House\n/// Thoughts\nfn household() {}");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("line 1: `House`") && found[0].ends_with("TestDaemon"), "{found:?}");
        assert!(found[1].starts_with("line 2: `Seat`"), "{found:?}");
    }
}
