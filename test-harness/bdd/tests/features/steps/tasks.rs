//! Tasks by name: submitted, read, canceled, and what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use harness::stream::{read_to_end, read_tokens};
use harness::{LIMIT, TOKEN, tasks};
use openapi_client::types::{TaskRequest, Workload};
use serde_json::Value;

use super::{Said, Steps};
use crate::world::{Reply, World};

/// More tokens than a scenario waits for.
const ENDLESS_TOKENS: u32 = 4000;

pub fn steps(steps: Steps) -> Steps {
    ends(streams(cancels(submitting(steps))))
}

fn submitting(steps: Steps) -> Steps {
    steps
        .step("I submit the task {text} with", |world, said| {
            Box::pin(async move {
                let body = said.block();
                submit_json(world, &said.text(0), body).await;
            })
        })
        .step("I submit an endless {word} task {text}", |world, said| {
            Box::pin(async move {
                let task = in_lane(tasks::endless(ENDLESS_TOKENS), &said.text(0));
                submit(world, &said.text(1), task).await;
            })
        })
        .step("I submit {a} {word} task {text} of {number} tokens", |world, said| {
            Box::pin(async move {
                let max_tokens = u32::try_from(said.number(2)).unwrap();
                submit(world, &said.text(1), in_lane(tasks::endless(max_tokens), &said.text(0))).await;
            })
        })
        .step("I submit {number} {word} tasks {text} of {number} tokens", |world, said| {
            Box::pin(async move {
                for number in 1..=said.number(0) {
                    let max_tokens = u32::try_from(said.number(3)).unwrap();
                    let name = format!("{}{number}", said.text(2));
                    submit(world, &name, in_lane(tasks::endless(max_tokens), &said.text(1))).await;
                }
            })
        })
        .step("{text} is running", |world, said| {
            Box::pin(async move {
                let mut events = world.daemon().events(world.task(&said.text(0)), None).await;
                read_tokens(&mut events, 3).await;
                world.open.insert(said.text(0), events);
            })
        })
}

fn cancels(steps: Steps) -> Steps {
    steps.step("I cancel {text}", |world, said| {
        Box::pin(async move {
            let answer = world.daemon().client.cancel_task(&world.task(&said.text(0))).await.unwrap();
            assert_eq!(answer.status(), 204);
        })
    })
}

fn streams(steps: Steps) -> Steps {
    steps
        .step("I open the stream of {text}", |world, said| {
            Box::pin(async move {
                let events = world.daemon().events(world.task(&said.text(0)), None).await;
                world.open.insert(said.text(0), events);
            })
        })
        .step("the open stream of {text} ends with {text}", |world, said| {
            Box::pin(async move {
                let mut events = world.open.remove(&said.text(0)).expect("the stream is open");
                let end = read_to_end(&mut events).await;
                assert_eq!(end.finish_reason.to_string(), said.text(1));
            })
        })
        .step("a comment comes on the stream of {text}", |world, said| {
            Box::pin(async move {
                let name = said.text(0);
                read_until_comment(&mut open_raw(world, &name).await).await;
            })
        })
        .step("I GET the stream of {text}, canceling {text} when a comment comes", |world, said| {
            Box::pin(async move {
                let mut stream = open_raw(world, &said.text(0)).await;
                let mut text = read_until_comment(&mut stream).await;
                world.daemon().client.cancel_task(&world.task(&said.text(1))).await.unwrap();
                let rest = stream.text();
                text += &tokio::time::timeout(LIMIT, rest).await.expect("it ends in time").unwrap();
                world.reply = Some(Reply { status: 200, headers: BTreeMap::new(), body: text });
            })
        })
        .step("the stream of {text} becomes {number}", |world, said| {
            Box::pin(async move {
                let path = format!("/v1/tasks/{}/stream", world.task(&said.text(0)));
                becomes(world, &path, said.number(1)).await;
            })
        })
        .step("{text} becomes {number}", |world, said| {
            Box::pin(async move { becomes(world, &said.text(0), said.number(1)).await })
        })
        .step("the stream goes from {text} over tokens {number} to {number} to {text}", |world, said| {
            Box::pin(async move {
                let events = events(&world.reply().body);
                let names: Vec<_> = events.iter().map(|event| event.name.clone()).collect();
                let tokens: Vec<_> = events.iter().filter_map(|event| event.id).collect();
                assert_eq!(tokens, (said.number(1)..=said.number(2)).collect::<Vec<_>>(), "{names:?}");
                assert_eq!((names.first(), names.last()), (Some(&said.text(0)), Some(&said.text(3))));
                assert_eq!(names.len(), tokens.len() + 2, "{names:?}");
            })
        })
        .step("the event {text} has exactly the keys {text}", |world, said| {
            Box::pin(async move {
                let events = events(&world.reply().body);
                let event =
                    events.iter().find(|event| event.name == said.text(0)).expect("the event is there");
                let keys: BTreeSet<_> = event.data.as_object().expect("an object").keys().cloned().collect();
                let wanted: BTreeSet<_> = said.text(1).split(", ").map(str::to_owned).collect();
                assert_eq!(keys, wanted);
            })
        })
        .step("the stream holds a comment", |world, _| {
            Box::pin(async move {
                assert!(
                    world.reply().body.lines().any(|line| line.starts_with(':')),
                    "{}",
                    world.reply().body
                );
            })
        })
        .step("reading {text} again from its start gives the same", |world, said| {
            Box::pin(async move {
                let first = world.answer(&said.text(0)).await;
                let again = world.daemon().read(world.task(&said.text(0)), None).await;
                assert_eq!((again.tokens, again.end), (first.tokens, first.end));
            })
        })
}

