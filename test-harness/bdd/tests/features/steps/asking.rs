//! Requests, as anyone could send them.

use harness::TOKEN;
use reqwest::{Method, RequestBuilder};

use super::{Said, Steps};
use crate::world::{Reply, World};

pub fn steps(steps: Steps) -> Steps {
    steps
        .step("I {method} {text}", |world, said| {
            Box::pin(async move {
                let ask = request(world, &said.text(0), &said.text(1)).bearer_auth(TOKEN);
                send(world, ask).await;
            })
        })
        .step("I {method} {text} without a token", |world, said| {
            Box::pin(async move {
                let ask = request(world, &said.text(0), &said.text(1));
                send(world, ask).await;
            })
        })
        .step("I {method} {text} with the body", |world, said| {
            Box::pin(async move {
                let home = world.daemon().home();
                let body = said.block().replace("$HOME", &home.to_string_lossy());
                let ask = request(world, &said.text(0), &said.text(1)).bearer_auth(TOKEN).body(body);
                send(world, ask).await;
            })
        })
        .step("I {method} {text} with a body of {number} bytes", |world, said| {
            Box::pin(async move {
                let body = format!("{{\"prompt\":\"{}\"}}", "x".repeat(said.number(2) as usize));
                let ask = request(world, &said.text(0), &said.text(1)).bearer_auth(TOKEN).body(body);
                send(world, ask).await;
            })
        })
        .step("I {method} the {word} of {text}", |world, said| {
            Box::pin(async move {
                let path = format!("/v1/tasks/{}/{}", world.task(&said.text(2)), said.text(1));
                let ask = request(world, &said.text(0), &path).bearer_auth(TOKEN);
                send(world, ask).await;
            })
        })
}

fn request(world: &World, method: &str, path: &str) -> RequestBuilder {
    let daemon = world.daemon();
    daemon.http.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", daemon.url))
}

async fn send(world: &mut World, ask: RequestBuilder) {
    let answer = async { Reply::of(ask.send().await.unwrap()).await };
    world.reply = Some(tokio::time::timeout(harness::LIMIT, answer).await.expect("an answer in time"));
}
