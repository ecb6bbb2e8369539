//! Whole streams as they go over the wire, kept as snapshots, and the grammar of a stream under whatever an
//! engine does. Times, which differ from run to run, are shown as `…`.
#![expect(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

#[expect(dead_code, reason = "the other tests provoke answers of more kinds")]
#[path = "support/audit.rs"]
mod audit;
#[expect(dead_code, reason = "the other tests look at all that is documented")]
#[path = "support/contract.rs"]
mod contract;
#[path = "support/scripted.rs"]
mod scripted;
#[expect(dead_code, reason = "the other tests break more of it")]
#[path = "support/test_daemon.rs"]
mod test_daemon;
#[expect(dead_code, reason = "the other tests send odd requests as well")]
#[path = "support/wire.rs"]
mod wire;

use std::sync::{Arc, LazyLock};

use audit::{Audit, prompt, task};
use contract::Event;
use engine_api::ExitReason;
use engine_mock::Phase;
use orchestrator_core::FullPolicy;
use pool_manager::ReplicaEventKind;
use proptest::prelude::*;
use scripted::{Attempt, Outcome, ScriptedEngine};
use serde_json::json;
use test_daemon::TestDaemon;
use wire::Ask;

/// The id of every task whose stream is shown.
const ID: &str = "6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f";

/// Keys whose values are measured.
const MEASURED: [&str; 4] = ["predicted_start_ms", "decode_ms", "queue_ms", "retry_after_ms"];

/// A stream without its comments, and without what is measured.
fn transcript(text: &str) -> String {
    let mut shown: String = text.split_inclusive("\n\n").filter(|block| !block.starts_with(':')).collect();
    for key in MEASURED {
        let mut rest = std::mem::take(&mut shown);
        let key = format!("\"{key}\":");
        while let Some(at) = rest.find(&key) {
            let tail = rest.split_off(at + key.len());
            let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
            shown.push_str(&rest);
            shown.push_str(if digits > 0 { "…" } else { "" });
            tail[digits..].clone_into(&mut rest);
        }
        shown.push_str(&rest);
    }
    shown
}

/// The whole stream of task `ID`, held to the contract.
async fn read(audit: &Audit, daemon: &TestDaemon) -> String {
    let stream = audit.expect(200, daemon.address, Ask::get(&task("stream", ID))).await;
    transcript(stream.text())
}

async fn submit(audit: &Audit, daemon: &TestDaemon, mut body: serde_json::Value) {
    body["task_id"] = json!(ID);
    assert_eq!(audit.submit(daemon, body).await, ID);
}

/// A daemon whose one replica plays `attempts`, one after the other.
async fn playing(attempts: Vec<Attempt>) -> (TestDaemon, Arc<ScriptedEngine>) {
    let daemon = TestDaemon::empty();
    daemon.begin().await;
    let engine = ScriptedEngine::new(attempts);
    daemon.serve_with(engine.clone()).await;
    (daemon, engine)
}

#[tokio::test]
async fn an_answer_from_its_place_in_the_queue_to_its_end() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    submit(&audit, &daemon, prompt()).await;
    insta::assert_snapshot!("answer", read(&audit, &daemon).await);
}

#[tokio::test]
async fn an_answer_that_is_cut_at_its_length() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    submit(&audit, &daemon, json!({"prompt": "one two three", "max_tokens": 2})).await;
    insta::assert_snapshot!("length", read(&audit, &daemon).await);
}

#[tokio::test]
async fn any_text_stays_within_its_event() {
    let says = ["line\n\nevent: end\ndata: {}", "\"quotes\" \\ and\ttabs", "a 🦙 in one piece", "\r\n: ping"];
    let audit = Audit::new();
    let (daemon, _engine) = playing(vec![Attempt::new(&says, Outcome::Stop)]).await;
    submit(&audit, &daemon, prompt()).await;
    insta::assert_snapshot!("text", read(&audit, &daemon).await);
}

#[tokio::test]
async fn two_vectors() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    submit(&audit, &daemon, json!({"workload": "embedding", "inputs": ["one", "two"]})).await;
    insta::assert_snapshot!("embedding", read(&audit, &daemon).await);
}

