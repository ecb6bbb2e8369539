//! What an answer over HTTP has to say.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Said, Steps};
use crate::world::World;

pub fn steps(steps: Steps) -> Steps {
    steps
        .step("the status is {number}", |world, said| {
            Box::pin(async move {
                assert_eq!(u64::from(world.reply().status), said.number(0), "{:?}", world.reply());
            })
        })
        .step("the field {text} is {text}", |world, said| {
            Box::pin(async move { is(world, &said.text(0), &Value::from(said.text(1))) })
        })
        .step("the field {text} is {json}", |world, said| {
            Box::pin(async move { is(world, &said.text(0), &serde_json::from_str(&said.text(1)).unwrap()) })
        })
        .step("the field {text} contains {text}", |world, said| {
            Box::pin(async move { contains(world, &said.text(0), &said.text(1)) })
        })
        .step("the body is empty", |world, _| Box::pin(async move { assert_eq!(world.reply().body, "") }))
        .step("the message contains {text}", |world, said| {
            Box::pin(async move { contains(world, "message", &said.text(0)) })
        })
        .step("the body is exactly", |world, said| {
            Box::pin(async move {
                let wanted: Value = serde_json::from_str(&said.block()).unwrap();
                assert_eq!(world.reply().json(), wanted);
            })
        })
        .step("the body has exactly the keys {text}", |world, said| {
            Box::pin(async move {
                let json = world.reply().json();
                let keys: BTreeSet<_> = json.as_object().expect("an object").keys().cloned().collect();
                let wanted: BTreeSet<_> = said.text(0).split(", ").map(str::to_owned).collect();
                assert_eq!(keys, wanted, "{}", world.reply().body);
            })
        })
        .step("it is an error envelope with the code {text}", |world, said| {
            Box::pin(async move {
                envelope(world);
                is(world, "code", &Value::from(said.text(0)));
            })
        })
        .step("the header {text} is {text}", |world, said| {
            Box::pin(async move {
                let have = world.reply().headers.get(&said.text(0));
                assert_eq!(have, Some(&said.text(1)), "{:?}", world.reply());
            })
        })
        .step("a wait of 1 to 60 s is told in the headers and in the body", |world, _| {
            Box::pin(async move { wait_is_told(world) })
        })
}

fn is(world: &World, field: &str, wanted: &Value) {
    assert_eq!(world.reply().field(field), *wanted, "`{field}` of {}", world.reply().body);
}

fn contains(world: &World, field: &str, wanted: &str) {
    let text = world.reply().field(field);
    let text = text.as_str().expect("it is a text");
    assert!(text.contains(wanted), "{text}");
}

/// All five keys, whether they say something or not.
fn envelope(world: &World) {
    let json = world.reply().json();
    let mut keys: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["code", "engine", "message", "retriable", "retry_after_ms"], "{json}");
    assert!(json["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
    assert_eq!(world.reply().headers["content-type"], "application/json");
}

fn wait_is_told(world: &World) {
    let reply = world.reply();
    let header = |name: &str| reply.headers.get(name).and_then(|value| value.parse::<u64>().ok());
    let (seconds, ms) = (header("retry-after").unwrap(), header("x-backoff-ms").unwrap());
    assert!((1..=60).contains(&seconds), "{reply:?}");
    assert_eq!(seconds, ms.div_ceil(1000).clamp(1, 60), "{reply:?}");
    assert_eq!(reply.field("retry_after_ms"), Value::from(ms));
    assert_eq!(reply.field("retriable"), Value::from(true));
}
