use harness::executable::model;
use harness::tasks::{batch, chat, endless, prompt, text_of};
use harness::{Daemon, Setup, read};
use openapi_client::types::{Determinism, FinishReason, LogitBias, Message, Role, Sampling, TaskRequest};
use openapi_client::{Event, Failure};
use uuid::Uuid;

/// ORCH-STREAM-2
#[tokio::test]
async fn a_question_is_answered_and_its_figures_are_true() {
    let daemon = Daemon::open::<&str>(&[]).await;
    let answer = daemon.ask(&chat("What is the capital of France? Answer in one word.", 32)).await;
    assert!(answer.text().contains("Paris"), "{}", answer.text());
    assert_eq!(answer.end.finish_reason, FinishReason::Stop);
    assert!(answer.end.tokens_in > 10 && answer.end.tokens_out > 0);
    let health = daemon.health().await;
    let replica = &health.pools.as_ref().unwrap()[0].replicas[0];
    assert!(replica.decode_tokens_per_s.is_some_and(|speed| speed > 1.0));
    assert!(health.build.is_some_and(|build| build.contains("native") || build.contains("portable")));
}

/// ORCH-WORKER-8, ORCH-CONF-15
#[tokio::test]
async fn an_answer_of_a_small_model_that_repeats_itself_ends_unless_the_pool_lets_it_go_on() {
    // Every token but one is improbable: token 28 of the starter model is a letter.
    let letter = LogitBias { token: Some(28), text: None, bias: 100.0 };
    let mut looping = prompt("Count: one two three", 560);
    looping.sampling.get_or_insert_default().logit_bias = Some(vec![letter]);
    let model = Some(format!("file:{}", model().display()));
    let options = vec!["pools[0].threads=1".to_owned()];
    let by_itself = Daemon::start(&Setup { model, options, ..Setup::default() }).await;
    by_itself.ready().await;
    let ended = by_itself.ask(&looping).await;
    assert_eq!((ended.end.finish_reason, ended.end.tokens_out), (FinishReason::Length, 512));
    by_itself.logged("an answer repeats itself and is ended").await;
    let daemon = Daemon::open(&["pools[0].defaults.loop_tokens=0"]).await;
    assert_eq!(daemon.ask(&looping).await.end.tokens_out, 560);
}

/// ORCH-STREAM-5
#[tokio::test]
async fn a_stream_replays_from_the_start_and_from_where_a_reader_left_off() {
    let daemon = Daemon::open::<&str>(&[]).await;
    let accepted = daemon.submit(&prompt("Once upon a time", 24)).await.unwrap();
    let whole = daemon.read(accepted.task_id, None).await;
    assert_eq!(daemon.read(accepted.task_id, None).await, whole);
    let rest = daemon.read(accepted.task_id, Some(9)).await;
    assert_eq!(rest.tokens, whole.tokens[10..]);
    assert_eq!(rest.end, whole.end);
}

/// ORCH-TASK-2
#[tokio::test]
async fn the_same_task_sent_twice_runs_once() {
    let daemon = Daemon::open::<&str>(&[]).await;
    let task = TaskRequest { task_id: Some(Uuid::new_v4()), ..prompt("One, two,", 8) };
    let first = daemon.ask(&task).await;
    assert_eq!(daemon.ask(&task).await, first);
    let other = TaskRequest { max_tokens: Some(9), ..task };
    let Err(Failure::Refused(refusal)) = daemon.submit(&other).await else { panic!("it is another task") };
    assert_eq!(refusal.status, 400);
}

/// ORCH-SESS-1
#[tokio::test]
async fn a_conversation_finds_its_cache_again_until_it_is_evicted() {
    let daemon = Daemon::open::<&str>(&[]).await;
    let session = Uuid::new_v4();
    let in_session = |task| TaskRequest { session_id: Some(session), ..task };
    daemon.ask(&in_session(prompt(&text_of(200), 4))).await;
    let first = daemon.client.get_session(&session).await.unwrap().into_inner();
    assert_eq!(first.turns, 1);
    assert!(first.kv_bytes > 0 && first.kv_warmth > 0.9, "{first:?}");
    daemon.ask(&in_session(prompt(&text_of(400), 4))).await;
    let second = daemon.client.get_session(&session).await.unwrap().into_inner();
    assert!(second.turns == 2 && second.kv_bytes > first.kv_bytes, "{second:?}");
    daemon.client.delete_session(&session).await.unwrap();
    assert_eq!(daemon.client.get_session(&session).await.unwrap_err().status().unwrap(), 404);
}