#[tokio::test]
async fn a_task_that_is_canceled_keeps_what_was_said() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    daemon.control.hold(Phase::Decode);
    submit(&audit, &daemon, prompt()).await;
    daemon.control.pass(Phase::Decode, 1);
    daemon.control.until(|counts| counts.tokens == 1).await;
    audit.expect(204, daemon.address, Ask::post(&task("cancel", ID))).await;
    daemon.control.release(Phase::Decode);
    insta::assert_snapshot!("canceled", read(&audit, &daemon).await);
}

#[tokio::test]
async fn a_task_that_is_canceled_while_it_waits_says_nothing() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    daemon.control.hold(Phase::Decode);
    audit.submit(&daemon, prompt()).await;
    daemon.control.until(|counts| counts.running == 1).await;
    submit(&audit, &daemon, prompt()).await;
    audit.expect(204, daemon.address, Ask::post(&task("cancel", ID))).await;
    insta::assert_snapshot!("canceled_waiting", read(&audit, &daemon).await);
}

#[tokio::test]
async fn a_task_that_cannot_be_decoded_says_so_in_its_end() {
    let audit = Audit::new();
    let (daemon, _engine) = playing(vec![Attempt::new(&["Once", " upon"], Outcome::Decode)]).await;
    submit(&audit, &daemon, prompt()).await;
    insta::assert_snapshot!("failed", read(&audit, &daemon).await);
}

/// ORCH-STREAM-4, ORCH-REPL-8
#[tokio::test]
async fn a_task_whose_engine_dies_says_so_in_its_end() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    daemon.control.hold(Phase::Prefill);
    submit(&audit, &daemon, prompt()).await;
    for death in 1..=2 {
        daemon.control.until(|counts| counts.submitted == death && counts.running == 1).await;
        daemon.control.crash(&ExitReason::Signal(9));
        daemon.tell(ReplicaEventKind::Gone { reason: ExitReason::Signal(9) }).await;
        daemon.control.until(|counts| counts.lost == death).await;
        daemon.bring_up().await;
    }
    insta::assert_snapshot!("worker_reset", read(&audit, &daemon).await);
}

/// ORCH-QUEUE-4
#[tokio::test]
async fn a_task_that_made_room_says_so_in_its_end() {
    let audit = Audit::new();
    let daemon = TestDaemon::queueing(FullPolicy::DropLru);
    daemon.bring_up().await;
    daemon.control.hold(Phase::Decode);
    audit.submit(&daemon, prompt()).await;
    daemon.control.until(|counts| counts.running == 1).await;
    let batch = json!({"prompt": "one two", "priority": "batch"});
    submit(&audit, &daemon, batch.clone()).await;
    for _ in 0..test_daemon::LANE_BOUND {
        audit.submit(&daemon, batch.clone()).await;
    }
    insta::assert_snapshot!("evicted", read(&audit, &daemon).await);
}

#[tokio::test]
async fn a_task_that_waits_when_the_daemon_stops_hears_of_it() {
    let (audit, mut daemon) = (Audit::new(), TestDaemon::new().await);
    daemon.control.hold(Phase::Decode);
    audit.submit(&daemon, prompt()).await;
    daemon.control.until(|counts| counts.running == 1).await;
    submit(&audit, &daemon, prompt()).await;
    daemon.begin_stop().await;
    insta::assert_snapshot!("stopping", read(&audit, &daemon).await);
}

/// ORCH-STREAM-5, ORCH-STREAM-6
#[tokio::test]
async fn a_reader_that_comes_back_gets_the_rest() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    submit(&audit, &daemon, prompt()).await;
    let whole = read(&audit, &daemon).await;
    let mut rest = Vec::new();
    for last in ["0", "1", "2"] {
        let ask = Ask::get(&task("stream", ID)).header("Last-Event-ID", last);
        let stream = audit.expect(200, daemon.address, ask).await;
        let text = transcript(stream.text());
        let event = format!("id: {last}\n");
        let after = whole.split_once(&event).and_then(|(_, after)| after.split_once("\n\n")).unwrap().1;
        assert!(text.ends_with(after), "{text} is not the rest of {whole} after {last}");
        rest.push(format!("Last-Event-ID: {last}\n\n{text}"));
    }
    insta::assert_snapshot!("replay", rest.join("---\n"));
}

/// ORCH-STREAM-9
#[tokio::test]
async fn closing_a_stream_cancels_nothing() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    daemon.control.hold(Phase::Decode);
    submit(&audit, &daemon, prompt()).await;
    daemon.control.pass(Phase::Decode, 1);
    daemon.control.until(|counts| counts.tokens == 1).await;
    let reader = audit::open_stream(daemon.address, ID).await;
    drop(reader);
    daemon.control.release(Phase::Decode);
    let stream = read(&audit, &daemon).await;
    assert!(stream.contains("\"stop\""), "{stream}");
    assert_eq!((daemon.control.counts().cancels, daemon.control.counts().ended), (0, 1));
}

