use std::sync::Arc;

use super::*;
use crate::{FromWorker, ToWorker};
use engine_api::Question;
use generation::{Determinism, GenerateRequest, Input, KvHint, Sampling, SamplingParams};
use orchestrator_core::{Priority, TaskId};

fn measure(text: &str) -> ToWorker {
    let job = GenerateRequest {
        priority: Priority::Batch,

        sampling: Sampling {
            params: SamplingParams { temperature: Some(0.8), ..SamplingParams::default() },
            stop: vec!["\n".to_owned()],
            ..Sampling::default()
        },
        seed: 1,
        determinism: Determinism::Strict,
        kv: KvHint::None,
        ..GenerateRequest::new(TaskId(uuid::Uuid::nil()), Input::Prompt(text.to_owned()))
    };
    ToWorker::Ask { request: 7, question: Question::Measure(Arc::new(job)) }
}

#[test]
fn a_stream_split_at_every_byte_gives_the_same_messages() {
    let messages = [measure("a"), ToWorker::Stop, measure(&"long ".repeat(100))];
    let bytes: Vec<u8> = messages.iter().flat_map(|m| encode(m).unwrap()).collect();
    for split in 0..bytes.len() {
        let mut reader = FrameReader::default();
        let mut got = Vec::new();
        for part in [&bytes[..split], &bytes[split..]] {
            reader.extend(part);
            while let Some(message) = reader.next_message::<ToWorker>().unwrap() {
                got.push(message);
            }
        }
        assert_eq!(got, messages, "split at {split}");
        assert!(!reader.is_mid_frame());
    }
}

#[test]
fn a_blocking_reader_tells_a_clean_end_from_a_broken_frame() {
    let frame = encode(&measure("x")).unwrap();
    let mut whole = frame.as_slice();
    assert_eq!(read_frame::<ToWorker>(&mut whole).unwrap(), Some(measure("x")));
    assert!(read_frame::<ToWorker>(&mut whole).unwrap().is_none());
    let mut broken = &frame[..frame.len() - 1];
    assert!(matches!(read_frame::<ToWorker>(&mut broken), Err(FrameError::Io(_))));
}

#[test]
fn a_head_over_the_limit_is_refused_before_anything_is_allocated() {
    let head = u32::MAX.to_le_bytes();
    assert!(matches!(read_frame::<FromWorker>(&mut head.as_slice()), Err(FrameError::TooLarge(_))));
    let mut reader = FrameReader::default();
    reader.extend(&head);
    assert!(matches!(reader.next_message::<FromWorker>(), Err(FrameError::TooLarge(_))));
}
