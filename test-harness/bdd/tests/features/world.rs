//! What a scenario has in its hands: a daemon, the last answer, tasks by the names the scenario gives them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Output;
use std::rc::Rc;

use harness::{Answer, Daemon, Setup};
use openapi_client::Events;
use serde_json::Value;
use uuid::Uuid;

thread_local! {
    /// The daemon that the next scenario may go on with, and the options it was started with.
    static SHARED: RefCell<Option<(Vec<String>, Rc<Daemon>)>> = const { RefCell::new(None) };
}

/// One scenario's state.
#[derive(Debug, Default)]
pub struct World {
    daemon: Option<Rc<Daemon>>,
    /// The last answer over HTTP.
    pub reply: Option<Reply>,
    /// Tasks by their names here, in the order of the scenario.
    pub tasks: BTreeMap<String, Uuid>,
    /// Tasks that were read to their end.
    pub answers: BTreeMap<String, Answer>,
    /// Streams that are open.
    pub open: BTreeMap<String, Events>,
    /// Numbers that the scenario noted.
    pub numbers: BTreeMap<String, u64>,
    /// The daemon's workers when the scenario noted them.
    pub workers: Vec<u32>,
    /// How a daemon is started that the scenario describes piece by piece.
    pub setup: Setup,
    /// What a command said that ran to its end, and its home.
    pub output: Option<Output>,
}

/// An answer over HTTP, read whole.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Reply {
    pub async fn of(response: reqwest::Response) -> Self {
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Self {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body: response.text().await.unwrap(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The value at a path such as `pools[0].state`.
    pub fn field(&self, path: &str) -> Value {
        let mut value = &self.json();
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let next = match step.strip_suffix(']') {
                Some(index) => value.get(index.parse::<usize>().unwrap()),
                None => value.get(step),
            };
            value = next.unwrap_or_else(|| panic!("there is no `{path}` in {}", self.body));
        }
        value.clone()
    }
}

impl cucumber::World for World {
    type Error = std::convert::Infallible;

    async fn new() -> Result<Self, Self::Error> {
        Ok(Self::default())
    }
}

impl World {
    /// The scenario's daemon.
    pub fn daemon(&self) -> Rc<Daemon> {
        Rc::clone(self.daemon.as_ref().expect("a scenario begins with `Given a daemon`"))
    }

    /// Goes on with the daemon of the scenario before where it was started with the same options and serves;
    /// otherwise starts one.
    pub async fn share(&mut self, options: Vec<String>) {
        let kept =
            SHARED.with_borrow_mut(Option::take).filter(|(of, daemon)| *of == options && daemon.is_running());
        let daemon = match kept {
            Some((_, daemon)) => {
                daemon.ready().await;
                daemon
            }
            None => Rc::new(Daemon::open(&options).await),
        };
        SHARED.set(Some((options, Rc::clone(&daemon))));
        self.daemon = Some(daemon);
    }

    /// Takes a daemon that no other scenario sees.
    pub fn own(&mut self, daemon: Daemon) {
        close_shared();
        self.daemon = Some(Rc::new(daemon));
    }

    pub fn reply(&self) -> &Reply {
        self.reply.as_ref().expect("something was asked")
    }

    pub fn task(&self, name: &str) -> Uuid {
        *self.tasks.get(name).unwrap_or_else(|| panic!("no task is called `{name}`: {:?}", self.tasks))
    }

    /// What a task said, read to its end the first time it is asked for.
    pub async fn answer(&mut self, name: &str) -> Answer {
        if let Some(answer) = self.answers.get(name) {
            return answer.clone();
        }
        let answer = self.daemon().read(self.task(name), None).await;
        self.answers.insert(name.to_owned(), answer.clone());
        answer
    }

    /// Leaves nothing behind for the next scenario.
    pub async fn leave(world: Option<&mut Self>) {
        let Some(world) = world else { return };
        world.open.clear();
        let Some(daemon) = world.daemon.take().filter(|daemon| daemon.is_running()) else { return };
        let is_shared = SHARED
            .with_borrow(|shared| shared.as_ref().is_some_and(|(_, shared)| Rc::ptr_eq(shared, &daemon)));
        if is_shared {
            for task in world.tasks.values() {
                // A task that the daemon has forgotten needs no cancel.
                let _ = daemon.client.cancel_task(task).await;
            }
            daemon.idle().await;
        }
    }
}

/// Ends the daemon that scenarios share.
pub fn close_shared() {
    drop(SHARED.with_borrow_mut(Option::take));
}