fn ends(steps: Steps) -> Steps {
    steps
        .step("all tasks have ended", |world, _| {
            Box::pin(async move {
                let daemon = world.daemon();
                let reading = world.tasks.iter().map(|(name, task)| {
                    let daemon = &daemon;
                    async move { (name.clone(), daemon.read(*task, None).await) }
                });
                let mut reading: FuturesUnordered<_> = reading.collect();
                let mut ended = Vec::new();
                while let Some((name, answer)) = reading.next().await {
                    ended.push((name, answer));
                }
                for (place, (name, answer)) in ended.into_iter().enumerate() {
                    world.numbers.insert(format!("the end of {name}"), place as u64);
                    world.answers.insert(name, answer);
                }
            })
        })
        .step("they ended in the order {text}", |world, said| {
            Box::pin(async move {
                let mut names: Vec<_> = world.answers.keys().cloned().collect();
                names.sort_by_key(|name| world.numbers[&format!("the end of {name}")]);
                assert_eq!(names.join(", "), said.text(0));
            })
        })
        .step("{text} ends with {text}", |world, said| {
            Box::pin(async move {
                let end = world.answer(&said.text(0)).await.end;
                assert_eq!(end.finish_reason.to_string(), said.text(1), "{end:?}");
                assert_eq!(end.error.is_some(), said.text(1) == "error", "{end:?}");
            })
        })
        .step("{text} has {number} tokens", |world, said| {
            Box::pin(async move {
                let answer = world.answer(&said.text(0)).await;
                assert_eq!(
                    (answer.tokens.len() as u64, u64::from(answer.end.tokens_out)),
                    (said.number(1), said.number(1))
                );
            })
        })
        .step("{text} has fewer than {number} tokens", |world, said| {
            Box::pin(async move {
                let answer = world.answer(&said.text(0)).await;
                assert!((answer.tokens.len() as u64) < said.number(1), "{:?}", answer.end);
            })
        })
}

fn in_lane(task: TaskRequest, lane: &str) -> TaskRequest {
    let priority = lane.parse().unwrap_or_else(|_| panic!("`{lane}` is a lane"));
    TaskRequest { priority: Some(priority), workload: Some(Workload::Completion), ..task }
}

async fn submit(world: &mut World, name: &str, task: TaskRequest) {
    submit_json(world, name, serde_json::to_string(&task).unwrap()).await;
    assert_eq!(world.reply().status, 202, "{:?}", world.reply());
}

/// Sends a task as it stands; it has a name when it was taken.
async fn submit_json(world: &mut World, name: &str, body: String) {
    let daemon = world.daemon();
    let ask = daemon.http.post(format!("{}/v1/tasks", daemon.url)).bearer_auth(TOKEN).body(body);
    let reply = Reply::of(ask.send().await.unwrap()).await;
    if reply.status == 202 {
        let id = reply.field("task_id").as_str().and_then(|id| id.parse().ok());
        world.tasks.insert(name.to_owned(), id.expect("a task has an id"));
    }
    world.reply = Some(reply);
}

/// A stream as bytes.
async fn open_raw(world: &World, name: &str) -> reqwest::Response {
    let daemon = world.daemon();
    let ask = daemon.http.get(format!("{}/v1/tasks/{}/stream", daemon.url, world.task(name)));
    ask.bearer_auth(TOKEN).send().await.unwrap()
}

async fn read_until_comment(stream: &mut reqwest::Response) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.lines().any(|line| line.starts_with(':')) {
            let bytes = stream.chunk().await.unwrap().expect("the stream goes on");
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    };
    tokio::time::timeout(LIMIT, reading).await.expect("a comment in time");
    text
}

/// Asks until the status is so.
async fn becomes(world: &World, path: &str, status: u64) {
    let daemon = world.daemon();
    let waiting = async {
        loop {
            let ask = daemon.http.get(format!("{}{path}", daemon.url)).bearer_auth(TOKEN);
            if u64::from(ask.send().await.unwrap().status().as_u16()) == status {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect("the status in time");
}

struct Event {
    name: String,
    id: Option<u64>,
    data: Value,
}

/// The events of a stream; comments are left out.
fn events(text: &str) -> Vec<Event> {
    let blocks = text.split_terminator("\n\n").filter(|block| !block.starts_with(':'));
    let events = blocks.map(|block| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Event {
            name: field("event").expect("an event has a name").to_owned(),
            id: field("id").map(|id| id.parse().unwrap()),
            data: serde_json::from_str(field("data").expect("an event has data")).unwrap(),
        }
    });
    events.collect()
}
