//! Files that are no model: each is refused by name, with what is wrong, and nothing crashes.

use std::path::{Path, PathBuf};

use engine_api::StartError;
use generation::{SamplingParams, Workload};
use worker_protocol::{PROTOCOL_VERSION, ToWorker};

use crate::harness::{Worker, job, model, prompt, spec};

struct Folder(tempfile::TempDir);

impl Folder {
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }
}

fn folder() -> Folder {
    Folder(tempfile::tempdir().expect("a folder"))
}

fn refused(path: &Path) -> String {
    let mut worker = Worker::spawn();
    let error = worker.load(spec(path, 1, 256)).expect_err("it is no model");
    assert_eq!(worker.ended().code(), Some(i32::from(worker_llamacpp::exit::LOAD_FAILED)));
    let StartError::Model(text) = error else { panic!("not the model's fault: {error:?}") };
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(text.contains(&name), "`{text}` names the file {name}");
    text
}

/// The starter model with one text in its head replaced by another of the same length.
pub fn changed(from: &str, to: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(model()).expect("read");
    let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).expect("it is there");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

/// ORCH-MODEL-4
#[test]
fn what_is_no_model_is_refused_with_what_is_wrong() {
    let folder = folder();
    let whole = std::fs::read(model()).expect("read");
    assert!(refused(&folder.0.path().join("none.gguf")).contains("does not exist"));
    assert!(refused(folder.0.path()).contains("is a folder"));
    assert!(refused(&folder.file("empty.gguf", b"")).contains("is empty"));
    assert!(refused(&folder.file("page.gguf", b"<!DOCTYPE html>")).contains("not a GGUF file"));
    assert!(refused(&folder.file("zeros.gguf", &[0; 4096])).contains("not a GGUF file"));
    for cut in [20, 2000, 1_000_000, whole.len() / 2] {
        let said = refused(&folder.file("cut.gguf", &whole[..cut]));
        assert!(said.contains("truncated"), "{cut}: {said}");
    }
    let said = refused(&folder.file("cut.gguf", &whole[..whole.len() - 10]));
    assert!(said.contains("cannot be loaded: "), "the last bytes are llama.cpp's to miss: {said}");
    let unknown = changed("\u{5}\0\0\0\0\0\0\0llama", "\u{5}\0\0\0\0\0\0\0lxama");
    let said = refused(&folder.file("unknown.gguf", &unknown));
    assert!(said.contains("unknown model architecture: 'lxama'"), "{said}");
    let without = changed("llama.block_count", "llama.block_cxunt");
    let said = refused(&folder.file("without.gguf", &without));
    assert!(said.contains("block_count"), "{said}");
}

#[test]
fn a_context_beyond_the_model_is_lowered_to_what_it_was_trained_with() {
    let mut worker = Worker::spawn();
    worker.load(spec(&model(), 1, 9000)).expect("it loads");
    assert_eq!(worker.facts.as_ref().expect("loaded").ctx.0, 8192);
}

#[test]
fn another_version_of_the_protocol_is_refused() {
    let mut worker = Worker::spawn();
    worker.send(&ToWorker::Load { protocol: PROTOCOL_VERSION + 1, spec: spec(&model(), 1, 256) });
    let StartError::Engine(text) = worker.load_failure() else { panic!("the protocol is at fault") };
    assert!(text.contains("restart the daemon"), "{text}");
}

#[test]
fn a_model_without_a_chat_template_takes_prompts_only() {
    let folder = folder();
    let path = folder.file("plain.gguf", &changed("tokenizer.chat_template", "tokenizer.chat_templxte"));
    let mut worker = Worker::spawn();
    worker.load(spec(&path, 1, 256)).expect("it loads");
    assert!(!worker.facts.as_ref().expect("loaded").model.chat_template);
    let error = worker.measure(job(crate::harness::user("Hi"), 1)).expect_err("no template").to_string();
    assert!(error.contains("`messages`") && error.contains("no chat template"), "{error}");
    assert_eq!(worker.answer(job(prompt("Hello"), 3)).tokens.len(), 3);
}

/// ORCH-MODEL-4
#[test]
fn a_broken_chat_template_is_named_and_not_replaced_by_a_guess() {
    let folder = folder();
    let path = folder
        .file("broken.gguf", &changed("{% for message in messages %}", "{% for message xx messages %}"));
    let mut worker = Worker::spawn();
    worker.load(spec(&path, 1, 256)).expect("it loads");
    let error = worker.measure(job(crate::harness::user("Hi"), 1)).expect_err("broken").to_string();
    assert!(error.contains("chat template") && error.contains("broken"), "{error}");
}

