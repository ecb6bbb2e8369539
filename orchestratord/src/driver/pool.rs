//! One pool as the driver sees it: its queue, the life of its model, its replicas, and why it cannot serve when it
//! cannot.
//!
//! Rules: ORCH-REPL-3

use std::sync::Arc;
use std::time::Duration;

use engine_api::{EngineFacts, EngineKind};
use generation::Workload;
use orchestrator_core::{PoolId, PoolScheduler, Priority, QueueLimits, SessionLimits, Timestamp};
use pool_manager::Placement;

use crate::metrics::PoolLabels;
use crate::pool_defaults::PoolDefaults;
use crate::pool_protocol::{Demand, PoolKey};

mod config_reload;
mod lifecycle;
mod membership;
mod replicas;
mod room;
mod serving;
mod stay;
#[cfg(test)]
mod tests;
mod view;

use config_reload::WaitingReload;
use lifecycle::Lifecycle;
use membership::Membership;
use replicas::Replicas;
pub(super) use room::make_room;
pub(super) use serving::{Serving, silence_bound};
use stay::Stay;

/// The configuration of a pool, as far as the driver needs it.
#[derive(Clone, Debug)]
pub struct PoolSetup {
    /// Its name.
    pub id: PoolId,
    /// The model, as the config names it.
    pub model_ref: String,
    /// Further names of it.
    pub aliases: Vec<String>,
    /// What holds for requests that do not say otherwise.
    pub defaults: Arc<PoolDefaults>,
    /// The engine.
    pub engine: EngineKind,
    /// The bounds of its queue.
    pub queue: QueueLimits,
    /// The bounds of its sessions.
    pub sessions: SessionLimits,
    /// Whether its server runs without the daemon, so that nothing is unloaded.
    pub attached: bool,
    /// Whether the model is loaded before the first task, where there is room.
    pub preload: bool,
    /// After this without a task the model is unloaded; never when absent.
    pub idle_unload: Option<Duration>,
    /// The least silence of a replica at work that is taken for a hang.
    pub hang_floor: Duration,
    /// How long tasks wait for a pool whose replicas are all out before they end with `POOL_UNAVAILABLE`.
    pub outage_wait: Duration,
}

/// One pool.
#[derive(Debug)]
pub(super) struct Pool {
    /// What it is.
    pub(super) setup: PoolSetup,
    /// Its queue.
    pub(super) scheduler: PoolScheduler,
    key: PoolKey,
    membership: Membership,
    lifecycle: Lifecycle,
    /// A reload by a new configuration that cannot begin yet.
    config_reload: Option<WaitingReload>,
    replicas: Replicas,
    /// What was computed for each device before the last load.
    placement: Vec<Placement>,
    /// Of the last engine that was ready.
    facts: Option<EngineFacts>,
    labels: Arc<PoolLabels>,
    usage: Usage,
    stay: Stay,
    /// The demand that was last sent to its controller.
    demand: Demand,
}

/// When a pool's model was used, for those who want its memory.
#[derive(Clone, Copy, Debug)]
struct Usage {
    /// When a task of it last started or ended.
    last_used: Timestamp,
    /// Since when it serves.
    ready_since: Timestamp,
    /// How long the last load took, from its order to the first replica that was ready.
    last_load: Option<Duration>,
    /// How long the last self-test of a replica took. It is a part of the load.
    last_test: Option<Duration>,
}

impl Pool {
    /// A pool that has nothing yet.
    pub(super) fn new(key: PoolKey, setup: PoolSetup, now: Timestamp) -> Self {
        let scheduler = PoolScheduler::new(setup.queue, setup.sessions);
        let labels = labels(&setup, None);
        Self {
            setup,
            scheduler,
            key,
            membership: Membership::Configured,
            lifecycle: Lifecycle::at_start(now),
            config_reload: None,
            replicas: Replicas::default(),
            placement: Vec::new(),
            facts: None,
            labels,
            usage: Usage { last_used: now, ready_since: now, last_load: None, last_test: None },
            stay: Stay::default(),
            demand: Demand::Idle,
        }
    }

    /// Its key, which no other pool has or had.
    pub(super) fn key(&self) -> PoolKey {
        self.key
    }

    /// Whether it answers to a model's name: the config's reference, the pool's own name, or a further one of it.
    pub(super) fn answers_to(&self, model_ref: &str) -> bool {
        let PoolSetup { id, model_ref: own, aliases, .. } = &self.setup;
        own == model_ref || id.as_str() == model_ref || aliases.iter().any(|alias| alias == model_ref)
    }

    /// Whether it is known to serve `workload`, now or when it was last loaded.
    pub(super) fn offers(&self, workload: Workload) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.workloads.contains(&workload))
    }

    /// The labels of its metrics.
    pub(super) fn labels(&self) -> Arc<PoolLabels> {
        Arc::clone(&self.labels)
    }

    /// A task of it has started or ended.
    pub(super) fn used(&mut self, now: Timestamp) {
        self.usage.last_used = now;
    }

    /// Whether tasks wait for it.
    fn is_wanted(&self) -> bool {
        Priority::ALL.iter().any(|lane| self.scheduler.depth(*lane) > 0)
    }

    /// Another model is loaded next.
    fn forget_facts(&mut self) {
        self.labels = labels(&self.setup, None);
        self.facts = None;
    }

    fn learn_facts(&mut self, facts: &EngineFacts) {
        self.labels = labels(&self.setup, Some(facts));
        self.facts = Some(facts.clone());
    }
}

fn labels(setup: &PoolSetup, facts: Option<&EngineFacts>) -> Arc<PoolLabels> {
    Arc::new(PoolLabels {
        engine: setup.engine.as_str(),
        engine_version: facts.map_or_else(String::new, |facts| facts.version.clone()),
        pool_id: setup.id.to_string(),
    })
}
