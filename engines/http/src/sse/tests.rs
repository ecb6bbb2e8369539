use proptest::prelude::*;

use super::SseReader;

fn read(parts: &[&[u8]]) -> Vec<String> {
    let mut reader = SseReader::default();
    let mut lines = Vec::new();
    let mut take = |line: &[u8]| {
        lines.push(String::from_utf8_lossy(line).into_owned());
        Ok(())
    };
    for part in parts {
        reader.push(part, &mut take).expect("lines of a bearable length");
    }
    reader.finish(&mut take).expect("the last line");
    lines
}

#[test]
fn data_lines_are_taken_and_nothing_else() {
    let stream = b": ping\n\nevent: token\nid: 4\ndata: one\n\ndata:two\r\n\r\ndata:  three\nretry: 1\ndatum: no\ndata\n\n";
    assert_eq!(read(&[stream]), ["one", "two", " three"]);
}

#[test]
fn a_last_line_without_its_end_counts() {
    assert_eq!(read(&[b"data: a\n\nda", b"ta: b"]), ["a", "b"]);
}

#[test]
fn a_line_without_end_is_a_fault_at_last() {
    let mut reader = SseReader::default();
    let part = vec![b'x'; 1024 * 1024];
    let pushed = (0..32).try_for_each(|_| reader.push(&part, &mut |_| Ok(())));
    assert!(pushed.is_err());
}

proptest! {
    /// ORCH-ENG-5
    #[test]
    fn any_split_gives_the_same_lines(
        texts in prop::collection::vec("[^\r\n]{0,12}", 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let stream: String = texts.iter().map(|text| format!("data: {text}\n\n")).collect();
        prop_assume!(!stream.is_empty());
        let stream = stream.as_bytes();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let parts: Vec<_> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        prop_assert_eq!(read(&parts), texts);
    }
}