/// ORCH-DET-1
#[tokio::test]
async fn strict_gives_the_same_answer_alone_and_in_company() {
    let daemon = Daemon::open(&["pools[0].slots=4"]).await;
    let sampling = Sampling { temperature: Some(1.0), ..Sampling::default() };
    let strict = TaskRequest {
        determinism: Some(Determinism::Strict),
        seed: Some(7),
        sampling: Some(sampling),
        ..prompt("The old lighthouse keeper said", 32)
    };
    let alone = daemon.ask(&strict).await;
    let mut company = Vec::new();
    for _ in 0..3 {
        company.push(daemon.submit(&batch(prompt(&text_of(300), 40))).await.unwrap().task_id);
    }
    let among_others = daemon.ask(&strict).await;
    assert_eq!(among_others.tokens, alone.tokens);
    for task in company {
        daemon.read(task, None).await;
    }
}

/// ORCH-CANCEL-1
#[tokio::test]
async fn a_task_is_canceled_in_every_phase_and_the_next_one_is_served() {
    let daemon = Daemon::open(&["pools[0].slots=1"]).await;
    // Decoding: cancel after some tokens.
    let decoding = daemon.submit(&endless(400)).await.unwrap().task_id;
    // Queued: behind the one that decodes.
    let queued = daemon.submit(&prompt("never read", 8)).await.unwrap().task_id;
    let mut events = daemon.events(decoding, None).await;
    let mut seen = 0;
    while seen < 3 {
        seen += u64::from(matches!(events.next().await.unwrap().unwrap(), Event::Token(_)));
    }
    daemon.client.cancel_task(&queued).await.unwrap();
    daemon.client.cancel_task(&decoding).await.unwrap();
    daemon.client.cancel_task(&decoding).await.unwrap();
    for (task, tokens) in [(queued, 0), (decoding, 400)] {
        let answer = daemon.read(task, None).await;
        assert_eq!(answer.end.finish_reason, FinishReason::Canceled);
        assert!(answer.end.tokens_out <= tokens);
    }
    // Reading the prompt: long enough that the cancel comes before the first token.
    let reading = daemon.submit(&prompt(&text_of(3000), 8)).await.unwrap().task_id;
    daemon.until("busy", |health| health.pools.as_ref().unwrap()[0].replicas[0].slots_busy == 1).await;
    daemon.client.cancel_task(&reading).await.unwrap();
    let answer = read(daemon.events(reading, None).await, None).await;
    assert_eq!((answer.end.finish_reason, answer.tokens.len()), (FinishReason::Canceled, 0));
    let next = daemon.ask(&prompt("One, two,", 4)).await;
    assert_eq!(next.end.finish_reason, FinishReason::Length);
    assert_eq!(daemon.client.cancel_task(&Uuid::new_v4()).await.unwrap_err().status().unwrap(), 404);
}

/// ORCH-TASK-6
#[tokio::test]
async fn a_prompt_that_does_not_fit_is_refused_with_the_numbers() {
    let daemon = Daemon::open(&["pools[0].ctx=512"]).await;
    let Err(Failure::Refused(refusal)) = daemon.submit(&prompt(&text_of(1000), 8)).await else {
        panic!("it does not fit")
    };
    assert_eq!(refusal.status, 400);
    assert!(
        refusal.envelope.message.contains("maximum context length is 512"),
        "{}",
        refusal.envelope.message
    );
    let answer = daemon.ask(&TaskRequest { max_tokens: None, ..prompt(&text_of(480), 0) }).await;
    assert_eq!(answer.end.finish_reason, FinishReason::Length, "a full context ends with `length`");
    assert!(answer.end.tokens_in + answer.end.tokens_out >= 511);
}

/// ORCH-CONF-14, ORCH-CONF-15, ORCH-TASK-10
#[tokio::test]
async fn a_pools_defaults_hold_under_each_of_its_names_where_a_request_does_not_say_otherwise() {
    let daemon = Daemon::open(&[
        "pools[0].aliases=gpt-4o-mini",
        "pools[0].defaults.system_prompt=You are a parrot.",
        "pools[0].defaults.sampling.temperature=0",
        // Where a conversation is moved meanwhile, of two words that are as probable another one may come.
        "pools[0].kv_cache.ram_mb=0",
    ])
    .await;
    let asked = |seed| TaskRequest {
        model_ref: Some("gpt-4o-mini".to_owned()),
        seed: Some(seed),
        sampling: None,
        ..chat("Tell me about the sea.", 16)
    };
    let silent = daemon.ask(&asked(1)).await;
    assert_eq!(daemon.ask(&asked(2)).await.text(), silent.text(), "the pool's temperature is 0");
    let mut said = asked(3);
    let system = Message { role: Role::System, content: "You are a parrot.".to_owned() };
    said.messages.get_or_insert_default().insert(0, system);
    let said = daemon.ask(&said).await;
    assert_eq!((said.text(), said.end.tokens_in), (silent.text(), silent.end.tokens_in));
    let sampling = Sampling { temperature: Some(3.0), ..Sampling::default() };
    let warm = TaskRequest { sampling: Some(sampling), ..asked(4) };
    assert_ne!(daemon.ask(&warm).await.text(), silent.text(), "the request says otherwise");
}