/// Bytes of an answer that no socket holds for a reader who does not read.
const LARGE: usize = 8 << 20;

/// ORCH-STREAM-8
#[tokio::test]
async fn a_reader_that_reads_nothing_holds_up_nobody() {
    let piece = "x".repeat(64 * 1024);
    let says: Vec<&str> = std::iter::repeat_n(piece.as_str(), LARGE / piece.len()).collect();
    let audit = Audit::new();
    let (daemon, _engine) = playing(vec![Attempt::new(&says, Outcome::Stop)]).await;
    submit(&audit, &daemon, prompt()).await;
    let idle = audit::open_stream(daemon.address, ID).await;
    let stream = audit.expect(200, daemon.address, Ask::get(&task("stream", ID))).await;
    assert!(stream.text().len() > LARGE, "{} bytes", stream.text().len());
    assert_eq!(events(stream.text()).last().unwrap().data["finish_reason"], "stop");
    drop(idle);
}

/// Reading the contract takes longer than a case.
static AUDIT: LazyLock<Audit> = LazyLock::new(Audit::new);

/// What a stream says, event by event.
fn events(text: &str) -> Vec<Event> {
    contract::events(text).unwrap()
}

/// Plays `attempts`, cancels where the engine says that it waits for it, and reads the stream twice.
async fn play(attempts: Vec<Attempt>, last: Option<u64>) -> Result<(), TestCaseError> {
    let audit = AUDIT.clone();
    let said: String = attempts.iter().flat_map(|attempt| attempt.says.clone()).collect();
    let first = attempts.first().cloned();
    let (daemon, engine) = playing(attempts).await;
    submit(&audit, &daemon, prompt()).await;
    let reader = audit.expect(200, daemon.address, Ask::get(&task("stream", ID)));
    let steer = async {
        loop {
            match engine.happens().await {
                scripted::Happens::WaitsForCancel => {
                    audit.expect(204, daemon.address, Ask::post(&task("cancel", ID))).await;
                    engine.hears();
                }
                scripted::Happens::Died => daemon.serve_with(engine.clone()).await,
            }
        }
    };
    let stream = tokio::select! {
        stream = reader => stream,
        () = steer => unreachable!("it goes on until the stream has ended"),
    };
    // The contract has been held to it already: `started`, tokens in order, one `end`, each as described.
    let live = events(stream.text());
    let tokens = &live[1..live.len() - 1];
    for (index, token) in (0u64..).zip(tokens) {
        prop_assert_eq!(token.id, Some(index));
    }
    let text: String = tokens.iter().map(|token| token.data["t"].as_str().unwrap()).collect();
    prop_assert!(said.starts_with(&text), "{:?} is not what was said, {:?}", text, said);
    // An engine that is lost before it has said anything is not seen: the task is retried.
    let seen = |first: &Attempt| match first.fate {
        Outcome::Dies => false,
        Outcome::Lost => !first.says.is_empty(),
        _ => true,
    };
    if let Some(Attempt { says, fate, .. }) = first.filter(seen) {
        let end = &live[live.len() - 1].data;
        prop_assert_eq!(tokens.len(), says.len());
        prop_assert_eq!(&end["finish_reason"], fate.finish_reason());
    }
    let again = audit.expect(200, daemon.address, Ask::get(&task("stream", ID))).await;
    let replayed = events(again.text());
    prop_assert_eq!(&replayed[1..], &live[1..], "a replay says the same");
    if let Some(last) = last {
        let ask = Ask::get(&task("stream", ID)).header("Last-Event-ID", &last.to_string());
        let rest = events(audit.expect(200, daemon.address, ask).await.text());
        let from = usize::try_from(last + 1).unwrap().min(tokens.len());
        prop_assert_eq!(&rest[1..], &live[1 + from..], "the rest after {}", last);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// ORCH-STREAM-1, ORCH-STREAM-2, HOME-API-6
    #[test]
    fn whatever_the_engine_does_the_stream_keeps_its_grammar(
        attempts in prop::collection::vec(scripted::attempt(), 1..4),
        last in prop::option::of(0u64..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(attempts, last))?;
    }
}