#[test]
fn a_model_that_declares_pooling_makes_vectors_and_no_text() {
    let folder = folder();
    let path = folder.file("pooled.gguf", &with_pooling(&std::fs::read(model()).expect("read"), 1));
    let mut worker = Worker::spawn();
    worker.load(spec(&path, 2, 256)).expect("it loads");
    assert_eq!(worker.facts.as_ref().expect("loaded").workloads, [Workload::Embedding]);
    let texts = ["A cat sat on the mat.", "A cat sat on a mat.", "Quarterly revenue fell by nine percent."];
    let mut embed = job(generation::Input::Inputs(texts.map(String::from).into()), 0);
    embed.workload = Workload::Embedding;
    let measured = worker.measure(embed.clone()).expect("it can be counted");
    assert!(measured.longest.0 >= 7 && measured.tokens.0 > measured.longest.0);
    let answer = worker.answer(embed);
    assert_eq!(answer.report().tokens_in, measured.tokens);
    assert_eq!(answer.finish(), &generation::Finish::Stop);
    let vectors = generation::Transcript::of(answer.pieces).vectors;
    assert_eq!(vectors.len(), 3);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    for vector in &vectors {
        assert_eq!(vector.len(), 576);
        assert!((dot(vector, vector) - 1.0).abs() < 1e-3, "of length 1");
    }
    assert!(dot(&vectors[0], &vectors[1]) > dot(&vectors[0], &vectors[2]), "alike texts are near");
    let text = worker.answer(job(prompt("Hello"), 3));
    assert!(format!("{:?}", text.finish()).contains("`workload` is `completion`"));

    // A job that waits is canceled while another one is worked on.
    let long = |count: usize| {
        let mut job = job(generation::Input::Inputs(vec!["A cat sat on the mat.".into(); count]), 0);
        job.workload = Workload::Embedding;
        job
    };
    let working = worker.submit(long(400));
    let waiting = worker.submit(long(1));
    worker.until(|worker| !worker.answers[&working].pieces.is_empty());
    worker.send(&worker_protocol::ToWorker::Cancel(waiting));
    worker.wait(&[waiting]);
    assert_eq!(worker.answers[&waiting].finish(), &generation::Finish::Canceled);
    assert!(worker.answers[&working].end.is_none(), "before the other one ended");
}

#[test]
fn a_model_that_ranks_scores_each_document_and_makes_no_text() {
    let folder = folder();
    let path = folder.file("ranks.gguf", &with_pooling(&std::fs::read(model()).expect("read"), 4));
    let mut worker = Worker::spawn();
    worker.load(spec(&path, 2, 64)).expect("it loads");
    assert_eq!(worker.facts.as_ref().expect("loaded").workloads, [Workload::Rerank]);
    let rerank = |texts: &[&str]| {
        let mut job =
            job(generation::Input::Inputs(texts.iter().map(|text| (*text).to_owned()).collect()), 0);
        job.workload = Workload::Rerank;
        job
    };
    let texts = ["What is red?", "A fire truck is red.", "The sea is blue.", "A fire truck is red."];
    let measured = worker.measure(rerank(&texts)).expect("it can be counted");
    let answer = worker.answer(rerank(&texts));
    assert_eq!(answer.finish(), &generation::Finish::Stop);
    assert_eq!(answer.report().tokens_in, measured.tokens);
    let scores = generation::Transcript::of(answer.pieces).scores;
    assert_eq!(scores.len(), 3, "one of each document");
    assert!((scores[0] - scores[2]).abs() < 1e-6 && (scores[0] - scores[1]).abs() > 1e-6, "{scores:?}");
    let told =
        |finish: &generation::Finish, text: &str| assert!(format!("{finish:?}").contains(text), "{finish:?}");
    told(worker.answer(rerank(&["alone"])).finish(), "the query and at least one document");
    let long = "long ".repeat(100);
    told(worker.answer(rerank(&["q", "short", &long])).finish(), "`inputs[2]` takes");
    told(worker.answer(job(prompt("Hello"), 3)).finish(), "`workload` is `completion`");
}

/// The same model with `llama.pooling_type` in its head (1 is the mean, 4 a rank).
fn with_pooling(model: &[u8], kind: u32) -> Vec<u8> {
    with_number(model, "llama.pooling_type", 4, kind.to_le_bytes())
}

/// The same model with one more number of this type in its head, and a filler that keeps the weights aligned.
fn with_number(model: &[u8], key: &str, kind: u32, number: [u8; 4]) -> Vec<u8> {
    let entry = |key: &str, kind: u32, value: &[u8]| {
        [&(key.len() as u64).to_le_bytes()[..], key.as_bytes(), &kind.to_le_bytes(), value].concat()
    };
    let added = entry(key, kind, &number);
    let bare = entry("general.filler", 8, &0u64.to_le_bytes());
    let blanks = (32 - (added.len() + bare.len()) % 32) % 32;
    let filler =
        entry("general.filler", 8, &[&(blanks as u64).to_le_bytes()[..], &vec![b' '; blanks]].concat());
    let entries = u64::from_le_bytes(model[16..24].try_into().expect("eight bytes")) + 2;
    [&model[..16], &entries.to_le_bytes(), &added, &filler, &model[24..]].concat()
}

/// ORCH-TASK-10
#[test]
fn a_model_says_itself_how_its_tokens_are_chosen_where_the_request_does_not() {
    let folder = folder();
    let whole = std::fs::read(model()).expect("read");
    let path =
        folder.file("greedy.gguf", &with_number(&whole, "general.sampling.temp", 6, 0f32.to_le_bytes()));
    let mut worker = Worker::spawn();
    worker.load(spec(&path, 1, 512)).expect("it loads");
    let mut text = |temperature: Option<f32>, seed: u64| {
        let mut asked = job(prompt("The old lighthouse keeper said"), 24);
        asked.sampling.params = SamplingParams { temperature, ..SamplingParams::default() };
        asked.seed = seed;
        worker.answer(asked).text.clone()
    };
    let greedy = text(Some(0.0), 1);
    assert_eq!((text(None, 1), text(None, 2)), (greedy.clone(), greedy), "the file says 0");
    assert_ne!(text(Some(1.5), 1), text(Some(1.5), 2), "the request says otherwise");
}
