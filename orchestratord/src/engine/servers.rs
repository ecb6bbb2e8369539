//! Several attached servers as the replicas of one pool: which replica is which server, and that all of them are the
//! same engine with the same model.
//!
//! Rules: ORCH-ENG-25

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use engine_api::{Engine, EngineFactory, EngineFacts, EngineKind, LoadProgress, ReplicaSpec, StartError};
use futures_util::future::{BoxFuture, FutureExt};
use orchestrator_core::ReplicaId;

/// Attaches each replica to a server of its own.
pub(super) struct Servers {
    kind: EngineKind,
    servers: Vec<Arc<dyn EngineFactory>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Which replica each server is, the one that came first at the front.
    assigned: Vec<(ReplicaId, usize)>,
    /// The engines that are attached.
    attached: Vec<Weak<dyn Engine>>,
}

impl Servers {
    /// One replica for each of `servers`, all of one kind.
    pub(super) fn new(kind: EngineKind, servers: Vec<Arc<dyn EngineFactory>>) -> Self {
        Self { kind, servers, state: Mutex::default() }
    }

    /// The server of a replica: always the same one. A replica that is new gets one that none has, or else that of the
    /// replica that came first: the replicas of a fleet before it are on their way out.
    fn assign(&self, replica: &ReplicaId) -> usize {
        let assigned = &mut self.state().assigned;
        if let Some((_, server)) = assigned.iter().find(|(known, _)| known == replica) {
            return *server;
        }
        let is_free = |server: &usize| assigned.iter().all(|(_, taken)| taken != server);
        let server = (0..self.servers.len()).find(is_free).unwrap_or_else(|| assigned.remove(0).1);
        assigned.push((replica.clone(), server));
        server
    }

    /// Takes an engine in, if it is what the others are.
    fn admit(&self, engine: &Arc<dyn Engine>) -> Result<(), StartError> {
        let attached = &mut self.state().attached;
        attached.retain(|engine| engine.strong_count() > 0);
        let other = attached.iter().find_map(Weak::upgrade);
        if let Some(difference) = other.and_then(|other| difference(engine.facts(), other.facts())) {
            return Err(StartError::Engine(format!(
                "the servers of a pool must be alike, and {difference}\nhint: correct `server.url`, or make a pool of its \
                 own for it"
            )));
        }
        attached.push(Arc::downgrade(engine));
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EngineFactory for Servers {
    fn kind(&self) -> EngineKind {
        self.kind
    }

    fn start(
        &self,
        spec: ReplicaSpec,
        progress: LoadProgress,
    ) -> BoxFuture<'_, Result<Arc<dyn Engine>, StartError>> {
        let server = &self.servers[self.assign(&spec.replica)];
        async move {
            let engine = server.start(spec, progress).await?;
            self.admit(&engine)?;
            Ok(engine)
        }
        .boxed()
    }
}

/// In what an engine is not what the other one of its pool is; nothing where it is the same.
fn difference(this: &EngineFacts, other: &EngineFacts) -> Option<String> {
    if (this.kind, &this.build) != (other.kind, &other.build) {
        return Some(format!("one is `{}` where another is `{}`", this.build, other.build));
    }
    let (name, others) = (file_name(&this.model.name), file_name(&other.model.name));
    if name != others {
        return Some(format!("one serves the model `{name}` where another serves `{others}`"));
    }
    let counts = |facts: &EngineFacts| [facts.model.parameters, facts.model.size_bytes];
    let mut pairs = counts(this).into_iter().zip(counts(other));
    // 0 is what a server says that does not know.
    if pairs.any(|(this, other)| this != other && this > 0 && other > 0) {
        return Some(format!("they have different models under the name `{name}`"));
    }
    (this.workloads != other.workloads).then(|| "they do not offer the same workloads".to_owned())
}

/// A `llama-server` calls its model by the path it has on its own machine.
fn file_name(model: &str) -> &str {
    let name = Path::new(model).file_name().and_then(|name| name.to_str());
    name.filter(|_| model.ends_with(".gguf")).unwrap_or(model)
}

#[cfg(test)]
mod tests;
